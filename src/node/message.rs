//! What is told to JavaScript, and how it is put into values.

use std::sync::Arc;

use napi::bindgen_prelude::{BufferSlice, FnArgs, ToNapiValue};
use napi::{Env, sys};
use napi_derive::napi;

use super::error::Failure;
use super::js_string::Text;
use super::window::Window;
use crate::api::event::OutputStream;
use crate::api::plan::PlanExecutionResult;
use crate::api::result::{ExecutionAttempt, ExecutionResult};
use crate::execution::output::buffers;

/// One call of the dispatcher in `lib/channel.js`: what, for whom, and up to five values.
pub type Args = FnArgs<(u32, u32, Value, Value, Value, Value, Value)>;

/// The kinds of messages, as JavaScript knows them.
#[napi]
pub enum Told {
    /// A batch of lines.
    Output,
    /// An execution waits for a slot.
    Pending,
    /// The start of an execution.
    Started,
    /// The end of an execution.
    Ended,
    /// A request or plan was accepted.
    Accepted,
    /// The answer to a question, or why there is none.
    Settled,
    /// Something to warn of.
    Warning,
    /// How far a plan is.
    Progress,
    /// The end of a plan.
    PlanEnded,
    /// The request of a step is to be made.
    Make,
    /// What was read of a stream at once.
    Bytes,
    /// A line that is not finished.
    Unfinished,
    /// That another attempt follows.
    Retrying,
    /// Nothing: that it comes shows that the thread is not busy with something else.
    Turn,
}

/// What is told.
#[derive(Debug)]
pub(super) enum Message {
    Output {
        token: u32,
        stream: OutputStream,
        text: Text,
        partial: Vec<u32>,
        at: f64,
        size: usize,
        window: Arc<Window>,
    },
    Pending {
        token: u32,
        at: f64,
    },
    Bytes {
        token: u32,
        stream: OutputStream,
        bytes: Vec<u8>,
        size: usize,
        window: Arc<Window>,
    },
    Unfinished {
        token: u32,
        stream: OutputStream,
        line: Text,
        at: f64,
        size: usize,
        window: Arc<Window>,
    },
    Started {
        token: u32,
        pid: u32,
        command: String,
        at: f64,
    },
    Retrying {
        token: u32,
        values: Box<[Value; 4]>,
    },
    Ended {
        token: u32,
        result: Option<Box<[Value; 5]>>,
    },
    Accepted {
        token: u32,
    },
    Settled {
        token: u32,
        outcome: Result<Value, Failure>,
    },
    Warning {
        code: &'static str,
        text: String,
    },
    Progress {
        token: u32,
        completed: usize,
        total: usize,
        command: Option<String>,
        at: f64,
    },
    PlanEnded {
        token: u32,
        result: Option<Vec<Value>>,
        at: f64,
    },
    Make {
        token: u32,
        step: usize,
        question: u32,
    },
    Turn {
        token: u32,
        window: Arc<Window>,
    },
}

/// A value of JavaScript.
#[derive(Debug)]
pub enum Value {
    Undefined,
    Number(f64),
    Text(Text),
    Bytes(Bytes),
    List(Vec<Self>),
    Numbers(Vec<u32>),
    Failure(Failure),
}

/// Bytes for a `Buffer`, which has a copy: memory that is not its own is refused by some hosts.
#[derive(Debug)]
pub enum Bytes {
    Own(Vec<u8>),
    Output(Arc<ExecutionResult>, OutputStream),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Output(result, stream) => match (&result.bytes, stream) {
                (Some(bytes), OutputStream::Stdout) => &bytes.stdout,
                (Some(bytes), OutputStream::Stderr) => &bytes.stderr,
                (None, _) => &[],
            },
        }
    }

    fn give_back(self) {
        if let Self::Own(bytes) = self {
            buffers::give(bytes);
        }
    }
}

impl Value {
    pub fn text(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl Message {
    /// Notes that it has come to the JavaScript thread, on which this is called.
    pub fn received(self) -> Self {
        if let Self::Output { size, window, .. }
        | Self::Bytes { size, window, .. }
        | Self::Unfinished { size, window, .. } = &self
        {
            window.receive(*size);
        }
        if let Self::Turn { window, .. } = &self {
            window.pass(1);
        }
        self
    }

    /// That another attempt follows, after one that went wrong.
    pub fn retrying(
        token: u32,
        attempt: u64,
        delay_ms: u64,
        ended: &ExecutionAttempt,
        at: f64,
    ) -> Self {
        let [attempt, delay_ms] = [attempt, delay_ms].map(|count| Value::Number(number(count)));
        let ended = serde_json::to_string(ended).unwrap_or_default();
        let values = [attempt, delay_ms, Value::text(ended), Value::Number(at)];
        Self::Retrying {
            token,
            values: Box::new(values),
        }
    }

    /// Called on the JavaScript thread.
    pub fn into_args(self) -> Args {
        let (kind, token, [first, second, third, fourth, fifth]) = self.into_parts();
        (kind as u32, token, first, second, third, fourth, fifth).into()
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of message")]
    fn into_parts(self) -> (Told, u32, [Value; 5]) {
        use Value::{Number, Numbers, Undefined};
        match self {
            Self::Output {
                token,
                stream,
                text,
                partial,
                at,
                size,
                ..
            } => {
                let partial = if partial.is_empty() {
                    Undefined
                } else {
                    Numbers(partial)
                };
                let [stream, size] =
                    [stream as u64, size as u64].map(|count| Number(number(count)));
                let values = [stream, Value::Text(text), partial, Number(at), size];
                (Told::Output, token, values)
            }
            Self::Pending { token, at } => (Told::Pending, token, filled_up([Number(at)])),
            Self::Bytes {
                token,
                stream,
                bytes,
                size,
                ..
            } => {
                let [stream, size] =
                    [stream as u64, size as u64].map(|count| Number(number(count)));
                let values = [stream, Value::Bytes(Bytes::Own(bytes)), size];
                (Told::Bytes, token, filled_up(values))
            }
            Self::Unfinished {
                token,
                stream,
                line,
                at,
                size,
                ..
            } => {
                let [stream, size] =
                    [stream as u64, size as u64].map(|count| Number(number(count)));
                let values = [stream, Value::Text(line), Number(at), size];
                (Told::Unfinished, token, filled_up(values))
            }
            Self::Started {
                token,
                pid,
                command,
                at,
            } => {
                let values = [Number(pid.into()), Value::text(command), Number(at)];
                (Told::Started, token, filled_up(values))
            }
            Self::Retrying { token, values } => (Told::Retrying, token, filled_up(*values)),
            Self::Ended { token, result } => {
                let values = result.map_or_else(|| filled_up([]), |result| *result);
                (Told::Ended, token, values)
            }
            Self::Turn { token, .. } => (Told::Turn, token, filled_up([])),
            Self::Accepted { token } => (Told::Accepted, token, filled_up([])),
            Self::Settled { token, outcome } => {
                let values = match outcome {
                    Ok(value) => [Undefined, value],
                    Err(failure) => [Value::Failure(failure), Undefined],
                };
                (Told::Settled, token, filled_up(values))
            }
            Self::Progress {
                token,
                completed,
                total,
                command,
                at,
            } => {
                let command = command.map_or(Undefined, Value::text);
                let [completed, total] =
                    [completed, total].map(|count| Number(number(count as u64)));
                (
                    Told::Progress,
                    token,
                    filled_up([completed, total, command, Number(at)]),
                )
            }
            Self::PlanEnded { token, result, at } => {
                let result = result.map_or(Undefined, Value::List);
                (Told::PlanEnded, token, filled_up([result, Number(at)]))
            }
            Self::Make {
                token,
                step,
                question,
            } => {
                let values = [Number(number(step as u64)), Number(question.into())];
                (Told::Make, token, filled_up(values))
            }
            Self::Warning { code, text } => {
                let values = [Value::text(text), Value::text(code.to_owned())];
                (Told::Warning, 0, filled_up(values))
            }
        }
    }
}

fn filled_up<const N: usize>(values: [Value; N]) -> [Value; 5] {
    let mut values = values.into_iter();
    std::array::from_fn(|_| values.next().unwrap_or(Value::Undefined))
}

/// A result as JSON without its output, and its output: as text, and as bytes if it has them.
pub(super) fn wire_result(result: &Arc<ExecutionResult>) -> [Value; 5] {
    let json = result.without_output(|result| serde_json::to_string(result).unwrap_or_default());
    let text = |stream| Value::Text(Text::output(result, stream));
    let bytes = |stream| match result.bytes {
        Some(_) => Value::Bytes(Bytes::Output(Arc::clone(result), stream)),
        None => Value::Undefined,
    };
    [
        Value::text(json),
        text(OutputStream::Stdout),
        text(OutputStream::Stderr),
        bytes(OutputStream::Stdout),
        bytes(OutputStream::Stderr),
    ]
}

/// The result of a plan in JSON without the results of its steps, and those, in five parts each.
pub(super) fn wire_plan(plan: &PlanExecutionResult) -> Vec<Value> {
    let own = PlanExecutionResult {
        results: Vec::new(),
        description: plan.description.clone(),
        ..*plan
    };
    // It has string keys and no fallible conversions.
    let json = serde_json::to_string(&own).unwrap_or_default();
    let steps = plan.results.iter().flat_map(wire_result);
    [Value::text(json)].into_iter().chain(steps).collect()
}

pub(super) fn millis(time: chrono::DateTime<chrono::Utc>) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact for the next 285 000 years"
    )]
    let millis = time.timestamp_millis() as f64;
    millis
}

fn number(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let number = count as f64;
    number
}

impl ToNapiValue for Value {
    unsafe fn to_napi_value(env: sys::napi_env, value: Self) -> napi::Result<sys::napi_value> {
        match value {
            // SAFETY: the caller answers for `env`.
            Self::Undefined => unsafe { ToNapiValue::to_napi_value(env, ()) },
            // SAFETY: the caller answers for `env`.
            Self::Number(number) => unsafe { ToNapiValue::to_napi_value(env, number) },
            // SAFETY: the caller answers for `env`.
            Self::Numbers(numbers) => unsafe { ToNapiValue::to_napi_value(env, numbers) },
            // SAFETY: the caller answers for `env`.
            Self::Failure(failure) => unsafe { ToNapiValue::to_napi_value(env, failure) },
            // SAFETY: the caller answers for `env`.
            Self::List(values) => unsafe { ToNapiValue::to_napi_value(env, values) },
            Self::Bytes(bytes) => {
                let buffer = BufferSlice::copy_from(&Env::from_raw(env), bytes.as_slice())?;
                bytes.give_back();
                // SAFETY: the caller answers for `env`.
                unsafe { ToNapiValue::to_napi_value(env, buffer) }
            }
            Self::Text(text) => text.into_value(Env::from_raw(env)),
        }
    }
}
