//! Starting a program on Linux: what `posix_spawn` does there, without what that costs.
//!
//! The child runs in the memory of this process until it executes its program, and the thread that starts it waits
//! for that: nothing is copied, whatever memory the host has. The library's `posix_spawn` does the same, but maps a
//! stack each time, and unmaps it, of which every other processor is told; and it asks for each of 64 signals what is
//! done with it. Here each thread that starts keeps its stack, the kernel resets the signals, and the descriptor of
//! the process comes with the child. A start costs 451 us of processor time instead of 485, `true` itself included.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_long, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::roll::{GROUP_DIGITS, Place};
use crate::process::unix::exec_args::ExecArgs;
use crate::process::unix::signal::open_pidfd;
use crate::process::unix::{check, is_scarce, reap};
use crate::process::{Account, Attributes};

/// In 16 bytes, to which a stack is aligned: 64 KiB, of which the child was seen to use 1.
const STACK_LENGTH: usize = 4096;

const NULL_DEVICE: &CStr = c"/dev/null";

/// The first descriptor that a child must not inherit.
const FIRST_FOREIGN: RawFd = 3;

/// One bit for each signal of the kernel.
const ALL_SIGNALS: u64 = u64::MAX;

thread_local! {
    static STACK: UnsafeCell<Vec<u128>> = UnsafeCell::new(vec![0; STACK_LENGTH]);
}

/// What the child is to do, and how it failed.
struct Order<'a> {
    args: &'a ExecArgs<'a>,
    /// The signals whose dispositions it has to reset.
    reset: u64,
    /// What it has to close one by one, where the kernel cannot close all of them at once.
    inherited: Vec<RawFd>,
    failure: Option<Failure>,
}

/// Why the child could not execute its program.
#[derive(Clone, Copy)]
struct Failure {
    error: c_int,
    of: Part,
}

/// What of a start has failed: nobody would look for it in the program.
#[derive(Clone, Copy)]
enum Part {
    Program,
    NullDevice,
    Nice(i32),
    User,
}

impl Failure {
    /// Of the call that has failed just now.
    fn last() -> Self {
        Self {
            // SAFETY: it is that of the thread that waits for this child.
            error: unsafe { *libc::__errno_location() },
            of: Part::Program,
        }
    }

    fn of(self, of: Part) -> Self {
        Self { of, ..self }
    }

    fn into_error(self, args: &ExecArgs<'_>) -> io::Error {
        let error = io::Error::from_raw_os_error(self.error);
        if is_scarce(&error) {
            return error;
        }
        let part = match (self.of, account_of(args)) {
            (Part::NullDevice, _) => format!("\"{}\"", NULL_DEVICE.to_string_lossy()),
            (Part::Nice(nice), _) => format!("nice {nice}"),
            (Part::User, Some(account)) => {
                format!("user \"{}\"", account.name.display())
            }
            (Part::Program | Part::User, _) => return error,
        };
        io::Error::new(error.kind(), format!("{part}: {error}"))
    }
}

/// Starts a program in a session of its own, with default signal dispositions, an empty signal mask, and no
/// descriptors but the three. Blocks until the child has executed it.
pub(in crate::process) fn start(args: &ExecArgs<'_>) -> io::Result<(libc::pid_t, Option<OwnedFd>)> {
    let mut order = Order {
        args,
        reset: ignored_signals(),
        inherited: inherited(),
        failure: None,
    };
    let _held = account_of(args).map(|_| Dumpable::hold());
    let (pid, pidfd) = match clone_with_pidfd(&mut order) {
        Ok((pid, pidfd)) => (pid, Some(pidfd)),
        // An old kernel, a filter, or no descriptor to spare: it is started all the same.
        Err(error) if is_refusal(&error) => (clone(&mut order)?, None),
        Err(error) => return Err(error),
    };
    if let Some(failure) = order.failure {
        // It ends by itself, and its number is its own until it is reaped.
        reap(pid);
        return Err(failure.into_error(args));
    }
    Ok((pid, pidfd.or_else(|| open_pidfd(pid).ok())))
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::EMFILE | libc::ENFILE)
    )
}

/// No handler of the host is left in the child, so no signal can run one in the memory of the host.
fn clone_with_pidfd(order: &mut Order<'_>) -> io::Result<(libc::pid_t, OwnedFd)> {
    /// Of `linux/sched.h`, since Linux 5.5.
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    const FLAGS: u64 = (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64;

    let mut pidfd: c_int = -1;
    let pid = STACK.with(|stack| {
        let stack = stack.get();
        // SAFETY: the stack is that of this thread, which waits until the child has executed its program or has
        // ended, so that nothing else uses it. The order lives through the call, and this thread does not touch
        // it meanwhile. `pidfd` has room for a descriptor; the rest of the arguments may be zero.
        unsafe {
            let stack: &mut [u128] = &mut *stack;
            let mut arguments: libc::clone_args = std::mem::zeroed();
            arguments.flags = FLAGS | CLONE_CLEAR_SIGHAND;
            // Exposed, since it is written to through the number.
            arguments.pidfd = (&raw mut pidfd).expose_provenance() as u64;
            arguments.exit_signal = libc::SIGCHLD as u64;
            arguments.stack = stack.as_mut_ptr().expose_provenance() as u64;
            arguments.stack_size = size_of_val(stack) as u64;
            clone3(
                &raw const arguments,
                size_of_val(&arguments),
                run,
                ptr::from_mut(order).cast(),
            )
        }
    });
    if pid < 0 {
        #[expect(clippy::cast_possible_truncation, reason = "an error number is small")]
        return Err(io::Error::from_raw_os_error(-pid as c_int));
    }
    // SAFETY: the kernel has opened it just now.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a process number is an int"
    )]
    Ok((pid as libc::pid_t, pidfd))
}

/// The same on a kernel that does not reset signals: until the child has done so, all of them are blocked.
fn clone(order: &mut Order<'_>) -> io::Result<libc::pid_t> {
    order.reset = ALL_SIGNALS;
    let before = set_signal_mask(ALL_SIGNALS);
    let order = ptr::from_mut(order).cast();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let pid = STACK.with(|stack| {
        let stack = stack.get();
        // SAFETY: as above; the library wants the end of the stack.
        check(unsafe { libc::clone(run, (*stack).as_mut_ptr_range().end.cast(), flags, order) })
    });
    set_signal_mask(before);
    pid
}

/// Calls `clone3`; the child calls `run` with `order` on the stack that it was given, and never returns here.
/// Returns the number of the child, or a negative error number.
///
/// # Safety
///
/// The arguments must be those of a child with a stack of its own, which nothing else uses while the child
/// does; `order` must be what `run` expects.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[unsafe(naked)]
unsafe extern "C" fn clone3(
    arguments: *const libc::clone_args,
    size: usize,
    run: extern "C" fn(*mut c_void) -> c_int,
    order: *mut c_void,
) -> c_long {
    // The kernel keeps r8 and r9; rcx and r11 it does not.
    #[cfg(target_arch = "x86_64")]
    std::arch::naked_asm!(
        "mov r8, rdx",
        "mov r9, rcx",
        "mov eax, {number}",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:",
        "xor ebp, ebp",
        "mov rdi, r9",
        "call r8",
        "ud2",
        number = const libc::SYS_clone3,
    );
    #[cfg(target_arch = "aarch64")]
    std::arch::naked_asm!(
        "mov x9, x2",
        "mov x10, x3",
        "mov x8, {number}",
        "svc 0",
        "cbz x0, 2f",
        "ret",
        "2:",
        "mov x29, xzr",
        "mov x0, x10",
        "blr x9",
        "brk 1",
        number = const libc::SYS_clone3,
    )
}

/// Where the call was not written down, it is refused.
///
/// # Safety
///
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(
    _arguments: *const libc::clone_args,
    _size: usize,
    _run: extern "C" fn(*mut c_void) -> c_int,
    _order: *mut c_void,
) -> c_long {
    -c_long::from(libc::ENOSYS)
}

/// The life of the child before its program. It shares the memory of the host, so it makes system calls and nothing
/// else: it takes no lock, allocates nothing and cannot panic.
extern "C" fn run(order: *mut c_void) -> c_int {
    // SAFETY: the order lives, and is this child's alone, until the thread that started it goes on.
    let order = unsafe { &mut *order.cast::<Order<'_>>() };
    order.failure = Some(execute(order));
    // SAFETY: ends the child without running what the host has registered for its own end.
    unsafe { libc::_exit(127) }
}

/// Does what is to be done before, and executes the program. Returns why that failed.
fn execute(order: &Order<'_>) -> Failure {
    let args = order.args;
    reset_signals(order.reset);
    // SAFETY: these take numbers, and strings and lists that live through the calls.
    unsafe {
        // No controlling terminal: a prompt fails instead of hanging. And a group to signal.
        if libc::setsid() < 0 {
            return Failure::last();
        }
        if let Some(place) = args.place {
            enter(place);
        }
        for (target, source) in (0..).zip(args.stdio) {
            if let Err(failure) = connect(target, source) {
                return failure;
            }
        }
        // Before the directory is entered, which may hang with its file system: pipes of other executions, of which
        // this child has copies, must not be held open by it.
        let kept = args.directory().unwrap_or(FIRST_FOREIGN - 1);
        libc::syscall(libc::SYS_close_range, kept + 1, c_int::MAX, 0);
        if kept > FIRST_FOREIGN {
            libc::syscall(libc::SYS_close_range, FIRST_FOREIGN, kept - 1, 0);
        }
        for fd in &order.inherited {
            libc::close(*fd);
        }
        // Its descriptor is closed when the program is executed.
        if let Some(dir) = args.directory()
            && libc::fchdir(dir) < 0
        {
            return Failure::last();
        }
        // Before the directory that was asked for, into which the user may not be let.
        if let Some(attributes) = args.attributes
            && let Err(failure) = take_on(attributes)
        {
            return failure;
        }
        if let Some(dir) = args.working_dir()
            && libc::chdir(dir.as_ptr()) < 0
        {
            return Failure::last();
        }
        libc::execve(args.program().as_ptr(), args.argv(), args.envp());
    }
    Failure::last()
}

/// Makes this child what it is to be, other than the host. By calls of the kernel: those of the library change all
/// threads of a process, and what it takes for these are those of the host.
fn take_on(attributes: &Attributes) -> Result<(), Failure> {
    #[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
    use libc::{
        SYS_setgroups as SETGROUPS, SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID,
    };
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    use libc::{
        SYS_setgroups32 as SETGROUPS, SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID,
    };

    if let Some(umask) = attributes.umask {
        // SAFETY: takes a number, and does not fail.
        unsafe { libc::syscall(libc::SYS_umask, umask) };
    }
    if let Some(nice) = attributes.nice {
        // SAFETY: takes numbers; 0 is this child.
        let code = unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) };
        if code != 0 {
            return Err(Failure::last().of(Part::Nice(nice)));
        }
    }
    if let Some(Account { ids, .. }) = &attributes.account {
        let (user, group, groups) = (ids.user, ids.group, &ids.groups);
        // SAFETY: these take numbers, and a list that lives through the call. The user comes last: it may change
        // neither.
        let is_done = unsafe {
            libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()) == 0
                && libc::syscall(SETRESGID, group, group, group) == 0
                && libc::syscall(SETRESUID, user, user, user) == 0
        };
        if !is_done {
            return Err(Failure::last().of(Part::User));
        }
    }
    Ok(())
}

fn account_of<'a>(args: &ExecArgs<'a>) -> Option<&'a Account> {
    args.attributes?.account.as_ref()
}

/// Whether the host may be dumped and traced by its own user. A child that becomes another user takes that from the
/// memory which it shares with the host, so that the other user cannot get at the host through the child. It is given
/// back when no such child shares the memory any more.
struct Dumpable;

struct HeldDumpable {
    holders: usize,
    before: c_int,
}

static DUMPABLE: Mutex<HeldDumpable> = Mutex::new(HeldDumpable {
    holders: 0,
    before: 0,
});

impl Dumpable {
    fn hold() -> Self {
        let mut held = DUMPABLE.lock().unwrap_or_else(PoisonError::into_inner);
        if held.holders == 0 {
            // SAFETY: takes numbers.
            held.before = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
        }
        held.holders += 1;
        Self
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        let mut held = DUMPABLE.lock().unwrap_or_else(PoisonError::into_inner);
        held.holders -= 1;
        if held.holders == 0 && held.before == 1 {
            // SAFETY: takes numbers.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
        }
    }
}

/// Writes the number of this child, which is that of its group from here on, where the guardian finds it. Nothing of it
/// has run so far: whatever can have run when the host is killed is known.
fn enter(place: Place) {
    // SAFETY: takes nothing.
    let mut rest = unsafe { libc::getpid() };
    let mut digits = [b'0'; GROUP_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10).unsigned_abs().to_le_bytes()[0];
        rest /= 10;
    }
    // SAFETY: the file is open, as the host has closed nothing meanwhile, and the digits live through the call.
    unsafe {
        libc::pwrite(
            place.file,
            digits.as_ptr().cast(),
            digits.len(),
            place.offset,
        )
    };
}

fn connect(target: RawFd, source: Option<RawFd>) -> Result<(), Failure> {
    let Some(source) = source else {
        return connect_null_device(target);
    };
    // SAFETY: takes numbers.
    if unsafe { libc::dup2(source, target) } < 0 {
        return Err(Failure::last());
    }
    Ok(())
}

fn connect_null_device(target: RawFd) -> Result<(), Failure> {
    let flags = if target == 0 {
        libc::O_RDONLY
    } else {
        libc::O_WRONLY
    };
    // SAFETY: these take numbers and a string.
    unsafe {
        let null = libc::open(NULL_DEVICE.as_ptr(), flags);
        if null < 0 {
            return Err(Failure::last().of(Part::NullDevice));
        }
        if null != target && libc::dup2(null, target) < 0 {
            return Err(Failure::last());
        }
        if null >= FIRST_FOREIGN {
            libc::close(null);
        }
    }
    Ok(())
}

/// What the kernel knows of what is done with a signal. Its fields are in another order here and there.
type Disposition = [u64; 4];

/// The library's own functions refuse the two signals that it uses itself.
fn disposition(signal: u32, new: Option<&Disposition>, old: Option<&mut Disposition>) {
    // SAFETY: both are as large as the kernel expects at least, and may be missing.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            new.map_or(ptr::null(), ptr::from_ref),
            old.map_or(ptr::null_mut(), ptr::from_mut),
            size_of::<u64>(),
        );
    }
}

/// The default everywhere in the set, and an empty mask.
fn reset_signals(set: u64) {
    for signal in (1..=u64::BITS).filter(|signal| set & bit(*signal) != 0) {
        disposition(signal, Some(&[0; 4]), None);
    }
    set_signal_mask(0);
}

fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Those that the host ignored at its first start, and those that some hosts ignore later: a program would go on to
/// ignore them. Node ignores SIGPIPE.
fn ignored_signals() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        use libc::{SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM};
        let usual = [SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGCHLD].map(c_int::unsigned_abs);
        let ignored = (1..=u64::BITS).filter(|signal| {
            let mut found = [0; 4];
            disposition(*signal, None, Some(&mut found));
            found[0] == libc::SIG_IGN as u64
        });
        ignored
            .chain(usual)
            .fold(0, |set, signal| set | bit(signal))
    })
}

/// Returns the mask that was set before.
fn set_signal_mask(mask: u64) -> u64 {
    let mut before = 0_u64;
    // SAFETY: both masks have the size that is given.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut before,
            size_of::<u64>(),
        );
    }
    before
}

/// What a child would inherit, on a kernel that cannot close all of it at once.
fn inherited() -> Vec<RawFd> {
    static CLOSES_RANGES: OnceLock<bool> = OnceLock::new();
    let closes_ranges = CLOSES_RANGES.get_or_init(|| {
        // SAFETY: takes numbers, of which none is a descriptor.
        unsafe { libc::syscall(libc::SYS_close_range, c_int::MAX, c_int::MAX, 0) == 0 }
    });
    if *closes_ranges {
        return Vec::new();
    }
    // Without this directory, what others in this process open without CLOEXEC is inherited.
    let open = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    open.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| {
            // SAFETY: takes numbers.
            let flags = unsafe { libc::fcntl(*fd, libc::F_GETFD) };
            *fd >= FIRST_FOREIGN && flags >= 0 && flags & libc::FD_CLOEXEC == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::account;

    #[test]
    fn a_host_can_be_traced_as_before_once_it_has_started_a_program_as_another_user() {
        // SAFETY: takes a number.
        let dumpable = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
        let before = dumpable();
        assert_eq!(before, 1);
        let attributes = Attributes {
            account: account::by_name("nobody").expect("an answer"),
            ..Attributes::default()
        };
        let starts = || {
            let mut args =
                ExecArgs::helper(vec![c"/bin/true".into()], [], [None; 3]).expect("arguments");
            args.attributes = Some(&attributes);
            start(&args).map(|(pid, _)| reap(pid))
        };
        let started = std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| scope.spawn(|| [0; 8].map(|_| starts().is_ok())));
            threads.map(|thread| thread.join().expect("no panic"))
        });
        // SAFETY: takes nothing.
        let may_change = unsafe { libc::geteuid() } == 0;
        assert_eq!(started, [[may_change; 8]; 4]);
        assert_eq!(dumpable(), before);
    }
}
