//! What a request may say about its output, kept by real commands.

#![cfg(unix)]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Recorder, engine, engine_with, run, shell};
use execution_engine::{
    Command, EventHandler, ExecuteOptions, ExecutionConfig, ExecutionEngine, ExecutionError,
    ExecutionEvent, ExecutionPlan, ExecutionRequest, ExecutionResult, ExecutionStrategy,
    OutputBatch, OutputBytes, OutputChunk, OutputStream, ResultErrorCode, SplitOn, StderrTarget,
    StdoutTarget,
};

async fn run_with(
    engine: &ExecutionEngine,
    request: ExecutionRequest,
    handler: Arc<dyn EventHandler>,
) -> Arc<ExecutionResult> {
    let options = ExecuteOptions {
        handler: Some(handler),
        ..ExecuteOptions::default()
    };
    let id = engine.execute_with(request, options).await;
    let id = id.expect("an accepted request");
    engine.wait_for_completion(id).await.expect("a result")
}

/// Waits, in the shell, for a file.
fn until_there(file: &Path) -> String {
    format!("while ! [ -e '{}' ]; do sleep 0.01; done", file.display())
}

#[tokio::test]
async fn both_streams_in_one_pipe_keep_the_exact_order() {
    let (engine, _dir) = engine();
    let request = ExecutionRequest {
        stderr: StderrTarget::Stdout,
        ..shell("for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done")
    };
    let result = run(&engine, request).await;
    let lines: Vec<String> = (1..=9).map(|i| format!("o{i}\ne{i}\n")).collect();
    let expected = lines.concat();
    assert_eq!((&result.stdout, result.stderr.as_str()), (&expected, ""));
    assert_eq!(result.all(), expected);
}

#[tokio::test]
async fn what_is_ignored_is_nowhere_and_what_goes_to_a_file_is_only_there() {
    let (engine, dir) = engine();
    let file = dir.path().join("made/out");
    let request = ExecutionRequest {
        stdout: StdoutTarget::File(file.clone()),
        stderr: StderrTarget::Ignore,
        ..shell("printf 'a\\377'; echo err >&2")
    };
    let result = run(&engine, request).await;
    assert!(result.success, "{:?}", result.error);
    assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("", ""));
    assert_eq!((result.stdout_bytes, result.stderr_bytes), (2, 0));
    assert_eq!((result.truncated, &result.log_path), (false, &None));
    assert_eq!(std::fs::read(file).expect("a file"), b"a\xff");
}

#[tokio::test]
async fn a_relative_file_is_that_of_the_directory_of_the_command() {
    let (engine, dir) = engine();
    let request = ExecutionRequest {
        stdout: StdoutTarget::File("out".into()),
        working_dir: Some(dir.path().to_owned()),
        ..shell("echo here")
    };
    assert!(run(&engine, request).await.success);
    let written = std::fs::read_to_string(dir.path().join("out"));
    assert_eq!(written.expect("a file"), "here\n");
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_fails_the_start_and_the_same_file_for_both_is_refused() {
    let (engine, dir) = engine();
    let ran = dir.path().join("ran");
    let request = ExecutionRequest {
        stderr: StderrTarget::File(dir.path().to_owned()),
        ..shell(&format!("touch '{}'", ran.display()))
    };
    let result = run(&engine, request).await;
    assert_eq!(result.error_code, Some(ResultErrorCode::SpawnFailed));
    let error = result.error.as_deref().expect("an error");
    assert!(error.contains("its standard error to"), "{error}");
    assert!(!ran.exists());
    let same = ExecutionRequest {
        stdout: StdoutTarget::File("x".into()),
        stderr: StderrTarget::File("x".into()),
        ..shell("true")
    };
    let Err(ExecutionError::Validation(error)) = engine.execute(same).await else {
        panic!("expected a refusal");
    };
    assert_eq!(error.field, "stderr.file");
}

#[tokio::test]
async fn bytes_are_kept_where_that_is_asked_for_and_the_order_survives_json() {
    let (engine, dir) = engine();
    let go = dir.path().join("go");
    let command = format!("printf 'a\\377'; {}; printf b >&2", until_there(&go));
    let request = ExecutionRequest {
        keep_bytes: true,
        ..shell(&command)
    };
    let result = run_with(&engine, request, Arc::new(Chunks::touching(&go))).await;
    let bytes = OutputBytes {
        stdout: b"a\xff".to_vec(),
        stderr: b"b".to_vec(),
    };
    assert_eq!(result.bytes.as_ref(), Some(&bytes));
    assert_eq!(result.all(), "a\u{fffd}b");
    let json = serde_json::to_string(&*result).expect("JSON");
    let read: ExecutionResult = serde_json::from_str(&json).expect("a result");
    assert_eq!(read, *result);
    assert_eq!(run(&engine, shell("echo")).await.bytes, None);
}

/// Remembers the chunks and lines it is told, each with what it is.
#[derive(Default)]
struct Chunks {
    told: Mutex<Vec<(&'static str, OutputStream, Vec<u8>)>>,
    /// Made once there was a chunk.
    file: Option<std::path::PathBuf>,
}

impl Chunks {
    fn touching(file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..Self::default()
        }
    }

    fn note(&self, what: &'static str, stream: OutputStream, bytes: Vec<u8>) {
        let mut told = self.told.lock().expect("no panic");
        told.push((what, stream, bytes));
    }
}

#[async_trait]
impl EventHandler for Chunks {
    async fn on_event(&self, _event: ExecutionEvent) {}

    async fn on_output(&self, batch: OutputBatch) {
        self.note("lines", batch.stream, batch.bytes);
    }

    async fn on_bytes(&self, chunk: OutputChunk) {
        // Whoever does not return holds the reader back: the lines of this chunk come later.
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.note("chunk", chunk.stream, chunk.bytes);
        if let Some(file) = &self.file {
            std::fs::write(file, "").expect("a file");
        }
    }

    fn wants_bytes(&self, _stream: OutputStream) -> bool {
        true
    }
}

#[tokio::test]
async fn a_handler_is_told_of_chunks_where_it_wants_them_before_their_lines() {
    let (engine, _dir) = engine();
    let chunks = Arc::new(Chunks::default());
    // In one write, of which a shell might make two.
    let request = ExecutionRequest {
        stdin: Some(b"a\xff\nb".to_vec().into()),
        ..ExecutionRequest::new(Command::exec("cat", [""; 0]))
    };
    run_with(&engine, request, Arc::<Chunks>::clone(&chunks)).await;
    let told = chunks.told.lock().expect("no panic").clone();
    let stdout = OutputStream::Stdout;
    let expected = [
        ("chunk", stdout, b"a\xff\nb".to_vec()),
        ("lines", stdout, b"a\xff\n".to_vec()),
        ("lines", stdout, b"b\n".to_vec()),
    ];
    assert_eq!(told, expected);
    let (silent, _dir) = engine_with(ExecutionConfig {
        stream_output: false,
        ..ExecutionConfig::default()
    });
    let chunks = Arc::new(Chunks::default());
    run_with(&silent, shell("echo a"), Arc::<Chunks>::clone(&chunks)).await;
    assert_eq!(*chunks.told.lock().expect("no panic"), []);
}

fn lines(events: &[ExecutionEvent]) -> Vec<(&str, bool, bool)> {
    let told = events.iter().filter_map(|event| match event {
        ExecutionEvent::Stdout {
            line,
            partial,
            unfinished,
            ..
        } => Some((line.as_str(), *partial, *unfinished)),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn a_line_that_stays_unfinished_is_told_and_told_again_as_part_of_its_line() {
    let (engine, dir) = engine();
    let answered = dir.path().join("answered");
    let command = format!("printf 'Name: '; {}; echo x", until_there(&answered));
    let recorder = Arc::new(Recorder::default());
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        ..ExecuteOptions::default()
    };
    let id = engine.execute_with(shell(&command), options).await;
    recorder
        .wait_for(|events| lines(events) == [("Name: ", true, true)])
        .await;
    std::fs::write(answered, "").expect("a file");
    let result = engine.wait_for_completion(id.expect("an id")).await;
    assert_eq!(result.expect("a result").stdout, "Name: x\n");
    let expected = [("Name: ", true, true), ("Name: x", false, false)];
    assert_eq!(lines(&recorder.events()), expected);
}

#[tokio::test]
async fn a_last_line_without_its_end_is_told_once_while_the_other_stream_goes_on() {
    let (engine, _dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let command = "printf 'last'; exec >&-; sleep 0.5; echo more >&2";
    run_with(
        &engine,
        shell(command),
        Arc::<Recorder>::clone(&recorder) as _,
    )
    .await;
    assert_eq!(lines(&recorder.events()), [("last", false, false)]);
}

/// Wants no lines that are not finished.
struct Finished(Arc<Recorder>);

#[async_trait]
impl EventHandler for Finished {
    async fn on_event(&self, event: ExecutionEvent) {
        self.0.on_event(event).await;
    }

    fn wants_unfinished(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_handler_may_do_without_unfinished_lines() {
    let (engine, _dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let handler = Finished(Arc::<Recorder>::clone(&recorder));
    let command = "printf 'Name: '; sleep 0.4; echo x";
    run_with(&engine, shell(command), Arc::new(handler)).await;
    assert_eq!(lines(&recorder.events()), [("Name: x", false, false)]);
}

#[tokio::test]
async fn a_return_ends_a_line_where_that_is_asked_for() {
    let (engine, _dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let request = ExecutionRequest {
        split_on: SplitOn::CrOrLf,
        ..shell("printf '1\\r'; sleep 0.05; printf '\\n2\\r3\\r\\n'")
    };
    run_with(&engine, request, Arc::<Recorder>::clone(&recorder)).await;
    let told: Vec<String> = lines(&recorder.events())
        .into_iter()
        .map(|(line, ..)| line.to_owned())
        .collect();
    assert_eq!(told, ["1", "2", "3"]);
}

#[tokio::test]
async fn escape_sequences_are_left_out_of_result_log_and_overflow_where_that_is_asked_for() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_output_size_bytes: 6,
        oversized_output_strategy: execution_engine::OversizedOutputStrategy::StreamToFile,
        ..ExecutionConfig::default()
    });
    let request = ExecutionRequest {
        strip_ansi: true,
        ..shell("printf '\\033[31mred\\033[0m and \\033[1mbold\\033[0m\\n'")
    };
    let result = run(&engine, request).await;
    assert_eq!((result.stdout.as_str(), result.truncated), ("red an", true));
    let overflow = result.stdout_overflow_file.as_ref().expect("a file");
    assert_eq!(std::fs::read(overflow).expect("the rest"), b"d bold\n");
    let log = engine.read_logs(result.id, None).await.expect("a log");
    assert!(log.ends_with(" stdout F red and bold\n"), "{log}");
}

#[tokio::test]
async fn steps_of_a_plan_are_requests_as_well() {
    let (engine, dir) = engine();
    let file = dir.path().join("out");
    let plan = ExecutionPlan::new(
        ExecutionStrategy::Serial {
            stop_on_error: true,
        },
        vec![
            ExecutionRequest {
                stderr: StderrTarget::Stdout,
                color: true,
                ..shell("echo $FORCE_COLOR; echo b >&2")
            },
            ExecutionRequest {
                stdout: StdoutTarget::File(file.clone()),
                ..shell("echo a")
            },
        ],
    );
    let id = engine.execute_plan(plan).await.expect("an accepted plan");
    let result = engine.wait_for_plan(id).await.expect("a result");
    let printed: Vec<_> = result.results.iter().map(|step| step.all()).collect();
    assert_eq!(printed, ["1\nb\n", ""]);
    assert_eq!(std::fs::read_to_string(file).expect("a file"), "a\n");
}
