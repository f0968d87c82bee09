//! What macOS does in its own way: watching a process by a kernel queue, looking through all processes without
//! `/proc`, and telling the guardian of each group, since the environment of a program of the system is hidden.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{self, Write};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::process::environment::Assignment;
use crate::process::tag;
use crate::process::unix::process_scan::Process;

/// Of `spawn.h`: a session of its own.
const POSIX_SPAWN_SETSID: c_int = 0x0400;

/// How every process is started: in a session of its own, with no descriptors but those that are named.
pub(in crate::process) const SPAWN_FLAGS: c_int =
    POSIX_SPAWN_SETSID | libc::POSIX_SPAWN_CLOEXEC_DEFAULT;

/// How a guarded one is started, besides: stopped, until the guardian knows of it.
pub(in crate::process) const STOPPED: c_int = libc::POSIX_SPAWN_START_SUSPENDED;

/// A descriptor that becomes readable when the process ends. A process that has ended already is an error; one that
/// ends in this moment may be missed, so the caller looks once more.
pub(in crate::process) fn watch_exit(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: takes nothing and returns a descriptor or -1.
    let queue = unsafe { libc::kqueue() };
    if queue < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: opened just now.
    let queue = unsafe { OwnedFd::from_raw_fd(queue) };
    let event = libc::kevent {
        ident: usize::try_from(pid).unwrap_or(0),
        filter: libc::EVFILT_PROC,
        flags: libc::EV_ADD | libc::EV_ONESHOT,
        fflags: libc::NOTE_EXIT,
        data: 0,
        udata: ptr::null_mut(),
    };
    // SAFETY: the queue is open, one change is handed over, and no event is asked for.
    let code = unsafe {
        libc::kevent(
            queue.as_raw_fd(),
            &raw const event,
            1,
            ptr::null_mut(),
            0,
            ptr::null(),
        )
    };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(queue)
}

/// The numbers of all processes.
pub(in crate::process) fn all_pids() -> io::Result<Vec<i32>> {
    // SAFETY: asks for the count.
    let count = unsafe { libc::proc_listallpids(ptr::null_mut(), 0) };
    // Some more may start meanwhile.
    let mut pids = vec![0_i32; usize::try_from(count).unwrap_or(0) + 64];
    let size = c_int::try_from(size_of_val(&pids[..])).unwrap_or(0);
    // SAFETY: the list has the size that is told.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size) };
    if count <= 0 {
        return Err(io::Error::last_os_error());
    }
    pids.truncate(usize::try_from(count).unwrap_or(0));
    Ok(pids)
}

/// Threads have no numbers among those of processes.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it is read")]
pub(in crate::process) fn is_process(_: i32) -> io::Result<bool> {
    Ok(true)
}

/// The number that was given out last is not told here.
pub(in crate::process) fn last_pid() -> Option<i32> {
    None
}

/// Processes can always be looked at.
pub(in crate::process) fn can_look() -> bool {
    true
}

/// There are no control groups.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it is read")]
pub(in crate::process) fn is_in_own_cgroup(_: i32) -> io::Result<bool> {
    Ok(true)
}

/// It cannot be told from a program that hides its variables.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it is read")]
pub(in crate::process) fn is_executing(_: i32) -> io::Result<bool> {
    Ok(false)
}

/// Orphans become children of process 1.
pub(in crate::process) fn adopter() -> i32 {
    1
}

/// The time in the unit and on the clock of [`Process::started`]: microseconds since 1970.
pub(in crate::process) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// `None` if it is gone, or of another user.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it is read")]
pub(in crate::process) fn read_process(pid: i32) -> io::Result<Option<Process>> {
    /// Of `sys/proc_info.h`: on its way out.
    const EXITING: u32 = 4;

    let mut info = MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = c_int::try_from(size_of::<libc::proc_bsdinfo>()).unwrap_or(0);
    // SAFETY: there is room for the answer.
    let filled = unsafe {
        libc::proc_pidinfo(
            pid,
            libc::PROC_PIDTBSDINFO,
            0,
            info.as_mut_ptr().cast(),
            size,
        )
    };
    if filled != size {
        return Ok(None);
    }
    // SAFETY: filled in, all of it.
    let info = unsafe { info.assume_init() };
    // SAFETY: takes and changes nothing.
    if info.pbi_uid != unsafe { libc::geteuid() } {
        return Ok(None);
    }
    Ok(Some(Process {
        pid,
        parent: info.pbi_ppid.cast_signed(),
        group: info.pbi_pgid.cast_signed(),
        // SAFETY: takes a number; a process that is gone has no session.
        session: unsafe { libc::getsid(pid) },
        started: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
        is_dead: info.pbi_status == libc::SZOMB,
        is_exiting: info.pbi_flags & EXITING != 0,
    }))
}

/// The tags of the engines around this host.
pub(crate) fn inherited_tags() -> Vec<Assignment> {
    let own = std::process::id().cast_signed();
    let variables = read_variables(own).unwrap_or_default();
    tag::tags_in(&variables)
}

/// The variables of a process, each with a NUL behind it.
pub(in crate::process) fn read_variables(pid: i32) -> io::Result<Vec<u8>> {
    variables(pid).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// Empty where they are hidden.
fn variables(pid: i32) -> Option<Vec<u8>> {
    let mut all = arguments(pid)?;
    let (count, rest) = all.split_first_chunk::<{ size_of::<c_int>() }>()?;
    let count = usize::try_from(c_int::from_ne_bytes(*count)).ok()?;
    // The path of the program, NULs up to a boundary, the arguments, the variables.
    let path_end = rest.iter().position(|byte| *byte == 0)?;
    let first = path_end + rest[path_end..].iter().position(|byte| *byte != 0)?;
    let mut start = size_of::<c_int>() + first;
    for _ in 0..count {
        start += all[start..].iter().position(|byte| *byte == 0)? + 1;
    }
    all.drain(..start);
    Some(all)
}

fn arguments(pid: i32) -> Option<Vec<u8>> {
    let mut most: c_int = 0;
    ask_kernel(
        &mut [libc::CTL_KERN, libc::KERN_ARGMAX],
        (&raw mut most).cast(),
        size_of::<c_int>(),
    )?;
    let mut all = vec![0; usize::try_from(most).ok()?];
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let length = ask_kernel(&mut name, all.as_mut_ptr().cast(), all.len())?;
    all.truncate(length);
    Some(all)
}

/// Fills the answer in, of which `size` bytes must be there; returns its length.
fn ask_kernel(name: &mut [c_int], answer: *mut c_void, mut size: usize) -> Option<usize> {
    // SAFETY: name and answer have the sizes that are told; nothing is changed.
    let code = unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            libc::c_uint::try_from(name.len()).unwrap_or(0),
            answer,
            &raw mut size,
            ptr::null_mut(),
            0,
        )
    };
    (code == 0).then_some(size)
}

/// What the guardian has to know of each execution that is to end with the host, and its pipe.
struct Roll {
    /// Groups and serials.
    live: BTreeSet<(libc::pid_t, u64)>,
    guardian: Option<File>,
}

static ROLL: Mutex<Roll> = Mutex::new(Roll {
    live: BTreeSet::new(),
    guardian: None,
});

fn roll() -> MutexGuard<'static, Roll> {
    ROLL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Roll {
    /// A guardian that is dead is started again, and told of all groups then.
    fn tell(&mut self, line: &str) {
        if let Some(guardian) = &mut self.guardian
            && guardian.write_all(line.as_bytes()).is_err()
        {
            self.guardian = None;
        }
    }

    fn enter(&mut self, (group, serial): (libc::pid_t, u64)) {
        self.live.insert((group, serial));
        self.tell(&format!("+{group} {serial:016}\n"));
    }

    fn leave(&mut self, (group, serial): (libc::pid_t, u64)) {
        if self.live.remove(&(group, serial)) {
            self.tell(&format!("-{group} {serial:016}\n"));
        }
    }
}

/// What is told of one execution, and taken back with it. It waits before its first instruction until it was told.
#[derive(Debug)]
pub(in crate::process) struct Entry {
    serial: u64,
    /// 0: not known yet, or reaped.
    group: AtomicI32,
}

impl Entry {
    pub fn new(serial: u64, _started: u64) -> Self {
        Self {
            serial,
            group: AtomicI32::new(0),
        }
    }

    pub fn set_group(&self, group: libc::pid_t, _is_entered: bool) {
        let mut roll = roll();
        self.group.store(group, Ordering::Relaxed);
        roll.enter((group, self.serial));
    }

    /// Takes the group out, before its number can become another's.
    pub fn clear_group(&self) {
        let mut roll = roll();
        let group = self.group.swap(0, Ordering::Relaxed);
        roll.enter((0, self.serial));
        roll.leave((group, self.serial));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let group = *self.group.get_mut();
        roll().leave((group, self.serial));
    }
}

/// Makes a write to a pipe that nobody reads any more an error, and no signal, which would end the host.
pub(in crate::process) fn hold_sigpipe(pipe: &OwnedFd) {
    // SAFETY: the descriptor is open.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETNOSIGPIPE, 1) };
}

/// Tells a new guardian of all there are.
pub(in crate::process) fn introduce(guardian: OwnedFd) {
    hold_sigpipe(&guardian);
    let mut roll = roll();
    roll.guardian = Some(File::from(guardian));
    let lines: Vec<String> = roll
        .live
        .iter()
        .map(|(group, serial)| format!("+{group} {serial:016}\n"))
        .collect();
    roll.tell(&lines.concat());
}
