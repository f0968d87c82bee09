//! A secret is never printed: the promise as the crate keeps it. The forms of secrets, and each place where something is
//! told, are tried through the package.
#![cfg(unix)]

mod common;

use std::sync::Arc;

use common::{Recorder, engine, engine_with, run, shell};
use execution_engine::{
    Command, Environment, ExecuteOptions, ExecutionConfig, ExecutionError, ExecutionEvent,
    ExecutionFilter, ExecutionPlan, ExecutionRequest, ExecutionStrategy, Secret,
};

const SECRET: &str = "hunter22-s3cr3t";

fn with_secret(request: ExecutionRequest) -> ExecutionRequest {
    ExecutionRequest {
        secrets: vec![SECRET.into()],
        ..request
    }
}

fn is_hidden(shown: &impl std::fmt::Debug) {
    for shown in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(!shown.contains("hunter22"), "{shown}");
    }
}

#[tokio::test]
async fn a_secret_is_in_no_result_event_log_or_summary() {
    let (engine, _guard) = engine();
    let recorder = Arc::new(Recorder::default());
    let engine = engine.with_event_handler(Arc::clone(&recorder) as _);
    let script = format!("echo {SECRET}; printf {SECRET} | base64; echo {SECRET} >&2");
    let result = run(&engine, with_secret(shell(&script))).await;
    assert_eq!(
        (result.stdout.as_str(), result.stderr.as_str()),
        ("***\n***\n", "***\n")
    );
    assert_eq!(result.stderr_bytes, 16);
    assert!(result.command.starts_with("echo ***;"));
    is_hidden(&result);
    is_hidden(&recorder.events());
    is_hidden(&engine.list_executions(&ExecutionFilter::default()).await);
    let log = engine.read_logs(result.id, None).await.expect("a log");
    assert!(log.contains("stdout F ***\n") && !log.contains("hunter22"));
}

#[tokio::test]
async fn a_program_that_is_missing_is_named_without_the_secret_in_it() {
    let (engine, _guard) = engine();
    let request = ExecutionRequest::new(Command::exec(format!("/no/such/{SECRET}"), [SECRET]));
    let result = run(&engine, with_secret(request)).await;
    let error = "program not started: \"/no/such/***\": no such file or directory";
    assert_eq!(result.error.as_deref(), Some(error));
    is_hidden(&result);
}

#[tokio::test]
async fn no_type_prints_a_secret_for_debugging() {
    let request = ExecutionRequest {
        secret_env: vec!["TOKEN".into()],
        env: [("TOKEN".into(), Some("hunter22-of-the-env".into()))].into(),
        stdin: Some("hunter22".into()),
        ..with_secret(shell(&format!("echo {SECRET} hunter22-of-the-env")))
    };
    is_hidden(&request);
    is_hidden(&Secret::from(SECRET));
    let mut plan = ExecutionPlan::new(
        ExecutionStrategy::Serial {
            stop_on_error: true,
        },
        vec![shell(&format!("echo {SECRET}")), request],
    );
    plan.secrets = vec![SECRET.into()];
    plan.description = format!("prints {SECRET}");
    is_hidden(&plan);
    let variables = vec![("TOKEN".into(), SECRET.into())];
    is_hidden(&Environment::default().with_variables(variables));
}

#[tokio::test]
async fn a_request_is_refused_without_its_secrets() {
    let (engine, _guard) = engine();
    for (request, field) in [
        (
            ExecutionRequest {
                working_dir: Some(format!("/no/{SECRET}").into()),
                ..shell("true")
            },
            "working_dir",
        ),
        (
            ExecutionRequest::new(Command::AwsCli {
                service: format!("-{SECRET}"),
                operation: "x".into(),
                args: Vec::new(),
                profile: None,
                region: None,
            }),
            "command.service",
        ),
    ] {
        let request = with_secret(request);
        let error = engine
            .execute(request.clone())
            .await
            .expect_err("a refusal");
        assert_eq!(error.field(), Some(field));
        assert!(error.to_string().contains("***"));
        is_hidden(&error);
        is_hidden(&request.validate(&ExecutionConfig::default()));
        let mut plan = ExecutionPlan::new(
            ExecutionStrategy::Serial {
                stop_on_error: true,
            },
            vec![ExecutionRequest {
                secrets: Vec::new(),
                ..request
            }],
        );
        plan.secrets = vec![SECRET.into()];
        let error = engine
            .execute_plan(plan.clone())
            .await
            .expect_err("a refusal");
        assert_eq!(error.field(), Some(format!("commands[0].{field}").as_str()));
        is_hidden(&error);
        is_hidden(&plan.validate(&ExecutionConfig::default()));
    }
    for (secrets, field) in [
        (vec!["fine", "abc"], "secrets[1]"),
        (vec![" \n \n "], "secrets[0]"),
    ] {
        let request = ExecutionRequest {
            secrets: secrets.into_iter().map(Secret::from).collect(),
            ..shell("true")
        };
        let error = engine.execute(request).await.expect_err("a refusal");
        assert_eq!((error.code(), error.field()), ("VALIDATION", Some(field)));
        assert!(!error.to_string().contains("abc"));
    }
}

#[test]
fn what_cannot_be_read_as_a_request_is_told_without_its_secrets() {
    for secrets in [
        "\"hunter22\"",
        "22222222",
        "[22222222]",
        "[[\"hunter22\"]]",
        "{\"a\":\"hunter22\"}",
    ] {
        let json =
            format!(r#"{{"command":{{"type":"exec","program":"true"}},"secrets":{secrets}}}"#);
        let error = serde_json::from_str::<ExecutionRequest>(&json).expect_err("no list of texts");
        assert!(!error.to_string().contains("22"), "{error}");
    }
}

#[tokio::test]
async fn the_values_of_variables_are_secrets_where_a_name_or_a_pattern_says_so() {
    let (engine, _guard) = engine_with(ExecutionConfig {
        secret_env_patterns: vec!["*_TOKEN".into()],
        ..ExecutionConfig::default()
    });
    let variables = [
        ("NPM_TOKEN", "npm_0123456789"),
        ("PIN", "4711"),
        ("LANG_TOKEN", "short"),
        ("HOME", "/tmp"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let environment = Environment::current().with_variables(variables.into());
    let request = ExecutionRequest {
        secret_env: vec!["PIN".into(), "MISSING".into()],
        ..shell("echo $NPM_TOKEN $PIN $LANG_TOKEN")
    };
    let options = ExecuteOptions {
        environment: Some(environment),
        ..ExecuteOptions::default()
    };
    let id = engine
        .execute_with(request, options)
        .await
        .expect("accepted");
    let result = engine.wait_for_completion(id).await.expect("a result");
    assert_eq!(result.stdout, "*** *** short\n");
}

#[tokio::test]
async fn the_secrets_of_a_plan_are_those_of_its_steps() {
    let (engine, _guard) = engine();
    let own = ExecutionRequest {
        secrets: vec!["own-secret".into()],
        ..shell(&format!("echo {SECRET} own-secret"))
    };
    let strategy = ExecutionStrategy::Parallel {
        max_concurrency: None,
        stop_on_error: false,
    };
    let mut plan = ExecutionPlan::new(
        strategy,
        vec![own, shell(&format!("echo {SECRET} own-secret"))],
    );
    plan.secrets = vec![SECRET.into()];
    let id = engine.execute_plan(plan).await.expect("an accepted plan");
    let result = engine.wait_for_plan(id).await.expect("a result");
    let printed: Vec<&str> = result
        .results
        .iter()
        .map(|step| step.stdout.as_str())
        .collect();
    assert_eq!(printed, ["*** ***\n", "*** own-secret\n"]);
}

#[tokio::test]
async fn a_secret_is_added_while_a_command_runs() {
    let (engine, guard) = engine();
    let recorder = Arc::new(Recorder::default());
    let engine = engine.with_event_handler(Arc::clone(&recorder) as _);
    let go = guard.path().join("go");
    let script = format!(
        "echo {SECRET}; until [ -e {0} ]; do sleep 0.01; done; echo {SECRET}",
        go.display()
    );
    let id = engine.execute(shell(&script)).await.expect("accepted");
    recorder
        .wait_for(|events| {
            events
                .iter()
                .any(|event| matches!(event, ExecutionEvent::Stdout { .. }))
        })
        .await;
    let refused = engine.add_secret(id, "abc").expect_err("too short");
    assert_eq!(
        (refused.code(), refused.field()),
        ("VALIDATION", Some("value"))
    );
    engine.add_secret(id, SECRET).expect("it runs");
    std::fs::write(go, "").expect("a file");
    let result = engine.wait_for_completion(id).await.expect("a result");
    assert_eq!(result.stdout, format!("{SECRET}\n***\n"));
    assert!(result.command.starts_with("echo ***; until"));
    let late = engine.add_secret(id, SECRET).expect_err("it has ended");
    assert!(matches!(late, ExecutionError::AlreadyFinished(_)));
}
