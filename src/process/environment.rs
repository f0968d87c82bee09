//! The variables and the directory that a child inherits.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(feature = "node")]
use std::sync::Weak;

use super::Directory;

/// The variables and the working directory a command inherits.
///
/// They are taken when `execute` is called, on the thread that calls it: later they may have changed, and
/// elsewhere reading them may race with a change. Cheap to clone.
///
/// The directory is held open, so that a command starts there wherever the host has gone since.
#[derive(Debug, Clone, Default)]
pub struct Environment(Arc<Inherited>);

#[derive(Debug, Default)]
struct Inherited {
    variables: Arc<Vec<Assignment>>,
    place: Place,
}

/// Where a command starts.
#[derive(Debug, Clone, Default)]
struct Place {
    path: Option<PathBuf>,
    /// `None` where it cannot be held on to: then its path has to lead there.
    directory: Option<Arc<Directory>>,
}

impl Place {
    fn current() -> Self {
        Self {
            path: std::env::current_dir().ok(),
            directory: Directory::current().map(Arc::new),
        }
    }

    #[cfg(feature = "node")]
    fn is_current(&self) -> bool {
        self.directory.as_deref().is_none_or(Directory::is_current)
            && self.path == std::env::current_dir().ok()
    }
}

/// One variable, as a child is given it: made once for all children that inherit it.
#[derive(Clone)]
pub(crate) struct Assignment {
    /// `NAME=value` and a NUL byte.
    text: OsString,
    name_length: usize,
}

/// Its value may be a secret.
impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", String::from_utf8_lossy(self.name()))
    }
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

    /// Whether it is the variable of this name.
    pub fn is_named(&self, name: &[u8]) -> bool {
        is_same_name(self.name(), name)
    }

    /// Whether a pattern stands for its name; `*` in it stands for any letters.
    pub fn fits(&self, pattern: &str) -> bool {
        // Of nearly all variables, the first letter is another.
        let letter = |text: &[u8]| text.first().map(u8::to_ascii_uppercase);
        let first = letter(pattern.as_bytes());
        if first != Some(b'*') && first != letter(self.name()) {
            return false;
        }
        let mut parts = pattern.as_bytes().split(|byte| *byte == b'*');
        let (first, last) = (parts.next().unwrap_or_default(), parts.next_back());
        let Some(last) = last else {
            return is_same_name(self.name(), first);
        };
        let name = self.name();
        if name.len() < first.len() + last.len() || !is_same_name(&name[..first.len()], first) {
            return false;
        }
        let (mut rest, end) = name[first.len()..].split_at(name.len() - first.len() - last.len());
        is_same_name(end, last)
            && parts.filter(|part| !part.is_empty()).all(|part| {
                let found = rest
                    .windows(part.len())
                    .position(|some| is_same_name(some, part));
                if let Some(at) = found {
                    rest = &rest[at + part.len()..];
                }
                found.is_some()
            })
    }

    /// The value, where it is text.
    pub fn value(&self) -> Option<&str> {
        let value = self.value_with_nul();
        std::str::from_utf8(&value[..value.len() - 1]).ok()
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

/// Whether it is the same variable. Windows knows no case in names.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    if cfg!(windows) {
        one.eq_ignore_ascii_case(other)
    } else {
        one == other
    }
}

impl Environment {
    /// Those of this process, now.
    #[must_use]
    pub fn current() -> Self {
        Self::new(own_variables(), Place::current())
    }

    fn new(variables: Arc<Vec<Assignment>>, place: Place) -> Self {
        Self(Arc::new(Inherited { variables, place }))
    }

    /// Other variables in place of those of this process.
    #[must_use]
    pub fn with_variables(self, variables: Vec<(OsString, OsString)>) -> Self {
        Self::new(assignments(variables), self.0.place.clone())
    }

    pub(crate) fn working_dir(&self) -> Option<&Path> {
        self.0.place.path.as_deref()
    }

    pub(crate) fn directory(&self) -> Option<Arc<Directory>> {
        self.0.place.directory.clone()
    }

    pub(crate) fn variables(&self) -> &[Assignment] {
        &self.0.variables
    }

    /// The same with only these variables.
    pub(crate) fn filtered(self, keep: impl Fn(&Assignment) -> bool) -> Self {
        if self.variables().iter().all(&keep) {
            return self;
        }
        let kept = self.variables().iter().filter(|variable| keep(variable));
        Self::new(Arc::new(kept.cloned().collect()), self.0.place.clone())
    }

    /// The value of a variable.
    pub(crate) fn value(&self, name: &str) -> Option<OsString> {
        value(self.variables().iter(), name)
    }
}

fn assignments(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Arc<Vec<Assignment>> {
    let variables = variables.into_iter();
    Arc::new(
        variables
            .map(|(name, value)| Assignment::new(&name, &value))
            .collect(),
    )
}

fn own_variables() -> Arc<Vec<Assignment>> {
    assignments(std::env::vars_os())
}

/// What was taken last on this thread: made once for all commands that inherit the same.
#[cfg(feature = "node")]
#[derive(Debug, Default)]
pub(crate) struct Taken {
    variables: Arc<Vec<Assignment>>,
    /// What they were made from, where they are not those of this process.
    text: Option<String>,
    /// Weak: a directory is not held on to for longer than a command needs it.
    last: Weak<Inherited>,
}

#[cfg(feature = "node")]
impl Taken {
    /// The environment as it is now: with the variables of the text, each as `NAME=value` and a NUL byte.
    ///
    /// Without a text, with those of this process. Reading these is a race with any other thread that changes one: to
    /// be called on the only thread that does.
    pub fn now(&mut self, text: Option<String>) -> Environment {
        let is_same =
            self.text == text && (text.is_some() || super::has_variables(&self.variables));
        if !is_same {
            self.variables = text.as_deref().map_or_else(own_variables, of_text);
            self.text = text;
        }
        if let Some(last) = self.last.upgrade()
            && Arc::ptr_eq(&last.variables, &self.variables)
            && last.place.is_current()
        {
            return Environment(last);
        }
        let now = Environment::new(Arc::clone(&self.variables), Place::current());
        self.last = Arc::downgrade(&now.0);
        now
    }
}

#[cfg(feature = "node")]
fn of_text(text: &str) -> Arc<Vec<Assignment>> {
    let variables = text.split_terminator('\0').map(|variable| {
        // Names of Windows may begin with "=".
        let after_first = variable.char_indices().nth(1).map_or(0, |(index, _)| index);
        let at = variable[after_first..]
            .find('=')
            .map_or(0, |at| at + after_first);
        (variable[..at].into(), variable[at + 1..].into())
    });
    assignments(variables)
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
        value(self.iter(), name)
    }
}

fn value<'a>(mut variables: impl Iterator<Item = &'a Assignment>, name: &str) -> Option<OsString> {
    let found = variables.find(|found| found.is_named(name.as_bytes()))?;
    let value = found.value_with_nul();
    // SAFETY: cut out of an `OsStr` right behind "=" and right before NUL, both of them ASCII.
    let value = unsafe { OsStr::from_encoded_bytes_unchecked(&value[..value.len() - 1]) };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_names_that_it_spells() {
        let fits = |name: &str, pattern| Assignment::new(name.as_ref(), "".as_ref()).fits(pattern);
        for (name, pattern) in [
            ("TOKEN", "TOKEN"),
            ("NPM_TOKEN", "*_TOKEN"),
            ("NPM_TOKEN", "NPM_*"),
            ("NPM_TOKEN", "N*TOKEN"),
            ("NPM_TOKEN", "*M_T*"),
            ("A_B_C_D", "A*B*D"),
            ("AA", "A*A"),
        ] {
            assert!(fits(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [
            ("TOKEN_", "TOKEN"),
            ("NPM_TOKENS", "*_TOKEN"),
            ("XNPM_", "NPM_*"),
            ("A", "A*A"),
            ("A_C_B_D", "A*B*C*D"),
            ("ABA", "A*BB*A"),
        ] {
            assert!(!fits(name, pattern), "{name} {pattern}");
        }
    }

    #[test]
    fn the_values_of_variables_are_not_printed_for_debugging() {
        let environment =
            Environment::default().with_variables(vec![("NPM_TOKEN".into(), "hunter22".into())]);
        let printed = format!("{environment:?}");
        assert!(printed.contains("NPM_TOKEN") && !printed.contains("hunter22"));
    }
}
