//! One execution from its acceptance to its result.

mod begin;
pub(crate) mod handlers;
pub(crate) mod input;
pub(crate) mod login;
pub(crate) mod output;
pub(crate) mod resolve;
mod result;
pub(crate) mod retry;
pub(crate) mod running;
pub(crate) mod secrets;
pub(crate) mod settle;
pub(crate) mod start;
pub(crate) mod subscription;
mod supervise;
