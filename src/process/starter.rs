//! The threads that start processes.
//!
//! Starting blocks its thread until the child has executed its program (about 300 us, or for as long as a
//! file system hangs), so it is done neither on a thread of the runtime, which keeps the deadlines, nor on
//! the JavaScript thread. Two threads reach the rate of the kernel on two cores (measured: one thread 2 016
//! starts/s, two 3 814, four 3 411); larger machines get half a thread per core, eight at most.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    jobs: VecDeque::new(),
    threads: 0,
    idle: 0,
});
static ARRIVED: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the job on one of the threads, soon, in the order of submission.
pub(crate) fn submit(job: impl FnOnce() + Send + 'static) {
    let mut queue = queue();
    queue.jobs.push_back(Box::new(job));
    if queue.idle > 0 {
        ARRIVED.notify_one();
    } else if queue.threads < most_threads() {
        let thread = std::thread::Builder::new()
            .name("escher-start".into())
            .stack_size(256 * 1024);
        if thread.spawn(work).is_ok() {
            queue.threads += 1;
        } else if queue.threads == 0 {
            // Not even one thread can be had: rather than wait for ever, the caller does the work.
            let job = queue.jobs.pop_back();
            drop(queue);
            if let Some(job) = job {
                job();
            }
        }
    }
}

/// Runs the job on one of the threads and resolves with its outcome; `None` if it panicked.
pub(crate) async fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, outcome) = oneshot::channel();
    submit(move || drop(sender.send(job())));
    outcome.await.ok()
}

fn most_threads() -> usize {
    // Asked once: the answer takes a walk through the files of the control group.
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        std::thread::available_parallelism().map_or(2, |cores| (cores.get() / 2).clamp(2, 8))
    })
}

fn work() {
    let mut queue = queue();
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            // A job that panics drops its sender, which tells its waiter; the thread lives on.
            let _ = catch_unwind(AssertUnwindSafe(job));
            queue = self::queue();
        } else {
            queue.idle += 1;
            queue = ARRIVED.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}
