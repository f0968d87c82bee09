//! Plans: what is checked, which step is next, and their lives.

pub(crate) mod check;
mod making;
mod ready;
pub(crate) mod run;
pub(crate) mod schedule;
mod turns;
mod validate;
