//! The entries of a log, in the format of container runtimes (CRI): `2026-11-20T12:00:00.123456789Z stdout F the line`.
//!
//! A line is one entry, `F`, however it was split into writes and reads. One longer than 16 KiB comes in pieces, and so
//! does one that nobody finishes for a second: each but the last is a `P`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
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
    let time = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S%.f");
    time.ok().map(|time| time.and_utc())
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
