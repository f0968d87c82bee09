//! The promises of the crate to its users, kept by real commands.

#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Recorder, engine, engine_with, mark, run, shell, survivors};
use execution_engine::{
    Command, EventHandler, ExecuteOptions, ExecutionConfig, ExecutionEngine, ExecutionError,
    ExecutionEvent, ExecutionFilter, ExecutionPlan, ExecutionRequest, ExecutionStatus,
    ExecutionStrategy, OutputBatch, OversizedOutputStrategy, ResultErrorCode,
};

/// Starts an execution whose events are kept.
async fn execute_recorded(
    engine: &ExecutionEngine,
    request: ExecutionRequest,
) -> (uuid::Uuid, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        ..ExecuteOptions::default()
    };
    let id = engine.execute_with(request, options).await;
    (id.expect("an accepted request"), recorder)
}

#[tokio::test]
async fn a_result_holds_exactly_what_was_printed() {
    let (engine, _dir) = engine();
    let result = run(
        &engine,
        shell("printf 'a\\n\\nb'; printf 'c\\r\\n' >&2; exit 3"),
    )
    .await;
    assert_eq!(
        (result.stdout.as_str(), result.stderr.as_str()),
        ("a\n\nb", "c\r\n")
    );
    assert_eq!((result.stdout_bytes, result.stderr_bytes), (4, 3));
    assert_eq!(
        (result.status, result.exit_code),
        (ExecutionStatus::Failed, Some(3))
    );
    assert_eq!(result.error.as_deref(), Some("exited with code 3"));
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_result_and_names_it() {
    let (engine, _dir) = engine();
    let result = run(
        &engine,
        ExecutionRequest::new(Command::exec("no-such-program", [""; 0])),
    )
    .await;
    assert_eq!(result.error_code, Some(ResultErrorCode::SpawnFailed));
    assert!(
        result
            .error
            .as_deref()
            .expect("an error")
            .contains("no-such-program")
    );
    assert_eq!((result.pid, result.started_at), (None, None));
}

#[tokio::test]
async fn a_program_that_is_not_found_is_told_with_the_number_of_directories_and_not_with_their_names()
 {
    let (engine, _dir) = engine();
    let cases = [
        (
            "/no/one:/no/two:/no/three",
            "is in none of the 3 directories of PATH",
        ),
        ("/no/one", "is not in the one directory of PATH"),
    ];
    for (path, expected) in cases {
        let mut request = ExecutionRequest::new(Command::exec("no-such-program", [""; 0]));
        request.env.insert("PATH".into(), Some(path.into()));
        let error = run(&engine, request).await.error.clone().expect("an error");
        assert_eq!(
            error,
            format!("program not found: \"no-such-program\" {expected}")
        );
    }
}

#[test]
fn a_line_has_room_for_the_longest_character() {
    let limited = |max_line_size_bytes| {
        ExecutionEngine::new(ExecutionConfig {
            max_line_size_bytes,
            ..ExecutionConfig::default()
        })
    };
    for bytes in 0..4 {
        let error = limited(bytes).expect_err("too little");
        assert_eq!(error.field(), Some("max_line_size_bytes"));
        let text = error.to_string();
        assert!(
            text.contains("expected an integer of at least 4, found"),
            "{text}"
        );
    }
    assert!(limited(4).is_ok());
}

#[tokio::test]
async fn a_start_that_fails_says_what_was_wrong() {
    use std::os::unix::fs::PermissionsExt;
    let (engine, dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 1,
        max_queued_executions: 1,
        ..ExecutionConfig::default()
    });
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        ExecutionRequest::new(Command::exec(path.display().to_string(), [""; 0]))
    };
    let gone = dir.path().join("gone");
    std::fs::create_dir(&gone).expect("a directory");
    let remove = shell(&format!("sleep 0.1; rmdir '{}'", gone.display()));
    let id = engine.execute(remove).await.expect("a slot");
    let in_gone = ExecutionRequest {
        working_dir: Some(gone.clone()),
        ..shell("true")
    };
    let cases = [
        (
            in_gone,
            format!("its working directory \"{}\": No such file", gone.display()),
        ),
        (
            file("no-interpreter", "#!/no/such\n"),
            "the interpreter or loader that it names: No such file".into(),
        ),
        (
            file("no-first-line", "echo\n"),
            "nor a script that begins with #!".into(),
        ),
        (
            ExecutionRequest::new(Command::exec("echo", ["x".repeat(3_000_000)])),
            "Argument list too long".into(),
        ),
    ];
    for (request, expected) in cases {
        let result = run(&engine, request).await;
        assert_eq!(result.error_code, Some(ResultErrorCode::SpawnFailed));
        let error = result.error.as_deref().expect("an error");
        assert!(error.contains(&expected), "{error}");
    }
    assert!(
        engine
            .get_result(id)
            .await
            .expect("a finished execution")
            .success
    );
}

#[tokio::test]
async fn a_signal_is_reported_as_one() {
    let (engine, _dir) = engine();
    let result = run(&engine, shell("kill -KILL $$")).await;
    assert_eq!(
        (result.exit_code, result.signal.as_deref()),
        (None, Some("SIGKILL"))
    );
    assert_eq!(result.status, ExecutionStatus::Failed);
}

#[tokio::test]
async fn a_timeout_is_never_a_success_even_with_exit_code_zero() {
    let (engine, _dir) = engine();
    let request = ExecutionRequest {
        timeout_ms: Some(200),
        ..shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    };
    let result = run(&engine, request).await;
    assert_eq!(
        (result.status, result.exit_code),
        (ExecutionStatus::Timeout, Some(0))
    );
    assert!(!result.success && !result.forced);
}

#[tokio::test]
async fn what_ignores_the_request_to_end_is_killed_after_the_grace() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        termination_grace_ms: 200,
        ..ExecutionConfig::default()
    });
    is_killed_early(&engine, None).await;
}

#[tokio::test]
async fn the_grace_of_a_request_goes_before_that_of_the_configuration() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        termination_grace_ms: 60_000,
        ..ExecutionConfig::default()
    });
    is_killed_early(&engine, Some(200)).await;
    assert_eq!(engine.config().termination_grace_ms, 60_000);
}

async fn is_killed_early(engine: &ExecutionEngine, termination_grace_ms: Option<u64>) {
    let mark = mark();
    let request = ExecutionRequest {
        timeout_ms: Some(100),
        termination_grace_ms,
        ..shell(&format!("trap '' TERM; sleep {mark} & wait; sleep {mark}"))
    };
    let begun = Instant::now();
    let result = run(engine, request).await;
    assert_eq!(result.status, ExecutionStatus::Timeout);
    assert!(result.forced);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(survivors(&mark), [0; 0]);
    assert_eq!(result.survivors, [0; 0]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_takes_its_time_to_end_is_asked_once() {
    let (engine, _dir) = engine();
    let slow = "trap \"echo asked\" TERM; echo ready; for i in $(seq 20); do sleep 0.05; done";
    // Their leader ends at once, before both of them.
    let line = format!("sh -c '{slow}' & setsid sh -c '{slow}' & wait");
    let request = ExecutionRequest {
        timeout_ms: Some(400),
        ..shell(&line)
    };
    let result = run(&engine, request).await;
    assert_eq!(
        (result.status, result.forced),
        (ExecutionStatus::Timeout, false)
    );
    assert_eq!(result.stdout.matches("ready").count(), 2);
    assert_eq!(
        result.stdout.matches("asked").count(),
        2,
        "{}",
        result.stdout
    );
}

#[tokio::test]
async fn a_background_process_that_holds_the_output_does_not_hold_the_result() {
    let (engine, _dir) = engine();
    let mark = mark();
    let begun = Instant::now();
    let result = run(&engine, shell(&format!("sleep {mark} & echo done"))).await;
    assert_eq!(result.stdout, "done\n");
    assert!(result.success && result.leftover_processes);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "took {:?}",
        begun.elapsed()
    );
    assert_eq!(survivors(&mark), [0; 0]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_leaves_the_group_is_found_and_ended() {
    let (engine, _dir) = engine();
    let mark = mark();
    let request = shell(&format!("setsid sleep {mark} & sleep {mark}"));
    let id = engine.execute(request).await.expect("an accepted request");
    while survivors(&mark).len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.cancel(id).await.expect("a running execution");
    assert_eq!(survivors(&mark), [0; 0]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_left_quietly_is_found_within_a_second() {
    let (engine, _dir) = engine();
    let mark = mark();
    let line = format!("setsid sleep {mark} >/dev/null 2>&1 & exit 0");
    let result = run(&engine, shell(&line)).await;
    assert!(result.success);
    let deadline = Instant::now() + Duration::from_secs(1);
    while !survivors(&mark).is_empty() {
        assert!(
            Instant::now() < deadline,
            "still there: {:?}",
            survivors(&mark)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_runs_at_the_lowest_priority_does_not_stay_either() {
    let (engine, _dir) = engine();
    let mark = mark();
    let lowest = format!("env -i nice -n 19 sleep {mark} >/dev/null 2>&1 &");
    // Until it is there and has its priority.
    let ready = "until grep -qz ^sleep /proc/$!/cmdline; do :; done";
    assert!(
        run(&engine, shell(&format!("{lowest} {ready}")))
            .await
            .success
    );
    let deadline = Instant::now() + Duration::from_secs(1);
    while !survivors(&mark).is_empty() {
        assert!(Instant::now() < deadline, "still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_whose_first_thread_has_ended_is_found() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        termination_grace_ms: 200,
        ..ExecutionConfig::default()
    });
    let script = "import ctypes, os
print(os.getpid(), flush=True)
os.setsid()
for fd in range(3): os.close(fd)
c = ctypes.CDLL(None)
c.pthread_create(ctypes.byref(ctypes.c_ulong()), None, c.pause, None)
c.pthread_exit(None)";
    let ended = "until grep -q State:.Z /proc/$!/status; do :; done";
    let line = format!("python3 -c '{script}' & {ended}");
    let result = run(&engine, shell(&line)).await;
    let threads = format!("/proc/{}/task", result.stdout.trim());
    let deadline = Instant::now() + Duration::from_secs(2);
    while std::fs::read_dir(&threads).is_ok_and(|threads| threads.count() > 1) {
        assert!(Instant::now() < deadline, "still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_is_found_whatever_its_command_does_when_it_leaves() {
    let (engine, _dir) = engine();
    let mark = mark();
    for pause in 0..60 {
        let daemon = format!(
            "fork and exit; close STDIN; close STDOUT; close STDERR;
             select undef, undef, undef, {pause} / 20_000; POSIX::setsid(); exec 'sleep', '{mark}'"
        );
        let request = ExecutionRequest::new(Command::exec("perl", ["-MPOSIX", "-e", &daemon]));
        assert!(run(&engine, request).await.success);
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    while !survivors(&mark).is_empty() {
        let found = survivors(&mark);
        assert!(Instant::now() < deadline, "still there: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_tree_that_forks_faster_than_it_can_be_looked_at_is_ended() {
    let (engine, dir) = engine_with(ExecutionConfig {
        termination_grace_ms: 200,
        ..ExecutionConfig::default()
    });
    let lock = dir.path().join("lock");
    let lock = lock.display();
    // Each process starts the next and ends; the lock is held as long as one of them lives, 20 seconds at most.
    let chain = "$SIG{TERM} = $SIG{CHLD} = q(IGNORE); $end = time + 20; while (time < $end) { fork and exit }";
    let line = format!("exec 9>{lock}; flock 9; exec perl -e '{chain}'");
    assert!(run(&engine, shell(&line)).await.success);
    let free = run(&engine, shell(&format!("flock -w 5 {lock} true"))).await;
    assert!(free.success, "{:?}", free.error);
}

#[cfg(target_os = "linux")]
#[test]
fn what_left_quietly_is_found_also_when_another_runtime_ends() {
    let (engine, _dir) = engine();
    let mark = mark();
    let runtimes = [(); 2].map(|()| tokio::runtime::Runtime::new().expect("a runtime"));
    let [first, second] = runtimes;
    // Its end begins the wait for a look, on its runtime.
    first.block_on(run(&engine, shell("true")));
    let gone = "until grep -qz ^sleep /proc/$!/cmdline; do :; done";
    let line = format!("setsid sleep {mark} >/dev/null 2>&1 & {gone}");
    second.block_on(run(&engine, shell(&line)));
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(2);
    while !survivors(&mark).is_empty() {
        assert!(Instant::now() < deadline, "still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn keep_background_leaves_it_running() {
    let (engine, _dir) = engine();
    let mark = mark();
    let request = ExecutionRequest {
        keep_background: true,
        ..shell(&format!("sleep {mark} >/dev/null 2>&1 & exit 0"))
    };
    let result = run(&engine, request).await;
    assert!(result.success && !result.leftover_processes);
    // It closes the output before it becomes `sleep`, and in the middle of that it has no command line.
    let deadline = Instant::now() + Duration::from_secs(5);
    while survivors(&mark).is_empty() {
        assert!(Instant::now() < deadline, "it was ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let kept = survivors(&mark);
    assert_eq!(kept.len(), 1);
    // What another execution left is looked for, and ended.
    let other = common::mark();
    let leave = if cfg!(target_os = "linux") {
        "setsid"
    } else {
        ""
    };
    let left = shell(&format!("{leave} sleep {other} >/dev/null 2>&1 & exit 0"));
    assert!(run(&engine, left).await.success);
    while !survivors(&other).is_empty() {
        assert!(Instant::now() < deadline, "the other is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(survivors(&mark), kept);
    let kill = format!("kill -KILL {}", kept[0]);
    run(&engine, shell(&kill)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_could_not_be_ended_is_named() {
    let (engine, _dir) = engine();
    let mark = mark();
    // A tracer that has stopped keeps what it traces from vanishing, also once it was killed. It leaves the execution.
    let path = format!("PATH={}", std::env::var("PATH").expect("a PATH"));
    let args = [
        "-i",
        &path,
        "strace",
        "-DDD",
        "-o",
        "/dev/null",
        "sleep",
        &mark,
    ];
    let request = ExecutionRequest {
        termination_grace_ms: Some(100),
        ..ExecutionRequest::new(Command::exec("env", args))
    };
    let (id, recorder) = execute_recorded(&engine, request).await;
    let start_of = |event: &ExecutionEvent| match event {
        ExecutionEvent::Started { pid, .. } => Some(*pid),
        _ => None,
    };
    recorder
        .wait_for(|events| events.iter().any(|event| start_of(event).is_some()))
        .await;
    let pid = recorder
        .events()
        .iter()
        .find_map(start_of)
        .expect("a start");
    let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(10);
    let tracer = loop {
        assert!(Instant::now() < deadline, "is strace installed?");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let status = read("status");
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:\t"));
        match tracer {
            Some(tracer) if tracer != "0" && read("cmdline").starts_with("sleep") => {
                break tracer.to_owned();
            }
            _ => {}
        }
    };
    run(&engine, shell(&format!("kill -STOP {tracer}"))).await;
    engine.cancel(id).await.expect("a known execution");
    let result = engine.wait_for_completion(id).await;
    run(&engine, shell(&format!("kill -KILL {tracer}"))).await;
    let result = result.expect("a known execution");
    assert_eq!(
        (result.status, &result.survivors[..]),
        (ExecutionStatus::Cancelled, &[pid][..])
    );
    let error = result.error.as_deref().unwrap_or_default();
    assert!(error.contains(&format!("[{pid}]")), "{error}");
}

#[tokio::test]
async fn a_second_cancel_does_not_wait_for_the_grace() {
    let (engine, _dir) = engine();
    let request = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    let (id, recorder) = execute_recorded(&engine, request).await;
    let printed = |event: &ExecutionEvent| matches!(event, ExecutionEvent::Stdout { .. });
    recorder.wait_for(|events| events.iter().any(printed)).await;
    let begun = Instant::now();
    let (first, second) = tokio::join!(engine.cancel(id), engine.cancel(id));
    assert!(first.is_ok() && second.is_ok());
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "took {:?}",
        begun.elapsed()
    );
    let result = engine.get_result(id).await.expect("a finished execution");
    assert_eq!(
        (result.status, result.forced),
        (ExecutionStatus::Cancelled, true)
    );
    assert!(matches!(
        engine.cancel(id).await,
        Err(ExecutionError::AlreadyFinished(_))
    ));
}

#[tokio::test]
async fn lines_come_before_the_one_terminal_event() {
    let recorder = Arc::new(Recorder::default());
    let (engine, _dir) = engine();
    let engine = engine.with_event_handler(Arc::<Recorder>::clone(&recorder));
    run(&engine, shell("seq 1 2000")).await;
    let events = recorder.events();
    assert!(matches!(
        events.first(),
        Some(ExecutionEvent::Started { .. })
    ));
    assert!(matches!(events.last(), Some(ExecutionEvent::Completed(_))));
    let lines: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            ExecutionEvent::Stdout { line, .. } => Some(line.as_str()),
            _ => None,
        })
        .collect();
    let expected: Vec<String> = (1..=2000).map(|n| n.to_string()).collect();
    assert_eq!(lines, expected);
    assert_eq!(events.len(), 2002);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_last_line_is_delivered_also_where_the_output_is_held_open_after_a_forced_end() {
    let recorder = Arc::new(Recorder::default());
    let (engine, _dir) = engine_with(ExecutionConfig {
        drain_max_ms: 200,
        ..ExecutionConfig::default()
    });
    let engine = engine.with_event_handler(Arc::<Recorder>::clone(&recorder));
    let mark = mark();
    let request = ExecutionRequest {
        keep_background: true,
        timeout_ms: Some(700),
        ..shell(&format!(
            "setsid sleep {mark} & printf unfinished; sleep {mark}"
        ))
    };
    let result = run(&engine, request).await;
    for kept in survivors(&mark) {
        run(&engine, shell(&format!("kill -KILL {kept}"))).await;
    }
    assert_eq!(result.status, ExecutionStatus::Timeout);
    assert_eq!(result.error.as_deref(), Some("timed out after 700 ms"));
    let is_line = |event: &ExecutionEvent| matches!(event, ExecutionEvent::Stdout { line, .. } if line == "unfinished");
    assert!(recorder.events().iter().any(is_line));
}

struct Stuck;

#[async_trait::async_trait]
impl EventHandler for Stuck {
    async fn on_event(&self, _event: ExecutionEvent) {
        std::future::pending::<()>().await;
    }
}

struct Panicking;

#[async_trait::async_trait]
impl EventHandler for Panicking {
    async fn on_event(&self, event: ExecutionEvent) {
        assert!(!matches!(event, ExecutionEvent::Started { .. }), "meant");
    }
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_execution_and_whoever_waits_is_told() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 1,
        ..ExecutionConfig::default()
    });
    let recorder = Arc::new(Recorder::default());
    let engine = engine.with_event_handler(Arc::clone(&recorder) as _);
    let mark = mark();
    let options = ExecuteOptions {
        handler: Some(Arc::new(Panicking)),
        ..ExecuteOptions::default()
    };
    let request = shell(&format!("sleep {mark}"));
    let id = engine.execute_with(request, options).await.expect("an id");
    let result = engine.wait_for_completion(id).await.expect("a result");
    assert_eq!(result.status, ExecutionStatus::Failed);
    assert!(result.error.as_deref().expect("a reason").contains("panic"));
    let ends: Vec<_> = recorder
        .events()
        .into_iter()
        .filter(|event| !matches!(event, ExecutionEvent::Started { .. }))
        .collect();
    assert!(matches!(&ends[..], [ExecutionEvent::Failed(ended)] if ended.result == result));
    let end = Instant::now() + Duration::from_secs(5);
    while !survivors(&mark).is_empty() {
        assert!(Instant::now() < end, "it is still running");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The slot is free again.
    assert!(run(&engine, shell("true")).await.success);
}

/// Takes its time for each batch, and notes when it begins and when it is done.
struct Slow {
    name: &'static str,
    notes: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Slow {
    async fn take(&self, what: &str) {
        let note = |step| {
            let note = format!("{} {what} {step}", self.name);
            self.notes.lock().expect("no panic").push(note);
        };
        note("begins");
        tokio::time::sleep(Duration::from_millis(2)).await;
        note("is done");
    }
}

#[async_trait::async_trait]
impl EventHandler for Slow {
    async fn on_event(&self, _event: ExecutionEvent) {}

    async fn on_output(&self, _batch: OutputBatch) {
        self.take("batch").await;
    }

    async fn flush(&self) {
        self.take("flush").await;
    }
}

#[tokio::test]
async fn the_handler_of_the_engine_and_that_of_the_call_are_both_waited_for() {
    let (engine, _dir) = engine();
    let notes = Arc::default();
    let slow = |name| Slow {
        name,
        notes: Arc::clone(&notes),
    };
    let engine = engine.with_event_handler(Arc::new(slow("engine")));
    let options = ExecuteOptions {
        handler: Some(Arc::new(slow("call"))),
        ..ExecuteOptions::default()
    };
    let print = shell("for i in 1 2 3 4 5; do seq 20000; sleep 0.01; done");
    let id = engine.execute_with(print, options).await.expect("an id");
    let result = engine.wait_for_completion(id).await.expect("a result");
    assert!(result.success);
    // Nothing is read, and the end is not told, before both are done with what was read before.
    let notes: Vec<String> = notes.lock().expect("no panic").clone();
    assert!(notes.len() >= 5 * 4, "{notes:?}");
    for (turn, notes) in notes.chunks(4).enumerate() {
        let whats: &[&str] = &["batch", "flush"];
        let what = whats.iter().find(|what| notes[0].contains(*what));
        let what = what.expect("one of them");
        let expected = ["engine", "call"]
            .map(|name| ["begins", "is done"].map(|step| format!("{name} {what} {step}")))
            .concat();
        assert_eq!(notes, expected, "turn {turn}");
    }
    assert_eq!(notes.last().map(String::as_str), Some("call flush is done"));
}

#[tokio::test]
async fn a_step_that_was_removed_leaves_its_id_to_an_execution_that_outlives_the_plan() {
    let (engine, dir) = engine();
    let go = dir.path().join("go");
    let wait = format!("until [ -e '{}' ]; do sleep 0.01; done", go.display());
    let plan = ExecutionPlan::new(
        ExecutionStrategy::Serial {
            stop_on_error: true,
        },
        vec![shell("true"), shell(&wait)],
    );
    let (plan_id, step_id) = (plan.id, plan.steps.iter().next().expect("a step").id());
    engine.execute_plan(plan).await.expect("an accepted plan");
    let step = engine.wait_for_completion(step_id).await;
    assert!(step.expect("a known step").success);
    engine
        .remove_execution(step_id)
        .await
        .expect("a finished step");
    let successor = ExecutionRequest {
        id: step_id,
        ..shell("sleep 60")
    };
    engine.execute(successor).await.expect("a free id");
    std::fs::write(&go, "").expect("a file");
    engine.wait_for_plan(plan_id).await.expect("a known plan");
    engine
        .remove_execution(plan_id)
        .await
        .expect("a finished plan");
    let status = engine.get_status(step_id).await.expect("it is known");
    assert!(!status.is_terminal());
    engine.cancel(step_id).await.expect("it runs");
}

#[tokio::test]
async fn a_deadline_is_kept_while_a_handler_hangs() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        drain_max_ms: 300,
        ..ExecutionConfig::default()
    });
    let engine = engine.with_event_handler(Arc::new(Stuck));
    let begun = Instant::now();
    let request = ExecutionRequest {
        timeout_ms: Some(200),
        ..shell("yes")
    };
    let result = run(&engine, request).await;
    assert_eq!(result.status, ExecutionStatus::Timeout);
    assert!(
        result
            .error
            .as_deref()
            .expect("a note")
            .contains("callback")
    );
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "took {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn input_reaches_the_command_and_need_not_be_read() {
    let (engine, _dir) = engine();
    let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let request = ExecutionRequest {
        stdin: Some(text.clone().into()),
        ..shell("md5sum; exec >&- 2>&-")
    };
    assert!(run(&engine, request).await.success);
    let unread = ExecutionRequest {
        stdin: Some(text.into()),
        ..shell("sleep 0.1")
    };
    assert!(run(&engine, unread).await.success);
    let nothing = run(&engine, shell("cat")).await;
    assert!(nothing.success && nothing.stdout.is_empty());
}

#[tokio::test]
async fn closing_both_streams_is_not_the_end() {
    let (engine, _dir) = engine();
    let begun = Instant::now();
    let result = run(&engine, shell("exec >&- 2>&-; sleep 0.3; exit 7")).await;
    assert_eq!(result.exit_code, Some(7));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn over_the_limit_the_strategy_decides() {
    let limited = |oversized_output_strategy| {
        engine_with(ExecutionConfig {
            max_output_size_bytes: 1000,
            oversized_output_strategy,
            ..ExecutionConfig::default()
        })
    };
    let print = "head -c 5000 /dev/zero | tr '\\0' x";

    let (engine, _dir) = limited(OversizedOutputStrategy::TruncateWithWarning);
    let result = run(&engine, shell(print)).await;
    assert!(result.success && result.truncated);
    let (kept, warning) = result.stdout.split_once('\n').expect("a line of warning");
    assert_eq!((kept.len(), result.stdout_bytes), (1000, 5000));
    assert!(warning.contains("5000 bytes"));

    let (engine, _dir) = limited(OversizedOutputStrategy::StreamToFile);
    let result = run(&engine, shell(print)).await;
    let file = result
        .stdout_overflow_file
        .as_ref()
        .expect("an overflow file");
    assert_eq!(std::fs::read(file).expect("its content").len(), 4000);
    assert_eq!((result.stdout.len(), result.success), (1000, true));

    let (engine, _dir) = limited(OversizedOutputStrategy::FailExecution);
    let result = run(&engine, shell("yes")).await;
    assert_eq!(result.error_code, Some(ResultErrorCode::OutputSizeExceeded));
    assert_eq!(
        (result.status, result.stdout.len()),
        (ExecutionStatus::Failed, 1000)
    );
}

#[tokio::test]
async fn the_log_holds_every_byte_and_outlives_the_engine() {
    let (engine, dir) = engine();
    let result = run(
        &engine,
        shell("printf 'one\\ntwo'; sleep 0.05; printf ' more\\n'"),
    )
    .await;
    let path = engine.get_log_path(result.id);
    assert_eq!(result.log_path.as_ref(), Some(&path));
    let log = std::fs::read_to_string(&path).expect("the log");
    let mut printed = String::new();
    for entry in log.lines() {
        let mut fields = entry.splitn(4, ' ');
        let time = fields.next().expect("a time");
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
        assert_eq!(fields.next(), Some("stdout"));
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
    let silent = run(&engine, shell("true")).await;
    assert_eq!(silent.log_path, None);
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_is_started() {
    let (engine, _dir) = engine();
    let refused = [
        (
            ExecutionRequest::new(Command::exec("", [""; 0])),
            "command.program",
        ),
        (
            ExecutionRequest::new(Command::exec("echo", ["a", "b\0c"])),
            "command.args[1]",
        ),
        (shell("  "), "command.command"),
        (
            ExecutionRequest {
                timeout_ms: Some(0),
                ..shell("true")
            },
            "timeout_ms",
        ),
        (
            ExecutionRequest {
                timeout_ms: Some(u64::MAX),
                ..shell("true")
            },
            "timeout_ms",
        ),
        (
            ExecutionRequest {
                termination_grace_ms: Some(0),
                ..shell("true")
            },
            "termination_grace_ms",
        ),
        (
            ExecutionRequest {
                termination_grace_ms: Some(1 << 53),
                ..shell("true")
            },
            "termination_grace_ms",
        ),
        (
            ExecutionRequest {
                working_dir: Some("/no/such".into()),
                ..shell("true")
            },
            "working_dir",
        ),
        (
            ExecutionRequest {
                env: [("A=B".to_owned(), Some(String::new()))].into(),
                ..shell("true")
            },
            "env.A=B",
        ),
        (
            ExecutionRequest::new(Command::Script {
                path: "/no/such.sh".into(),
                interpreter: None,
                args: Vec::new(),
            }),
            "command.path",
        ),
        (
            ExecutionRequest::new(Command::AwsCli {
                service: "-x".into(),
                operation: "list".into(),
                args: Vec::new(),
                profile: None,
                region: None,
            }),
            "command.service",
        ),
    ];
    for (request, field) in refused {
        let error = engine.execute(request).await.expect_err(field);
        assert_eq!((error.code(), error.field()), ("VALIDATION", Some(field)));
        let text = error.to_string();
        assert!(
            text.contains("expected") && text.contains("found"),
            "{text}"
        );
    }
    assert_eq!((engine.total_count(), engine.running_count()), (0, 0));
}

#[tokio::test]
async fn an_id_is_used_once() {
    let (engine, _dir) = engine();
    let request = shell("true");
    run(&engine, request.clone()).await;
    assert!(matches!(
        engine.execute(request).await,
        Err(ExecutionError::DuplicateId { .. })
    ));
}

#[tokio::test]
async fn slots_are_given_in_the_order_of_arrival() {
    let (engine, dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 1,
        max_queued_executions: 2,
        ..ExecutionConfig::default()
    });
    let file = dir.path().join("order");
    let mut ids = Vec::new();
    for n in 1..=3 {
        let line = format!("sleep 0.05; echo {n} >> {}", file.display());
        ids.push(
            engine
                .execute(shell(&line))
                .await
                .expect("a slot or a place"),
        );
    }
    let refused = engine.execute(shell("true")).await;
    assert!(matches!(
        refused,
        Err(ExecutionError::ConcurrencyLimitReached { .. })
    ));
    assert_eq!((engine.running_count(), engine.queued_count()), (1, 2));
    for id in ids {
        assert!(
            engine
                .wait_for_completion(id)
                .await
                .expect("a known execution")
                .success
        );
    }
    assert_eq!(
        std::fs::read_to_string(file).expect("the order"),
        "1\n2\n3\n"
    );
    assert_eq!((engine.running_count(), engine.available_permits()), (0, 1));
}

#[tokio::test]
async fn a_cancelled_place_in_the_queue_never_starts() {
    let (engine, dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 1,
        max_queued_executions: 1,
        ..ExecutionConfig::default()
    });
    let file = dir.path().join("started");
    let first = engine.execute(shell("sleep 0.3")).await.expect("a slot");
    let second = engine
        .execute(shell(&format!("touch {}", file.display())))
        .await
        .expect("a place");
    engine.cancel(second).await.expect("a waiting execution");
    engine
        .wait_for_completion(first)
        .await
        .expect("a known execution");
    let result = engine
        .get_result(second)
        .await
        .expect("a finished execution");
    assert_eq!(
        (result.status, result.pid),
        (ExecutionStatus::Cancelled, None)
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn no_more_finished_executions_are_remembered_than_the_bound() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_in_memory_executions: 3,
        ..ExecutionConfig::default()
    });
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(run(&engine, shell("true")).await.id);
    }
    let listed: Vec<_> = engine
        .list_executions(&ExecutionFilter::default())
        .await
        .iter()
        .map(|summary| summary.id)
        .collect();
    ids.reverse();
    assert_eq!(listed, ids[..3]);
    assert!(matches!(
        engine.get_status(ids[4]).await,
        Err(ExecutionError::NotFound(_))
    ));
}

#[tokio::test]
async fn shutdown_ends_all_and_accepts_no_more() {
    let (engine, _dir) = engine();
    let mark = mark();
    for _ in 0..20 {
        engine
            .execute(shell(&format!("sleep {mark} & sleep {mark}")))
            .await
            .expect("a slot");
    }
    engine.shutdown().await;
    assert_eq!(survivors(&mark), [0; 0]);
    assert!(matches!(
        engine.execute(shell("true")).await,
        Err(ExecutionError::ShutDown)
    ));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_is_that_of_all_clones_with_a_handler_or_without() {
    let (engine, _dir) = engine();
    let listening = engine
        .clone()
        .with_event_handler(Arc::new(Recorder::default()));
    engine.shutdown().await;
    assert!(matches!(
        listening.execute(shell("true")).await,
        Err(ExecutionError::ShutDown)
    ));
}

#[test]
fn a_runtime_that_ends_takes_its_executions_with_it() {
    let (engine, _dir) = engine();
    let mark = mark();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let id = runtime.block_on(async {
        let id = engine
            .execute(shell(&format!("sleep {mark}")))
            .await
            .expect("a slot");
        while survivors(&mark).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        id
    });
    drop(runtime);
    let deadline = Instant::now() + Duration::from_secs(2);
    while !survivors(&mark).is_empty() {
        assert!(Instant::now() < deadline, "still there");
        std::thread::sleep(Duration::from_millis(10));
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let result = runtime
        .block_on(engine.wait_for_completion(id))
        .expect("a known execution");
    assert_eq!(result.status, ExecutionStatus::Cancelled);
}

#[test]
fn an_execution_is_settled_whenever_its_runtime_ends() {
    let (engine, _dir) = engine();
    let mut ids = Vec::new();
    for pause in 0..100 {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        ids.push(
            runtime
                .block_on(engine.execute(shell("sleep 60")))
                .expect("a slot"),
        );
        std::thread::sleep(Duration::from_micros(pause * 20));
        drop(runtime);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for id in ids {
        let result = runtime
            .block_on(engine.wait_for_completion(id))
            .expect("a known execution");
        assert_eq!(result.status, ExecutionStatus::Cancelled);
    }
    assert_eq!(engine.running_count(), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_has_default_signals_and_no_foreign_descriptors() {
    let (engine, _dir) = engine();
    let result = run(
        &engine,
        shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd"),
    )
    .await;
    let words: Vec<&str> = result.stdout.split_whitespace().collect();
    // `ls` holds the directory that it lists as the fourth.
    let zero = "0000000000000000";
    assert_eq!(
        words,
        ["SigBlk:", zero, "SigIgn:", zero, "0", "1", "2", "3"]
    );
}

#[tokio::test]
async fn a_command_runs_in_its_directory() {
    let (engine, dir) = engine();
    let inner = dir.path().join("with a space");
    std::fs::create_dir(&inner).expect("a directory");
    let request = ExecutionRequest {
        working_dir: Some(inner.clone()),
        ..shell("pwd -P")
    };
    let result = run(&engine, request).await;
    let inner = inner.canonicalize().expect("its path");
    assert_eq!(result.stdout.trim_end(), inner.to_string_lossy());
}

#[tokio::test]
async fn scripts_run_by_their_first_line_or_their_extension() {
    use std::os::unix::fs::PermissionsExt;
    let (engine, dir) = engine();
    let script = |name: &str, text: &str, mode| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        ExecutionRequest::new(Command::Script {
            path,
            interpreter: None,
            args: vec!["an argument".into()],
        })
    };
    for request in [
        script("executable", "#!/bin/sh\necho \"$1\"\n", 0o755),
        script("not-executable", "#!/bin/sh\necho \"$1\"\n", 0o644),
        script("by-extension.sh", "echo \"$1\"\n", 0o644),
        script("by-extension.py", "import sys; print(sys.argv[1])\n", 0o644),
        script("plain", "echo \"$1\"\n", 0o644),
    ] {
        let result = run(&engine, request).await;
        assert_eq!(result.stdout, "an argument\n", "{:?}", result.error);
    }
}

#[tokio::test]
async fn a_result_is_snake_case_json() {
    let (engine, _dir) = engine();
    let request: ExecutionRequest = serde_json::from_str(
        r#"{"command":{"type":"exec","program":"echo","args":["it's"]},"timeout_ms":5000}"#,
    )
    .expect("a request");
    let result = run(&engine, request).await;
    let json = serde_json::to_value(&*result).expect("a value");
    assert_eq!(json["status"], "completed");
    assert_eq!(json["exit_code"], 0);
    assert_eq!(json["command"], "echo \"it's\"");
    assert_eq!(json["survivors"], serde_json::json!([]));
    assert!(serde_json::from_str::<ExecutionRequest>(r#"{"comand":{}}"#).is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_request_that_is_refused_meanwhile() {
    for _ in 0..50 {
        let (engine, _dir) = engine();
        let request = ExecutionRequest {
            working_dir: Some("/no/such/directory".into()),
            ..shell("true")
        };
        // The request is entered first, and refused on another thread while the shutdown waits for all.
        let both = async { tokio::join!(engine.execute(request), engine.shutdown()) };
        let (refused, ()) = tokio::time::timeout(Duration::from_secs(10), both)
            .await
            .expect("both to end");
        assert!(matches!(refused, Err(ExecutionError::Validation(_))));
        assert_eq!(engine.total_count(), 0);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_shell_reads_from_the_command_of_a_result_what_was_run() {
    let word: String = (1..=0xa0)
        .chain(0x2020..=0x2070)
        .filter_map(char::from_u32)
        .chain("\u{61c}1f".chars())
        .collect();
    let (engine, _dir) = engine();
    let request = ExecutionRequest::new(Command::exec("printf", ["%s", &word]));
    let first = run(&engine, request).await;
    assert_eq!(first.stdout, word);
    // `bash` takes bytes and characters as it is told by its locale.
    let shell = std::process::Command::new("bash")
        .args(["-c", &first.command])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("a shell");
    assert_eq!(String::from_utf8_lossy(&shell.stdout), word);
}
