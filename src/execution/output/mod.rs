//! What a command prints: read, kept, cut into lines, logged.

pub(crate) mod buffers;
pub(crate) mod capture;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod reader;
pub(crate) mod tail;
pub(crate) mod writer;
