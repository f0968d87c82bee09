//! What is read from the log of an execution.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::api::event::OutputStream;

/// An entry of a log: a line, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogLine {
    /// The stream that it was printed to.
    pub stream: OutputStream,
    /// The line, or the piece of it, without its end. Invalid UTF-8 becomes U+FFFD.
    pub line: String,
    /// When its last byte was read; of what nobody finished, when it was written to the log.
    pub timestamp: DateTime<Utc>,
    /// Where the next entry begins in the log, in bytes: what to pass as `from` to go on after this one.
    pub offset: u64,
    /// `false` for a piece that is not the last one of its line. Pieces are not joined. A line comes in pieces if it is
    /// longer than 16 KiB, or if nobody finished it for a second.
    pub complete: bool,
}

/// Some entries of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogPage {
    /// The entries, in the order of the log.
    pub lines: Vec<LogLine>,
    /// Where the next page begins: what to pass as `from` for it.
    pub next: u64,
    /// Whether the execution has ended, and no entry follows.
    pub ended: bool,
}
