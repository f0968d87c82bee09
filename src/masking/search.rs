//! Finds many patterns at once, byte by byte, in a state that can be carried from one read to the next.

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::noncontiguous::NFA;

use super::variants::Form;

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
    pub fn new(patterns: &[Form]) -> Self {
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
