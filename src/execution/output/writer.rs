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
    /// The same with its escape sequences, where they were left out and are wanted.
    pub unstripped: Option<Vec<u8>>,
    /// What of it is not kept in memory.
    pub excess: Excess,
    pub at: DateTime<Utc>,
}

/// The files of one execution. While there is something to write, a job holds them, and a thread.
pub(super) struct Writer(Arc<Shared>);

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
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                files: Some(files),
                waiting: Vec::new(),
                waiting_bytes: 0,
                is_writing: false,
            }),
            changed: Notify::new(),
        }))
    }

    /// Hands over what is to be written, once not too much of it waits.
    pub async fn write(&self, chunk: Chunk) {
        let mut chunk = Some(chunk);
        let files = self.0.until(|state| {
            if state.waiting_bytes >= MOST_WAITING {
                return None;
            }
            let chunk = chunk.take()?;
            if state.files.is_none() && !state.is_writing {
                // A write has panicked: what comes after it is lost with it.
                return Some(None);
            }
            state.waiting_bytes +=
                chunk.bytes.len() + chunk.unstripped.as_ref().map_or(0, Vec::len);
            state.waiting.push(chunk);
            state.is_writing = true;
            Some(state.files.take())
        });
        if let Some(files) = files.await {
            let shared = Arc::clone(&self.0);
            pool::FILES.submit(move || work_off(shared, files));
        }
    }

    /// Waits until everything has been written.
    pub async fn finish(&self) {
        self.0
            .until(|state| (!state.is_writing).then_some(()))
            .await;
    }

    /// What became of the files so far, unless a write has not returned.
    pub fn files_state(&self) -> Option<FilesState> {
        self.0.state().files.as_ref().map(Files::state)
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
            let unstripped = chunk.unstripped.as_deref();
            files.append(
                chunk.stream,
                &chunk.bytes,
                unstripped,
                &chunk.excess,
                chunk.at,
            );
            buffers::give(chunk.bytes);
            if let Some(unstripped) = chunk.unstripped {
                buffers::give(unstripped);
            }
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
