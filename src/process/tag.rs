//! The private tag of an execution: a variable that every process it starts inherits.
//!
//! Its name is unique to this host process, so that engines inside commands of other engines add to each other, and
//! ids that are used twice do not meet. It is evidence for an orphan only: a variable can be copied, so whoever
//! carries it is not a member for that reason alone.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::environment::Assignment;

/// What the names of the tags of all hosts begin with.
pub(crate) const PREFIX: &str = "ESCHER_TAG_";

/// Digits of a serial: as many for each, so that none is the beginning of another.
const DIGITS: usize = 16;

/// The number of one start among all starts of this host process.
pub(crate) fn next_serial() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The name of the tag of this host process.
pub(crate) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("{PREFIX}{}", Uuid::new_v4().simple()))
}

/// The tag of one start.
pub(crate) fn assignment(serial: u64) -> Assignment {
    Assignment::new(name().as_ref(), text(serial).as_ref())
}

/// A serial as it stands in a tag.
pub(crate) fn text(serial: u64) -> String {
    format!("{serial:0DIGITS$}")
}

/// The serial in the variables of a process, each with a NUL behind it; `None` where there is no tag of this host.
#[cfg(unix)]
pub(crate) fn serial_in(variables: &[u8]) -> Option<u64> {
    variables.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable
            .strip_prefix(name().as_bytes())?
            .strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()?.parse().ok()
    })
}

/// All tags, of whichever host, in the variables of a process.
#[cfg(unix)]
pub(crate) fn tags_in(variables: &[u8]) -> Vec<Assignment> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let assignments = variables.split(|byte| *byte == 0).filter_map(|variable| {
        let equals = variable.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&variable[..equals], &variable[equals + 1..]);
        name.starts_with(PREFIX.as_bytes())
            .then(|| Assignment::new(OsStr::from_bytes(name), OsStr::from_bytes(value)))
    });
    assignments.collect()
}

/// The tags of the engines around this host: whatever it starts belongs to their executions too.
pub(crate) fn outer() -> &'static [Assignment] {
    static OUTER: OnceLock<Vec<Assignment>> = OnceLock::new();
    OUTER.get_or_init(super::system::inherited_tags)
}

/// Whether a variable is a tag, of whichever host.
pub(crate) fn is_tag(variable: &Assignment) -> bool {
    variable.name().starts_with(PREFIX.as_bytes())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_variables_and_only_that_of_this_host() {
        let own = format!("A=1\0{}={}\0B=2\0", name(), text(42));
        assert_eq!(serial_in(own.as_bytes()), Some(42));
        let other = format!("A=1\0{PREFIX}0123={}\0X{}={}\0", text(42), name(), text(7));
        assert_eq!(serial_in(other.as_bytes()), None);
    }
}
