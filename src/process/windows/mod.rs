//! Starting a process with `CreateProcess`, inside a Job Object, and watching it by its handle.
//!
//! The job is given with the start, so there is no moment in which the process is outside of it. The job is the
//! tree: whatever the process starts is in it, and it ends as one. It ends with the host too, whose end closes its
//! last handle.

pub(crate) mod escapees;
pub(crate) mod files;
mod job;
mod pipe;
pub(crate) mod program;
mod startup;
pub(crate) mod tree;
mod wait;

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, OwnedHandle, RawHandle};
use std::path::Path;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    ERROR_COMMITMENT_LIMIT, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY,
    ERROR_NOT_ENOUGH_QUOTA, ERROR_OUTOFMEMORY, ERROR_TOO_MANY_OPEN_FILES, WAIT_OBJECT_0,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows_sys::Win32::System::Threading::{GetExitCodeProcess, WaitForSingleObject};

use super::environment::Assignment;
use super::scarcity::Share;
use super::{
    Exit, ExitStatus, Invocation, OpenedFiles, Outlet, SpawnError, Stdin, StopSignal, open_files,
};
use job::Job;
pub(crate) use pipe::{PipeReader, PipeWriter};
use tree::Tree;
use wait::ExitWait;

/// What ends the processes when the host is gone: on Windows, the jobs themselves.
pub(crate) mod guardian {
    /// Whether nothing can outlive the host.
    pub(crate) fn is_available() -> bool {
        true
    }

    /// Why the guardian cannot be had at present.
    #[cfg(feature = "node")]
    pub(crate) fn problem() -> Option<String> {
        None
    }
}

/// A directory that is held on to. Windows has no need of it: it lets nobody remove or rename the directory of a process.
#[derive(Debug)]
pub(crate) enum Directory {}

impl Directory {
    pub fn current() -> Option<Self> {
        None
    }

    #[cfg(feature = "node")]
    pub fn is_current(&self) -> bool {
        match *self {}
    }
}

/// Whether a child gets to this directory of the host by staying where the host is. The host may have gone elsewhere.
pub(crate) fn is_at(dir: &Path) -> bool {
    dir.as_os_str().is_empty()
}

/// The exit code of what is killed with its job: nobody else's, so that a kill can be told from an exit.
const KILLED: u32 = 0xE5C4_0009;

/// The number that stands for being killed where there are no signals, as in Node.
const SIGKILL: i32 = 9;

/// A process that was started, not yet known to a runtime.
#[derive(Debug)]
pub(crate) struct Spawned {
    leader: Leader,
    stdin: Option<OwnedHandle>,
    /// Where standard output and standard error are read, as far as they are.
    outputs: [Option<OwnedHandle>; 2],
    /// The files that they are written to.
    pub files: OpenedFiles,
    share: Share,
}

/// Starts a process: in a job of its own, with a console that has no window, and no handles but the three.
pub(crate) fn spawn(invocation: &Invocation) -> Result<Spawned, SpawnError> {
    let job = Job::new(invocation.guarded)?;
    let (stdin, child_stdin) = match &invocation.stdin {
        Stdin::Nothing => (None, pipe::null_to_read()?),
        Stdin::Pipe => {
            let (ours, childs) = pipe::to_child()?;
            (Some(ours), childs)
        }
        Stdin::File(path) => {
            let file = pipe::file(path).map_err(|error| {
                let about = format!("its input \"{}\": {error}", path.display());
                io::Error::new(error.kind(), about)
            })?;
            (None, file)
        }
    };
    // The input first: a command that cannot have that leaves the files as they are.
    let files = open_files(&invocation.outlets)?;
    let [stdout, stderr] = &invocation.outlets;
    let (stdout, child_stdout) = output(stdout)?;
    let (stderr, child_stderr) = match stderr {
        Outlet::Stdout => (None, None),
        outlet => {
            let (ours, childs) = output(outlet)?;
            (ours, Some(childs))
        }
    };
    let child_stderr = child_stderr.as_ref().unwrap_or(&child_stdout);
    let (process, pid) = startup::create_process(
        invocation,
        [&child_stdin, &child_stdout, child_stderr],
        &job,
    )?;
    Ok(Spawned {
        leader: Leader {
            process,
            pid,
            job: Arc::new(job),
            is_dead: false,
        },
        stdin,
        outputs: [stdout, stderr],
        files,
        share: Share::take(invocation.files),
    })
}

/// The end that is read of an output stream, if it is, and that of the child.
fn output(outlet: &Outlet) -> io::Result<(Option<OwnedHandle>, OwnedHandle)> {
    if outlet.has_pipe() {
        let (ours, childs) = pipe::from_child()?;
        return Ok((Some(ours), childs));
    }
    Ok((None, pipe::null_to_write()?))
}

/// The first process of a tree.
///
/// Dropped before its end, when the runtime ends before the execution, it is killed with its tree.
#[derive(Debug)]
struct Leader {
    process: OwnedHandle,
    pid: u32,
    job: Arc<Job>,
    is_dead: bool,
}

impl Leader {
    fn has_ended(&self) -> bool {
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObject(self.process.as_raw_handle(), 0) == WAIT_OBJECT_0 }
    }

    fn status(&self) -> ExitStatus {
        let mut code = 0;
        // SAFETY: the handle is open, and `code` has room for the answer.
        if unsafe { GetExitCodeProcess(self.process.as_raw_handle(), &raw mut code) } == 0 {
            return ExitStatus::Lost;
        }
        if code == KILLED {
            ExitStatus::Signal(SIGKILL)
        } else {
            ExitStatus::Code(i64::from(code))
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_dead {
            self.job.terminate();
        }
    }
}

/// A started process, watched by the runtime.
#[derive(Debug)]
pub(crate) struct Child {
    exit: ExitWait,
    leader: Leader,
    _share: Share,
}

impl Spawned {
    pub fn pid(&self) -> u32 {
        self.leader.pid
    }

    /// Makes the process known to the current runtime. If that fails, it is killed.
    pub fn adopt(self) -> io::Result<(Child, Option<PipeWriter>, [Option<PipeReader>; 2])> {
        let exit = ExitWait::new(self.leader.process.try_clone()?)?;
        let stdin = self.stdin.map(PipeWriter::new).transpose()?;
        let reader = |end: Option<OwnedHandle>| end.map(PipeReader::new).transpose();
        let [stdout, stderr] = self.outputs;
        let streams = [reader(stdout)?, reader(stderr)?];
        let child = Child {
            exit,
            leader: self.leader,
            _share: self.share,
        };
        Ok((child, stdin, streams))
    }
}

impl Child {
    /// Resolves when the leader is dead. Its number stays its own, as long as its handle is open.
    pub async fn exited(&mut self) {
        self.exit.done().await;
    }

    /// Whether the leader is dead, although that may not have been told yet.
    pub fn is_dead(&self) -> bool {
        self.leader.has_ended()
    }

    /// What belongs to the execution besides the leader.
    pub fn tree(&self) -> Tree {
        Tree {
            job: Arc::clone(&self.leader.job),
            leader: self.leader.pid,
        }
    }

    /// Whether a dead leader has left others in its job, and what belongs to the execution.
    pub fn leave(&mut self) -> (bool, Tree) {
        let has_company = !self.leader.job.members(self.leader.pid).is_empty();
        (has_company, self.tree())
    }

    /// Leaves alone what the dead leader has left running, also at the end of the host.
    pub fn let_go(&mut self) {
        self.leader.job.let_go();
    }

    pub fn pid(&self) -> i32 {
        self.leader.pid.cast_signed()
    }

    /// How the dead leader has ended, with the processor time of all that was in its job.
    pub fn reap(mut self) -> Exit {
        self.leader.is_dead = true;
        Exit {
            status: self.leader.status(),
            cpu: self.leader.job.cpu_time(),
        }
    }
}

/// Whether a command can be given it to read.
pub(crate) fn can_be_input(found: &std::fs::Metadata) -> bool {
    !found.is_dir()
}

/// Whether it is a lack of handles or memory, which may pass.
pub(crate) fn is_scarce(error: &io::Error) -> bool {
    let Some(code) = error.raw_os_error() else {
        return false;
    };
    matches!(
        code.cast_unsigned(),
        ERROR_TOO_MANY_OPEN_FILES
            | ERROR_NOT_ENOUGH_MEMORY
            | ERROR_OUTOFMEMORY
            | ERROR_NO_SYSTEM_RESOURCES
            | ERROR_COMMITMENT_LIMIT
            | ERROR_NOT_ENOUGH_QUOTA
    )
}

/// The name of a signal. There is one: that of a kill.
pub(crate) fn signal_name(_: i32) -> String {
    "SIGKILL".to_owned()
}

pub(crate) const MAX_EXIT_CODE: u64 = u32::MAX as u64;

/// Whether a request may name this signal: nothing is asked here, so none but that which stands for the default.
pub(crate) fn can_ask_with(signal: StopSignal) -> bool {
    signal == StopSignal::Terminate
}

/// Whether these are the variables of this process, in their order.
#[cfg(feature = "node")]
pub(crate) fn has_variables(variables: &[Assignment]) -> bool {
    let now = std::env::vars_os().map(|(name, value)| Assignment::new(&name, &value));
    let mut before = variables.iter();
    let mut now = now.into_iter();
    loop {
        match (before.next(), now.next()) {
            (None, None) => return true,
            (Some(before), Some(now)) if before.with_nul() == now.with_nul() => {}
            _ => return false,
        }
    }
}

/// The tags of the engines around this host: jobs need none.
pub(crate) fn inherited_tags() -> Vec<Assignment> {
    Vec::new()
}

/// The text as Windows wants it, with a NUL at its end.
fn wide(text: &OsStr) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = text.encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a text with a NUL in it",
        ));
    }
    wide.push(0);
    Ok(wide)
}

/// The size of what a call is given.
fn size_of_all<T: ?Sized>(given: &T) -> u32 {
    u32::try_from(size_of_val(given)).unwrap_or(u32::MAX)
}

/// Attributes of what is made without others: whether it is inherited, and who may use it; null for the usual ones.
fn attributes(descriptor: PSECURITY_DESCRIPTOR, is_inherited: bool) -> SECURITY_ATTRIBUTES {
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: 0,
        lpSecurityDescriptor: descriptor,
        bInheritHandle: is_inherited.into(),
    };
    attributes.nLength = size_of_all(&attributes);
    attributes
}

/// For calls that return zero where they fail.
fn check(success: i32) -> io::Result<()> {
    if success == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// For calls that return a handle, or one that is none.
fn check_handle(handle: RawHandle) -> io::Result<OwnedHandle> {
    use std::os::windows::io::HandleOrInvalid;
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was returned just now and belongs to nobody else, or is the invalid one.
    let handle = unsafe { HandleOrInvalid::from_raw_handle(handle) };
    OwnedHandle::try_from(handle).map_err(|_| io::Error::last_os_error())
}
