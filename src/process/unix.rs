//! Starting a process with its pipes, and watching it without `SIGCHLD`.
//!
//! Never `fork`: it copies page tables, about 32 us for each MiB of the host. Never `SIGCHLD`: Node's event
//! loop replaces the handler without chaining. Never `waitpid(-1)`: it would steal the host's children.

use std::ffi::{CString, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use uuid::Uuid;

#[cfg(feature = "node")]
use super::environment::Assignment;
use super::image::Image;
use super::program::is_executable;
use super::scarcity::{self, Share};
use super::tree::Tree;
use super::{ExitStatus, Invocation, SpawnError, guardian};

#[cfg(not(target_os = "macos"))]
use super::clone::start;
#[cfg(target_os = "macos")]
use super::posix_spawn::start;

/// Descriptors left to the host: a start that would reach into them waits for an execution to end.
const HEADROOM: usize = 16;

/// A process that was started, not yet known to a runtime.
#[derive(Debug)]
pub(crate) struct Spawned {
    leader: Leader,
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
    pidfd: Option<OwnedFd>,
    share: Share,
}

/// Starts a process: own session and group, default signal dispositions, an empty signal mask, no descriptors
/// but the three. Blocks until the child has executed its program.
pub(crate) fn spawn(invocation: &Invocation) -> Result<Spawned, SpawnError> {
    if invocation.guarded {
        guardian::ensure();
    }
    let stdin = if invocation.stdin {
        Some(pipe()?)
    } else {
        None
    };
    let stdout = pipe()?;
    let stderr = pipe()?;
    check_headroom(&stderr.read)?;
    let child_ends = [
        stdin.as_ref().map(|p| &p.read),
        Some(&stdout.write),
        Some(&stderr.write),
    ];
    let child_ends = child_ends.map(|end| end.map(AsRawFd::as_raw_fd));
    let (pid, pidfd) = start_patiently(&Image::new(invocation, child_ends)?)
        .map_err(|error| explained(invocation, error))?;
    let leader = Leader { pid };
    #[cfg(target_os = "linux")]
    if invocation.guarded {
        super::groups::enter(pid);
    }
    #[cfg(target_os = "macos")]
    if invocation.guarded {
        super::darwin::enter(pid);
        leader.signal_group(libc::SIGCONT);
    }
    let stdin = stdin.map(|pipe| pipe.write);
    for end in [stdin.as_ref(), Some(&stdout.read), Some(&stderr.read)]
        .into_iter()
        .flatten()
    {
        set_nonblocking(end)?;
    }
    Ok(Spawned {
        stdin,
        stdout: stdout.read,
        stderr: stderr.read,
        pidfd,
        share: Share::take(invocation.files),
        leader,
    })
}

/// A text file that another thread of some process still has open for writing is refused for a moment: when
/// a script was written just before, and a fork elsewhere holds a copy of its descriptor.
fn start_patiently(image: &Image<'_>) -> io::Result<(libc::pid_t, Option<OwnedFd>)> {
    let mut pause = Duration::from_millis(1);
    loop {
        match start(image) {
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
    let about = match (error.raw_os_error(), &invocation.working_dir) {
        (Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES), Some(dir)) if !is_executable(dir) => {
            format!("its working directory \"{}\"", dir.display())
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

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

fn pipe() -> io::Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    #[cfg(target_os = "linux")]
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: as above.
    #[cfg(not(target_os = "linux"))]
    check(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
    // SAFETY: both were opened just now, and belong to nobody else.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok(Pipe {
        read: above_stdio(read)?,
        write: above_stdio(write)?,
    })
}

/// In a host whose own standard streams are closed, a pipe may take their numbers; the child's file actions
/// would then overwrite one end with the other. And what a host prints must not get into a file of the engine.
pub(super) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if cfg!(target_os = "linux") && fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: `fd` is open.
    let higher = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: it was opened just now.
    Ok(unsafe { OwnedFd::from_raw_fd(higher) })
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

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: `fd` is open. The flag is of this end alone: the child's end is another open file.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
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

/// Starts a helper of the engine itself: its standard input is given, and what it finds behind descriptor 1, if anything;
/// its output is discarded.
pub(super) fn spawn_helper(
    words: Vec<CString>,
    input: &OwnedFd,
    file: Option<&OwnedFd>,
) -> io::Result<libc::pid_t> {
    let stdio = [Some(input), file, None].map(|end| end.map(AsRawFd::as_raw_fd));
    start(&Image::helper(words, stdio)).map(|(pid, _)| pid)
}

/// A pipe for a helper: what it reads, and the end that dies with this process.
pub(super) fn helper_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    pipe().map(|pipe| (pipe.read, pipe.write))
}

pub(super) fn open_pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: takes two numbers and returns a descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: opened just now; a descriptor fits its type.
        #[expect(clippy::cast_possible_truncation, reason = "a descriptor is an int")]
        Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
    }
    #[cfg(target_os = "macos")]
    {
        super::darwin::watch_exit(pid)
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = pid;
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// Signals the process behind the descriptor, and no other that may have its number by now. Returns false where that
/// cannot be done: there are systems, and filters of system calls, that let such a descriptor be opened but not used.
pub(super) fn signal_pidfd(pidfd: &OwnedFd, signal: c_int) -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the descriptor is open; no signal information is passed.
        let code = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                pidfd.as_raw_fd(),
                signal,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        code == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (pidfd, signal);
        false
    }
}

/// Signals all of a group at once. Its leader must not be reaped: its number may be another's from then on.
pub(super) fn signal_group(group: libc::pid_t, signal: c_int) {
    // SAFETY: takes two numbers. A group that is gone is no error.
    unsafe { libc::kill(-group, signal) };
}

pub(super) fn signal_process(pid: libc::pid_t, signal: c_int) {
    // SAFETY: takes two numbers. A process that is gone is no error.
    unsafe { libc::kill(pid, signal) };
}

/// The leader of a tree: not yet reaped, so its number and that of its group are its own.
///
/// Dropped unreaped, when the runtime ends before the execution or nothing ends the process, it is killed with its
/// group and reaped on a thread of its own.
#[derive(Debug)]
struct Leader {
    pid: libc::pid_t,
}

impl Leader {
    fn signal_group(&self, signal: c_int) {
        signal_group(self.pid, signal);
    }

    /// Whether it is dead; it stays a zombie.
    fn is_dead(&self) -> bool {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` has room for the answer; the flags leave the process a zombie.
        let code = unsafe { wait_for(self.pid, info.as_mut_ptr(), libc::WNOHANG) };
        if code != 0 {
            return io::Error::last_os_error().kind() != io::ErrorKind::Interrupted;
        }
        // SAFETY: zeroed above; the call fills it in or leaves it.
        unsafe { info.assume_init().si_pid() != 0 }
    }

    /// Takes the status of a dead leader; its number is free from here on.
    fn reap(self) -> ExitStatus {
        let pid = self.pid;
        #[cfg(target_os = "linux")]
        super::groups::leave(pid);
        #[cfg(target_os = "macos")]
        super::darwin::leave(pid);
        std::mem::forget(self);
        let mut status = 0;
        loop {
            // SAFETY: `status` has room for the answer.
            if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
                break;
            }
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return ExitStatus::Lost;
            }
        }
        if libc::WIFSIGNALED(status) {
            ExitStatus::Signal(libc::WTERMSIG(status))
        } else {
            ExitStatus::Code(i64::from(libc::WEXITSTATUS(status)))
        }
    }
}

/// # Safety
///
/// `info` must be null or have room for the answer.
unsafe fn wait_for(pid: libc::pid_t, info: *mut libc::siginfo_t, flags: c_int) -> c_int {
    let id = libc::id_t::try_from(pid).unwrap_or(0);
    // SAFETY: the caller answers for `info`.
    unsafe { libc::waitid(libc::P_PID, id, info, libc::WEXITED | libc::WNOWAIT | flags) }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.signal_group(libc::SIGKILL);
        let orphan = Leader { pid: self.pid };
        let reaper = std::thread::Builder::new()
            .name("escher-reaper".into())
            .stack_size(64 * 1024);
        // Without a thread it stays a zombie until the host ends, and harms nobody.
        let _ = reaper.spawn(move || orphan.reap());
    }
}

/// What tells that the leader is dead.
#[derive(Debug)]
enum ExitWatch {
    Pidfd(AsyncFd<OwnedFd>),
    /// No pidfd: an old kernel, a filter, or no descriptor. A thread waits; it ends with the process.
    Thread(oneshot::Receiver<()>),
    Dead,
}

/// A started process, watched by the runtime.
#[derive(Debug)]
pub(crate) struct Child {
    exit: ExitWatch,
    leader: Leader,
    _share: Share,
}

impl Spawned {
    pub fn pid(&self) -> u32 {
        self.leader.pid.unsigned_abs()
    }

    /// Makes the process known to the current runtime. If that fails, it is killed.
    pub fn adopt(self) -> io::Result<(Child, Option<PipeWriter>, [PipeReader; 2])> {
        let exit = watch(self.leader.pid, self.pidfd)?;
        let stdin = self.stdin.map(PipeWriter::new).transpose()?;
        let streams = [PipeReader::new(self.stdout)?, PipeReader::new(self.stderr)?];
        Ok((
            Child {
                exit,
                leader: self.leader,
                _share: self.share,
            },
            stdin,
            streams,
        ))
    }
}

fn watch(pid: libc::pid_t, pidfd: Option<OwnedFd>) -> io::Result<ExitWatch> {
    if let Some(pidfd) = pidfd
        && let Ok(pidfd) = register(pidfd, Interest::READABLE)
    {
        return Ok(ExitWatch::Pidfd(pidfd));
    }
    let (sender, exited) = oneshot::channel();
    std::thread::Builder::new()
        .name("escher-wait".into())
        .stack_size(64 * 1024)
        .spawn(move || {
            // SAFETY: no information is asked for.
            while unsafe { wait_for(pid, ptr::null_mut(), 0) } != 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
            let _ = sender.send(());
        })?;
    Ok(ExitWatch::Thread(exited))
}

impl Child {
    /// Resolves when the leader is dead. It is not reaped: its number, and that of its group, stay its own.
    pub async fn exited(&mut self) {
        match &mut self.exit {
            ExitWatch::Dead => {}
            ExitWatch::Thread(exited) => drop(exited.await),
            ExitWatch::Pidfd(pidfd) => loop {
                // A kernel queue does not tell of a death that was before, or while, the watch began.
                if cfg!(target_os = "macos") && self.leader.is_dead() {
                    break;
                }
                // An error means that the runtime shuts down: there is nobody left to tell.
                let Ok(mut ready) = pidfd.readable().await else {
                    break;
                };
                // A kernel queue may tell before there is a status; it tells once.
                if cfg!(target_os = "macos") || self.leader.is_dead() {
                    break;
                }
                ready.clear_ready();
            },
        }
        self.exit = ExitWatch::Dead;
    }

    /// What belongs to the execution besides the leader; without a mark, what has left the group is let go.
    pub fn tree(&self, mark: Option<Uuid>) -> Tree {
        Tree {
            group: Some(self.leader.pid),
            mark,
        }
    }

    /// Asks the group to end. Stopped processes are continued, so that they can.
    pub fn ask_group(&self) {
        self.leader.signal_group(libc::SIGTERM);
        self.leader.signal_group(libc::SIGCONT);
    }

    pub fn kill_group(&self) {
        self.leader.signal_group(libc::SIGKILL);
    }

    /// Whether a dead leader may have left company in its group.
    pub fn may_have_company(&self) -> bool {
        may_have_company(self.leader.pid)
    }

    pub fn pid(&self) -> i32 {
        self.leader.pid
    }

    /// Takes the status of the dead leader.
    pub fn reap(self) -> ExitStatus {
        self.leader.reap()
    }
}

/// Whether a dead leader, not yet reaped, may have left company in its group.
///
/// Looking through all processes at each exit would cost milliseconds. So the dead leader, which no longer
/// minds, is given the lowest priority, and its group is asked for its highest: if that is the lowest
/// too, the leader is alone. Wherever this does not work, the answer is yes, and the caller looks.
pub(super) fn may_have_company(leader: libc::pid_t) -> bool {
    const LOWEST: c_int = 19;
    let who = leader.unsigned_abs();
    // SAFETY: these take numbers. The leader is not reaped, so the number and the group are its own.
    let highest = unsafe {
        if libc::setpriority(libc::PRIO_PROCESS, who, LOWEST) != 0 {
            return true;
        }
        libc::getpriority(libc::PRIO_PGRP, who)
    };
    // A host that runs at the lowest priority itself has children that do, too.
    highest != LOWEST || own_priority() == LOWEST
}

fn own_priority() -> c_int {
    // SAFETY: takes two numbers.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// The end of a pipe from which the output of a command is read.
#[derive(Debug)]
pub(crate) struct PipeReader(AsyncFd<OwnedFd>);

impl PipeReader {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        register(fd, Interest::READABLE).map(Self)
    }

    /// Resolves when there is something to read, or the end.
    pub async fn readable(&self) {
        // An error means that the runtime shuts down; the read that follows finds out.
        drop(
            self.0
                .readable()
                .await
                .map(|mut ready| ready.retain_ready()),
        );
    }

    /// Appends what is there, at most that many bytes: `None` if nothing is, 0 bytes at the end.
    pub fn try_read(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<Option<usize>> {
        buffer.reserve(most);
        let read = self.0.try_io(Interest::READABLE, |fd| {
            let room = buffer.spare_capacity_mut().as_mut_ptr().cast();
            // SAFETY: the descriptor is open, and there is room for that many bytes.
            let n = unsafe { libc::read(fd.as_raw_fd(), room, most) };
            let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
            // SAFETY: that many bytes were written behind those that were there.
            unsafe { buffer.set_len(buffer.len() + n) };
            Ok(n)
        });
        match read {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for a larger pipe; a refusal leaves it as it is.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::unused_self, reason = "a pipe grows on Linux only")
    )]
    pub fn grow(&self, size: c_int) {
        #[cfg(target_os = "linux")]
        // SAFETY: the descriptor is open.
        unsafe {
            libc::fcntl(self.0.as_raw_fd(), libc::F_SETPIPE_SZ, size);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = size;
    }
}

/// The end of a pipe to which the input of a command is written.
#[derive(Debug)]
pub(crate) struct PipeWriter(AsyncFd<OwnedFd>);

impl PipeWriter {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        #[cfg(target_os = "macos")]
        super::darwin::hold_sigpipe(&fd);
        register(fd, Interest::WRITABLE).map(Self)
    }

    /// Writes all of it, then closes the pipe. A command that does not read to the end is no error.
    pub async fn write_all(self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let written = self
                .0
                .async_io(Interest::WRITABLE, |fd| write_quietly(fd, bytes));
            match written.await {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Writes to a pipe. Where nobody reads any more, that is an error and no signal: the host may have left `SIGPIPE` at
/// its default, as programs do that print into pipes, and would be ended by it.
fn write_quietly(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(not(target_os = "macos"))]
    let _held = HeldSignal::hold(libc::SIGPIPE);
    // SAFETY: the descriptor is open, and the bytes live through the call.
    let n = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// A signal that does not reach this thread while this lives, and is forgotten then.
#[cfg(not(target_os = "macos"))]
struct HeldSignal {
    signal: c_int,
    mask_before: libc::sigset_t,
    was_pending: bool,
}

#[cfg(not(target_os = "macos"))]
impl HeldSignal {
    fn hold(signal: c_int) -> Self {
        let mut pending = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: the sets have room, and are filled in by calls that do not fail for these arguments.
        unsafe {
            libc::sigpending(pending.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_BLOCK, &set_of(signal), before.as_mut_ptr());
            Self {
                signal,
                mask_before: before.assume_init(),
                was_pending: libc::sigismember(pending.as_ptr(), signal) == 1,
            }
        }
    }
}

#[cfg(not(target_os = "macos"))]
impl Drop for HeldSignal {
    fn drop(&mut self) {
        let mut pending = MaybeUninit::uninit();
        let mut taken = 0;
        // SAFETY: the sets are initialized or have room. A signal that is pending is taken without waiting.
        unsafe {
            libc::sigpending(pending.as_mut_ptr());
            if !self.was_pending && libc::sigismember(pending.as_ptr(), self.signal) == 1 {
                libc::sigwait(&set_of(self.signal), &raw mut taken);
            }
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.mask_before,
                ptr::null_mut(),
            );
        }
    }
}

#[cfg(not(target_os = "macos"))]
fn set_of(signal: c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set has room, and is initialized before it is added to.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

/// Makes a descriptor known to the current runtime.
pub(super) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same, until its owner is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

pub(super) fn check(code: c_int) -> io::Result<c_int> {
    if code == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(code)
    }
}

/// Blocks until a helper has ended, and reaps it.
pub(super) fn wait_helper(pid: libc::pid_t) {
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } != pid
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// Whether it is a lack of descriptors, processes or memory, which may pass.
pub(crate) fn is_scarce(error: &io::Error) -> bool {
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
        libc::SIGIO => "SIGIO",
        libc::SIGSYS => "SIGSYS",
        #[cfg(target_os = "linux")]
        libc::SIGSTKFLT => "SIGSTKFLT",
        #[cfg(target_os = "linux")]
        libc::SIGPWR => "SIGPWR",
        other => return format!("SIG{other}"),
    };
    name.to_owned()
}

// Elsewhere the pipe is told once.
#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_did_not_ignore_sigpipe_is_not_ended_by_input_that_nobody_reads() {
        // SAFETY: takes numbers; what was set before is set again.
        let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let pipe = pipe().expect("a pipe");
        drop(pipe.read);
        let error = write_quietly(&pipe.write, b"input").expect_err("nobody reads");
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, before) };
    }
}
