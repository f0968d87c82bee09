//! The promises of what the page may call, kept without a window.

#![cfg(unix)]

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use execution_engine::{ExecutionConfig, ExecutionEngine};
use serde_json::{Value, json};
use tauri::ipc::{CallbackFn, InvokeBody, InvokeResponseBody};
use tauri::test::{
    INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets,
};
use tauri::webview::InvokeRequest;
use tauri::{WebviewUrl, WebviewWindow, WebviewWindowBuilder};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(30);

/// The channel that the page makes.
const CHANNEL: u32 = 7;

/// A page of the application, which is a test.
struct Page {
    window: WebviewWindow<MockRuntime>,
    messages: Receiver<Vec<Value>>,
    _dir: tempfile::TempDir,
}

impl Page {
    fn open() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = ExecutionConfig {
            log_dir: dir.path().join("logs"),
            ..ExecutionConfig::default()
        };
        let (sender, messages) = channel();
        let builder = mock_builder().channel_interceptor(move |_, callback, _, message| {
            assert_eq!(callback.0, CHANNEL);
            let InvokeResponseBody::Json(list) = message else {
                panic!("expected a list in JSON")
            };
            let list = serde_json::from_str(list).expect("a list");
            // Whoever closed the page takes nothing any more.
            drop(sender.send(list));
            true
        });
        let app = execution_app::with_commands(builder)
            .manage(ExecutionEngine::new(config).expect("a configuration"))
            .build(mock_context(noop_assets()))
            .expect("an application");
        let window = WebviewWindowBuilder::new(&app, "main", WebviewUrl::default());
        Self {
            window: window.build().expect("a window"),
            messages,
            _dir: dir,
        }
    }

    /// What a command of the application answers, or why it is refused.
    fn invoke(&self, command: &str, arguments: Value) -> Result<Value, Value> {
        let request = InvokeRequest {
            cmd: command.into(),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().expect("an address"),
            body: InvokeBody::Json(arguments),
            headers: tauri::http::HeaderMap::default(),
            invoke_key: INVOKE_KEY.into(),
        };
        let answer = get_ipc_response(&self.window, request);
        answer.map(|answer| answer.deserialize().expect("JSON"))
    }

    fn start(&self, line: &str) -> Value {
        let request = json!({ "command": { "type": "shell", "command": line } });
        let arguments = json!({ "request": request, "onEvents": format!("__CHANNEL__:{CHANNEL}") });
        self.invoke("start", arguments).expect("accepted")
    }

    /// The next message, which is not acknowledged yet.
    fn message(&self) -> Vec<Value> {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }

    fn take(&self) {
        self.invoke("taken", json!({ "channel": CHANNEL }))
            .expect("an answer");
    }

    /// All messages until one holds what is looked for.
    fn until(&self, found: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        while !all.iter().any(&found) {
            all.extend(self.message());
            self.take();
        }
        all
    }

    fn to_the_end(&self) -> Vec<Value> {
        self.until(|event| event["result"].is_object())
    }
}

fn lines(items: &[Value]) -> Vec<&str> {
    // Where the machine is slow, a line that is not finished is told before it is told as a whole.
    let whole = items.iter().filter(|item| item["unfinished"] != true);
    whole.filter_map(|item| item["line"].as_str()).collect()
}

#[test]
fn every_line_comes_through_the_channel_and_then_the_end() {
    let page = Page::open();
    let id = page.start("seq 20000");
    let events = page.to_the_end();
    let expected: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    assert_eq!(lines(&events), expected);
    assert_eq!(events[0]["event_type"], "started");
    let last = events.last().expect("an end");
    assert_eq!(
        (&last["event_type"], &last["execution_id"]),
        (&json!("completed"), &id)
    );
    let result = page
        .invoke("result", json!({ "id": id }))
        .expect("a result");
    assert_eq!(result["exit_code"], 0);
}

#[test]
fn a_page_that_takes_nothing_holds_the_command_up_and_can_cancel_it() {
    let page = Page::open();
    let id =
        page.start("line=$(head -c 200000 /dev/zero | tr '\\0' x); while :; do echo $line; done");
    let messages: Vec<_> = (0..4).map(|_| page.message()).collect();
    assert_eq!(messages[0][0]["event_type"], "started");
    // Another one would come at once.
    assert!(
        page.messages
            .recv_timeout(Duration::from_millis(500))
            .is_err()
    );
    page.take();
    page.message();
    assert!(
        page.messages
            .recv_timeout(Duration::from_millis(500))
            .is_err()
    );
    page.invoke("cancel", json!({ "id": id, "reason": "enough" }))
        .expect("cancelled");
    let result = page
        .invoke("result", json!({ "id": id }))
        .expect("a result");
    assert_eq!(
        (&result["status"], &result["cancel_reason"]),
        (&json!("cancelled"), &json!("enough"))
    );
}

#[test]
fn a_plan_tells_of_its_steps_by_their_names() {
    let page = Page::open();
    let step = |line: &str| json!({ "command": { "type": "shell", "command": line } });
    let mut second = step("echo 2");
    second["depends_on"] = json!(["first"]);
    let plan = json!({ "steps": { "first": step("echo 1"), "second": second } });
    let arguments = json!({ "plan": plan, "onEvents": format!("__CHANNEL__:{CHANNEL}") });
    let id = page.invoke("start_plan", arguments).expect("accepted");
    let events = page.until(|event| event["event_type"] == "plan_completed");
    let printed = events
        .iter()
        .filter(|event| event["event_type"] == "stdout");
    let printed: Vec<_> = printed
        .map(|event| (&event["step"], &event["line"]))
        .collect();
    assert_eq!(
        printed,
        [
            (&json!("first"), &json!("1")),
            (&json!("second"), &json!("2"))
        ]
    );
    assert_eq!(events.last().expect("an end")["plan_id"], id);
}

#[test]
fn what_runs_is_listed_and_its_log_can_be_paged_and_followed() {
    let page = Page::open();
    let id = page.start("seq 10; sleep 600");
    page.until(|event| event["line"] == "10");
    let list = page
        .invoke("list", json!({ "filter": { "status": "running" } }))
        .expect("a list");
    assert_eq!(list[0]["id"], id);
    let logs = |from: &Value, limit: u64| {
        page.invoke("logs", json!({ "id": id, "from": from, "limit": limit }))
    };
    // What is told was logged, or is about to be.
    let mut first = logs(&json!(0), 4).expect("a page");
    while first["lines"]
        .as_array()
        .is_none_or(|lines| lines.len() < 4)
    {
        first = logs(&json!(0), 4).expect("a page");
    }
    assert_eq!(
        lines(first["lines"].as_array().expect("lines")),
        ["1", "2", "3", "4"]
    );
    page.invoke("cancel", json!({ "id": id }))
        .expect("cancelled");
    page.to_the_end();
    let place =
        json!({ "id": id, "from": first["next"], "onLines": format!("__CHANNEL__:{CHANNEL}") });
    page.invoke("follow", place).expect("followed to its end");
    let rest: Vec<_> = page.messages.try_iter().flatten().collect();
    assert_eq!(lines(&rest), ["5", "6", "7", "8", "9", "10"]);
}

#[test]
fn a_refusal_says_its_code_and_the_field() {
    let page = Page::open();
    let request = json!({ "command": { "type": "exec", "program": "" } });
    let arguments = json!({ "request": request, "onEvents": format!("__CHANNEL__:{CHANNEL}") });
    let refusal = page.invoke("start", arguments).expect_err("a refusal");
    assert_eq!(
        (&refusal["code"], &refusal["field"]),
        (&json!("VALIDATION"), &json!("command.program"))
    );
    let unknown = json!({ "id": uuid::Uuid::nil() });
    let refusal = page.invoke("cancel", unknown).expect_err("a refusal");
    assert_eq!(refusal["code"], "NOT_FOUND");
}
