//! One execution, told to JavaScript.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use napi_derive::napi;

use super::channel::Shared;
use super::message::{Message, millis, wire_plan, wire_result};
use super::window::Window;
use crate::api::error::ExecutionError;
use crate::api::event::{EventHandler, ExecutionEvent, OutputBatch, OutputChunk, OutputStream};
use crate::api::result::ExecutionResult;
use crate::process::guardian;
use crate::state::cancellation::{Cause, Stop};
use crate::state::listeners::Listener;
use crate::state::login;

/// How long the rest of a turn of the event loop takes that does nothing else.
const END_OF_TURN: Duration = Duration::from_millis(20);

/// What JavaScript may want to be told of an execution: one bit each.
#[napi]
pub enum Wanted {
    /// Lines of standard output.
    Stdout = 1,
    /// Lines of standard error.
    Stderr = 2,
    /// How it ended.
    Result = 4,
    /// Events besides lines and the end: starts, that another attempt follows, and the progress of a plan.
    Started = 8,
    /// Whether the promise of `execute` is to be settled.
    Accepted = 16,
    /// It was cancelled before it was asked for: it is never started.
    Nothing = 32,
    /// What is read of standard output, as bytes.
    StdoutBytes = 64,
    /// What is read of standard error, as bytes.
    StderrBytes = 128,
}

/// What JavaScript wants to be told of an execution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants(pub u32);

impl Wants {
    pub fn has(self, wanted: Wanted) -> bool {
        self.0 & wanted as u32 != 0
    }

    /// What it is asked to begin with; `reason` is that of a cancel.
    pub fn stop(self, reason: Option<String>) -> Arc<Stop> {
        let stop = Arc::<Stop>::default();
        if self.has(Wanted::Nothing) {
            stop.ask(Cause::Cancel(reason.map(Into::into)));
        }
        stop
    }
}

/// Passes on what happens to one execution, no faster than it is taken.
#[derive(Debug)]
pub(super) struct Handler {
    token: u32,
    channel: Arc<Shared>,
    wants: Wants,
    /// How many listeners the engine as a whole has.
    subscribers: Arc<AtomicUsize>,
    window: Arc<Window>,
}

impl Handler {
    /// One that tells everything of an execution that was accepted before.
    pub fn of_subscription(token: u32, channel: Arc<Shared>) -> Self {
        let wants = [
            Wanted::Stdout,
            Wanted::Stderr,
            Wanted::Result,
            Wanted::Started,
        ];
        let wants = wants.into_iter().fold(0, |all, one| all | one as u32);
        Self::new(token, channel, Wants(wants), Arc::default())
    }

    pub fn new(
        token: u32,
        channel: Arc<Shared>,
        wants: Wants,
        subscribers: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            token,
            channel,
            wants,
            subscribers,
            window: Arc::default(),
        }
    }

    pub fn window(&self) -> &Arc<Window> {
        &self.window
    }

    fn wants(&self, wanted: Wanted) -> bool {
        self.wants.has(wanted) || self.subscribers.load(Ordering::Relaxed) > 0
    }
}

impl Handler {
    /// Tells how it ended, and nothing after that.
    pub fn tell_end(&self, result: &Arc<ExecutionResult>) {
        let token = self.token;
        self.channel.forget(token);
        let result = self
            .wants(Wanted::Result)
            .then(|| Box::new(wire_result(result)));
        self.channel.send(Message::Ended { token, result });
    }

    /// Lines come in batches; one that is not finished comes by itself.
    async fn tell_unfinished(&self, stream: OutputStream, line: String, at: DateTime<Utc>) {
        self.window.room().await;
        let size = line.len();
        self.window.send(size);
        self.channel.send(Message::Unfinished {
            token: self.token,
            stream,
            line: line.into(),
            at: millis(at),
            size,
            window: Arc::clone(&self.window),
        });
    }
}

#[async_trait]
impl Listener for Handler {
    fn behind_since(&self) -> Option<Instant> {
        self.window.behind_since()
    }

    async fn has_its_turn(&self) {
        self.window.send(1);
        self.channel.send(Message::Turn {
            token: self.token,
            window: Arc::clone(&self.window),
        });
        self.window.all_received().await;
        // What was taken in that turn is told at the end of it.
        tokio::time::sleep(END_OF_TURN).await;
    }

    fn give_up(&self, reason: &str) {
        let token = self.token;
        self.window.close();
        if self.channel.forget(token) {
            let outcome = Err(ExecutionError::Io {
                context: "not all events were taken".into(),
                source: io::Error::new(io::ErrorKind::TimedOut, reason),
            });
            let outcome = outcome.map_err(Into::into);
            self.channel.send(Message::Settled { token, outcome });
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.channel.abandon(self.token);
    }
}

#[async_trait]
impl EventHandler for Handler {
    async fn on_event(&self, event: ExecutionEvent) {
        let token = self.token;
        match event {
            ExecutionEvent::Pending { timestamp, .. } => {
                if self.wants(Wanted::Started) {
                    let at = millis(timestamp);
                    self.channel.send(Message::Pending { token, at });
                }
            }
            ExecutionEvent::Started {
                pid,
                command,
                timestamp,
                ..
            } => {
                if let Some(problem) = guardian::problem() {
                    warn_of_guardian(&self.channel, &problem);
                }
                if let Some(problem) = login::problem() {
                    warn_of_login(&self.channel, problem);
                }
                if self.wants(Wanted::Started) {
                    self.channel.send(Message::Started {
                        token,
                        pid,
                        command,
                        at: millis(timestamp),
                    });
                }
            }
            ExecutionEvent::Retrying {
                attempt,
                delay_ms,
                ended,
                timestamp,
                ..
            } if self.wants(Wanted::Started) => {
                let at = millis(timestamp);
                let message = Message::retrying(token, attempt, delay_ms, &ended, at);
                self.channel.send(message);
            }
            ExecutionEvent::Completed(ended)
            | ExecutionEvent::Failed(ended)
            | ExecutionEvent::Cancelled(ended)
            | ExecutionEvent::Timeout(ended)
            | ExecutionEvent::Skipped(ended) => self.tell_end(&ended.result),
            ExecutionEvent::Stdout {
                line, timestamp, ..
            } => {
                self.tell_unfinished(OutputStream::Stdout, line, timestamp)
                    .await;
            }
            ExecutionEvent::Stderr {
                line, timestamp, ..
            } => {
                self.tell_unfinished(OutputStream::Stderr, line, timestamp)
                    .await;
            }
            ExecutionEvent::Retrying { .. }
            | ExecutionEvent::Progress { .. }
            | ExecutionEvent::PlanCompleted { .. } => {}
        }
    }

    async fn on_output(&self, mut batch: OutputBatch) {
        self.window.room().await;
        let (stream, at) = (batch.stream, millis(batch.timestamp));
        let partial = std::mem::take(&mut batch.partial);
        let text = batch.into_text();
        let size = text.len();
        self.window.send(size);
        self.channel.send(Message::Output {
            token: self.token,
            stream,
            text: text.into(),
            partial,
            at,
            size,
            window: Arc::clone(&self.window),
        });
    }

    async fn on_bytes(&self, chunk: OutputChunk) {
        self.window.room().await;
        self.window.send(chunk.bytes.len());
        self.channel.send(Message::Bytes {
            token: self.token,
            stream: chunk.stream,
            size: chunk.bytes.len(),
            bytes: chunk.bytes,
            window: Arc::clone(&self.window),
        });
    }

    /// Of bytes the listeners of the engine as a whole are not told.
    fn wants_bytes(&self, stream: OutputStream) -> bool {
        self.wants.has(match stream {
            OutputStream::Stdout => Wanted::StdoutBytes,
            OutputStream::Stderr => Wanted::StderrBytes,
        })
    }

    fn wants_unfinished(&self) -> bool {
        self.wants(Wanted::Started)
    }

    fn wants_output(&self, stream: OutputStream) -> bool {
        self.wants(match stream {
            OutputStream::Stdout => Wanted::Stdout,
            OutputStream::Stderr => Wanted::Stderr,
        })
    }

    async fn reached(&self) {
        self.window.all_received().await;
    }

    async fn flush(&self) {
        self.window.all_taken().await;
    }
}

/// Passes on what happens to one plan; of its steps, their own handlers tell.
#[derive(Debug)]
pub(super) struct PlanHandler {
    pub token: u32,
    pub channel: Arc<Shared>,
    pub wants: Wants,
    pub subscribers: Arc<AtomicUsize>,
}

impl PlanHandler {
    fn wants(&self, wanted: Wanted) -> bool {
        self.wants.has(wanted) || self.subscribers.load(Ordering::Relaxed) > 0
    }
}

impl Drop for PlanHandler {
    fn drop(&mut self) {
        self.channel.abandon(self.token);
    }
}

#[async_trait]
impl EventHandler for PlanHandler {
    async fn on_event(&self, event: ExecutionEvent) {
        let token = self.token;
        match event {
            ExecutionEvent::Progress {
                completed,
                total,
                current_command: command,
                timestamp,
                ..
            } if self.wants(Wanted::Started) => self.channel.send(Message::Progress {
                token,
                completed,
                total,
                command,
                at: millis(timestamp),
            }),
            ExecutionEvent::PlanCompleted {
                result, timestamp, ..
            } => {
                self.channel.forget(token);
                let result = self.wants(Wanted::Result).then(|| wire_plan(&result));
                self.channel.send(Message::PlanEnded {
                    token,
                    result,
                    at: millis(timestamp),
                });
            }
            _ => {}
        }
    }

    fn wants_output(&self, _stream: OutputStream) -> bool {
        false
    }
}

/// Once in the life of the process, however many engines it has.
fn warn_once(
    is_warned: &AtomicBool,
    channel: &Shared,
    code: &'static str,
    about: &str,
    problem: &str,
) {
    if !is_warned.swap(true, Ordering::Relaxed) {
        let text = format!("{about}: {problem}");
        channel.send(Message::Warning { code, text });
    }
}

fn warn_of_guardian(channel: &Shared, problem: &str) {
    static IS_WARNED: AtomicBool = AtomicBool::new(false);
    let about = "commands may outlive this process if it is killed: their guardian cannot be started at present";
    warn_once(&IS_WARNED, channel, "ESCHER_NO_GUARDIAN", about, problem);
}

fn warn_of_login(channel: &Shared, problem: &str) {
    static IS_WARNED: AtomicBool = AtomicBool::new(false);
    let about =
        "commands have the PATH of this process, as that of the login shell could not be read";
    warn_once(&IS_WARNED, channel, "ESCHER_NO_LOGIN_PATH", about, problem);
}
