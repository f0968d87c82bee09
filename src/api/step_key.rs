//! How a step of a plan is called.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Which step of its plan something is: its name, or its index in a plan whose steps have no names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("x-typescript" = "string | number"))
)]
#[serde(untagged)]
pub enum StepKey {
    /// Its index.
    Index(usize),
    /// Its name.
    Name(Arc<str>),
}

impl StepKey {
    /// The path of the step in its plan, as a message names it.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Index(index) => format!("commands[{index}]"),
            Self::Name(name) if is_plain(name) => format!("steps.{name}"),
            Self::Name(name) => format!("steps[{name:?}]"),
        }
    }
}

/// Whether a name needs no quotes in a path.
fn is_plain(name: &str) -> bool {
    name.chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
}
