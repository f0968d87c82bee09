//! From what a user asks for to what the operating system is told: the program found, the script's interpreter,
//! the arguments, the environment; and the checks that need the file system.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::api::command::Command;
use crate::api::error::ValidationError;
use crate::api::inherit::{InheritEnv, User};
use crate::api::output::{StderrTarget, StdoutTarget};
use crate::api::request::{ExecutionRequest, StopSignal};
use crate::api::stdin::Stdin;
use crate::api::validate::same_target;
use crate::process::environment::{Assignment, Environment, Variables, is_same_name};
use crate::process::program::{self, Forms};
use crate::process::{
    self, Account, Attributes, EXECUTION_ID, HAS_ATTRIBUTES, Invocation, MAX_EXIT_CODE, Outlet,
    account, can_be_input, is_at, tag,
};
use crate::state::login;

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
    check_system(request)?;
    let base = working_dir(request, environment)?;
    let serial = tag::next_serial();
    let account = account(request)?;
    let variables = variables(request, environment, serial, account.as_ref());
    let search = Search::of_child(&variables, &base);
    let words = words(&request.command, &search)?;
    let program = search.find(&words[0]).map_err(Unresolved::Unstartable)?;
    check_words(&request.command, &program, &words)?;
    // A path from the root leads there from everywhere.
    let is_complete = request.working_dir.is_some() && base.is_absolute();
    let directory = environment.directory().filter(|_| !is_complete);
    let outlets = outlets(request, &base)?;
    let stays = request.working_dir.is_none() && (directory.is_some() || is_at(&base));
    let stdin = input(request, &base)?;
    Ok(Invocation {
        program,
        variables,
        words,
        directory,
        working_dir: (!stays).then_some(base),
        stdin,
        attributes: Attributes {
            umask: request.umask,
            nice: request.nice,
            account: account.filter(|account| !account::is_of_host(account)),
        },
        outlets,
        serial,
        guarded,
        files: 0,
    })
}

/// Where the output streams lead. Files are seen from the directory of the child.
fn outlets(request: &ExecutionRequest, base: &Path) -> Result<[Outlet; 2], ValidationError> {
    check_targets(request, base)?;
    let stdout = match &request.stdout {
        StdoutTarget::Capture => Outlet::Pipe,
        StdoutTarget::Ignore => Outlet::Null,
        StdoutTarget::File(path) => Outlet::File(base.join(path)),
    };
    let stderr = match &request.stderr {
        StderrTarget::Capture => Outlet::Pipe,
        StderrTarget::Ignore => Outlet::Null,
        StderrTarget::Stdout => Outlet::Stdout,
        StderrTarget::File(path) => Outlet::File(base.join(path)),
    };
    Ok([stdout, stderr])
}

/// Two streams into one file would each empty it, and overwrite what the other has written there.
fn check_targets(request: &ExecutionRequest, base: &Path) -> Result<(), ValidationError> {
    match [request.stdout.file(), request.stderr.file()] {
        [Some(stdout), Some(stderr)] if is_same_place(&base.join(stdout), &base.join(stderr)) => {
            Err(same_target())
        }
        _ => Ok(()),
    }
}

/// Whether two paths lead to one file, which need not be there yet.
fn is_same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let parent = path.parent()?.canonicalize().ok()?;
            Some(parent.join(path.file_name()?))
        })
    };
    one == other || place(one).is_some_and(|found| place(other) == Some(found))
}

/// Checks what is refused after a look at the file system, for a request that is resolved only later. Not what it reads:
/// an earlier step of its plan may write that.
pub(crate) fn check_files(
    request: &ExecutionRequest,
    environment: &Environment,
) -> Result<(), ValidationError> {
    let base = working_dir(request, environment)?;
    account(request)?;
    check_targets(request, &base)?;
    // Where a stop came before the `PATH` was read, it is not known what is on it, and nothing is started.
    let has_path = request.inherit_env != InheritEnv::Login || login::is_known();
    if has_path && matches!(request.command, Command::Script { .. }) {
        let variables = variables(request, environment, 0, None);
        words(&request.command, &Search::of_child(&variables, &base))?;
    }
    Ok(())
}

/// Checks what one system has and another has not.
pub(crate) fn check_system(request: &ExecutionRequest) -> Result<(), ValidationError> {
    if !process::can_ask_with(stop_signal(request.stop_signal)) {
        let expected = "SIGTERM: no process is asked to end on this system";
        let found = request.stop_signal.as_str();
        return Err(ValidationError::new("stop_signal", expected, found));
    }
    let success = request.success_exit_codes.iter().flatten();
    check_exit_codes("success_exit_codes", success)?;
    let retried = request
        .retry
        .iter()
        .flat_map(|retry| retry.exit_codes.iter().flatten());
    check_exit_codes("retry.exit_codes", retried)
}

/// Checks that commands may exit with these codes.
fn check_exit_codes<'a>(
    field: &str,
    codes: impl Iterator<Item = &'a u64>,
) -> Result<(), ValidationError> {
    match codes.enumerate().find(|(_, code)| **code > MAX_EXIT_CODE) {
        Some((index, code)) => Err(ValidationError::new(
            format!("{field}[{index}]"),
            format!("an exit code, 0 to {MAX_EXIT_CODE}"),
            code.to_string(),
        )),
        None => Ok(()),
    }
}

/// What asks the processes of a request to end.
pub(super) fn stop_signal(asked: StopSignal) -> process::StopSignal {
    match asked {
        StopSignal::Terminate => process::StopSignal::Terminate,
        StopSignal::Interrupt => process::StopSignal::Interrupt,
        StopSignal::HangUp => process::StopSignal::HangUp,
        StopSignal::Quit => process::StopSignal::Quit,
    }
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

/// What the command reads. A file is opened when the command is started, and has to be one by now.
fn input(request: &ExecutionRequest, base: &Path) -> Result<process::Stdin, ValidationError> {
    let file = match &request.stdin {
        None => return Ok(process::Stdin::Nothing),
        Some(Stdin::File(file)) => base.join(file),
        Some(_) => return Ok(process::Stdin::Pipe),
    };
    let shown = file.display();
    let found = match file.metadata() {
        Ok(found) if found.is_dir() => format!("\"{shown}\", which is a directory"),
        Ok(found) if !can_be_input(&found) => {
            format!("\"{shown}\", which is a pipe or a socket")
        }
        Ok(_) => return Ok(process::Stdin::File(file)),
        Err(error) => format!("\"{shown}\": {}", describe(&error)),
    };
    let expected = "a file that can be read";
    Err(ValidationError::new("stdin.file", expected, found))
}

/// The user that it runs as, if that was asked for, and whether what it is to be can be had here.
fn account(request: &ExecutionRequest) -> Result<Option<Account>, ValidationError> {
    let asked = [
        ("umask", request.umask.map(|umask| umask.to_string())),
        ("nice", request.nice.map(|nice| nice.to_string())),
        ("user", request.user.as_ref().map(User::to_string)),
    ];
    for (field, found) in asked {
        if let Some(found) = found.filter(|_| !HAS_ATTRIBUTES) {
            let expected = "none, as it is not available on this system";
            return Err(ValidationError::new(field, expected, found));
        }
    }
    let Some(user) = &request.user else {
        return Ok(None);
    };
    let found = match user {
        User::Id(id) => account::by_id(*id),
        User::Name(name) => account::by_name(name),
    };
    let found = match found {
        Ok(Some(account)) => return Ok(Some(account)),
        Ok(None) => user.to_string(),
        Err(error) => format!("{user}: {error}"),
    };
    let expected = "a user that the system knows";
    Err(ValidationError::new("user", expected, found))
}

pub(super) fn variables(
    request: &ExecutionRequest,
    environment: &Environment,
    serial: u64,
    account: Option<&Account>,
) -> Variables {
    let own = request
        .env
        .iter()
        .filter_map(|(name, value)| Some(Assignment::new(name.as_ref(), value.as_ref()?.as_ref())));
    // The tags are the engine's, and those of the engines around it.
    let mut own: Vec<_> = own.filter(|own| !tag::is_tag(own)).collect();
    own.retain(|own| !own.is_named(EXECUTION_ID.as_bytes()));
    let is_asked_for = |name: &str| {
        request
            .env
            .keys()
            .any(|asked| is_same_name(asked.as_bytes(), name.as_bytes()))
    };
    let login = (request.inherit_env == InheritEnv::Login).then(login::path);
    let of_user = account.map(|account| {
        [
            ("HOME", account.home.as_os_str()),
            ("USER", &account.name),
            ("LOGNAME", &account.name),
        ]
    });
    let of_login = login.flatten().map(|path| ("PATH", path));
    for (name, value) in of_login.into_iter().chain(of_user.into_iter().flatten()) {
        if !is_asked_for(name) {
            own.push(Assignment::new(name.as_ref(), value));
        }
    }
    let id = request.id.to_string();
    own.push(Assignment::new(EXECUTION_ID.as_ref(), id.as_ref()));
    own.push(tag::assignment(serial));
    own.extend_from_slice(tag::outer());
    if request.color {
        let inherited = environment.variables().iter();
        let inherited = inherited.filter(|one| is_inherited(&request.inherit_env, one));
        let asked = color_variables(inherited).filter(|(name, _)| !is_asked_for(name));
        own.extend(asked.map(|(name, value)| Assignment::new(name.as_ref(), value.as_ref())));
    }
    let removed = request.env.iter().filter(|(_, value)| value.is_none());
    let removed: Vec<_> = removed.map(|(name, _)| name).collect();
    let is_hidden = |variable: &Assignment| {
        let is_no_color = request.color && variable.is_named(b"NO_COLOR");
        is_no_color
            || tag::is_tag(variable)
            || own.iter().any(|own| own.is_named(variable.name()))
            || removed
                .iter()
                .any(|name| variable.is_named(name.as_bytes()))
            || !is_inherited(&request.inherit_env, variable)
    };
    let inherited = environment.variables().iter().enumerate();
    let hidden = inherited
        .filter(|(_, variable)| is_hidden(variable))
        .map(|(index, _)| index);
    Variables {
        hidden: hidden.collect(),
        inherited: (request.inherit_env != InheritEnv::None).then(|| environment.clone()),
        own,
    }
}

fn is_inherited(inherits: &InheritEnv, variable: &Assignment) -> bool {
    match inherits {
        InheritEnv::All | InheritEnv::Login => true,
        InheritEnv::None => false,
        InheritEnv::Names(names) => names.iter().any(|name| variable.fits(name)),
    }
}

/// What makes programs print colors into a pipe.
fn color_variables<'a>(
    mut inherited: impl Iterator<Item = &'a Assignment>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let has_terminal = inherited.any(|variable| {
        variable.is_named(b"TERM") && !matches!(variable.value(), Some("" | "dumb"))
    });
    let terminal = (!has_terminal).then_some(("TERM", "xterm-256color"));
    let forced = [("FORCE_COLOR", "1"), ("CLICOLOR_FORCE", "1")];
    forced.into_iter().chain(terminal)
}

/// Where programs are found: on the child's `PATH`, seen from the child's directory.
struct Search<'a> {
    path: OsString,
    forms: Forms,
    base: &'a Path,
}

impl<'a> Search<'a> {
    fn of_child(variables: &Variables, base: &'a Path) -> Self {
        Self {
            path: variables
                .value("PATH")
                .unwrap_or_else(program::default_path),
            forms: Forms::of_child(variables),
            base,
        }
    }

    fn find(&self, program: &OsStr) -> Result<PathBuf, String> {
        let shown = program.display();
        if program::is_path(program) {
            let forms = self.forms.of(self.base.join(program));
            if let Some(path) = forms.iter().find(|form| form.is_file()) {
                return Ok(path.clone());
            }
            return match forms[0].metadata() {
                Err(error) => Err(format!(
                    "program not started: \"{shown}\": {}",
                    describe(&error)
                )),
                Ok(found) if found.is_dir() => {
                    Err(format!("program not started: \"{shown}\" is a directory"))
                }
                Ok(_) => Ok(forms[0].clone()),
            };
        }
        let mut unusable = None;
        for dir in std::env::split_paths(&self.path) {
            for candidate in self.forms.of(self.base.join(dir).join(program)) {
                if candidate.is_file() {
                    if program::is_executable(&candidate) {
                        return Ok(candidate);
                    }
                    unusable.get_or_insert(candidate);
                }
            }
        }
        Err(match unusable {
            Some(found) => format!(
                "program not started: \"{}\" is not executable",
                found.display()
            ),
            // The directories themselves may be hundreds, and are told to nobody who did not ask.
            None => match std::env::split_paths(&self.path).count() {
                1 => format!("program not found: \"{shown}\" is not in the one directory of PATH"),
                dirs => format!(
                    "program not found: \"{shown}\" is in none of the {dirs} directories of PATH"
                ),
            },
        })
    }

    fn has(&self, program: &str) -> bool {
        self.find(OsStr::new(program)).is_ok()
    }
}

/// Program and arguments. The program is not yet found.
fn words(command: &Command, search: &Search<'_>) -> Result<Vec<OsString>, ValidationError> {
    Ok(match command {
        Command::Exec { program, args } => sequence([program], args),
        Command::Shell { command, shell } => {
            let default = || program::default_shell(|name| search.has(name));
            program::shell_words(shell.as_deref().unwrap_or_else(default), command)
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
        Some(interpreter) => program::interpreter_named(interpreter),
        None if start.starts_with(b"#!") && program::is_executable(&full) => {
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
        None => shebang(&start)
            .map(|line| program::interpreter_of_line(&line))
            .map_or_else(|| by_extension(path, search), Ok)?,
    };
    if words.is_empty() {
        return Ok(vec![full.into()]);
    }
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

fn by_extension(path: &Path, search: &Search<'_>) -> Result<Vec<OsString>, ValidationError> {
    let extension = path.extension().and_then(OsStr::to_str);
    program::interpreter_of_extension(extension, |name| search.has(name)).ok_or_else(|| {
        let shown = path.display();
        ValidationError::new(
            "command.interpreter",
            "the name of an interpreter",
            format!("none, and neither a #! line nor a known extension in \"{shown}\""),
        )
    })
}

/// Checks that every word can be passed to the program as it is.
fn check_words(
    command: &Command,
    program: &Path,
    words: &[OsString],
) -> Result<(), ValidationError> {
    let Some((index, expected)) = program::refused_word(program, words) else {
        return Ok(());
    };
    let args = match command {
        Command::Shell { .. } => 0,
        Command::Exec { args, .. }
        | Command::Script { args, .. }
        | Command::AwsCli { args, .. } => args.len(),
    };
    let field = match (command, index.checked_sub(words.len() - args)) {
        (Command::Shell { .. }, _) => "command.command".into(),
        (_, Some(arg)) => format!("command.args[{arg}]"),
        (_, None) => "command".into(),
    };
    let found = format!("\"{}\"", words[index].display());
    Err(ValidationError::new(&field, expected, found))
}

/// An error of the operating system without its number.
fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}
