//! Reads that may hang, on a process in trouble: whoever waits sees that one does, and goes on without it.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one read may take before it is taken for one that hangs. Far more than any takes on a busy machine.
pub(super) const HANGS: Duration = Duration::from_millis(500);

/// Which file of a process is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Facts,
    Variables,
    Cgroup,
    /// No file of a process: who adopts orphans.
    Adopter,
    /// No file of a process: which processes there are.
    List,
}

type Read = (i32, Part);

/// Reads that hang: not tried again until they have returned.
static HANGING: Mutex<Option<HashSet<Read>>> = Mutex::new(None);

fn hanging() -> MutexGuard<'static, Option<HashSet<Read>>> {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one thread reads.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What it reads now, and since when.
    reading: Mutex<Option<(Read, Instant)>>,
    /// Another thread has taken over: what is found here is of no more use.
    is_abandoned: AtomicBool,
    has_failed: AtomicBool,
}

impl Reader {
    fn reading(&self) -> MutexGuard<'_, Option<(Read, Instant)>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads something of a process: `None` if that is gone or not for this user, if the read hangs, or if another thread
    /// has taken over.
    pub fn read<T>(
        &self,
        pid: i32,
        part: Part,
        read: impl FnOnce() -> io::Result<Option<T>>,
    ) -> Option<T> {
        let hangs = |reads: &HashSet<Read>| reads.contains(&(pid, part));
        if self.is_abandoned() || hanging().as_ref().is_some_and(hangs) {
            return None;
        }
        *self.reading() = Some(((pid, part), Instant::now()));
        let found = read();
        *self.reading() = None;
        if self.is_abandoned() {
            // It has returned after all.
            hanging()
                .as_mut()
                .map(|hanging| hanging.remove(&(pid, part)));
        }
        found.unwrap_or_else(|error| {
            if !is_gone(&error) && error.kind() != io::ErrorKind::PermissionDenied {
                self.note_failure();
            }
            None
        })
    }

    /// Notes that something could not be found out.
    pub fn note_failure(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Whether a read has failed since this was asked for another reason than that there is nothing to read: for lack of
    /// descriptors, say. Then what was not found may be there all the same.
    pub fn take_failed(&self) -> bool {
        self.has_failed.swap(false, Ordering::Relaxed)
    }

    /// Whether it hangs. If so, it is abandoned, and what it reads is not read again before it returns.
    pub fn abandon_if_it_hangs(&self) -> bool {
        let reading = self.reading();
        let Some((read, _)) = reading.filter(|(_, since)| since.elapsed() >= HANGS) else {
            return false;
        };
        hanging().get_or_insert_default().insert(read);
        self.is_abandoned.store(true, Ordering::Release);
        true
    }

    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}
