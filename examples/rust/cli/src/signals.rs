//! Ctrl-C, and requests to end: everything ends then.

use std::sync::{Arc, OnceLock};

use execution_engine::ExecutionEngine;
use uuid::Uuid;

/// How this program was asked to end.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// By Ctrl-C.
    Interrupt,
    /// By another program, or because the terminal was closed.
    Terminate,
}

/// Whether and how it was asked, the first time.
#[derive(Debug, Clone, Default)]
pub struct First(Arc<OnceLock<Asked>>);

impl First {
    pub fn first(&self) -> Option<Asked> {
        self.0.get().copied()
    }
}

/// Cancels an execution or a plan when this program is asked to end. Whoever asks again does not wait for the grace.
pub fn cancel_when_asked(engine: &ExecutionEngine, id: Uuid) -> std::io::Result<First> {
    let first = First::default();
    let (engine, told) = (engine.clone(), first.clone());
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        while let Some(asked) = signals.next().await {
            told.0.get_or_init(|| asked);
            let engine = engine.clone();
            // Not awaited: a second request is to be heard meanwhile. An error says that it has ended.
            tokio::spawn(async move { engine.cancel_with_reason(id, "interrupted").await });
        }
    });
    Ok(first)
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn next(&mut self) -> Option<Asked> {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            asked = interrupt.recv() => asked.map(|()| Asked::Interrupt),
            asked = terminate.recv() => asked.map(|()| Asked::Terminate),
            asked = hangup.recv() => asked.map(|()| Asked::Terminate),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Option<Asked> {
        let pressed = tokio::signal::ctrl_c().await;
        pressed.ok().map(|()| Asked::Interrupt)
    }
}
