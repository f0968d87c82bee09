//! The Node channel: what `index.js` and `lib/` call, and how the engine calls back.
//!
//! Everything that goes to JavaScript goes through one queue per evaluation of the package, in order: lines,
//! events, results, answers. So a promise never settles before the lines that came before it were seen.
#![expect(unsafe_code, reason = "values for JavaScript are made here")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "Node-API hands over values, not references"
)]

mod answer;
mod channel;
mod engine;
mod error;
mod follower;
mod handler;
mod js_string;
mod message;
mod request;
mod runtime;
mod schedule;
mod window;
