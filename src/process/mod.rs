//! The operating system, behind one small interface: start a process, watch it, signal its tree, find what
//! is left of it.
//!
//! A process is started by [`unix::spawn`] on a thread of a [`pool`], and adopted by the runtime as a
//! [`unix::Child`]. Its tree is its process group, and whatever else carries its mark in its environment;
//! [`sweep`] finds the latter. [`guardian`] ends everything when the host is gone.
#![expect(
    unsafe_code,
    reason = "the operating system is called here, and only here and in the Node door"
)]

pub(crate) mod environment;
pub(crate) mod files;
pub(crate) mod guardian;
pub(crate) mod pool;
pub(crate) mod scarcity;
pub(crate) mod sweep;
pub(crate) mod tree;
mod unix;

#[cfg(feature = "node")]
pub(crate) use unix::has_variables;
pub(crate) use unix::{Child, ExitStatus, PipeReader, SpawnError, Spawned, spawn};

use std::ffi::{CString, OsString};
use std::path::PathBuf;

use environment::Variables;

/// The variable that marks every process of an execution.
pub(crate) const EXECUTION_MARK: &str = "ESCHER_EXECUTION_ID";
/// The variable that marks every process that must not outlive this host.
pub(crate) const ENGINE_MARK: &str = "ESCHER_ENGINE_ID";

/// A command, resolved: just what the operating system is told.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The executable, found.
    pub program: PathBuf,
    /// The name it is called by, and its arguments.
    pub words: Vec<OsString>,
    pub variables: Variables,
    /// `None`: that of the host.
    pub working_dir: Option<PathBuf>,
    pub stdin: bool,
    /// Whether the guardian is to end it when the host is gone.
    pub guarded: bool,
    /// How many files the execution may open while it runs.
    pub files: usize,
}

/// Whether this user may execute the file.
pub(crate) fn is_executable(path: &std::path::Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: `path` is a NUL-terminated string that lives through the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) == 0 }
}

/// Whether it is a lack of descriptors, processes or memory, which may pass.
pub(crate) fn is_scarce(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM | libc::ENOBUFS)
    )
}

/// The name of a signal, such as `SIGTERM`.
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGSYS => "SIGSYS",
        #[cfg(target_os = "linux")]
        libc::SIGSTKFLT => "SIGSTKFLT",
        #[cfg(target_os = "linux")]
        libc::SIGPWR => "SIGPWR",
        other => return format!("SIG{other}"),
    };
    name.to_owned()
}
