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
use std::sync::OnceLock;

use super::roll::{GROUP_DIGITS, Place};
use crate::process::unix::exec_args::ExecArgs;
use crate::process::unix::signal::open_pidfd;
use crate::process::unix::{check, is_scarce, reap};

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
    /// Whether it was the null device that could not be opened, for which nobody would look in the program.
    of_null_device: bool,
}

impl Failure {
    /// Of the call that has failed just now.
    fn last() -> Self {
        Self {
            // SAFETY: it is that of the thread that waits for this child.
            error: unsafe { *libc::__errno_location() },
            of_null_device: false,
        }
    }

    fn into_error(self) -> io::Error {
        let error = io::Error::from_raw_os_error(self.error);
        if self.of_null_device && !is_scarce(&error) {
            let device = NULL_DEVICE.to_string_lossy();
            return io::Error::new(error.kind(), format!("\"{device}\": {error}"));
        }
        error
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
    let (pid, pidfd) = match clone_with_pidfd(&mut order) {
        Ok((pid, pidfd)) => (pid, Some(pidfd)),
        // An old kernel, a filter, or no descriptor to spare: it is started all the same.
        Err(error) if is_refusal(&error) => (clone(&mut order)?, None),
        Err(error) => return Err(error),
    };
    if let Some(failure) = order.failure {
        // It ends by itself, and its number is its own until it is reaped.
        reap(pid);
        return Err(failure.into_error());
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
        if let Some(dir) = args.working_dir()
            && libc::chdir(dir.as_ptr()) < 0
        {
            return Failure::last();
        }
        libc::execve(args.program().as_ptr(), args.argv(), args.envp());
    }
    Failure::last()
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
            return Err(Failure {
                of_null_device: true,
                ..Failure::last()
            });
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
