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

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_support;
mod config;
mod engine;
mod error;
mod event;
mod execution;
mod launch;
#[cfg(feature = "node")]
mod node;
mod outcome;
mod plan;
mod process;
mod quote;
mod registry;
mod request;
mod resolve;
mod result;
mod slots;
mod spare;
mod tail;

pub use config::{ExecutionConfig, OversizedOutputStrategy};
pub use engine::{ExecuteOptions, ExecutionEngine};
pub use error::{ErrorCode, ExecutionError, Result, ValidationError};
pub use event::{Ended, EventHandler, ExecutionEvent, OutputBatch, OutputStream};
pub use plan::{ExecutionPlan, ExecutionStats, ExecutionStrategy, PlanExecutionResult};
pub use process::environment::Environment;
pub use request::{Command, ExecutionMetadata, ExecutionRequest};
pub use result::{ExecutionResult, ExecutionStatus, ExecutionSummary, ResultErrorCode};

/// `cargo test` runs the examples of the README too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
