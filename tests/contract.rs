//! What the crate tells in JSON, and what a command inherits.

#![cfg(unix)]

mod common;

use common::{engine, run, shell};
use execution_engine::{
    Environment, ErrorCode, ExecuteOptions, ExecutionConfig, ExecutionError, ExecutionResult,
};

#[test]
fn each_code_is_spelled_in_json_as_in_rust() {
    use ErrorCode::{
        AlreadyFinished, AlreadyInitialized, ConcurrencyLimitReached, DuplicateId, Internal,
        InvalidConfig, Io, NotFinished, NotFound, NotInitialized, ShutDown, Validation,
    };
    let codes = [
        AlreadyFinished,
        AlreadyInitialized,
        ConcurrencyLimitReached,
        DuplicateId,
        Internal,
        InvalidConfig,
        Io,
        NotFinished,
        NotFound,
        NotInitialized,
        ShutDown,
        Validation,
    ];
    for code in codes {
        let json = serde_json::to_string(&code).expect("a text");
        assert_eq!(json, format!("\"{}\"", code.as_str()));
    }
    assert_eq!(ExecutionError::ShutDown.code(), ShutDown.as_str());
}

#[test]
fn a_configuration_that_names_its_directory_keeps_every_other_default() {
    let read = |json: &str| serde_json::from_str::<ExecutionConfig>(json).expect("a configuration");
    assert_eq!(read("{}"), ExecutionConfig::default());
    let named = read(r#"{"log_dir": "/logs"}"#);
    let expected = ExecutionConfig {
        log_dir: "/logs".into(),
        ..ExecutionConfig::default()
    };
    assert_eq!(named, expected);
}

#[tokio::test]
async fn a_result_in_json_holds_what_was_printed() {
    let (engine, _dir) = engine();
    let result = run(&engine, shell("echo out; echo err >&2")).await;
    let json = serde_json::to_string(&*result).expect("a result in JSON");
    let read: ExecutionResult = serde_json::from_str(&json).expect("the same result");
    assert_eq!(read, *result);
    assert_eq!(
        (read.stdout.as_str(), read.stderr.as_str()),
        ("out\n", "err\n")
    );
}

#[tokio::test]
async fn a_command_starts_where_the_host_was_when_its_environment_was_taken() {
    let (engine, dir) = engine();
    let before = std::env::current_dir().expect("a directory");
    let there = dir.path().canonicalize().expect("a directory");
    std::env::set_current_dir(&there).expect("the directory");
    let options = ExecuteOptions {
        environment: Some(Environment::current()),
        ..ExecuteOptions::default()
    };
    std::env::set_current_dir(&before).expect("the directory");
    let request = shell("pwd -P");
    let id = request.id;
    engine
        .execute_with(request, options)
        .await
        .expect("accepted");
    let result = engine.wait_for_completion(id).await.expect("known");
    assert_eq!(result.stdout, format!("{}\n", there.display()));
}
