//! Whether and when a command that did not succeed is tried again.

use serde::{Deserialize, Serialize};

use super::error::ValidationError;

/// So many attempts of one execution are remembered at most.
const MOST_ATTEMPTS: u64 = 1000;

/// The longest delay where nothing else is said, in milliseconds.
const DEFAULT_MAX_DELAY_MS: u64 = 30_000;

/// How often, and after which delays, a command that did not succeed is tried again.
///
/// An attempt that failed or timed out is followed by another one; so is a start that could not be made. With
/// [`Retry::exit_codes`] only an exit with one of these is. What was cancelled, printed too much, or whose lease or plan
/// has ended is not tried again, nor is what could not be ended completely: two of it would run at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often the command is tried, the first time included. At most 1000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub attempts: u64,
    /// The time between the end of the first attempt and the second, in milliseconds. It may be zero. Default: 1000.
    #[serde(default = "default_delay_ms")]
    pub delay_ms: u64,
    /// By how much each delay is longer than the one before it: a number of at least 1, which keeps it as it is. Default: 2.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default = "default_backoff")]
    pub backoff: f64,
    /// No delay is longer, in milliseconds. Default: 30 000, or [`Retry::delay_ms`] where that is more.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay_ms: Option<u64>,
    /// Whether each delay is a random one between half and the whole of what it would be, so that many that failed together
    /// do not come back together. Default: `true`.
    #[serde(default = "yes")]
    pub jitter: bool,
    /// The exit codes after which the command is tried again, and nothing else then: no timeout, no signal, no start that
    /// could not be made. Default: after all of these, and every exit code that does not mean success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_codes: Option<Vec<u64>>,
}

fn default_delay_ms() -> u64 {
    1000
}

fn default_backoff() -> f64 {
    2.0
}

fn yes() -> bool {
    true
}

impl PartialEq for Retry {
    /// Bit by bit, so that one is equal to itself whatever its numbers are.
    fn eq(&self, other: &Self) -> bool {
        let parts = |retry: &Self| {
            let Self {
                attempts,
                delay_ms,
                backoff,
                max_delay_ms,
                jitter,
                exit_codes: _,
            } = *retry;
            let backoff = backoff.to_bits();
            (attempts, delay_ms, backoff, max_delay_ms, jitter)
        };
        parts(self) == parts(other) && self.exit_codes == other.exit_codes
    }
}

impl Eq for Retry {}

impl Retry {
    /// That many attempts, the first included, and every other field at its default.
    #[must_use]
    pub fn new(attempts: u64) -> Self {
        Self {
            attempts,
            delay_ms: default_delay_ms(),
            backoff: default_backoff(),
            max_delay_ms: None,
            jitter: true,
            exit_codes: None,
        }
    }

    pub(crate) fn max_delay_ms(&self) -> u64 {
        let most = DEFAULT_MAX_DELAY_MS.max(self.delay_ms);
        self.max_delay_ms.unwrap_or(most)
    }

    pub(crate) fn validate(&self) -> Result<(), ValidationError> {
        let refuse = |field: &str, expected: String, found: String| {
            Err(ValidationError::new(
                format!("retry.{field}"),
                expected,
                found,
            ))
        };
        if self.attempts == 0 || self.attempts > MOST_ATTEMPTS {
            let expected = format!("an integer from 1 to {MOST_ATTEMPTS}");
            return refuse("attempts", expected, self.attempts.to_string());
        }
        if !(self.backoff.is_finite() && self.backoff >= 1.0) {
            let expected = "a number of at least 1".to_owned();
            return refuse("backoff", expected, self.backoff.to_string());
        }
        if self.max_delay_ms() < self.delay_ms.max(1) {
            let least = self.delay_ms;
            let expected = format!("a positive integer of at least delay_ms, {least}");
            return refuse("max_delay_ms", expected, self.max_delay_ms().to_string());
        }
        if self.exit_codes.as_ref().is_some_and(Vec::is_empty) {
            let expected = "a list with at least one exit code".to_owned();
            return refuse("exit_codes", expected, "an empty one".to_owned());
        }
        Ok(())
    }
}
