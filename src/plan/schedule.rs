//! Which step may start next: one scheduler for all strategies, a graph with a limit. It knows nothing of
//! processes or time.

use std::collections::{BTreeSet, HashMap};

use super::ready::{Next, Ready};
use crate::api::plan::{ExecutionStrategy, PlanSteps};
use crate::api::request::ExecutionRequest;
use crate::api::step::{PlanStep, When};

/// The steps of a plan, and how far each has come.
#[derive(Debug)]
pub(crate) struct Schedule {
    steps: Vec<Step>,
    /// Those that wait for nothing but a slot, or for their request.
    ready: Ready,
    limit: usize,
    stop_on_error: bool,
    running: usize,
    ended: usize,
}

#[derive(Debug)]
struct Step {
    when: When,
    phase: Phase,
    /// Of how many others the end is awaited, and that of all that they depend on.
    awaits: usize,
    /// Those that wait for it.
    dependents: Vec<usize>,
    has_failed: bool,
    /// Whether one that it depends on, directly or not, has failed; known of all of them once nothing is awaited.
    is_after_failure: bool,
    /// Whether one that it depends on, directly or not, has failed or was skipped.
    is_after_gap: bool,
}

impl Step {
    /// Whether its command is still to be started.
    fn is_left(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Making)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    /// Its request is being made, or was made and waits for a slot. It has a place among those that run.
    Making,
    Running,
    /// It will never run, and has not ended yet.
    Withdrawn,
    Ended,
}

impl Phase {
    /// Whether it counts as running.
    fn has_place(self) -> bool {
        matches!(self, Self::Making | Self::Running)
    }
}

/// What the end of a step is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has completed, or its failure is allowed.
    Success,
    /// It ended in any other way.
    Failure,
    /// It was never to run.
    Skipped,
}

/// A step that will never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skip {
    pub step: usize,
    /// Because of the step whose end was noted; else because none of those that it depends on has failed.
    pub is_caused: bool,
}

impl Schedule {
    /// Of steps that have been checked.
    pub fn new(steps: &PlanSteps) -> Self {
        let rules = Rules::of(steps);
        let mut schedule = Self {
            steps: steps
                .iter()
                .map(|step| Step {
                    when: step.when.unwrap_or(rules.when),
                    phase: Phase::Waiting,
                    awaits: 0,
                    dependents: Vec::new(),
                    has_failed: false,
                    is_after_failure: false,
                    is_after_gap: false,
                })
                .collect(),
            ready: Ready::none_of(steps.iter().map(PlanStep::known)),
            limit: rules.limit,
            stop_on_error: rules.stop_on_error,
            running: 0,
            ended: 0,
        };
        for (step, needed) in edges(steps) {
            schedule.steps[step].awaits += 1;
            schedule.steps[needed].dependents.push(step);
        }
        schedule
    }

    /// Makes ready what waits for no other step. Returns the steps that will never run, in ascending order.
    pub fn begin(&mut self) -> Vec<Skip> {
        let free = (0..self.steps.len()).filter(|&step| self.steps[step].awaits == 0);
        let free: Vec<_> = free.collect();
        let mut skips = Vec::new();
        for step in free {
            self.decide(step, &mut skips);
        }
        skips
    }

    /// The next step of each lane that may start now.
    pub fn next(&self) -> impl Iterator<Item = Next<'_>> {
        let has_room = self.running < self.limit;
        let may_start = move |next: &Next<'_>| next.is_made || has_room;
        self.ready.next().filter(may_start)
    }

    /// The next step whose request may be made now. Where there is a limit, those before it start first.
    pub fn next_to_make(&self) -> Option<usize> {
        let step = self.ready.next_to_make()?;
        let is_first = || self.ready.first_known().is_none_or(|first| step < first);
        let has_room = self.running < self.limit;
        (has_room && (self.limit == usize::MAX || is_first())).then_some(step)
    }

    /// Lets the request of that step be made; it counts as running from here on.
    pub fn begin_to_make(&mut self, step: usize) {
        self.ready.remove(step);
        self.give_place(step, Phase::Making);
    }

    /// The request of a step was made: now it waits for a slot.
    pub fn has_made(&mut self, step: usize, request: &ExecutionRequest) {
        self.ready.insert_made(step, request);
    }

    /// How many wait for a slot whose requests were made.
    pub fn made(&self) -> usize {
        self.ready.made().count()
    }

    /// The next step of a lane that may start; it counts as running from here on.
    pub fn start_next(&mut self, lane: usize) -> Option<usize> {
        if !self.ready.is_made(lane) && self.running >= self.limit {
            return None;
        }
        let step = self.ready.take(lane)?;
        self.give_place(step, Phase::Running);
        Some(step)
    }

    /// Takes a step out of turn that has not started, to be ended at once; false if it has. Until it has ended, it counts
    /// as running: nothing is to start in its place before its failure is known.
    pub fn start_out_of_turn(&mut self, step: usize) -> bool {
        let is_left = self.steps[step].is_left();
        if is_left {
            self.ready.remove(step);
            self.give_place(step, Phase::Running);
        }
        is_left
    }

    /// Counts a step as running, which may do so already.
    fn give_place(&mut self, step: usize, phase: Phase) {
        let before = std::mem::replace(&mut self.steps[step].phase, phase);
        if !before.has_place() {
            self.running += 1;
        }
    }

    /// Takes the place of a step from it, if it has one.
    fn take_place(&mut self, step: usize, phase: Phase) {
        let before = std::mem::replace(&mut self.steps[step].phase, phase);
        if before.has_place() {
            self.running -= 1;
        }
    }

    /// Notes that a step has ended. Returns the steps that will never run because of it, in ascending order.
    pub fn end(&mut self, step: usize, outcome: Outcome) -> Vec<Skip> {
        self.take_place(step, Phase::Ended);
        self.ended += 1;
        let mut skips = Vec::new();
        if outcome != Outcome::Success {
            self.mark_gap(step, &mut skips);
        }
        if outcome == Outcome::Failure && self.stop_on_error {
            for other in 0..self.steps.len() {
                if self.steps[other].when == When::Success {
                    self.withdraw(other, true, &mut skips);
                }
            }
        }
        self.steps[step].has_failed = outcome == Outcome::Failure;
        self.release_dependents(step, &mut skips);
        skips.sort_unstable_by_key(|skip| skip.step);
        skips
    }

    /// Withdraws what can never run any more, as not all that it depends on succeeds. Each step is visited once in the
    /// life of a plan, however many of those before it fail.
    fn mark_gap(&mut self, step: usize, skips: &mut Vec<Skip>) {
        let mut path = vec![step];
        while let Some(step) = path.pop() {
            for dependent in self.steps[step].dependents.clone() {
                if !std::mem::replace(&mut self.steps[dependent].is_after_gap, true) {
                    path.push(dependent);
                    if self.steps[dependent].when == When::Success {
                        self.withdraw(dependent, true, skips);
                    }
                }
            }
        }
    }

    /// Lets others go on that waited for this step alone: once it has ended, and all that it depends on. A step that is
    /// skipped or cancelled ends before that, and what is to run after it must not run beside them.
    fn release_dependents(&mut self, step: usize, skips: &mut Vec<Skip>) {
        let mut path = vec![step];
        while let Some(step) = path.pop() {
            let ended = &self.steps[step];
            if ended.phase != Phase::Ended || ended.awaits > 0 {
                continue;
            }
            let is_failure = ended.has_failed || ended.is_after_failure;
            for dependent in ended.dependents.clone() {
                let waiting = &mut self.steps[dependent];
                waiting.awaits -= 1;
                waiting.is_after_failure |= is_failure;
                if waiting.awaits == 0 {
                    self.decide(dependent, skips);
                    path.push(dependent);
                }
            }
        }
    }

    /// Decides about a step when all it depends on has ended.
    fn decide(&mut self, step: usize, skips: &mut Vec<Skip>) {
        let Step {
            when,
            phase,
            is_after_failure,
            is_after_gap,
            ..
        } = self.steps[step];
        let runs = match when {
            When::Success => !is_after_gap,
            When::Failure => is_after_failure,
            When::Always => true,
        };
        if !runs {
            self.withdraw(step, false, skips);
        } else if phase == Phase::Waiting {
            self.ready.insert(step);
        }
    }

    fn withdraw(&mut self, step: usize, is_caused: bool, skips: &mut Vec<Skip>) {
        if self.steps[step].is_left() {
            self.take_place(step, Phase::Withdrawn);
            self.ready.remove(step);
            skips.push(Skip { step, is_caused });
        }
    }

    /// Takes out all that have not started, in ascending order.
    pub fn withdraw_all(&mut self) -> Vec<usize> {
        let mut skips = Vec::new();
        for step in 0..self.steps.len() {
            self.withdraw(step, true, &mut skips);
        }
        skips.into_iter().map(|skip| skip.step).collect()
    }

    /// Whether nothing more starts after a failure, whatever it depends on.
    pub fn stops_on_error(&self) -> bool {
        self.stop_on_error
    }

    pub fn ended(&self) -> usize {
        self.ended
    }

    pub fn is_over(&self) -> bool {
        self.ended == self.steps.len()
    }
}

/// What holds for all steps of a plan.
struct Rules {
    limit: usize,
    stop_on_error: bool,
    /// When a step runs that does not say so.
    when: When,
}

impl Rules {
    fn of(steps: &PlanSteps) -> Self {
        let (max_concurrency, stop_on_error) = match steps {
            PlanSteps::Indexed { strategy, .. } => match *strategy {
                ExecutionStrategy::Serial { stop_on_error } => {
                    return Self {
                        limit: 1,
                        // Each depends on all before it.
                        stop_on_error: false,
                        when: if stop_on_error {
                            When::Success
                        } else {
                            When::Always
                        },
                    };
                }
                ExecutionStrategy::Parallel {
                    max_concurrency,
                    stop_on_error,
                }
                | ExecutionStrategy::DependencyGraph {
                    max_concurrency,
                    stop_on_error,
                    ..
                } => (max_concurrency, stop_on_error),
            },
            PlanSteps::Named {
                max_concurrency,
                stop_on_error,
                ..
            } => (*max_concurrency, *stop_on_error),
        };
        Self {
            limit: max_concurrency.unwrap_or(usize::MAX),
            stop_on_error,
            when: When::Success,
        }
    }
}

/// Each step with each one that it waits for, once.
fn edges(steps: &PlanSteps) -> Vec<(usize, usize)> {
    match steps {
        PlanSteps::Indexed { strategy, commands } => match strategy {
            ExecutionStrategy::Serial { .. } => {
                (1..commands.len()).map(|step| (step, step - 1)).collect()
            }
            ExecutionStrategy::Parallel { .. } => Vec::new(),
            ExecutionStrategy::DependencyGraph { dependencies, .. } => dependencies
                .iter()
                .flat_map(|(&step, needed)| once_each(step, needed.iter().copied()))
                .collect(),
        },
        PlanSteps::Named { steps, .. } => {
            let indices = indices(steps.iter().map(|(name, _)| name));
            let needs = steps.iter().enumerate().flat_map(|(index, (_, step))| {
                let needed = step.depends_on.iter();
                once_each(
                    index,
                    needed.filter_map(|name| indices.get(name.as_str()).copied()),
                )
            });
            needs.collect()
        }
    }
}

/// The index of each name.
pub(super) fn indices<'a>(names: impl Iterator<Item = &'a String>) -> HashMap<&'a str, usize> {
    let names = names.enumerate();
    names.map(|(index, name)| (name.as_str(), index)).collect()
}

fn once_each(step: usize, needed: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let once: BTreeSet<usize> = needed.collect();
    once.into_iter().map(|needed| (step, needed)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::command::Command;
    use crate::api::request::ExecutionRequest;
    use crate::api::step::PlanStep;

    /// A random plan, in which each step waits for earlier ones.
    #[derive(Debug, Clone)]
    struct Case {
        needs: Vec<Vec<usize>>,
        whens: Vec<When>,
        /// Whether the request of each is made when its turn has come.
        is_made: Vec<bool>,
        /// What becomes of those that run.
        outcomes: Vec<Outcome>,
        limit: Option<usize>,
        stop_on_error: bool,
        /// Which of those that run ends first, as often as one does.
        order: Vec<usize>,
    }

    /// Where the steps of a plan are that is played.
    struct Play<'a> {
        case: &'a Case,
        schedule: Schedule,
        ends: Vec<Option<Outcome>>,
        skipped: Vec<usize>,
        making: Vec<usize>,
        running: Vec<usize>,
    }

    fn cases() -> impl Strategy<Value = Case> {
        let when = prop_oneof![
            3 => Just(When::Success),
            1 => Just(When::Failure),
            1 => Just(When::Always),
        ];
        let outcome = prop_oneof![3 => Just(Outcome::Success), 1 => Just(Outcome::Failure)];
        (1..9_usize).prop_flat_map(move |steps| {
            let needs = (0..steps)
                .map(|step| proptest::collection::vec(0..step.max(1), 0..=step.min(3)))
                .collect::<Vec<_>>();
            (
                needs,
                proptest::collection::vec(when.clone(), steps),
                proptest::collection::vec(proptest::bool::weighted(0.3), steps),
                proptest::collection::vec(outcome.clone(), steps),
                proptest::option::of(1..4_usize),
                proptest::bool::weighted(0.3),
                proptest::collection::vec(0..8_usize, steps),
            )
                .prop_map(
                    |(needs, whens, is_made, outcomes, limit, stop_on_error, order)| Case {
                        needs,
                        whens,
                        is_made,
                        outcomes,
                        limit,
                        stop_on_error,
                        order,
                    },
                )
        })
    }

    fn request() -> ExecutionRequest {
        ExecutionRequest::new(Command::shell("true"))
    }

    fn steps_of(case: &Case) -> PlanSteps {
        let step = |(index, needs): (usize, &Vec<usize>)| {
            let step = if case.is_made[index] {
                PlanStep::made(|_| async { Ok::<_, String>(request()) })
            } else {
                PlanStep::from(request())
            };
            let needs = needs.iter().map(ToString::to_string);
            (index.to_string(), step.when(case.whens[index]).after(needs))
        };
        PlanSteps::Named {
            steps: case.needs.iter().enumerate().map(step).collect(),
            max_concurrency: case.limit,
            stop_on_error: case.stop_on_error,
        }
    }

    /// All that a step depends on, directly or not.
    fn ancestors(case: &Case, step: usize) -> BTreeSet<usize> {
        let direct = case.needs[step].iter();
        direct
            .flat_map(|&needed| {
                let mut all = ancestors(case, needed);
                all.insert(needed);
                all
            })
            .collect()
    }

    /// What becomes of each step where no failure stops the others: the rule, word for word.
    fn model(case: &Case) -> Vec<Outcome> {
        let mut ends: Vec<Outcome> = Vec::new();
        for step in 0..case.needs.len() {
            let before = ancestors(case, step);
            let runs = match case.whens[step] {
                When::Success => before.iter().all(|&other| ends[other] == Outcome::Success),
                When::Failure => before.iter().any(|&other| ends[other] == Outcome::Failure),
                When::Always => true,
            };
            ends.push(if runs {
                case.outcomes[step]
            } else {
                Outcome::Skipped
            });
        }
        ends
    }

    impl<'a> Play<'a> {
        fn new(case: &'a Case) -> Self {
            let mut schedule = Schedule::new(&steps_of(case));
            let skips = schedule.begin();
            Self {
                case,
                schedule,
                ends: vec![None; case.needs.len()],
                skipped: skips.iter().map(|skip| skip.step).collect(),
                making: Vec::new(),
                running: Vec::new(),
            }
        }

        /// Lets all begin that may.
        fn begin(&mut self) -> Result<(), TestCaseError> {
            while let Some(step) = self.schedule.next_to_make() {
                self.schedule.begin_to_make(step);
                self.check_begin(step)?;
                self.making.push(step);
            }
            loop {
                let lane = self.schedule.next().map(|next| next.lane).next();
                let Some(step) = lane.and_then(|lane| self.schedule.start_next(lane)) else {
                    break;
                };
                self.check_begin(step)?;
                self.running.push(step);
            }
            let begun = self.making.len() + self.running.len() + self.schedule.made();
            prop_assert!(begun <= self.case.limit.unwrap_or(usize::MAX));
            Ok(())
        }

        fn check_begin(&self, step: usize) -> Result<(), TestCaseError> {
            for other in ancestors(self.case, step) {
                let end = self.ends[other];
                prop_assert!(end.is_some(), "{step} began before {other} ended");
            }
            let is_stopped = self.case.stop_on_error && self.ends.contains(&Some(Outcome::Failure));
            let is_late = is_stopped && self.case.whens[step] == When::Success;
            prop_assert!(!is_late, "{step} began after a failure");
            Ok(())
        }

        /// Lets a request be made, or a step end.
        fn go_on(&mut self, pick: usize) -> Result<(), TestCaseError> {
            if let Some(step) = self.skipped.pop() {
                return self.end(step, Outcome::Skipped);
            }
            let count = self.making.len() + self.running.len();
            prop_assert!(count > 0, "nothing runs, and it is not over");
            let at = pick % count;
            if at < self.making.len() {
                let step = self.making.swap_remove(at);
                self.schedule.has_made(step, &request());
                return Ok(());
            }
            let step = self.running.swap_remove(at - self.making.len());
            self.end(step, self.case.outcomes[step])
        }

        fn end(&mut self, step: usize, outcome: Outcome) -> Result<(), TestCaseError> {
            let before = self.ends[step].replace(outcome);
            prop_assert_eq!(before, None, "{} ended twice", step);
            for skip in self.schedule.end(step, outcome) {
                prop_assert!(!self.running.contains(&skip.step));
                self.making.retain(|&step| step != skip.step);
                self.skipped.push(skip.step);
            }
            Ok(())
        }
    }

    /// Lets all steps run as a plan does, and returns how each ended.
    fn play(case: &Case) -> Result<Vec<Option<Outcome>>, TestCaseError> {
        let mut play = Play::new(case);
        let mut order = case.order.iter().cycle();
        while !play.schedule.is_over() {
            play.begin()?;
            play.go_on(order.next().copied().unwrap_or(0))?;
        }
        Ok(play.ends)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_step_ends_once_after_all_before_it_and_runs_when_it_says(case in cases()) {
            let ends = play(&case)?;
            let model = model(&case);
            let has_failed = ends.contains(&Some(Outcome::Failure));
            for (step, end) in ends.into_iter().enumerate() {
                let end = end.expect("it has ended");
                if case.stop_on_error && has_failed && case.whens[step] == When::Success {
                    // It may have been too late to run.
                    prop_assert!(end == Outcome::Skipped || end == case.outcomes[step]);
                } else if !case.stop_on_error || !has_failed {
                    prop_assert_eq!(end, model[step], "{}", step);
                } else if case.whens[step] == When::Always {
                    prop_assert_eq!(end, case.outcomes[step]);
                }
            }
        }

        #[test]
        fn nothing_starts_once_all_was_withdrawn(case in cases()) {
            let mut schedule = Schedule::new(&steps_of(&case));
            let skipped = schedule.begin();
            if let Some(step) = schedule.next_to_make() {
                schedule.begin_to_make(step);
            }
            let lane = schedule.next().map(|next| next.lane).next();
            let first = lane.and_then(|lane| schedule.start_next(lane));
            let mut left = schedule.withdraw_all();
            left.extend(first);
            left.extend(skipped.iter().map(|skip| skip.step));
            prop_assert_eq!(left.len(), case.needs.len());
            for step in left {
                prop_assert_eq!(schedule.end(step, Outcome::Failure), []);
                prop_assert_eq!(schedule.next().count(), 0);
                prop_assert_eq!(schedule.next_to_make(), None);
            }
            prop_assert!(schedule.is_over());
        }
    }
}
