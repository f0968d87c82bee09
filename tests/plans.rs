//! The promises about plans, kept by real commands.

#![cfg(unix)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Recorder, engine, engine_with, mark, shell, survivors};
use execution_engine::{
    Command, EventHandler, ExecuteOptions, ExecutionConfig, ExecutionEngine, ExecutionError,
    ExecutionEvent, ExecutionPlan, ExecutionRequest, ExecutionStatus, ExecutionStrategy,
    PlanExecutionResult, PlanStep, PlanSteps, ResultErrorCode, Retry, StepKey, StepResults, When,
};
use proptest::prelude::*;
use tokio::sync::Notify;
use uuid::Uuid;

use ExecutionStatus::{Cancelled, Completed, Failed, Skipped, Timeout};

const SERIAL: ExecutionStrategy = ExecutionStrategy::Serial {
    stop_on_error: true,
};

fn parallel(max_concurrency: Option<usize>, stop_on_error: bool) -> ExecutionStrategy {
    ExecutionStrategy::Parallel {
        max_concurrency,
        stop_on_error,
    }
}

fn graph<const N: usize>(dependencies: [(usize, &[usize]); N]) -> ExecutionStrategy {
    ExecutionStrategy::DependencyGraph {
        dependencies: dependencies
            .into_iter()
            .map(|(step, needed)| (step, needed.to_vec()))
            .collect(),
        max_concurrency: None,
        stop_on_error: false,
    }
}

/// No steps.
const NONE: [ExecutionRequest; 0] = [];

fn ids_of(plan: &ExecutionPlan) -> Vec<Uuid> {
    plan.steps.iter().map(PlanStep::id).collect()
}

fn exec(program: &str) -> ExecutionRequest {
    ExecutionRequest::new(Command::exec(program, [""; 0]))
}

async fn run(engine: &ExecutionEngine, plan: ExecutionPlan) -> Arc<PlanExecutionResult> {
    let id = engine.execute_plan(plan).await.expect("accepted");
    engine.wait_for_plan(id).await.expect("known")
}

fn statuses(result: &PlanExecutionResult) -> Vec<ExecutionStatus> {
    result.results.iter().map(|result| result.status).collect()
}

fn refusal(engine: &ExecutionEngine, plan: &ExecutionPlan) -> (String, String) {
    let refused = plan.validate(&engine.config()).expect_err("refused");
    (refused.field, refused.found)
}

#[tokio::test]
async fn a_serial_plan_runs_one_after_the_other_and_reports_in_order() {
    let (engine, dir) = engine();
    let file = dir.path().join("order");
    let step = |n: u32| {
        shell(&format!(
            "cat {0} 2>/dev/null; echo {n} >> {0}",
            file.display()
        ))
    };
    let plan = ExecutionPlan {
        description: "three".into(),
        ..ExecutionPlan::new(SERIAL, vec![step(1), step(2), step(3)])
    };
    let (id, ids) = (plan.id, ids_of(&plan));
    let result = run(&engine, plan).await;
    assert_eq!((result.plan_id, result.status), (id, Completed));
    assert_eq!(result.description, "three");
    assert!(result.success);
    let printed: Vec<_> = result.results.iter().map(|r| r.stdout.as_str()).collect();
    assert_eq!(printed, ["", "1\n", "1\n2\n"]);
    assert_eq!(result.results.iter().map(|r| r.id).collect::<Vec<_>>(), ids);
    assert_eq!((result.stats.total, result.stats.completed), (3, 3));
    assert_eq!(engine.get_plan_result(id).await.expect("known"), result);
    for (step, told) in ids.into_iter().zip(&result.results) {
        assert_eq!(&engine.get_result(step).await.expect("visible"), told);
    }
}

#[tokio::test]
async fn a_serial_plan_skips_the_rest_after_a_failure_and_names_the_cause() {
    let (engine, _dir) = engine();
    let steps = || vec![exec("true"), shell("exit 7"), exec("true"), exec("true")];
    let result = run(&engine, ExecutionPlan::new(SERIAL, steps())).await;
    assert_eq!(statuses(&result), [Completed, Failed, Skipped, Skipped]);
    assert_eq!((result.status, result.stats.skipped), (Failed, 2));
    for skipped in &result.results[2..] {
        assert_eq!(
            skipped.error.as_deref(),
            Some("skipped because commands[1] failed: exited with code 7")
        );
        assert_eq!((skipped.pid, skipped.started_at), (None, None));
    }
    let going_on = ExecutionStrategy::Serial {
        stop_on_error: false,
    };
    let result = run(&engine, ExecutionPlan::new(going_on, steps())).await;
    assert_eq!(statuses(&result), [Completed, Failed, Completed, Completed]);
    assert_eq!(result.status, Failed);
}

#[tokio::test]
async fn parallel_steps_run_at_the_same_time() {
    let (engine, dir) = engine();
    // Each waits for the other: one after the other they would never end.
    let step = |own: &str, other: &str| {
        let dir = dir.path().display();
        shell(&format!(
            "touch {dir}/{own}; until [ -e {dir}/{other} ]; do sleep 0.01; done"
        ))
    };
    let plan = ExecutionPlan::new(parallel(None, false), vec![step("a", "b"), step("b", "a")]);
    assert_eq!(run(&engine, plan).await.status, Completed);
}

#[tokio::test]
async fn a_parallel_plan_that_stops_on_error_starts_nothing_more_and_lets_what_runs_end() {
    let (engine, dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let engine = engine.with_event_handler(Arc::clone(&recorder) as _);
    let go = dir.path().join("go");
    let waits = shell(&format!(
        "until [ -e {} ]; do sleep 0.01; done",
        go.display()
    ));
    let plan = ExecutionPlan::new(
        parallel(Some(2), true),
        vec![waits, exec("false"), exec("true"), exec("true")],
    );
    let id = engine.execute_plan(plan).await.expect("accepted");
    // Only once the plan knows of the failure: a step that ends before makes room for the next.
    let progress =
        |event: &ExecutionEvent| matches!(event, ExecutionEvent::Progress { completed: 1, .. });
    recorder
        .wait_for(|events| events.iter().any(progress))
        .await;
    std::fs::write(&go, "").expect("a file");
    let result = engine.wait_for_plan(id).await.expect("known");
    assert_eq!(statuses(&result), [Completed, Failed, Skipped, Skipped]);
}

#[tokio::test]
async fn a_graph_skips_only_what_depends_on_the_failed_step_and_names_the_root() {
    let (engine, _dir) = engine();
    let steps = vec![
        exec("false"),
        exec("true"),
        exec("true"),
        exec("true"),
        exec("true"),
    ];
    let strategy = graph([(2, &[0, 1]), (3, &[2]), (4, &[1])]);
    let result = run(&engine, ExecutionPlan::new(strategy, steps)).await;
    assert_eq!(
        statuses(&result),
        [Failed, Completed, Skipped, Skipped, Completed]
    );
    for skipped in &result.results[2..4] {
        let error = skipped.error.as_deref().expect("a cause");
        assert!(
            error.starts_with("skipped because commands[0] failed"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn every_plan_is_checked_before_anything_starts() {
    let (engine, dir) = engine();
    let touched = dir.path().join("touched");
    let first = || shell(&format!("touch {}", touched.display()));
    let plan = |strategy, second| ExecutionPlan::new(strategy, vec![first(), second]);
    let bad = ExecutionRequest {
        timeout_ms: Some(0),
        ..exec("true")
    };
    let cases = [
        (plan(SERIAL, exec("")), "commands[1].command.program"),
        (plan(SERIAL, bad), "commands[1].timeout_ms"),
        (
            plan(parallel(Some(0), false), exec("true")),
            "strategy.max_concurrency",
        ),
        (
            plan(graph([(1, &[5])]), exec("true")),
            "strategy.dependencies[1][0]",
        ),
        (
            plan(graph([(7, &[0])]), exec("true")),
            "strategy.dependencies[7]",
        ),
    ];
    for (plan, field) in cases {
        assert_eq!(refusal(&engine, &plan).0, field);
    }
    let twice = exec("true");
    let plan = ExecutionPlan::new(SERIAL, vec![first(), twice.clone(), twice]);
    assert_eq!(refusal(&engine, &plan).0, "commands[2].id");
    let nowhere = ExecutionRequest {
        working_dir: Some("/no/such/directory".into()),
        ..exec("true")
    };
    let plan = ExecutionPlan::new(SERIAL, vec![first(), nowhere]);
    let id = plan.id;
    let refused = engine.execute_plan(plan).await.expect_err("refused");
    assert_eq!(refused.field(), Some("commands[1].working_dir"));
    assert!(matches!(
        engine.get_status(id).await,
        Err(ExecutionError::NotFound(_))
    ));
    assert_eq!(engine.total_count(), 0);
    assert!(!touched.exists());
}

#[tokio::test]
async fn a_cycle_is_spelled_out() {
    let (engine, _dir) = engine();
    let steps = || vec![exec("true"), exec("true"), exec("true"), exec("true")];
    let strategy = graph([(3, &[0]), (0, &[2]), (2, &[1]), (1, &[0])]);
    let (field, found) = refusal(&engine, &ExecutionPlan::new(strategy, steps()));
    assert_eq!(field, "strategy.dependencies");
    assert_eq!(found, "0 -> 2 -> 1 -> 0, each waiting for the next");
    let (_, found) = refusal(&engine, &ExecutionPlan::new(graph([(2, &[2])]), steps()));
    assert_eq!(found, "2 -> 2, each waiting for the next");
}

#[tokio::test]
async fn an_id_in_use_is_refused_with_its_path() {
    let (engine, _dir) = engine();
    let taken = exec("true");
    let id = engine.execute(taken.clone()).await.expect("accepted");
    engine.wait_for_completion(id).await.expect("known");
    let plan = ExecutionPlan::new(SERIAL, vec![exec("true"), taken]);
    let refused = engine.execute_plan(plan).await.expect_err("refused");
    assert_eq!(
        (refused.code(), refused.field()),
        ("DUPLICATE_ID", Some("commands[1].id"))
    );
    assert_eq!(engine.total_count(), 1);
}

#[tokio::test]
async fn a_plan_without_commands_is_complete() {
    let (engine, _dir) = engine();
    let result = run(&engine, ExecutionPlan::new(SERIAL, NONE)).await;
    assert_eq!((result.status, result.stats.total), (Completed, 0));
}

#[tokio::test]
async fn cancelling_a_plan_ends_what_runs_and_what_waits_and_leaves_nothing() {
    let (engine, _dir) = engine();
    let mark = mark();
    let sleeper = || shell(&format!("sleep {mark} & sleep {mark}"));
    let plan = ExecutionPlan::new(
        parallel(Some(2), false),
        vec![sleeper(), sleeper(), sleeper()],
    );
    let recorder = Arc::new(Recorder::default());
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        environment: None,
    };
    let id = engine
        .execute_plan_with(plan, options)
        .await
        .expect("accepted");
    recorder
        .wait_for(|events| events.iter().filter(|e| is_started(e)).count() == 2)
        .await;
    assert_eq!(
        engine.get_status(id).await.expect("known"),
        ExecutionStatus::Running
    );
    engine.cancel(id).await.expect("running");
    assert_eq!(survivors(&mark), [0_u32; 0]);
    let result = engine.get_plan_result(id).await.expect("finished");
    assert_eq!(
        (result.status, statuses(&result)),
        (Cancelled, vec![Cancelled; 3])
    );
    assert!(matches!(
        engine.cancel(id).await,
        Err(ExecutionError::AlreadyFinished(_))
    ));
    assert_eq!(
        engine.available_permits(),
        engine.config().max_concurrent_executions
    );
}

fn is_started(event: &ExecutionEvent) -> bool {
    matches!(event, ExecutionEvent::Started { .. })
}

#[tokio::test]
async fn a_step_cancelled_while_it_waits_never_starts_and_is_a_failure_of_the_plan() {
    let (engine, dir) = engine();
    let go = dir.path().join("go");
    let first = shell(&format!(
        "until [ -e {} ]; do sleep 0.01; done",
        go.display()
    ));
    let second = shell(&format!("touch {}/second", dir.path().display()));
    let plan = ExecutionPlan::new(SERIAL, vec![first, second, exec("true")]);
    let (id, waiting) = (plan.id, ids_of(&plan)[1]);
    engine.execute_plan(plan).await.expect("accepted");
    engine.cancel(waiting).await.expect("it waits");
    std::fs::write(&go, "").expect("written");
    let result = engine.wait_for_plan(id).await.expect("known");
    assert_eq!(statuses(&result), [Completed, Cancelled, Skipped]);
    assert_eq!(result.status, Failed);
    assert!(!dir.path().join("second").exists());
}

#[tokio::test]
async fn a_plan_that_takes_too_long_is_ended_by_its_own_deadline() {
    let (engine, _dir) = engine();
    let mark = mark();
    let plan = ExecutionPlan {
        timeout_ms: Some(300),
        ..ExecutionPlan::new(SERIAL, vec![shell(&format!("sleep {mark}")), exec("true")])
    };
    let begun = Instant::now();
    let result = run(&engine, plan).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(
        (result.status, statuses(&result)),
        (Timeout, vec![Timeout, Cancelled])
    );
    let error = |step: usize| result.results[step].error.clone().expect("a reason");
    assert_eq!(error(0), "its plan timed out after 300 ms");
    assert!(
        error(1).contains("its plan timed out after 300 ms"),
        "{}",
        error(1)
    );
    assert_eq!(survivors(&mark), [0_u32; 0]);
}

#[tokio::test]
async fn a_step_that_times_out_by_itself_fails_the_plan() {
    let (engine, _dir) = engine();
    let slow = ExecutionRequest {
        timeout_ms: Some(100),
        ..shell("sleep 600")
    };
    let result = run(
        &engine,
        ExecutionPlan::new(SERIAL, vec![slow, exec("true")]),
    )
    .await;
    assert_eq!(
        (result.status, statuses(&result)),
        (Failed, vec![Timeout, Skipped])
    );
    let error = result.results[1].error.as_deref().expect("a cause");
    assert!(
        error.starts_with("skipped because commands[0] timed out"),
        "{error}"
    );
}

#[tokio::test]
async fn progress_follows_every_step_and_the_end_of_the_plan_comes_last() {
    let (engine, _dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        environment: None,
    };
    let steps = vec![shell("echo one"), exec("false"), exec("true"), exec("true")];
    let plan = ExecutionPlan::new(graph([(2, &[1]), (3, &[2])]), steps);
    let (id, first) = (plan.id, ids_of(&plan)[0]);
    engine
        .execute_plan_with(plan, options)
        .await
        .expect("accepted");
    let result = engine.wait_for_plan(id).await.expect("known");
    let events = recorder.events();
    let progress: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ExecutionEvent::Progress {
                plan_id,
                completed,
                total,
                ..
            } => {
                assert_eq!((*plan_id, *total), (id, 4));
                Some(*completed)
            }
            _ => None,
        })
        .collect();
    assert_eq!(progress, [1, 2, 3, 4]);
    let last = events.last().expect("an event");
    assert!(
        matches!(last, ExecutionEvent::PlanCompleted { result: told, .. } if Arc::ptr_eq(told, &result))
    );
    assert!(events.iter().any(|event| matches!(
        event,
        ExecutionEvent::Stdout { execution_id, line, .. } if *execution_id == first && line == "one"
    )));
}

#[tokio::test]
async fn steps_wait_for_the_slots_of_the_engine_also_where_nothing_else_may_wait() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 2,
        ..ExecutionConfig::default()
    });
    let plan = ExecutionPlan::new(parallel(None, false), (0..20).map(|_| exec("true")));
    let result = run(&engine, plan).await;
    assert_eq!(result.stats.completed, 20);
    assert_eq!((engine.running_count(), engine.queued_count()), (0, 0));
}

#[tokio::test]
async fn shutdown_cancels_plans_too() {
    let (engine, _dir) = engine();
    let plan = ExecutionPlan::new(SERIAL, vec![shell("sleep 600"), exec("true")]);
    let id = engine.execute_plan(plan).await.expect("accepted");
    engine.shutdown().await;
    let result = engine.get_plan_result(id).await.expect("finished");
    assert_eq!(
        (result.status, statuses(&result)),
        (Cancelled, vec![Cancelled; 2])
    );
    let refused = engine.execute_plan(ExecutionPlan::new(SERIAL, NONE)).await;
    assert!(matches!(refused, Err(ExecutionError::ShutDown)));
}

#[tokio::test]
async fn a_plan_and_its_steps_are_remembered_and_forgotten_together() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_in_memory_executions: 3,
        ..ExecutionConfig::default()
    });
    let plan = ExecutionPlan::new(SERIAL, (0..10).map(|_| exec("true")));
    let (id, first) = (plan.id, ids_of(&plan)[0]);
    let result = run(&engine, plan).await;
    assert_eq!(result.results.len(), 10);
    // More than may be remembered, but nothing of it was dropped while it ran, nor right after.
    assert_eq!(engine.total_count(), 10);
    assert!(engine.get_result(first).await.is_ok());
    let other = engine.execute(exec("true")).await.expect("accepted");
    engine.wait_for_completion(other).await.expect("known");
    assert_eq!(engine.total_count(), 1);
    assert!(matches!(
        engine.get_plan_result(id).await,
        Err(ExecutionError::NotFound(_))
    ));
    assert!(matches!(
        engine.get_result(first).await,
        Err(ExecutionError::NotFound(_))
    ));
}

#[tokio::test]
async fn the_json_of_a_plan_is_that_of_the_contract() {
    let json = r#"{
        "strategy": { "type": "dependency_graph", "dependencies": { "1": [0] } },
        "commands": [
            { "command": { "type": "exec", "program": "true" } },
            { "command": { "type": "exec", "program": "true" } }
        ]
    }"#;
    let plan: ExecutionPlan = serde_json::from_str(json).expect("a plan");
    let PlanSteps::Indexed { strategy, commands } = &plan.steps else {
        panic!("named steps")
    };
    assert_eq!((strategy, commands.len()), (&graph([(1, &[0])]), 2));
    let back = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(
        serde_json::from_str::<ExecutionPlan>(&back).expect("a plan"),
        plan
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_accept_ten_thousand_steps_takes_no_longer_for_each_and_all_end() {
    let (engine, _dir) = engine();
    let mut least = [Duration::MAX; 2];
    for _ in 0..3 {
        for (least, count) in least.iter_mut().zip([1_000, 10_000]) {
            *least = (*least).min(time_to_accept(&engine, count).await);
        }
    }
    // Ten times as many steps; the rest is for caches and for other work of the machine.
    let [few, many] = least;
    assert!(many < 40 * few, "{few:?}, {many:?}");
}

/// Runs a graph of steps to its end, and returns how long it took to be accepted.
async fn time_to_accept(engine: &ExecutionEngine, count: usize) -> Duration {
    // None of them is a process: what is measured is the plan.
    let steps = (0..count)
        .map(|_| exec("/no/such/program"))
        .collect::<Vec<_>>();
    let dependencies = (1..count).map(|step| (step, vec![step / 2])).collect();
    let strategy = ExecutionStrategy::DependencyGraph {
        dependencies,
        max_concurrency: None,
        stop_on_error: false,
    };
    let plan = ExecutionPlan::new(strategy, steps);
    let begun = Instant::now();
    let id = engine.execute_plan(plan).await.expect("accepted");
    let accepted = begun.elapsed();
    let result = engine.wait_for_plan(id).await.expect("known");
    let others = count - 1;
    assert_eq!((result.stats.failed, result.stats.skipped), (1, others));
    accepted
}

#[tokio::test]
async fn named_steps_run_when_they_say_and_their_results_carry_their_names() {
    let (engine, _dir) = engine();
    let step = |program| PlanStep::from(exec(program));
    let plan = ExecutionPlan::named([
        ("deploy", step("true").after(["build"])),
        ("build", step("false")),
        ("lint", step("false").allow_failure()),
        (
            "roll_back",
            step("true").after(["deploy"]).when(When::Failure),
        ),
        (
            "clean_up",
            step("true").after(["deploy", "lint"]).when(When::Always),
        ),
        ("report", step("true").after(["lint"]).when(When::Failure)),
    ]);
    let result = run(&engine, plan).await;
    assert_eq!(
        statuses(&result),
        [Skipped, Failed, Failed, Completed, Completed, Skipped]
    );
    assert_eq!((result.status, result.success), (Failed, false));
    for (result, name) in result.results.iter().zip(["deploy", "build", "lint"]) {
        assert_eq!(result.step, Some(StepKey::Name(name.into())));
    }
    let error = |step: usize| result.results[step].error.clone().expect("a reason");
    assert_eq!(
        error(0),
        "skipped because steps.build failed: exited with code 1"
    );
    assert_eq!(
        error(5),
        "skipped because nothing that it depends on has failed"
    );
}

#[tokio::test]
async fn a_plan_whose_only_failures_are_allowed_has_completed() {
    let (engine, _dir) = engine();
    let steps = [
        PlanStep::from(exec("false")).allow_failure(),
        exec("true").into(),
    ];
    let result = run(&engine, ExecutionPlan::new(SERIAL, steps)).await;
    assert_eq!(statuses(&result), [Failed, Completed]);
    assert_eq!((result.status, result.success), (Completed, true));
    assert_eq!((result.stats.failed, result.stats.completed), (1, 1));
}

#[tokio::test]
async fn what_is_wrong_with_names_is_told_by_names() {
    let (engine, _dir) = engine();
    let after = |names: &[&str]| PlanStep::from(exec("true")).after(names.iter().copied());
    let refused = |steps: Vec<(&str, PlanStep)>| refusal(&engine, &ExecutionPlan::named(steps));
    assert_eq!(
        refused(vec![("test", after(&["biuld"])), ("build", after(&[]))]),
        (
            "steps.test.depends_on[0]".into(),
            "\"biuld\": is \"build\" meant?".into()
        )
    );
    assert_eq!(
        refused(vec![
            ("a", after(&["b"])),
            ("b", after(&["c"])),
            ("c", after(&["a"]))
        ]),
        (
            "steps.a.depends_on".into(),
            "a -> b -> c -> a, each waiting for the next".into()
        )
    );
    assert_eq!(
        refused(vec![("twice", after(&[])), ("twice", after(&[]))]).0,
        "steps.twice"
    );
    assert_eq!(refused(vec![("", after(&[]))]).0, "steps");
    let indexed = ExecutionPlan::new(SERIAL, [after(&["x"])]);
    assert_eq!(refusal(&engine, &indexed).0, "commands[0].depends_on");
}

#[tokio::test]
async fn a_request_is_made_from_the_results_so_far() {
    let (engine, _dir) = engine();
    let plan = ExecutionPlan::named([
        ("version", PlanStep::from(shell("echo 1.2.3"))),
        (
            "tag",
            PlanStep::made(|results: StepResults| async move {
                let version = results.get("version").ok_or("no version")?;
                Ok::<_, String>(ExecutionRequest::new(Command::exec(
                    "echo",
                    [format!("v{}", version.stdout.trim())],
                )))
            })
            .after(["version"]),
        ),
        (
            "count",
            PlanStep::made(|results: StepResults| {
                let names: Vec<_> = results.iter().map(|(key, _)| format!("{key:?}")).collect();
                let first = results.at(0).is_some();
                async move { Ok::<_, String>(shell(&format!("echo {} {first}", names.len()))) }
            })
            .after(["tag"]),
        ),
    ]);
    let id = ids_of(&plan)[1];
    let result = run(&engine, plan).await;
    assert_eq!(result.results[1].stdout, "v1.2.3\n");
    assert_eq!(result.results[1].id, id);
    assert_eq!(result.results[1].command, "echo v1.2.3");
    assert_eq!(result.results[2].stdout, "2 true\n");
}

#[tokio::test]
async fn a_request_that_cannot_be_made_fails_its_step_alone() {
    let (engine, _dir) = engine();
    let fails = PlanStep::made(|_| async { Err::<ExecutionRequest, _>("boom") });
    let panics = PlanStep::made(|results: StepResults| async move {
        Ok::<_, String>(shell(&results.get("nobody").expect("on purpose").stdout))
    });
    let empty = PlanStep::made(|_| async { Ok::<_, String>(exec("")) });
    let steps = [fails, panics, empty, exec("true").into()];
    let result = run(&engine, ExecutionPlan::new(parallel(None, false), steps)).await;
    assert_eq!(statuses(&result), [Failed, Failed, Failed, Completed]);
    let errors = [
        "boom",
        "the function panicked",
        "command.program: expected a text that is not empty, found an empty string",
    ];
    for (result, error) in result.results.iter().zip(errors) {
        assert_eq!(result.error_code, Some(ResultErrorCode::InvalidStep));
        let expected = format!("its request could not be made: {error}");
        assert_eq!(result.error.as_deref(), Some(&*expected));
    }
}

#[tokio::test]
async fn a_cancel_and_the_deadline_of_the_plan_drop_what_makes_a_request() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (engine, _dir) = engine();
    let dropped = Arc::new(AtomicUsize::new(0));
    let called = Arc::new(Notify::new());
    let step = || {
        let (dropped, called) = (Arc::clone(&dropped), Arc::clone(&called));
        PlanStep::made(move |_| {
            let (guard, called) = (Dropped(Arc::clone(&dropped)), Arc::clone(&called));
            async move {
                called.notify_one();
                std::future::pending::<()>().await;
                drop(guard);
                Ok::<_, String>(exec("true"))
            }
        })
    };
    let plan = ExecutionPlan::new(SERIAL, [step()]);
    let id = engine.execute_plan(plan).await.expect("accepted");
    called.notified().await;
    engine.cancel(id).await.expect("it runs");
    let result = engine.get_plan_result(id).await.expect("known");
    assert_eq!(
        (result.status, statuses(&result)),
        (Cancelled, vec![Cancelled])
    );
    let late = ExecutionPlan {
        timeout_ms: Some(50),
        ..ExecutionPlan::new(SERIAL, [step()])
    };
    let result = run(&engine, late).await;
    assert_eq!(
        (result.status, statuses(&result)),
        (Timeout, vec![Cancelled])
    );
    while dropped.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_json_of_named_steps_is_that_of_the_contract() {
    let json = r#"{
        "steps": {
            "b": { "command": { "type": "exec", "program": "true" }, "when": "always", "allow_failure": true },
            "a": { "depends_on": ["b"], "command": { "type": "exec", "program": "true" } }
        },
        "stop_on_error": true
    }"#;
    let plan: ExecutionPlan = serde_json::from_str(json).expect("a plan");
    let PlanSteps::Named {
        steps,
        stop_on_error,
        ..
    } = &plan.steps
    else {
        panic!("no named steps")
    };
    assert!(*stop_on_error);
    assert_eq!((steps[0].0.as_str(), steps[1].0.as_str()), ("b", "a"));
    assert_eq!(
        (steps[0].1.when, steps[0].1.allow_failure),
        (Some(When::Always), true)
    );
    assert_eq!(steps[1].1.depends_on, ["b"]);
    let back = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(
        serde_json::from_str::<ExecutionPlan>(&back).expect("a plan"),
        plan
    );
    let refused = |json: &str| serde_json::from_str::<ExecutionPlan>(json).expect_err("refused");
    let both = r#"{ "steps": {}, "strategy": { "type": "serial" }, "commands": [] }"#;
    assert!(
        refused(both)
            .to_string()
            .contains("either strategy and commands, or steps")
    );
    let unknown =
        r#"{ "steps": { "a": { "command": { "type": "exec", "program": "a" }, "wen": 1 } } }"#;
    assert!(refused(unknown).to_string().contains("wen"));
}

#[test]
fn a_function_that_was_lost_in_json_is_missed() {
    let (engine, _dir) = engine();
    let made = PlanStep::made(|_| async { Ok::<_, String>(exec("true")) });
    let json = serde_json::to_string(&ExecutionPlan::new(SERIAL, [made])).expect("JSON");
    let plan: ExecutionPlan = serde_json::from_str(&json).expect("a plan");
    assert_eq!(refusal(&engine, &plan).0, "commands[0].request");
}

/// A random plan, and what disturbs it.
#[derive(Debug, Clone)]
struct Case {
    /// For each step, those among the earlier ones that it waits for.
    needs: Vec<Vec<usize>>,
    fails: Vec<bool>,
    limit: Option<usize>,
    stop_on_error: bool,
    disturbance: Disturbance,
}

#[derive(Debug, Clone)]
enum Disturbance {
    None,
    CancelPlan { after: usize },
    CancelStep(usize),
}

fn cases() -> impl Strategy<Value = Case> {
    (1..7_usize).prop_flat_map(|steps| {
        let needs = (0..steps)
            .map(|step| proptest::collection::vec(0..step.max(1), 0..=step.min(3)))
            .collect::<Vec<_>>();
        (
            needs,
            proptest::collection::vec(proptest::bool::weighted(0.2), steps),
            proptest::option::of(1..4_usize),
            proptest::bool::weighted(0.3),
            prop_oneof![
                3 => Just(Disturbance::None),
                1 => (0..steps).prop_map(|after| Disturbance::CancelPlan { after }),
                1 => (0..steps).prop_map(Disturbance::CancelStep),
            ],
        )
            .prop_map(|(needs, fails, limit, stop_on_error, disturbance)| Case {
                needs,
                fails,
                limit,
                stop_on_error,
                disturbance,
            })
    })
}

/// What becomes of each step when nothing disturbs the plan.
fn model(case: &Case) -> Vec<ExecutionStatus> {
    let mut statuses: Vec<ExecutionStatus> = Vec::new();
    for (needs, fails) in case.needs.iter().zip(&case.fails) {
        let possible = needs.iter().all(|&needed| statuses[needed] == Completed);
        statuses.push(match (possible, fails) {
            (false, _) => Skipped,
            (true, true) => Failed,
            (true, false) => Completed,
        });
    }
    statuses
}

fn depends_on(case: &Case, step: usize, root: usize) -> bool {
    let needs = &case.needs[step];
    needs
        .iter()
        .any(|&needed| needed == root || depends_on(case, needed, root))
}

async fn check(engine: &ExecutionEngine, case: Case) {
    let steps = case
        .fails
        .iter()
        .map(|fails| exec(if *fails { "false" } else { "true" }));
    let steps: Vec<_> = steps.collect();
    let ids: Vec<Uuid> = steps.iter().map(|step| step.id).collect();
    let dependencies: BTreeMap<_, _> = case.needs.iter().cloned().enumerate().collect();
    let strategy = ExecutionStrategy::DependencyGraph {
        dependencies,
        max_concurrency: case.limit,
        stop_on_error: case.stop_on_error,
    };
    let recorder = Arc::new(Recorder::default());
    let options = ExecuteOptions {
        handler: Some(Arc::<Recorder>::clone(&recorder)),
        environment: None,
    };
    let plan = ExecutionPlan::new(strategy, steps);
    let id = engine
        .execute_plan_with(plan, options)
        .await
        .expect("accepted");
    match case.disturbance {
        Disturbance::None => {}
        Disturbance::CancelStep(step) => drop(engine.cancel(ids[step]).await),
        Disturbance::CancelPlan { after } => {
            recorder.wait_for(|events| ended(events) >= after).await;
            drop(engine.cancel(id).await);
        }
    }
    let result = engine.wait_for_plan(id).await.expect("known");
    let found = statuses(&result);
    check_events(&case, &ids, &recorder.events(), &found);
    if matches!(case.disturbance, Disturbance::None) && !case.stop_on_error {
        assert_eq!(found, model(&case), "{case:?}");
    }
    for (step, result) in result
        .results
        .iter()
        .enumerate()
        .filter(|(_, r)| r.status == Skipped)
    {
        let error = result.error.as_deref().expect("a cause");
        let root: usize = error
            .split(['[', ']'])
            .nth(1)
            .and_then(|index| index.parse().ok())
            .expect("the index of a step");
        assert!(
            !matches!(found[root], Completed | Skipped),
            "{case:?}: {error}"
        );
        assert!(
            case.stop_on_error || depends_on(&case, step, root),
            "{case:?}: {error}"
        );
    }
    let expected = match case.disturbance {
        _ if found.iter().all(|status| *status == Completed) => Completed,
        // It may have come too late to end anything.
        Disturbance::CancelPlan { .. } if result.status == Cancelled => Cancelled,
        _ => Failed,
    };
    assert_eq!(result.status, expected, "{case:?}");
}

fn ended(events: &[ExecutionEvent]) -> usize {
    let progress = |event: &&ExecutionEvent| matches!(event, ExecutionEvent::Progress { .. });
    events.iter().filter(progress).count()
}

/// Order, limit and one terminal event per step, from what a listener saw.
fn check_events(case: &Case, ids: &[Uuid], events: &[ExecutionEvent], found: &[ExecutionStatus]) {
    let step_of: HashMap<Uuid, usize> = ids.iter().copied().zip(0..).collect();
    let mut ended: HashMap<usize, ExecutionStatus> = HashMap::new();
    let mut running = 0;
    for event in events {
        let (status, end) = match event {
            ExecutionEvent::Started { execution_id, .. } => {
                let step = step_of[execution_id];
                for needed in &case.needs[step] {
                    assert_eq!(
                        ended.get(needed),
                        Some(&Completed),
                        "{case:?}: {step} began"
                    );
                }
                running += 1;
                assert!(running <= case.limit.unwrap_or(usize::MAX), "{case:?}");
                continue;
            }
            ExecutionEvent::Completed(end) => (Completed, end),
            ExecutionEvent::Failed(end) => (Failed, end),
            ExecutionEvent::Cancelled(end) => (Cancelled, end),
            ExecutionEvent::Skipped(end) => (Skipped, end),
            _ => continue,
        };
        let step = step_of[&end.execution_id];
        running -= usize::from(end.result.pid.is_some());
        assert_eq!(
            ended.insert(step, status),
            None,
            "{case:?}: {step} ended twice"
        );
    }
    for (step, status) in found.iter().enumerate() {
        let told = ended.get(&step).copied();
        assert_eq!(told, Some(*status), "{case:?}: {step}");
    }
}

#[test]
fn random_plans_keep_order_limit_and_truth() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (engine, _dir) = runtime.block_on(async {
        engine_with(ExecutionConfig {
            max_concurrent_executions: 4,
            log_output: false,
            ..ExecutionConfig::default()
        })
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&cases(), |case| {
        runtime.block_on(check(&engine, case));
        prop_assert_eq!(engine.available_permits(), 4);
        prop_assert_eq!(engine.queued_count(), 0);
        Ok(())
    });
    outcome.expect("every plan keeps the promises");
}

/// Takes its time over the end of each step.
struct Slow;

#[async_trait::async_trait]
impl EventHandler for Slow {
    async fn on_event(&self, event: ExecutionEvent) {
        if matches!(event, ExecutionEvent::Failed(_)) {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failure_that_stops_all_its_slot_starts_nothing_however_long_its_end_is_told() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 1,
        ..ExecutionConfig::default()
    });
    let lines = ["exit 1", "true", "true"];
    let plan = ExecutionPlan::new(parallel(None, true), lines.map(shell));
    let options = ExecuteOptions {
        handler: Some(Arc::new(Slow)),
        ..ExecuteOptions::default()
    };
    let id = engine.execute_plan_with(plan, options).await;
    let result = engine.wait_for_plan(id.expect("accepted")).await;
    assert_eq!(
        statuses(&result.expect("known")),
        [Failed, Skipped, Skipped]
    );
}

#[tokio::test]
async fn a_step_that_waits_for_another_attempt_keeps_no_other_from_its_slot() {
    let (engine, _dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 1,
        ..ExecutionConfig::default()
    });
    let again = |command| ExecutionRequest {
        retry: Some(Retry {
            delay_ms: 200,
            ..Retry::new(2)
        }),
        ..ExecutionRequest::new(command)
    };
    for command in [
        Command::shell("exit 1"),
        Command::exec("/no/such/program", [""; 0]),
    ] {
        let plan = ExecutionPlan::new(parallel(None, true), [again(command), shell("echo beside")]);
        let result = run(&engine, plan).await;
        assert_eq!(statuses(&result), [Failed, Completed]);
        assert_eq!(result.results[0].attempts.len(), 2);
        assert!(result.results[1].completed_at < result.results[0].completed_at);
    }
}
