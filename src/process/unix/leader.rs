//! What may be asked of a leader that is not reaped: its number, and that of its group, are its own.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;

/// Whether a leader that is not reaped is dead; it stays a zombie.
pub(super) fn is_dead(leader: libc::pid_t) -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` has room for the answer; the flags leave the process a zombie.
    let code = unsafe { wait_for(leader, info.as_mut_ptr(), libc::WNOHANG) };
    if code != 0 {
        return io::Error::last_os_error().kind() != io::ErrorKind::Interrupted;
    }
    // SAFETY: zeroed above; the call fills it in or leaves it.
    unsafe { info.assume_init().si_pid() != 0 }
}

/// # Safety
///
/// `info` must be null or have room for the answer.
pub(super) unsafe fn wait_for(pid: libc::pid_t, info: *mut libc::siginfo_t, flags: c_int) -> c_int {
    let id = libc::id_t::try_from(pid).unwrap_or(0);
    // SAFETY: the caller answers for `info`.
    unsafe { libc::waitid(libc::P_PID, id, info, libc::WEXITED | libc::WNOWAIT | flags) }
}

/// Whether a dead leader, not yet reaped, may have left company in its group.
///
/// Looking through all processes at each exit would cost milliseconds. So the dead leader, which no longer
/// minds, is given the lowest priority, and its group is asked for its highest: if that is the lowest
/// too, the leader is alone, but for others of the lowest priority. Wherever this does not work, the answer is yes, and
/// the caller looks.
pub(super) fn may_have_company(leader: libc::pid_t) -> bool {
    const LOWEST: c_int = 19;
    let who = leader.unsigned_abs();
    // SAFETY: these take numbers. The leader is not reaped, so the number and the group are its own.
    unsafe {
        // What it has started runs at the lowest priority, too.
        libc::getpriority(libc::PRIO_PROCESS, who) == LOWEST
            || libc::setpriority(libc::PRIO_PROCESS, who, LOWEST) != 0
            || libc::getpriority(libc::PRIO_PGRP, who) != LOWEST
    }
}
