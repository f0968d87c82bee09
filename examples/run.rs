//! Runs a few commands and prints their lines as they come: `cargo run --example run`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use async_trait::async_trait;
use execution_engine::{
    Command, EventHandler, ExecutionConfig, ExecutionEngine, ExecutionError, ExecutionEvent,
    ExecutionRequest,
};

struct Printer;

#[async_trait]
impl EventHandler for Printer {
    async fn on_event(&self, event: ExecutionEvent) {
        match event {
            ExecutionEvent::Started { command, pid, .. } => println!("started {pid}: {command}"),
            ExecutionEvent::Stdout { line, .. } => println!("  {line}"),
            ExecutionEvent::Stderr { line, .. } => println!("  (stderr) {line}"),
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), ExecutionError> {
    let engine =
        ExecutionEngine::new(ExecutionConfig::default())?.with_event_handler(Arc::new(Printer));
    let requests = [
        ExecutionRequest::new(Command::exec("uname", ["-sr"])),
        ExecutionRequest::new(Command::shell(
            "for i in 1 2 3; do echo $i; sleep 0.1; done | tac",
        )),
        ExecutionRequest {
            timeout_ms: Some(300),
            ..ExecutionRequest::new(Command::shell("echo waiting; sleep 60"))
        },
    ];
    for request in requests {
        let id = engine.execute(request).await?;
        let result = engine.wait_for_completion(id).await?;
        println!(
            "{} in {} ms, exit code {:?}",
            result.status.as_str(),
            result.duration_ms,
            result.exit_code
        );
    }
    engine.shutdown().await;
    Ok(())
}
