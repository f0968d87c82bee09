//! What a command reads.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::AsyncRead;

/// What a command reads. In JSON: a text, an array of bytes, `{ "file": PATH }` or `{ "open": true }`.
///
/// Bytes come from what there is already: `Stdin::from("text")`, `Stdin::from(vec![1, 2])`.
#[derive(Clone, PartialEq, Eq)]
pub enum Stdin {
    /// These bytes, and the end.
    Bytes(Vec<u8>),
    /// A file, opened by the host for each start; a relative path is relative to
    /// [`ExecutionRequest::working_dir`](crate::ExecutionRequest::working_dir).
    File(PathBuf),
    /// What [`ExecutionEngine::write_stdin`](crate::ExecutionEngine::write_stdin) is given, until
    /// [`ExecutionEngine::close_stdin`](crate::ExecutionEngine::close_stdin).
    Open,
    /// What a reader gives, no faster than the command takes it, until its end.
    ///
    /// Where the reader fails, the execution does: the command is ended, and never sees the end of its input, which it
    /// might take for a whole one. A reader that does not end is dropped with the end of the execution.
    Reader(StdinReader),
}

impl Stdin {
    /// What a reader gives.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::Reader(StdinReader(Arc::new(Mutex::new(Some(Box::pin(reader))))))
    }

    /// Whether a second start would read the same.
    #[must_use]
    pub fn can_be_read_twice(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::File(_))
    }
}

/// Without the bytes, which may be a secret.
impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Open => f.write_str("Open"),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

impl From<Vec<u8>> for Stdin {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<String> for Stdin {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<&str> for Stdin {
    fn from(text: &str) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&[u8]> for Stdin {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

pub(crate) type BoxedReader = Pin<Box<dyn AsyncRead + Send>>;

/// A reader that one execution takes. Clones are the same reader.
#[derive(Clone)]
pub struct StdinReader(Arc<Mutex<Option<BoxedReader>>>);

impl StdinReader {
    pub(crate) fn take(&self) -> Option<BoxedReader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for StdinReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinReader").finish_non_exhaustive()
    }
}

impl PartialEq for StdinReader {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for StdinReader {}

/// As JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelled {
    Text(String),
    Bytes(Vec<u8>),
    File(File),
    Open(Open),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    file: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    open: True,
}

/// `true`, and nothing else.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
#[derive(Clone, Copy)]
struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(found: bool) -> Result<Self, Self::Error> {
        found.then_some(Self).ok_or("expected true, found false")
    }
}

impl From<True> for bool {
    fn from(_: True) -> Self {
        true
    }
}

impl Serialize for Stdin {
    /// A reader cannot be spelled, and is an error.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => bytes.serialize(serializer),
            Self::File(file) => Spelled::File(File { file: file.clone() }).serialize(serializer),
            Self::Open => Spelled::Open(Open { open: True }).serialize(serializer),
            Self::Reader(_) => Err(S::Error::custom("a reader has no form in JSON")),
        }
    }
}

impl<'de> Deserialize<'de> for Stdin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Spelled::deserialize(from)? {
            Spelled::Text(text) => text.into(),
            Spelled::Bytes(bytes) => bytes.into(),
            Spelled::File(File { file }) => Self::File(file),
            Spelled::Open(_) => Self::Open,
        })
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    impl JsonSchema for super::Stdin {
        fn schema_name() -> Cow<'static, str> {
            "Stdin".into()
        }

        fn inline_schema() -> bool {
            true
        }

        /// Bytes are no JSON where requests are written by hand.
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "oneOf": [
                    { "type": "string" },
                    {
                        "type": "object",
                        "properties": { "file": { "type": "string" } },
                        "required": ["file"],
                        "additionalProperties": false,
                    },
                    {
                        "type": "object",
                        "properties": { "open": { "enum": [true] } },
                        "required": ["open"],
                        "additionalProperties": false,
                    },
                ],
                "x-kind": "stdin",
                "x-typescript": "Stdin",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_spelled_in_json_and_read_again() {
        for (form, json) in [
            (Stdin::from(vec![1, 2]), "[1,2]"),
            (Stdin::File("/a".into()), r#"{"file":"/a"}"#),
            (Stdin::Open, r#"{"open":true}"#),
        ] {
            assert_eq!(serde_json::to_string(&form).expect("JSON"), json);
            let read: Stdin = serde_json::from_str(json).expect("a known form");
            assert_eq!(read, form);
        }
        let text: Stdin = serde_json::from_str(r#""text""#).expect("a text");
        assert_eq!(text, Stdin::from("text"));
        for wrong in [
            r#"{"open":false}"#,
            r#"{"file":"/a","open":true}"#,
            "5",
            "{}",
        ] {
            assert!(serde_json::from_str::<Stdin>(wrong).is_err(), "{wrong}");
        }
        let reader = Stdin::reader(&b"text"[..]);
        assert!(serde_json::to_string(&reader).is_err());
    }

    #[test]
    fn what_is_given_once_cannot_be_read_twice() {
        assert!(Stdin::from("text").can_be_read_twice());
        assert!(Stdin::File("/a".into()).can_be_read_twice());
        assert!(!Stdin::Open.can_be_read_twice());
        assert!(!Stdin::reader(&b"text"[..]).can_be_read_twice());
    }
}
