//! In which order both streams were read.

use crate::api::output::OutputOrder;

/// How many turns of both streams are told apart: one of standard output, and of standard error behind it. With more of
/// them the order gets coarser, so that a command that alternates byte by byte does not cost more than it prints.
const MOST_TURNS: usize = 4 * 1024;

/// How much was kept of one stream, then of the other, and so on. Of a command that prints to one stream it is next to
/// nothing.
#[derive(Debug)]
pub(crate) struct ReadOrder {
    /// What was kept of standard output, and then of standard error.
    turns: Vec<[u64; 2]>,
    /// The same of those that go on, of how many, and which stream was read last.
    latest: [u64; 2],
    count: usize,
    stream: usize,
    /// How many turns are taken for one.
    grain: usize,
}

impl Default for ReadOrder {
    fn default() -> Self {
        Self {
            turns: Vec::new(),
            latest: [0, 0],
            count: 1,
            stream: 0,
            grain: 1,
        }
    }
}

impl ReadOrder {
    /// Notes that so many bytes of a stream, 0 or 1, were kept.
    pub fn note(&mut self, stream: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if stream < self.stream {
            self.begin_turn();
        }
        self.stream = stream;
        self.latest[stream] += bytes as u64;
    }

    fn begin_turn(&mut self) {
        if self.turns.len() == MOST_TURNS {
            let sum =
                |two: &[[u64; 2]]| [0, 1].map(|stream| two.iter().map(|turn| turn[stream]).sum());
            self.turns = self.turns.chunks(2).map(sum).collect();
            self.grain *= 2;
        }
        if self.count == self.grain {
            self.turns.push(std::mem::take(&mut self.latest));
            self.count = 0;
        }
        self.count += 1;
    }

    /// The order of both texts that what was kept becomes: cut between characters, and before what replaces a byte that
    /// is no text.
    pub fn into_order(mut self, kept: [&[u8]; 2]) -> OutputOrder {
        if kept.iter().any(|kept| kept.is_empty()) {
            return OutputOrder::default();
        }
        self.turns.push(self.latest);
        for (stream, kept) in kept.into_iter().enumerate() {
            let ends = self.turns.iter().scan(0, |end, turn| {
                *end += turn[stream];
                Some(*end)
            });
            let mut ends: Vec<u64> = ends.collect();
            Text::default().place(kept, &mut ends);
            let mut before = 0;
            for (turn, end) in self.turns.iter_mut().zip(ends) {
                turn[stream] = end - before;
                before = end;
            }
        }
        OutputOrder(self.turns)
    }
}

/// How far bytes have become text.
#[derive(Debug, Default)]
struct Text {
    bytes: u64,
    length: u64,
    /// How many places have been found.
    found: usize,
}

impl Text {
    /// Turns places in the bytes, ascending, into the places in the text.
    fn place(&mut self, kept: &[u8], places: &mut [u64]) {
        match std::str::from_utf8(kept) {
            Ok(text) => self.advance(text, &[], places),
            Err(_) => {
                for chunk in kept.utf8_chunks() {
                    self.advance(chunk.valid(), chunk.invalid(), places);
                }
            }
        }
        // Of a character that did not fit, the beginning was not kept after all.
        for place in &mut places[self.found..] {
            *place = self.length;
        }
    }

    fn advance(&mut self, valid: &str, invalid: &[u8], places: &mut [u64]) {
        while let Some(place) = places.get_mut(self.found)
            && *place < self.bytes + valid.len() as u64
        {
            let mut at = usize::try_from(*place - self.bytes).unwrap_or(0);
            while !valid.is_char_boundary(at) {
                at -= 1;
            }
            *place = self.length + at as u64;
            self.found += 1;
        }
        self.bytes += valid.len() as u64;
        self.length += valid.len() as u64;
        while let Some(place) = places.get_mut(self.found)
            && *place < self.bytes + invalid.len() as u64
        {
            *place = self.length;
            self.found += 1;
        }
        self.bytes += invalid.len() as u64;
        if !invalid.is_empty() {
            self.length += char::REPLACEMENT_CHARACTER.len_utf8() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The order and both texts of a command whose streams were read like this.
    fn read(reads: &[(usize, Vec<u8>)]) -> (OutputOrder, [String; 2]) {
        let mut order = ReadOrder::default();
        let mut kept = [Vec::new(), Vec::new()];
        for (stream, bytes) in reads {
            order.note(*stream, bytes.len());
            kept[*stream].extend_from_slice(bytes);
        }
        let [stdout, stderr] = &kept;
        let order = order.into_order([stdout, stderr]);
        let texts = kept.map(|kept| String::from_utf8_lossy(&kept).into_owned());
        (order, texts)
    }

    fn all(reads: &[(usize, Vec<u8>)]) -> String {
        let (order, [stdout, stderr]) = read(reads);
        order.merge(&stdout, &stderr)
    }

    fn of(stream: usize, bytes: impl AsRef<[u8]>) -> (usize, Vec<u8>) {
        (stream, bytes.as_ref().to_vec())
    }

    #[test]
    fn both_streams_stand_in_the_order_in_which_they_were_read() {
        let reads = [of(1, "a"), of(0, "b"), of(0, "c"), of(1, "d"), of(0, "e")];
        assert_eq!(all(&reads), "abcde");
    }

    #[test]
    fn one_stream_alone_needs_no_order() {
        for stream in [0, 1] {
            let (order, _) = read(&[of(stream, "a"), of(stream, "b")]);
            assert!(order.is_empty());
        }
    }

    #[test]
    fn a_character_that_was_read_in_two_parts_stays_whole() {
        let [start, end] = ["€".as_bytes()[..1].to_vec(), "€".as_bytes()[1..].to_vec()];
        assert_eq!(all(&[(0, start), of(1, "x"), (0, end)]), "x€");
    }

    #[test]
    fn a_command_that_alternates_for_ever_costs_a_bounded_list_and_loses_nothing() {
        let reads: Vec<_> = (0..100_000)
            .map(|index| of(index % 2, ["a", "b"][index % 2]))
            .collect();
        let (order, [stdout, stderr]) = read(&reads);
        assert!(order.0.len() <= MOST_TURNS + 1, "{}", order.0.len());
        let all = order.merge(&stdout, &stderr);
        // Each is within a few changes of where it belongs.
        for (index, part) in all.as_bytes().chunks(1_000).enumerate() {
            let stdout = memchr::memchr_iter(b'a', part).count();
            assert!(
                (450..=550).contains(&stdout),
                "{stdout} of 1000 in part {index}"
            );
        }
        assert_eq!(all.len(), 100_000);
    }

    proptest! {
        #[test]
        fn the_order_of_characters_is_that_of_their_last_bytes(
            texts in ["[aé€😀]{0,20}", "[bß‰🙂]{0,20}"],
            sizes in proptest::collection::vec((0_usize..2, 1_usize..6), 0..40),
        ) {
            let mut rest = texts.each_ref().map(String::as_bytes);
            let mut expected = String::new();
            let mut reads = Vec::new();
            for (stream, size) in sizes.into_iter().chain([(0, usize::MAX), (1, usize::MAX)]) {
                let read_before = texts[stream].len() - rest[stream].len();
                let (read, after) = rest[stream].split_at(size.min(rest[stream].len()));
                rest[stream] = after;
                reads.push(of(stream, read));
                let ended = texts[stream].char_indices().filter(|(start, character)| {
                    let end = start + character.len_utf8();
                    end > read_before && end <= read_before + read.len()
                });
                expected.extend(ended.map(|(_, character)| character));
            }
            prop_assert_eq!(all(&reads), expected);
        }

        #[test]
        fn nothing_is_lost_or_doubled_whatever_was_printed(
            reads in proptest::collection::vec((0_usize..2, proptest::collection::vec(any::<u8>(), 0..9)), 0..20),
        ) {
            let (order, [stdout, stderr]) = read(&reads);
            let all = order.merge(&stdout, &stderr);
            prop_assert_eq!(all.len(), stdout.len() + stderr.len());
            let mut sorted: Vec<char> = all.chars().collect();
            let mut parts: Vec<char> = stdout.chars().chain(stderr.chars()).collect();
            sorted.sort_unstable();
            parts.sort_unstable();
            prop_assert_eq!(sorted, parts);
        }
    }
}
