//! Plans: what is checked, which step is next, and their lives.

pub(crate) mod run;
mod schedule;
mod validate;
