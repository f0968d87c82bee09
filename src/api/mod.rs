//! What users pass and get. It knows nothing of the rest of the crate.

mod checks;
pub(crate) mod command;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod failure;
pub(crate) mod inherit;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod path;
pub(crate) mod plan;
pub(crate) mod quote;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod retry;
pub(crate) mod stdin;
pub(crate) mod step;
pub(crate) mod step_key;
pub(crate) mod validate;
