//! The loop around the attempts of an execution that did not succeed at once.

use std::sync::Arc;

use chrono::Utc;
use tokio::time::{Duration, Instant, sleep_until};
use uuid::Uuid;

use super::begin::{begin, resolve_late};
use super::running::{Attempted, Begun, Running};
use crate::api::event::ExecutionEvent;
use crate::api::request::ExecutionRequest;
use crate::api::result::{ExecutionAttempt, ExecutionResult, ExecutionStatus, ResultErrorCode};
use crate::api::retry::Retry;
use crate::process::environment::Environment;
use crate::process::{Stdin, pool};
use crate::state::cancellation::Cause;
use crate::state::execution::millis;
use crate::state::slots::{MaybeSlot, Slot, Slots};

/// What another attempt takes.
pub(crate) struct Again {
    pub retry: Retry,
    /// Without its input, unless that is a file.
    pub request: Arc<ExecutionRequest>,
    pub environment: Environment,
    pub slots: Arc<Slots>,
}

impl Running {
    /// Tries again as the request says, until an attempt ends that no other follows. In between no slot is held.
    pub(super) async fn try_again(
        &self,
        again: &Again,
        mut attempted: Attempted,
    ) -> (ExecutionResult, Option<Slot>) {
        let mut all = Life::new(&attempted.result);
        while all.attempts() < again.retry.attempts && again.retry.follows(&attempted) {
            let delay = again.retry.delay_after(all.attempts(), random());
            drop(attempted.slot.take());
            let next = all.attempts() + 1;
            let slot = self.next_turn(again, next, delay, &attempted.result).await;
            attempted = match slot {
                Ok(slot) => {
                    self.writer.begin_attempt().await;
                    let begun = begin_again(self, again, slot).await;
                    self.attempt(begun).await
                }
                Err(cause) => {
                    let result = self.stopped_between(attempted.result, &cause, next);
                    return (all.sum_up(result), None);
                }
            };
            all.note(&attempted.result);
        }
        (all.sum_up(attempted.result), attempted.slot)
    }

    /// Tells that there will be another attempt, and waits for its time and its slot; unless the execution is to end.
    async fn next_turn(
        &self,
        again: &Again,
        attempt: u64,
        delay: Duration,
        last: &ExecutionResult,
    ) -> Result<Slot, Cause> {
        let stop = &self.execution.stop;
        stop.begin_again()?;
        self.execution.waits_again();
        let due = Instant::now() + delay;
        let mut ended = ExecutionAttempt::of(last);
        ended.error = ended.error.map(|error| self.told(error));
        let retrying = ExecutionEvent::Retrying {
            execution_id: self.execution.id(),
            origin: Arc::clone(self.execution.origin()),
            attempt,
            delay_ms: millis(delay),
            error: ended.error.clone().unwrap_or_default(),
            ended,
            timestamp: Utc::now(),
        };
        let turn = async {
            self.handlers.on_event(retrying).await;
            sleep_until(due).await;
            let (group, priority) = (again.request.group.as_deref(), again.request.priority);
            again.slots.take_accepted(group, priority).slot().await
        };
        let plan = self.plan_deadline;
        let plan_timeout = async {
            match plan {
                Some(plan) => sleep_until(plan.at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            cause = stop.asked() => Err(cause),
            () = plan_timeout => {
                stop.ask(Cause::PlanDeadline(plan.map_or(0, |plan| plan.timeout_ms)));
                Err(stop.asked().await)
            }
            slot = turn => match slot {
                Some(slot) => Ok(slot.of(&self.execution)),
                None => Err(Cause::Cancel(None)),
            },
        }
    }
}

/// Resolves a request anew for another attempt, and starts it: programs come and go.
async fn begin_again(running: &Running, again: &Again, slot: Slot) -> Begun {
    let (config, execution) = (Arc::clone(&running.config), Arc::clone(&running.execution));
    let (request, environment) = (Arc::clone(&again.request), again.environment.clone());
    let has_pipe = running.feeds();
    let begun = pool::STARTS.run(move || {
        let mut resolved = resolve_late(&config, &request, &environment);
        if let Ok(invocation) = &mut resolved
            && has_pipe
        {
            invocation.stdin = Stdin::Pipe;
        }
        begin(&execution, resolved, MaybeSlot::Slot(slot))
    });
    let panicked = || Begun::Unstartable("the start panicked".into());
    begun.await.unwrap_or_else(panicked)
}

impl Running {
    /// What may be told of an attempt: secrets that have become known since count too.
    fn told(&self, error: String) -> String {
        let secrets = &self.execution.secrets;
        if secrets.changes() > 0 {
            secrets.hide(error)
        } else {
            error
        }
    }
}

impl Retry {
    /// Whether another attempt follows one that ended so, if there may be one more.
    fn follows(&self, attempted: &Attempted) -> bool {
        let Attempted { result, cause, .. } = attempted;
        let may_follow = match cause {
            Some(Cause::Deadline(_) | Cause::Idle(_)) => true,
            Some(_) => false,
            None => {
                let is_final = matches!(
                    result.error_code,
                    Some(ResultErrorCode::OutputSizeExceeded | ResultErrorCode::InvalidStep)
                );
                result.status == ExecutionStatus::Failed && !is_final
            }
        };
        // What could not be ended would run beside its successor.
        may_follow && result.survivors.is_empty() && self.names(result)
    }

    fn names(&self, result: &ExecutionResult) -> bool {
        let Some(codes) = &self.exit_codes else {
            return true;
        };
        let code = result.exit_code.and_then(|code| u64::try_from(code).ok());
        result.status == ExecutionStatus::Failed && code.is_some_and(|code| codes.contains(&code))
    }

    /// The time to wait after that many attempts; `random` is between 0 and 1.
    fn delay_after(&self, attempts: u64, random: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a delay need not be exact to the millisecond after 285 000 years"
        )]
        let (first, most) = (self.delay_ms as f64, self.max_delay_ms() as f64);
        let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        // Too large a power is infinite; nothing for ever is nothing.
        let delay = if self.delay_ms == 0 {
            0.0
        } else {
            (first * self.backoff.powi(exponent)).min(most)
        };
        let share = if self.jitter { 0.5 + random / 2.0 } else { 1.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive, and no more than the longest delay"
        )]
        let delay = (delay * share).round() as u64;
        Duration::from_millis(delay)
    }
}

/// A number between 0 and 1. The random bits of an id are as good as others.
fn random() -> f64 {
    let [.., high, low] = *Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}

impl ExecutionAttempt {
    fn of(result: &ExecutionResult) -> Self {
        Self {
            exit_code: result.exit_code,
            signal: result.signal.clone(),
            started_at: result.started_at,
            duration_ms: result.duration_ms,
            error: result.error.clone(),
        }
    }
}

/// All attempts of an execution, together.
struct Life {
    attempts: Vec<ExecutionAttempt>,
    /// What the first one that was started tells of its start, and when that was.
    first: Option<(Instant, ExecutionStart)>,
}

struct ExecutionStart {
    at: Option<chrono::DateTime<Utc>>,
    queued_ms: u64,
}

impl Life {
    fn new(first: &ExecutionResult) -> Self {
        let mut life = Self {
            attempts: Vec::new(),
            first: None,
        };
        life.note(first);
        life
    }

    /// How many there were.
    fn attempts(&self) -> u64 {
        self.attempts.len() as u64
    }

    fn note(&mut self, result: &ExecutionResult) {
        if self.first.is_none() && result.started_at.is_some() {
            let taken = Duration::from_millis(result.duration_ms);
            let started = Instant::now().checked_sub(taken);
            let start = ExecutionStart {
                at: result.started_at,
                queued_ms: result.queued_ms,
            };
            self.first = started.map(|started| (started, start));
        }
        self.attempts.push(ExecutionAttempt::of(result));
    }

    /// The result of the last one as that of all.
    fn sum_up(self, mut result: ExecutionResult) -> ExecutionResult {
        if let Some((started, start)) = self.first {
            result.started_at = start.at;
            result.queued_ms = start.queued_ms;
            result.duration_ms = millis(started.elapsed());
        }
        result.completed_at = Utc::now();
        result.attempts = self.attempts;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(retry: &Retry, random: f64) -> [u64; 7] {
        [1, 2, 3, 4, 5, 6, 1000].map(|attempts| millis(retry.delay_after(attempts, random)))
    }

    #[test]
    fn delays_grow_up_to_the_longest() {
        let retry = Retry {
            jitter: false,
            ..Retry::new(5)
        };
        let all = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        assert_eq!(delays(&retry, 0.0), all);
        let retry = Retry {
            delay_ms: 40_000,
            backoff: 1.0,
            ..retry
        };
        assert_eq!(delays(&retry, 0.0), [40_000; 7]);
        let retry = Retry {
            delay_ms: 0,
            backoff: f64::MAX,
            ..retry
        };
        assert_eq!(delays(&retry, 0.0), [0; 7]);
        let retry = Retry {
            delay_ms: 100,
            backoff: 1.5,
            max_delay_ms: Some(200),
            ..retry
        };
        assert_eq!(delays(&retry, 0.0), [100, 150, 200, 200, 200, 200, 200]);
    }

    #[test]
    fn a_random_delay_is_between_half_and_the_whole() {
        let retry = Retry::new(5);
        assert_eq!(delays(&retry, 0.0)[..3], [500, 1000, 2000]);
        assert_eq!(delays(&retry, 1.0)[..3], [1000, 2000, 4000]);
        assert!((0..1000).all(|_| (0.0..=1.0).contains(&random())));
    }
}
