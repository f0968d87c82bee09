//! Who is running, who has finished, and what is forgotten when.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::api::error::{ExecutionError, Result};
use crate::api::result::ExecutionStatus;
use crate::state::cancellation::Stop;
use crate::state::execution::Execution;
use crate::state::execution::refuse;
use crate::state::lease::Lease;
use crate::state::plan::Plan;

/// How many executions are forgotten under one hold of the lock: some 10 us, so that a query on the
/// JavaScript thread does not wait longer.
const FORGET_AT_ONCE: usize = 64;

/// The executions and plans that one engine remembers.
///
/// A plan and its steps are forgotten together; while it runs, none of them is.
#[derive(Debug)]
pub(crate) struct Registry {
    max_finished: usize,
    state: Mutex<State>,
}

/// What an id may stand for.
#[derive(Debug, Clone)]
pub(crate) enum Unit {
    Execution(Arc<Execution>),
    Plan(Arc<Plan>),
}

impl Unit {
    fn id(&self) -> Uuid {
        match self {
            Self::Execution(execution) => execution.id(),
            Self::Plan(plan) => plan.id(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Execution(one), Self::Execution(other)) => Arc::ptr_eq(one, other),
            (Self::Plan(one), Self::Plan(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub fn status(&self) -> ExecutionStatus {
        match self {
            Self::Execution(execution) => execution.status(),
            Self::Plan(plan) => plan.status(),
        }
    }

    pub fn stop(&self) -> &Stop {
        match self {
            Self::Execution(execution) => &execution.stop,
            Self::Plan(plan) => &plan.stop,
        }
    }

    /// Its lease, if it has one.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Execution(execution) => execution.lease.get(),
            Self::Plan(plan) => plan.lease.as_ref(),
        }
    }

    /// Resolves when it has finished.
    pub async fn wait(&self) {
        match self {
            Self::Execution(execution) => drop(execution.outcome.wait().await),
            Self::Plan(plan) => drop(plan.outcome.wait().await),
        }
    }

    /// How many executions it is.
    fn weight(&self) -> usize {
        match self {
            Self::Execution(_) => 1,
            Self::Plan(plan) => plan.steps.len().max(1),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    units: HashMap<Uuid, Entry>,
    /// By when they finished, oldest first.
    finished: BTreeMap<u64, Finished>,
    /// How many executions those are.
    finished_executions: usize,
    plans: usize,
    next_number: u64,
}

#[derive(Debug)]
struct Entry {
    /// Ascends in the order of `execute`.
    number: u64,
    /// The key in `finished`.
    finished: Option<u64>,
    unit: Unit,
}

#[derive(Debug)]
struct Finished {
    id: Uuid,
    weight: usize,
    at: Instant,
}

impl State {
    fn enter(&mut self, id: Uuid, unit: Unit) {
        self.next_number += 1;
        self.plans += usize::from(matches!(unit, Unit::Plan(_)));
        let entry = Entry {
            number: self.next_number,
            finished: None,
            unit,
        };
        self.units.insert(id, entry);
    }

    /// Returns what is to be dropped without the lock.
    fn forget(&mut self, id: Uuid) -> Vec<Entry> {
        let Some(entry) = self.units.remove(&id) else {
            return Vec::new();
        };
        if let Some(finished) = entry.finished.and_then(|key| self.finished.remove(&key)) {
            self.finished_executions -= finished.weight;
        }
        let mut forgotten = Vec::new();
        if let Unit::Plan(plan) = &entry.unit {
            self.plans -= 1;
            // A step that was removed before may have left its id to another execution.
            let own = |entry: &Entry, step: &Arc<Execution>| matches!(&entry.unit, Unit::Execution(found) if Arc::ptr_eq(found, step));
            for step in &plan.steps {
                if self
                    .units
                    .get(&step.id())
                    .is_some_and(|entry| own(entry, step))
                {
                    forgotten.extend(self.units.remove(&step.id()));
                }
            }
        }
        forgotten.push(entry);
        forgotten
    }

    fn forget_oldest(&mut self) -> Vec<Entry> {
        let oldest = self.finished.first_key_value().map(|(_, oldest)| oldest.id);
        oldest.map_or_else(Vec::new, |id| self.forget(id))
    }
}

impl Registry {
    pub fn new(max_finished: usize) -> Self {
        Self {
            max_finished,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an execution that was accepted; refuses an id that is in use.
    pub fn enter(&self, execution: &Arc<Execution>) -> Result<()> {
        let mut state = self.state();
        if state.units.contains_key(&execution.id()) {
            return Err(ExecutionError::DuplicateId {
                field: "id".into(),
                id: execution.id(),
            });
        }
        state.enter(execution.id(), Unit::Execution(Arc::clone(execution)));
        Ok(())
    }

    /// Enters a plan and its steps, all or none.
    pub fn enter_plan(&self, plan: &Arc<Plan>) -> Result<()> {
        let mut state = self.state();
        let is_taken = |id: &Uuid| state.units.contains_key(id);
        if let Some(step) = plan.steps.iter().find(|step| is_taken(&step.id())) {
            let field = format!("{}.id", step.path());
            let id = step.id();
            return Err(ExecutionError::DuplicateId { field, id });
        }
        if is_taken(&plan.id()) {
            let (field, id) = ("id".to_owned(), plan.id());
            return Err(ExecutionError::DuplicateId { field, id });
        }
        state.enter(plan.id(), Unit::Plan(Arc::clone(plan)));
        for step in &plan.steps {
            state.enter(step.id(), Unit::Execution(Arc::clone(step)));
        }
        Ok(())
    }

    pub fn get(&self, id: Uuid) -> Result<Unit> {
        let state = self.state();
        let entry = state.units.get(&id).ok_or(ExecutionError::NotFound(id))?;
        Ok(entry.unit.clone())
    }

    pub fn execution(&self, id: Uuid) -> Result<Arc<Execution>> {
        match self.get(id)? {
            Unit::Execution(execution) => Ok(execution),
            Unit::Plan(_) => Err(ExecutionError::IsPlan(id)),
        }
    }

    pub fn plan(&self, id: Uuid) -> Result<Arc<Plan>> {
        match self.get(id)? {
            Unit::Plan(plan) => Ok(plan),
            Unit::Execution(_) => Err(ExecutionError::IsExecution(id)),
        }
    }

    /// Notes that an execution or a plan has finished, and forgets the oldest beyond the bound; the one that
    /// has just finished stays, however many steps it had.
    pub fn finish(&self, unit: &Unit) {
        let id = unit.id();
        let mut forgotten = Vec::new();
        let mut state = self.state();
        state.next_number += 1;
        let key = state.next_number;
        // What was removed right after its end may have left its id to another.
        if let Some(entry) = state.units.get_mut(&id).filter(|entry| entry.unit.is(unit)) {
            let weight = entry.unit.weight();
            entry.finished = Some(key);
            state.finished_executions += weight;
            let at = Instant::now();
            state.finished.insert(key, Finished { id, weight, at });
        }
        while state.finished_executions > self.max_finished && state.finished.len() > 1 {
            forgotten.extend(state.forget_oldest());
        }
        // What is forgotten is freed without the lock.
        drop(state);
    }

    /// Takes out what was refused after all. Who waits for it already is told: a shutdown, say.
    pub fn refuse(&self, id: Uuid) {
        let forgotten = self.state().forget(id);
        for entry in forgotten {
            match entry.unit {
                Unit::Execution(execution) => refuse(&execution),
                Unit::Plan(plan) => plan.refuse(),
            }
        }
    }

    /// Takes out what the user has no more use for.
    pub fn remove(&self, id: Uuid) {
        let forgotten = self.state().forget(id);
        drop(forgotten);
    }

    /// Forgets those that finished longer ago than that; returns how many executions those were.
    pub fn forget_older_than(&self, retention: Duration) -> usize {
        let mut count = 0;
        loop {
            let mut forgotten = Vec::with_capacity(FORGET_AT_ONCE);
            let mut state = self.state();
            while forgotten.len() < FORGET_AT_ONCE {
                let oldest = state.finished.first_key_value();
                if oldest.is_none_or(|(_, oldest)| oldest.at.elapsed() < retention) {
                    break;
                }
                forgotten.extend(state.forget_oldest());
            }
            drop(state);
            if forgotten.is_empty() {
                return count;
            }
            let executions = |entry: &&Entry| matches!(entry.unit, Unit::Execution(_));
            count += forgotten.iter().filter(executions).count();
        }
    }

    /// All of them, newest first.
    pub fn all(&self) -> Vec<Unit> {
        let state = self.state();
        let mut all: Vec<_> = state
            .units
            .values()
            .map(|entry| (entry.number, entry.unit.clone()))
            .collect();
        drop(state);
        all.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().map(|(_, unit)| unit).collect()
    }

    /// How many executions are remembered.
    pub fn len(&self) -> usize {
        let state = self.state();
        state.units.len() - state.plans
    }
}
