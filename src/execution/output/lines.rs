//! From bytes to lines, however the bytes were split into reads.

use memchr::{memchr, memchr_iter, memchr2_iter, memrchr, memrchr2};

use super::capture::whole_characters;
use crate::api::output::SplitOn;
use crate::execution::output::buffers;

/// An unfinished line up to this size is copied in front of the next read; a longer one is appended to where it is,
/// as otherwise each small write to a long line would copy all of it.
const COPIED: usize = 4 * 1024;

/// Cuts one stream into lines.
///
/// A line ends at `\n`; a `\r` before it is dropped, or ends it as well. A line longer than the limit comes in pieces of that many
/// bytes, cut between characters.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    /// What has been read of a line whose end has not.
    unfinished: Vec<u8>,
    max_line: usize,
    split_on: SplitOn,
    /// The last byte was a `\r` that has ended a line: a `\n` right behind it belongs to it.
    after_return: bool,
}

/// Lines and pieces of lines, each followed by `\n`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    pub bytes: Vec<u8>,
    /// The indices of pieces that are not the last of their line.
    pub partial: Vec<u32>,
    /// How many lines and pieces there are, once that was of interest.
    count: Option<u32>,
}

impl Lines {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    fn unless_empty(self) -> Option<Self> {
        if self.bytes.is_empty() {
            buffers::give(self.bytes);
            return None;
        }
        Some(self)
    }

    fn push(&mut self, line: &[u8], partial: bool) {
        let index = self.count.unwrap_or_else(|| {
            let count = memchr_iter(b'\n', &self.bytes).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        });
        if partial {
            self.partial.push(index);
        }
        self.count = Some(index + 1);
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
    }

    /// A line of any length, without its end.
    fn push_in_pieces(&mut self, mut line: &[u8], max: usize) {
        while line.len() > max {
            let (piece, rest) = line.split_at(piece_end(line, max));
            self.push(piece, true);
            line = rest;
        }
        self.push(line, false);
    }
}

impl LineSplitter {
    pub fn new(max_line: usize, split_on: SplitOn) -> Self {
        Self {
            unfinished: Vec::new(),
            max_line,
            split_on,
            after_return: false,
        }
    }

    /// A buffer that begins with the line whose end has not been read, for the next read to append to. What is not
    /// pushed is to be put back.
    pub fn take_unfinished(&mut self) -> Vec<u8> {
        if self.unfinished.len() > COPIED {
            return std::mem::take(&mut self.unfinished);
        }
        let mut buffer = buffers::take();
        buffer.append(&mut self.unfinished);
        buffer
    }

    /// Takes a buffer back to which nothing was appended.
    pub fn put_back(&mut self, buffer: Vec<u8>) {
        if buffer.len() > COPIED {
            self.unfinished = buffer;
            return;
        }
        self.unfinished.extend_from_slice(&buffer);
        buffers::give(buffer);
    }

    /// Takes the unfinished line with what was read behind it, from `old` on; returns the lines that it completes.
    pub fn push(&mut self, mut bytes: Vec<u8>, old: usize) -> Option<Lines> {
        if bytes.len() == old {
            self.put_back(bytes);
            return None;
        }
        if std::mem::take(&mut self.after_return) && bytes.get(old) == Some(&b'\n') {
            bytes.remove(old);
        }
        let last_end = match self.split_on {
            SplitOn::Lf => memrchr(b'\n', &bytes[old..]),
            SplitOn::CrOrLf => memrchr2(b'\n', b'\r', &bytes[old..]),
        };
        let complete = last_end.map_or(0, |end| old + end + 1);
        self.after_return = self.split_on == SplitOn::CrOrLf && bytes.last() == Some(&b'\r');
        if complete == 0 {
            self.put_back(bytes);
            let mut lines = Lines::default();
            self.cut_unfinished(&mut lines);
            return lines.unless_empty();
        }
        self.unfinished.extend_from_slice(&bytes[complete..]);
        bytes.truncate(complete);
        // The unfinished line is not within these bytes any more, so their bound is that of a line.
        let fits = bytes.len() <= self.max_line + 1 && memchr(b'\r', &bytes).is_none();
        let mut lines = if fits {
            Lines::of(bytes)
        } else {
            let lines = self.cut_each(&bytes);
            buffers::give(bytes);
            lines
        };
        self.cut_unfinished(&mut lines);
        lines.unless_empty()
    }

    /// What has been read of a line whose end has not, as far as its characters are whole. Empty if there is none.
    pub fn unfinished(&self) -> &[u8] {
        let line = &self.unfinished[..whole_characters(&self.unfinished)];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// The last line, which needs no newline.
    pub fn finish(&mut self) -> Option<Lines> {
        let last = std::mem::take(&mut self.unfinished);
        let mut lines = Lines::default();
        if !last.is_empty() {
            lines.push_in_pieces(&last, self.max_line);
        }
        lines.unless_empty()
    }

    fn cut_each(&self, complete: &[u8]) -> Lines {
        let mut lines = Lines::of(buffers::take());
        lines.bytes.reserve(complete.len());
        match self.split_on {
            SplitOn::Lf => self.cut_at_newlines(complete, &mut lines),
            SplitOn::CrOrLf => self.cut_at_both(complete, &mut lines),
        }
        lines
    }

    fn cut_at_newlines(&self, complete: &[u8], lines: &mut Lines) {
        let mut start = 0;
        for end in memchr_iter(b'\n', complete) {
            let line = &complete[start..end];
            lines.push_in_pieces(line.strip_suffix(b"\r").unwrap_or(line), self.max_line);
            start = end + 1;
        }
    }

    fn cut_at_both(&self, complete: &[u8], lines: &mut Lines) {
        let mut start = 0;
        for end in memchr2_iter(b'\n', b'\r', complete) {
            let is_second = complete[end] == b'\n' && end > 0 && complete[end - 1] == b'\r';
            if !is_second {
                lines.push_in_pieces(&complete[start..end], self.max_line);
            }
            start = end + 1;
        }
    }

    /// Gives out pieces of an unfinished line that is too long already, whatever follows.
    fn cut_unfinished(&mut self, lines: &mut Lines) {
        let max = self.max_line;
        let mut rest = &self.unfinished[..];
        // A `\r` right behind a full piece may belong to the end of the line: wait for the next byte.
        while rest.len() > max && !(rest.len() == max + 1 && rest[max] == b'\r') {
            let (piece, after) = rest.split_at(piece_end(rest, max));
            lines.push(piece, true);
            rest = after;
        }
        let given = self.unfinished.len() - rest.len();
        self.unfinished.drain(..given);
    }
}

/// Where to cut a piece of at most `max` bytes from a longer line: not within a character.
fn piece_end(line: &[u8], max: usize) -> usize {
    for back in 0..=3.min(max - 1) {
        match line[max - back] {
            // A byte within a character: look for its first one.
            0x80..=0xBF => {}
            0xC0..=0xFF if back > 0 => return max - back,
            _ => break,
        }
    }
    max
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a stream that is read in these pieces, with whether each goes on in the next.
    fn lines_of(reads: &[&[u8]], max_line: usize) -> Vec<(Vec<u8>, bool)> {
        split(reads, max_line, SplitOn::Lf)
    }

    fn split(reads: &[&[u8]], max_line: usize, split_on: SplitOn) -> Vec<(Vec<u8>, bool)> {
        let mut splitter = LineSplitter::new(max_line, split_on);
        let mut all = Vec::new();
        let mut take = |lines: Option<Lines>| {
            let Some(lines) = lines else { return };
            let text = lines
                .bytes
                .strip_suffix(b"\n")
                .expect("every line has an end");
            for (index, line) in (0_u32..).zip(text.split(|byte| *byte == b'\n')) {
                all.push((line.to_vec(), lines.partial.contains(&index)));
            }
        };
        for read in reads {
            let mut bytes = splitter.take_unfinished();
            let old = bytes.len();
            bytes.extend_from_slice(read);
            take(splitter.push(bytes, old));
        }
        take(splitter.finish());
        all
    }

    fn whole(line: &str) -> (Vec<u8>, bool) {
        (line.as_bytes().to_vec(), false)
    }

    fn piece(line: &str) -> (Vec<u8>, bool) {
        (line.as_bytes().to_vec(), true)
    }

    #[test]
    fn a_line_ends_at_a_newline_and_only_there() {
        let lines = lines_of(&[b"a\r\nb\n\nc\rd\ne"], 100);
        assert_eq!(lines, ["a", "b", "", "c\rd", "e"].map(whole));
    }

    #[test]
    fn a_line_end_split_between_two_reads_is_one() {
        assert_eq!(lines_of(&[b"a\r", b"\nb\n"], 100), ["a", "b"].map(whole));
    }

    #[test]
    fn a_return_ends_a_line_where_that_is_asked_for_and_is_one_end_with_a_newline() {
        let reads: [&[u8]; 5] = [b"10%\r20%\r", b"30%\r", b"\ndone\r\n\n", b"\r", b"\r\nx"];
        let expected = ["10%", "20%", "30%", "done", "", "", "", "x"].map(whole);
        assert_eq!(split(&reads, 100, SplitOn::CrOrLf), expected);
    }

    #[test]
    fn a_line_that_a_return_has_ended_does_not_wait_for_the_next_byte() {
        let mut splitter = LineSplitter::new(100, SplitOn::CrOrLf);
        let lines = splitter.push(b"10%\r".to_vec(), 0).expect("a line");
        assert_eq!(lines.bytes, b"10%\n");
        assert_eq!(splitter.push(b"\n".to_vec(), 0), None);
    }

    #[test]
    fn what_is_unfinished_ends_with_a_whole_character() {
        let mut splitter = LineSplitter::new(100, SplitOn::Lf);
        assert_eq!(splitter.unfinished(), b"");
        splitter.push("line\nName €: ".as_bytes().to_vec(), 0);
        assert_eq!(splitter.unfinished(), "Name €: ".as_bytes());
        let mut bytes = splitter.take_unfinished();
        let old = bytes.len();
        bytes.extend_from_slice(&"€".as_bytes()[..2]);
        splitter.push(bytes, old);
        assert_eq!(splitter.unfinished(), "Name €: ".as_bytes());
    }

    #[test]
    fn a_longer_line_comes_in_pieces_cut_between_characters() {
        let lines = lines_of(&["ab€€\nc".as_bytes()], 4);
        assert_eq!(lines, [piece("ab"), piece("€"), whole("€"), whole("c")]);
    }

    #[test]
    fn a_long_line_in_small_writes_is_not_copied_for_each() {
        let mut splitter = LineSplitter::new(1024 * 1024, SplitOn::Lf);
        let mut moved = 0;
        let mut place = std::ptr::null();
        for _ in 0..10_000 {
            let mut bytes = splitter.take_unfinished();
            let old = bytes.len();
            bytes.extend_from_slice(&[b'x'; 64]);
            moved += usize::from(bytes.as_ptr() != place);
            place = bytes.as_ptr();
            assert_eq!(splitter.push(bytes, old), None);
        }
        // The first 4 KiB, and whenever the buffer doubles.
        assert!(moved < 100, "moved {moved} times");
    }

    #[test]
    fn a_long_line_in_small_writes_is_the_same() {
        let mut bytes = "x€".repeat(5_000).into_bytes();
        bytes.extend_from_slice(b"\r\nrest");
        let reads: Vec<&[u8]> = bytes.chunks(61).collect();
        for max_line in [4_096, 6_000, 20_000, 20_001, 1024 * 1024] {
            assert_eq!(lines_of(&reads, max_line), lines_of(&[&bytes], max_line));
        }
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole() {
        assert_eq!(
            lines_of(&[b"abcd", b"\r", b"\nefgh\n"], 4),
            ["abcd", "efgh"].map(whole)
        );
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => Just(b'\n'), 3 => Just(b'\r'), 6 => Just(b'x'), 1 => any::<u8>(),
            2 => Just(0xE2), 2 => Just(0x82), 2 => Just(0xAC),
        ];
        proptest::collection::vec(byte, 0..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_split_into_reads_gives_the_same_lines(
            bytes in stream(),
            cuts in proptest::collection::vec(0_usize..200, 0..20),
            max_line in 1_usize..20,
            split_on in prop_oneof![Just(SplitOn::Lf), Just(SplitOn::CrOrLf)],
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let at_once = split(&[&bytes], max_line, split_on);
            prop_assert_eq!(&split(&reads, max_line, split_on), &at_once);
            prop_assert_eq!(&split(&single, max_line, split_on), &at_once);
            prop_assert!(at_once.iter().all(|(line, _)| line.len() <= max_line));
        }

        #[test]
        fn lines_hold_what_was_printed(bytes in stream(), max_line in 1_usize..20) {
            let mut joined = Vec::new();
            for (line, partial) in lines_of(&[&bytes], max_line) {
                joined.extend(line);
                if !partial {
                    joined.push(b'\n');
                }
            }
            let mut printed = Vec::new();
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let content = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n"));
                printed.extend(content.unwrap_or(line));
                printed.push(b'\n');
            }
            prop_assert_eq!(joined, printed);
        }
    }
}
