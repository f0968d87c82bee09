//! Deletes the logs that are too old, and the oldest of those that are too many.

use std::collections::HashMap;
use std::fs::DirEntry;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use uuid::Uuid;

use super::log_files::{Deletion, Kind, Limits, delete_finished};

/// The files of one execution, which are kept and deleted together.
#[derive(Debug)]
struct Group {
    id: Uuid,
    kinds: Vec<Kind>,
    bytes: u64,
    /// When one of them was last written.
    written: SystemTime,
}

/// Sweeps a directory, to which so many bytes are about to be added; returns how much is left in it, what is still written
/// included. What cannot be deleted is left, and what does not bear the name of a log or an overflow file is not looked at.
pub(super) fn sweep(dir: &Path, limits: Limits, coming: u64) -> io::Result<u64> {
    let mut groups = match groups_of(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        groups => groups?,
    };
    let mut left: u64 = groups.iter().map(|group| group.bytes).sum();
    let oldest_kept = SystemTime::now().checked_sub(limits.age);
    let is_old = |group: &Group| oldest_kept.is_some_and(|oldest| group.written < oldest);
    let is_full = left + coming > limits.bytes;
    if !is_full && !groups.iter().any(is_old) {
        return Ok(left);
    }
    // A little more than is needed, so that the next line that is logged does not come to the limit again.
    let wanted = limits.bytes - limits.bytes / 8;
    groups.sort_unstable_by_key(|group| group.written);
    for group in groups {
        let goes = is_old(&group) || (is_full && left + coming > wanted);
        if !goes {
            break;
        }
        let paths: Vec<_> = group
            .kinds
            .iter()
            .map(|kind| kind.path(dir, group.id))
            .collect();
        if matches!(delete_finished(&paths), Ok(Deletion::Done)) {
            left -= group.bytes;
        }
    }
    Ok(left)
}

fn groups_of(dir: &Path) -> io::Result<Vec<Group>> {
    let mut groups: HashMap<Uuid, Group> = HashMap::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((kind, id)) = name.to_str().and_then(Kind::of_name) else {
            continue;
        };
        let Some((bytes, written)) = size_and_time(&entry) else {
            continue;
        };
        let group = groups.entry(id).or_insert(Group {
            id,
            kinds: Vec::new(),
            bytes: 0,
            written,
        });
        group.kinds.push(kind);
        group.bytes += bytes;
        group.written = group.written.max(written);
    }
    Ok(groups.into_values().collect())
}

/// `None` for what is no file, or not there any more.
fn size_and_time(entry: &DirEntry) -> Option<(u64, SystemTime)> {
    let found = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some((found.len(), found.modified().ok()?))
}
