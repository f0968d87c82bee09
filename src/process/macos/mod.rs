//! What macOS does in its own way.

mod darwin;
mod posix_spawn;

pub(crate) use darwin::inherited_tags;
pub(super) use darwin::{
    Entry, adopter, all_pids, can_look, hold_sigpipe, introduce, is_executing, is_in_own_cgroup,
    is_process, last_pid, now, read_process, read_variables, watch_exit,
};
pub(super) use posix_spawn::start;

/// The program of the guardian.
pub(super) const GUARDIAN: &str = include_str!("guardian.sh");
