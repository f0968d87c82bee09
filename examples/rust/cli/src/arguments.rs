//! What was asked for on the command line, as a request or a plan.

use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use execution_engine::{Command, ExecutionPlan, ExecutionRequest, Stdin};

/// Runs commands, and passes on what they print.
///
/// Exits with 0, or with the code of the command (of a plan: of the first step that failed); 2 bad input, 124 timed out,
/// 127 not started, 128 + n ended by a signal, 130 interrupted.
#[derive(Parser)]
#[command(name = "execute", version)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs one command: a program and its arguments, or a line for a shell.
    Run(Run),
    /// Runs a plan.
    Plan(Plan),
}

#[derive(Args)]
struct Run {
    /// Ends it after so many seconds, such as 1.5.
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    timeout: Option<u64>,
    /// How long it may take to end when it is asked to, in seconds. By default 5.
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    grace: Option<u64>,
    /// The directory that it runs in.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// A variable of it.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The name of a variable whose value is not to be printed.
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// Passes on what is read from standard input.
    #[arg(long)]
    stdin: bool,
    /// A line for a shell, in place of a program.
    #[arg(
        long,
        value_name = "LINE",
        conflicts_with = "program",
        required_unless_present = "program"
    )]
    shell: Option<String>,
    /// The program and its arguments. No shell reads them.
    #[arg(trailing_var_arg = true)]
    program: Vec<String>,
}

#[derive(Args)]
struct Plan {
    /// A file with the plan in JSON, in the names of the crate (`depends_on`); `-` for standard input.
    file: PathBuf,
    /// Ends it after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    timeout: Option<u64>,
}

/// What is to be run.
pub enum What {
    Command(Box<ExecutionRequest>),
    Plan(Box<ExecutionPlan>),
}

impl Arguments {
    /// What they ask for; reads the file of a plan.
    pub fn read(self) -> Result<What, Box<dyn Error>> {
        match self.verb {
            Verb::Run(run) => Ok(What::Command(Box::new(run.into_request()))),
            Verb::Plan(Plan { file, timeout }) => {
                let plan =
                    read_plan(&file).map_err(|problem| format!("{}: {problem}", file.display()))?;
                Ok(What::Plan(Box::new(ExecutionPlan {
                    timeout_ms: timeout.or(plan.timeout_ms),
                    ..plan
                })))
            }
        }
    }
}

impl Run {
    fn into_request(self) -> ExecutionRequest {
        let mut words = self.program.into_iter();
        let command = match self.shell {
            Some(line) => Command::shell(line),
            None => Command::exec(words.next().unwrap_or_default(), words),
        };
        let env = self
            .env
            .into_iter()
            .map(|(name, value)| (name, Some(value)));
        ExecutionRequest {
            env: env.collect(),
            working_dir: self.cwd,
            timeout_ms: self.timeout,
            termination_grace_ms: self.grace,
            secret_env: self.secret_env,
            stdin: self.stdin.then(|| Stdin::reader(tokio::io::stdin())),
            ..ExecutionRequest::new(command)
        }
    }
}

fn read_plan(file: &Path) -> Result<ExecutionPlan, Box<dyn Error>> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file)?;
    }
    let from = &mut serde_json::Deserializer::from_str(&text);
    let plan = serde_path_to_error::deserialize(&mut *from)?;
    from.end()?;
    Ok(plan)
}

/// A number of seconds, in milliseconds.
fn milliseconds(text: &str) -> Result<u64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    let duration =
        std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    u64::try_from(duration.as_millis()).map_err(|error| error.to_string())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((parts.0.into(), parts.1.into()))
}
