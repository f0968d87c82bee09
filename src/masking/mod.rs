//! Secrets: what they are, the forms they are printed in, and how these are found in a stream and replaced.
//!
//! It knows nothing of executions, and everything else may use it: what must not be shown may stand in output, in a
//! message, or in what is printed of a type for debugging.

mod filter;
pub(crate) mod mask;
mod search;
pub(crate) mod secret;
pub(crate) mod stream;
pub(crate) mod text;
mod variants;
