//! What ends the processes when the host is gone.
//!
//! A host that is killed runs no destructors. So one `/bin/sh` per host, in a session of its own, holds the
//! read end of a pipe whose other end dies with the host. At its end it kills the members of the executions that had not
//! ended, by the same rule as the host: see `guardian.sh`. It is never given up: when it dies or cannot be started, it is
//! tried again with the next start and in between, after growing pauses.
//!
//! Of variables it has the tags of the hosts around this one: it belongs to their executions.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{helper_pipe, reap, signal_name, spawn_helper, system};
use crate::process::{ExitStatus, tag};

/// A guardian that lives so long has found what it needs.
const PROVEN: Duration = Duration::from_secs(1);

/// How long a start does not try again what has failed just now.
const PAUSE_OF_STARTS: Duration = Duration::from_secs(1);

/// The first pause and the longest between tries that no start asks for.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

struct Guardian {
    /// The number of the one that runs, since when, and the end of the pipe that dies with this process.
    running: Option<(libc::pid_t, Instant, OwnedFd)>,
    /// Why there was none the last time that there was none.
    problem: Option<String>,
    tried: Option<Instant>,
    /// A thread waits for its end, and starts it again.
    is_watched: bool,
}

static GUARDIAN: Mutex<Guardian> = Mutex::new(Guardian {
    running: None,
    problem: None,
    tried: None,
    is_watched: false,
});
/// Told when a start wants a guardian and there is none.
static WANTED: Condvar = Condvar::new();
/// Whether one runs and is watched, for who asks often.
static IS_WELL: AtomicBool = AtomicBool::new(false);

fn guardian() -> MutexGuard<'static, Guardian> {
    GUARDIAN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the guardian does its work, or would once it is needed.
pub(crate) fn is_available() -> bool {
    problem().is_none()
}

/// Why the guardian cannot be had at present.
pub(crate) fn problem() -> Option<String> {
    let guardian = guardian();
    let is_proven = |since: &Instant| since.elapsed() >= PROVEN;
    match &guardian.running {
        Some((_, since, _)) if is_proven(since) => None,
        _ => guardian.problem.clone(),
    }
}

/// Starts the guardian unless it runs, or was tried just now.
pub(super) fn ensure() {
    if IS_WELL.load(Ordering::Acquire) {
        return;
    }
    let mut guardian = guardian();
    if guardian.is_watched {
        let was_now = |tried: Instant| tried.elapsed() < PAUSE_OF_STARTS;
        if guardian.running.is_none() && !guardian.tried.is_some_and(was_now) {
            WANTED.notify_one();
        }
        return;
    }
    guardian.start();
    let thread = std::thread::Builder::new()
        .name("escher-guardian".into())
        .stack_size(64 * 1024);
    guardian.is_watched = thread.spawn(watch).is_ok();
    guardian.tell();
}

impl Guardian {
    fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        self.tried = Some(Instant::now());
        match start() {
            Ok((pid, lifeline)) => self.running = Some((pid, Instant::now(), lifeline)),
            Err(error) => self.problem = Some(format!("/bin/sh: {error}")),
        }
        self.tell();
    }

    fn tell(&self) {
        let is_well = self.is_watched && self.running.is_some();
        IS_WELL.store(is_well, Ordering::Release);
    }
}

fn start() -> io::Result<(libc::pid_t, OwnedFd)> {
    let (read, write) = helper_pipe()?;
    let host = std::process::id().to_string();
    let words = [
        "/bin/sh",
        "-c",
        system::GUARDIAN,
        "escher-guardian",
        tag::name(),
        &host,
    ];
    let words: Vec<CString> = words
        .map(CString::new)
        .into_iter()
        .collect::<Result<_, _>>()?;
    // Before it is started: what fails afterwards would end its pipe, and it would have to find out why.
    #[cfg(target_os = "macos")]
    let told = write.try_clone()?;
    #[cfg(not(target_os = "macos"))]
    let roll = Some(system::roll()?);
    #[cfg(target_os = "macos")]
    let roll: Option<OwnedFd> = None;
    let pid = spawn_helper(words, Some(&read), roll.as_ref(), tag::outer())?;
    #[cfg(target_os = "macos")]
    system::introduce(told);
    Ok((pid, write))
}

/// Waits for its end, for ever, and starts it again: at once, if it had lived for some time.
fn watch() {
    let mut pause = PAUSES.0;
    loop {
        let running = guardian()
            .running
            .as_ref()
            .map(|(pid, since, _)| (*pid, *since));
        if let Some((pid, since)) = running {
            let status = reap(pid);
            let mut guardian = guardian();
            guardian.running = None;
            guardian.problem = Some(reason(status));
            if since.elapsed() >= PROVEN {
                pause = PAUSES.0;
                guardian.start();
            }
            guardian.tell();
        } else {
            let waited = WANTED.wait_timeout(guardian(), pause);
            let (mut guardian, _) = waited.unwrap_or_else(PoisonError::into_inner);
            pause = (pause * 2).min(PAUSES.1);
            guardian.start();
        }
    }
}

/// The exit codes are those of the script.
fn reason(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(3) if cfg!(target_os = "macos") => "there is no ps".into(),
        ExitStatus::Code(3) => "there is no /proc that it may read".into(),
        ExitStatus::Code(4) => "/proc is that of another namespace of processes".into(),
        ExitStatus::Code(5) => "/bin/sh cannot read the variables of a process".into(),
        ExitStatus::Code(6) => "there is no grep".into(),
        ExitStatus::Code(7) => "the pipe to it was closed".into(),
        ExitStatus::Code(code) => format!("/bin/sh exited with code {code}"),
        ExitStatus::Signal(signal) => format!("it was ended by {}", signal_name(signal)),
        ExitStatus::Lost | ExitStatus::Alive => "it ended for an unknown reason".into(),
    }
}
