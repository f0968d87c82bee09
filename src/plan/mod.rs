//! Plans: what is checked, which step is next, and their lives.

mod making;
mod ready;
pub(crate) mod run;
mod schedule;
mod turns;
mod validate;
