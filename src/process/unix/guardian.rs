//! What ends the processes when the host is gone.
//!
//! A host that is killed runs no destructors. So one `/bin/sh` per host, in a session of its own, holds the
//! read end of a pipe whose other end dies with the host. At its end it kills every process that carries the
//! mark of this host, looking again for a second: nothing can be missed that was started and not yet told. For what
//! clears or overwrites its environment it is also told each group: on Linux by a file that it holds too, on macOS, which
//! hides the environment of its own programs, before the group runs.
//!
//! It starts with an empty environment: it carries no mark itself, neither of this host nor of one around it.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{helper_pipe, is_scarce, spawn_helper, wait_helper};
use crate::process::engine_id;

/// The `/proc` must be that of its own namespace of processes: another's numbers are those of strangers. The groups
/// stand in the file behind descriptor 1, and are killed first, as that takes no further process. The `grep` must read
/// past the NULs between variables: that of `BusyBox` does with a pattern, but not with a fixed string (`-F`).
#[cfg(not(target_os = "macos"))]
const SCRIPT: &str = r#"
PATH=/usr/bin:/bin:/usr/sbin:/sbin
trap '' HUP INT QUIT TERM
printf 'a\0b' | grep -q b || exit 3
[ -r /proc/self/environ ] || exit 4
read -r p _ </proc/self/stat
[ "$p" = "$$" ] || exit 5
while IFS= read -r _; do :; done
while read -r g; do
  case $g in -1) ;; -[0-9]*) kill -KILL "$g" ;; esac
done <&1
i=0
while [ "$i" -lt 20 ]; do
  for f in $(grep -ls "ESCHER_ENGINE_ID=$1" /proc/[0-9]*/environ); do
    p=${f#/proc/}
    kill -KILL "${p%/environ}"
  done
  sleep 0.05
  i=$((i + 1))
done
"#;

/// It reads `+GROUP` and `-GROUP`. A group is killed again until there is none of that number.
#[cfg(target_os = "macos")]
const SCRIPT: &str = r#"
PATH=/usr/bin:/bin:/usr/sbin:/sbin
trap '' HUP INT QUIT TERM
command -v ps >/dev/null || exit 3
groups=' '
while IFS= read -r line; do
  g=${line#?}
  case $line$groups in
    +*) groups="$groups$g " ;;
    -*" $g "*) groups="${groups%%" $g "*} ${groups#*" $g "}" ;;
  esac
done
i=0
while [ "$i" -lt 20 ]; do
  live=
  for g in $groups; do
    kill -KILL "-$g" 2>/dev/null && live="$live $g"
  done
  groups=$live
  ps -axwwE -o pid=,command= | while read -r p command; do
    case $command in *"ESCHER_ENGINE_ID=$1"*) kill -KILL "$p" ;; esac
  done
  sleep 0.05
  i=$((i + 1))
done
"#;

/// What the guardian needs, for who is told that it cannot be had.
#[cfg(feature = "node")]
pub(crate) const NEEDS: &str = if cfg!(target_os = "macos") {
    "/bin/sh and ps"
} else {
    "/bin/sh, grep and a readable /proc"
};

const NEVER_STARTED: u8 = 0;
const RUNNING: u8 = 1;
const UNAVAILABLE: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NEVER_STARTED);
/// The end of the pipe that dies with this process.
static LIFELINE: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Whether the guardian does its work, or would once it is needed.
pub(crate) fn is_available() -> bool {
    STATE.load(Ordering::Acquire) != UNAVAILABLE
}

/// Starts the guardian unless it runs or cannot be had.
pub(super) fn ensure() {
    if STATE.load(Ordering::Acquire) != NEVER_STARTED {
        return;
    }
    let mut lifeline = LIFELINE.lock().unwrap_or_else(PoisonError::into_inner);
    if STATE.load(Ordering::Acquire) != NEVER_STARTED {
        return;
    }
    match start(&mut lifeline) {
        Ok(pid) if watch(pid) => STATE.store(RUNNING, Ordering::Release),
        // The next start tries again; this one is as likely to fail for the same lack.
        Err(error) if is_scarce(&error) => {}
        _ => STATE.store(UNAVAILABLE, Ordering::Release),
    }
}

fn start(lifeline: &mut Option<OwnedFd>) -> std::io::Result<libc::pid_t> {
    let (read, write) = helper_pipe()?;
    let argv = ["/bin/sh", "-c", SCRIPT, "escher-guardian", engine_id()].map(CString::new);
    let argv: Vec<CString> = argv.into_iter().collect::<Result<_, _>>()?;
    // Before it is started: what fails afterwards would end its lifeline, and it would do its work.
    #[cfg(target_os = "macos")]
    let told = write.try_clone()?;
    #[cfg(target_os = "linux")]
    let groups = super::groups::file();
    #[cfg(not(target_os = "linux"))]
    let groups: Option<OwnedFd> = None;
    let pid = spawn_helper(argv, &read, groups.as_ref())?;
    *lifeline = Some(write);
    #[cfg(target_os = "macos")]
    super::darwin::introduce(told);
    Ok(pid)
}

/// Waits for its end on a thread of its own, and starts it again. One that ends at once, three times in a row,
/// cannot be had.
fn watch(mut pid: libc::pid_t) -> bool {
    let thread = std::thread::Builder::new()
        .name("escher-guardian".into())
        .stack_size(64 * 1024);
    let watch = move || {
        let mut short_lives = 0;
        loop {
            let started = Instant::now();
            wait_helper(pid);
            short_lives = if started.elapsed() < Duration::from_secs(1) {
                short_lives + 1
            } else {
                0
            };
            let mut lifeline = LIFELINE.lock().unwrap_or_else(PoisonError::into_inner);
            // None is started only to be given up: it would take the end of its lifeline for that of the host.
            let state = if short_lives >= 3 {
                UNAVAILABLE
            } else {
                match start(&mut lifeline) {
                    Ok(again) => {
                        pid = again;
                        continue;
                    }
                    Err(error) if is_scarce(&error) => NEVER_STARTED,
                    Err(_) => UNAVAILABLE,
                }
            };
            *lifeline = None;
            STATE.store(state, Ordering::Release);
            return;
        }
    };
    thread.spawn(watch).is_ok()
}
