//! Paths in JSON.

use std::path::{Path, PathBuf};

use serde::Serializer;

/// A path as text. What is no UTF-8 in it becomes U+FFFD, as in output: a directory with such a name is no reason to
/// withhold a result.
pub(crate) fn path_as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
pub(crate) fn path_or_none_as_text<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => path_as_text(path, serializer),
        None => serializer.serialize_none(),
    }
}
