//! What the end of an execution comes to.

use std::time::Duration;

use super::output::log::FilesState;
use super::output::reader::Reader;
use super::running::{Moment, Running};
use super::supervise::Ending;
use crate::api::config::OversizedOutputStrategy;
use crate::api::output::OutputBytes;
use crate::api::result::{CpuUsage, ExecutionResult, ExecutionStatus, ResultErrorCode};
use crate::process::{self, CpuTime, ExitStatus};
use crate::state::cancellation::{Cause, Reason};
use crate::state::execution::{empty_result, millis};

#[derive(Debug)]
struct Verdict {
    status: ExecutionStatus,
    error: Option<String>,
    code: Option<ResultErrorCode>,
    reason: Reason,
}

impl Verdict {
    fn of(status: ExecutionStatus, error: Option<String>) -> Self {
        Self {
            status,
            error,
            code: None,
            reason: None,
        }
    }
}

impl Running {
    pub(super) fn result(
        &self,
        start: &Moment,
        queued_ms: u64,
        reader: &mut Reader,
        ending: &Ending,
    ) -> ExecutionResult {
        let output_order = reader.take_order();
        let ([stdout, stderr], files) = reader.take_printed();
        let problems = problems(ending, files.as_ref());
        let files = files.unwrap_or_default();
        let truncated = stdout.is_truncated() || stderr.is_truncated();
        let is_exceeded = stdout.is_exceeded() || stderr.is_exceeded();
        let verdict = self.verdict(ending, is_exceeded, !problems.is_empty());
        let warn =
            self.config.oversized_output_strategy == OversizedOutputStrategy::TruncateWithWarning;
        let mut words: Vec<String> = verdict.error.into_iter().chain(problems).collect();
        words.extend(files.limit_notes);
        let [stdout_overflow_file, stderr_overflow_file] = files.overflow_paths;
        ExecutionResult {
            status: verdict.status,
            success: verdict.status == ExecutionStatus::Completed,
            exit_code: match ending.exit.status {
                ExitStatus::Code(code) => Some(code),
                _ => None,
            },
            signal: match ending.exit.status {
                ExitStatus::Signal(signal) => Some(process::signal_name(signal)),
                _ => None,
            },
            stdout_bytes: stdout.printed(),
            stderr_bytes: stderr.printed(),
            truncated,
            bytes: self.keep_bytes.then(|| OutputBytes {
                stdout: stdout.kept().to_vec(),
                stderr: stderr.kept().to_vec(),
            }),
            output_order,
            stdout: stdout.into_text(warn),
            stderr: stderr.into_text(warn),
            stdout_overflow_file,
            stderr_overflow_file,
            pid: Some(start.pid),
            started_at: Some(start.at),
            duration_ms: millis(start.instant.elapsed()),
            queued_ms,
            forced: ending.forced,
            leftover_processes: ending.leftovers,
            survivors: ending
                .survivors
                .iter()
                .map(|pid| pid.cast_unsigned())
                .collect(),
            usage: ending.exit.cpu.map(cpu_usage),
            log_path: files.log_path,
            error: (!words.is_empty()).then(|| words.join("; ")),
            error_code: verdict.code,
            cancel_reason: verdict.reason.as_deref().map(Into::into),
            ..self.unstarted()
        }
    }

    fn verdict(&self, ending: &Ending, is_exceeded: bool, has_problems: bool) -> Verdict {
        let fails_over_limit =
            self.config.oversized_output_strategy == OversizedOutputStrategy::FailExecution;
        let cause = match &ending.cause {
            // The command may have ended by itself before that was seen.
            None if is_exceeded && fails_over_limit => Some(&Cause::OutputLimit),
            cause => cause.as_ref(),
        };
        let verdict = cause.map_or_else(
            || self.exited(ending.exit.status),
            |cause| self.stopped(cause),
        );
        Verdict {
            code: verdict
                .code
                .or_else(|| has_problems.then_some(ResultErrorCode::Io)),
            ..verdict
        }
    }

    /// What the end of a command makes of the status, if it ended by itself.
    fn exited(&self, exit: ExitStatus) -> Verdict {
        let failed = |error| Verdict::of(ExecutionStatus::Failed, error);
        match exit {
            ExitStatus::Code(code) if self.is_success(code) => {
                Verdict::of(ExecutionStatus::Completed, None)
            }
            ExitStatus::Code(code) => failed(Some(format!("exited with code {code}"))),
            ExitStatus::Signal(signal) => {
                failed(Some(format!("ended by {}", process::signal_name(signal))))
            }
            ExitStatus::Lost | ExitStatus::Alive => failed(None),
        }
    }

    fn is_success(&self, code: i64) -> bool {
        match &self.success_exit_codes {
            Some(codes) => codes
                .iter()
                .any(|success| u64::try_from(code) == Ok(*success)),
            None => code == 0,
        }
    }

    /// What a cause makes of it.
    fn stopped(&self, cause: &Cause) -> Verdict {
        let (status, code, error) = match cause {
            Cause::Cancel(_) => (ExecutionStatus::Cancelled, None, "cancelled".into()),
            Cause::Deadline(ms) => {
                let error = format!("timed out after {ms} ms");
                (ExecutionStatus::Timeout, None, error)
            }
            Cause::PlanDeadline(ms) => {
                let error = format!("its plan timed out after {ms} ms");
                (ExecutionStatus::Timeout, None, error)
            }
            Cause::Idle(ms) => {
                let error = format!("timed out because it printed nothing for {ms} ms");
                (ExecutionStatus::Timeout, Some(ResultErrorCode::Idle), error)
            }
            Cause::OutputLimit => {
                let limit = self.config.max_output_size_bytes;
                let error =
                    format!("ended because it printed more than {limit} bytes to one stream");
                let code = ResultErrorCode::OutputSizeExceeded;
                (ExecutionStatus::Failed, Some(code), error)
            }
            Cause::Lease | Cause::PlanLease => {
                let whose = match cause {
                    Cause::PlanLease => "the lease of its plan",
                    _ => "its lease",
                };
                let error = format!("ended because {whose} was not renewed in time");
                let code = ResultErrorCode::LeaseLost;
                (ExecutionStatus::Failed, Some(code), error)
            }
            Cause::Input => {
                let problem = self.execution.input.problem().unwrap_or_default();
                let error = format!("ended because its input could not be read: {problem}");
                (ExecutionStatus::Failed, Some(ResultErrorCode::Io), error)
            }
        };
        Verdict {
            status,
            error: Some(error),
            code,
            reason: match cause {
                Cause::Cancel(reason) => reason.clone(),
                _ => None,
            },
        }
    }

    pub(super) fn not_started(&self, error: String) -> ExecutionResult {
        ExecutionResult {
            error: Some(error),
            error_code: Some(ResultErrorCode::SpawnFailed),
            ..self.unstarted()
        }
    }

    pub(super) fn stopped_before_start(&self, cause: &Cause) -> ExecutionResult {
        let verdict = self.stopped_before(cause, "it was started");
        ExecutionResult {
            status: verdict.status,
            error: verdict.error,
            error_code: verdict.code,
            cancel_reason: verdict.reason.as_deref().map(Into::into),
            ..self.unstarted()
        }
    }

    /// What a cause makes of the last attempt, which another one was to follow.
    pub(super) fn stopped_between(
        &self,
        last: ExecutionResult,
        cause: &Cause,
        next: u64,
    ) -> ExecutionResult {
        let verdict = self.stopped_before(cause, &format!("attempt {next} was started"));
        ExecutionResult {
            status: verdict.status,
            error: verdict.error,
            error_code: verdict.code,
            cancel_reason: verdict.reason.as_deref().map(Into::into),
            ..last
        }
    }

    fn stopped_before(&self, cause: &Cause, what: &str) -> Verdict {
        let verdict = self.stopped(cause);
        let comma = if matches!(cause, Cause::Cancel(_)) {
            ""
        } else {
            ","
        };
        let error = verdict.error.unwrap_or_default();
        Verdict {
            error: Some(format!("{error}{comma} before {what}")),
            ..verdict
        }
    }

    pub(super) fn invalid(&self, error: String) -> ExecutionResult {
        ExecutionResult {
            error: Some(error),
            error_code: Some(ResultErrorCode::InvalidStep),
            ..self.unstarted()
        }
    }

    fn unstarted(&self) -> ExecutionResult {
        empty_result(&self.execution)
    }
}

fn cpu_usage(time: CpuTime) -> CpuUsage {
    // To the nearest: cut off, thousands of short commands would have taken nothing.
    let rounded = |time: Duration| millis(time + Duration::from_micros(500));
    CpuUsage {
        user_cpu_ms: rounded(time.user),
        system_cpu_ms: rounded(time.system),
    }
}

/// What could not be handled, in words.
fn problems(ending: &Ending, files: Option<&FilesState>) -> Vec<String> {
    let mut problems = Vec::new();
    if ending.exit.status == ExitStatus::Lost {
        problems.push("the exit status is not known: another part of the host took it".into());
    }
    if !ending.survivors.is_empty() {
        let pids = &ending.survivors;
        problems.push(format!(
            "processes {pids:?} could not be ended: they do not react to SIGKILL, or belong to another user"
        ));
    }
    if ending.is_unknown {
        problems.push("whether anything is left running could not be found out".into());
    }
    if !ending.delivered {
        problems.push("not all output was delivered: a callback had not returned by then".into());
    }
    match files {
        Some(files) => problems.extend_from_slice(&files.problems),
        None => problems
            .push("output may not have been logged: a write had not returned by then".into()),
    }
    problems
}
