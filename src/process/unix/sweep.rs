//! Finding the processes of an execution, wherever they went: by group, and by the mark in their environment.
//!
//! A look through `/proc` takes milliseconds and may block on a process in trouble, so it is done on a blocking
//! thread, and callers that ask at the same time share one look.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::signal::{open_pidfd, signal_pidfd, signal_process};
use crate::process::{EXECUTION_MARK, pool};

/// A live process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: i32,
    pub group: i32,
    /// The execution it belongs to, by its own environment.
    pub mark: Option<Uuid>,
    /// It started a moment ago and shows no environment: it may be in the middle of executing its program.
    pub(super) unclear: bool,
    /// It is ending, and has closed its descriptors, or is about to.
    pub exiting: bool,
}

/// A process that was verified again after a descriptor for it was opened, so that a signal cannot reach
/// another process that has its number by now.
#[derive(Debug)]
pub(crate) struct Member {
    pub pid: i32,
    pub group: i32,
    /// It ends by itself.
    pub exiting: bool,
    pidfd: Option<OwnedFd>,
}

impl Member {
    /// Opens a descriptor for the process, and checks that it is still the one that was seen.
    pub fn confirm(seen: &Process) -> Option<Self> {
        let pidfd = open_pidfd(seen.pid).ok();
        let again = read_process(seen.pid, None)?;
        (again.mark == seen.mark && again.group == seen.group).then_some(Self {
            pid: seen.pid,
            group: seen.group,
            exiting: again.exiting,
            pidfd,
        })
    }

    pub fn signal(&self, signal: i32) {
        match &self.pidfd {
            Some(pidfd) if signal_pidfd(pidfd, signal) => {}
            _ => signal_process(self.pid, signal),
        }
    }

    pub fn into_pidfd(self) -> Option<OwnedFd> {
        self.pidfd
    }
}

static LATEST: Mutex<Option<(Instant, Arc<Vec<Process>>)>> = Mutex::const_new(None);

/// All live processes of this user, as they were at some moment after the call.
pub(crate) async fn processes() -> Arc<Vec<Process>> {
    let asked = Instant::now();
    let mut latest = LATEST.lock().await;
    if let Some((taken, processes)) = latest.as_ref()
        && *taken >= asked
    {
        return Arc::clone(processes);
    }
    let taken = Instant::now();
    let processes = Arc::new(pool::LOOKS.run(look).await.unwrap_or_default());
    *latest = Some((taken, Arc::clone(&processes)));
    processes
}

/// Drops the shared look, so that its memory is not kept between bursts.
pub(crate) async fn forget() {
    *LATEST.lock().await = None;
}

/// Whether processes can be looked at.
#[cfg(target_os = "macos")]
pub(crate) fn can_look() -> bool {
    true
}

/// Whether processes can be looked at: there is a `/proc`, and it numbers them as this process does. In a namespace of
/// processes it may still be that of the system around, and its numbers those of strangers.
#[cfg(not(target_os = "macos"))]
pub(crate) fn can_look() -> bool {
    let own = std::process::id().to_string();
    std::fs::read_link("/proc/self").is_ok_and(|found| found.as_os_str() == own.as_str())
}

fn look() -> Vec<Process> {
    let own = std::process::id().cast_signed();
    let uptime = uptime();
    let pids = all_pids().into_iter().filter(|pid| *pid != own);
    let mut processes: Vec<Process> = pids.filter_map(|pid| read_process(pid, uptime)).collect();
    // A process in the middle of executing a program shows no environment for some microseconds.
    for _ in 0..2 {
        if !processes.iter().any(|process| process.unclear) {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
        processes.retain_mut(|process| {
            let again = process.unclear.then(|| read_process(process.pid, uptime));
            match again {
                Some(Some(again)) => *process = again,
                Some(None) => return false,
                None => {}
            }
            true
        });
    }
    processes
}

#[cfg(target_os = "macos")]
use super::darwin::all_pids;

#[cfg(target_os = "macos")]
fn read_process(pid: i32, _uptime: Option<f64>) -> Option<Process> {
    super::darwin::read_process(pid)
}

#[cfg(target_os = "macos")]
fn uptime() -> Option<f64> {
    None
}

#[cfg(not(target_os = "macos"))]
fn all_pids() -> Vec<i32> {
    let entries = match std::fs::read_dir("/proc") {
        Ok(entries) if can_look() => entries,
        _ => return Vec::new(),
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// `None` if it is gone, a zombie, or a thread of the kernel.
#[cfg(not(target_os = "macos"))]
fn read_process(pid: i32, uptime: Option<f64>) -> Option<Process> {
    /// The kernel's flag of its own threads.
    const KERNEL_THREAD: u64 = 0x0020_0000;
    /// Its flag of those on their way out.
    const EXITING: u64 = 0x4;
    /// Of the kernel's interface, on every architecture.
    const TICKS_PER_SECOND: f64 = 100.0;

    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything, parentheses included.
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let fields = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let (state, group) = (*fields.first()?, fields.get(2)?.parse().ok()?);
    let flags: u64 = fields.get(6)?.parse().ok()?;
    let threads: u64 = fields.get(17)?.parse().ok()?;
    // A process lives as long as one of its threads, also when the first has ended.
    let is_headless = state == "Z" && threads > 1;
    if (matches!(state, "Z" | "X") && !is_headless) || flags & KERNEL_THREAD != 0 {
        return None;
    }
    let environment = if is_headless {
        environment_of_threads(pid)
    } else {
        std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
    };
    let started: f64 = fields.get(19)?.parse().ok()?;
    let young = uptime.is_some_and(|now| now - started / TICKS_PER_SECOND < 1.0);
    Some(Process {
        pid,
        group,
        mark: mark_of(&environment),
        unclear: young && environment.is_empty(),
        exiting: flags & EXITING != 0,
    })
}

/// The variables of a process whose first thread, which has ended, no longer shows them.
#[cfg(not(target_os = "macos"))]
fn environment_of_threads(pid: i32) -> Vec<u8> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| std::fs::read(thread.path().join("environ")).ok())
        .find(|environment| !environment.is_empty())
        .unwrap_or_default()
}

pub(super) fn mark_of(environment: &[u8]) -> Option<Uuid> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable
            .strip_prefix(EXECUTION_MARK.as_bytes())?
            .strip_prefix(b"=")?;
        Uuid::try_parse_ascii(value).ok()
    })
}

#[cfg(not(target_os = "macos"))]
fn uptime() -> Option<f64> {
    std::fs::read_to_string("/proc/uptime")
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_look_does_not_wait_for_files_that_hang() {
        let (release, hanging) = mpsc::channel::<()>();
        let hanging = Arc::new(Mutex::new(hanging));
        for _ in 0..64 {
            let hanging = Arc::clone(&hanging);
            pool::FILES.submit(move || {
                let _ = hanging.lock().map(|hanging| hanging.recv());
            });
        }
        let look = tokio::time::timeout(Duration::from_secs(10), processes());
        assert!(!look.await.expect("a look in time").is_empty());
        drop(release);
    }
}
