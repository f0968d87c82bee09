//! The rooms of the engine that `cargo bench` measures one by one. Only there with the feature `bench`, which is
//! for the benches of this crate: nothing here is part of what the crate promises.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::api::error::Result;
use crate::api::output::SplitOn;
use crate::api::request::ExecutionMetadata;
use crate::execution::output::{buffers, capture, lines};
use crate::masking::mask;
use crate::masking::secret::Secret;
use crate::masking::stream;
use crate::state::execution::Execution;
use crate::state::registry;

/// From bytes to lines.
#[derive(Debug)]
pub struct LineSplitter(lines::LineSplitter);

impl LineSplitter {
    /// For lines of at most that many bytes; longer ones come in pieces.
    #[must_use]
    pub fn new(max_line: usize) -> Self {
        Self(lines::LineSplitter::new(max_line, SplitOn::Lf))
    }

    /// Takes what was read; returns the lines that it completes, each with its end.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut bytes = self.0.take_unfinished();
        let old = bytes.len();
        bytes.extend_from_slice(chunk);
        self.0
            .push(bytes, old)
            .map_or_else(Vec::new, |lines| lines.bytes)
    }

    /// Takes the lines back, for the next read.
    pub fn give_back(lines: Vec<u8>) {
        buffers::give(lines);
    }
}

/// What is kept of a stream.
#[derive(Debug)]
pub struct Capture(capture::Capture);

impl Capture {
    /// For that many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(capture::Capture::new(limit))
    }

    /// Takes what was read; returns where in it the limit was passed.
    pub fn push(&mut self, chunk: &[u8]) -> usize {
        self.0.push(chunk).from
    }

    /// What was kept, as text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0.into_text(true)
    }
}

/// Who is running, and who has finished.
#[derive(Debug)]
pub struct Registry(registry::Registry);

impl Registry {
    /// Remembers that many finished executions.
    #[must_use]
    pub fn new(max_finished: usize) -> Self {
        Self(registry::Registry::new(max_finished))
    }

    /// Enters an execution, as `execute` does.
    ///
    /// # Errors
    ///
    /// An id that is in use.
    pub fn enter(&self, id: Uuid) -> Result<()> {
        self.0.enter(&Execution::new(
            id,
            String::from("/bin/true"),
            &ExecutionMetadata::default(),
            Arc::default(),
            None,
            None,
        ))
    }

    /// Notes that it has finished; forgets the oldest beyond the bound.
    pub fn finish(&self, id: Uuid) {
        if let Ok(unit) = self.0.get(id) {
            self.0.finish(&unit);
        }
    }

    /// Whether it is known, as every query asks first.
    #[must_use]
    pub fn knows(&self, id: Uuid) -> bool {
        self.0.get(id).is_ok()
    }

    /// How many there are, newest first, as `listExecutions` collects them.
    #[must_use]
    pub fn list(&self) -> usize {
        self.0.all().len()
    }

    /// Forgets all that have finished; returns how many.
    #[must_use]
    pub fn forget_finished(&self) -> usize {
        self.0.forget_older_than(Duration::ZERO)
    }
}

/// What finds the secrets in what a command prints.
#[derive(Debug)]
pub struct Mask(stream::StreamMask);

impl Mask {
    /// For these secrets; `None` without any.
    #[must_use]
    pub fn of(secrets: &[Secret]) -> Option<Self> {
        mask::Mask::of(secrets).map(|mask| Self(stream::StreamMask::new(mask)))
    }

    /// Takes what was read, and masks it in its place.
    pub fn mask(&mut self, chunk: &mut Vec<u8>) {
        self.0.mask(chunk, 0);
    }
}
