//! Leaves escape sequences out, however they were split into reads.

use std::sync::Arc;

use anstyle_parse::state::{Action, State, state_change};
use memchr::memchr;

use crate::execution::output::buffers;
use crate::masking::mask::Mask;
use crate::masking::stream::StreamMask;

const ESCAPE: u8 = 0x1b;

/// What result and log hold of a stream: text without escape sequences, and without the secrets that come together only
/// when these are gone.
#[derive(Debug, Clone, Default)]
pub(super) struct PlainText {
    stripper: AnsiStripper,
    mask: Option<StreamMask>,
}

/// What is left of a read, and how many bytes were left out of it.
#[derive(Debug)]
pub(super) struct Plain {
    pub text: Vec<u8>,
    pub stripped: usize,
    pub hidden: usize,
}

impl PlainText {
    pub fn renew_mask(&mut self, mask: &Arc<Mask>) {
        StreamMask::renew(&mut self.mask, mask);
    }

    pub fn push(&mut self, read: &[u8]) -> Plain {
        let mut text = buffers::take();
        if let Some(mask) = &self.mask {
            mask.put_held(&mut text);
        }
        let held = text.len();
        self.stripper.strip(read, &mut text);
        let stripped = held + read.len() - text.len();
        let mask = self.mask.as_mut();
        let hidden = mask.map_or(0, |mask| mask.mask(&mut text, 0));
        Plain {
            text,
            stripped,
            hidden,
        }
    }

    /// Whether something is held back, as a secret may begin with it.
    pub fn holds(&self) -> bool {
        self.mask.as_ref().is_some_and(StreamMask::holds)
    }

    /// What was held back, at the end of the stream.
    pub fn finish(&mut self) -> Option<Plain> {
        let mask = self.mask.as_mut().filter(|mask| mask.holds())?;
        let mut text = buffers::take();
        mask.put_held(&mut text);
        let hidden = mask.finish(&mut text, 0);
        Some(Plain {
            text,
            stripped: 0,
            hidden,
        })
    }
}

/// Leaves out what a terminal would obey: colors and other styles, movements of the cursor, titles, links. Everything
/// else stays as it is, byte for byte.
#[derive(Debug, Clone, Default)]
struct AnsiStripper {
    /// Where in a sequence the last read has ended.
    state: State,
}

impl AnsiStripper {
    /// Appends what was read, without its escape sequences.
    fn strip(&mut self, chunk: &[u8], text: &mut Vec<u8>) {
        let mut rest = chunk;
        loop {
            if self.state == State::Ground {
                let start = memchr(ESCAPE, rest).unwrap_or(rest.len());
                text.extend_from_slice(&rest[..start]);
                rest = &rest[start..];
            }
            let Some((byte, after)) = rest.split_first() else {
                return;
            };
            if self.is_text(*byte) {
                text.push(*byte);
            }
            rest = after;
        }
    }

    /// Goes on by one byte of a sequence; whether it is none of it.
    fn is_text(&mut self, byte: u8) -> bool {
        use State::{DcsIgnore, DcsPassthrough, Ground, OscString, SosPmApcString};
        let is_string = matches!(
            self.state,
            OscString | SosPmApcString | DcsPassthrough | DcsIgnore
        );
        // A string that nobody ends hides no more than its line. Within one, a byte that is not ASCII is part of a
        // character; everywhere else it ends what was no sequence.
        let breaks_off = if is_string {
            byte == b'\n'
        } else {
            !byte.is_ascii()
        };
        if breaks_off {
            self.state = Ground;
            return true;
        }
        if !byte.is_ascii() {
            return false;
        }
        let (next, action) = state_change(self.state, byte);
        if next != State::Anywhere {
            self.state = next;
        }
        action == Action::Execute
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripped<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut plain = PlainText::default();
        let texts = reads.into_iter().map(|read| plain.push(read).text);
        texts.collect::<Vec<_>>().concat()
    }

    #[track_caller]
    fn becomes(printed: &str, text: &str) {
        let stripped = stripped([printed.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&stripped), text);
    }

    #[test]
    fn colors_and_movements_are_left_out() {
        becomes("\x1b[1;31mred\x1b[0m \x1b[38:2::1:2:3mrgb\x1b[m", "red rgb");
        becomes("a\x1b[2K\x1b[1Gb\x1b[?25l\x1b(Bc\x1b7d\x1b=e", "abcde");
    }

    #[test]
    fn of_a_link_its_text_is_left() {
        becomes(
            "\x1b]8;;https://example.com/é\x1b\\text\x1b]8;;\x1b\\.",
            "text.",
        );
        becomes(
            "\x1b]8;id=1;https://example.com\x07text\x1b]8;;\x07.",
            "text.",
        );
    }

    #[test]
    fn titles_and_device_strings_are_left_out() {
        becomes(
            "\x1b]0;t\u{69c}itle\x07a\x1bPq#0;2\x1b\\b\x1b_hidden\x1b\\c",
            "abc",
        );
    }

    #[test]
    fn controls_and_bytes_that_are_no_text_stay() {
        let printed = b"a\r\n\tb\x08c\x00\xff\x9b\xc2\x9bd\x7f";
        assert_eq!(stripped([&printed[..]]), printed);
    }

    #[test]
    fn what_is_not_ended_hides_no_more_than_its_line() {
        becomes("a\x1b]0;title\nb", "a\nb");
        becomes("a\x1b[31é", "aé");
        becomes("a\x1b[31\nmb", "a\nb");
        becomes("a\x1b", "a");
    }

    proptest! {
        #[test]
        fn any_split_into_reads_gives_the_same_text(
            pieces in proptest::collection::vec(prop_oneof![
                2 => "[a-zé€\n\r]{0,5}".prop_map(String::into_bytes),
                2 => "\x1b\\[[0-9;:?]{0,5}[ -/]?[@-~]".prop_map(String::into_bytes),
                1 => "\x1b\\][0-9a-zé;]{0,5}(\x07|\x1b\\\\)".prop_map(String::into_bytes),
                1 => "\x1b[P_^X][0-9a-z]{0,5}\x1b\\\\".prop_map(String::into_bytes),
                1 => proptest::collection::vec(any::<u8>(), 0..6),
            ], 0..12),
            sizes in proptest::collection::vec(1_usize..6, 1..20),
        ) {
            let bytes = pieces.concat();
            let mut rest = bytes.as_slice();
            let reads = sizes.iter().cycle().map_while(|size| {
                let (read, left) = rest.split_at((*size).min(rest.len()));
                rest = left;
                (!read.is_empty()).then_some(read)
            });
            let in_pieces = stripped(reads);
            prop_assert_eq!(in_pieces, stripped([bytes.as_slice()]));
        }

        #[test]
        fn text_among_sequences_stays_as_it_was(
            pieces in proptest::collection::vec(("[a-zé€ \n\r\t]{0,5}", "(\x1b\\[[0-9;]{0,4}[A-Zm]|\x1b\\][0-9];[a-z/:]{0,6}(\x07|\x1b\\\\))"), 0..12),
        ) {
            let printed: String = pieces.iter().flat_map(|(text, sequence)| [&text[..], sequence]).collect();
            let text: String = pieces.into_iter().map(|(text, _)| text).collect();
            prop_assert_eq!(stripped([printed.as_bytes()]), text.into_bytes());
        }
    }
}
