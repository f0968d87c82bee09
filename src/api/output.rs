//! What becomes of the output of a command: where it goes, how it is cut, in which order it was read.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where standard output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StdoutTarget {
    /// It is read: for the result, the log, and whoever is told.
    #[default]
    Capture,
    /// To the null device. Nothing of it is read or counted.
    Ignore,
    /// Into this file alone, which is emptied before the start.
    File(
        #[cfg_attr(
            feature = "schema",
            schemars(with = "String", extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        PathBuf,
    ),
}

/// Where standard error goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StderrTarget {
    /// It is read: for the result, the log, and whoever is told.
    #[default]
    Capture,
    /// To the null device. Nothing of it is read or counted.
    Ignore,
    /// Where standard output goes, through the same pipe: in exactly the order in which it was printed.
    Stdout,
    /// Into this file alone, which is emptied before the start.
    File(
        #[cfg_attr(
            feature = "schema",
            schemars(with = "String", extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        PathBuf,
    ),
}

impl StdoutTarget {
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }
}

impl StderrTarget {
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }
}

/// What ends a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SplitOn {
    /// `\n`; a `\r` before it is dropped.
    #[default]
    Lf,
    /// Each of `\n`, `\r` and `\r\n`: a progress bar, which returns to the start of its line, is told step by step.
    CrOrLf,
}

/// The bytes that a result keeps of both streams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputBytes {
    /// Of standard output.
    pub stdout: Vec<u8>,
    /// Of standard error.
    pub stderr: Vec<u8>,
}

/// In which order the two streams of a result were read: how many bytes of `stdout`, and then of `stderr`, turn by turn.
/// Empty where only one of them printed anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutputOrder(pub(crate) Vec<[u64; 2]>);

impl OutputOrder {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both texts as one. What the order does not tell of stands at the end.
    pub(crate) fn merge(&self, stdout: &str, stderr: &str) -> String {
        let mut all = String::with_capacity(stdout.len() + stderr.len());
        let mut rest = [stdout, stderr];
        for turn in &self.0 {
            for (text, length) in rest.iter_mut().zip(turn) {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                // One that comes from elsewhere may not fit.
                let (part, after) = text.split_at_checked(length).unwrap_or((text, ""));
                all.push_str(part);
                *text = after;
            }
        }
        all.extend(rest);
        all
    }
}
