//! The runtime of all engines in this process.
//!
//! It is never shut down: a worker thread of JavaScript that ends takes its own executions with it, and no one else's.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::process::pool;

/// How long something waits for the runtime in a host that lacks descriptors: as long as a start does where nothing
/// lives whose end could help.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
/// What waits for the runtime; `None` where nobody tries to have it.
static WAITING: Mutex<Option<Vec<Waiting>>> = Mutex::new(None);

struct Waiting {
    since: Instant,
    job: Job,
}

/// What needs the runtime, or is to be told why there is none.
type Job = Box<dyn FnOnce(Result<&Handle, &io::Error>) + Send>;

/// Makes the runtime unless it is there. What fails now is tried again when the runtime is needed.
pub(super) fn prepare() {
    let waiting = waiting();
    if get().is_none()
        && waiting.is_none()
        && let Ok(runtime) = build()
    {
        let _ = RUNTIME.set(runtime);
    }
}

/// The runtime, if it is there.
pub(super) fn get() -> Option<&'static Handle> {
    RUNTIME.get().map(Runtime::handle)
}

/// Does what needs the runtime: at once, or else on another thread, which waits for the descriptors that it takes.
/// What waits is done in the order of these calls.
pub(super) fn once_there(job: impl FnOnce(Result<&Handle, &io::Error>) + Send + 'static) {
    if let Some(runtime) = get() {
        return job(Ok(runtime));
    }
    let mut waiting = waiting();
    if let Some(runtime) = get() {
        drop(waiting);
        return job(Ok(runtime));
    }
    let is_first = waiting.is_none();
    waiting.get_or_insert_default().push(Waiting {
        since: Instant::now(),
        job: Box::new(job),
    });
    drop(waiting);
    if is_first {
        pool::STARTS.submit(have);
    }
}

fn waiting() -> MutexGuard<'static, Option<Vec<Waiting>>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tries until there is a runtime, or nobody waits for it any more.
fn have() {
    loop {
        match build() {
            Ok(runtime) => return serve_all(runtime),
            Err(error) if !serve_most_patient(&error) => return,
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn build() -> io::Result<Runtime> {
    let build = || {
        Builder::new_multi_thread()
            .thread_name("escher-engine")
            // Two: one may be held up by a large batch while the other keeps the deadlines.
            .worker_threads(2)
            // The default, which would be looked for in a variable: another thread may be changing one.
            .thread_stack_size(2 * 1024 * 1024)
            .enable_io()
            .enable_time()
            .build()
    };
    // Where there is no thread to be had, this panics.
    catch_unwind(build).unwrap_or_else(|_| Err(io::ErrorKind::OutOfMemory.into()))
}

fn serve_all(runtime: Runtime) {
    loop {
        let mut waiting = waiting();
        let all = waiting.take().unwrap_or_default();
        if all.is_empty() {
            // Under the lock, so that nothing overtakes what has waited.
            let _ = RUNTIME.set(runtime);
            return;
        }
        *waiting = Some(Vec::new());
        drop(waiting);
        for one in all {
            serve(one, Ok(runtime.handle()));
        }
    }
}

/// Tells those who have waited for long enough that there is none; returns whether anybody is left.
fn serve_most_patient(error: &io::Error) -> bool {
    let mut waiting = waiting();
    let all = waiting.take().unwrap_or_default();
    let (out, left): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|one| one.since.elapsed() >= PATIENCE);
    let is_left = !left.is_empty();
    *waiting = is_left.then_some(left);
    drop(waiting);
    for one in out {
        serve(one, Err(error));
    }
    is_left
}

/// One that panics must not keep the others waiting.
fn serve(waiting: Waiting, runtime: Result<&Handle, &io::Error>) {
    let _ = catch_unwind(AssertUnwindSafe(|| (waiting.job)(runtime)));
}
