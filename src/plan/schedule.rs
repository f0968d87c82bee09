//! Which step may start next: one scheduler for all strategies, a graph with a limit. It knows nothing of
//! processes or time.

use std::collections::BTreeSet;

use super::ready::{Next, Ready};
use crate::api::plan::ExecutionStrategy;
use crate::api::request::ExecutionRequest;

/// The steps of a plan, and how far each has come.
#[derive(Debug)]
pub(super) struct Schedule {
    phases: Vec<Phase>,
    /// For each step, of how many others the completion is awaited.
    awaits: Vec<usize>,
    /// For each step, those that wait for it.
    dependents: Vec<Vec<usize>>,
    /// Those that wait for nothing but a slot.
    ready: Ready,
    limit: usize,
    stop_on_error: bool,
    running: usize,
    ended: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    /// It will never run, and has not ended yet.
    Withdrawn,
    Ended,
}

impl Schedule {
    /// Of a strategy that has been checked.
    pub fn new(strategy: &ExecutionStrategy, requests: &[ExecutionRequest]) -> Self {
        let steps = requests.len();
        let (limit, stop_on_error) = match *strategy {
            // What comes before a failed step still runs, so the rest hangs on it as in a chain.
            ExecutionStrategy::Serial { .. } => (1, false),
            ExecutionStrategy::Parallel {
                max_concurrency,
                stop_on_error,
            }
            | ExecutionStrategy::DependencyGraph {
                max_concurrency,
                stop_on_error,
                ..
            } => (max_concurrency.unwrap_or(usize::MAX), stop_on_error),
        };
        let mut awaits = vec![0; steps];
        let mut dependents = vec![Vec::new(); steps];
        for (step, needed) in edges(strategy, steps) {
            awaits[step] += 1;
            dependents[needed].push(step);
        }
        let mut ready = Ready::none_of(requests);
        let free = (0..steps).filter(|&step| awaits[step] == 0);
        free.for_each(|step| ready.insert(step));
        Self {
            phases: vec![Phase::Waiting; steps],
            ready,
            awaits,
            dependents,
            limit,
            stop_on_error,
            running: 0,
            ended: 0,
        }
    }

    /// The next step of each lane, if one may start now.
    pub fn next(&self) -> impl Iterator<Item = Next<'_>> {
        let may_start = self.running < self.limit;
        self.ready.next().filter(move |_| may_start)
    }

    /// The next step of a lane that may start; it counts as running from here on.
    pub fn start_next(&mut self, lane: usize) -> Option<usize> {
        if self.running >= self.limit {
            return None;
        }
        let step = self.ready.take(lane)?;
        self.phases[step] = Phase::Running;
        self.running += 1;
        Some(step)
    }

    /// Takes a step out of turn that waits, to be ended at once; false if it does not wait.
    pub fn start_out_of_turn(&mut self, step: usize) -> bool {
        let waits = self.phases[step] == Phase::Waiting;
        if waits {
            self.ready.remove(step);
            self.phases[step] = Phase::Running;
            self.running += 1;
        }
        waits
    }

    /// Notes that a step has ended. Returns the steps that will never run because of it, in ascending order.
    pub fn end(&mut self, step: usize, completed: bool) -> Vec<usize> {
        let before = std::mem::replace(&mut self.phases[step], Phase::Ended);
        self.ended += 1;
        if before == Phase::Running {
            self.running -= 1;
        }
        if completed {
            self.release_dependents(step);
            Vec::new()
        } else if before == Phase::Withdrawn {
            // Whoever withdrew it has seen to what depends on it.
            Vec::new()
        } else if self.stop_on_error {
            self.withdraw_all()
        } else {
            self.withdraw_dependents(step)
        }
    }

    fn release_dependents(&mut self, step: usize) {
        for &dependent in &self.dependents[step] {
            self.awaits[dependent] -= 1;
            if self.awaits[dependent] == 0 && self.phases[dependent] == Phase::Waiting {
                self.ready.insert(dependent);
            }
        }
    }

    fn withdraw_dependents(&mut self, step: usize) -> Vec<usize> {
        let mut withdrawn = BTreeSet::new();
        let mut path = vec![step];
        while let Some(step) = path.pop() {
            for dependent in self.dependents[step].clone() {
                if self.withdraw(dependent) {
                    withdrawn.insert(dependent);
                    path.push(dependent);
                }
            }
        }
        withdrawn.into_iter().collect()
    }

    fn withdraw(&mut self, step: usize) -> bool {
        if self.phases[step] != Phase::Waiting {
            return false;
        }
        self.phases[step] = Phase::Withdrawn;
        self.ready.remove(step);
        true
    }

    /// Takes out all that have not started, in ascending order.
    pub fn withdraw_all(&mut self) -> Vec<usize> {
        (0..self.phases.len())
            .filter(|&step| self.withdraw(step))
            .collect()
    }

    pub fn ended(&self) -> usize {
        self.ended
    }

    pub fn is_over(&self) -> bool {
        self.ended == self.phases.len()
    }
}

/// Each step with each one that it waits for, once.
fn edges(strategy: &ExecutionStrategy, steps: usize) -> Vec<(usize, usize)> {
    match strategy {
        ExecutionStrategy::Serial {
            stop_on_error: true,
        } => (1..steps).map(|step| (step, step - 1)).collect(),
        ExecutionStrategy::Serial { .. } | ExecutionStrategy::Parallel { .. } => Vec::new(),
        ExecutionStrategy::DependencyGraph { dependencies, .. } => dependencies
            .iter()
            .flat_map(|(&step, needed)| {
                let once: BTreeSet<usize> = needed.iter().copied().collect();
                once.into_iter().map(move |needed| (step, needed))
            })
            .collect(),
    }
}
