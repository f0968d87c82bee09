//! Which secrets a command has: what its request names, and the values of variables.

use std::borrow::Cow;
use std::sync::Arc;

use crate::api::command::Command;
use crate::api::config::ExecutionConfig;
use crate::api::error::ValidationError;
use crate::api::request::ExecutionRequest;
use crate::api::validate::check_secrets;
use crate::execution::resolve::variables;
use crate::masking::secret::{SHORTEST, Secret};
use crate::masking::text;
use crate::process::environment::{Assignment, Environment, Variables};
use crate::state::execution::Displayed;
use crate::state::secrets::{SecretSet, SecretSets};

/// The values of variables that nobody named are secrets from this length on, in bytes: a shorter one may be a switch.
const SHORTEST_UNNAMED: usize = 8;

/// Collects the secrets of requests that inherit the same variables.
pub(crate) struct Collector<'a> {
    environment: &'a Environment,
    patterns: &'a [String],
    /// Whether the variables that are inherited hold a secret.
    inherits_any: bool,
    /// Those of the plan.
    shared: &'a [Secret],
    shared_env: &'a [String],
    sets: &'a SecretSets,
}

impl<'a> Collector<'a> {
    pub fn new(environment: &'a Environment, patterns: &'a [String], sets: &'a SecretSets) -> Self {
        let inherited = environment.variables();
        Self {
            environment,
            patterns,
            inherits_any: inherited.iter().any(|one| is_secret(one, patterns)),
            shared: &[],
            shared_env: &[],
            sets,
        }
    }

    /// For the steps of a plan that has these secrets.
    pub fn for_plan(
        mut self,
        secrets: &'a [Secret],
        secret_env: &'a [String],
    ) -> Result<Self, ValidationError> {
        check_secrets(secrets)?;
        self.shared = secrets;
        self.shared_env = secret_env;
        Ok(self)
    }

    /// The secrets of a request; `None` where there are none. `own` says where a field of the request stands.
    pub fn collect(
        &self,
        request: &ExecutionRequest,
        own: impl Fn(ValidationError) -> ValidationError,
    ) -> Result<Option<Arc<SecretSet>>, ValidationError> {
        check_secrets(&request.secrets).map_err(&own)?;
        let mut secrets: Vec<Secret> = self
            .shared
            .iter()
            .chain(&request.secrets)
            .cloned()
            .collect();
        self.collect_variables(request, &mut secrets, &own)?;
        if secrets.is_empty() {
            return Ok(None);
        }
        self.sets.share(secrets, "secrets").map(Some).map_err(own)
    }

    /// Checks a request, and returns its secrets. What is refused is told without them.
    pub fn check(
        &self,
        request: &ExecutionRequest,
        config: &ExecutionConfig,
    ) -> Result<Option<Arc<SecretSet>>, ValidationError> {
        let secrets = self.collect(request, |error| error)?;
        let valid = request.validate_openly(config);
        valid.map_err(|error| match &secrets {
            Some(secrets) => secrets.hide_in(error),
            None => error,
        })?;
        Ok(secrets)
    }

    fn collect_variables(
        &self,
        request: &ExecutionRequest,
        secrets: &mut Vec<Secret>,
        own: impl Fn(ValidationError) -> ValidationError,
    ) -> Result<(), ValidationError> {
        let names_none = self.shared_env.is_empty() && request.secret_env.is_empty();
        let has_own = || request.env.keys().any(|name| self.fits(name));
        if names_none && !self.inherits_any && !has_own() {
            return Ok(());
        }
        // As the command gets them.
        let variables = variables(request, self.environment, 0, None);
        let found = variables.iter().filter(|one| is_secret(one, self.patterns));
        secrets.extend(found.filter_map(Assignment::value).map(Secret::from));
        add_named(&request.secret_env, &variables, secrets).map_err(own)?;
        add_named(self.shared_env, &variables, secrets)
    }

    fn fits(&self, name: &str) -> bool {
        let variable = Assignment::new(name.as_ref(), "".as_ref());
        self.patterns.iter().any(|pattern| variable.fits(pattern))
    }
}

/// The values of variables that are named. One that is not there, or blank, is no secret.
fn add_named(
    names: &[String],
    variables: &Variables,
    secrets: &mut Vec<Secret>,
) -> Result<(), ValidationError> {
    for (index, name) in names.iter().enumerate() {
        let variable = variables.iter().find(|one| one.is_named(name.as_bytes()));
        let value = variable.and_then(Assignment::value).unwrap_or_default();
        if value.trim().is_empty() {
            continue;
        }
        let secret = Secret::from(value);
        if secret.complaint().is_some() {
            let expected =
                format!("the name of a variable whose value has at least {SHORTEST} bytes");
            let found = format!("\"{name}\", whose value has {}", value.len());
            return Err(ValidationError::new(
                format!("secret_env[{index}]"),
                expected,
                found,
            ));
        }
        secrets.push(secret);
    }
    Ok(())
}

/// The variables of its own that a request gives secrets to, sorted: those that it or its plan names, or a pattern means.
pub(crate) fn secret_variables<'a>(
    request: &'a ExecutionRequest,
    names_of_plan: &[String],
    patterns: &[String],
) -> impl Iterator<Item = &'a str> {
    let named = |variable: &Assignment| {
        let names = names_of_plan.iter().chain(&request.secret_env);
        let value = variable.value().unwrap_or_default();
        !value.trim().is_empty()
            && names
                .into_iter()
                .any(|name| variable.is_named(name.as_bytes()))
    };
    let mut found: Vec<_> = request
        .env
        .iter()
        .filter(|(name, value)| {
            let value = value.as_deref().unwrap_or_default();
            let variable = Assignment::new(name.as_ref(), value.as_ref());
            named(&variable) || is_secret(&variable, patterns)
        })
        .map(|(name, _)| name.as_str())
        .collect();
    found.sort_unstable();
    found.into_iter()
}

fn is_secret(variable: &Assignment, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| variable.fits(pattern))
        && variable
            .value()
            .is_some_and(|value| value.len() >= SHORTEST_UNNAMED && !value.trim().is_empty())
}

/// The command for display, which is made when somebody asks for it, where it has secrets: to find them takes time.
pub(crate) fn displayed(command: &Command, secrets: Option<Arc<SecretSet>>) -> Displayed {
    let Some(set) = secrets else {
        return command.display().into();
    };
    let (command, own) = (command.clone(), Arc::clone(&set));
    Displayed::later(set, move || {
        let shown = command.display_hiding(|word| match own.mask() {
            Some(mask) => text::masked(mask, word),
            None => Cow::Borrowed(word),
        });
        // What is spread over words.
        own.hide(&shown).into_owned()
    })
}
