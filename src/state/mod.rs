//! Who is there, who may run, why it ends, and who waits for that.

pub(crate) mod cancellation;
pub(crate) mod completion;
pub(crate) mod execution;
pub(crate) mod input;
pub(crate) mod lease;
pub(crate) mod listeners;
pub(crate) mod login;
pub(crate) mod plan;
pub(crate) mod registry;
pub(crate) mod secrets;
pub(crate) mod slots;
