//! What Linux does in its own way: starting without copying, telling of processes in `/proc`, and the roll that the
//! guardian reads. Other systems with a `/proc` like it go the same way.

pub(crate) mod account;
mod adopter;
mod clone3;
mod procfs;
mod roll;

pub(super) use adopter::adopter;
pub(super) use clone3::start;
pub(crate) use procfs::inherited_tags;
pub(super) use procfs::{
    all_pids, can_look, is_executing, is_in_own_cgroup, is_process, last_pid, now, read_process,
    read_variables,
};
pub(super) use roll::{Entry, Place, file as roll};

/// The program of the guardian.
pub(super) const GUARDIAN: &str = include_str!("guardian.sh");
