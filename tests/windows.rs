//! The promises of the crate on Windows, kept by real commands.
#![cfg(windows)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Recorder, engine, engine_with, run};
use execution_engine::{
    Command, ExecuteOptions, ExecutionConfig, ExecutionEngine, ExecutionError, ExecutionEvent,
    ExecutionRequest, ExecutionResult, ExecutionStatus, ResultErrorCode,
};

/// A line for `cmd.exe`.
fn cmd(line: &str) -> ExecutionRequest {
    ExecutionRequest::new(Command::Shell {
        command: line.into(),
        shell: Some("cmd".into()),
    })
}

/// A program of this test's own that runs for some seconds and prints nothing, by its path.
struct Sleeper(PathBuf);

impl Sleeper {
    fn new(dir: &Path) -> Self {
        let root = std::env::var("SystemRoot").expect("a system");
        let path = dir.join(format!("{}.exe", uuid::Uuid::new_v4()));
        std::fs::copy(Path::new(&root).join(r"system32\ping.exe"), &path).expect("a copy");
        Self(path)
    }

    fn line(&self, seconds: u32) -> String {
        format!("{} -n {} 127.0.0.1 >nul", self.0.display(), seconds + 1)
    }

    /// Nobody can write to a program that runs.
    fn runs(&self) -> bool {
        std::fs::OpenOptions::new()
            .write(true)
            .open(&self.0)
            .is_err()
    }

    async fn started(&self) {
        until(|| self.runs(), "a program that runs").await;
    }
}

async fn until(condition: impl Fn() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "expected {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn said(result: &ExecutionResult) -> (ExecutionStatus, Option<i64>, &str, &str) {
    (
        result.status,
        result.exit_code,
        result.stdout.as_str(),
        result.stderr.as_str(),
    )
}

#[tokio::test]
async fn a_result_holds_exactly_what_was_printed() {
    let (engine, _dir) = engine();
    let result = run(&engine, cmd("echo a b& echo c>&2& exit 3")).await;
    assert_eq!(
        said(&result),
        (ExecutionStatus::Failed, Some(3), "a b\r\n", "c\r\n")
    );
    assert_eq!(result.error.as_deref(), Some("exited with code 3"));
    assert!(!result.leftover_processes && !result.forced);
    let result = run(&engine, cmd("exit 0")).await;
    assert_eq!(said(&result), (ExecutionStatus::Completed, Some(0), "", ""));
}

#[tokio::test]
async fn an_exit_code_has_32_bits_and_no_sign() {
    let (engine, _dir) = engine();
    let result = run(&engine, cmd("exit -1")).await;
    assert_eq!(result.exit_code, Some(4_294_967_295));
    assert_eq!(result.error.as_deref(), Some("exited with code 4294967295"));
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_result_and_names_it() {
    let (engine, dir) = engine();
    let request = ExecutionRequest::new(Command::exec("no-such-program", [""; 0]));
    let result = run(&engine, request).await;
    assert_eq!(result.error_code, Some(ResultErrorCode::SpawnFailed));
    let error = result.error.as_deref().expect("an error");
    assert!(error.contains("no-such-program"), "{error}");
    let text = dir.path().join("text.exe");
    std::fs::write(&text, "no program").expect("a file");
    let request = ExecutionRequest::new(Command::exec(text.display().to_string(), [""; 0]));
    let result = run(&engine, request).await;
    assert_eq!(result.error_code, Some(ResultErrorCode::SpawnFailed));
    assert_eq!(result.pid, None);
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree() {
    let (engine, dir) = engine();
    let sleeper = Sleeper::new(dir.path());
    let request = ExecutionRequest {
        timeout_ms: Some(1_500),
        ..cmd(&format!("cmd /c \"{}\"", sleeper.line(60)))
    };
    let begun = Instant::now();
    let id = engine.execute(request).await.expect("accepted");
    sleeper.started().await;
    let result = engine.wait_for_completion(id).await.expect("known");
    assert_eq!(result.status, ExecutionStatus::Timeout);
    assert_eq!(
        (result.exit_code, result.signal.as_deref(), result.forced),
        (None, Some("SIGKILL"), true)
    );
    assert!(!sleeper.runs(), "still there");
    // Nothing can be asked to end, so nothing waits for the grace, which is five seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "took {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn cancel_resolves_once_nothing_is_left() {
    let (engine, dir) = engine();
    let [behind, before] = [Sleeper::new(dir.path()), Sleeper::new(dir.path())];
    let line = format!(
        "start /b cmd /c \"{}\" & {}",
        behind.line(60),
        before.line(60)
    );
    let id = engine.execute(cmd(&line)).await.expect("accepted");
    behind.started().await;
    before.started().await;
    engine.cancel(id).await.expect("a running execution");
    assert!(!behind.runs() && !before.runs(), "still there");
    let result = engine.get_result(id).await.expect("finished");
    assert_eq!(result.status, ExecutionStatus::Cancelled);
    let again = engine.cancel(id).await;
    assert!(matches!(again, Err(ExecutionError::AlreadyFinished(_))));
}

#[tokio::test]
async fn what_a_command_leaves_running_is_ended_with_it() {
    let (engine, dir) = engine();
    let sleeper = Sleeper::new(dir.path());
    let line = format!("start /b cmd /c \"{}\" & echo done", sleeper.line(60));
    let begun = Instant::now();
    let result = run(&engine, cmd(&line)).await;
    assert!(result.success, "{:?}", result.error);
    assert_eq!(result.stdout, "done\r\n");
    assert!(result.leftover_processes);
    assert!(!sleeper.runs(), "still there");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "took {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn keep_background_leaves_it_running() {
    let (engine, dir) = engine();
    let sleeper = Sleeper::new(dir.path());
    let request = ExecutionRequest {
        keep_background: true,
        ..cmd(&format!(
            "start /b cmd /c \"{} 2>nul\" >nul & exit 0",
            sleeper.line(5)
        ))
    };
    let result = run(&engine, request).await;
    assert!(
        result.success && !result.leftover_processes,
        "{:?}",
        result.error
    );
    sleeper.started().await;
    until(|| !sleeper.runs(), "its own end").await;
}

#[test]
fn a_runtime_that_ends_takes_its_executions_with_it() {
    let (engine, dir) = engine();
    let sleeper = Sleeper::new(dir.path());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let id = runtime.block_on(async {
        let id = engine
            .execute(cmd(&sleeper.line(60)))
            .await
            .expect("a slot");
        sleeper.started().await;
        id
    });
    drop(runtime);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(until(|| !sleeper.runs(), "its end"));
    let result = runtime
        .block_on(engine.wait_for_completion(id))
        .expect("known");
    assert_eq!(result.status, ExecutionStatus::Cancelled);
}

#[tokio::test]
async fn input_reaches_the_command_and_need_not_be_read() {
    let (engine, _dir) = engine();
    let lines: String = (0..20_000).map(|n| format!("line {n}\r\n")).collect();
    let request = ExecutionRequest {
        stdin: Some(lines.clone().into()),
        ..ExecutionRequest::new(Command::exec("find", ["line"]))
    };
    let result = run(&engine, request).await;
    assert_eq!(
        said(&result),
        (ExecutionStatus::Completed, Some(0), lines.as_str(), "")
    );
    let request = ExecutionRequest {
        stdin: Some(vec![b'x'; 1 << 20].into()),
        ..cmd("exit 0")
    };
    assert!(run(&engine, request).await.success);
    // Without input, what reads is at the end at once.
    let request = ExecutionRequest::new(Command::exec("find", ["line"]));
    assert_eq!(run(&engine, request).await.stdout, "");
}

#[tokio::test]
async fn every_byte_of_much_output_arrives() {
    let (engine, dir) = engine();
    let file = dir.path().join("much.txt");
    let much: String = (0..200_000).map(|n| format!("{n:08} é\n")).collect();
    std::fs::write(&file, &much).expect("a file");
    let result = run(&engine, cmd(&format!("type {}", file.display()))).await;
    assert!(result.success, "{:?}", result.error);
    assert_eq!(result.stdout_bytes, much.len() as u64);
    assert!(result.stdout == much);
}

#[tokio::test]
async fn lines_come_before_the_one_terminal_event() {
    let (engine, _dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        ..ExecuteOptions::default()
    };
    let id = engine
        .execute_with(cmd("echo one& echo two"), options)
        .await
        .expect("accepted");
    engine.wait_for_completion(id).await.expect("known");
    let events = recorder.events();
    let lines: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            ExecutionEvent::Stdout { line, .. } => Some(line.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(lines, ["one", "two"]);
    assert!(matches!(
        events.first(),
        Some(ExecutionEvent::Started { .. })
    ));
    assert!(matches!(events.last(), Some(ExecutionEvent::Completed(_))));
}

#[tokio::test]
async fn a_variable_replaces_the_one_that_differs_by_case_only() {
    let (engine, _dir) = engine();
    let mut request = cmd("echo %SYSTEMROOT%,%ESCHER_EXECUTION_ID%,%own%");
    request
        .env
        .insert("systemroot".into(), Some(r"C:\windows".into()));
    request.env.insert("Own".into(), Some("value".into()));
    let expected = format!("C:\\windows,{},value\r\n", request.id);
    let result = run(&engine, request).await;
    assert_eq!(result.stdout, expected);
    let mut request = cmd("echo %own%,%COMSPEC%");
    request.inherit_env = false.into();
    request.env.insert("own".into(), Some("value".into()));
    let result = run(&engine, request).await;
    assert!(result.stdout.starts_with("value,"), "{:?}", result);
}

#[tokio::test]
async fn a_command_runs_in_its_directory() {
    let (engine, dir) = engine();
    let inner = dir.path().join("with a space");
    std::fs::create_dir(&inner).expect("a directory");
    let request = ExecutionRequest {
        working_dir: Some(inner.clone()),
        ..cmd("cd")
    };
    let result = run(&engine, request).await;
    let printed = result.stdout.trim_end().to_lowercase();
    assert!(printed.ends_with("with a space"), "{printed}");
    let request = ExecutionRequest {
        working_dir: Some(dir.path().join("none")),
        ..cmd("cd")
    };
    let refused = engine.execute(request).await.expect_err("refused");
    assert_eq!(refused.field(), Some("working_dir"));
}

/// A batch file that prints its arguments, one a line, between brackets.
fn batch(dir: &Path, name: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    let text = "@echo off\r\n:next\r\nif [%1]==[] exit /b 7\r\necho [%1]\r\nshift\r\ngoto next\r\n";
    std::fs::write(&path, text).expect("a batch file");
    path
}

#[tokio::test]
async fn a_program_is_found_by_the_extensions_of_pathext() {
    let (engine, dir) = engine();
    batch(dir.path(), "tool.cmd");
    std::fs::write(dir.path().join("tool"), "for another system").expect("a file");
    let path = std::env::var("PATH").expect("a PATH");
    let mut request = ExecutionRequest::new(Command::exec("tool", ["one", "two"]));
    request.env.insert(
        "Path".into(),
        Some(format!("{};{path}", dir.path().display())),
    );
    let result = run(&engine, request).await;
    assert_eq!(result.stdout, "[one]\r\n[two]\r\n", "{:?}", result.error);
    assert_eq!(result.exit_code, Some(7));
}

#[tokio::test]
async fn nothing_in_an_argument_for_a_batch_file_is_a_command() {
    let (engine, dir) = engine();
    let path = batch(dir.path(), "tool.bat").display().to_string();
    let marker = dir.path().join("injected");
    let injection = format!("\" & echo injected>{} & \"", marker.display());
    let redirection = format!("a>{}", marker.display());
    for hostile in [
        injection.as_str(),
        "a & b | c",
        redirection.as_str(),
        "a^b",
        "(a)",
    ] {
        let request = ExecutionRequest::new(Command::exec(path.clone(), [hostile]));
        let result = run(&engine, request).await;
        assert!(!marker.exists(), "{hostile} was run");
        assert!(result.started_at.is_some(), "{:?}", result.error);
    }
    let request = ExecutionRequest::new(Command::exec(path, ["fine", "two\nlines"]));
    let refused = engine.execute(request).await.expect_err("refused");
    assert_eq!(
        (refused.code(), refused.field()),
        ("VALIDATION", Some("command.args[1]"))
    );
}

#[tokio::test]
async fn scripts_run_by_their_extension() {
    let (engine, dir) = engine();
    let script = |path| {
        ExecutionRequest::new(Command::Script {
            path,
            interpreter: None,
            args: vec!["an argument".into()],
        })
    };
    let result = run(&engine, script(batch(dir.path(), "script.cmd"))).await;
    assert_eq!(result.stdout, "[\"an argument\"]\r\n", "{:?}", result.error);
    let unknown = dir.path().join("script.unknown");
    std::fs::write(&unknown, "what").expect("a file");
    let refused = engine.execute(script(unknown)).await.expect_err("refused");
    assert_eq!(refused.field(), Some("command.interpreter"));
    let line = cmd("echo one\necho two");
    let refused = engine.execute(line).await.expect_err("refused");
    assert_eq!(refused.field(), Some("command.command"));
}

#[tokio::test]
async fn the_log_holds_every_line_and_outlives_the_engine() {
    let (engine, dir) = engine();
    let result = run(&engine, cmd("echo one& echo two")).await;
    let path = result.log_path.as_ref().expect("a log");
    let log = std::fs::read_to_string(path).expect("the log");
    let mut printed = String::new();
    for entry in log.split_terminator('\n') {
        let mut fields = entry.splitn(4, ' ').skip(2);
        let tag = fields.next().expect("a tag");
        printed.push_str(fields.next().expect("a line"));
        if tag == "F" {
            printed.push('\n');
        }
    }
    assert_eq!(printed, result.stdout);
    let later = ExecutionEngine::new(ExecutionConfig {
        log_dir: dir.path().join("logs"),
        ..ExecutionConfig::default()
    });
    let later = later.expect("a valid configuration");
    assert_eq!(
        later.read_logs(result.id, None).await.expect("the log"),
        log
    );
}

#[tokio::test]
async fn many_run_at_once_and_leave_nothing_open() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 20,
        max_queued_executions: 100,
        log_output: false,
        ..ExecutionConfig::default()
    });
    let mut ids = Vec::new();
    for n in 0..60 {
        let request = cmd(&format!("echo {n}"));
        ids.push(engine.execute(request).await.expect("accepted"));
    }
    for (n, id) in ids.into_iter().enumerate() {
        let result = engine.wait_for_completion(id).await.expect("known");
        assert_eq!(result.stdout, format!("{n}\r\n"), "{:?}", result.error);
        assert!(!result.leftover_processes);
    }
    assert_eq!(engine.running_count(), 0);
}
