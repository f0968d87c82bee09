//! The steps of a plan that may start, in lanes: one for each group, as a step that waits for its group keeps no other
//! waiting.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::api::request::ExecutionRequest;

/// Those that wait for nothing but a slot.
#[derive(Debug)]
pub(super) struct Ready {
    /// For each step, its lane and its priority.
    ranks: Vec<(usize, Reverse<i64>)>,
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    group: Option<String>,
    /// The highest priority first, and then the lowest index.
    steps: BTreeSet<(Reverse<i64>, usize)>,
}

/// The next step of a lane, as the line for slots sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next<'a> {
    pub lane: usize,
    pub group: Option<&'a str>,
    pub priority: i64,
}

impl Ready {
    /// None of these steps, as yet.
    pub fn none_of<'a>(requests: impl IntoIterator<Item = &'a ExecutionRequest>) -> Self {
        let mut lane_of: HashMap<Option<&str>, usize> = HashMap::new();
        let mut lanes = Vec::new();
        let rank = |request: &'a ExecutionRequest| {
            let group = request.group.as_deref();
            let lane = *lane_of.entry(group).or_insert_with(|| {
                lanes.push(Lane {
                    group: group.map(Into::into),
                    steps: BTreeSet::new(),
                });
                lanes.len() - 1
            });
            (lane, Reverse(request.priority))
        };
        let ranks = requests.into_iter().map(rank).collect();
        Self { ranks, lanes }
    }

    pub fn insert(&mut self, step: usize) {
        let (lane, priority) = self.ranks[step];
        self.lanes[lane].steps.insert((priority, step));
    }

    pub fn remove(&mut self, step: usize) {
        let (lane, priority) = self.ranks[step];
        self.lanes[lane].steps.remove(&(priority, step));
    }

    /// Takes the next step of a lane.
    pub fn take(&mut self, lane: usize) -> Option<usize> {
        Some(self.lanes[lane].steps.pop_first()?.1)
    }

    /// The next step of each lane.
    pub fn next(&self) -> impl Iterator<Item = Next<'_>> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(index, lane)| {
            Some(Next {
                lane: index,
                group: lane.group.as_deref(),
                priority: lane.steps.first()?.0.0,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::request::Command;

    #[test]
    fn a_lane_for_each_group_and_in_it_the_highest_priority_first() {
        let steps = [(None, 0), (Some("a"), -1), (None, 2), (Some("a"), -1)];
        let requests = steps.map(|(group, priority)| ExecutionRequest {
            group: group.map(Into::into),
            priority,
            ..ExecutionRequest::new(Command::shell("true"))
        });
        let mut ready = Ready::none_of(&requests);
        assert_eq!(ready.next().count(), 0);
        (0..requests.len()).for_each(|step| ready.insert(step));
        let next = |lane, group, priority| Next {
            lane,
            group,
            priority,
        };
        let all: Vec<_> = ready.next().collect();
        assert_eq!(all, [next(0, None, 2), next(1, Some("a"), -1)]);
        ready.remove(1);
        assert_eq!((ready.take(0), ready.take(1)), (Some(2), Some(3)));
        assert_eq!((ready.take(0), ready.take(0)), (Some(0), None));
    }
}
