//! What is checked before anything of a plan is started.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::api::config::ExecutionConfig;
use crate::api::error::ValidationError;
use crate::api::plan::{ExecutionPlan, ExecutionStrategy};
use crate::api::request::{Command, check_secrets};
use crate::execution::resolve::{check_files, check_system};
use crate::masking::text;
use crate::process::environment::Environment;

impl ExecutionPlan {
    /// Checks what can be checked without looking at the file system.
    ///
    /// # Errors
    ///
    /// The first field that is not as it must be, with its path, such as `commands[2].command.program` or
    /// `strategy.dependencies[3]`. A cycle is spelled out: `0 -> 2 -> 1 -> 0`, each waiting for the next.
    pub fn validate(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        check_secrets(&self.secrets)?;
        self.validate_rest(config)
            .map_err(|error| error.hiding(|text| text::hide(&self.secrets, text)))
    }

    fn validate_rest(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        if self.timeout_ms == Some(0) {
            return Err(ValidationError::new(
                "timeout_ms",
                "a positive integer",
                "0",
            ));
        }
        for (step, request) in self.commands.iter().enumerate() {
            let valid = request.validate(config);
            valid.map_err(|error| error.within(&path_of(step)))?;
        }
        self.check_ids()?;
        self.strategy.validate(self.commands.len())
    }

    fn check_ids(&self) -> Result<(), ValidationError> {
        let mut steps = HashMap::with_capacity(self.commands.len());
        for (step, request) in self.commands.iter().enumerate() {
            let other = if request.id == self.id {
                Some("the plan".to_owned())
            } else {
                steps.insert(request.id, step).map(path_of)
            };
            if let Some(other) = other {
                let field = format!("{}.id", path_of(step));
                let found = format!("{}, which {other} has", request.id);
                return Err(ValidationError::new(field, "an id of its own", found));
            }
        }
        Ok(())
    }

    /// Checks what needs the file system; steps that agree in what is looked at are looked at once.
    pub(super) fn check_files(&self, environment: &Environment) -> Result<(), ValidationError> {
        let mut seen = HashSet::new();
        for (step, request) in self.commands.iter().enumerate() {
            check_system(request).map_err(|error| error.within(&path_of(step)))?;
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
                check_files(request, environment).map_err(|error| error.within(&path_of(step)))?;
            }
        }
        Ok(())
    }
}

pub(super) fn path_of(step: usize) -> String {
    format!("commands[{step}]")
}

impl ExecutionStrategy {
    fn validate(&self, steps: usize) -> Result<(), ValidationError> {
        match self {
            Self::Serial { .. } => Ok(()),
            Self::Parallel {
                max_concurrency, ..
            } => check_limit(*max_concurrency),
            Self::DependencyGraph {
                dependencies,
                max_concurrency,
                ..
            } => {
                check_limit(*max_concurrency)?;
                check_indices(dependencies, steps)?;
                check_cycles(dependencies, steps)
            }
        }
    }
}

fn check_limit(max_concurrency: Option<usize>) -> Result<(), ValidationError> {
    match max_concurrency {
        Some(0) => {
            let field = "strategy.max_concurrency";
            Err(ValidationError::new(field, "a positive integer", "0"))
        }
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

/// A depth-first walk without recursion: a chain may be as long as the plan.
fn check_cycles(
    dependencies: &BTreeMap<usize, Vec<usize>>,
    steps: usize,
) -> Result<(), ValidationError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let needed = |step: usize| dependencies.get(&step).map_or(&[][..], Vec::as_slice);
    let mut marks = vec![Mark::New; steps];
    for &start in dependencies.keys() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::OnPath;
        // Each step on the path, with how many of those it needs have been visited.
        let mut path = vec![(start, 0)];
        while let Some((step, visited)) = path.last_mut() {
            let Some(&next) = needed(*step).get(*visited) else {
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
                    return Err(cycle_error(cycle.chain([next])));
                }
            }
        }
    }
    Ok(())
}

fn cycle_error(cycle: impl Iterator<Item = usize>) -> ValidationError {
    /// Enough to find it; a cycle through ten thousand steps would be no message.
    const SHOWN: usize = 20;
    let mut cycle: Vec<String> = cycle.map(|step| step.to_string()).collect();
    let hidden = cycle.len().saturating_sub(SHOWN);
    if hidden > 0 {
        let end = cycle.len() - 1;
        cycle.splice(SHOWN - 1..end, [format!("({hidden} more)")]);
    }
    ValidationError::new(
        "strategy.dependencies",
        "no cycle",
        format!("{}, each waiting for the next", cycle.join(" -> ")),
    )
}
