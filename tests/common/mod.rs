//! What the tests of the crate share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use execution_engine::{
    Command, EventHandler, ExecutionConfig, ExecutionEngine, ExecutionEvent, ExecutionRequest,
    ExecutionResult,
};
use tokio::sync::Notify;

/// An engine with a log directory of its own, which lives as long as the returned guard.
pub fn engine() -> (ExecutionEngine, tempfile::TempDir) {
    engine_with(ExecutionConfig::default())
}

pub fn engine_with(config: ExecutionConfig) -> (ExecutionEngine, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = ExecutionConfig {
        log_dir: dir.path().join("logs"),
        ..config
    };
    (
        ExecutionEngine::new(config).expect("a valid configuration"),
        dir,
    )
}

pub fn shell(command: &str) -> ExecutionRequest {
    ExecutionRequest::new(Command::shell(command))
}

pub async fn run(engine: &ExecutionEngine, request: ExecutionRequest) -> Arc<ExecutionResult> {
    let id = engine.execute(request).await.expect("an accepted request");
    engine
        .wait_for_completion(id)
        .await
        .expect("a known execution")
}

/// Remembers the events it is told.
#[derive(Default)]
pub struct Recorder {
    events: Mutex<Vec<ExecutionEvent>>,
    told: Notify,
}

impl Recorder {
    pub fn events(&self) -> Vec<ExecutionEvent> {
        self.events
            .lock()
            .expect("no panic while recording")
            .clone()
    }

    /// Resolves once the events are as wanted.
    pub async fn wait_for(&self, wanted: impl Fn(&[ExecutionEvent]) -> bool) {
        loop {
            let told = self.told.notified();
            if wanted(&self.events()) {
                return;
            }
            told.await;
        }
    }
}

#[async_trait]
impl EventHandler for Recorder {
    async fn on_event(&self, event: ExecutionEvent) {
        self.events
            .lock()
            .expect("no panic while recording")
            .push(event);
        self.told.notify_waiters();
    }
}

/// The live processes whose command line holds the mark.
#[cfg(target_os = "linux")]
pub fn survivors(mark: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("a readable /proc");
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(mark)
        })
        .collect()
}

/// The live processes whose command line holds the mark.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn survivors(mark: &str) -> Vec<u32> {
    let list = std::process::Command::new("ps")
        .args(["-A", "-o", "pid=,args="])
        .output()
        .expect("a list of processes");
    String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|line| line.contains(mark))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

/// A number of seconds to sleep that marks a process: nobody else sleeps just that long.
pub fn mark() -> String {
    format!(
        "{}.{:09}",
        600,
        uuid::Uuid::new_v4().as_u128() % 1_000_000_000
    )
}
