//! What this program ends with.

use std::process::ExitCode;

use execution_engine::{ExecutionResult, ExecutionStatus, PlanExecutionResult, ResultErrorCode};

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    const SUCCESS: Self = Self(0);
    const FAILED: Self = Self(1);
    pub const BAD_INPUT: Self = Self(2);
    const TIMED_OUT: Self = Self(124);
    /// By nobody who is told of below.
    pub const CANCELLED: Self = Self(125);
    const NOT_STARTED: Self = Self(127);
    pub const INTERRUPTED: Self = Self(130);
    /// As if by SIGPIPE.
    pub const OUTPUT_CLOSED: Self = Self(141);
    pub const TERMINATED: Self = Self(143);

    /// As the command ended.
    pub fn of(result: &ExecutionResult) -> Self {
        match (result.status, result.error_code) {
            (ExecutionStatus::Completed, _) => Self::SUCCESS,
            (ExecutionStatus::Timeout, _) => Self::TIMED_OUT,
            (ExecutionStatus::Cancelled, _) => Self::CANCELLED,
            (_, Some(ResultErrorCode::SpawnFailed)) => Self::NOT_STARTED,
            _ => Self::by_itself(result),
        }
    }

    fn by_itself(result: &ExecutionResult) -> Self {
        let signal = result.signal.as_deref().and_then(number);
        let code = result.exit_code.and_then(|code| u8::try_from(code).ok());
        // A code of 0 can be a failure, too.
        let code = code.filter(|code| *code != 0);
        signal
            .map(|number| Self(128 + number))
            .or(code.map(Self))
            .unwrap_or(Self::FAILED)
    }

    /// As the first of its steps that failed.
    pub fn of_plan(result: &PlanExecutionResult) -> Self {
        match result.status {
            ExecutionStatus::Completed => Self::SUCCESS,
            ExecutionStatus::Timeout => Self::TIMED_OUT,
            ExecutionStatus::Cancelled => Self::CANCELLED,
            _ => {
                let mut failed = result.results.iter().filter(|step| {
                    !matches!(
                        step.status,
                        ExecutionStatus::Completed | ExecutionStatus::Skipped
                    )
                });
                failed.next().map_or(Self::FAILED, |step| Self::of(step))
            }
        }
    }
}

/// The number of a signal that is called so, of those that end a program.
fn number(signal: &str) -> Option<u8> {
    Some(match signal {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        "SIGQUIT" => 3,
        "SIGILL" => 4,
        "SIGTRAP" => 5,
        "SIGABRT" => 6,
        "SIGFPE" => 8,
        "SIGKILL" => 9,
        "SIGSEGV" => 11,
        "SIGPIPE" => 13,
        "SIGALRM" => 14,
        "SIGTERM" => 15,
        _ => return None,
    })
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
