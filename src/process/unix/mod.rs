//! Starting a process with its pipes, and watching it without `SIGCHLD`.
//!
//! Never `fork`: it copies page tables, about 32 us for each MiB of the host. Never `SIGCHLD`: Node's event
//! loop replaces the handler without chaining. Never `waitpid(-1)`: it would steal the host's children.

mod child;
mod directory;
pub(crate) mod escapees;
pub(super) mod exec_args;
pub(crate) mod files;
pub(crate) mod guardian;
mod input;
mod leader;
mod looker;
pub(super) mod passwd;
pub(super) mod pipe;
pub(super) mod process_scan;
pub(crate) mod program;
mod reads;
pub(super) mod signal;
pub(crate) mod tree;

use std::ffi::{CString, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::environment::Assignment;
#[cfg(not(target_os = "macos"))]
use super::linux as system;
#[cfg(target_os = "macos")]
use super::macos as system;
use super::scarcity::{self, Share};
use super::{
    CpuTime, Exit, ExitStatus, Invocation, OpenedFiles, Outlet, SpawnError, Stdin, open_files,
};
pub(crate) use child::Child;
use child::{Held, Leader};
pub(crate) use directory::{Directory, is_at};
use exec_args::ExecArgs;
pub(crate) use input::can_be_input;
pub(crate) use pipe::{PipeReader, PipeWriter};
use pipe::{pipe, set_nonblocking};
use program::is_executable;
pub(crate) use signal::{can_ask_with, signal_name};
pub(crate) use system::inherited_tags;

/// What `_exit` keeps of a number.
pub(crate) const MAX_EXIT_CODE: u64 = 255;
use system::{Entry, now, start};

/// Descriptors left to the host: a start that would reach into them waits for an execution to end.
const HEADROOM: usize = 16;

/// A process that was started, not yet known to a runtime.
#[derive(Debug)]
pub(crate) struct Spawned {
    held: Held,
    stdin: Option<OwnedFd>,
    /// Where standard output and standard error are read, as far as they are.
    outputs: [Option<OwnedFd>; 2],
    /// The files that they are written to.
    pub files: OpenedFiles,
    pidfd: Option<OwnedFd>,
    share: Share,
}

/// Starts a process: own session and group, default signal dispositions, an empty signal mask, no descriptors
/// but the three. Blocks until the child has executed its program.
pub(crate) fn spawn(invocation: &Invocation) -> Result<Spawned, SpawnError> {
    looker::prepare();
    if invocation.guarded {
        guardian::ensure();
    }
    // The input first: a command that cannot have that leaves the files as they are.
    let (stdin, child_stdin) = open_input(&invocation.stdin)?;
    let files = open_files(&invocation.outlets)?;
    let pipe_if = |wanted: bool| wanted.then(pipe).transpose();
    let [stdout, stderr] = &invocation.outlets;
    let to_stdout = *stderr == Outlet::Stdout;
    let stdout = pipe_if(stdout.has_pipe())?;
    let stderr = pipe_if(stderr.has_pipe())?;
    let latest = stderr.as_ref().or(stdout.as_ref()).map(|pipe| &pipe.read);
    if let Some(latest) = latest.or(child_stdin.as_ref()) {
        check_headroom(latest)?;
    }
    let child_ends = [
        child_stdin.as_ref(),
        stdout.as_ref().map(|pipe| &pipe.write),
        if to_stdout { &stdout } else { &stderr }
            .as_ref()
            .map(|pipe| &pipe.write),
    ];
    #[cfg(not(target_os = "macos"))]
    give_to(invocation, child_ends);
    let child_ends = child_ends.map(|end| end.map(AsRawFd::as_raw_fd));
    let started = now();
    let entry = invocation
        .guarded
        .then(|| Entry::new(invocation.serial, started));
    let args = ExecArgs::new(invocation, child_ends, entry.as_ref())?;
    let (pid, pidfd) = start_patiently(&args).map_err(|error| explained(invocation, error))?;
    if let Some(entry) = &entry {
        entry.set_group(pid, args.is_entered());
    }
    let leader = Leader {
        pid,
        serial: invocation.serial,
        started,
        entry: entry.map(Arc::new),
    };
    #[cfg(target_os = "macos")]
    if invocation.guarded {
        leader.signal_group(libc::SIGCONT);
    }
    let held = Held { leader, exit: None };
    let outputs = [stdout, stderr].map(|pipe| pipe.map(|pipe| pipe.read));
    for end in stdin.iter().chain(outputs.iter().flatten()) {
        set_nonblocking(end)?;
    }
    Ok(Spawned {
        stdin,
        outputs,
        files,
        pidfd,
        share: Share::take(invocation.files),
        held,
    })
}

/// The end of a pipe to which the host writes, if it does, and what the child reads.
fn open_input(stdin: &Stdin) -> Result<(Option<OwnedFd>, Option<OwnedFd>), SpawnError> {
    match stdin {
        Stdin::Nothing => Ok((None, None)),
        Stdin::Pipe => {
            let pipe = pipe()?;
            Ok((Some(pipe.write), Some(pipe.read)))
        }
        Stdin::File(path) => match input::open(path) {
            Ok(file) => Ok((None, Some(file))),
            Err(error) if is_scarce(&error) => Err(SpawnError::Scarce(error)),
            Err(error) => {
                let about = format!("its input \"{}\": {error}", path.display());
                Err(SpawnError::Failed(io::Error::new(error.kind(), about)))
            }
        },
    }
}

/// Lets another user open its own ends again, as `/dev/stdout`. Where that cannot be, it is only that which fails.
#[cfg(not(target_os = "macos"))]
fn give_to(invocation: &Invocation, ends: [Option<&OwnedFd>; 3]) {
    let Some(account) = &invocation.attributes.account else {
        return;
    };
    let is_file = matches!(invocation.stdin, Stdin::File(_));
    // A file is not given away.
    for end in ends.into_iter().skip(usize::from(is_file)).flatten() {
        // SAFETY: the descriptor is open.
        unsafe { libc::fchown(end.as_raw_fd(), account.ids.user, account.ids.group) };
    }
}

/// A text file that another thread of some process still has open for writing is refused for a moment: when
/// a script was written just before, and a fork elsewhere holds a copy of its descriptor.
fn start_patiently(args: &ExecArgs<'_>) -> io::Result<(libc::pid_t, Option<OwnedFd>)> {
    let mut pause = Duration::from_millis(1);
    loop {
        match start(args) {
            Err(error)
                if error.raw_os_error() == Some(libc::ETXTBSY)
                    && pause < Duration::from_millis(100) =>
            {
                std::thread::sleep(pause);
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
}

/// Says what was wrong, where the answer of the system would blame the program for it.
fn explained(invocation: &Invocation, error: io::Error) -> io::Error {
    let user = invocation.attributes.account.as_ref();
    let user = user.map(|account| account.name.as_os_str());
    let about = match (error.raw_os_error(), &invocation.working_dir) {
        (Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES), Some(dir)) if !is_executable(dir) => {
            format!("its working directory \"{}\"", dir.display())
        }
        (Some(libc::EACCES), _) if user.is_some() => {
            let name = user.unwrap_or_default().display();
            format!("user \"{name}\" may not execute it, or not enter its directory")
        }
        (Some(libc::ENOENT), _) if invocation.program.exists() => {
            "the interpreter or loader that it names".into()
        }
        (Some(libc::ENOEXEC), _) => {
            "it is neither a program for this system nor a script that begins with #!".into()
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{about}: {error}"))
}

fn check_headroom(latest: &OwnedFd) -> Result<(), SpawnError> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` has room for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) } != 0 {
        return Ok(());
    }
    // SAFETY: the call succeeded, so it is filled in.
    let limit = usize::try_from(unsafe { limit.assume_init() }.rlim_cur).unwrap_or(usize::MAX);
    let reach = usize::try_from(latest.as_raw_fd()).unwrap_or(0);
    if scarcity::others_live() && reach + scarcity::promised_files() + HEADROOM > limit {
        return Err(SpawnError::Scarce(io::Error::from_raw_os_error(
            libc::EMFILE,
        )));
    }
    Ok(())
}

/// Whether these are the variables of this process, in their order.
///
/// To be asked on the thread that changes them: a change on another one meanwhile is a race, as for `getenv`.
#[cfg(feature = "node")]
pub(crate) fn has_variables(variables: &[Assignment]) -> bool {
    use std::ffi::{CStr, c_char};
    use std::os::unix::ffi::OsStrExt;

    #[cfg(not(target_os = "macos"))]
    let mut next = {
        unsafe extern "C" {
            static environ: *const *const c_char;
        }
        // SAFETY: the pointer itself is changed by the thread that calls this, if at all.
        unsafe { environ }
    };
    // A library of macOS has no such symbol.
    #[cfg(target_os = "macos")]
    // SAFETY: as above.
    let mut next: *const *const c_char = unsafe { *libc::_NSGetEnviron() }.cast();
    if next.is_null() {
        return variables.is_empty();
    }
    for variable in variables {
        // SAFETY: a list of strings that ends with null, which has not been reached.
        let found = unsafe { *next };
        if found.is_null() {
            return false;
        }
        // SAFETY: a string of that list.
        let found = unsafe { CStr::from_ptr(found) };
        if found.to_bytes_with_nul() != variable.with_nul().as_bytes() {
            return false;
        }
        // SAFETY: there is one more behind each that is not null.
        next = unsafe { next.add(1) };
    }
    // SAFETY: as above.
    unsafe { *next }.is_null()
}

/// Starts a helper of the engine itself, with what becomes its standard input and output; `None`: the null device.
pub(in crate::process) fn spawn_helper(
    words: Vec<CString>,
    input: Option<&OwnedFd>,
    output: Option<&OwnedFd>,
    variables: &[Assignment],
) -> io::Result<libc::pid_t> {
    let stdio = [input, output, None].map(|end| end.map(AsRawFd::as_raw_fd));
    start(&ExecArgs::helper(words, variables, stdio)?).map(|(pid, _)| pid)
}

/// A pipe for a helper: what it reads, and the end that dies with this process.
pub(in crate::process) fn helper_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    pipe().map(|pipe| (pipe.read, pipe.write))
}

pub(in crate::process) fn check(code: c_int) -> io::Result<c_int> {
    if code == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(code)
    }
}

/// Blocks until a child of this process has ended, and takes its status.
pub(in crate::process) fn reap(pid: libc::pid_t) -> ExitStatus {
    reap_with_time(pid).status
}

/// The same, with the processor time of the child and of those that it has waited for. Of its memory nothing is taken: a
/// child that began in the memory of the host is told to have used that at least.
fn reap_with_time(pid: libc::pid_t) -> Exit {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both have room for the answer.
    while unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } != pid {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Exit::without_time(ExitStatus::Lost);
        }
    }
    // SAFETY: zeroed above, and filled in by the call.
    let usage = unsafe { usage.assume_init() };
    let status = if libc::WIFSIGNALED(status) {
        ExitStatus::Signal(libc::WTERMSIG(status))
    } else {
        ExitStatus::Code(i64::from(libc::WEXITSTATUS(status)))
    };
    let cpu = CpuTime {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
    };
    Exit {
        status,
        cpu: Some(cpu),
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// Takes the status of a child that is dead, which nobody else asks for.
fn reap_if_dead(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: `status` has room for the answer.
    unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
}

/// Whether it is a lack of descriptors, processes or memory, which may pass.
pub(crate) fn is_scarce(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM | libc::ENOBUFS)
    )
}
