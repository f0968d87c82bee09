//! Who is running, who has finished, and what is forgotten when.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::{ExecutionError, Result};
use crate::execution::Execution;

/// How many executions are forgotten under one hold of the lock: some 10 us, so that a query on the
/// JavaScript thread does not wait longer.
const FORGET_AT_ONCE: usize = 64;

/// The executions that one engine remembers.
#[derive(Debug)]
pub(crate) struct Registry {
    max_finished: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    executions: HashMap<Uuid, Entry>,
    /// By when they finished, oldest first.
    finished: BTreeMap<u64, Finished>,
    next_number: u64,
}

#[derive(Debug)]
struct Entry {
    /// Ascends in the order of `execute`.
    number: u64,
    /// The key in `finished`.
    finished: Option<u64>,
    execution: Arc<Execution>,
}

#[derive(Debug)]
struct Finished {
    id: Uuid,
    at: Instant,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn forget(&mut self, id: Uuid) -> Option<Arc<Execution>> {
        let entry = self.executions.remove(&id)?;
        if let Some(key) = entry.finished {
            self.finished.remove(&key);
        }
        Some(entry.execution)
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
        if state.executions.contains_key(&execution.id()) {
            return Err(ExecutionError::DuplicateId(execution.id()));
        }
        let number = state.number();
        let execution = Arc::clone(execution);
        state.executions.insert(
            execution.id(),
            Entry {
                number,
                finished: None,
                execution,
            },
        );
        Ok(())
    }

    pub fn get(&self, id: Uuid) -> Result<Arc<Execution>> {
        let state = self.state();
        state
            .executions
            .get(&id)
            .map(|e| Arc::clone(&e.execution))
            .ok_or(ExecutionError::NotFound(id))
    }

    /// Notes that an execution has finished, and forgets the oldest beyond the bound.
    pub fn finish(&self, id: Uuid) {
        let mut forgotten = Vec::new();
        let mut state = self.state();
        let key = state.number();
        if let Some(entry) = state.executions.get_mut(&id) {
            entry.finished = Some(key);
            state.finished.insert(
                key,
                Finished {
                    id,
                    at: Instant::now(),
                },
            );
        }
        while state.finished.len() > self.max_finished {
            let Some((_, oldest)) = state.finished.pop_first() else {
                break;
            };
            forgotten.extend(state.forget(oldest.id));
        }
        // What is forgotten is freed without the lock.
        drop(state);
    }

    /// Takes out an execution that was refused after all, or that the user has no more use for.
    pub fn remove(&self, id: Uuid) {
        drop(self.state().forget(id));
    }

    /// Forgets those that finished longer ago than that; returns how many.
    pub fn forget_older_than(&self, retention: Duration) -> usize {
        let mut count = 0;
        loop {
            let mut forgotten = Vec::with_capacity(FORGET_AT_ONCE);
            let mut state = self.state();
            while forgotten.len() < FORGET_AT_ONCE {
                let Some((_, oldest)) = state.finished.first_key_value() else {
                    break;
                };
                if oldest.at.elapsed() < retention {
                    break;
                }
                let id = oldest.id;
                forgotten.extend(state.forget(id));
            }
            drop(state);
            if forgotten.is_empty() {
                return count;
            }
            count += forgotten.len();
        }
    }

    /// All of them, newest first.
    pub fn all(&self) -> Vec<Arc<Execution>> {
        let state = self.state();
        let mut all: Vec<_> = state
            .executions
            .values()
            .map(|e| (e.number, Arc::clone(&e.execution)))
            .collect();
        drop(state);
        all.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().map(|(_, execution)| execution).collect()
    }

    pub fn len(&self) -> usize {
        self.state().executions.len()
    }
}
