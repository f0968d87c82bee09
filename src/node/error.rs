//! Errors cross as data; `index.js` throws them.

use napi_derive::napi;

use crate::api::error::{ExecutionError, ValidationError};

/// What becomes an `ExecutionError` in JavaScript.
#[napi(object)]
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its `code`.
    pub code: String,
    /// Its `message`.
    pub message: String,
    /// Its `field`, in the spelling of TypeScript.
    pub field: Option<String>,
    /// Its `executionId`.
    pub execution_id: Option<String>,
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        let error = as_in_javascript(error);
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
            field: error.field().map(str::to_owned),
            execution_id: error.execution_id().map(|id| id.to_string()),
        }
    }
}

/// The same error, with the fields as TypeScript spells them.
fn as_in_javascript(error: ExecutionError) -> ExecutionError {
    match error {
        ExecutionError::Validation(error) => ExecutionError::Validation(spelled(error)),
        ExecutionError::InvalidConfig(error) => ExecutionError::InvalidConfig(spelled(error)),
        error => error,
    }
}

fn spelled(error: ValidationError) -> ValidationError {
    ValidationError {
        field: camel_case(&error.field),
        // In the engine's own words only the names of fields have an underscore. What was found are the user's.
        expected: camel_case(&error.expected),
        found: error.found,
    }
}

/// `command.working_dir` becomes `command.workingDir`; the name of a variable or a step stays as it is.
fn camel_case(path: &str) -> String {
    let (step, path) = path.split_at(end_of_step(path));
    step.to_owned() + &camel_case_in_step(path)
}

/// Where the name of a step ends that a path begins with: `steps.build_all` or `steps["build all"]`.
fn end_of_step(path: &str) -> usize {
    let Some(named) = path.strip_prefix("steps") else {
        return 0;
    };
    let end = if named.starts_with("[\"") {
        named.find("\"]").map(|end| end + 2)
    } else {
        let dot = named.strip_prefix('.');
        dot.map(|name| 1 + name.find(['.', '[']).unwrap_or(name.len()))
    };
    path.len() - named.len() + end.unwrap_or(0)
}

fn camel_case_in_step(path: &str) -> String {
    let variable = path
        .find("env.")
        .filter(|&at| at == 0 || path[..at].ends_with('.'));
    let (names, variable) = path.split_at(variable.unwrap_or(path.len()));
    let mut words = names.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name + variable
}
