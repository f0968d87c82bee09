//! What finds the secrets of an execution in whatever is printed of it, and what is put in their place.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::noncontiguous::NFA;

use super::filter::Filter;
use super::secret::Secret;
use super::stream::StreamMask;
use super::variants::{Form, Forms};

/// What stands in place of a secret.
pub(crate) const MASK: &[u8] = b"***";

/// Some secrets, and all that is needed to find them. Made once, and shared by all that have the same.
pub(crate) struct Mask {
    pub(super) exact: Search,
    pub(super) flowing: Search,
    pub(super) filter: Filter,
}

/// A state machine that reads a text byte by byte, and knows after each which patterns end there, and how much of what
/// it has read may be the beginning of one.
pub(super) struct Search {
    /// `None`: there is nothing to find.
    automaton: Option<NFA>,
    start: StateID,
    /// For each state of the automaton.
    states: Vec<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// How many of the last bytes may be the beginning of a pattern.
    depth: u32,
    /// The length of the longest pattern that ends here; 0 if none does.
    found: u32,
}

impl Search {
    fn new(patterns: &[Form]) -> Self {
        let mut search = Self {
            automaton: None,
            start: StateID::default(),
            states: vec![State::default()],
        };
        if patterns.is_empty() {
            return search;
        }
        // What cannot be built would hold more states than fit into memory.
        let patterns_as_bytes = patterns.iter().map(|pattern| pattern.as_slice());
        let built = NFA::builder().prefilter(false).build(patterns_as_bytes);
        let automaton = built.expect("an automaton of secrets fits into memory");
        search.start = automaton
            .start_state(Anchored::No)
            .expect("every automaton of this kind searches anywhere");
        for pattern in patterns {
            search.learn(&automaton, pattern);
        }
        search.automaton = Some(automaton);
        search
    }

    /// Notes what is known of the states on the way through a pattern: in each of them, all of the way may be the beginning
    /// of one.
    fn learn(&mut self, automaton: &NFA, pattern: &[u8]) {
        let mut state = self.start;
        for (depth, &byte) in (1..).zip(pattern) {
            state = automaton.next_state(Anchored::No, state, byte);
            let index = state.as_usize();
            if index >= self.states.len() {
                self.states.resize(index + 1, State::default());
            }
            let found = automaton.is_match(state).then(|| {
                // The longest is the first: the others end the patterns that end here.
                let longest = automaton.pattern_len(automaton.match_pattern(state, 0));
                u32::try_from(longest).unwrap_or(u32::MAX)
            });
            self.states[index] = State {
                depth,
                found: found.unwrap_or(0),
            };
        }
    }

    pub fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    pub fn start(&self) -> StateID {
        self.start
    }

    pub fn next(&self, state: StateID, byte: u8) -> StateID {
        match &self.automaton {
            Some(automaton) => automaton.next_state(Anchored::No, state, byte),
            None => state,
        }
    }

    /// How many of the last bytes may be the beginning of a pattern.
    pub fn depth(&self, state: StateID) -> usize {
        self.state(state).depth as usize
    }

    /// The length of the longest pattern that ends here; 0 if none does.
    pub fn found(&self, state: StateID) -> usize {
        self.state(state).found as usize
    }

    fn state(&self, state: StateID) -> State {
        self.states
            .get(state.as_usize())
            .copied()
            .unwrap_or_default()
    }
}

impl Mask {
    /// `None` where there is nothing to hide.
    pub fn of(secrets: &[Secret]) -> Option<Arc<Self>> {
        let Forms { exact, flowing } = Forms::of(secrets);
        if exact.is_empty() && flowing.is_empty() {
            return None;
        }
        // Of what flows, the bytes up to the first white space, and each byte that this may begin with.
        let beginnings: Vec<Form> = flowing
            .iter()
            .flat_map(|form| {
                let word = form.split(|byte| *byte == b' ').next().unwrap_or_default();
                b" \t\n\x0b\x0c\r".map(|space| Form::new([word, &[space]].concat()))
            })
            .collect();
        let begins = exact.iter().chain(&beginnings).map(|form| form.as_slice());
        Some(Arc::new(Self {
            filter: Filter::new(begins),
            exact: Search::new(&exact),
            flowing: Search::new(&flowing),
        }))
    }

    /// A text without the secrets in it.
    pub fn text<'a>(self: &Arc<Self>, text: &'a str) -> Cow<'a, str> {
        let mut bytes = text.as_bytes().to_vec();
        StreamMask::new(Arc::clone(self)).mask_all(&mut bytes);
        if bytes == text.as_bytes() {
            return Cow::Borrowed(text);
        }
        let masked = String::from_utf8(bytes);
        let masked =
            masked.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Cow::Owned(masked)
    }
}

/// A text without these secrets: for a message that is told once.
pub(crate) fn hide(secrets: &[Secret], text: &str) -> String {
    let valid = secrets.iter().filter(|secret| secret.complaint().is_none());
    match Mask::of(&valid.cloned().collect::<Vec<_>>()) {
        Some(mask) => mask.text(text).into_owned(),
        None => text.to_owned(),
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(***)")
    }
}
