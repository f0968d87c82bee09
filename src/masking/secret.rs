//! A value that is never printed.

use std::fmt;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroize;

/// Shorter values stand in any output by chance: to mask these would garble it, and tell nobody anything.
pub(crate) const SHORTEST: usize = 4;

/// What finds a longer one would take too much memory.
const LONGEST: usize = 64 * 1024;

/// A value that is never printed: not by a command, not in a message, and not for debugging.
///
/// Its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Secret(String);

impl Secret {
    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Why it cannot be masked, if so: what was expected, and what was found, without the value.
    pub(crate) fn complaint(&self) -> Option<(String, String)> {
        let size = self.0.len();
        let found = match () {
            () if self.0.is_empty() => "an empty string".into(),
            () if self.0.trim().is_empty() => "only white space".into(),
            () if !(SHORTEST..=LONGEST).contains(&size) => format!("one of {size}"),
            () => return None,
        };
        let expected =
            format!("a text of {SHORTEST} to {LONGEST} bytes that is not only white space");
        Some((expected, found))
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(value: T) -> Self {
        Self(value.into())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The messages of serde quote what they found: these are of our own.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match TextOr::deserialize(from)? {
            TextOr::Right(text) => Ok(Self(text)),
            TextOr::Wrong(_) => Err(D::Error::custom("expected a string, found something else")),
        }
    }
}

/// A list of secrets; what is none is not quoted.
pub(crate) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
    match TextOr::deserialize(from)? {
        TextOr::Right(list) => Ok(list),
        TextOr::Wrong(_) => Err(D::Error::custom(
            "expected an array of strings, found something else",
        )),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOr<T> {
    Right(T),
    Wrong(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_for_debugging() {
        let secret = Secret::from("hunter22");
        assert_eq!(format!("{:?}", vec![secret]), "[***]");
    }

    #[test]
    fn what_cannot_be_masked_is_refused_without_its_value() {
        let complaint = |text: &str| Secret::from(text).complaint().map(|(_, found)| found);
        assert_eq!(complaint(""), Some("an empty string".into()));
        assert_eq!(complaint(" \n\t\n "), Some("only white space".into()));
        assert_eq!(complaint("abc"), Some("one of 3".into()));
        assert_eq!(complaint("abcd"), None);
        assert_eq!(complaint(&"a".repeat(LONGEST)), None);
        assert_eq!(
            complaint(&"a".repeat(LONGEST + 1)),
            Some("one of 65537".into())
        );
        assert_eq!(complaint("€€"), None);
    }

    #[test]
    fn what_is_no_secret_is_refused_without_its_value() {
        #[derive(Debug, Deserialize)]
        struct Request {
            #[serde(deserialize_with = "list")]
            secrets: Vec<Secret>,
        }
        let read = |json: &str| serde_json::from_str::<Request>(json);
        let secrets = read(r#"{"secrets":["hunter22"]}"#).expect("a list").secrets;
        assert_eq!(secrets, [Secret::from("hunter22")]);
        for json in [
            r#"{"secrets":"hunter22"}"#,
            r#"{"secrets":22224444}"#,
            r#"{"secrets":["fine",22224444]}"#,
            r#"{"secrets":[{"hunter22":"22224444"}]}"#,
        ] {
            let error = read(json).expect_err("no list of texts").to_string();
            assert!(
                !error.contains("2222") && !error.contains("hunter"),
                "{error}"
            );
        }
    }
}
