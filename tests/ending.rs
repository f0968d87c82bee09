//! When a command ends, whether it is tried again, and who runs when: through the crate.

#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Recorder, engine, engine_with, run, shell};
use execution_engine::{
    ExecuteOptions, ExecutionConfig, ExecutionError, ExecutionEvent, ExecutionPlan,
    ExecutionRequest, ExecutionStatus, ExecutionStrategy, ResultErrorCode, Retry, StopSignal,
};

fn events_of(recorder: &Recorder) -> Vec<&'static str> {
    let events = recorder.events();
    let names = events.iter().map(|event| match event {
        ExecutionEvent::Started { .. } => "started",
        ExecutionEvent::Retrying { .. } => "retrying",
        ExecutionEvent::Completed(_) => "completed",
        ExecutionEvent::Failed(_) => "failed",
        ExecutionEvent::Cancelled(_) => "cancelled",
        _ => "other",
    });
    names.collect()
}

#[tokio::test]
async fn silence_ends_a_command() {
    let (engine, _dir) = engine();
    let request = ExecutionRequest {
        idle_timeout_ms: Some(200),
        ..shell("echo begun; exec sleep 60")
    };
    let result = run(&engine, request).await;
    let end = (result.status, result.error_code, result.stdout.as_str());
    let idle = Some(ResultErrorCode::Idle);
    assert_eq!(end, (ExecutionStatus::Timeout, idle, "begun\n"));
}

#[tokio::test]
async fn a_command_is_asked_by_its_own_signal_and_judged_by_its_own_codes() {
    let (engine, _dir) = engine();
    let request = ExecutionRequest {
        stop_signal: StopSignal::Interrupt,
        timeout_ms: Some(200),
        ..shell("trap 'echo asked; exit 0' INT; while :; do sleep 0.01; done")
    };
    let result = run(&engine, request).await;
    let end = (result.status, result.stdout.as_str(), result.forced);
    assert_eq!(end, (ExecutionStatus::Timeout, "asked\n", false));
    let request = ExecutionRequest {
        success_exit_codes: Some(vec![0, 2]),
        ..shell("exit 2")
    };
    let result = run(&engine, request).await;
    assert_eq!((result.success, result.exit_code), (true, Some(2)));
}

#[tokio::test]
async fn the_reason_of_a_cancel_is_in_the_result() {
    let (engine, _dir) = engine();
    let id = engine.execute(shell("sleep 60")).await.expect("accepted");
    let reason = "not needed any more";
    engine
        .cancel_with_reason(id, reason)
        .await
        .expect("it runs");
    let result = engine.get_result(id).await.expect("it has ended");
    assert_eq!(result.cancel_reason.as_deref(), Some(reason));
    let id = engine.execute(shell("sleep 60")).await.expect("accepted");
    engine.cancel(id).await.expect("it runs");
    let result = engine.get_result(id).await.expect("it has ended");
    assert_eq!(result.cancel_reason, None);
}

#[tokio::test]
async fn a_command_is_tried_again_with_one_result() {
    let (engine, dir) = engine();
    let file = dir.path().join("attempts");
    let file = file.display();
    let line = format!("echo x >> {file}; n=$(grep -c x {file}); echo $n $(cat); exit $((3 - n))");
    let request = ExecutionRequest {
        stdin: Some("input".into()),
        retry: Some(Retry {
            delay_ms: 1,
            ..Retry::new(5)
        }),
        ..shell(&line)
    };
    let recorder = Arc::new(Recorder::default());
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        ..ExecuteOptions::default()
    };
    let id = engine.execute_with(request, options).await;
    let id = id.expect("accepted");
    let result = engine.wait_for_completion(id).await.expect("it ends");
    assert_eq!(result.stdout, "3 input\n");
    let exits: Vec<_> = result.attempts.iter().map(|one| one.exit_code).collect();
    assert_eq!(exits, [Some(2), Some(1), Some(0)]);
    let lines = ["started", "other", "retrying"];
    let wanted = [&lines[..], &lines, &["started", "other", "completed"]].concat();
    assert_eq!(events_of(&recorder), wanted);
}

#[tokio::test]
async fn a_shutdown_ends_the_waiting_for_the_next_attempt() {
    let (engine, _dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let request = ExecutionRequest {
        retry: Some(Retry {
            delay_ms: 60_000,
            ..Retry::new(2)
        }),
        ..shell("exit 3")
    };
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        ..ExecuteOptions::default()
    };
    let id = engine.execute_with(request, options).await;
    let retrying = |events: &[ExecutionEvent]| {
        let is_retrying = |event: &ExecutionEvent| matches!(event, ExecutionEvent::Retrying { .. });
        events.iter().any(is_retrying)
    };
    recorder.wait_for(retrying).await;
    let begun = Instant::now();
    engine.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    let result = engine.get_result(id.expect("accepted")).await;
    let result = result.expect("it has ended");
    assert_eq!(result.status, ExecutionStatus::Cancelled);
    assert_eq!(result.exit_code, Some(3));
    let reason = Some("the engine was shut down");
    assert_eq!(result.cancel_reason.as_deref(), reason);
}

#[tokio::test]
async fn what_could_not_be_accepted_says_why() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        groups: BTreeMap::from([("deploy".into(), 1)]),
        ..ExecutionConfig::default()
    });
    let with = |change: fn(&mut ExecutionRequest)| {
        let mut request = shell("true");
        change(&mut request);
        request
    };
    let retry = |retry: Retry| ExecutionRequest {
        retry: Some(retry),
        ..shell("true")
    };
    let cases = [
        (
            with(|request| request.group = Some("deply".into())),
            "group",
        ),
        (
            with(|request| request.idle_timeout_ms = Some(0)),
            "idle_timeout_ms",
        ),
        (with(|request| request.lease_ms = Some(0)), "lease_ms"),
        (
            with(|request| request.success_exit_codes = Some(vec![])),
            "success_exit_codes",
        ),
        (
            with(|request| request.success_exit_codes = Some(vec![0, 256])),
            "success_exit_codes[1]",
        ),
        (
            with(|request| request.max_output_size_bytes = Some(0)),
            "max_output_size_bytes",
        ),
        (retry(Retry::new(0)), "retry.attempts"),
        (
            retry(Retry {
                backoff: f64::NAN,
                ..Retry::new(2)
            }),
            "retry.backoff",
        ),
        (
            retry(Retry {
                max_delay_ms: Some(0),
                delay_ms: 0,
                ..Retry::new(2)
            }),
            "retry.max_delay_ms",
        ),
    ];
    for (request, field) in cases {
        let refused = engine.execute(request).await.expect_err("refused");
        assert_eq!(refused.field(), Some(field), "{refused}");
    }
}

#[tokio::test]
async fn a_lease_is_renewed_or_ends_its_execution() {
    let (engine, _dir) = engine();
    let request = ExecutionRequest {
        lease_ms: Some(300),
        ..shell("sleep 60")
    };
    let id = engine.execute(request).await.expect("accepted");
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        engine.renew_lease(id, None).await.expect("in time");
    }
    engine.renew_lease(id, Some(50)).await.expect("in time");
    let result = engine.wait_for_completion(id).await.expect("it ends");
    assert_eq!(result.error_code, Some(ResultErrorCode::LeaseLost));
    assert_eq!(result.status, ExecutionStatus::Failed);
    let late = engine.renew_lease(id, None).await;
    assert!(matches!(late, Err(ExecutionError::AlreadyFinished(_))));
}

#[tokio::test]
async fn the_lease_of_a_plan_is_renewed_or_ends_all_of_it() {
    let (engine, _dir) = engine();
    let strategy = ExecutionStrategy::Serial {
        stop_on_error: true,
    };
    let plan = ExecutionPlan {
        lease_ms: Some(300),
        ..ExecutionPlan::new(strategy, [shell("sleep 60"), shell("true")])
    };
    let id = engine.execute_plan(plan).await.expect("accepted");
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        engine.renew_lease(id, None).await.expect("in time");
    }
    engine.renew_lease(id, Some(50)).await.expect("in time");
    let plan = engine.wait_for_plan(id).await.expect("it ends");
    assert_eq!(plan.status, ExecutionStatus::Failed);
    let [runs, waits] = &plan.results[..] else {
        panic!("two steps, found {}", plan.results.len());
    };
    assert_eq!(runs.error_code, Some(ResultErrorCode::LeaseLost));
    assert_eq!(waits.status, ExecutionStatus::Cancelled);
    assert_eq!(
        waits.error.as_deref(),
        Some("the lease of its plan was not renewed in time, before it was started")
    );
    let late = engine.renew_lease(id, None).await;
    assert!(matches!(late, Err(ExecutionError::AlreadyFinished(_))));
}

#[tokio::test]
async fn a_group_has_its_own_limit_also_in_plans_and_the_highest_priority_is_first() {
    let (engine, dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 4,
        groups: BTreeMap::from([("deploy".into(), 1)]),
        ..ExecutionConfig::default()
    });
    let go = dir.path().join("go");
    let order = dir.path().join("order");
    let first = ExecutionRequest {
        group: Some("deploy".into()),
        ..shell(&format!(
            "until [ -e {} ]; do sleep 0.01; done",
            go.display()
        ))
    };
    let first = engine.execute(first).await.expect("accepted");
    let commands = [0, -3, 5, 0].into_iter().enumerate();
    let commands = commands.map(|(index, priority)| ExecutionRequest {
        group: Some("deploy".into()),
        priority,
        ..shell(&format!("echo {index} >> {}", order.display()))
    });
    let strategy = ExecutionStrategy::Parallel {
        max_concurrency: None,
        stop_on_error: false,
    };
    let plan = ExecutionPlan::new(strategy, commands);
    let plan = engine.execute_plan(plan).await.expect("accepted");
    assert_eq!((engine.running_count(), engine.queued_count()), (1, 0));
    std::fs::write(&go, "").expect("written");
    assert!(engine.wait_for_plan(plan).await.expect("known").success);
    assert!(
        engine
            .wait_for_completion(first)
            .await
            .expect("known")
            .success
    );
    let order = std::fs::read_to_string(order).expect("written");
    assert_eq!(order, "2\n0\n3\n1\n");
}
