//! What is to be run.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checks::{check_nul, check_optional, check_text};
use super::error::ValidationError;
use super::quote;

/// A command to run. The arguments of `exec`, `script` and `aws_cli` are passed as they are: no shell reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// A program and its arguments, without a shell.
    Exec {
        /// A path, or a name that is looked up on the `PATH` of the child.
        #[cfg_attr(
            feature = "schema",
            schemars(extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        program: String,
        /// Default: none.
        #[serde(default)]
        args: Vec<String>,
    },
    /// A line for a shell.
    Shell {
        /// What the shell is to run.
        command: String,
        /// The shell. Default: `bash`, `sh` where there is no bash; `powershell` on Windows.
        #[cfg_attr(
            feature = "schema",
            schemars(with = "Option<String>", extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shell: Option<String>,
    },
    /// A script file.
    Script {
        /// The file. A relative path is relative to
        /// [`ExecutionRequest::working_dir`](crate::ExecutionRequest::working_dir).
        #[cfg_attr(
            feature = "schema",
            schemars(with = "String", extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        path: PathBuf,
        /// What runs it. Default: its `#!` line, else its extension, else a shell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interpreter: Option<String>,
        /// Arguments for the script. Default: none.
        #[serde(default)]
        args: Vec<String>,
    },
    /// A call of the AWS command-line interface: `aws SERVICE OPERATION`.
    AwsCli {
        /// Such as `ec2`. Not empty, and not starting with `-`.
        service: String,
        /// Such as `describe-instances`. Not empty, and not starting with `-`.
        operation: String,
        /// Further arguments. Default: none.
        #[serde(default)]
        args: Vec<String>,
        /// Passed as `--profile`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        /// Passed as `--region`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
    },
}

impl Command {
    /// A program and its arguments.
    pub fn exec<A: Into<String>>(
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self::Exec {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    /// A line for the default shell.
    pub fn shell(command: impl Into<String>) -> Self {
        Self::Shell {
            command: command.into(),
            shell: None,
        }
    }

    /// Checks what can be checked without looking at the file system.
    ///
    /// # Errors
    ///
    /// The first field that is empty where a text is due, holds a NUL byte, or, for an AWS service or
    /// operation, starts with `-`.
    pub fn validate(&self) -> Result<(), ValidationError> {
        match self {
            Self::Exec { program, args } => {
                check_text("command.program", program)?;
                check_args(args)
            }
            Self::Shell { command, shell } => {
                check_text("command.command", command)?;
                check_optional("command.shell", shell.as_deref())
            }
            Self::Script {
                path,
                interpreter,
                args,
            } => {
                check_text("command.path", &path.to_string_lossy())?;
                check_optional("command.interpreter", interpreter.as_deref())?;
                check_args(args)
            }
            Self::AwsCli {
                service,
                operation,
                args,
                profile,
                region,
            } => {
                check_aws_word("command.service", service)?;
                check_aws_word("command.operation", operation)?;
                check_optional("command.profile", profile.as_deref())?;
                check_optional("command.region", region.as_deref())?;
                check_args(args)
            }
        }
    }

    /// The command as one would type it, shell-quoted, without what a terminal would obey.
    pub(crate) fn display(&self) -> String {
        self.display_hiding(Cow::Borrowed)
    }

    /// The same without what `hide` takes out of each word, before it is quoted: quotes may come to stand within.
    pub(crate) fn display_hiding<'a>(&'a self, hide: impl Fn(&'a str) -> Cow<'a, str>) -> String {
        let words: Vec<&str> = match self {
            Self::Exec { program, args } => words([program.as_str()], args),
            Self::Shell { command, .. } => return quote::visible(&hide(command)),
            Self::Script {
                path,
                interpreter,
                args,
            } => {
                let path = path.to_str().unwrap_or_default();
                interpreter.as_deref().map_or_else(
                    || words([path], args),
                    |interpreter| words([interpreter, path], args),
                )
            }
            Self::AwsCli {
                service, operation, ..
            } => {
                let mut all = vec!["aws", service, operation];
                all.extend(self.aws_options());
                all
            }
        };
        let words: Vec<Cow<'_, str>> = words.into_iter().map(hide).collect();
        quote::quoted(words.iter().map(Cow::as_ref))
    }

    /// What follows service and operation on the AWS command line.
    pub(crate) fn aws_options(&self) -> Vec<&str> {
        let Self::AwsCli {
            args,
            profile,
            region,
            ..
        } = self
        else {
            return Vec::new();
        };
        let mut options = Vec::new();
        if let Some(profile) = profile {
            options.extend(["--profile", profile]);
        }
        if let Some(region) = region {
            options.extend(["--region", region]);
        }
        options.extend(args.iter().map(String::as_str));
        options
    }
}

fn words<'a, const N: usize>(first: [&'a str; N], args: &'a [String]) -> Vec<&'a str> {
    first
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect()
}

fn check_args(args: &[String]) -> Result<(), ValidationError> {
    args.iter()
        .enumerate()
        .try_for_each(|(i, arg)| check_nul(&format!("command.args[{i}]"), arg))
}

fn check_aws_word(field: &str, word: &str) -> Result<(), ValidationError> {
    check_text(field, word)?;
    if word.starts_with('-') {
        let found = format!("\"{word}\"");
        return Err(ValidationError::new(
            field,
            "a name that does not start with \"-\"",
            found,
        ));
    }
    Ok(())
}
