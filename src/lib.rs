//! An engine that runs system commands: live lines, bounded memory, truthful results, and no process left
//! behind.
//!
//! ```no_run
//! use execution_engine::{Command, ExecutionConfig, ExecutionEngine, ExecutionRequest};
//!
//! # async fn example() -> Result<(), execution_engine::ExecutionError> {
//! let engine = ExecutionEngine::new(ExecutionConfig::default())?;
//! let id = engine.execute(ExecutionRequest::new(Command::shell("uname -a"))).await?;
//! let result = engine.wait_for_completion(id).await?;
//! assert!(result.success);
//! # Ok(())
//! # }
//! ```

mod api;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_support;
mod engine;
mod execution;
mod masking;
#[cfg(feature = "node")]
mod node;
mod plan;
mod process;
mod state;

pub use api::command::Command;
pub use api::config::{ExecutionConfig, OversizedOutputStrategy};
pub use api::error::{ErrorCode, ExecutionError, Result, ValidationError};
pub use api::event::{
    Ended, EventHandler, ExecutionEvent, Origin, OutputBatch, OutputChunk, OutputStream,
};
pub use api::failure::ExecutionFailedError;
pub use api::inherit::{InheritEnv, User};
pub use api::log::{LogLine, LogPage};
pub use api::output::{OutputBytes, OutputOrder, SplitOn, StderrTarget, StdoutTarget};
pub use api::plan::{
    ExecutionPlan, ExecutionStats, ExecutionStrategy, PlanExecutionResult, PlanSteps,
};
pub use api::quote::quote;
pub use api::request::{ExecutionMetadata, ExecutionRequest, StopSignal};
pub use api::result::{
    CpuUsage, ExecutionAttempt, ExecutionFilter, ExecutionResult, ExecutionStatus,
    ExecutionSummary, ResultErrorCode,
};
pub use api::retry::Retry;
pub use api::stdin::{Stdin, StdinReader};
pub use api::step::{PlanStep, RequestFn, StepRequest, StepResults, When};
pub use api::step_key::StepKey;
pub use engine::{ExecuteOptions, ExecutionEngine, RemoveOptions};
pub use execution::output::follow::LogFollower;
pub use execution::subscription::Subscription;
pub use masking::secret::Secret;
pub use plan::check::{
    CheckOptions, CheckedPlan, CheckedRequest, CheckedStep, check_plan, check_request,
};
pub use process::environment::Environment;

/// `cargo test` runs the examples of the README too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// And those of the pages.
#[cfg(doctest)]
#[doc = include_str!("../docs/commands.md")]
struct CommandsPage;
