//! Who may run, and who waits for it: the highest priority first, then in the order of arrival. A group has a limit of
//! its own, and whoever waits for that keeps nobody else waiting.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::api::error::ExecutionError;
use crate::state::execution::Execution;

/// The slots of one engine.
#[derive(Debug)]
pub(crate) struct Slots {
    max_running: usize,
    max_queued: usize,
    /// Where the line of each group is.
    groups: BTreeMap<String, usize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: usize,
    /// First that of all who are in no group, then one for each group.
    lines: Vec<Line>,
    arrivals: u64,
}

/// Those of one group, or of none.
#[derive(Debug)]
struct Line {
    max_running: usize,
    running: usize,
    waiting: BTreeMap<Rank, Waiter>,
    /// How many of those who wait take a place of the queue.
    executions: usize,
}

/// Where one stands: ahead of lower priorities, behind those of the same who came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: Reverse<i64>,
    arrival: u64,
}

#[derive(Debug)]
struct Waiter {
    who: Who,
    turn: oneshot::Sender<Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Takes one of the places that the queue has.
    Execution,
    /// Was accepted before, and may always wait: the next step of a plan, or a further attempt.
    Accepted,
}

/// The right to run, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    /// `None` once it was passed on.
    slots: Option<Arc<Slots>>,
    line: usize,
    /// The step of a plan that has it.
    step: Option<Arc<Execution>>,
}

impl Slot {
    fn new(slots: &Arc<Slots>, line: usize) -> Self {
        Self {
            slots: Some(Arc::clone(slots)),
            line,
            step: None,
        }
    }

    /// For an execution, which tells its plan, if it has one, before the slot is given back.
    pub fn of(mut self, execution: &Arc<Execution>) -> Self {
        self.step = execution.is_step().then(|| Arc::clone(execution));
        self
    }
}

/// A place in the waiting line, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    slots: Arc<Slots>,
    line: usize,
    rank: Rank,
    turn: oneshot::Receiver<Slot>,
}

/// A slot, or a place in the waiting line.
#[derive(Debug)]
pub(crate) enum MaybeSlot {
    Slot(Slot),
    Waiting(Waiting),
}

impl MaybeSlot {
    /// Waits for its turn. May be called again after it was interrupted.
    pub async fn slot(&mut self) -> Option<Slot> {
        match self {
            Self::Slot(slot) => slot.slots.take().map(|slots| Slot {
                slots: Some(slots),
                line: slot.line,
                step: slot.step.take(),
            }),
            Self::Waiting(place) => (&mut place.turn).await.ok(),
        }
    }
}

impl Line {
    fn new(max_running: usize) -> Self {
        Self {
            max_running,
            running: 0,
            waiting: BTreeMap::new(),
            executions: 0,
        }
    }

    fn room(&self) -> usize {
        self.max_running - self.running
    }

    /// How many wait for a slot alone. Those behind them wait for their group.
    fn waiting_for_slot(&self) -> usize {
        self.waiting.len().min(self.room())
    }

    fn leave(&mut self, rank: Rank) -> Option<Waiter> {
        let waiter = self.waiting.remove(&rank)?;
        self.executions -= usize::from(waiter.who == Who::Execution);
        Some(waiter)
    }
}

impl State {
    /// Executions that have a place of the queue.
    fn queued_executions(&self) -> usize {
        let lines = self.lines.iter();
        lines.map(|line| line.executions.min(line.room())).sum()
    }

    /// Who is next, among those whose group has room.
    fn next(&mut self) -> Option<(usize, Waiter)> {
        let lines = self.lines.iter().enumerate();
        let first = lines
            .filter(|(_, line)| line.room() > 0)
            .filter_map(|(index, line)| Some((*line.waiting.first_key_value()?.0, index)))
            .min();
        let (rank, index) = first?;
        Some((index, self.lines[index].leave(rank)?))
    }
}

impl Slots {
    pub fn new(
        max_running: usize,
        max_queued: usize,
        groups: &BTreeMap<String, usize>,
    ) -> Arc<Self> {
        let limits = [&usize::MAX].into_iter().chain(groups.values());
        Arc::new(Self {
            max_running,
            max_queued,
            groups: groups.keys().cloned().zip(1..).collect(),
            state: Mutex::new(State {
                running: 0,
                lines: limits.map(|limit| Line::new(*limit)).collect(),
                arrivals: 0,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that names another group was refused.
    fn line_of(&self, group: Option<&str>) -> usize {
        let line = group.and_then(|name| self.groups.get(name));
        line.copied().unwrap_or(0)
    }

    /// Takes a slot for an execution, or a place in the line; refuses when neither is free. To wait for the group is no
    /// place in the queue.
    pub fn take(
        self: &Arc<Self>,
        group: Option<&str>,
        priority: i64,
    ) -> Result<MaybeSlot, ExecutionError> {
        let index = self.line_of(group);
        let mut state = self.state();
        let line = &state.lines[index];
        let waits_for_group = line.waiting.len() >= line.room();
        let queued = state.queued_executions();
        if !waits_for_group && state.running >= self.max_running && queued >= self.max_queued {
            return Err(ExecutionError::ConcurrencyLimitReached {
                running: state.running,
                max_running: self.max_running,
                queued,
                max_queued: self.max_queued,
            });
        }
        Ok(self.line_up(&mut state, index, priority, Who::Execution))
    }

    /// Takes a slot for what was accepted before, or a place in the line: that may always wait.
    pub fn take_accepted(self: &Arc<Self>, group: Option<&str>, priority: i64) -> MaybeSlot {
        let line = self.line_of(group);
        self.line_up(&mut self.state(), line, priority, Who::Accepted)
    }

    fn line_up(
        self: &Arc<Self>,
        state: &mut State,
        index: usize,
        priority: i64,
        who: Who,
    ) -> MaybeSlot {
        let line = &mut state.lines[index];
        // Nobody else waits for it: whoever could have it would have been given it.
        if state.running < self.max_running && line.room() > 0 {
            state.running += 1;
            line.running += 1;
            return MaybeSlot::Slot(Slot::new(self, index));
        }
        let rank = Rank {
            priority: Reverse(priority),
            arrival: state.arrivals,
        };
        state.arrivals += 1;
        let (sender, turn) = oneshot::channel();
        line.executions += usize::from(who == Who::Execution);
        line.waiting.insert(rank, Waiter { who, turn: sender });
        MaybeSlot::Waiting(Waiting {
            slots: Arc::clone(self),
            line: index,
            rank,
            turn,
        })
    }

    pub fn running(&self) -> usize {
        self.state().running
    }

    /// How many wait for a slot; those that wait for their group are none of them.
    pub fn queued(&self) -> usize {
        let state = self.state();
        state.lines.iter().map(Line::waiting_for_slot).sum()
    }

    pub fn available(&self) -> usize {
        self.max_running - self.running()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        match self.turn.try_recv() {
            // It came too late: it is given back without the lock, which that takes again.
            Ok(slot) => {
                drop(state);
                drop(slot);
            }
            Err(TryRecvError::Empty) => drop(state.lines[self.line].leave(self.rank)),
            // It was received.
            Err(TryRecvError::Closed) => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(slots) = self.slots.take() else {
            return;
        };
        if let Some(step) = self.step.take() {
            step.gives_slot_back();
        }
        let mut state = slots.state();
        state.running -= 1;
        state.lines[self.line].running -= 1;
        while state.running < slots.max_running
            && let Some((line, waiter)) = state.next()
        {
            let slot = Slot::new(&slots, line);
            match waiter.turn.send(slot) {
                Ok(()) => {
                    state.running += 1;
                    state.lines[line].running += 1;
                }
                // Whoever waited has left without a word: it goes to the next.
                Err(mut returned) => returned.slots = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUPS: [Option<&str>; 3] = [None, Some("one"), Some("two")];

    #[derive(Debug, Clone)]
    enum Act {
        Take(usize, i64),
        TakeAccepted(usize, i64),
        GiveBack(usize),
        Leave(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            3 => (0..3_usize, -1..2_i64).prop_map(|(group, priority)| Act::Take(group, priority)),
            1 => (0..3_usize, -1..2_i64).prop_map(|(group, priority)| Act::TakeAccepted(group, priority)),
            3 => (0..8_usize).prop_map(Act::GiveBack),
            1 => (0..8_usize).prop_map(Act::Leave),
        ];
        proptest::collection::vec(act, 0..60)
    }

    /// One that waits, as the model sees it.
    struct Place {
        group: usize,
        priority: i64,
        waiting: Waiting,
    }

    proptest! {
        /// Against a model that is a list of all, in the order of arrival.
        #[test]
        fn the_next_is_the_first_of_the_highest_priority_whose_group_has_room(
            acts in acts(), max_running in 1..4_usize, max_queued in 0..3_usize,
        ) {
            let limits = [usize::MAX, 1, 2];
            let groups = GROUPS.iter().zip(limits);
            let groups = groups.filter_map(|(name, limit)| Some((name.as_ref()?.to_string(), limit)));
            let slots = Slots::new(max_running, max_queued, &groups.collect());
            let mut running: Vec<(usize, Slot)> = Vec::new();
            let mut line: Vec<Place> = Vec::new();
            let room = |running: &[(usize, Slot)], group: usize| {
                limits[group] - running.iter().filter(|(other, _)| *other == group).count()
            };
            for act in acts {
                match act {
                    Act::Take(group, priority) | Act::TakeAccepted(group, priority) => {
                        let is_free = running.len() < max_running && room(&running, group) > 0;
                        let ahead = line.iter().filter(|place| place.group == group).count();
                        let waits_for_group = ahead >= room(&running, group);
                        let took = match act {
                            Act::Take(..) => slots.take(GROUPS[group], priority),
                            _ => Ok(slots.take_accepted(GROUPS[group], priority)),
                        };
                        match took {
                            Ok(MaybeSlot::Slot(slot)) => {
                                prop_assert!(is_free);
                                running.push((group, slot));
                            }
                            Ok(MaybeSlot::Waiting(waiting)) => {
                                prop_assert!(!is_free);
                                line.push(Place { group, priority, waiting });
                            }
                            Err(_) => prop_assert!(!is_free && !waits_for_group && slots.queued() >= max_queued),
                        }
                    }
                    Act::GiveBack(at) if at < running.len() => {
                        drop(running.remove(at));
                        let may_run = line.iter().enumerate().filter(|(_, place)| room(&running, place.group) > 0);
                        let next = may_run.min_by_key(|(at, place)| (Reverse(place.priority), *at));
                        let next = next.map(|(at, _)| at);
                        for (at, place) in line.iter_mut().enumerate() {
                            let turn = place.waiting.turn.try_recv();
                            prop_assert_eq!(turn.is_ok(), next == Some(at));
                            if let Ok(slot) = turn {
                                running.push((place.group, slot));
                            }
                        }
                        if let Some(at) = next {
                            line.remove(at);
                        }
                    }
                    Act::Leave(at) if at < line.len() => drop(line.remove(at)),
                    Act::GiveBack(_) | Act::Leave(_) => {}
                }
                let waiting = |group| line.iter().filter(|place| place.group == group).count();
                let queued = (0..3).map(|group| waiting(group).min(room(&running, group))).sum::<usize>();
                prop_assert_eq!((slots.running(), slots.queued()), (running.len(), queued));
            }
            drop((line, running));
            prop_assert_eq!((slots.running(), slots.queued(), slots.available()), (0, 0, max_running));
        }
    }

    #[tokio::test]
    async fn a_slot_that_came_too_late_goes_to_the_next() {
        let slots = Slots::new(1, 5, &BTreeMap::new());
        let first = slots.take(None, 0).expect("a slot");
        let second = slots.take(None, 0).expect("a place");
        let mut third = slots.take(None, 0).expect("a place");
        drop(first);
        drop(second);
        assert!(third.slot().await.is_some());
    }
}
