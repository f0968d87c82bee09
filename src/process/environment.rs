//! The variables and the directory that a child inherits.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The variables and the working directory a command inherits.
///
/// They are taken when `execute` is called, on the thread that calls it: later they may have changed, and
/// elsewhere reading them may race with a change. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Environment(Arc<Inherited>);

#[derive(Debug, Default)]
struct Inherited {
    variables: Vec<Assignment>,
    working_dir: Option<PathBuf>,
}

/// One variable, as a child is given it: made once for all children that inherit it.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// `NAME=value` and a NUL byte.
    text: OsString,
    name_length: usize,
}

impl Assignment {
    pub fn new(name: &OsStr, value: &OsStr) -> Self {
        let mut text = OsString::with_capacity(name.len() + value.len() + 2);
        for part in [name, OsStr::new("="), value, OsStr::new("\0")] {
            text.push(part);
        }
        Self {
            text,
            name_length: name.len(),
        }
    }

    pub fn name(&self) -> &[u8] {
        &self.text.as_encoded_bytes()[..self.name_length]
    }

    /// Whether it is the variable of this name. Windows knows no case in names.
    pub fn is_named(&self, name: &[u8]) -> bool {
        if cfg!(windows) {
            self.name().eq_ignore_ascii_case(name)
        } else {
            self.name() == name
        }
    }

    /// `NAME=value` and a NUL byte.
    pub fn with_nul(&self) -> &OsStr {
        &self.text
    }

    /// The value, and the NUL byte behind it.
    fn value_with_nul(&self) -> &[u8] {
        &self.text.as_encoded_bytes()[self.name_length + 1..]
    }
}

impl Environment {
    /// Those of this process, now.
    #[must_use]
    pub fn current() -> Self {
        Self::new(std::env::vars_os(), std::env::current_dir().ok())
    }

    /// The same, cheaper where it is the one that was taken before. To be called on the thread that changes the
    /// variables.
    #[cfg(feature = "node")]
    pub(crate) fn current_or(before: &Self) -> Self {
        let working_dir = std::env::current_dir().ok();
        if before.0.working_dir == working_dir && super::has_variables(&before.0.variables) {
            return before.clone();
        }
        Self::new(std::env::vars_os(), working_dir)
    }

    fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        working_dir: Option<PathBuf>,
    ) -> Self {
        let variables = variables.into_iter();
        Self(Arc::new(Inherited {
            variables: variables
                .map(|(name, value)| Assignment::new(&name, &value))
                .collect(),
            working_dir,
        }))
    }

    /// Other variables in place of those of this process.
    #[must_use]
    pub fn with_variables(self, variables: Vec<(OsString, OsString)>) -> Self {
        Self::new(variables, self.0.working_dir.clone())
    }

    pub(crate) fn working_dir(&self) -> Option<&Path> {
        self.0.working_dir.as_deref()
    }

    pub(crate) fn variables(&self) -> &[Assignment] {
        &self.0.variables
    }
}

/// The variables of one child.
#[derive(Debug)]
pub(crate) struct Variables {
    /// `None`: nothing is inherited.
    pub inherited: Option<Environment>,
    /// The indices of those that are not inherited after all, ascending.
    pub hidden: Vec<usize>,
    pub own: Vec<Assignment>,
}

impl Variables {
    pub fn iter(&self) -> impl Iterator<Item = &Assignment> {
        let inherited = self
            .inherited
            .as_ref()
            .map_or(&[][..], Environment::variables);
        let mut hidden = self.hidden.iter().copied().peekable();
        let inherited = inherited
            .iter()
            .enumerate()
            .filter(move |(index, _)| hidden.next_if_eq(index).is_none());
        inherited.map(|(_, variable)| variable).chain(&self.own)
    }

    /// The value of a variable; where it is there more than once, that of the first, as `getenv` has it.
    pub fn value(&self, name: &str) -> Option<OsString> {
        let found = self.iter().find(|found| found.is_named(name.as_bytes()))?;
        let value = found.value_with_nul();
        // SAFETY: cut out of an `OsStr` right behind "=" and right before NUL, both of them ASCII.
        let value = unsafe { OsStr::from_encoded_bytes_unchecked(&value[..value.len() - 1]) };
        Some(value.to_owned())
    }
}
