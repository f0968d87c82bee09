//! The entries of a log, in the format of container runtimes (CRI): `2026-11-20T12:00:00.123456789Z stdout F the line`.
//!
//! A line is one entry, `F`, however it was split into writes and reads. One longer than 16 KiB comes in pieces, and so
//! does one that nobody finishes for a second: each but the last is a `P`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use memchr::memchr;

use super::capture::whole_characters;
use crate::api::event::OutputStream;
use crate::api::log::LogLine;

/// The longest line, and the longest piece of one, in bytes.
const LONGEST_PIECE: usize = 16 * 1024;

/// How long a line may lack its end before what there is of it becomes a piece.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

const STREAMS: [OutputStream; 2] = [OutputStream::Stdout, OutputStream::Stderr];

/// What stands before the time of the end of an entry's line, at most: longer than any time.
const LONGEST_TIME: usize = 40;

/// From what was printed to entries. A line that has no end yet is held back.
#[derive(Debug, Default)]
pub(super) struct Entries {
    unfinished: [Unfinished; 2],
}

/// The line of a stream that has no end yet.
#[derive(Debug, Default)]
struct Unfinished {
    held: Vec<u8>,
    /// Since when something is held.
    since: Option<Instant>,
    /// Whether there is an entry of its beginning.
    is_begun: bool,
}

/// What is written of a line: the time, the stream and the tag, and then the text.
pub(super) struct Entry<'a> {
    head: &'a str,
    text: &'a [u8],
}

impl Entry<'_> {
    pub fn size(&self) -> usize {
        self.head.len() + self.text.len() + 1
    }

    pub fn write_to(&self, entries: &mut Vec<u8>) {
        entries.extend_from_slice(self.head.as_bytes());
        entries.extend_from_slice(self.text);
        entries.push(b'\n');
    }
}

/// The heads of the entries of one stream that are made at one time.
struct Heads {
    full: String,
    piece: String,
}

impl Heads {
    fn new(stream: OutputStream, at: DateTime<Utc>) -> Self {
        let mut full = at.to_rfc3339_opts(SecondsFormat::Nanos, true);
        let _ = write!(full, " {} F ", stream.as_str());
        let mut piece = full.clone();
        piece.replace_range(full.len() - 2.., "P ");
        Self { full, piece }
    }
}

impl Entries {
    /// Takes what was read of a stream; `emit` is given the entries that this completes.
    pub fn push(
        &mut self,
        stream: OutputStream,
        chunk: &[u8],
        at: DateTime<Utc>,
        mut emit: impl FnMut(&Entry<'_>),
    ) {
        let heads = Heads::new(stream, at);
        let unfinished = &mut self.unfinished[stream as usize];
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            unfinished.finish(&rest[..end], &heads, &mut emit);
            rest = &rest[end + 1..];
        }
        unfinished.hold(rest, &heads, &mut emit);
    }

    /// When the next piece is to be written, if no line is finished before.
    pub fn next_piece(&self) -> Option<Instant> {
        let since = self.unfinished.iter().filter_map(|line| line.since);
        since.min().map(|since| since + PATIENCE)
    }

    /// Gives what has lacked its end for too long.
    pub fn push_pieces(&mut self, now: Instant, mut emit: impl FnMut(&Entry<'_>)) {
        for (stream, unfinished) in STREAMS.into_iter().zip(&mut self.unfinished) {
            if unfinished
                .since
                .is_some_and(|since| now >= since + PATIENCE)
            {
                unfinished.give_up_waiting(&Heads::new(stream, Utc::now()), &mut emit);
            }
        }
    }

    /// Whether anything is to be written at the end.
    pub fn is_finished(&self) -> bool {
        let is_finished = |line: &Unfinished| line.held.is_empty() && !line.is_begun;
        self.unfinished.iter().all(is_finished)
    }

    /// Gives what is held back; `goes_on`: whether more may come.
    pub fn finish(&mut self, goes_on: bool, mut emit: impl FnMut(&Entry<'_>)) {
        for (stream, unfinished) in STREAMS.into_iter().zip(&mut self.unfinished) {
            let heads = Heads::new(stream, Utc::now());
            if !unfinished.held.is_empty() && goes_on {
                unfinished.give_up_waiting(&heads, &mut emit);
            } else if !goes_on && (!unfinished.held.is_empty() || unfinished.is_begun) {
                unfinished.finish(&[], &heads, &mut emit);
            }
        }
    }
}

impl Unfinished {
    /// Ends the line with that text.
    fn finish(&mut self, text: &[u8], heads: &Heads, emit: &mut impl FnMut(&Entry<'_>)) {
        if self.held.is_empty() {
            let rest = give_pieces(text, heads, emit);
            emit(&Entry {
                head: &heads.full,
                text: rest,
            });
        } else {
            self.held.extend_from_slice(text);
            let rest = give_pieces(&self.held, heads, emit);
            emit(&Entry {
                head: &heads.full,
                text: rest,
            });
            self.held.clear();
        }
        self.since = None;
        self.is_begun = false;
    }

    /// Goes on with the line, which has no end yet.
    fn hold(&mut self, text: &[u8], heads: &Heads, emit: &mut impl FnMut(&Entry<'_>)) {
        if text.is_empty() {
            return;
        }
        if self.held.is_empty() {
            let rest = give_pieces(text, heads, emit);
            self.is_begun |= rest.len() < text.len();
            self.held.extend_from_slice(rest);
            self.since = Some(Instant::now());
        } else {
            self.held.extend_from_slice(text);
            let left = give_pieces(&self.held, heads, emit).len();
            let given = self.held.len() - left;
            self.forget(given);
        }
    }

    /// Gives a piece, but for a character that is not whole.
    fn give_up_waiting(&mut self, heads: &Heads, emit: &mut impl FnMut(&Entry<'_>)) {
        let whole = match whole_characters(&self.held) {
            0 => self.held.len(),
            whole => whole,
        };
        emit(&Entry {
            head: &heads.piece,
            text: &self.held[..whole],
        });
        self.forget(whole);
    }

    /// Forgets what was given of the line.
    fn forget(&mut self, given: usize) {
        if given > 0 {
            self.held.drain(..given);
            self.is_begun = true;
            self.since = (!self.held.is_empty()).then(Instant::now);
        }
    }
}

/// Gives the pieces of a line that is too long, and returns what is left. The cuts depend on nothing but the line.
fn give_pieces<'a>(line: &'a [u8], heads: &Heads, emit: &mut impl FnMut(&Entry<'_>)) -> &'a [u8] {
    let mut rest = line;
    while rest.len() > LONGEST_PIECE {
        let (piece, after) = rest.split_at(whole_characters(&rest[..LONGEST_PIECE]));
        emit(&Entry {
            head: &heads.piece,
            text: piece,
        });
        rest = after;
    }
    rest
}

/// What stands at the beginning of some bytes of a log.
pub(super) enum Found {
    /// An entry, of so many bytes.
    Entry(LogLine, usize),
    /// The beginning of one.
    Unfinished,
    /// Something else, told.
    Foreign(String),
}

/// Reads the entry at the beginning of these bytes, which stand at that offset.
pub(super) fn read_entry(bytes: &[u8], offset: u64) -> Found {
    let end = memchr(b'\n', bytes);
    let entry = &bytes[..end.unwrap_or(bytes.len())];
    match (read(entry), end) {
        (Some((timestamp, stream, is_full, text)), Some(end)) => {
            let size = end + 1;
            // The end of a line is `\n`, or `\r\n`.
            let text = text.strip_suffix(b"\r").filter(|_| is_full).unwrap_or(text);
            let line = LogLine {
                stream,
                line: String::from_utf8_lossy(text).into_owned(),
                timestamp,
                offset: offset + size as u64,
                complete: is_full,
            };
            Found::Entry(line, size)
        }
        (_, None) if begins_entry(entry) => Found::Unfinished,
        _ => Found::Foreign(shown(entry)),
    }
}

fn read(entry: &[u8]) -> Option<(DateTime<Utc>, OutputStream, bool, &[u8])> {
    let (time, rest) = word(entry)?;
    let (stream, rest) = word(rest)?;
    let (tag, text) = word(rest)?;
    let stream = STREAMS
        .into_iter()
        .find(|known| known.as_str().as_bytes() == stream)?;
    let is_full = match tag {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some((read_time(time)?, stream, is_full, text))
}

fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b' ', &bytes[..bytes.len().min(LONGEST_TIME)])?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn read_time(time: &[u8]) -> Option<DateTime<Utc>> {
    let time = std::str::from_utf8(time).ok()?;
    let time = DateTime::parse_from_rfc3339(time).ok()?;
    Some(time.to_utc())
}

/// Whether these bytes, in which no line ends, may be the beginning of an entry.
fn begins_entry(bytes: &[u8]) -> bool {
    let Some((time, rest)) = word(bytes) else {
        let is_of_time = |byte: &u8| byte.is_ascii_digit() || b"-:.TZ".contains(byte);
        return bytes.len() < LONGEST_TIME && bytes.iter().all(is_of_time);
    };
    let goes_on = |tags: &[u8]| {
        STREAMS.iter().any(|stream| {
            let head = [stream.as_str().as_bytes(), b" ", tags, b" "].concat();
            let common = rest.len().min(head.len());
            rest[..common] == head[..common]
        })
    };
    read_time(time).is_some() && (goes_on(b"F") || goes_on(b"P"))
}

/// The beginning of what was found, for a message.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    let more = if bytes.len() > MOST { "…" } else { "" };
    format!("{:?}", format!("{start}{more}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use OutputStream::{Stderr, Stdout};

    /// The entries without their times: stream, tag, text.
    fn entries_of(work: impl FnOnce(&mut Entries, &mut dyn FnMut(&Entry<'_>))) -> Vec<Vec<u8>> {
        let mut written = Vec::new();
        let mut entries = Entries::default();
        work(&mut entries, &mut |entry| entry.write_to(&mut written));
        let lines = written.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| line[31..].to_vec()).collect()
    }

    fn logged(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        entries_of(|entries, emit| {
            for chunk in chunks {
                entries.push(Stdout, chunk, Utc::now(), &mut *emit);
            }
            entries.finish(false, emit);
        })
    }

    #[test]
    fn a_line_of_at_most_16_kib_is_one_entry_and_a_longer_one_ends_with_a_full_one() {
        let sizes = [0, 1, LONGEST_PIECE, LONGEST_PIECE + 1, 3 * LONGEST_PIECE];
        let pieces = [1, 1, 1, 2, 3];
        for (size, pieces) in sizes.into_iter().zip(pieces) {
            let line = [vec![b'x'; size], vec![b'\n']].concat();
            let found = logged(&[&line]);
            assert_eq!(found.len(), pieces, "{size} bytes");
            let (last, others) = found.split_last().expect("an entry");
            assert!(last.starts_with(b"stdout F "));
            assert!(others.iter().all(|piece| piece.starts_with(b"stdout P ")));
        }
    }

    #[test]
    fn a_piece_ends_with_a_whole_character() {
        let line = "€".repeat(LONGEST_PIECE);
        let found = logged(&[line.as_bytes()]);
        assert!(found.len() > 2);
        assert!(found.iter().all(|entry| std::str::from_utf8(entry).is_ok()));
    }

    #[test]
    fn what_nobody_finishes_becomes_a_piece_once_and_its_end_a_full_one() {
        let later = Instant::now() + 2 * PATIENCE;
        let found = entries_of(|entries, emit| {
            entries.push(
                Stdout,
                "name€".as_bytes().split_at(5).0,
                Utc::now(),
                &mut *emit,
            );
            assert!(entries.next_piece().is_some());
            entries.push_pieces(Instant::now(), &mut *emit);
            entries.push_pieces(later, &mut *emit);
            entries.push(Stderr, b"whole\n", Utc::now(), &mut *emit);
            entries.push(Stdout, "€".as_bytes().split_at(1).1, Utc::now(), &mut *emit);
            entries.push(Stdout, b"\n", Utc::now(), &mut *emit);
            assert_eq!(entries.next_piece(), None);
            entries.finish(false, emit);
        });
        let found: Vec<_> = found
            .iter()
            .map(|entry| String::from_utf8_lossy(entry))
            .collect();
        let expected = ["stdout P name\n", "stderr F whole\n", "stdout F €\n"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_that_was_begun_is_ended_with_its_stream() {
        let later = Instant::now() + 2 * PATIENCE;
        let found = entries_of(|entries, emit| {
            entries.push(Stdout, b"Password: ", Utc::now(), &mut *emit);
            entries.push_pieces(later, &mut *emit);
            entries.finish(true, &mut *emit);
            assert!(!entries.is_finished());
            entries.finish(false, emit);
            assert!(entries.is_finished());
        });
        assert_eq!(found, [b"stdout P Password: \n".as_slice(), b"stdout F \n"]);
    }

    #[test]
    fn what_is_no_entry_is_told_and_the_beginning_of_one_is_waited_for() {
        let entry = b"2026-11-20T12:00:00.123456789Z stdout F the line\r\n";
        let Found::Entry(line, size) = read_entry(entry, 100) else {
            panic!("expected an entry");
        };
        assert_eq!((line.line.as_str(), line.complete), ("the line", true));
        assert_eq!((size, line.offset), (entry.len(), 100 + entry.len() as u64));
        for end in 0..entry.len() {
            let found = read_entry(&entry[..end], 0);
            assert!(matches!(found, Found::Unfinished), "the first {end} bytes");
        }
        let others = [
            "hello\n",
            "hello",
            "\n",
            "2026-11-20T12:00:00Z stdin F x\n",
            "2026-11-20T12:00:00Z stdin",
            "2026-11-20T12:00:00Z stdout X x\n",
            "2026-11-20T12:00:00Z stdout F\n",
            "2026-21-20T12:00:00Z stdout F x\n",
            "12345678901234567890123456789012345678901234567890",
        ];
        for other in others {
            let Found::Foreign(found) = read_entry(other.as_bytes(), 0) else {
                panic!("expected {other:?} to be told as foreign");
            };
            assert!(found.starts_with('"'), "{found}");
        }
    }

    /// Lines of all lengths, some longer than a piece, some not in UTF-8.
    fn printed() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "[a€\n\r]{0,20}".prop_map(String::into_bytes),
            1 => (LONGEST_PIECE - 5..LONGEST_PIECE + 5).prop_map(|size| vec![b'x'; size]),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_entries_are_the_same_for_any_split_and_hold_every_byte(
            printed in printed(),
            mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let whole = logged(&[&printed]);
            let mut ends: Vec<_> = cuts.drain(..).map(|cut| cut.index(printed.len() + 1)).collect();
            ends.extend([0, printed.len()]);
            ends.sort_unstable();
            let chunks: Vec<_> = ends.windows(2).map(|ends| &printed[ends[0]..ends[1]]).collect();
            prop_assert_eq!(&logged(&chunks), &whole);
            let mut joined = Vec::new();
            for entry in &whole {
                let text = &entry["stdout F ".len()..entry.len() - 1];
                joined.extend_from_slice(text);
                if entry.starts_with(b"stdout F ") {
                    joined.push(b'\n');
                }
            }
            if printed.last().is_some_and(|last| *last != b'\n') {
                joined.pop();
            }
            prop_assert_eq!(joined, printed);
        }
    }
}
