//! What happens, on its way to a WebSocket: no faster than it is taken.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use execution_engine::{ExecutionError, LogFollower, Result, Subscription};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How many events are in one message at most.
const EVENTS: usize = 500;

/// How long the other side has to close the connection as well.
const GOODBYE: Duration = Duration::from_secs(1);

/// The longest reason that the protocol has room for, in bytes.
const REASON: usize = 123;

/// What is passed on.
pub enum Source {
    Events(Subscription),
    Log(LogFollower),
}

impl Source {
    /// The next message, a list in JSON; `None` when there is none to come. May be dropped before it is there.
    async fn next(&mut self) -> Result<Option<String>> {
        match self {
            Self::Events(events) => list(&events.next_many(EVENTS).await),
            Self::Log(log) => list(&log.next_many().await?),
        }
    }
}

fn list<T: Serialize>(items: &[T]) -> Result<Option<String>> {
    if items.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string(items);
    json.map(Some)
        .map_err(|error| ExecutionError::Internal(error.to_string()))
}

/// Sends all there is. Whoever leaves before the end leaves the command alone.
pub async fn pass_on(mut socket: WebSocket, mut source: Source, _watching: mpsc::Sender<()>) {
    let end = loop {
        let next = tokio::select! {
            next = source.next() => next,
            said = socket.recv() => match said {
                // Nothing is expected; a ping is answered by the library.
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        match next {
            Ok(Some(list)) => {
                if socket.send(Message::text(list)).await.is_err() {
                    return;
                }
            }
            Ok(None) => break closing(close_code::NORMAL, ""),
            Err(error) => break closing(close_code::ERROR, &error.to_string()),
        }
    };
    if socket.send(end).await.is_ok() {
        let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
        drop(timeout(GOODBYE, closed).await);
    }
}

fn closing(code: u16, reason: &str) -> Message {
    let fits = (0..=REASON.min(reason.len())).rfind(|&end| reason.is_char_boundary(end));
    Message::Close(Some(CloseFrame {
        code,
        reason: reason[..fits.unwrap_or(0)].into(),
    }))
}
