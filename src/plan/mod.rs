//! Plans: what is checked, which step is next, and their lives.

pub(crate) mod check;
pub(crate) mod context;
mod ends;
pub(crate) mod enter;
mod making;
mod ready;
pub(crate) mod run;
pub(crate) mod schedule;
mod settle;
mod steps;
mod tell;
mod turns;
mod validate;
