//! A failure as an error, and a text as a word for a shell.

#![cfg(unix)]

mod common;

use common::{engine, run, shell};
use execution_engine::{ExecutionFailedError, quote};

#[tokio::test]
async fn a_failure_is_an_error_that_holds_the_result_and_tells_its_end() {
    let (engine, _dir) = engine();
    let result = run(&engine, shell("seq 30 >&2; echo out; exit 3")).await;
    let error: ExecutionFailedError = result.into_success().expect_err("a failure");
    assert_eq!(error.result.exit_code, Some(3));
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "`seq 30 >&2; echo out; exit 3`: exited with code 3",
            "the end of its stderr:",
            "11"
        ]
    );
    assert_eq!(lines.last(), Some(&"30"));
}

#[tokio::test]
async fn where_standard_error_is_empty_the_end_of_the_output_is_shown_without_what_a_terminal_obeys()
 {
    let (engine, _dir) = engine();
    let result = run(&engine, shell(r"printf '\033[31mred\n'; exit 1")).await;
    let text = result.into_success().expect_err("a failure").to_string();
    assert!(
        text.ends_with("the end of its stdout:\n\\e[31mred"),
        "{text}"
    );
}

#[tokio::test]
async fn a_success_is_passed_on() {
    let (engine, _dir) = engine();
    let result = run(&engine, shell("echo one")).await.into_success();
    assert_eq!(
        result.map(|result| result.stdout.clone()),
        Ok("one\n".into())
    );
}

#[tokio::test]
async fn a_shell_reads_nothing_in_a_quoted_text_as_syntax() {
    let (engine, _dir) = engine();
    let texts = [
        "",
        "it's",
        "$HOME `id` $(id)",
        "a\n b\\",
        "'; id; '",
        "*",
        "é😀",
    ];
    let words: Result<Vec<String>, _> = texts.into_iter().map(quote).collect();
    let words = words.expect("texts without NUL bytes").join(" ");
    let result = run(&engine, shell(&format!("printf '<%s>' {words}"))).await;
    assert_eq!(result.stdout, format!("<{}>", texts.join("><")));
}
