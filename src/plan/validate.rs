//! What is checked before anything of a plan is started.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::schedule::indices;
use crate::api::command::Command;
use crate::api::config::ExecutionConfig;
use crate::api::error::ValidationError;
use crate::api::plan::{ExecutionPlan, ExecutionStrategy, PlanSteps};
use crate::api::step::{PlanStep, StepRequest};
use crate::api::step_key::StepKey;
use crate::api::validate::check_secrets;
use crate::execution::resolve::{check_files, check_system};
use crate::masking::text;
use crate::process::environment::Environment;

impl ExecutionPlan {
    /// Checks what can be checked without looking at the file system.
    ///
    /// # Errors
    ///
    /// The first field that is not as it must be, with its path, such as `commands[2].command.program` or
    /// `steps.test.depends_on[0]`. A cycle is spelled out: `0 -> 2 -> 1 -> 0`, each waiting for the next.
    pub fn validate(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        check_secrets(&self.secrets)?;
        self.validate_rest(config)
            .map_err(|error| error.hiding(text::hiding(&self.secrets)))
    }

    fn validate_rest(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        let durations = [("timeout_ms", self.timeout_ms), ("lease_ms", self.lease_ms)];
        if let Some((field, _)) = durations.iter().find(|(_, ms)| *ms == Some(0)) {
            return Err(ValidationError::new(*field, "a positive integer", "0"));
        }
        for (step, key) in self.steps.iter().zip(self.steps.keys()) {
            step.validate(config)
                .map_err(|error| error.within(&key.path()))?;
        }
        self.check_ids()?;
        match &self.steps {
            PlanSteps::Indexed { strategy, commands } => strategy.validate(commands),
            PlanSteps::Named {
                steps,
                max_concurrency,
                ..
            } => {
                check_limit("max_concurrency", *max_concurrency)?;
                check_names(steps)
            }
        }
    }

    fn check_ids(&self) -> Result<(), ValidationError> {
        let mut known = HashMap::with_capacity(self.steps.len());
        for (step, key) in self.steps.iter().zip(self.steps.keys()) {
            let id = step.id();
            let field = format!("{}.id", key.path());
            let other = if id == self.id {
                Some("the plan".to_owned())
            } else {
                known.insert(id, key).map(|other| other.path())
            };
            if let Some(other) = other {
                let found = format!("{id}, which {other} has");
                return Err(ValidationError::new(field, "an id of its own", found));
            }
        }
        Ok(())
    }

    /// Checks what needs the file system; steps that agree in what is looked at are looked at once.
    pub(super) fn check_files(&self, environment: &Environment) -> Result<(), ValidationError> {
        let mut seen = HashSet::new();
        for (index, step) in self.steps.iter().enumerate() {
            let Some(request) = step.known() else {
                continue;
            };
            let within = |error: ValidationError| error.within(&self.steps.keys()[index].path());
            check_system(request).map_err(within)?;
            let script = match &request.command {
                Command::Script {
                    path, interpreter, ..
                } => Some((path, interpreter)),
                _ => None,
            };
            let path = script.and(request.env.get("PATH"));
            let inherits = script.and(Some(&request.inherit_env));
            let is_other = (&request.user, request.umask, request.nice);
            if seen.insert((&request.working_dir, script, path, inherits, is_other)) {
                check_files(request, environment).map_err(within)?;
            }
        }
        Ok(())
    }
}

impl PlanStep {
    fn validate(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        match &self.request {
            StepRequest::Known(request) => request.validate(config),
            StepRequest::Made { make, .. } if make.is_lost() => {
                let found = "none, as JSON holds none";
                Err(ValidationError::new("request", "a function", found))
            }
            StepRequest::Made { .. } => Ok(()),
        }
    }
}

impl ExecutionStrategy {
    fn validate(&self, commands: &[PlanStep]) -> Result<(), ValidationError> {
        if let Some(index) = commands.iter().position(|step| !step.depends_on.is_empty()) {
            let field = format!("{}.depends_on", StepKey::Index(index).path());
            let expected = "names only where the steps have some: in the dependencies of the strategy stand indices";
            let found = format!("{:?}", commands[index].depends_on);
            return Err(ValidationError::new(field, expected, found));
        }
        let steps = commands.len();
        match self {
            Self::Serial { .. } => Ok(()),
            Self::Parallel {
                max_concurrency, ..
            } => check_limit("strategy.max_concurrency", *max_concurrency),
            Self::DependencyGraph {
                dependencies,
                max_concurrency,
                ..
            } => {
                check_limit("strategy.max_concurrency", *max_concurrency)?;
                check_indices(dependencies, steps)?;
                let mut needs = vec![Vec::new(); steps];
                for (&step, needed) in dependencies {
                    needs[step].clone_from(needed);
                }
                let Some(cycle) = cycle(&needs) else {
                    return Ok(());
                };
                let cycle = cycle.into_iter().map(|step| step.to_string());
                Err(cycle_error("strategy.dependencies", cycle.collect()))
            }
        }
    }
}

/// Checks the names of steps, and what they say of others.
fn check_names(steps: &[(String, PlanStep)]) -> Result<(), ValidationError> {
    let names = || steps.iter().map(|(name, _)| name);
    let indices = indices(names());
    let path = |name: &str| StepKey::Name(name.into()).path();
    for (index, (name, _)) in steps.iter().enumerate() {
        if name.is_empty() {
            let (expected, found) = ("names that are not empty", "an empty one");
            return Err(ValidationError::new("steps", expected, found));
        }
        if indices[name.as_str()] != index {
            let (expected, found) = ("a name of its own", "one that another step has");
            return Err(ValidationError::new(path(name), expected, found));
        }
    }
    let mut needs = Vec::with_capacity(steps.len());
    for (name, step) in steps {
        let mut needed = Vec::with_capacity(step.depends_on.len());
        for (at, other) in step.depends_on.iter().enumerate() {
            let Some(&index) = indices.get(other.as_str()) else {
                let field = format!("{}.depends_on[{at}]", path(name));
                let found = match nearest(other, names()) {
                    Some(nearest) => format!("{other:?}: is {nearest:?} meant?"),
                    None => format!("{other:?}"),
                };
                return Err(ValidationError::new(field, "the name of a step", found));
            };
            needed.push(index);
        }
        needs.push(needed);
    }
    let Some(cycle) = cycle(&needs) else {
        return Ok(());
    };
    let field = format!("{}.depends_on", path(&steps[cycle[0]].0));
    let cycle = cycle.into_iter().map(|step| steps[step].0.clone());
    Err(cycle_error(&field, cycle.collect()))
}

/// The name that differs the least, if that is less than half of it. Of long plans only the beginning is looked at.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    const LOOKED_AT: usize = 1000;
    let distances = names
        .take(LOOKED_AT)
        .map(|name| (distance(wanted, name), name.as_str()));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance * 2 <= name.chars().count()).then_some(name)
}

/// How many letters have to be changed, added or dropped. Of long names only the beginning counts.
fn distance(one: &str, other: &str) -> usize {
    const COUNTED: usize = 30;
    let letters = |text: &str| -> Vec<char> { text.to_lowercase().chars().take(COUNTED).collect() };
    let (one, other) = (letters(one), letters(other));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, found) in other.iter().enumerate() {
            let changed = row[j] + usize::from(letter != found);
            next.push(changed.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[other.len()]
}

fn check_limit(field: &str, max_concurrency: Option<usize>) -> Result<(), ValidationError> {
    match max_concurrency {
        Some(0) => Err(ValidationError::new(field, "a positive integer", "0")),
        _ => Ok(()),
    }
}

fn check_indices(
    dependencies: &BTreeMap<usize, Vec<usize>>,
    steps: usize,
) -> Result<(), ValidationError> {
    let refuse = |field, found: usize| {
        let expected = match steps {
            0 => "no dependencies, as there are no commands".to_owned(),
            _ => format!("the index of a command, 0 to {}", steps - 1),
        };
        Err(ValidationError::new(field, expected, found.to_string()))
    };
    for (&step, needed) in dependencies {
        let field = format!("strategy.dependencies[{step}]");
        if step >= steps {
            return refuse(field, step);
        }
        if let Some(at) = needed.iter().position(|&other| other >= steps) {
            return refuse(format!("{field}[{at}]"), needed[at]);
        }
    }
    Ok(())
}

/// A cycle, if there is one, with its first step once more at its end. A depth-first walk without recursion: a chain may
/// be as long as the plan.
fn cycle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; needs.len()];
    for start in 0..needs.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::OnPath;
        // Each step on the path, with how many of those it needs have been visited.
        let mut path = vec![(start, 0)];
        while let Some((step, visited)) = path.last_mut() {
            let Some(&next) = needs[*step].get(*visited) else {
                marks[*step] = Mark::Done;
                path.pop();
                continue;
            };
            *visited += 1;
            match marks[next] {
                Mark::Done => {}
                Mark::New => {
                    marks[next] = Mark::OnPath;
                    path.push((next, 0));
                }
                Mark::OnPath => {
                    let first = path.iter().position(|&(step, _)| step == next);
                    let cycle = path[first.unwrap_or(0)..].iter().map(|&(step, _)| step);
                    return Some(cycle.chain([next]).collect());
                }
            }
        }
    }
    None
}

fn cycle_error(field: &str, mut cycle: Vec<String>) -> ValidationError {
    /// Enough to find it; a cycle through ten thousand steps would be no message.
    const SHOWN: usize = 20;
    let hidden = cycle.len().saturating_sub(SHOWN);
    if hidden > 0 {
        let end = cycle.len() - 1;
        cycle.splice(SHOWN - 1..end, [format!("({hidden} more)")]);
    }
    ValidationError::new(
        field,
        "no cycle",
        format!("{}, each waiting for the next", cycle.join(" -> ")),
    )
}
