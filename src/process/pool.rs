//! Threads for what may block: starting a process, writing a file, looking through the processes.
//!
//! Not those of the runtime, which keep the deadlines, nor the JavaScript thread. And not the blocking threads of
//! Tokio: where the system refuses a thread, a job for those waits for ever, while here the caller does the work.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// For starts. A start blocks its thread until the child has executed its program (about 300 us, or for as long
/// as a file system hangs). Two threads reach the rate of the kernel on two cores (measured: one thread 2 016
/// starts/s, two 3 814, four 3 411); larger machines get half a thread per core, eight at most.
pub(crate) static STARTS: Pool = Pool::new("escher-start", starting_threads);

/// For files.
pub(crate) static FILES: Pool = Pool::new("escher-files", || 8);

fn starting_threads() -> usize {
    // Asked once: the answer takes a walk through the files of the control group.
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        std::thread::available_parallelism().map_or(2, |cores| (cores.get() / 2).clamp(2, 8))
    })
}

/// How long a thread waits for work before it ends; the last one stays.
const IDLE: Duration = Duration::from_secs(10);

/// When threads that are all busy, and of which none has taken a job for so long, are taken for ones that hang.
const STALLED: Duration = Duration::from_secs(1);

/// How many threads there are at most, those included that hang.
const MOST_STALLED: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// A few threads and the jobs that wait for them.
pub(crate) struct Pool {
    name: &'static str,
    most_threads: fn() -> usize,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// When a job was last taken.
    taken: Option<Instant>,
    is_watched: bool,
}

impl Pool {
    const fn new(name: &'static str, most_threads: fn() -> usize) -> Self {
        Self {
            name,
            most_threads,
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                threads: 0,
                idle: 0,
                taken: None,
                is_watched: false,
            }),
            arrived: Condvar::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the job on one of the threads, soon, in the order of submission.
    pub fn submit(&'static self, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.queue();
        queue.jobs.push_back(Box::new(job));
        if queue.jobs.len() <= queue.idle {
            // Not under the lock, for which the thread would wait as soon as it is awake.
            drop(queue);
            self.arrived.notify_one();
        } else if queue.threads < (self.most_threads)() {
            if self.thread().spawn(|| self.work()).is_ok() {
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
    pub async fn run<T: Send + 'static>(
        &'static self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.begin(job).await.ok()
    }

    /// Runs the job on one of the threads, soon; its outcome, or that it panicked, is received.
    pub fn begin<T: Send + 'static>(
        &'static self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, outcome) = oneshot::channel();
        self.submit(move || drop(sender.send(job())));
        outcome
    }

    fn thread(&self) -> std::thread::Builder {
        std::thread::Builder::new()
            .name(self.name.into())
            .stack_size(256 * 1024)
    }

    fn work(&'static self) {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                queue.taken = Some(Instant::now());
                let all_busy = queue.idle == 0 && queue.threads >= (self.most_threads)();
                if all_busy && !queue.is_watched {
                    queue.is_watched = self.thread().spawn(|| self.watch()).is_ok();
                }
                drop(queue);
                // A job that panics drops its sender, which tells its waiter; the thread lives on.
                let _ = catch_unwind(AssertUnwindSafe(job));
                queue = self.queue();
                continue;
            }
            let patience = if queue.threads == 1 {
                Duration::MAX
            } else {
                IDLE
            };
            queue.idle += 1;
            let waited = self.arrived.wait_timeout(queue, patience);
            let timeout;
            (queue, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
            if timeout.timed_out() && queue.jobs.is_empty() && queue.threads > 1 {
                queue.threads -= 1;
                return;
            }
        }
    }

    /// Watches threads that are all busy. Once they hang, on a file system that does not answer, say, this is one more
    /// thread: what they were given to do must not keep everything else from being done.
    fn watch(&'static self) {
        loop {
            std::thread::sleep(STALLED);
            let mut queue = self.queue();
            let waits = !queue.jobs.is_empty();
            let stalled = queue.taken.is_some_and(|taken| taken.elapsed() >= STALLED);
            if waits && stalled && queue.threads < MOST_STALLED {
                queue.is_watched = false;
                queue.threads += 1;
                drop(queue);
                return self.work();
            }
            if queue.idle > 0 && !waits {
                queue.is_watched = false;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn jobs_that_hang_do_not_keep_others_from_being_done() {
        static POOL: Pool = Pool::new("escher-test", || 2);
        let (release, hanging) = mpsc::channel::<()>();
        let hanging = std::sync::Arc::new(Mutex::new(hanging));
        for _ in 0..3 {
            let hanging = std::sync::Arc::clone(&hanging);
            POOL.submit(move || {
                let _ = hanging.lock().map(|hanging| hanging.recv());
            });
        }
        let done = tokio::time::timeout(Duration::from_secs(10), POOL.run(|| 7));
        assert_eq!(done.await, Ok(Some(7)));
        drop(release);
    }
}
