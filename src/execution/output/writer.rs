//! Writing to the files of an execution, on a thread that may block, alongside reading and delivery.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use super::entries::PATIENCE;
use super::log::{AppendFile, Chunk, Files, FilesState};
use crate::execution::output::buffers;
use crate::process::pool;

/// How many bytes may wait to be written: beyond that, reading waits, and so does the command in the end.
const MOST_WAITING: usize = 1024 * 1024;

/// What is to be done with the files.
enum Work {
    Write(Chunk, u64),
    /// Lines that nobody has finished for a while are written as far as they go.
    WritePieces,
    /// What exceeds the limits begins anew, and what an earlier attempt has left running prints only where all do.
    BeginAttempt,
    /// What is held back is written; `goes_on`: whether more may come.
    Finish {
        goes_on: bool,
    },
}

/// The files of one execution, for all its attempts, in the hands of one of them. While there is something to write, a job
/// holds them, and a thread.
#[derive(Clone)]
pub(crate) struct Writer {
    owner: Arc<Owner>,
    attempt: u64,
}

/// Closes the files once nobody writes to them any more.
struct Owner {
    shared: Arc<Shared>,
    /// Whether everything is written to a file, and to one that has it unchanged; whether what exceeds the limit is.
    writes: bool,
    writes_raw: bool,
    overflows: bool,
    /// How many attempts were begun after the first.
    attempts: AtomicU64,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    has_log: bool,
}

struct State {
    /// `None` while a job holds them, and once one has panicked.
    files: Option<Files>,
    waiting: Vec<Work>,
    waiting_bytes: usize,
    is_writing: bool,
    /// Whether somebody sees to lines that nobody finishes.
    is_watched: bool,
}

impl State {
    /// Enters work, after what waits already. Returns the files where a job is to be started, which is not done under the
    /// lock: where no thread can be had, whoever starts it does it.
    fn enter(&mut self, work: Work) -> Option<Files> {
        if self.files.is_none() && !self.is_writing {
            // A write has panicked: what comes after it is lost with it.
            return None;
        }
        self.waiting.push(work);
        self.is_writing = true;
        self.files.take()
    }
}

impl Shared {
    fn start(self: &Arc<Self>, files: Option<Files>) {
        if let Some(files) = files {
            let shared = Arc::clone(self);
            pool::FILES.submit(move || work_off(shared, files));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves once nothing waits to be written.
    async fn until_idle(&self) {
        self.until(|state| (!state.is_writing).then_some(())).await;
    }

    /// Resolves once `ready` has found what it waits for in the state.
    async fn until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = ready(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }
}

impl Writer {
    pub fn new(files: Files) -> Self {
        let owner = Arc::new(Owner {
            writes: files.log.is_some() || files.raw.is_some(),
            writes_raw: files.raw.is_some(),
            overflows: files.overflow[0].is_some(),
            attempts: AtomicU64::new(0),
            shared: Arc::new(Shared {
                has_log: files.log.is_some(),
                state: Mutex::new(State {
                    files: Some(files),
                    waiting: Vec::new(),
                    waiting_bytes: 0,
                    is_writing: false,
                    is_watched: false,
                }),
                changed: Notify::new(),
            }),
        });
        Self { owner, attempt: 0 }
    }

    /// The same, in the hands of the attempt that was begun last.
    pub fn of_last_attempt(&self) -> Self {
        Self {
            owner: Arc::clone(&self.owner),
            attempt: self.owner.attempts.load(Ordering::Relaxed),
        }
    }

    pub(super) fn writes(&self) -> bool {
        self.owner.writes
    }

    pub(super) fn writes_raw(&self) -> bool {
        self.owner.writes_raw
    }

    pub(super) fn overflows(&self) -> bool {
        self.owner.overflows
    }

    /// Takes the files that the request names for the streams, opened for an attempt.
    pub async fn take_own(&self, own: [Option<AppendFile>; 2]) {
        if own.iter().all(Option::is_none) {
            return;
        }
        let shared = &self.owner.shared;
        shared.until_idle().await;
        if let Some(files) = &mut shared.state().files {
            files.own = own;
        }
    }

    /// Begins another attempt, once everything has been written: what exceeds the limits begins anew. What an earlier one
    /// has left running goes on to print, but only where the output of all attempts goes.
    pub async fn begin_attempt(&self) {
        let shared = &self.owner.shared;
        shared.until_idle().await;
        self.owner.attempts.fetch_add(1, Ordering::Relaxed);
        let files = shared.state().enter(Work::BeginAttempt);
        shared.start(files);
    }

    /// Hands over what is to be written, once not too much of it waits.
    pub(super) async fn write(&self, chunk: Chunk) {
        let shared = &self.owner.shared;
        let lacks_its_end = chunk.bytes.last().is_some_and(|byte| *byte != b'\n');
        let mut chunk = Some(chunk);
        let entered = shared.until(|state| {
            if state.waiting_bytes >= MOST_WAITING {
                return None;
            }
            let chunk = chunk.take()?;
            state.waiting_bytes +=
                chunk.bytes.len() + chunk.unstripped.as_ref().map_or(0, Vec::len);
            let is_unwatched = lacks_its_end && shared.has_log && !state.is_watched;
            state.is_watched |= is_unwatched;
            Some((state.enter(Work::Write(chunk, self.attempt)), is_unwatched))
        });
        let (files, is_unwatched) = entered.await;
        shared.start(files);
        if is_unwatched {
            tokio::spawn(write_pieces(Arc::downgrade(shared)));
        }
    }

    /// Waits until everything has been written, also what was held back; `goes_on`: whether more may come.
    pub async fn finish(&self, goes_on: bool) {
        let shared = &self.owner.shared;
        shared.until_idle().await;
        let files = {
            let mut state = shared.state();
            if state.files.as_ref().is_none_or(Files::is_finished) {
                return;
            }
            state.enter(Work::Finish { goes_on })
        };
        shared.start(files);
        shared.until_idle().await;
    }

    /// What became of the files so far, unless a write has not returned.
    pub fn files_state(&self) -> Option<FilesState> {
        self.owner.shared.state().files.as_ref().map(Files::state)
    }
}

impl Drop for Owner {
    /// Closes the files here: a job that is about to end may hold on to what it shares for a moment longer.
    fn drop(&mut self) {
        let files = self.shared.state().files.take();
        drop(files);
    }
}

/// Sees to lines that nobody finishes, until there is none.
async fn write_pieces(shared: Weak<Shared>) {
    let mut next = Instant::now() + PATIENCE;
    loop {
        tokio::time::sleep_until(next.into()).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let looked = shared.until(|state| {
            if state.is_writing {
                return None;
            }
            let next = state.files.as_ref().and_then(Files::next_piece);
            state.is_watched = next.is_some();
            let is_due = next.is_some_and(|next| next <= Instant::now());
            let files = is_due.then(|| state.enter(Work::WritePieces));
            Some((next, files.flatten()))
        });
        let (unfinished, files) = looked.await;
        shared.start(files);
        let Some(unfinished) = unfinished else {
            return;
        };
        // What is written now may leave a part of a character, for the next time.
        next = unfinished.max(Instant::now() + PATIENCE / 10);
    }
}

/// The job that writes what waits.
fn work_off(shared: Arc<Shared>, mut files: Files) {
    let waiting = {
        let mut state = shared.state();
        state.waiting_bytes = 0;
        std::mem::take(&mut state.waiting)
    };
    shared.changed.notify_waiters();
    let written = catch_unwind(AssertUnwindSafe(|| {
        for work in waiting {
            match work {
                Work::Write(chunk, attempt) => {
                    files.append(&chunk, attempt);
                    buffers::give(chunk.bytes);
                    if let Some(unstripped) = chunk.unstripped {
                        buffers::give(unstripped);
                    }
                }
                Work::WritePieces => files.write_pieces(Instant::now()),
                Work::BeginAttempt => files.begin_attempt(),
                Work::Finish { goes_on } => files.finish(goes_on),
            }
        }
        // Also while a command never stops printing to the other stream.
        files.write_pieces(Instant::now());
        files
    }));
    let mut state = shared.state();
    match written {
        Ok(files) if state.waiting.is_empty() => {
            // Under the lock, so that what comes now starts the next job.
            state.files = Some(files);
            state.is_writing = false;
        }
        Ok(files) => {
            drop(state);
            // Behind the jobs of others: a command that never stops printing must not keep a thread for itself.
            return pool::FILES.submit(move || work_off(shared, files));
        }
        // Files whose write has panicked are not written to again, and nobody waits for that.
        Err(_) => {
            state.waiting.clear();
            state.waiting_bytes = 0;
            state.is_writing = false;
        }
    }
    drop(state);
    shared.changed.notify_waiters();
}
