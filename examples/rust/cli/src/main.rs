//! Runs a command, or a plan from a file, and passes on what it prints as it is printed.
//!
//! It ends as the command did: 0 for success, else its exit code, 128 + n where a signal ended it, 127 where it could not be
//! started; of a plan, that of the first step that failed. 2 is bad input, 124 a deadline, 130 Ctrl-C (143 a request to end).
//! Whatever ends it, nothing that it has started is left.

mod arguments;
mod exit;
mod printer;
mod signals;

use std::error::Error;
use std::io::{Write as _, stderr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use execution_engine::{ExecutionConfig, ExecutionEngine, Subscription};
use uuid::Uuid;

use arguments::{Arguments, What};
use exit::Exit;
use printer::Printer;
use signals::Asked;

/// No deadline unless one is asked for: a year, in milliseconds.
const NEVER_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// What is kept of the output for a result that nobody reads, in bytes.
const KEPT: usize = 4096;

/// How long what was printed before the end may still take to be passed on, where its reader has stopped reading.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let what = match Arguments::parse().read() {
        Ok(what) => what,
        Err(problem) => return fail(&*problem),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(problem) => return fail(&problem),
    };
    let exit = runtime.block_on(run(what));
    // A write to a pipe that nobody reads may never end.
    runtime.shutdown_background();
    exit.unwrap_or_else(|problem| fail(&*problem))
}

/// Says what is wrong with what was asked for.
fn fail(problem: &dyn Error) -> ExitCode {
    drop(writeln!(stderr(), "execute: {problem}"));
    Exit::BAD_INPUT.into()
}

async fn run(what: What) -> Result<ExitCode, Box<dyn Error>> {
    let engine = ExecutionEngine::new(ExecutionConfig {
        default_timeout_ms: NEVER_MS,
        max_timeout_ms: NEVER_MS,
        max_output_size_bytes: KEPT,
        log_output: false,
        ..ExecutionConfig::default()
    })?;
    let is_plan = matches!(what, What::Plan(_));
    let (id, events) = match what {
        What::Command(request) => engine.execute_subscribed(*request).await?,
        What::Plan(plan) => engine.execute_plan_subscribed(*plan).await?,
    };
    let asked = signals::cancel_when_asked(&engine, id)?;
    let mut exit = show(&engine, id, events, is_plan).await?;
    engine.shutdown().await;
    if let (Exit::CANCELLED, Some(asked)) = (exit, asked.first()) {
        exit = match asked {
            Asked::Interrupt => Exit::INTERRUPTED,
            Asked::Terminate => Exit::TERMINATED,
        };
    }
    Ok(exit.into())
}

/// Passes everything on until it has ended; ends it where nobody reads any more.
async fn show(
    engine: &ExecutionEngine,
    id: Uuid,
    events: Subscription,
    is_plan: bool,
) -> Result<Exit, Box<dyn Error>> {
    let mut printer = Printer::new(is_plan);
    let outcome = tokio::select! {
        outcome = printer.print(events) => outcome,
        () = end_and_patience(engine, id, is_plan) => Ok(()),
    };
    if outcome.is_err() {
        // It may have ended meanwhile.
        drop(
            engine
                .cancel_with_reason(id, "nobody reads its output")
                .await,
        );
    }
    let exit = if is_plan {
        Exit::of_plan(&*engine.wait_for_plan(id).await?)
    } else {
        Exit::of(&*engine.wait_for_completion(id).await?)
    };
    match outcome {
        Err(_) => Ok(Exit::OUTPUT_CLOSED),
        Ok(()) => Ok(exit),
    }
}

async fn end_and_patience(engine: &ExecutionEngine, id: Uuid, is_plan: bool) {
    let known = if is_plan {
        engine.wait_for_plan(id).await.is_ok()
    } else {
        engine.wait_for_completion(id).await.is_ok()
    };
    debug_assert!(known, "{id} is remembered");
    tokio::time::sleep(LAST_WORDS).await;
}
