//! The `PATH` of the user's login shell, for hosts that were started without one: a desktop starts its applications with a
//! `PATH` that has none of what the user's profile adds to it.
//!
//! It is read once in the life of the host, when it is first asked for, by an execution like any other: whatever a
//! profile starts is ended with it, also where the host ends first.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::handlers::Handlers;
use super::start::{Decision, Start};
use crate::api::command::Command;
use crate::api::config::ExecutionConfig;
use crate::api::inherit::InheritEnv;
use crate::api::request::ExecutionRequest;
use crate::process::environment::Environment;
use crate::process::{pool, program};
use crate::state::cancellation::Stop;
use crate::state::execution::Execution;
use crate::state::login;
use crate::state::registry::Registry;
use crate::state::slots::Slots;

/// How long the shell may take, and how long it is asked to end then: an interactive one may not listen.
const TIMEOUT_MS: u64 = 4_700;
const GRACE_MS: u64 = 300;

static IS_BEGUN: AtomicBool = AtomicBool::new(false);
/// Told when something was read, or reading it was given up.
static TOLD: Notify = Notify::const_new();

/// That something is to be started with it, and what it takes to read it.
pub(crate) struct Need {
    environment: Environment,
    runtime: Handle,
    /// What is to be stopped does not wait.
    stop: Arc<Stop>,
}

impl Need {
    /// `None` if none of the requests asks for it, or it was read.
    pub fn of<'a>(
        requests: impl IntoIterator<Item = &'a ExecutionRequest>,
        environment: &Environment,
        runtime: &Handle,
        stop: &Arc<Stop>,
    ) -> Option<Self> {
        is_needed(requests).then(|| Self {
            environment: environment.clone(),
            runtime: runtime.clone(),
            stop: Arc::clone(stop),
        })
    }
}

/// Lets a thread that may block do the job: at once, or when what it needs was read.
pub(crate) fn submit(need: Option<Need>, job: impl FnOnce() + Send + 'static) {
    let Some(need) = need else {
        return pool::STARTS.submit(job);
    };
    let runtime = need.runtime.clone();
    runtime.spawn(async move {
        tokio::select! {
            () = read_once(&need.environment, &need.runtime) => {}
            _ = need.stop.asked() => {}
        }
        pool::STARTS.submit(job);
    });
}

/// Resolves when what a request needs was read.
pub(crate) async fn read_for(
    request: &ExecutionRequest,
    environment: &Environment,
    runtime: &Handle,
) {
    if is_needed([request]) {
        read_once(environment, runtime).await;
    }
}

fn is_needed<'a>(requests: impl IntoIterator<Item = &'a ExecutionRequest>) -> bool {
    let asks = |request: &ExecutionRequest| request.inherit_env == InheritEnv::Login;
    requests.into_iter().any(asks) && !login::is_known()
}

/// Resolves when it was read. The first to ask lets it be read, on its runtime.
async fn read_once(environment: &Environment, runtime: &Handle) {
    loop {
        let told = TOLD.notified();
        if login::is_known() {
            return;
        }
        if !IS_BEGUN.swap(true, Ordering::AcqRel) {
            let (environment, own, reading) = (environment.clone(), runtime.clone(), Reading);
            runtime.spawn(async move {
                login::set(read(environment, own).await);
                drop(reading);
            });
        }
        told.await;
    }
}

/// Tells when it is dropped: also with its runtime, and then somebody else has to read.
struct Reading;

impl Drop for Reading {
    fn drop(&mut self) {
        if !login::is_known() {
            IS_BEGUN.store(false, Ordering::Release);
        }
        TOLD.notify_waiters();
    }
}

async fn read(environment: Environment, runtime: Handle) -> Result<Option<OsString>, String> {
    let said = environment.value("SHELL");
    let shell = pool::STARTS.run(move || program::login_shell(said)).await;
    let Some(shell) = shell.flatten() else {
        return Ok(None);
    };
    let shell = shell.to_string_lossy().into_owned();
    let mark = Uuid::new_v4().simple().to_string();
    // What every shell understands. Only a program tells what a program would get, however the shell writes a list.
    let line = format!("echo {mark}; printenv PATH; echo {mark}");
    let mut request = ExecutionRequest::new(Command::exec(shell.clone(), ["-ilc", &line]));
    // Where a terminal would begin: not where tools add to the variables what a project needs.
    let home = environment.value("HOME").map(PathBuf::from);
    request.working_dir = home.filter(|home| home.is_absolute());
    request.timeout_ms = Some(TIMEOUT_MS);
    let (printed, error) = run(request, environment, runtime).await?;
    path_in(&printed, &mark).map(Some).ok_or_else(|| {
        let error = error.as_deref().unwrap_or("it did not tell its PATH");
        format!("\"{shell}\": {error}")
    })
}

/// Runs it apart from all engines; returns what it printed, and what was wrong with it.
async fn run(
    request: ExecutionRequest,
    environment: Environment,
    runtime: Handle,
) -> Result<(String, Option<String>), String> {
    let config = ExecutionConfig {
        log_output: false,
        termination_grace_ms: GRACE_MS,
        ..ExecutionConfig::default()
    };
    let registry = Arc::new(Registry::new(1));
    let displayed = request.command.display();
    let execution = Execution::new(
        request.id,
        displayed,
        &request.metadata,
        Arc::default(),
        None,
        None,
    );
    let entered = registry.enter(&execution);
    let slots = Slots::new(1, 0, &BTreeMap::new());
    let slot = entered.and_then(|()| slots.take(None, request.priority));
    let slot = slot.map_err(|error| error.to_string())?;
    let (sender, decided) = oneshot::channel();
    let decision = Decision::new(request.id, Arc::clone(&registry), |decided| {
        drop(sender.send(decided));
    });
    let start = Start {
        config: Arc::new(config),
        registry,
        slots,
        execution: Arc::clone(&execution),
        handlers: Handlers::default(),
        runtime,
    };
    pool::STARTS.submit(move || start.decide(request, environment, slot, decision));
    if let Ok(Err(refused)) = decided.await {
        return Err(refused.to_string());
    }
    let result = execution.outcome.wait().await;
    Ok((result.stdout.clone(), result.error.clone()))
}

/// What stands between the two marks, each on a line. A profile may have printed anything before and behind.
fn path_in(printed: &str, mark: &str) -> Option<OsString> {
    let (_, behind) = printed.split_once(mark)?;
    let (between, _) = behind.split_once(mark)?;
    let path = between.strip_prefix('\n')?.strip_suffix('\n')?;
    (!path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_profile_prints_is_not_taken_for_the_path() {
        let found = |printed: &str| path_in(printed, "MARK");
        let path = |path: &str| Some(OsString::from(path));
        assert_eq!(found("MARK\n/a:/b\nMARK\n"), path("/a:/b"));
        assert_eq!(found("welcomeMARK\n/a\nMARK\nbye"), path("/a"));
        assert_eq!(found("MARK\n/with\nline\nMARK\n"), path("/with\nline"));
        for nothing in ["", "/a:/b", "MARK\n/a", "MARK\nMARK\n", "MARK\n\nMARK\n"] {
            assert_eq!(found(nothing), None, "{nothing:?}");
        }
    }
}
