//! Where a command runs, and what it cost.
#![cfg(unix)]

mod common;

use common::{engine, run, shell};
#[cfg(target_os = "linux")]
use execution_engine::ResultErrorCode;
use execution_engine::{Command, ExecutionRequest, InheritEnv};

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
            let seconds: f64 = seconds
                .trim_end_matches('s')
                .replace(',', ".")
                .parse()
                .ok()?;
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
    let command = Command::exec("no-such-program", [""; 0]);
    let result = run(&engine, ExecutionRequest::new(command)).await;
    assert_eq!(result.usage, None);
}

#[tokio::test]
async fn a_variable_without_a_value_is_not_inherited_and_a_list_of_names_is() {
    let (engine, _dir) = engine();
    let print = "echo \"[${PATH-none}] [${HOME-none}] [${A-none}]\"";
    let mut request = shell(print);
    request.command = Command::exec("/bin/sh", ["-c", print]);
    request.env.insert("PATH".into(), None);
    request.env.insert("HOME".into(), Some("own".into()));
    let result = run(&engine, request.clone()).await;
    // The shell has a `PATH` of its own where it is given none.
    assert!(result.stdout.ends_with("[own] [none]\n"), "{result:?}");
    let names = InheritEnv::Names(vec!["HO*".into()]);
    request.id = uuid::Uuid::new_v4();
    request.env = [("A".to_owned(), Some("1".to_owned()))].into();
    request.inherit_env = names;
    let home = std::env::var("HOME").expect("a HOME");
    let result = run(&engine, request).await;
    assert!(
        result.stdout.ends_with(&format!("[{home}] [1]\n")),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_command_has_the_umask_and_the_priority_that_were_asked_for() {
    let (engine, _dir) = engine();
    let mut request = shell("umask; nice");
    request.umask = Some(0o027);
    request.nice = Some(11);
    let result = run(&engine, request).await;
    if cfg!(target_os = "linux") {
        assert_eq!(result.stdout, "0027\n11\n", "{:?}", result.error);
    }
    for (field, wrong) in [
        (
            "umask",
            ExecutionRequest {
                umask: Some(0o1000),
                ..shell("true")
            },
        ),
        (
            "nice",
            ExecutionRequest {
                nice: Some(-21),
                ..shell("true")
            },
        ),
        (
            "user",
            ExecutionRequest {
                user: Some("".into()),
                ..shell("true")
            },
        ),
        (
            "user",
            ExecutionRequest {
                user: Some("no-such-user".into()),
                ..shell("true")
            },
        ),
    ] {
        let error = engine.execute(wrong).await.expect_err("refused");
        assert_eq!(error.field(), Some(field), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_command_runs_as_another_user_where_the_host_may_change_it() {
    use std::os::unix::fs::MetadataExt;

    let (engine, _dir) = engine();
    let host = std::fs::metadata("/proc/self").expect("a process").uid();
    let mut request = shell("id -u; echo $USER");
    request.user = Some("nobody".into());
    request.working_dir = Some("/".into());
    let result = run(&engine, request).await;
    if host == 0 || host == 65_534 {
        assert_eq!(result.stdout, "65534\nnobody\n", "{:?}", result.error);
    } else {
        assert_eq!(result.error_code, Some(ResultErrorCode::SpawnFailed));
    }
}
