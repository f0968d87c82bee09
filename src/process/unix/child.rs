//! A process that was started: watched until it is dead, and reaped when nothing of its group is left.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::pipe::{PipeReader, PipeWriter, register};
use super::process_scan::{self, Mark};
use super::signal::{number_is_taken, signal_group};
use super::tree::Tree;
use super::{Entry, Spawned, now, reap};
use crate::process::ExitStatus;
use crate::process::scarcity::Share;

/// The leader of a tree: not yet reaped, so its number and that of its group are its own.
///
/// Dropped unreaped, when the runtime ends before the execution or nothing ends the process, it is killed with its
/// tree and reaped on a thread of its own.
#[derive(Debug)]
pub(super) struct Leader {
    pub pid: libc::pid_t,
    pub status: Option<ExitStatus>,
    /// What its tag holds.
    pub serial: u64,
    /// It is not older than this, and nothing that it starts.
    pub started: u64,
    pub entry: Option<Arc<Entry>>,
}

impl Leader {
    pub(super) fn signal_group(&self, signal: c_int) {
        signal_group(self.pid, signal);
    }

    /// Takes the status of a dead leader; its number is free from here on.
    fn reap(&mut self) -> ExitStatus {
        let pid = self.pid;
        *self.status.get_or_insert_with(|| {
            if let Some(entry) = &self.entry {
                entry.clear_group();
            }
            reap(pid)
        })
    }

    fn tree(&self, leader: process_scan::Leader) -> Tree {
        Tree {
            mark: Mark {
                serial: self.serial,
                started: self.started,
                leader,
            },
            _entry: self.entry.clone(),
        }
    }
}

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
unsafe fn wait_for(pid: libc::pid_t, info: *mut libc::siginfo_t, flags: c_int) -> c_int {
    let id = libc::id_t::try_from(pid).unwrap_or(0);
    // SAFETY: the caller answers for `info`.
    unsafe { libc::waitid(libc::P_PID, id, info, libc::WEXITED | libc::WNOWAIT | flags) }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        self.signal_group(libc::SIGKILL);
        let mut leader = Self {
            pid: self.pid,
            status: None,
            serial: self.serial,
            started: self.started,
            entry: self.entry.take(),
        };
        // What is dropped is reaped by the other.
        self.status = Some(ExitStatus::Alive);
        let reaper = std::thread::Builder::new()
            .name("escher-reaper".into())
            .stack_size(64 * 1024);
        // Without a thread it stays a zombie until the host ends, and harms nobody.
        let _ = reaper.spawn(move || {
            leader
                .tree(process_scan::Leader::Own(leader.pid))
                .kill_now();
            leader.reap();
        });
    }
}

/// What tells that the leader is dead.
#[derive(Debug)]
enum ExitWatch {
    Pidfd(AsyncFd<OwnedFd>),
    /// No pidfd: an old kernel, a filter, or no descriptor. A thread waits; it ends with the process.
    Thread(oneshot::Receiver<()>),
}

/// A started process, watched by the runtime.
#[derive(Debug)]
pub(crate) struct Child {
    exit: ExitWatch,
    is_dead: bool,
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
                is_dead: false,
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
        if self.is_dead {
            return;
        }
        match &mut self.exit {
            ExitWatch::Thread(exited) => drop(exited.await),
            ExitWatch::Pidfd(pidfd) => loop {
                // A kernel queue does not tell of a death that was before, or while, the watch began.
                if cfg!(target_os = "macos") && is_dead(self.leader.pid) {
                    break;
                }
                // An error means that the runtime shuts down: there is nobody left to tell.
                let Ok(mut ready) = pidfd.readable().await else {
                    break;
                };
                // A kernel queue may tell before there is a status; it tells once.
                if cfg!(target_os = "macos") || is_dead(self.leader.pid) {
                    break;
                }
                ready.clear_ready();
            },
        }
        self.is_dead = true;
    }

    /// Whether the leader is dead, although that may not have been told yet.
    pub fn is_dead(&self) -> bool {
        self.is_dead || is_dead(self.leader.pid)
    }

    /// What belongs to the execution of a leader that is not reaped.
    pub fn tree(&self) -> Tree {
        self.leader.tree(process_scan::Leader::Own(self.leader.pid))
    }

    /// Whether a dead leader has left others in its group or its session, and what belongs to the execution. It takes no
    /// look at all processes; a leader that was alone is reaped.
    pub fn leave(&mut self) -> (bool, Tree) {
        let pid = self.leader.pid;
        if may_have_company(pid) {
            return (true, self.tree());
        }
        let before = now();
        self.leader.reap();
        let any = match &self.exit {
            ExitWatch::Pidfd(pidfd) => Some(pidfd.get_ref()),
            ExitWatch::Thread(_) => None,
        };
        let has_company = number_is_taken(pid, any);
        let leader = if has_company {
            process_scan::Leader::Reaped(pid, before)
        } else {
            process_scan::Leader::Gone
        };
        (has_company, self.leader.tree(leader))
    }

    /// Leaves alone what the dead leader has left running, also at the end of the host.
    pub fn let_go(&mut self) {
        self.leader.reap();
        self.leader.entry = None;
    }

    pub fn pid(&self) -> i32 {
        self.leader.pid
    }

    /// The status of the dead leader, which is reaped now if it was not.
    pub fn reap(mut self) -> ExitStatus {
        self.leader.reap()
    }
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
