//! From what a user asks for to what the operating system is told: the program found, the script's interpreter,
//! the arguments, the environment; and the checks that need the file system.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::ValidationError;
use crate::process::environment::{Assignment, Environment, Variables};
use crate::process::{ENGINE_MARK, EXECUTION_MARK, Invocation, guardian, is_executable};
use crate::request::{Command, ExecutionRequest};

/// Where programs are looked for when the child has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Why a request does not become an invocation.
#[derive(Debug)]
pub(crate) enum Unresolved {
    /// The request is refused.
    Invalid(ValidationError),
    /// The request is accepted, and fails: the program cannot be started.
    Unstartable(String),
}

impl From<ValidationError> for Unresolved {
    fn from(error: ValidationError) -> Self {
        Self::Invalid(error)
    }
}

/// Resolves a request whose fields have been checked.
pub(crate) fn resolve(
    request: &ExecutionRequest,
    environment: &Environment,
    guarded: bool,
) -> Result<Invocation, Unresolved> {
    let base = working_dir(request, environment)?;
    let variables = variables(request, environment, guarded);
    let path = variables.value("PATH");
    let search = Search {
        path: path.as_deref(),
        base: &base,
    };
    let words = words(&request.command, &search)?;
    Ok(Invocation {
        program: search.find(&words[0]).map_err(Unresolved::Unstartable)?,
        variables,
        words,
        working_dir: needs_chdir(&base).then_some(base),
        stdin: request.stdin.is_some(),
        guarded,
        files: 0,
    })
}

/// Checks what is refused after a look at the file system, for a request that is resolved only later.
pub(crate) fn check_files(
    request: &ExecutionRequest,
    environment: &Environment,
) -> Result<(), ValidationError> {
    let base = working_dir(request, environment)?;
    if matches!(request.command, Command::Script { .. }) {
        let path = variables(request, environment, false).value("PATH");
        let search = Search {
            path: path.as_deref(),
            base: &base,
        };
        words(&request.command, &search)?;
    }
    Ok(())
}

fn working_dir(
    request: &ExecutionRequest,
    environment: &Environment,
) -> Result<PathBuf, ValidationError> {
    let inherited = environment.working_dir().unwrap_or(Path::new(""));
    let Some(asked) = &request.working_dir else {
        return Ok(inherited.to_owned());
    };
    let dir = inherited.join(asked);
    let found = match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => return Ok(dir),
        Ok(_) => format!("\"{}\", which is not a directory", dir.display()),
        Err(error) => format!("\"{}\": {}", dir.display(), describe(&error)),
    };
    Err(ValidationError::new(
        "working_dir",
        "a directory that exists",
        found,
    ))
}

/// A child in the host's own directory inherits it, also where its path cannot be walked.
fn needs_chdir(dir: &Path) -> bool {
    !dir.as_os_str().is_empty() && std::env::current_dir().ok().as_deref() != Some(dir)
}

fn variables(request: &ExecutionRequest, environment: &Environment, guarded: bool) -> Variables {
    let mut own: Vec<_> = request
        .env
        .iter()
        // The marks are the engine's.
        .filter(|(name, _)| *name != EXECUTION_MARK && *name != ENGINE_MARK)
        .map(|(name, value)| Assignment::new(name.as_ref(), value.as_ref()))
        .collect();
    let id = request.id.to_string();
    own.push(Assignment::new(EXECUTION_MARK.as_ref(), id.as_ref()));
    if guarded {
        let id = guardian::engine_id();
        own.push(Assignment::new(ENGINE_MARK.as_ref(), id.as_ref()));
    }
    // A mark of an engine around this one is not inherited: each engine looks after its own.
    let is_hidden = |variable: &Assignment| {
        variable.name() == ENGINE_MARK.as_bytes()
            || own.iter().any(|own| own.name() == variable.name())
    };
    let inherited = environment.variables().iter().enumerate();
    let hidden = inherited
        .filter(|(_, variable)| is_hidden(variable))
        .map(|(index, _)| index);
    Variables {
        hidden: hidden.collect(),
        inherited: request.inherit_env.then(|| environment.clone()),
        own,
    }
}

/// Where programs are found: on the child's `PATH`, seen from the child's directory.
struct Search<'a> {
    path: Option<&'a OsStr>,
    base: &'a Path,
}

impl Search<'_> {
    fn find(&self, program: &OsStr) -> Result<PathBuf, String> {
        let shown = program.display();
        if program.as_encoded_bytes().contains(&b'/') {
            let path = self.base.join(program);
            return match path.metadata() {
                Err(error) => Err(format!(
                    "program not started: \"{shown}\": {}",
                    describe(&error)
                )),
                Ok(found) if found.is_dir() => {
                    Err(format!("program not started: \"{shown}\" is a directory"))
                }
                Ok(_) => Ok(path),
            };
        }
        let path = self.path.unwrap_or(OsStr::new(DEFAULT_PATH));
        let mut unusable = None;
        for dir in std::env::split_paths(path) {
            let candidate = self.base.join(dir).join(program);
            if candidate.is_file() {
                if is_executable(&candidate) {
                    return Ok(candidate);
                }
                unusable.get_or_insert(candidate);
            }
        }
        Err(match unusable {
            Some(found) => format!(
                "program not started: \"{}\" is not executable",
                found.display()
            ),
            None => format!(
                "program not found: \"{shown}\" is in no directory of PATH, \"{}\"",
                path.display()
            ),
        })
    }

    fn has(&self, program: &str) -> bool {
        self.find(OsStr::new(program)).is_ok()
    }

    /// `bash`, and `sh` where there is no bash.
    fn default_shell(&self) -> &'static str {
        if self.has("bash") { "bash" } else { "sh" }
    }
}

/// Program and arguments. The program is not yet found.
fn words(command: &Command, search: &Search<'_>) -> Result<Vec<OsString>, ValidationError> {
    Ok(match command {
        Command::Exec { program, args } => sequence([program], args),
        Command::Shell { command, shell } => {
            let shell = shell.as_deref().unwrap_or_else(|| search.default_shell());
            sequence([shell, "-c", command], [""; 0])
        }
        Command::Script {
            path,
            interpreter,
            args,
        } => {
            let mut words = script(path, interpreter.as_deref(), search)?;
            words.extend(args.iter().map(OsString::from));
            words
        }
        Command::AwsCli {
            service, operation, ..
        } => sequence(["aws", service, operation], command.aws_options()),
    })
}

fn sequence<S: AsRef<OsStr>, T: AsRef<OsStr>>(
    first: impl IntoIterator<Item = S>,
    rest: impl IntoIterator<Item = T>,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = first.into_iter().map(|word| word.as_ref().into()).collect();
    words.extend(rest.into_iter().map(|word| word.as_ref().into()));
    words
}

fn script(
    path: &Path,
    interpreter: Option<&str>,
    search: &Search<'_>,
) -> Result<Vec<OsString>, ValidationError> {
    let full = search.base.join(path);
    let start = read_start(&full).map_err(|found| {
        ValidationError::new("command.path", "a script file that can be read", found)
    })?;
    let startable = |interpreter: &OsStr| {
        search.find(interpreter).map_err(|found| {
            ValidationError::new(
                "command.interpreter",
                "an interpreter that can be started",
                found,
            )
        })
    };
    let mut words = match interpreter {
        Some(interpreter) => vec![interpreter.into()],
        None if start.starts_with(b"#!") && is_executable(&full) => {
            // The system reads the line itself, but would blame the script for an interpreter that is missing.
            if let Some(line) = shebang(&start) {
                startable(&line[0])?;
            }
            return Ok(vec![full.into()]);
        }
        None if start.starts_with(b"\x7fELF") => {
            let found = format!("\"{}\", which is a binary program", full.display());
            return Err(ValidationError::new("command.path", "a script", found));
        }
        None => shebang(&start).unwrap_or_else(|| vec![by_extension(path, search).into()]),
    };
    startable(&words[0])?;
    words.push(full.into());
    Ok(words)
}

/// The first bytes of a script: enough for a `#!` line, which the kernel cuts at 256.
fn read_start(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let metadata = path
        .metadata()
        .map_err(|error| format!("\"{shown}\": {}", describe(&error)))?;
    if !metadata.is_file() {
        return Err(format!("\"{shown}\", which is not a regular file"));
    }
    let mut start = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(256).read_to_end(&mut start))
        .map_err(|error| format!("\"{shown}\": {}", describe(&error)))?;
    Ok(start)
}

/// The interpreter of a `#!` line and its one argument, as the kernel reads them.
fn shebang(start: &[u8]) -> Option<Vec<OsString>> {
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let (interpreter, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let words = [interpreter, argument.trim()]
        .into_iter()
        .filter(|word| !word.is_empty());
    let words: Vec<OsString> = words.map(OsString::from).collect();
    (!words.is_empty()).then_some(words)
}

fn by_extension(path: &Path, search: &Search<'_>) -> &'static str {
    match path.extension().and_then(OsStr::to_str) {
        Some("py") => "python3",
        Some("js" | "cjs" | "mjs") => "node",
        Some("rb") => "ruby",
        Some("pl") => "perl",
        Some("ps1") => "pwsh",
        Some("zsh") => "zsh",
        Some("bash") => "bash",
        Some("sh") => "sh",
        _ => search.default_shell(),
    }
}

/// An error of the operating system without its number.
fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}
