//! What a command reads.
#![cfg(unix)]

mod common;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{engine, run};
use execution_engine::{
    Command, ExecutionError, ExecutionRequest, ExecutionStatus, ResultErrorCode, Stdin,
};
use tokio::io::{AsyncRead, ReadBuf};

fn cat(stdin: Stdin) -> ExecutionRequest {
    ExecutionRequest {
        stdin: Some(stdin),
        ..ExecutionRequest::new(Command::exec("cat", [""; 0]))
    }
}

/// Gives so many bytes, and then fails, waits for ever, or ends.
struct Bytes {
    left: usize,
    then: Option<Result<(), &'static str>>,
}

impl AsyncRead for Bytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let most = room.remaining().min(self.left);
        self.left -= most;
        room.put_slice(&vec![b'x'; most]);
        match self.then {
            _ if most > 0 => Poll::Ready(Ok(())),
            None => Poll::Pending,
            Some(Ok(())) => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(std::io::Error::other(error))),
        }
    }
}

#[tokio::test]
async fn a_command_reads_a_file_and_what_is_none_is_refused() {
    let (engine, dir) = engine();
    let file = dir.path().join("input");
    std::fs::write(&file, "text").expect("a file");
    let result = run(&engine, cat(Stdin::File(file))).await;
    assert_eq!(result.stdout, "text", "{:?}", result.error);
    for none in [dir.path().to_owned(), dir.path().join("none")] {
        let refused = engine.execute(cat(Stdin::File(none))).await;
        assert_eq!(refused.expect_err("no file").field(), Some("stdin.file"));
    }
}

#[tokio::test]
async fn a_command_reads_a_reader_to_its_end() {
    let (engine, _dir) = engine();
    let reader = Bytes {
        left: 1_000_000,
        then: Some(Ok(())),
    };
    let result = run(&engine, cat(Stdin::reader(reader))).await;
    assert_eq!(result.stdout_bytes, 1_000_000, "{:?}", result.error);
    let request = cat(Stdin::reader(&b"text"[..]));
    let again = ExecutionRequest {
        id: uuid::Uuid::new_v4(),
        ..request.clone()
    };
    assert_eq!(run(&engine, request).await.stdout, "text");
    // It has been read: this is no end of an input.
    let result = run(&engine, again).await;
    assert_eq!(result.error_code, Some(ResultErrorCode::Io));
}

#[tokio::test]
async fn where_a_reader_fails_so_does_the_execution_and_the_command_sees_no_end() {
    let (engine, _dir) = engine();
    let reader = Bytes {
        left: 10,
        then: Some(Err("the disk is full")),
    };
    let request = ExecutionRequest {
        stdin: Some(Stdin::reader(reader)),
        ..common::shell("cat > /dev/null; echo all")
    };
    let result = run(&engine, request).await;
    assert_eq!(result.status, ExecutionStatus::Failed);
    assert_eq!(result.error_code, Some(ResultErrorCode::Io));
    assert_eq!(result.stdout, "");
    let error = result.error.as_deref().unwrap_or_default();
    assert!(error.contains("the disk is full"), "{error}");
}

#[tokio::test]
async fn a_reader_that_never_ends_does_not_keep_the_execution() {
    let (engine, _dir) = engine();
    for reader in [
        Bytes {
            left: 10,
            then: None,
        },
        Bytes {
            left: usize::MAX,
            then: None,
        },
    ] {
        let request = ExecutionRequest {
            stdin: Some(Stdin::reader(reader)),
            ..ExecutionRequest::new(Command::exec("head", ["-c", "5"]))
        };
        assert_eq!(run(&engine, request).await.stdout, "xxxxx");
    }
}

#[tokio::test]
async fn what_is_written_while_the_command_runs_is_read_in_the_order_of_the_calls() {
    let (engine, _dir) = engine();
    let request = cat(Stdin::Open);
    let id = engine.execute(request).await.expect("accepted");
    let writes = ["one ", "two ", "three"].map(|text| engine.write_stdin(id, text));
    // What was called for is written, whether or not it is awaited, and in whichever order.
    let [one, two, three] = writes;
    three.await.expect("written");
    one.await.expect("written");
    drop(two);
    engine.close_stdin(id).await.expect("closed");
    engine.close_stdin(id).await.expect("closed before");
    let result = engine.wait_for_completion(id).await.expect("known");
    assert_eq!(result.stdout, "one two three");
    let late = engine.write_stdin(id, "late").await;
    assert!(
        matches!(late, Err(ExecutionError::AlreadyFinished(_))),
        "{late:?}"
    );
    engine.close_stdin(id).await.expect("closed with the end");
}

#[tokio::test]
async fn a_write_waits_for_the_command_to_read_and_for_its_end_at_most() {
    let (engine, _dir) = engine();
    let request = ExecutionRequest {
        stdin: Some(Stdin::Open),
        ..ExecutionRequest::new(Command::exec("sleep", ["60"]))
    };
    let id = engine.execute(request).await.expect("accepted");
    let mut written = std::pin::pin!(engine.write_stdin(id, vec![0; 1_000_000]));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut written).await;
    assert!(early.is_err(), "a pipe does not hold that much");
    engine.cancel(id).await.expect("known");
    let late = written.await.expect_err("nobody read it");
    assert!(matches!(late.code(), "ALREADY_FINISHED" | "IO"), "{late}");
}

#[tokio::test]
async fn what_cannot_be_written_to_is_refused() {
    let (engine, _dir) = engine();
    let unknown = engine.write_stdin(uuid::Uuid::new_v4(), "x").await;
    assert_eq!(unknown.expect_err("unknown").code(), "NOT_FOUND");
    let id = engine.execute(cat("text".into())).await.expect("accepted");
    for refused in [
        engine.write_stdin(id, "x").await,
        engine.close_stdin(id).await,
    ] {
        assert_eq!(refused.expect_err("not open").code(), "VALIDATION");
    }
}
