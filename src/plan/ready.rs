//! The steps of a plan that may start, in lanes: one for each group, as a step that waits for its group keeps no other
//! waiting. Steps whose requests are made later have none before that.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::api::request::ExecutionRequest;

/// Those that wait for nothing but a slot, or for their request.
#[derive(Debug)]
pub(super) struct Ready {
    /// For each step, its lane and its priority, once its request is known.
    ranks: Vec<Option<(usize, Reverse<i64>)>>,
    lanes: Vec<Lane>,
    lane_of: HashMap<Key, usize>,
    /// Those whose requests are to be made, lowest index first.
    to_make: BTreeSet<usize>,
}

/// What the steps of a lane have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    group: Option<String>,
    /// Whether their requests were made: then they have begun already, as the plan counts.
    is_made: bool,
}

#[derive(Debug)]
struct Lane {
    key: Key,
    /// The highest priority first, and then the lowest index.
    steps: BTreeSet<(Reverse<i64>, usize)>,
}

/// The next step of a lane, as the line for slots sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next<'a> {
    pub lane: usize,
    pub step: usize,
    pub group: Option<&'a str>,
    pub priority: i64,
    pub is_made: bool,
}

impl Ready {
    /// None of these steps, as yet. Without a request are those whose request is to be made.
    pub fn none_of<'a>(requests: impl IntoIterator<Item = Option<&'a ExecutionRequest>>) -> Self {
        let mut ready = Self {
            ranks: Vec::new(),
            lanes: Vec::new(),
            lane_of: HashMap::new(),
            to_make: BTreeSet::new(),
        };
        for request in requests {
            let rank = request.map(|request| ready.rank_of(request, false));
            ready.ranks.push(rank);
        }
        ready
    }

    fn rank_of(&mut self, request: &ExecutionRequest, is_made: bool) -> (usize, Reverse<i64>) {
        let key = Key {
            group: request.group.clone(),
            is_made,
        };
        let lanes = &mut self.lanes;
        let lane = *self.lane_of.entry(key.clone()).or_insert_with(|| {
            lanes.push(Lane {
                key,
                steps: BTreeSet::new(),
            });
            lanes.len() - 1
        });
        (lane, Reverse(request.priority))
    }

    pub fn insert(&mut self, step: usize) {
        match self.ranks[step] {
            Some((lane, priority)) => drop(self.lanes[lane].steps.insert((priority, step))),
            None => drop(self.to_make.insert(step)),
        }
    }

    /// The same for a step whose request was made.
    pub fn insert_made(&mut self, step: usize, request: &ExecutionRequest) {
        self.ranks[step] = Some(self.rank_of(request, true));
        self.insert(step);
    }

    /// Returns whether it was there.
    pub fn remove(&mut self, step: usize) -> bool {
        match self.ranks[step] {
            Some((lane, priority)) => self.lanes[lane].steps.remove(&(priority, step)),
            None => self.to_make.remove(&step),
        }
    }

    /// Takes the next step of a lane.
    pub fn take(&mut self, lane: usize) -> Option<usize> {
        Some(self.lanes[lane].steps.pop_first()?.1)
    }

    /// Whether the steps of a lane have begun already, as the plan counts.
    pub fn is_made(&self, lane: usize) -> bool {
        self.lanes[lane].key.is_made
    }

    /// The next step of each lane.
    pub fn next(&self) -> impl Iterator<Item = Next<'_>> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(index, lane)| {
            let &(Reverse(priority), step) = lane.steps.first()?;
            Some(Next {
                lane: index,
                step,
                group: lane.key.group.as_deref(),
                priority,
                is_made: lane.key.is_made,
            })
        })
    }

    /// The next step whose request is to be made.
    pub fn next_to_make(&self) -> Option<usize> {
        self.to_make.first().copied()
    }

    /// The lowest index of those that are known and have not begun.
    pub fn first_known(&self) -> Option<usize> {
        let new = self.lanes.iter().filter(|lane| !lane.key.is_made);
        new.flat_map(|lane| lane.steps.iter().map(|&(_, step)| step))
            .min()
    }

    /// Those whose requests were made, and that wait for a slot.
    pub fn made(&self) -> impl Iterator<Item = usize> {
        let made = self.lanes.iter().filter(|lane| lane.key.is_made);
        made.flat_map(|lane| lane.steps.iter().map(|&(_, step)| step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::command::Command;

    fn request(group: Option<&str>, priority: i64) -> ExecutionRequest {
        ExecutionRequest {
            group: group.map(Into::into),
            priority,
            ..ExecutionRequest::new(Command::shell("true"))
        }
    }

    #[test]
    fn a_lane_for_each_group_and_in_it_the_highest_priority_first() {
        let steps = [(None, 0), (Some("a"), -1), (None, 2), (Some("a"), -1)];
        let requests = steps.map(|(group, priority)| request(group, priority));
        let mut ready = Ready::none_of(requests.iter().map(Some));
        assert_eq!(ready.next().count(), 0);
        (0..requests.len()).for_each(|step| ready.insert(step));
        let next = |lane, step, group, priority| Next {
            lane,
            step,
            group,
            priority,
            is_made: false,
        };
        let all: Vec<_> = ready.next().collect();
        assert_eq!(all, [next(0, 2, None, 2), next(1, 1, Some("a"), -1)]);
        assert!(ready.remove(1));
        assert!(!ready.remove(1));
        assert_eq!((ready.take(0), ready.take(1)), (Some(2), Some(3)));
        assert_eq!((ready.take(0), ready.take(0)), (Some(0), None));
    }

    #[test]
    fn a_step_whose_request_is_made_gets_its_lane_with_it() {
        let known = request(None, 0);
        let mut ready = Ready::none_of([Some(&known), None]);
        (0..2).for_each(|step| ready.insert(step));
        assert_eq!((ready.next().count(), ready.next_to_make()), (1, Some(1)));
        assert!(ready.remove(1));
        assert_eq!(ready.next_to_make(), None);
        ready.insert_made(1, &request(None, 0));
        assert_eq!(ready.made().collect::<Vec<_>>(), [1]);
        let lanes: Vec<_> = ready.next().map(|next| (next.step, next.is_made)).collect();
        assert_eq!(lanes, [(0, false), (1, true)]);
    }
}
