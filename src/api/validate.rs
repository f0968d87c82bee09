//! What is checked of a request without a look at the file system.

use std::collections::BTreeMap;

use super::checks::{check_nul, check_text};
use super::config::ExecutionConfig;
use super::error::ValidationError;
use super::inherit::User;
use super::output::{StderrTarget, StdoutTarget};
use super::request::ExecutionRequest;
use super::stdin::Stdin;
use crate::masking::secret::Secret;
use crate::masking::text;

impl ExecutionRequest {
    /// Checks what can be checked without looking at the file system.
    ///
    /// # Errors
    ///
    /// The first field that is not as it must be, with what was expected and what was found.
    pub fn validate(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        self.validate_openly(config)
            .map_err(|error| error.hiding(text::hiding(&self.own_secrets())))
    }

    /// The same; what is wrong may tell a secret.
    pub(crate) fn validate_openly(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        check_secrets(&self.secrets)?;
        self.validate_rest(config)
    }

    fn validate_rest(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        for (index, name) in self.secret_env.iter().enumerate() {
            let field = format!("secret_env[{index}]");
            check_text(&field, name)?;
            if name.contains(['=', '*']) {
                let expected = "the name of a variable; patterns are those of the engine, \
                    secret_env_patterns";
                return Err(ValidationError::new(field, expected, format!("{name:?}")));
            }
        }
        self.command.validate()?;
        for (name, value) in &self.env {
            check_variable(name, value.as_deref().unwrap_or_default())?;
        }
        self.inherit_env.validate()?;
        self.check_process()?;
        if let Some(dir) = &self.working_dir {
            check_text("working_dir", &dir.to_string_lossy())?;
        }
        if let Some(path) = &self.output_log_path {
            check_text("output_log_path", &path.to_string_lossy())?;
        }
        self.check_targets()?;
        if let Some(own) = self.own_config(config) {
            own.validate()?;
        }
        let durations = [
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("lease_ms", self.lease_ms),
        ];
        if let Some((field, _)) = durations.iter().find(|(_, ms)| *ms == Some(0)) {
            return Err(ValidationError::new(*field, "a positive integer", "0"));
        }
        if self.success_exit_codes.as_ref().is_some_and(Vec::is_empty) {
            let expected = "a list with at least one exit code";
            let found = "an empty one";
            return Err(ValidationError::new("success_exit_codes", expected, found));
        }
        if let Some(retry) = &self.retry {
            retry.validate()?;
            self.check_input_of_retry()?;
        }
        self.check_idle_timeout()?;
        self.check_group(&config.groups)?;
        match self.timeout_ms {
            Some(timeout) if timeout == 0 || timeout > config.max_timeout_ms => {
                let expected = format!(
                    "a positive integer up to max_timeout_ms, {}",
                    config.max_timeout_ms
                );
                Err(ValidationError::new(
                    "timeout_ms",
                    expected,
                    timeout.to_string(),
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_idle_timeout(&self) -> Result<(), ValidationError> {
        let is_ignored = self.stdout == StdoutTarget::Ignore
            && matches!(self.stderr, StderrTarget::Ignore | StderrTarget::Stdout);
        match self.idle_timeout_ms {
            Some(idle) if is_ignored => {
                let expected = "none, as nobody can tell whether output that is ignored is silent";
                let found = idle.to_string();
                Err(ValidationError::new("idle_timeout_ms", expected, found))
            }
            _ => Ok(()),
        }
    }

    fn check_group(&self, groups: &BTreeMap<String, usize>) -> Result<(), ValidationError> {
        let Some(name) = self.group.as_deref() else {
            return Ok(());
        };
        if groups.contains_key(name) {
            return Ok(());
        }
        let expected = if groups.is_empty() {
            "none, as the configuration has no groups".to_owned()
        } else {
            let nearest = nearest(groups, name);
            format!("a group of the configuration, such as {nearest}")
        };
        let found = format!("{name:?}");
        Err(ValidationError::new("group", expected, found))
    }
}

/// The groups that are most like the one that is not known.
fn nearest(groups: &BTreeMap<String, usize>, name: &str) -> String {
    const MOST: usize = 3;
    let mut nearest: Vec<_> = groups.keys().collect();
    nearest.sort_by_cached_key(|group| strsim::levenshtein(group, name));
    let quoted = nearest.iter().take(MOST).map(|group| format!("{group:?}"));
    quoted.collect::<Vec<_>>().join(", ")
}

impl ExecutionRequest {
    /// What the process is to be, other than the host, and what it is given.
    fn check_process(&self) -> Result<(), ValidationError> {
        if let Some(umask) = self.umask.filter(|umask| *umask > 0o777) {
            let expected = "an integer from 0 to 511 (0o777), such as 0o077";
            return Err(ValidationError::new("umask", expected, umask.to_string()));
        }
        if let Some(nice) = self.nice.filter(|nice| !(-20..=19).contains(nice)) {
            let expected = "an integer from -20 to 19";
            return Err(ValidationError::new("nice", expected, nice.to_string()));
        }
        if let Some(Stdin::File(file)) = &self.stdin {
            check_text("stdin.file", &file.to_string_lossy())?;
        }
        self.user.as_ref().map_or(Ok(()), User::validate)
    }

    /// Each attempt is given the same.
    fn check_input_of_retry(&self) -> Result<(), ValidationError> {
        match &self.stdin {
            Some(stdin) if !stdin.can_be_read_twice() => Err(ValidationError::new(
                "stdin",
                "with retry, text, bytes or a file, which every attempt can read",
                "a stream, or an input that is left open, which the first attempt would use up",
            )),
            _ => Ok(()),
        }
    }

    /// Where its output goes.
    fn check_targets(&self) -> Result<(), ValidationError> {
        let [stdout, stderr] = [self.stdout.file(), self.stderr.file()];
        for (field, path) in [("stdout.file", stdout), ("stderr.file", stderr)] {
            if let Some(path) = path {
                check_text(field, &path.to_string_lossy())?;
            }
        }
        if stdout.is_some() && stdout == stderr {
            return Err(same_target());
        }
        Ok(())
    }
}

/// That both streams lead into one file.
pub(crate) fn same_target() -> ValidationError {
    ValidationError::new(
        "stderr.file",
        "another file than that of stdout, or \"stdout\" instead of a file",
        "the same",
    )
}

/// Checks what is to be masked.
pub(crate) fn check_secrets(secrets: &[Secret]) -> Result<(), ValidationError> {
    secrets.iter().enumerate().try_for_each(|(index, secret)| {
        let complaint = secret.complaint();
        complaint.map_or(Ok(()), |(expected, found)| {
            Err(ValidationError::new(
                format!("secrets[{index}]"),
                expected,
                found,
            ))
        })
    })
}

fn check_variable(name: &str, value: &str) -> Result<(), ValidationError> {
    let field = format!("env.{}", name.replace('\0', "\\0"));
    if name.is_empty() || name.contains(['=', '\0']) {
        let expected = "a variable name that is not empty and holds neither \"=\" nor NUL bytes";
        return Err(ValidationError::new(field, expected, format!("{name:?}")));
    }
    check_nul(&field, value)
}
