//! What is kept of the output of a stream, within its limit.

/// The first bytes of one stream, and the count of all.
#[derive(Debug)]
pub(crate) struct Capture {
    kept: Vec<u8>,
    /// As it was given out: with masks in place of secrets.
    printed: u64,
    /// How much more was printed that is not for the result: escape sequences, what goes into a file.
    elsewhere: u64,
    /// How much more was printed: secrets are longer than what stands in their place.
    hidden: u64,
    limit: usize,
}

/// What of a read is not kept, as it is beyond the limit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Excess {
    /// The beginning, read earlier, of a character that does not fit: it comes before what follows.
    pub before: Vec<u8>,
    /// Where in the read the rest begins; its length if nothing is beyond the limit.
    pub from: usize,
}

impl Capture {
    pub fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            printed: 0,
            elsewhere: 0,
            hidden: 0,
            limit,
        }
    }

    /// Counts what was printed, and is not among what is pushed.
    pub fn count_hidden(&mut self, count: usize) {
        self.hidden += count as u64;
    }

    /// Takes what was read; returns what of it is beyond the limit. What is kept ends with a whole character there.
    pub fn push(&mut self, chunk: &[u8]) -> Excess {
        let printed_before = self.printed;
        self.printed += chunk.len() as u64;
        if printed_before > self.limit as u64 {
            return Excess::default();
        }
        let room = (self.limit - self.kept.len()).min(chunk.len());
        self.kept.extend_from_slice(&chunk[..room]);
        let whole = if room < chunk.len() {
            whole_characters(&self.kept)
        } else {
            self.kept.len()
        };
        let cut = self.kept.split_off(whole);
        // Some of what is cut off may have been read, and passed for kept, before.
        let earlier = cut.len().saturating_sub(room);
        Excess {
            before: cut[..earlier].to_vec(),
            from: room - (cut.len() - earlier),
        }
    }

    /// Counts what was printed, and is not for the result.
    pub fn count_elsewhere(&mut self, count: usize) {
        self.elsewhere += count as u64;
    }

    /// What was kept so far.
    pub fn kept(&self) -> &[u8] {
        &self.kept
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

    /// How much was printed, kept or not, before secrets were masked.
    pub fn printed(&self) -> u64 {
        self.printed + self.hidden + self.elsewhere
    }

    /// Whether more was printed than is kept at most.
    pub fn is_exceeded(&self) -> bool {
        self.printed + self.hidden > self.limit as u64
    }

    pub fn is_truncated(&self) -> bool {
        self.printed > self.kept.len() as u64
    }

    /// What was kept, as text. Where something is missing, a line of warning follows if there is to be one.
    pub fn into_text(mut self, warn: bool) -> String {
        let truncated = self.is_truncated();
        let kept = self.kept.len();
        // The spare room of a growing buffer would be kept for as long as the result is.
        self.kept.shrink_to_fit();
        let mut text = String::from_utf8(self.kept)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if truncated && warn {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            let printed = self.printed + self.hidden + self.elsewhere;
            let warning = format!(
                "[output truncated: {printed} bytes were printed, the first {kept} are kept]\n"
            );
            text.push_str(&warning);
        }
        text
    }
}

/// The length without an unfinished character at the end.
pub(super) fn whole_characters(bytes: &[u8]) -> usize {
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

    /// What is kept, and what is beyond the limit.
    fn parted<'a>(reads: impl Iterator<Item = &'a [u8]>, limit: usize) -> (Capture, Vec<u8>) {
        let mut capture = Capture::new(limit);
        let mut beyond = Vec::new();
        for read in reads {
            let excess = capture.push(read);
            beyond.extend(excess.before);
            beyond.extend_from_slice(&read[excess.from..]);
        }
        (capture, beyond)
    }

    /// Text and bytes that are none, in one.
    fn printed() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            3 => "[a\u{e9}\u{20ac}\u{1f600}]{0,20}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn the_limit_inside_of_a_character_leaves_the_character_to_the_rest() {
        for size in 1..=7 {
            let (capture, beyond) = parted("ab€cd".as_bytes().chunks(size), 4);
            assert_eq!(capture.into_text(false), "ab");
            assert_eq!(beyond, "€cd".as_bytes());
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_at_the_limit_however_it_is_split_into_reads(
            bytes in printed(),
            sizes in proptest::collection::vec(1_usize..9, 1..20),
            limit in 1_usize..150,
        ) {
            let mut rest = bytes.as_slice();
            let reads = sizes.iter().cycle().map_while(|size| {
                let (read, left) = rest.split_at((*size).min(rest.len()));
                rest = left;
                (!read.is_empty()).then_some(read)
            });
            let (capture, beyond) = parted(reads, limit);
            let (at_once, _) = parted(std::iter::once(bytes.as_slice()), limit);
            prop_assert_eq!([&capture.kept[..], &beyond].concat(), bytes.clone());
            prop_assert_eq!(&capture.kept, &at_once.kept);
            prop_assert_eq!(capture.printed(), bytes.len() as u64);
            prop_assert!(capture.kept.len() <= limit);
            prop_assert_eq!(capture.is_truncated(), bytes.len() > limit);
            // No more than the beginning of one character is missing, and no character is cut in two.
            prop_assert!(capture.kept.len() + 4 > bytes.len().min(limit));
            if std::str::from_utf8(&bytes).is_ok() {
                prop_assert!(std::str::from_utf8(&capture.kept).is_ok());
            }
        }
    }
}
