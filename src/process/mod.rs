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
pub(crate) mod first_poll;
#[cfg(all(unix, not(target_os = "macos")))]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
pub(crate) mod pool;
pub(crate) mod scarcity;
pub(crate) mod tag;
#[cfg(unix)]
mod unix;
pub(crate) mod watch;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

#[cfg(feature = "node")]
pub(crate) use system::has_variables;
pub(crate) use system::{
    Child, Directory, MAX_EXIT_CODE, PipeReader, PipeWriter, Spawned, can_ask_with, can_be_input,
    is_at, is_scarce, signal_name, spawn,
};
pub(crate) use system::{escapees, files, guardian, program, tree};

#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) use linux::account;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
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
    pub stdin: Stdin,
    #[cfg_attr(windows, expect(dead_code, reason = "refused before"))]
    pub attributes: Attributes,
    /// Where its standard output and its standard error lead.
    pub outlets: [Outlet; 2],
    /// What its tag holds.
    #[cfg_attr(windows, expect(dead_code, reason = "a job needs no tag"))]
    pub serial: u64,
    /// Whether the guardian is to end it when the host is gone.
    pub guarded: bool,
    /// How many files the execution may open while it runs.
    pub files: usize,
}

/// What a child reads.
#[derive(Debug)]
pub(crate) enum Stdin {
    /// The null device.
    Nothing,
    /// What the host writes.
    Pipe,
    /// A file, opened for each start.
    File(PathBuf),
}

/// What a child is, other than its host.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    #[cfg_attr(
        any(windows, target_os = "macos"),
        expect(dead_code, reason = "refused before")
    )]
    pub umask: Option<u32>,
    #[cfg_attr(
        any(windows, target_os = "macos"),
        expect(dead_code, reason = "refused before")
    )]
    pub nice: Option<i32>,
    /// `None` where it is that of the host.
    #[cfg_attr(windows, expect(dead_code, reason = "refused before"))]
    pub account: Option<Account>,
}

/// Whether a child can be given attributes here.
pub(crate) const HAS_ATTRIBUTES: bool = cfg!(all(unix, not(target_os = "macos")));

/// A user as the system knows it.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    #[cfg_attr(
        any(windows, target_os = "macos"),
        expect(dead_code, reason = "refused before")
    )]
    pub ids: AccountIds,
    pub name: OsString,
    pub home: OsString,
}

/// The numbers of a user and its groups.
#[derive(Debug, Clone)]
#[cfg_attr(
    any(windows, target_os = "macos"),
    expect(dead_code, reason = "refused before")
)]
pub(crate) struct AccountIds {
    pub user: u32,
    pub group: u32,
    /// All of them, that one included.
    pub groups: Vec<u32>,
}

/// The users of the system: here, where no command runs as another, none.
#[cfg(any(windows, target_os = "macos"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere they are asked for")]
pub(crate) mod account {
    use super::Account;

    pub(crate) fn by_name(_: &str) -> std::io::Result<Option<Account>> {
        Ok(None)
    }

    pub(crate) fn by_id(_: u32) -> std::io::Result<Option<Account>> {
        Ok(None)
    }

    pub(crate) fn is_of_host(_: &Account) -> bool {
        true
    }
}

/// Where an output stream of a command leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlet {
    /// Into a pipe, to be read.
    Pipe,
    /// Into a pipe, to be written to this file, which is emptied before the start.
    File(PathBuf),
    /// To the null device.
    Null,
    /// Where standard output leads.
    Stdout,
}

impl Outlet {
    /// Whether a pipe of its own is needed.
    fn has_pipe(&self) -> bool {
        matches!(self, Self::Pipe | Self::File(_))
    }
}

/// The files that the output streams are written to, where the request names any.
type OpenedFiles = [Option<(PathBuf, File)>; 2];

/// Opens the files that the streams are written to: before the start, as a command is not run for output that is lost.
fn open_files(outlets: &[Outlet; 2]) -> io::Result<OpenedFiles> {
    let mut files = [None, None];
    for (file, (outlet, name)) in files
        .iter_mut()
        .zip(outlets.iter().zip(["standard output", "standard error"]))
    {
        if let Outlet::File(path) = outlet {
            let opened = open_file(path).map_err(|error| {
                if is_scarce(&error) {
                    return error;
                }
                let shown = path.display();
                io::Error::new(error.kind(), format!("its {name} to \"{shown}\": {error}"))
            });
            *file = Some((path.clone(), opened?));
        }
    }
    Ok(files)
}

fn open_file(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        files::create_dirs(dir)?;
    }
    files::open_emptied(path)
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

/// How a process ended, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub status: ExitStatus,
    /// `None` where nobody knows it any more.
    pub cpu: Option<CpuTime>,
}

impl Exit {
    /// Of one whose end is not known, or has not come.
    pub fn without_time(status: ExitStatus) -> Self {
        Self { status, cpu: None }
    }
}

/// The processor time of a process and of those that it has waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuTime {
    pub user: Duration,
    pub system: Duration,
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
