//! The operating system, behind one small interface: start a process, watch it, signal its tree, find what
//! is left of it.
//!
//! A process is started by [`spawn`] on a thread of a [`pool`], and adopted by the runtime as a [`Child`].
//!
//! On Unix its tree is told by group, session, parents and time of start, and by its [`tag`] where it has become an
//! orphan; [`guardian`] ends everything when the host is gone. On Windows its tree is a Job Object, which also ends
//! with the host. What the two systems have in common is here, under the same names.
#![expect(
    unsafe_code,
    reason = "the operating system is called here, and only here and in the Node binding"
)]

pub(crate) mod environment;
#[cfg(all(unix, not(target_os = "macos")))]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
pub(crate) mod pool;
pub(crate) mod scarcity;
pub(crate) mod tag;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

#[cfg(feature = "node")]
pub(crate) use system::has_variables;
pub(crate) use system::{
    Child, Directory, MAX_EXIT_CODE, PipeReader, Spawned, can_ask_with, is_at, is_scarce,
    signal_name, spawn,
};
pub(crate) use system::{escapees, files, guardian, program, tree};

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use environment::Variables;

/// The variable that tells a command the id of its execution. Nothing else goes by it.
pub(crate) const EXECUTION_ID: &str = "ESCHER_EXECUTION_ID";

/// A command, resolved: just what the operating system is told.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The executable, found.
    pub program: PathBuf,
    /// The name it is called by, and its arguments.
    pub words: Vec<OsString>,
    pub variables: Variables,
    /// The directory that the child goes to first: that of the host at the call. `None`: where the host is at the start.
    #[cfg_attr(windows, expect(dead_code, reason = "there is never one"))]
    pub directory: Option<Arc<Directory>>,
    /// The path that it goes to from there, if any.
    pub working_dir: Option<PathBuf>,
    pub stdin: bool,
    /// What its tag holds.
    #[cfg_attr(windows, expect(dead_code, reason = "a job needs no tag"))]
    pub serial: u64,
    /// Whether the guardian is to end it when the host is gone.
    pub guarded: bool,
    /// How many files the execution may open while it runs.
    pub files: usize,
}

/// Why a process could not be started.
#[derive(Debug)]
pub(crate) enum SpawnError {
    /// Out of descriptors, processes or memory: it may work once an execution has ended.
    Scarce(io::Error),
    /// It will not work.
    Failed(io::Error),
}

impl SpawnError {
    pub fn error(&self) -> &io::Error {
        match self {
            Self::Scarce(error) | Self::Failed(error) => error,
        }
    }
}

impl From<io::Error> for SpawnError {
    fn from(error: io::Error) -> Self {
        if is_scarce(&error) {
            Self::Scarce(error)
        } else {
            Self::Failed(error)
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    Code(i64),
    Signal(i32),
    /// Another part of the host reaped it, or `SIGCHLD` is ignored; the kernel has no answer left.
    Lost,
    /// It did not end, although it was killed.
    Alive,
}

/// What asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    Terminate,
    Interrupt,
    HangUp,
    Quit,
}

/// How long a killed process may take to vanish, before it is told as one that survives: it is in an uninterruptible
/// sleep, or held by a debugger.
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// How the end of a tree went.
#[derive(Debug, Default)]
pub(crate) struct TreeEnd {
    /// There was something besides the leader.
    pub found: bool,
    /// Something had to be killed.
    pub forced: bool,
    /// Processes that could not be ended: they do not vanish although they were killed, or may not be signalled.
    pub survivors: Vec<i32>,
    /// It could not be found out whether there are others.
    pub is_unknown: bool,
}
