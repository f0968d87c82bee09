//! Where a command runs, and what it cost.
#![cfg(unix)]

mod common;

use common::{engine, run, shell};

#[tokio::test]
async fn the_result_tells_the_processor_time_of_the_command_and_of_what_it_waited_for() {
    let (engine, _dir) = engine();
    let work = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let result = run(&engine, shell(&format!("({work}) & wait; {work}; times"))).await;
    assert!(result.success, "{:?}", result.error);
    // The user time of the shell, and of its children, as `0m0.123s`.
    let taken: f64 = result
        .stdout
        .lines()
        .filter_map(|line| {
            let (minutes, seconds) = line.split_whitespace().next()?.split_once('m')?;
            let seconds: f64 = seconds.trim_end_matches('s').replace(',', ".").parse().ok()?;
            Some(minutes.parse::<f64>().ok()? * 60.0 + seconds)
        })
        .sum();
    assert!(taken > 0.0, "{}", result.stdout);
    let told = result.usage.expect("a process").user_cpu_ms;
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    let difference = told as f64 - taken * 1000.0;
    assert!(
        (-20.0..200.0).contains(&difference),
        "{told} ms, and the shell said {}",
        result.stdout
    );
}

#[tokio::test]
async fn what_was_not_started_has_no_cost() {
    let (engine, _dir) = engine();
    let command = execution_engine::Command::exec("no-such-program", [""; 0]);
    let result = run(&engine, execution_engine::ExecutionRequest::new(command)).await;
    assert_eq!(result.usage, None);
}
