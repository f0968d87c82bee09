//! What is told of an execution while it runs.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::plan::PlanExecutionResult;
use crate::api::request::ExecutionMetadata;
use crate::api::result::{ExecutionAttempt, ExecutionResult};
use crate::api::step_key::StepKey;

/// One of the two streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl OutputStream {
    /// Its spelling in JSON and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What an execution says about itself, and its place in a plan. One for all that is told of an execution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Origin {
    /// What its request says about itself. Empty as long as the request of a step is not made.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-typescript" = "Result['metadata']"))
    )]
    pub metadata: ExecutionMetadata,
    /// The plan that it is a step of, or `null`.
    pub plan_id: Option<Uuid>,
    /// Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none.
    pub step: Option<StepKey>,
}

/// Something that happened to an execution or a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event_type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecutionEvent {
    /// It must wait for a slot of the engine. What can start at once is not told to wait; nor is a step of a plan before its
    /// turn has come.
    Pending {
        /// The execution.
        execution_id: Uuid,
        /// Whose it is.
        #[serde(flatten)]
        origin: Arc<Origin>,
        /// When it began to wait.
        timestamp: DateTime<Utc>,
    },
    /// The process was started.
    Started {
        /// The execution.
        execution_id: Uuid,
        /// Whose it is.
        #[serde(flatten)]
        origin: Arc<Origin>,
        /// The command, shell-quoted, for display.
        command: String,
        /// The process id of the command.
        pid: u32,
        /// When it was started.
        timestamp: DateTime<Utc>,
    },
    /// A line was printed to standard output.
    Stdout {
        /// The execution.
        execution_id: Uuid,
        /// Whose it is.
        #[serde(flatten)]
        origin: Arc<Origin>,
        /// The line, without its end.
        line: String,
        /// Whether it is no whole line: a piece of one that is longer than
        /// [`ExecutionConfig::max_line_size_bytes`](crate::ExecutionConfig::max_line_size_bytes), which goes on in the
        /// next event of that stream; or an unfinished one.
        partial: bool,
        /// Whether the line is not finished, and nothing came for 200 milliseconds: a question, perhaps, that waits for
        /// its answer. The next event of that stream tells it again from its beginning, with what follows. Left out where
        /// it is not so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unfinished: bool,
        /// When it was read.
        timestamp: DateTime<Utc>,
    },
    /// A line was printed to standard error.
    Stderr {
        /// The execution.
        execution_id: Uuid,
        /// Whose it is.
        #[serde(flatten)]
        origin: Arc<Origin>,
        /// The line, without its end.
        line: String,
        /// Whether it is no whole line: a piece of one that is longer than
        /// [`ExecutionConfig::max_line_size_bytes`](crate::ExecutionConfig::max_line_size_bytes), which goes on in the
        /// next event of that stream; or an unfinished one.
        partial: bool,
        /// Whether the line is not finished, and nothing came for 200 milliseconds: a question, perhaps, that waits for
        /// its answer. The next event of that stream tells it again from its beginning, with what follows. Left out where
        /// it is not so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unfinished: bool,
        /// When it was read.
        timestamp: DateTime<Utc>,
    },
    /// An attempt did not succeed, and another one will follow.
    Retrying {
        /// The execution.
        execution_id: Uuid,
        /// Whose it is.
        #[serde(flatten)]
        origin: Arc<Origin>,
        /// The number of the attempt that will follow, from 2 on.
        attempt: u64,
        /// The time until then, in milliseconds, and then its wait for a slot.
        delay_ms: u64,
        /// What went wrong with the last one, in words.
        error: String,
        /// How the last one ended.
        ended: ExecutionAttempt,
        /// When the last one ended.
        timestamp: DateTime<Utc>,
    },
    /// The command exited with a code that means success.
    Completed(Ended),
    /// The execution failed.
    Failed(Ended),
    /// The execution was cancelled.
    Cancelled(Ended),
    /// The deadline of the execution passed, or it printed nothing for too long.
    Timeout(Ended),
    /// A step of a plan was not started, because of what became of others.
    Skipped(Ended),
    /// A step of a plan ended, in whatever way.
    Progress {
        /// The plan.
        plan_id: Uuid,
        /// What the plan says about itself.
        #[cfg_attr(
            feature = "schema",
            schemars(extend("x-typescript" = "Result['metadata']"))
        )]
        metadata: Arc<ExecutionMetadata>,
        /// How many steps have ended.
        completed: usize,
        /// How many steps the plan has.
        total: usize,
        /// The command of the step that was started last, of those that run now, shell-quoted; `null` if none does.
        current_command: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    },
    /// A plan ended, in whatever way.
    PlanCompleted {
        /// The plan.
        plan_id: Uuid,
        /// What the plan says about itself.
        #[cfg_attr(
            feature = "schema",
            schemars(extend("x-typescript" = "Result['metadata']"))
        )]
        metadata: Arc<ExecutionMetadata>,
        /// How it ended.
        result: Arc<PlanExecutionResult>,
        /// When it ended.
        timestamp: DateTime<Utc>,
    },
}

/// The end of an execution; there is exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ended {
    /// The execution.
    pub execution_id: Uuid,
    /// Whose it is.
    #[serde(flatten)]
    pub origin: Arc<Origin>,
    /// How it ended.
    pub result: Arc<ExecutionResult>,
    /// When it ended.
    pub timestamp: DateTime<Utc>,
}

impl ExecutionEvent {
    /// How an execution ended, if that is what it tells: whatever the status, and also of a step that was skipped.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Completed(end)
            | Self::Failed(end)
            | Self::Cancelled(end)
            | Self::Timeout(end)
            | Self::Skipped(end) => Some(end),
            _ => None,
        }
    }

    /// A line that is not finished.
    pub(crate) fn unfinished_line(
        execution_id: Uuid,
        origin: Arc<Origin>,
        stream: OutputStream,
        line: String,
    ) -> Self {
        let (partial, unfinished, timestamp) = (true, true, Utc::now());
        match stream {
            OutputStream::Stdout => Self::Stdout {
                execution_id,
                origin,
                line,
                partial,
                unfinished,
                timestamp,
            },
            OutputStream::Stderr => Self::Stderr {
                execution_id,
                origin,
                line,
                partial,
                unfinished,
                timestamp,
            },
        }
    }
}

/// What was read of one stream at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// The execution.
    pub execution_id: Uuid,
    /// The stream.
    pub stream: OutputStream,
    /// The bytes, as they were printed.
    pub bytes: Vec<u8>,
    /// When they were read.
    pub timestamp: DateTime<Utc>,
}

/// Lines of one stream that were read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputBatch {
    /// The execution.
    pub execution_id: Uuid,
    /// Whose it is.
    pub origin: Arc<Origin>,
    /// The stream.
    pub stream: OutputStream,
    /// The lines as they were printed, each followed by a newline.
    pub bytes: Vec<u8>,
    /// The indices of those lines that go on in the next one, ascending.
    pub partial: Vec<u32>,
    /// When they were read.
    pub timestamp: DateTime<Utc>,
}

impl OutputBatch {
    /// The lines as text, each followed by a newline. Invalid UTF-8 is replaced by U+FFFD.
    #[must_use]
    pub fn into_text(self) -> String {
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Each line as an event of its own.
    pub fn events(&self) -> impl Iterator<Item = ExecutionEvent> {
        let Self {
            execution_id,
            timestamp,
            ..
        } = *self;
        self.lines().map(move |(line, partial)| {
            let (origin, line) = (Arc::clone(&self.origin), line.into_owned());
            match self.stream {
                OutputStream::Stdout => ExecutionEvent::Stdout {
                    execution_id,
                    origin,
                    line,
                    partial,
                    unfinished: false,
                    timestamp,
                },
                OutputStream::Stderr => ExecutionEvent::Stderr {
                    execution_id,
                    origin,
                    line,
                    partial,
                    unfinished: false,
                    timestamp,
                },
            }
        })
    }

    /// The lines as text, without their ends, each with whether it goes on in the next one. Invalid UTF-8 is replaced by
    /// U+FFFD.
    pub fn lines(&self) -> impl Iterator<Item = (Cow<'_, str>, bool)> {
        let mut partial = self.partial.iter().copied().peekable();
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        (0_u32..)
            .zip(bytes.split(|byte| *byte == b'\n'))
            .map(move |(index, line)| {
                let is_partial = partial.next_if_eq(&index).is_some();
                (String::from_utf8_lossy(line), is_partial)
            })
    }
}

/// Is told what happens.
///
/// Its methods are awaited: while one has not returned, the engine does not read on, and the command
/// blocks on its pipe once that is full. Deadlines and cancellation work meanwhile. A panic ends the execution, which
/// has failed then.
#[async_trait]
pub trait EventHandler: Send + Sync {
    /// Is told of one event.
    async fn on_event(&self, event: ExecutionEvent);

    /// Is told of lines that were read together. By default each becomes an event of its own.
    async fn on_output(&self, batch: OutputBatch) {
        for event in batch.events() {
            self.on_event(event).await;
        }
    }

    /// Is told of bytes as they were read, before the lines that they complete. Only where [`EventHandler::wants_bytes`]
    /// says so.
    async fn on_bytes(&self, _chunk: OutputChunk) {}

    /// Whether bytes of this stream are wanted at present.
    fn wants_bytes(&self, _stream: OutputStream) -> bool {
        false
    }

    /// Whether [`EventHandler::on_event`] is to be told of a line that stays unfinished for 200 milliseconds.
    fn wants_unfinished(&self) -> bool {
        true
    }

    /// Whether lines of this stream are wanted at present. Where they are not, none are made.
    fn wants_output(&self, _stream: OutputStream) -> bool {
        true
    }

    /// Returns once whoever is told in the end could have taken what was told so far. For handlers that pass events on to
    /// a thread that may be busy with something else: as long as it is, it is not taken for one that is stuck.
    async fn reached(&self) {}

    /// Returns once everything that was told has been dealt with; awaited before an execution is settled.
    /// For handlers that pass events on through a queue.
    async fn flush(&self) {}
}
