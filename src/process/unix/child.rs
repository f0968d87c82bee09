//! A process that was started: watched until it is dead, and reaped when nothing of its group is left.

use std::ffi::c_int;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::leader::{is_dead, may_have_company, wait_for};
use super::pipe::{PipeReader, PipeWriter, register};
use super::process_scan::{self, Mark};
use super::signal::{number_is_taken, signal_group};
use super::tree::Tree;
use super::{Entry, Spawned, now, reap_with_time};
use crate::process::Exit;
use crate::process::first_poll::leave_to_runtime;
use crate::process::scarcity::Share;

/// The leader of a tree. As long as it is not reaped, its number and that of its group are its own.
#[derive(Debug)]
pub(super) struct Leader {
    pub pid: libc::pid_t,
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
    fn reap(&self) -> Exit {
        if let Some(entry) = &self.entry {
            entry.clear_group();
        }
        reap_with_time(self.pid)
    }

    fn tree(&self, leader: process_scan::Leader) -> Tree {
        let mark = Mark {
            serial: self.serial,
            started: self.started,
            leader,
        };
        Tree::new(mark, self.entry.clone())
    }
}

/// A leader that is reaped once. Dropped before, when the runtime ends before the execution or nothing ends the process,
/// it is killed with its tree and reaped on a thread of its own.
#[derive(Debug)]
pub(super) struct Held {
    pub leader: Leader,
    pub exit: Option<Exit>,
}

impl Held {
    fn reap(&mut self) -> Exit {
        *self.exit.get_or_insert_with(|| self.leader.reap())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.exit.is_some() {
            return;
        }
        self.leader.signal_group(libc::SIGKILL);
        let leader = Arc::new(Leader {
            entry: self.leader.entry.take(),
            ..self.leader
        });
        let held = Arc::clone(&leader);
        let reaper = std::thread::Builder::new()
            .name("escher-reaper".into())
            .stack_size(64 * 1024);
        let is_left = reaper.spawn(move || {
            let own = process_scan::Leader::Own(held.pid);
            held.tree(own).kill_now();
            held.reap();
        });
        if is_left.is_err() {
            // It stays a zombie until the host ends, and the guardian knows of it.
            std::mem::forget(leader);
        }
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
    held: Held,
    _share: Share,
}

impl Spawned {
    pub fn pid(&self) -> u32 {
        self.held.leader.pid.unsigned_abs()
    }

    /// Makes the process known to the current runtime. If that fails, it is killed.
    pub fn adopt(self) -> io::Result<(Child, Option<PipeWriter>, [Option<PipeReader>; 2])> {
        let exit = watch(self.held.leader.pid, self.pidfd)?;
        let stdin = self.stdin.map(PipeWriter::new).transpose()?;
        let reader = |end: Option<OwnedFd>| end.map(PipeReader::new).transpose();
        let [stdout, stderr] = self.outputs;
        let streams = [reader(stdout)?, reader(stderr)?];
        Ok((
            Child {
                exit,
                is_dead: false,
                held: self.held,
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
                leave_to_runtime(|context| pidfd.poll_read_ready(context).is_ready()).await;
                // A kernel queue does not tell of a death that was before, or while, the watch began.
                if cfg!(target_os = "macos") && is_dead(self.held.leader.pid) {
                    break;
                }
                // An error means that the runtime shuts down: there is nobody left to tell.
                let Ok(mut ready) = pidfd.readable().await else {
                    break;
                };
                // A kernel queue may tell before there is a status; it tells once.
                if cfg!(target_os = "macos") || is_dead(self.held.leader.pid) {
                    break;
                }
                ready.clear_ready();
            },
        }
        self.is_dead = true;
    }

    /// Whether the leader is dead, although that may not have been told yet.
    pub fn is_dead(&self) -> bool {
        self.is_dead || is_dead(self.held.leader.pid)
    }

    /// What belongs to the execution of a leader that is not reaped.
    pub fn tree(&self) -> Tree {
        self.held
            .leader
            .tree(process_scan::Leader::Own(self.held.leader.pid))
    }

    /// Whether a dead leader has left others in its group or its session, and what belongs to the execution. It takes no
    /// look at all processes; a leader that was alone is reaped.
    pub fn leave(&mut self) -> (bool, Tree) {
        let pid = self.held.leader.pid;
        if may_have_company(pid) {
            return (true, self.tree());
        }
        let before = now();
        self.held.reap();
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
        (has_company, self.held.leader.tree(leader))
    }

    /// Leaves alone what the dead leader has left running, also at the end of the host.
    pub fn let_go(&mut self) {
        self.held.reap();
        self.held.leader.entry = None;
    }

    pub fn pid(&self) -> i32 {
        self.held.leader.pid
    }

    /// How the dead leader has ended, which is reaped now if it was not.
    pub fn reap(mut self) -> Exit {
        self.held.reap()
    }
}
