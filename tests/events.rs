//! The promises about who is told of what, kept by real commands.

#![cfg(unix)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Recorder, engine, engine_with, run, shell};
use execution_engine::{
    ExecuteOptions, ExecutionConfig, ExecutionEngine, ExecutionError, ExecutionEvent,
    ExecutionFilter, ExecutionMetadata, ExecutionPlan, ExecutionRequest, ExecutionStatus, Origin,
    PlanStep, StepKey, Subscription,
};
use uuid::Uuid;

fn metadata(source: &str, tags: &[(&str, &str)]) -> ExecutionMetadata {
    let tags = tags.iter();
    ExecutionMetadata {
        source: Some(source.into()),
        conversation_id: None,
        tags: tags
            .map(|&(name, value)| (name.into(), value.into()))
            .collect(),
    }
}

fn about(request: ExecutionRequest, metadata: ExecutionMetadata) -> ExecutionRequest {
    ExecutionRequest {
        metadata,
        ..request
    }
}

/// What an event of an execution is called, and whose it is.
fn parts(event: &ExecutionEvent) -> Option<(&'static str, &Arc<Origin>)> {
    Some(match event {
        ExecutionEvent::Pending { origin, .. } => ("pending", origin),
        ExecutionEvent::Started { origin, .. } => ("started", origin),
        ExecutionEvent::Stdout { origin, .. } => ("stdout", origin),
        ExecutionEvent::Stderr { origin, .. } => ("stderr", origin),
        ExecutionEvent::Completed(end) => ("completed", &end.origin),
        ExecutionEvent::Failed(end) => ("failed", &end.origin),
        ExecutionEvent::Cancelled(end) => ("cancelled", &end.origin),
        ExecutionEvent::Skipped(end) => ("skipped", &end.origin),
        _ => return None,
    })
}

fn names(events: &[ExecutionEvent]) -> Vec<&'static str> {
    let parts = events.iter().filter_map(parts);
    parts.map(|(name, _)| name).collect()
}

async fn all(mut subscription: Subscription) -> Vec<ExecutionEvent> {
    let mut events = Vec::new();
    while let Some(event) = subscription.next().await {
        events.push(event);
    }
    events
}

/// A command that goes on once the file is there.
fn held(go: &Path, then: &str) -> ExecutionRequest {
    shell(&format!("{}; {then}", until_there(go)))
}

fn until_there(go: &Path) -> String {
    format!("until [ -e {} ]; do sleep 0.01; done", go.display())
}

fn recording(recorder: &Arc<Recorder>) -> ExecuteOptions {
    ExecuteOptions {
        handler: Some(Arc::clone(recorder) as _),
        environment: None,
    }
}

async fn recorded(engine: &ExecutionEngine, plan: ExecutionPlan) -> Vec<ExecutionEvent> {
    let recorder = Arc::new(Recorder::default());
    let id = engine
        .execute_plan_with(plan, recording(&recorder))
        .await
        .expect("accepted");
    engine.wait_for_plan(id).await.expect("known");
    recorder.events()
}

#[tokio::test]
async fn all_events_of_an_execution_share_what_it_says_about_itself() {
    let (engine, _dir) = engine();
    let recorder = Arc::new(Recorder::default());
    let said = metadata("ui", &[("team", "blue")]);
    let request = about(shell("echo a; echo b >&2"), said.clone());
    let id = engine
        .execute_with(request, recording(&recorder))
        .await
        .expect("accepted");
    let result = engine.wait_for_completion(id).await.expect("known");
    let events = recorder.events();
    let origins: Vec<_> = events.iter().filter_map(parts).collect();
    assert_eq!(origins.len(), 4);
    for (_, origin) in &origins {
        assert!(Arc::ptr_eq(origin, origins[0].1));
        assert_eq!(
            (&origin.metadata, &origin.plan_id, &origin.step),
            (&said, &None, &None)
        );
    }
    assert_eq!(result.metadata, said);
    let json = serde_json::to_value(&events[0]).expect("JSON");
    assert_eq!(json["metadata"]["source"], "ui");
    assert_eq!(json["plan_id"], serde_json::Value::Null);
    let back: ExecutionEvent = serde_json::from_value(json).expect("an event");
    assert_eq!(back, events[0]);
}

#[tokio::test]
async fn events_of_steps_name_their_plan_and_step_and_a_skipped_one_is_told_too() {
    let (engine, _dir) = engine();
    let step = |line: &str| PlanStep::from(shell(line));
    let plan = ExecutionPlan::named([
        ("first", step("exit 3")),
        ("second", step("true").after(["first"])),
    ]);
    let id = plan.id;
    let events = recorded(&engine, plan).await;
    assert_eq!(names(&events), ["started", "failed", "skipped"]);
    for (event, name) in events
        .iter()
        .filter_map(parts)
        .zip(["first", "first", "second"])
    {
        let (_, origin) = event;
        assert_eq!(origin.plan_id, Some(id));
        assert_eq!(origin.step, Some(StepKey::Name(name.into())));
    }
}

#[tokio::test]
async fn what_must_wait_for_a_slot_is_told_to_before_its_start() {
    let (engine, dir) = engine_with(ExecutionConfig {
        max_concurrent_executions: 1,
        max_queued_executions: 2,
        ..ExecutionConfig::default()
    });
    let go = dir.path().join("go");
    let first = engine.execute(held(&go, "true")).await.expect("accepted");
    let recorder = Arc::new(Recorder::default());
    let second = engine
        .execute_with(shell("true"), recording(&recorder))
        .await
        .expect("accepted");
    recorder
        .wait_for(|events| names(events) == ["pending"])
        .await;
    std::fs::write(&go, "").expect("a file");
    engine.wait_for_completion(first).await.expect("known");
    engine.wait_for_completion(second).await.expect("known");
    assert_eq!(
        names(&recorder.events()),
        ["pending", "started", "completed"]
    );
}

#[tokio::test]
async fn executions_are_listed_by_what_is_known_of_them() {
    let (engine, _dir) = engine();
    let one = about(
        shell("true"),
        metadata("ui", &[("team", "blue"), ("env", "prod")]),
    );
    let two = about(shell("false"), metadata("ui", &[]));
    let three = about(shell("true"), metadata("job", &[("team", "blue")]));
    let mut ids = Vec::new();
    for request in [one, two, three] {
        ids.push(run(&engine, request).await.id);
    }
    let engine = &engine;
    let listed = |filter: ExecutionFilter| async move {
        let found = engine.list_executions(&filter).await;
        found.iter().map(|summary| summary.id).collect::<Vec<_>>()
    };
    let all = ExecutionFilter::default;
    let team = [("team".to_owned(), "blue".to_owned())];
    assert_eq!(listed(all()).await, [ids[2], ids[1], ids[0]]);
    let filter = ExecutionFilter {
        status: Some(ExecutionStatus::Failed),
        ..all()
    };
    assert_eq!(listed(filter).await, [ids[1]]);
    let filter = ExecutionFilter {
        tag: team.into(),
        ..all()
    };
    assert_eq!(listed(filter.clone()).await, [ids[2], ids[0]]);
    let filter = ExecutionFilter {
        limit: Some(1),
        ..filter
    };
    assert_eq!(listed(filter.clone()).await, [ids[2]]);
    let filter = ExecutionFilter {
        source: Some("ui".into()),
        ..filter
    };
    assert_eq!(listed(filter).await, [ids[0]]);
}

#[tokio::test]
async fn a_subscription_tells_of_an_execution_from_now_on() {
    let (engine, dir) = engine();
    let go = dir.path().join("go");
    let id = engine
        .execute(held(&go, "echo a; echo b"))
        .await
        .expect("accepted");
    let subscription = engine.subscribe(id).expect("known");
    std::fs::write(&go, "").expect("a file");
    let events = all(subscription).await;
    let told: Vec<_> = names(&events);
    let told: Vec<_> = told.into_iter().filter(|name| *name != "started").collect();
    assert_eq!(told, ["stdout", "stdout", "completed"]);
    let Some(ExecutionEvent::Completed(end)) = events.last() else {
        panic!("no end")
    };
    let result = engine.wait_for_completion(id).await.expect("known");
    assert!(Arc::ptr_eq(&end.result, &result));
    // Of what has ended there is only the end to tell.
    let events = all(engine.subscribe(id).expect("known")).await;
    assert_eq!(names(&events), ["completed"]);
    assert!(matches!(
        engine.subscribe(Uuid::new_v4()),
        Err(ExecutionError::NotFound(_))
    ));
}

#[tokio::test]
async fn a_subscription_that_is_not_read_holds_the_command_back_until_it_is_dropped() {
    let (engine, dir) = engine();
    let go = dir.path().join("go");
    let id = engine
        .execute(held(&go, "seq 1000000"))
        .await
        .expect("accepted");
    let mut subscription = engine.subscribe(id).expect("known");
    std::fs::write(&go, "").expect("a file");
    while !matches!(
        subscription.next().await,
        Some(ExecutionEvent::Stdout { .. })
    ) {}
    let waited = engine.wait_for_completion(id);
    let held_back = tokio::time::timeout(std::time::Duration::from_millis(500), waited).await;
    assert!(held_back.is_err());
    drop(subscription);
    let result = engine.wait_for_completion(id).await.expect("known");
    assert_eq!(result.status, ExecutionStatus::Completed);
    assert_eq!(result.stdout_bytes, 6_888_896);
}

#[tokio::test]
async fn a_subscription_that_takes_nothing_once_the_command_has_exited_is_given_up() {
    let (engine, dir) = engine_with(ExecutionConfig {
        drain_max_ms: 200,
        ..ExecutionConfig::default()
    });
    let [go, taken] = ["go", "taken"].map(|name| dir.path().join(name));
    // Two lines in one write, and then, behind them, no more than the pipe holds: the command exits.
    let command = format!("printf 'one\\ntwo\\n'; {}; seq 5000", until_there(&taken));
    let id = engine.execute(held(&go, &command)).await.expect("accepted");
    let mut subscription = engine.subscribe(id).expect("known");
    std::fs::write(&go, "").expect("a file");
    while !matches!(
        subscription.next().await,
        Some(ExecutionEvent::Stdout { .. })
    ) {}
    std::fs::write(&taken, "").expect("a file");
    let waited = engine.wait_for_completion(id);
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), waited).await;
    let result = waited.expect("no wait for it").expect("known");
    assert_eq!(result.status, ExecutionStatus::Completed);
    assert_eq!((result.stdout_bytes, &result.error), (23_901, &None));
    // What it has of the output, and no end.
    assert_eq!(names(&all(subscription).await), ["stdout"]);
}

#[tokio::test]
async fn a_subscription_sees_each_end_once_however_it_meets_it() {
    let (engine, _dir) = engine();
    for _ in 0..200 {
        let id = engine.execute(shell("true")).await.expect("accepted");
        let subscribed = tokio::spawn({
            let engine = engine.clone();
            async move { all(engine.subscribe(id).expect("known")).await }
        });
        engine.wait_for_completion(id).await.expect("known");
        let events = subscribed.await.expect("no panic");
        assert_eq!(names(&events).last(), Some(&"completed"));
        let ends = names(&events);
        assert_eq!(ends.iter().filter(|name| **name == "completed").count(), 1);
    }
}

#[tokio::test]
async fn who_subscribes_with_the_call_is_told_everything_from_the_first_event_on() {
    let (engine, _dir) = engine();
    for _ in 0..20 {
        let request = shell("seq 3");
        let wanted = request.id;
        let (id, subscription) = engine.execute_subscribed(request).await.expect("accepted");
        assert_eq!(id, wanted);
        let events = all(subscription).await;
        let expected = ["started", "stdout", "stdout", "stdout", "completed"];
        assert_eq!(names(&events), expected);
    }
}

#[tokio::test]
async fn who_subscribes_with_a_plan_is_told_of_all_its_steps_and_of_its_end() {
    let (engine, _dir) = engine();
    let plan = ExecutionPlan::named([("one", shell("echo 1")), ("two", shell("echo 2"))]);
    let (id, subscription) = engine
        .execute_plan_subscribed(plan)
        .await
        .expect("accepted");
    let events = all(subscription).await;
    let of = |step: &str| {
        let events = events.iter().filter_map(parts);
        let of_step = events.filter(|(_, origin)| origin.step == Some(StepKey::Name(step.into())));
        of_step.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(of("one"), ["started", "stdout", "completed"]);
    assert_eq!(of("two"), ["started", "stdout", "completed"]);
    let last = events.last();
    assert!(matches!(last, Some(ExecutionEvent::PlanCompleted { plan_id, .. }) if *plan_id == id));
}

#[tokio::test]
async fn what_was_printed_at_once_can_be_taken_at_once() {
    let (engine, _dir) = engine();
    let request = shell("seq 1000");
    let (_, mut subscription) = engine.execute_subscribed(request).await.expect("accepted");
    let mut takes = Vec::new();
    loop {
        let events = subscription.next_many(300).await;
        if events.is_empty() {
            break;
        }
        takes.push(events);
    }
    assert!(takes.iter().all(|events| events.len() <= 300));
    assert!(takes.len() < 100, "{} takes", takes.len());
    assert!(
        takes
            .concat()
            .last()
            .is_some_and(|last| last.ended().is_some())
    );
    assert_eq!(takes.concat().len(), 1002);
}

#[tokio::test]
async fn who_leaves_lets_the_command_go_on() {
    let (engine, _dir) = engine();
    let request = shell("seq 500000");
    let (id, mut subscription) = engine.execute_subscribed(request).await.expect("accepted");
    assert!(subscription.next().await.is_some());
    assert!(subscription.next().await.is_some());
    drop(subscription);
    let result = engine.wait_for_completion(id).await.expect("known");
    assert!(result.success);
}

#[tokio::test]
async fn a_refusal_can_be_passed_on_as_json() {
    let (engine, _dir) = engine();
    let request = ExecutionRequest {
        timeout_ms: Some(0),
        ..shell("true")
    };
    let error = engine.execute(request).await.expect_err("a refusal");
    let json = serde_json::to_value(&error).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "code": "VALIDATION",
            "message": error.to_string(),
            "field": "timeout_ms",
            "execution_id": null,
        })
    );
    let unknown = Uuid::new_v4();
    let error = engine.get_status(unknown).await.expect_err("unknown");
    let json = serde_json::to_value(&error).expect("JSON");
    assert_eq!(json["execution_id"], unknown.to_string());
}
