//! Reading the end of a log.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::process::files::open_to_read;

/// The last `max_bytes` of a file, from the start of a line.
pub(crate) fn read_tail(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut file = open_to_read(path)?;
    let size = file.metadata()?.len();
    let skipped = size.saturating_sub(max_bytes);
    // One byte more tells whether the tail begins with a line.
    file.seek(SeekFrom::Start(skipped.saturating_sub(1)))?;
    let mut bytes = Vec::new();
    file.take(size - skipped + u64::from(skipped > 0))
        .read_to_end(&mut bytes)?;
    if skipped > 0 {
        let start = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1);
        bytes.drain(..start);
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
