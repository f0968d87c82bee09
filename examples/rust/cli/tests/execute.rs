//! The promises of the program, kept by running it.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(30);

fn execute(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_execute"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    execute(arguments).output().expect("it runs")
}

/// The exit code, and what was printed to both streams.
fn ended(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = output(arguments);
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

fn code(arguments: &[&str]) -> Option<i32> {
    output(arguments).status.code()
}

/// A plan in a file of its own.
fn plan(json: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(json.as_bytes()).expect("written");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("text")
}

/// A number of seconds to sleep that marks a process: nobody else sleeps just that long.
fn mark() -> String {
    format!("600.{:09}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000)
}

fn lives(mark: &str) -> bool {
    let list = Command::new("ps")
        .args(["-A", "-o", "args="])
        .output()
        .expect("a list")
        .stdout;
    // The program itself has it among its arguments.
    let list = String::from_utf8_lossy(&list).into_owned();
    list.lines()
        .any(|line| line.contains(mark) && !line.contains("execute run"))
}

/// Running, with its first line read. Killed when it is dropped, with what it has started.
struct Running {
    child: Child,
    lines: Option<BufReader<std::process::ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    fn with(arguments: &[&str], first: &str) -> Self {
        let mut child = execute(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let lines = child.stdout.take().map(BufReader::new);
        let mut running = Self { child, lines };
        assert_eq!(running.line(), format!("{first}\n"));
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let lines = self.lines.as_mut().expect("a pipe");
        lines.read_line(&mut line).expect("a line");
        line
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("kill");
        assert!(sent.success());
    }

    fn end(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begin.elapsed() <= PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn what_a_command_prints_is_passed_on_stream_by_stream() {
    let (code, stdout, stderr) = ended(&["run", "--shell", "seq 5000; echo no >&2; exit 7"]);
    let expected: String = (1..=5000).map(|n| n.to_string() + "\n").collect();
    assert_eq!((code, stdout, stderr), (Some(7), expected, "no\n".into()));
    assert_eq!(
        ended(&["run", "--", "printf", "%s|", "a b", "-c"]).1,
        "a b|-c|\n"
    );
}

#[test]
fn a_line_is_there_before_the_command_has_ended() {
    let mut running = Running::with(&["run", "--shell", "echo first; sleep 600"], "first");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn a_question_is_there_before_its_line_is_finished_and_told_once() {
    let line = "printf 'name? '; read name; echo \"hello $name\"";
    let mut child = execute(&["run", "--stdin", "--shell", line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut question = [0; 6];
    stdout.read_exact(&mut question).expect("a question");
    assert_eq!(&question, b"name? ");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"you\n").expect("written");
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "hello you\n");
    assert!(child.wait().expect("a child").success());
}

#[test]
fn it_ends_as_the_command_did() {
    assert_eq!(code(&["run", "--", "true"]), Some(0));
    assert_eq!(code(&["run", "--shell", "exit 42"]), Some(42));
    assert_eq!(code(&["run", "--shell", "kill -9 $$"]), Some(137));
    let (code, _, stderr) = ended(&["run", "--", "no-such-program"]);
    assert_eq!(code, Some(127));
    assert!(stderr.contains("no-such-program"), "{stderr}");
}

#[test]
fn bad_input_is_2_and_says_what_is_wrong() {
    assert_eq!(code(&["run"]), Some(2));
    assert_eq!(code(&["fly"]), Some(2));
    let (code, _, stderr) = ended(&["run", "--cwd", "/no/such/directory", "--", "true"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("working_dir"), "{stderr}");
    for (json, fault) in [
        ("{", "EOF"),
        (
            r#"{ "steps": { "a": { "command": { "type": "exec" } } } }"#,
            "program",
        ),
        (
            r#"{ "steps": { "a": { "command": { "type": "exec", "program": "true" }, "depends_on": ["b"] } } }"#,
            "steps.a.depends_on",
        ),
        (r#"{ "steps": {} } more"#, "trailing"),
    ] {
        let file = plan(json);
        let (code, _, stderr) = ended(&["plan", path(&file)]);
        assert_eq!(code, Some(2), "{json}");
        assert!(stderr.contains(fault), "{fault}: {stderr}");
    }
    let (code, _, stderr) = ended(&["plan", "/no/such/plan.json"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/no/such/plan.json"), "{stderr}");
}

#[test]
fn a_deadline_is_124_and_leaves_nothing() {
    let mark = mark();
    let line = format!("sleep {mark} & sleep {mark}");
    let (code, _, stderr) = ended(&["run", "--timeout", "0.3", "--shell", &line]);
    assert_eq!(code, Some(124));
    assert!(stderr.contains("execute: "), "{stderr}");
    assert!(!lives(&mark));
}

#[test]
fn a_deadline_is_kept_while_nobody_reads() {
    let begin = Instant::now();
    let mut child = execute(&["run", "--timeout", "0.5", "--shell", "yes"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let unread = child.stdout.take();
    assert_eq!(child.wait().expect("a child").code(), Some(124));
    assert!(begin.elapsed() < PATIENCE);
    drop(unread);
}

#[test]
fn ctrl_c_is_130_and_leaves_nothing() {
    let mark = mark();
    let line = format!("echo ready; sleep {mark} & sleep {mark}");
    let mut running = Running::with(&["run", "--shell", &line], "ready");
    assert!(lives(&mark));
    running.signal("INT");
    assert_eq!(running.end().code(), Some(130));
    assert!(!lives(&mark));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_grace() {
    let mark = mark();
    let line = format!("trap 'echo deaf' INT TERM; echo ready; while :; do sleep {mark}; done");
    let mut running = Running::with(&["run", "--grace", "600", "--shell", &line], "ready");
    running.signal("INT");
    assert_eq!(running.line(), "deaf\n");
    running.signal("INT");
    assert_eq!(running.end().code(), Some(130));
    assert!(!lives(&mark));
}

#[test]
fn killed_it_leaves_nothing() {
    let mark = mark();
    let line = format!("echo ready; setsid sleep {mark} & sleep {mark}");
    let mut running = Running::with(&["run", "--shell", &line], "ready");
    running.signal("KILL");
    running.end();
    let begin = Instant::now();
    while lives(&mark) {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nobody_reading_ends_the_command() {
    let mut running = Running::with(&["run", "--shell", "echo ready; yes"], "ready");
    running.lines = None;
    assert_eq!(running.end().code(), Some(141));
}

#[test]
fn a_secret_of_a_variable_is_not_printed() {
    let arguments = [
        "run",
        "--env",
        "KEY=hunter2hunter2",
        "--secret-env",
        "KEY",
        "--shell",
        "echo $KEY",
    ];
    assert_eq!(ended(&arguments).1, "***\n");
}

#[test]
fn the_steps_of_a_plan_run_in_their_order_and_their_lines_say_whose_they_are() {
    let file = plan(
        r#"{ "steps": {
            "build": { "command": { "type": "shell", "command": "echo built" } },
            "test": { "command": { "type": "shell", "command": "echo tested" }, "depends_on": ["build"] }
        } }"#,
    );
    let (code, stdout, stderr) = ended(&["plan", path(&file)]);
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(0), "build | built\ntest | tested\n", "")
    );
}

#[test]
fn a_plan_ends_as_the_first_step_that_failed() {
    let file = plan(
        r#"{ "strategy": { "type": "serial" }, "commands": [
            { "command": { "type": "shell", "command": "exit 9" } },
            { "command": { "type": "shell", "command": "echo never" } }
        ] }"#,
    );
    let (code, stdout, stderr) = ended(&["plan", path(&file)]);
    assert_eq!((code, stdout.as_str()), (Some(9), ""));
    assert!(stderr.contains("exit 9"), "{stderr}");
}

#[test]
fn a_plan_can_be_timed_out_and_interrupted_as_a_whole() {
    let mark = mark();
    let file = plan(&format!(
        r#"{{ "steps": {{
            "one": {{ "command": {{ "type": "shell", "command": "echo ready; sleep {mark}" }} }},
            "two": {{ "command": {{ "type": "shell", "command": "sleep {mark}" }} }}
        }} }}"#
    ));
    assert_eq!(code(&["plan", "--timeout", "0.3", path(&file)]), Some(124));
    let mut running = Running::with(&["plan", path(&file)], "one | ready");
    running.signal("INT");
    assert_eq!(running.end().code(), Some(130));
    assert!(!lives(&mark));
}
