//! What a command prints: read, kept, cut into lines, logged.

mod ansi;
pub(crate) mod buffers;
pub(crate) mod capture;
mod entries;
pub(crate) mod follow;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod log_dir;
pub(crate) mod log_files;
pub(crate) mod order;
pub(crate) mod page;
pub(crate) mod reader;
mod retention;
pub(crate) mod tail;
pub(crate) mod writer;
