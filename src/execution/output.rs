//! What is kept of the output of a stream, within its limit.

/// The first bytes of one stream, and the count of all.
#[derive(Debug)]
pub(crate) struct Capture {
    kept: Vec<u8>,
    printed: u64,
    limit: usize,
}

impl Capture {
    pub fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            printed: 0,
            limit,
        }
    }

    /// Takes what was read; returns where in it the limit was passed, which is its length if it was not.
    pub fn push(&mut self, chunk: &[u8]) -> usize {
        let room = (self.limit - self.kept.len()).min(chunk.len());
        self.kept.extend_from_slice(&chunk[..room]);
        self.printed += chunk.len() as u64;
        room
    }

    /// What was taken so far. What comes from now on is counted, and not kept.
    pub fn take(&mut self) -> Self {
        let nothing = Self {
            kept: Vec::new(),
            limit: 0,
            ..*self
        };
        std::mem::replace(self, nothing)
    }

    pub fn printed(&self) -> u64 {
        self.printed
    }

    pub fn is_truncated(&self) -> bool {
        self.printed > self.kept.len() as u64
    }

    /// What was kept, as text. Where something is missing, a character that the limit cut in two is dropped,
    /// and a line of warning follows if there is to be one.
    pub fn into_text(mut self, warn: bool) -> String {
        let truncated = self.is_truncated();
        if truncated {
            self.kept.truncate(whole_characters(&self.kept));
        }
        let kept = self.kept.len();
        // The spare room of a growing buffer would be kept for as long as the result is.
        self.kept.shrink_to_fit();
        let mut text = String::from_utf8(self.kept)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if truncated && warn {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            let printed = self.printed;
            let warning = format!(
                "[output truncated: {printed} bytes were printed, the first {kept} are kept]\n"
            );
            text.push_str(&warning);
        }
        text
    }
}

/// The length without an unfinished character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let last = bytes[tail..]
        .iter()
        .rposition(|byte| !(0x80..=0xBF).contains(byte));
    let Some(start) = last.map(|at| tail + at) else {
        return bytes.len();
    };
    match std::str::from_utf8(&bytes[start..]) {
        Err(error) if error.error_len().is_none() => start,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn over_the_limit_one_line_says_how_much_was_printed() {
        let mut capture = Capture::new(4);
        capture.push("ab€cd".as_bytes());
        assert!(capture.is_truncated());
        assert_eq!(
            capture.into_text(true),
            "ab\n[output truncated: 7 bytes were printed, the first 2 are kept]\n"
        );
    }

    #[test]
    fn invalid_utf8_becomes_the_replacement_character() {
        let mut capture = Capture::new(100);
        capture.push(b"a\xffb\xe2\x82");
        assert_eq!(capture.into_text(true), "a\u{fffd}b\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_split_into_reads_keeps_the_same_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            size in 1_usize..50,
            limit in 1_usize..300,
        ) {
            let mut at_once = Capture::new(limit);
            let passed = at_once.push(&bytes);
            prop_assert_eq!(passed, bytes.len().min(limit));
            let mut split = Capture::new(limit);
            for read in bytes.chunks(size) {
                split.push(read);
            }
            prop_assert_eq!(&split.kept, &at_once.kept);
            prop_assert_eq!(&split.kept, &bytes[..bytes.len().min(limit)]);
            prop_assert_eq!(split.printed(), bytes.len() as u64);
            prop_assert_eq!(split.into_text(true), at_once.into_text(true));
        }
    }
}
