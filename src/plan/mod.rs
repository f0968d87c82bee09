//! Plans: what is checked, which step is next, and their lives.

mod making;
pub(crate) mod run;
mod schedule;
mod validate;
