//! Logs through the crate: whole lines, pages, following, retention.

#![cfg(unix)]

mod common;

use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{engine, engine_with, run, shell};
use execution_engine::{
    ExecutionConfig, ExecutionEngine, ExecutionError, ExecutionRequest, LogFollower, LogLine,
    OutputStream, OversizedOutputStrategy, RemoveOptions,
};
use uuid::Uuid;

async fn all(mut follower: LogFollower) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while let Some(line) = follower.next().await.expect("an entry") {
        lines.push(line);
    }
    lines
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.line.as_str()).collect()
}

/// Makes a file look as if it had last been written so long ago.
fn age(path: &Path, by: Duration) {
    let file = std::fs::File::options().append(true).open(path);
    let then = SystemTime::now() - by;
    file.and_then(|file| file.set_modified(then))
        .expect("a file with another time");
}

#[tokio::test]
async fn a_running_execution_is_followed_from_its_first_line_to_its_end() {
    let (engine, _dir) = engine();
    let request = shell("sleep 0.2; echo one; sleep 0.2; echo two >&2; printf three");
    let id = engine.execute(request).await.expect("accepted");
    let lines = all(engine.follow_logs(id, 0)).await;
    assert_eq!(texts(&lines), ["one", "two", "three"]);
    let streams: Vec<_> = lines.iter().map(|line| line.stream).collect();
    let [out, err] = [OutputStream::Stdout, OutputStream::Stderr];
    assert_eq!(streams, [out, err, out]);
    assert!(engine.get_result(id).await.is_ok(), "it has ended");
}

#[tokio::test]
async fn a_follower_whose_futures_are_dropped_loses_nothing() {
    let (engine, _dir) = engine();
    let request = shell("i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done");
    let id = engine.execute(request).await.expect("accepted");
    let mut follower = engine.follow_logs(id, 0);
    let mut numbers = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_micros(300), follower.next());
        match next.await {
            Err(_) => {}
            Ok(Ok(Some(line))) => numbers.push(line.line),
            Ok(end) => break assert!(end.expect("an end").is_none()),
        }
    }
    let expected: Vec<_> = (0..2000).map(|number: u32| number.to_string()).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn another_engine_reads_pages_and_follows_without_a_gap_or_a_double() {
    let (engine, _dir) = engine();
    let result = run(&engine, shell("seq 1 2500")).await;
    let later = ExecutionEngine::new(engine.config()).expect("a valid configuration");
    let mut taken = Vec::new();
    let mut from = 0;
    loop {
        let page = later.read_log_lines(result.id, from, 999).await;
        let page = page.expect("a page");
        taken.extend(page.lines);
        from = page.next;
        if page.ended {
            break;
        }
    }
    assert_eq!(taken.len(), 2500);
    assert_eq!(taken, all(later.follow_logs(result.id, 0)).await);
    let rest = all(later.follow_logs(result.id, taken[1200].offset)).await;
    assert_eq!(rest, taken[1201..]);
    let beyond = later.read_log_lines(result.id, from + 1, 1).await;
    assert_eq!(beyond.expect_err("a refusal").field(), Some("from"));
}

#[tokio::test]
async fn a_page_begins_at_the_entry_with_a_number() {
    let (engine, _dir) = engine();
    let result = run(&engine, shell("seq 1 30000")).await;
    for (line, first) in [(0, Some("1")), (12_345, Some("12346")), (30_000, None)] {
        let page = engine.read_log_from_line(result.id, line, 3).await;
        let page = page.expect("a page");
        assert_eq!(page.lines.first().map(|entry| entry.line.as_str()), first);
    }
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_is_waited_for_and_waiting_may_be_dropped() {
    let (engine, _dir) = engine();
    let other = ExecutionEngine::new(engine.config()).expect("a valid configuration");
    let id = Uuid::new_v4();
    let mut follower = other.follow_logs(id, 0).waiting();
    for _ in 0..3 {
        let waiting = tokio::time::timeout(Duration::from_millis(20), follower.next());
        assert!(waiting.await.is_err());
    }
    let request = ExecutionRequest {
        id,
        ..shell("seq 1 3")
    };
    let result = run(&engine, request).await;
    assert_eq!(all(follower).await.len(), 3);
    let page = other.read_log_lines(result.id, 0, 10).await;
    assert_eq!(page.expect("a page").lines.len(), 3);
}

#[tokio::test]
async fn what_has_no_log_is_not_found() {
    let (engine, _dir) = engine();
    let unknown = Uuid::new_v4();
    let page = engine.read_log_lines(unknown, 0, 1).await;
    assert_eq!(page.expect_err("no page").code(), "NOT_FOUND");
    let next = engine.follow_logs(unknown, 0).next().await;
    assert!(matches!(next, Err(ExecutionError::NoLog(id)) if id == unknown));
    let silent = run(&engine, shell("true")).await;
    let page = engine
        .read_log_lines(silent.id, 0, 1)
        .await
        .expect("a page");
    assert!(page.ended && page.lines.is_empty());
}

#[tokio::test]
async fn a_request_says_whether_it_is_logged() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        log_output: false,
        ..ExecutionConfig::default()
    });
    assert_eq!(run(&engine, shell("echo no")).await.log_path, None);
    let logged = ExecutionRequest {
        log_output: Some(true),
        ..shell("echo yes")
    };
    let result = run(&engine, logged).await;
    assert_eq!(result.log_path, Some(engine.get_log_path(result.id)));
}

#[tokio::test]
async fn old_logs_go_and_those_that_are_written_stay() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        log_retention_secs: 60,
        oversized_output_strategy: OversizedOutputStrategy::StreamToFile,
        max_output_size_bytes: 1,
        ..ExecutionConfig::default()
    });
    let old = run(&engine, shell("echo old")).await;
    let young = run(&engine, shell("echo young")).await;
    let running = shell("echo running; sleep 60");
    let running = engine.execute(running).await.expect("accepted");
    let first = engine.follow_logs(running, 0).next().await;
    assert!(first.expect("an entry").is_some());
    let overflow = old.stdout_overflow_file.clone().expect("an overflow file");
    let hour = Duration::from_secs(3600);
    for path in [&engine.get_log_path(old.id), &overflow] {
        age(path, hour);
    }
    age(&engine.get_log_path(running), hour);
    engine.cleanup().await;
    assert!(!engine.get_log_path(old.id).exists() && !overflow.exists());
    assert!(engine.get_log_path(young.id).exists());
    assert!(engine.get_log_path(running).exists());
    let removal = RemoveOptions { logs: true };
    let refused = engine.remove_execution_with(running, removal).await;
    assert_eq!(refused.expect_err("it runs").code(), "NOT_FINISHED");
    engine.cancel(running).await.expect("it runs");
    let removed = engine.remove_execution_with(running, removal).await;
    removed.expect("a finished execution");
    assert!(!engine.get_log_path(running).exists());
}
