//! What Linux tells of processes in `/proc`: who they are, whose children, of which group and session, since when.
//!
//! A read may hang, on a process in trouble. So nothing here is called but by the thread that looks, which says
//! before each read what it reads.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::process::environment::Assignment;
use crate::process::tag;
use crate::process::unix::process_scan::Process;

/// The kernel's unit of the times at which processes were started, on every architecture: 10 ms.
const TICK_NANOS: u64 = 10_000_000;

/// Another place for `/proc`, for tests: one in which a read hangs, say. It is read from the variables with which this
/// process was started, which no thread changes.
const ROOT_VARIABLE: &[u8] = b"ESCHER_TEST_PROC_ROOT=";

fn root() -> &'static PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let variables = own_variables();
        let root = variables
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(ROOT_VARIABLE));
        root.map_or_else(
            || PathBuf::from("/proc"),
            |root| PathBuf::from(OsStr::from_bytes(root)),
        )
    })
}

/// The variables with which this process was started, each with a NUL behind it.
fn own_variables() -> Vec<u8> {
    fs::read("/proc/self/environ").unwrap_or_default()
}

/// The tags of the engines around this host.
pub(crate) fn inherited_tags() -> Vec<Assignment> {
    tag::tags_in(&own_variables())
}

/// The time in the unit and on the clock of [`Process::started`].
pub(in crate::process) fn now() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: there is room for the answer, which is all zeros where the call fails.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_BOOTTIME, time.as_mut_ptr());
        time.assume_init()
    };
    let nanos = time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs();
    nanos / TICK_NANOS
}

/// Whether processes can be looked at: there is a `/proc`, and it numbers them as this process does. In a namespace of
/// processes it may still be that of the system around, and its numbers those of strangers.
pub(in crate::process) fn can_look() -> bool {
    let own = std::process::id().to_string();
    fs::read_link(root().join("self")).is_ok_and(|found| found.as_os_str() == own.as_str())
}

/// The numbers of all processes.
pub(in crate::process) fn all_pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(root())? {
        pids.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok()),
        );
    }
    Ok(pids)
}

/// Whether a number is that of a process, and not of one of its threads.
pub(in crate::process) fn is_process(pid: i32) -> io::Result<bool> {
    let status = fs::read(root().join(format!("{pid}/status")))?;
    let line = format!("\nTgid:\t{pid}\n");
    Ok(memchr::memmem::find(&status, line.as_bytes()).is_some())
}

/// The number that was given out last, to a process or a thread. They go up, and begin anew from time to time.
pub(in crate::process) fn last_pid() -> Option<i32> {
    let load = fs::read_to_string(root().join("loadavg")).ok()?;
    load.trim_end().rsplit(' ').next()?.parse().ok()
}

/// `None` for a thread of the kernel.
pub(in crate::process) fn read_process(pid: i32) -> io::Result<Option<Process>> {
    let stat = fs::read(root().join(format!("{pid}/stat")))?;
    Ok(parse(pid, &stat))
}

fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    /// The kernel's flag of its own threads.
    const KERNEL_THREAD: u64 = 0x0020_0000;
    /// Its flag of those on their way out.
    const EXITING: u64 = 0x4;

    let fields = fields_after_name(stat)?;
    let number = |index: usize| fields.get(index)?.parse::<i32>().ok();
    let large = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let flags = large(6)?;
    if flags & KERNEL_THREAD != 0 {
        return None;
    }
    // A process lives as long as one of its threads, also when the first has ended.
    let is_alone = large(17)? <= 1;
    Some(Process {
        pid,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        started: large(19)?,
        is_dead: is_alone && matches!(*fields.first()?, "Z" | "X"),
        is_exiting: is_alone && flags & EXITING != 0,
    })
}

/// What is told of a process behind its name, which stands in parentheses and may hold anything, parentheses included.
fn fields_after_name(stat: &[u8]) -> Option<Vec<&str>> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let fields = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    Some(fields.trim_end().split(' ').collect())
}

/// The files of one of its threads that live. The first, whose files are those of the process, may have ended, and
/// shows nothing any more.
fn thread(pid: i32) -> io::Result<PathBuf> {
    let threads = fs::read_dir(root().join(format!("{pid}/task")))?;
    let last = threads.flatten().last();
    last.map(|thread| thread.path())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Its variables, each with a NUL behind it. Empty in the middle of executing a program.
///
/// In one read: between two the process may execute a program, and what was read is then the beginning of what it had.
pub(in crate::process) fn read_variables(pid: i32) -> io::Result<Vec<u8>> {
    let file = File::open(thread(pid)?.join("environ"))?;
    let mut variables = vec![0; 16 * 1024];
    loop {
        let length = file.read_at(&mut variables, 0)?;
        if length < variables.len() {
            variables.truncate(length);
            return Ok(variables);
        }
        variables = vec![0; variables.len() * 4];
    }
}

/// Whether a process that has shown no variables may show some in a moment, as it is in the middle of executing a program.
pub(in crate::process) fn is_executing(pid: i32) -> io::Result<bool> {
    /// Far longer than any program takes to be executed, in units of 10 ms.
    const MOMENT: u64 = 500;

    let stat = fs::read(root().join(format!("{pid}/stat")))?;
    let has_none = has_no_variables(&stat).unwrap_or(false);
    let is_young = |process: Process| process.started + MOMENT > now();
    Ok(!has_none && parse(pid, &stat).is_some_and(is_young))
}

/// Whether a process was started without variables. Where its code ends is told once all else is known of it.
fn has_no_variables(stat: &[u8]) -> Option<bool> {
    let fields = fields_after_name(stat)?;
    let address = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let [code_end, from, to] = [24, 47, 48].map(address);
    Some(code_end? != 0 && from? == to?)
}

/// Whether a process is in the control group of this one, or below it. What a service manager starts for somebody is
/// in another.
pub(in crate::process) fn is_in_own_cgroup(pid: i32) -> io::Result<bool> {
    let own = match fs::read_to_string(root().join("self/cgroup")) {
        Ok(own) => own,
        // A kernel without control groups.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let found = fs::read_to_string(thread(pid)?.join("cgroup"))?;
    Ok(is_within(&found, &own))
}

/// Lines such as `0::/a/b`, one for each hierarchy.
fn is_within(found: &str, own: &str) -> bool {
    fn parts(line: &str) -> (&str, &str) {
        let path = line
            .match_indices(':')
            .nth(1)
            .map_or(line.len(), |(at, _)| at + 1);
        line.split_at(path)
    }
    own.lines().map(parts).all(|(hierarchy, own)| {
        let found = found.lines().map(parts);
        let mut found = found.filter(|(other, _)| *other == hierarchy);
        found.all(|(_, path)| {
            let below = path.strip_prefix(own.trim_end_matches('/'));
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
    })
}

/// Whether orphans among the descendants of this process become its children.
pub(in crate::process) fn adopts_orphans() -> bool {
    let mut is_subreaper: libc::c_int = 0;
    // SAFETY: there is room for the answer; elsewhere the option is not known, and the answer stays no.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut is_subreaper) };
    is_subreaper != 0 || std::process::id() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_holds_what_is_in_it_or_below_it_and_nothing_else() {
        let own = "1:name=systemd:/user/a\n0::/user/a\n";
        assert!(is_within(own, own));
        assert!(is_within("1:name=systemd:/user/a/b\n0::/user/a\n", own));
        assert!(!is_within("1:name=systemd:/system/pm2\n0::/user/a\n", own));
        assert!(!is_within("1:name=systemd:/user/a\n0::/user/ab\n", own));
        assert!(is_within("0::/anything\n", "0::/\n"));
        assert!(!is_within("0::/../other\n", "0::/one\n"));
    }

    #[test]
    fn a_process_that_was_started_without_variables_is_told_from_one_that_executes_its_program() {
        let own = fs::read("/proc/self/stat").expect("a read");
        assert_eq!(has_no_variables(&own), Some(false));
        let stat = |addresses: [u64; 3]| {
            let mut fields = vec!["0".to_owned(); 50];
            for (index, address) in [24, 47, 48].into_iter().zip(addresses) {
                fields[index] = address.to_string();
            }
            format!("7 (sh) {}\n", fields.join(" ")).into_bytes()
        };
        let begins_to_execute = [0, 0, 0];
        let goes_through_its_variables = [0, 9000, 9000];
        assert_eq!(has_no_variables(&stat(begins_to_execute)), Some(false));
        assert_eq!(
            has_no_variables(&stat(goes_through_its_variables)),
            Some(false)
        );
        assert_eq!(has_no_variables(&stat([4000, 9000, 9000])), Some(true));
        assert_eq!(has_no_variables(&stat([4000, 9000, 9010])), Some(false));
    }

    #[test]
    fn a_process_is_read_with_its_parent_its_group_and_its_time() {
        let own = read_process(std::process::id().cast_signed()).expect("a read");
        let own = own.expect("this process");
        assert_eq!(
            own.parent,
            std::os::unix::process::parent_id().cast_signed()
        );
        assert!(own.started <= now());
        assert!(!own.is_dead);
    }
}
