//! Writing to the files of an execution, on a thread that may block, alongside reading and delivery.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::capture::Excess;
use super::log::{Files, FilesState};
use crate::api::event::OutputStream;
use crate::execution::output::buffers;
use crate::process::pool;

/// How many bytes may wait to be written: beyond that, reading waits, and so does the command in the end.
const MOST_WAITING: usize = 1024 * 1024;

/// What is to be written.
pub(super) struct Chunk {
    pub stream: OutputStream,
    pub bytes: Vec<u8>,
    /// What of it is not kept in memory.
    pub excess: Excess,
    pub at: DateTime<Utc>,
}

/// The files of one execution, for all its attempts. While there is something to write, a job holds them, and a thread.
#[derive(Clone)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// Whether everything is written to a file, and whether what exceeds the limit is.
    pub(super) writes: bool,
    pub(super) overflows: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// `None` while a job holds them, and once one has panicked.
    files: Option<Files>,
    waiting: Vec<Chunk>,
    waiting_bytes: usize,
    is_writing: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        Self {
            writes: files.log.is_some() || files.raw.is_some(),
            overflows: files.overflow[0].is_some(),
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    files: Some(files),
                    waiting: Vec::new(),
                    waiting_bytes: 0,
                    is_writing: false,
                }),
                changed: Notify::new(),
            }),
        }
    }

    /// Begins what exceeds the limits anew, once everything has been written.
    pub async fn forget_overflow(&self) {
        if !self.overflows {
            return;
        }
        let files = self.shared.until(|state| {
            if state.is_writing {
                return None;
            }
            let files = state.files.take();
            state.is_writing = files.is_some();
            Some(files)
        });
        if let Some(mut files) = files.await {
            let shared = Arc::clone(&self.shared);
            pool::FILES.submit(move || {
                files.forget_overflow();
                work_off(shared, files);
            });
        }
    }

    /// Hands over what is to be written, once not too much of it waits.
    pub(super) async fn write(&self, chunk: Chunk) {
        let mut chunk = Some(chunk);
        let files = self.shared.until(|state| {
            if state.waiting_bytes >= MOST_WAITING {
                return None;
            }
            let chunk = chunk.take()?;
            if state.files.is_none() && !state.is_writing {
                // A write has panicked: what comes after it is lost with it.
                return Some(None);
            }
            state.waiting_bytes += chunk.bytes.len();
            state.waiting.push(chunk);
            state.is_writing = true;
            Some(state.files.take())
        });
        if let Some(files) = files.await {
            let shared = Arc::clone(&self.shared);
            pool::FILES.submit(move || work_off(shared, files));
        }
    }

    /// Waits until everything has been written.
    pub async fn finish(&self) {
        self.shared
            .until(|state| (!state.is_writing).then_some(()))
            .await;
    }

    /// What became of the files so far, unless a write has not returned.
    pub fn files_state(&self) -> Option<FilesState> {
        self.shared.state().files.as_ref().map(Files::state)
    }
}

/// The job that writes what waits.
fn work_off(shared: Arc<Shared>, mut files: Files) {
    let chunks = {
        let mut state = shared.state();
        state.waiting_bytes = 0;
        std::mem::take(&mut state.waiting)
    };
    shared.changed.notify_waiters();
    let written = catch_unwind(AssertUnwindSafe(|| {
        for chunk in chunks {
            files.append(chunk.stream, &chunk.bytes, &chunk.excess, chunk.at);
            buffers::give(chunk.bytes);
        }
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
