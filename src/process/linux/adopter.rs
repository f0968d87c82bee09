//! Who becomes the parent of orphans: process 1, or the nearest subreaper above this host. No file tells which of its
//! ancestors is one, so an orphan is made, once, and asked.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::PoisonError;

use super::procfs;
use crate::process::unix::{helper_pipe, reap, spawn_helper};

/// The orphan waits until it is one: its first parent, `$$`, ends at once. It tells its own number, and its parent's.
const SCRIPT: &str = r#"
while read -r pid _ _ parent _ </proc/self/stat && [ "$parent" = $$ ]; do :; done && echo "$pid $parent" &
"#;

/// The parent of orphans where none could be asked.
const FIRST: i32 = 1;

/// Who it was found to be, and since when that process runs: if it is another by now, or this process has other parents
/// than then, it is asked again.
static KNOWN: Mutex<Option<(i32, u64, u32)>> = Mutex::new(None);

/// The number of the process that adopts orphans. Blocks, the first time for some milliseconds.
pub(in crate::process) fn adopter() -> i32 {
    if procfs::adopts_orphans() {
        return std::process::id().cast_signed();
    }
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let started = |pid: i32| Some(procfs::read_process(pid).ok()??.started);
    let parent = std::os::unix::process::parent_id();
    let before = *known();
    if let Some((pid, since, child_of)) = before
        && child_of == parent
        && started(pid) == Some(since)
    {
        return pid;
    }
    // What could not be found out now may be found out the next time.
    let Ok(found) = ask_an_orphan() else {
        return FIRST;
    };
    *known() = started(found).map(|since| (found, since, parent));
    found
}

fn ask_an_orphan() -> io::Result<i32> {
    let (answer, told) = helper_pipe()?;
    let words = ["/bin/sh", "-c", SCRIPT].map(CString::new);
    let words: Vec<CString> = words.into_iter().collect::<Result<_, _>>()?;
    reap(spawn_helper(words, None, Some(&told), &[])?);
    drop(told);
    let mut text = String::new();
    File::from(answer).take(64).read_to_string(&mut text)?;
    let mut numbers = text.split_whitespace().map(str::parse::<i32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(orphan)), Some(Ok(parent))) => {
            // Only if this process has become the adopter just now is the orphan its child.
            if parent == std::process::id().cast_signed() {
                reap(orphan);
            }
            Ok(parent)
        }
        _ => Err(io::Error::other("expected two numbers")),
    }
}
