//! The `PATH` of the user's login shell, once it was read: one for the life of the host.

use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;

/// `None` where there is no login shell.
static READ: OnceLock<Result<Option<OsString>, String>> = OnceLock::new();

pub(crate) fn is_known() -> bool {
    READ.get().is_some()
}

/// What was read, or why it could not be. The first stays.
pub(crate) fn set(read: Result<Option<OsString>, String>) {
    let _ = READ.set(read);
}

/// What was read; `None` before, and where it could not be.
pub(crate) fn path() -> Option<&'static OsStr> {
    READ.get()?.as_ref().ok()?.as_deref()
}

/// Why it could not be read.
pub(crate) fn problem() -> Option<&'static str> {
    READ.get()?.as_ref().err().map(String::as_str)
}
