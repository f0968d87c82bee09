//! What a command prints: read, kept, cut into lines, logged.

mod ansi;
pub(crate) mod buffers;
pub(crate) mod capture;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod order;
pub(crate) mod reader;
pub(crate) mod tail;
mod writer;
