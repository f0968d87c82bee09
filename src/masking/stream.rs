//! Masks a stream, however it is split into reads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::StateID;

use super::mask::{MASK, Mask};
use super::search::Search;
use super::variants::is_space_byte;

/// The longest run of white space within a secret of several lines that is taken for one of its line breaks: what may
/// be the beginning of one is held back, and is not to grow without end.
const LONGEST_RUN: usize = 1024;

/// A place so far back that going on from it costs less than to look again where a pattern may begin.
const FEW: usize = 4;

/// One stream on its way through a [`Mask`]: in place of each secret, and of those that overlap or touch, stands `***`.
///
/// What may be the beginning of a secret is held back until it is known. It is kept here, and goes in front of what is
/// read next:
///
/// ```text
/// let from = bytes.len();
/// mask.put_held(&mut bytes);
/// // read behind it
/// mask.mask(&mut bytes, from);
/// ```
///
/// At the end `finish` gives out what is held still, as it is.
#[derive(Debug, Clone)]
pub(crate) struct StreamMask {
    mask: Arc<Mask>,
    exact: StateID,
    flow: Flow,
    /// Where in the stream what is held begins.
    offset: u64,
    held: Vec<u8>,
    /// The secrets found in what is held, from its beginning: something longer around them may be one too. Apart, and
    /// ascending.
    found: Vec<Range<usize>>,
    /// Whether a mask was given out last: a secret that goes on from there belongs to it.
    is_behind_mask: bool,
}

/// The search for secrets of several lines, in the stream with one space for each run of white space.
#[derive(Debug, Clone)]
struct Flow {
    state: StateID,
    /// Where in the stream each byte begins that may belong to a secret.
    starts: VecDeque<u64>,
    /// How long the run of white space is that was read last.
    run: usize,
}

impl Flow {
    fn new(search: &Search) -> Self {
        Self {
            state: search.start(),
            starts: VecDeque::new(),
            run: 0,
        }
    }

    /// Reads a byte of the stream; returns where the longest secret begins that ends with it.
    fn read(&mut self, search: &Search, byte: u8, at: u64) -> Option<u64> {
        let byte = if is_space_byte(byte) { b' ' } else { byte };
        if byte == b' ' {
            self.run += 1;
            if self.run > LONGEST_RUN {
                self.state = search.start();
                self.starts.clear();
            }
            if self.run > 1 {
                return None;
            }
        } else {
            self.run = 0;
        }
        self.state = search.next(self.state, byte);
        self.starts.push_back(at);
        let excess = self.starts.len() - search.depth(self.state);
        self.starts.drain(..excess);
        match search.found(self.state) {
            0 => None,
            length => self.starts.get(self.starts.len() - length).copied(),
        }
    }
}

impl StreamMask {
    pub fn new(mask: Arc<Mask>) -> Self {
        Self {
            exact: mask.exact.start(),
            flow: Flow::new(&mask.flowing),
            mask,
            offset: 0,
            held: Vec::new(),
            found: Vec::new(),
            is_behind_mask: false,
        }
    }

    /// Puts what is held back at the end of a buffer. It is still held here.
    pub fn put_held(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.held);
    }

    /// Masks the bytes from `from` on, which are what was held back, and what was read behind it. What is held back now
    /// is cut off from their end. Returns how many bytes there are less, beside what is held back.
    pub fn mask(&mut self, bytes: &mut Vec<u8>, from: usize) -> usize {
        let text = &bytes[from..];
        if self.held.is_empty() && self.is_idle() {
            // The usual case: nothing is found, and at most the beginning of something at the end.
            self.search(text, 0);
            if self.found.is_empty() && self.is_idle() {
                self.offset += text.len() as u64;
                self.is_behind_mask &= text.is_empty();
                return 0;
            }
        } else {
            self.search(text, self.held.len());
        }
        let keep = self.first_held(text.len());
        self.give_out(bytes, from, keep)
    }

    /// The same at the end of the stream: nothing is held back any more. What comes all the same is another stream.
    pub fn finish(&mut self, bytes: &mut Vec<u8>, from: usize) -> usize {
        self.search(&bytes[from..], self.held.len());
        let less = self.give_out(bytes, from, bytes.len() - from);
        *self = Self::new(Arc::clone(&self.mask));
        less
    }

    /// Whether something is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Goes on with other secrets, or begins with them.
    pub fn renew(place: &mut Option<Self>, mask: &Arc<Mask>) {
        match place {
            Some(old) => old.change(Arc::clone(mask)),
            none => *none = Some(Self::new(Arc::clone(mask))),
        }
    }

    /// Goes on with other secrets. What is held back is looked through again.
    pub fn change(&mut self, mask: Arc<Mask>) {
        let held = std::mem::take(&mut self.held);
        *self = Self {
            offset: self.offset,
            is_behind_mask: self.is_behind_mask,
            ..Self::new(mask)
        };
        self.search(&held, 0);
        self.held = held;
    }

    /// Whether nothing that was read may be the beginning of a secret.
    fn is_idle(&self) -> bool {
        self.exact == self.mask.exact.start() && self.flow.state == self.mask.flowing.start()
    }

    /// Notes the secrets that end in `text` from `scanned` on.
    fn search(&mut self, text: &[u8], scanned: usize) {
        let mask = Arc::clone(&self.mask);
        // From here on the filter sees no whole window.
        let unfiltered = (text.len() + 1).saturating_sub(mask.filter.window());
        let mut at = scanned;
        let mut floor = scanned;
        while at < text.len() {
            if at < unfiltered && self.is_idle() {
                at = mask.filter.next(text, at).unwrap_or(unfiltered);
                floor = at + 1;
            }
            self.read(&mask, text[at], at);
            at += 1;
            let depth = mask.exact.depth(self.exact);
            // What may begin here is found by the filter as well, which most of the time rules it out.
            if depth < FEW
                && at >= floor + depth
                && at < unfiltered
                && self.flow.state == mask.flowing.start()
            {
                at -= depth;
                self.exact = mask.exact.start();
            }
        }
    }

    fn read(&mut self, mask: &Mask, byte: u8, at: usize) {
        self.exact = mask.exact.next(self.exact, byte);
        let found = mask.exact.found(self.exact);
        if found > 0 {
            self.note((at + 1).saturating_sub(found), at + 1);
        }
        if !mask.flowing.is_empty() {
            let place = self.offset + at as u64;
            if let Some(start) = self.flow.read(&mask.flowing, byte, place) {
                self.note(self.since(start), at + 1);
            }
        }
    }

    /// A place in the stream as one in what is held, or its beginning if that was given out.
    fn since(&self, place: u64) -> usize {
        usize::try_from(place.saturating_sub(self.offset)).unwrap_or(usize::MAX)
    }

    /// Unites a secret with those that it overlaps or touches.
    fn note(&mut self, mut start: usize, end: usize) {
        while let Some(last) = self.found.pop_if(|last| last.end >= start) {
            start = start.min(last.start);
        }
        self.found.push(start..end);
    }

    /// Where the first byte is that is to be held back, of a text of that length: the beginning of what may be a secret,
    /// unless that is within one.
    fn first_held(&self, length: usize) -> usize {
        let exact = length.saturating_sub(self.mask.exact.depth(self.exact));
        let flow = self.flow.starts.front();
        let flow = flow.map_or(length, |start| self.since(*start));
        let first = exact.min(flow);
        let around = self
            .found
            .iter()
            .find(|found| found.start <= first && first < found.end);
        around.map_or(first, |found| found.end)
    }

    /// Masks what comes before `keep`, counted from `from`, and cuts off the rest, which is held.
    fn give_out(&mut self, bytes: &mut Vec<u8>, from: usize, keep: usize) -> usize {
        self.held.clear();
        self.held.extend_from_slice(&bytes[from + keep..]);
        let given = self.found.partition_point(|found| found.end <= keep);
        let mut to = from;
        let mut next = 0;
        for found in &self.found[..given] {
            move_to(bytes, from + next..from + found.start, &mut to);
            let goes_on = found.start == 0 && self.is_behind_mask;
            if !goes_on {
                // No secret is shorter.
                bytes[to..to + MASK.len()].copy_from_slice(MASK);
                to += MASK.len();
            }
            next = found.end;
        }
        move_to(bytes, from + next..from + keep, &mut to);
        bytes.truncate(to);
        if keep > 0 {
            self.is_behind_mask = next == keep && given > 0;
        }
        self.found.drain(..given);
        for found in &mut self.found {
            *found = found.start - keep..found.end - keep;
        }
        self.offset += keep as u64;
        from + keep - to
    }
}

/// Moves a part of a buffer to the front, where it is not there already.
fn move_to(bytes: &mut [u8], part: Range<usize>, to: &mut usize) {
    let length = part.len();
    if part.start != *to {
        bytes.copy_within(part, *to);
    }
    *to += length;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::secret::Secret;
    use super::*;

    fn mask_of(secrets: &[&str]) -> Arc<Mask> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::from(*secret)).collect();
        Mask::of(&secrets).expect("there are secrets")
    }

    /// What comes out of a stream that is read in these pieces, each behind the unfinished line of the one before.
    fn masked_in<'a>(mask: &Arc<Mask>, reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut stream = StreamMask::new(Arc::clone(mask));
        let mut out = b"unfinished".to_vec();
        for read in reads {
            let from = out.len();
            stream.put_held(&mut out);
            out.extend_from_slice(read);
            stream.mask(&mut out, from);
        }
        let from = out.len();
        stream.put_held(&mut out);
        stream.finish(&mut out, from);
        out.split_off(b"unfinished".len())
    }

    /// The same, by looking for every form everywhere.
    fn masked_slowly(secrets: &[&str], text: &[u8]) -> Vec<u8> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::from(*secret)).collect();
        let forms = super::super::variants::Forms::of(&secrets);
        let mut hidden = vec![false; text.len()];
        for start in 0..text.len() {
            let exact = forms
                .exact
                .iter()
                .map(|form| text[start..].starts_with(form).then_some(form.len()));
            let flowing = forms.flowing.iter().map(|form| flows(&text[start..], form));
            let ends = exact.chain(flowing).flatten();
            if let Some(length) = ends.max() {
                hidden[start..start + length].fill(true);
            }
        }
        let mut out = Vec::new();
        for (index, byte) in text.iter().enumerate() {
            match (hidden[index], index > 0 && hidden[index - 1]) {
                (false, _) => out.push(*byte),
                (true, false) => out.extend_from_slice(MASK),
                (true, true) => {}
            }
        }
        out
    }

    /// The length of what the text begins with, if that is this form with any white space for each space.
    fn flows(text: &[u8], form: &[u8]) -> Option<usize> {
        let mut at = 0;
        for &byte in form {
            if byte == b' ' {
                let run = text[at..]
                    .iter()
                    .take_while(|byte| is_space_byte(**byte))
                    .count();
                if run == 0 || run > LONGEST_RUN {
                    return None;
                }
                at += run;
            } else if text.get(at) == Some(&byte) {
                at += 1;
            } else {
                return None;
            }
        }
        Some(at)
    }

    /// As one piece, and in pieces of each of these sizes.
    fn masked(secrets: &[&str], text: &str) -> String {
        let mask = mask_of(secrets);
        let whole = masked_in(&mask, [text.as_bytes()]);
        assert_eq!(
            String::from_utf8_lossy(&whole),
            String::from_utf8_lossy(&masked_slowly(secrets, text.as_bytes()))
        );
        for size in [1, 2, 3, 5, 7, 64, 1000] {
            let split = masked_in(&mask, text.as_bytes().chunks(size));
            assert_eq!(split, whole, "in pieces of {size}");
        }
        String::from_utf8(whole).expect("text")
    }

    #[test]
    fn a_secret_is_replaced_wherever_it_stands() {
        for (text, expected) in [
            ("hunter22", "***"),
            ("hunter22 at the start", "*** at the start"),
            ("in the hunter22 middle", "in the *** middle"),
            ("at the end hunter22", "at the end ***"),
            ("glued:hunter22:together", "glued:***:together"),
            ("hunter2 and hunter2", "hunter2 and hunter2"),
            ("hunter2hunter22", "hunter2***"),
            ("a\nhunter22\nb\n", "a\n***\nb\n"),
            ("", ""),
        ] {
            assert_eq!(masked(&["hunter22"], text), expected);
        }
    }

    #[test]
    fn secrets_that_touch_or_overlap_become_one_mask() {
        assert_eq!(masked(&["hunter22"], "hunter22hunter22."), "***.");
        assert_eq!(
            masked(&["hunter22", "22hunters"], "a hunter22hunters b"),
            "a *** b"
        );
        assert_eq!(
            masked(&["this is the end", "end foobar"], "this is the end foobar"),
            "***"
        );
        assert_eq!(
            masked(&["abcdef", "cdef", "defghi"], "xabcdefghix"),
            "x***x"
        );
        // What lies between them is seen.
        assert_eq!(masked(&["hunter22"], "hunter22 hunter22"), "*** ***");
    }

    #[test]
    fn one_secret_within_another_leaves_nothing_of_the_longer_one() {
        assert_eq!(masked(&["secret", "secrets"], "secrets secret"), "*** ***");
        assert_eq!(
            masked(&["abcd", "abcdef"], "abcdef abcde abcd"),
            "*** ***e ***"
        );
        assert_eq!(
            masked(&["cdef", "abcdefgh"], "abcdefgh abcdefg"),
            "*** ab***g"
        );
        assert_eq!(
            masked(&["bcde", "abcdefghij"], "abcdefghi|abcdefghij"),
            "a***fghi|***"
        );
    }

    #[test]
    fn a_tower_of_secrets_falls_as_a_whole() {
        let tower: Vec<String> = (4..=40)
            .map(|height| "abcdefgh".repeat(5)[..height].into())
            .collect();
        let tower: Vec<&str> = tower.iter().map(String::as_str).collect();
        assert_eq!(masked(&tower, &format!("x{}y", tower[36])), "x***y");
        let repeated: Vec<String> = (4..=60).map(|height| "a".repeat(height)).collect();
        let repeated: Vec<&str> = repeated.iter().map(String::as_str).collect();
        assert_eq!(
            masked(&repeated, &format!("aaa b{}b", "a".repeat(500))),
            "aaa b***b"
        );
    }

    #[test]
    fn what_fails_in_the_middle_of_a_secret_may_hold_the_beginning_of_it() {
        assert_eq!(masked(&["aaab"], "aaaab aaab aab"), "a*** *** aab");
        assert_eq!(masked(&["ababc"], "xabababc"), "xab***");
        assert_eq!(masked(&["abcabcabd"], "abcabcabcabd"), "abc***");
    }

    #[test]
    fn characters_of_every_width_are_masked_and_left_whole() {
        assert_eq!(masked(&["pässwörd€"], "é pässwörd€ 😀"), "é *** 😀");
        assert_eq!(masked(&["😀😀"], "😀 😀😀 😀"), "😀 *** 😀");
    }

    #[test]
    fn a_long_secret_is_found_across_any_split() {
        let long = "0123456789abcdefghij".repeat(800);
        assert_eq!(masked(&[&long], &format!("<{long}>")), "<***>");
        let but_the_last = &long[..long.len() - 1];
        assert_eq!(masked(&[&long], but_the_last), but_the_last);
    }

    #[test]
    fn a_thousand_secrets_are_found() {
        let secrets: Vec<String> = (0..1000)
            .map(|i| format!("key-{:08x}", i * 2_654_435_761_u64 % 0xffff_ffff))
            .collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let mask = mask_of(&secrets);
        for secret in &secrets {
            let text = format!("a {secret} b");
            assert_eq!(masked_in(&mask, text.as_bytes().chunks(5)), b"a *** b");
        }
    }

    const KEY: &str = "-----BEGIN KEY-----\nMIIEpAIB\nx\nAAKCAQEA\n-----END KEY-----\n";

    #[test]
    fn a_secret_of_several_lines_is_found_with_any_white_space_for_a_line_break() {
        for between in ["\n", "\r\n", "\r\r\n", " ", "\n    ", "\n\n\t"] {
            let text = format!("a {} b", KEY.trim_end().replace('\n', between));
            assert_eq!(masked(&[KEY], &text), "a *** b");
        }
        let mixed = "-----BEGIN   KEY-----\r\nMIIEpAIB x\n\nAAKCAQEA\t-----END KEY-----";
        assert_eq!(masked(&[KEY], &format!("a {mixed} b")), "a *** b");
        assert_eq!(masked(&[KEY], &format!("{KEY:?}")), "\"***\\n\"");
        // A longer run of white space is no line break of a secret: its lines are found all the same.
        let far = format!("MIIEpAIB{}x\nAAKCAQEA", " ".repeat(LONGEST_RUN + 1));
        assert_eq!(
            masked(&["MIIEpAIB\nx\nAAKCAQEA"], &far),
            far.replace("MIIEpAIB", "***").replace("AAKCAQEA", "***")
        );
    }

    #[test]
    fn the_lines_of_a_secret_are_found_one_by_one_and_what_is_no_secret_is_left() {
        assert_eq!(masked(&[KEY], "x MIIEpAIB y\nx\n"), "x *** y\nx\n");
        let document = "{\n  \"password\": \"hunter22\"\n}\n";
        assert_eq!(masked(&[document], document), "***\n");
        assert_eq!(masked(&[document], "{}\n[\n{\n}\n]"), "{}\n[\n{\n}\n]");
        assert_eq!(
            masked(&[document], "x \"password\": \"hunter22\" }"),
            "x *** }"
        );
    }

    /// What is held back of the end of a text.
    fn held_of(mask: &Arc<Mask>, text: &str) -> String {
        let mut stream = StreamMask::new(Arc::clone(mask));
        let mut bytes = text.as_bytes().to_vec();
        stream.mask(&mut bytes, 0);
        String::from_utf8(stream.held).expect("text")
    }

    #[test]
    fn only_the_longest_beginning_of_a_secret_is_held_back_and_no_finished_line() {
        let mask = mask_of(&["hunter22"]);
        assert_eq!(held_of(&mask, "hunter22 hunter2"), "hunter2");
        assert_eq!(held_of(&mask, "a line hunt\n"), "");
        assert_eq!(held_of(&mask, "a line hunt\r\n"), "");
        assert_eq!(held_of(&mask, "nothing"), "");
        let mask = mask_of(&["hunter22\n"]);
        assert_eq!(held_of(&mask, "hunter22\n"), "");
        let mask = mask_of(&["abcdef", "defghi"]);
        // The rest of what is masked already.
        assert_eq!(held_of(&mask, "abcdef"), "");
        assert_eq!(held_of(&mask, "abcdefg"), "g");
    }

    #[test]
    fn text_without_secrets_is_not_moved() {
        let mask = mask_of(&["hunter22"]);
        let mut stream = StreamMask::new(mask);
        let mut bytes = b"unfinished, and a line\n".to_vec();
        let before = bytes.clone();
        stream.mask(&mut bytes, 12);
        assert_eq!((bytes, stream.held.len()), (before, 0));
    }

    #[test]
    fn what_is_added_counts_from_the_next_read_on_and_for_what_is_held() {
        let mut stream = StreamMask::new(mask_of(&["first-secret"]));
        let mut out = b"first-se".to_vec();
        stream.mask(&mut out, 0);
        assert_eq!(out, b"");
        stream.change(mask_of(&["first-secret", "se-cond-secret", "third-secret"]));
        stream.put_held(&mut out);
        out.extend_from_slice(b"cret third-secret first-se");
        stream.mask(&mut out, 0);
        assert_eq!(out, b"*** *** ");
        stream.change(mask_of(&["se-cond-secret"]));
        let from = out.len();
        stream.put_held(&mut out);
        out.extend_from_slice(b"-cond-secret");
        stream.finish(&mut out, from);
        assert_eq!(out, b"*** *** first-***");
    }

    /// Of few letters, so that secrets overlap, repeat and begin one another.
    fn letters(least: usize, most: usize) -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![6 => "a", 3 => "b", 1 => "\n", 1 => " ", 1 => "c"],
            least..most,
        )
        .prop_map(|letters| letters.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn however_a_stream_is_split_it_is_masked_as_in_one_piece_and_holds_no_secret(
            secrets in proptest::collection::vec(letters(4, 16), 1..5),
            parts in proptest::collection::vec((letters(0, 10), any::<proptest::sample::Index>()), 0..12),
            sizes in proptest::collection::vec(1_usize..40, 1..20),
        ) {
            let secrets: Vec<&str> = secrets
                .iter()
                .map(String::as_str)
                .filter(|secret| Secret::from(*secret).complaint().is_none())
                .collect();
            prop_assume!(!secrets.is_empty());
            let text: String = parts
                .iter()
                .flat_map(|(between, secret)| [between.as_str(), secrets[secret.index(secrets.len())]])
                .collect();
            let mask = mask_of(&secrets);
            let expected = masked_slowly(&secrets, text.as_bytes());
            let mut rest = text.as_bytes();
            let reads = sizes.iter().cycle().map_while(|size| {
                let (read, left) = rest.split_at((*size).min(rest.len()));
                rest = left;
                (!read.is_empty()).then_some(read)
            });
            let masked = String::from_utf8(masked_in(&mask, reads)).expect("text");
            prop_assert_eq!(&masked, &String::from_utf8(expected).expect("text"));
            for secret in secrets {
                prop_assert!(!masked.contains(secret));
            }
        }

        #[test]
        fn a_secret_of_any_text_is_found_in_any_text(
            secret in "\\PC{4,30}",
            before in "\\PC{0,200}",
            behind in "\\PC{0,200}",
            size in 1_usize..80,
        ) {
            prop_assume!(Secret::from(secret.as_str()).complaint().is_none() && !secret.contains('*'));
            let mask = mask_of(&[&secret]);
            let text = format!("{before}{secret}{behind}");
            let masked = masked_in(&mask, text.as_bytes().chunks(size));
            prop_assert!(memchr::memmem::find(&masked, secret.as_bytes()).is_none());
            prop_assert_eq!(masked, masked_slowly(&[&secret], text.as_bytes()));
        }
    }
}
