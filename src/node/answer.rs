//! Answers to questions of JavaScript that take their time.

use std::sync::Arc;

use super::channel::Shared;
use super::error::Failure;
use super::message::{Message, Value};
use super::runtime;
use crate::api::error::{ExecutionError, Result};

/// Settles `token` with what a question comes to.
pub(super) fn answer(
    channel: &Arc<Shared>,
    token: u32,
    question: impl Future<Output = Result<Value>> + Send + 'static,
) {
    answer_to(channel, token, move || question);
}

/// The same for what is to be asked in the order of the calls.
pub(super) fn answer_to<F: Future<Output = Result<Value>> + Send + 'static>(
    channel: &Arc<Shared>,
    token: u32,
    ask: impl FnOnce() -> F + Send + 'static,
) {
    let channel = Arc::clone(channel);
    let answer = move |outcome: Result<Value>| {
        let outcome = outcome.map_err(Failure::from);
        channel.send(Message::Settled { token, outcome });
    };
    runtime::once_there(move |runtime| match runtime {
        Ok(runtime) => {
            let question = ask();
            drop(runtime.spawn(async move { answer(question.await) }));
        }
        Err(error) => answer(Err(without_runtime(error))),
    });
}

pub(super) fn without_runtime(error: &std::io::Error) -> ExecutionError {
    internal(format_args!(
        "the threads of the engine cannot be started: {error}"
    ))
}

pub(super) fn internal(error: impl std::fmt::Display) -> ExecutionError {
    ExecutionError::Internal(error.to_string())
}
