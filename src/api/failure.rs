//! A result as an error, for who wants one.

use std::fmt;
use std::sync::Arc;

use super::quote::visible;
use super::result::ExecutionResult;

/// How many lines of what was printed are shown, from its end.
const SHOWN_LINES: usize = 20;
/// How much of each of them, and of a command: either may be long.
const SHOWN_CHARACTERS: usize = 300;

/// A command did not succeed: [`ExecutionResult::into_success`].
///
/// Its text tells the command, how it ended, and the end of what it printed to standard error, or to standard output if
/// that is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecutionFailedError {
    /// How it ended.
    pub result: Arc<ExecutionResult>,
}

impl ExecutionResult {
    /// The result, if the command has succeeded.
    ///
    /// # Errors
    ///
    /// Whatever else happened to it.
    pub fn into_success(self: Arc<Self>) -> Result<Arc<Self>, ExecutionFailedError> {
        if self.success {
            Ok(self)
        } else {
            Err(ExecutionFailedError { result: self })
        }
    }
}

impl std::error::Error for ExecutionFailedError {}

impl fmt::Display for ExecutionFailedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExecutionResult {
            command,
            status,
            error,
            stdout,
            stderr,
            ..
        } = &*self.result;
        let end = error.as_deref().unwrap_or(status.as_str());
        write!(f, "`{}`: {end}", shortened(command))?;
        // Many programs tell of their errors where their output goes.
        let (name, printed) = match stderr.trim() {
            "" => ("stdout", stdout.trim_end()),
            _ => ("stderr", stderr.trim_end()),
        };
        if printed.is_empty() {
            return Ok(());
        }
        write!(f, "\nthe end of its {name}:")?;
        let mut lines: Vec<&str> = printed.lines().rev().take(SHOWN_LINES).collect();
        lines.reverse();
        lines
            .into_iter()
            .try_for_each(|line| write!(f, "\n{}", visible(shortened(line))))
    }
}

fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(SHOWN_CHARACTERS)
        .map_or(text, |(end, _)| &text[..end])
}
