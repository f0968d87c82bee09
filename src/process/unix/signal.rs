//! Signals to processes and groups, and their names.

use std::ffi::c_int;
use std::io;
use std::os::fd::OwnedFd;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, FromRawFd};
#[cfg(target_os = "linux")]
use std::ptr;
use std::sync::OnceLock;

use crate::process::StopSignal;

pub(in crate::process) fn open_pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
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
        crate::process::macos::watch_exit(pid)
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = pid;
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// Signals a process that was found, by its descriptor: no other that may have its number by now is reached. Where a
/// descriptor cannot be had, or may be opened but not used (there are such systems, and filters of system calls), by its
/// number. Returns false if this user may not signal it; one that is gone is no error.
pub(in crate::process) fn signal_member(
    pid: libc::pid_t,
    pidfd: Option<&OwnedFd>,
    signal: c_int,
) -> bool {
    match pidfd {
        Some(pidfd) if descriptors_can_signal() => {
            send(pidfd, signal).raw_os_error() != Some(libc::EPERM)
        }
        _ => signal_process(pid, signal),
    }
}

/// Found out once, with the descriptor of this process itself.
fn descriptors_can_signal() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let own = open_pidfd(std::process::id().cast_signed());
        own.is_ok_and(|own| send(&own, 0).raw_os_error() == Some(0))
    })
}

/// The error number, 0 where there was none.
fn send(pidfd: &OwnedFd, signal: c_int) -> io::Error {
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
        if code == 0 {
            io::Error::from_raw_os_error(0)
        } else {
            io::Error::last_os_error()
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (pidfd, signal);
        io::Error::from_raw_os_error(libc::ENOSYS)
    }
}

/// Whether a process can be asked to end in this way.
pub(crate) fn can_ask_with(_signal: StopSignal) -> bool {
    true
}

pub(in crate::process) fn number_of(signal: StopSignal) -> c_int {
    match signal {
        StopSignal::Terminate => libc::SIGTERM,
        StopSignal::Interrupt => libc::SIGINT,
        StopSignal::HangUp => libc::SIGHUP,
        StopSignal::Quit => libc::SIGQUIT,
    }
}

/// Signals all of a group at once. Its leader must not be reaped: its number may be another's from then on.
pub(in crate::process) fn signal_group(group: libc::pid_t, signal: c_int) {
    // SAFETY: takes two numbers. A group that is gone is no error.
    unsafe { libc::kill(-group, signal) };
}

/// Returns false if this user may not signal it; one that is gone is no error.
fn signal_process(pid: libc::pid_t, signal: c_int) -> bool {
    // SAFETY: takes two numbers.
    let code = unsafe { libc::kill(pid, signal) };
    code == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EPERM)
}

/// Whether the number of a process that was reaped is still that of its group or its session, because others are in
/// them. It may also be that of somebody who was given it anew.
///
/// No call asks just that. But a descriptor, any at all, takes only a number as its owner that the kernel knows, as
/// that of a process, a group or a session. Where that cannot be asked, the group is.
pub(in crate::process) fn number_is_taken(pid: libc::pid_t, any: Option<&OwnedFd>) -> bool {
    #[cfg(target_os = "linux")]
    if let Some(any) = any {
        /// Of `fcntl.h`.
        const F_SETOWN_EX: c_int = 15;
        const F_OWNER_PID: c_int = 1;

        let owner = [F_OWNER_PID, pid];
        // SAFETY: the descriptor is open; the owner has the form that is expected, two numbers.
        let code = unsafe { libc::fcntl(any.as_raw_fd(), F_SETOWN_EX, owner.as_ptr()) };
        if code == 0 {
            return true;
        }
        if io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) {
            return false;
        }
    }
    let _ = any;
    // SAFETY: takes two numbers; the signal 0 is none.
    let code = unsafe { libc::kill(-pid, 0) };
    code == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
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
