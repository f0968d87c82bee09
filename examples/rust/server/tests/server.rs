//! The promises of the server, kept through HTTP and WebSocket by the program itself.

#![cfg(unix)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Longer than anything takes here: what has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, killed when it is dropped, and its logs.
struct Server {
    child: Child,
    address: String,
    token: String,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_execution-server"))
            .env("TMPDIR", dir.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a server");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .await
            .expect("its first line");
        let (url, token) = line.trim().split_once(' ').expect("an address and a token");
        Self {
            address: url.strip_prefix("http://").expect("an address").into(),
            token: token.into(),
            child,
            _dir: dir,
        }
    }

    /// A call, with the status and the JSON that it is answered with.
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.call_as(&self.token, method, path, body).await
    }

    async fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let body = body.map(|json| json.to_string()).unwrap_or_default();
        let known = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{known}connection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.address)
            .await
            .expect("a connection");
        stream
            .write_all((head + &body).as_bytes())
            .await
            .expect("sent");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        timeout(PATIENCE, read)
            .await
            .expect("an answer")
            .expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).expect("a status");
        let json = serde_json::from_str(body).unwrap_or(Value::Null);
        (status.parse().expect("a status"), json)
    }

    /// Starts a line of the shell.
    async fn shell(&self, line: &str) -> String {
        self.execute(json!({ "command": { "type": "shell", "command": line } }))
            .await
    }

    async fn execute(&self, request: Value) -> String {
        let (status, answer) = self.call("POST", "/executions", Some(request)).await;
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_str().expect("an id").into()
    }

    async fn open(&self, path: &str) -> Socket {
        let url = format!("ws://{}{path}", self.address);
        let mut request = url.into_client_request().expect("an address");
        let token = format!("Bearer {}", self.token).parse().expect("a header");
        request.headers_mut().insert("authorization", token);
        let stream = TcpStream::connect(&self.address)
            .await
            .expect("a connection");
        let opened = tokio_tungstenite::client_async(request, stream).await;
        Socket(opened.expect("a WebSocket").0)
    }

    async fn events(&self, id: &str) -> Socket {
        self.open(&format!("/executions/{id}/events")).await
    }

    fn ask_to_stop(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let asked = std::process::Command::new("kill").arg(pid).status();
        assert!(asked.expect("kill").success());
    }

    /// The most memory that it has had, in KiB.
    #[cfg(target_os = "linux")]
    fn peak(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let digits = line.expect("a peak").trim().trim_end_matches(" kB");
        digits.parse().expect("a number")
    }
}

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// The next list, or how the server has closed it.
    async fn next(&mut self) -> Result<Vec<Value>, Option<CloseFrame>> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("a message");
            match message.expect("a message").expect("a connection") {
                Message::Text(text) => return Ok(serde_json::from_str(&text).expect("a list")),
                Message::Close(frame) => return Err(frame),
                _ => {}
            }
        }
    }

    /// All that there is to come, and how it ends.
    async fn rest(&mut self) -> (Vec<Value>, Option<CloseFrame>) {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Ok(items) => all.extend(items),
                Err(frame) => return (all, frame),
            }
        }
    }

    /// Reads until a line was printed.
    async fn until(&mut self, line: &str) {
        while !lines(&self.next().await.expect("more")).contains(&line) {}
    }
}

/// What was printed.
fn lines(items: &[Value]) -> Vec<&str> {
    // Where the machine is slow, a line that is not finished is told before it is told as a whole.
    let whole = items.iter().filter(|item| item["unfinished"] != true);
    whole.filter_map(|item| item["line"].as_str()).collect()
}

fn last_type(events: &[Value]) -> &str {
    let last = events.last().and_then(|event| event["event_type"].as_str());
    last.unwrap_or_default()
}

/// A number of seconds to sleep that marks a process: nobody else sleeps just that long.
fn mark() -> String {
    format!("600.{:09}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000)
}

fn lives(mark: &str) -> bool {
    let list = std::process::Command::new("ps")
        .args(["-A", "-o", "args="])
        .output();
    let list = list.expect("a list of processes").stdout;
    String::from_utf8_lossy(&list)
        .lines()
        .any(|line| line.contains(mark))
}

async fn is_gone(mark: &str) -> bool {
    let begin = Instant::now();
    while lives(mark) {
        if begin.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

#[tokio::test]
async fn every_line_arrives_in_order_and_then_the_end() {
    let server = Server::start().await;
    let id = server.shell("seq 20000; echo done >&2").await;
    let (events, closed) = server.events(&id).await.rest().await;
    let expected: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    let on = |stream: &str| {
        let events = events.iter().filter(|event| event["event_type"] == stream);
        lines(&events.cloned().collect::<Vec<_>>())
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(events[0]["event_type"], "started");
    assert_eq!(on("stdout"), expected);
    assert_eq!(on("stderr"), ["done"]);
    assert_eq!(last_type(&events), "completed");
    assert_eq!(closed.map(|frame| frame.code.into()), Some(1000_u16));
    let (status, known) = server.call("GET", &format!("/executions/{id}"), None).await;
    assert_eq!((status, &known["status"]), (200, &json!("completed")));
    assert_eq!(known["result"]["exit_code"], 0);
}

#[tokio::test]
async fn a_cancel_is_answered_when_nothing_is_left_and_told_to_who_watches() {
    let server = Server::start().await;
    let mark = mark();
    let id = server
        .shell(&format!("echo ready; sleep {mark} & sleep {mark}"))
        .await;
    let mut socket = server.events(&id).await;
    socket.until("ready").await;
    let (_, running) = server.call("GET", "/executions?status=running", None).await;
    assert_eq!(running[0]["id"], json!(id));
    let (status, _) = server
        .call("DELETE", &format!("/executions/{id}"), None)
        .await;
    assert_eq!(status, 204);
    assert!(!lives(&mark));
    let (events, _) = socket.rest().await;
    assert_eq!(last_type(&events), "cancelled");
    let (status, refusal) = server
        .call("DELETE", &format!("/executions/{id}"), None)
        .await;
    assert_eq!(
        (status, &refusal["code"]),
        (409, &json!("ALREADY_FINISHED"))
    );
}

/// Prints lines of a million bytes, and writes the number of each into a file afterwards.
fn flood(dir: &tempfile::TempDir) -> (Value, std::path::PathBuf) {
    let progress = dir.path().join("progress");
    let line = format!(
        "line=$(head -c 1000000 /dev/zero | tr '\\0' x); \
         for i in $(seq 60); do echo $line; echo $i > '{}'; done",
        progress.display()
    );
    let command = json!({ "type": "shell", "command": line });
    let request = json!({
        "command": command,
        "log_output": false,
        // The end tells what was kept once more.
        "max_output_size_bytes": 1000,
    });
    (request, progress)
}

/// Waits until the command has not got on for a second; returns how far it has got.
async fn held(progress: &std::path::Path) -> u64 {
    let mut before = None;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let text = std::fs::read_to_string(progress).unwrap_or_default();
        let now: Option<u64> = text.trim().parse().ok();
        if now.is_some() && now == before {
            return now.unwrap_or_default();
        }
        before = now;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_stops_reading_holds_the_command_and_not_the_memory() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (request, progress) = flood(&dir);
    let id = server.execute(request).await;
    let mut socket = server.events(&id).await;
    let got = held(&progress).await;
    assert!(got < 30, "{got} MB were printed while nobody read");
    let (events, _) = socket.rest().await;
    assert_eq!(lines(&events).len(), 60);
    assert_eq!(last_type(&events), "completed");
    let peak = server.peak();
    assert!(peak < 40 * 1024, "{peak} KiB");
}

#[tokio::test]
async fn the_first_who_watches_is_told_from_the_beginning_however_late() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (request, progress) = flood(&dir);
    let id = server.execute(request).await;
    held(&progress).await;
    let (events, _) = server.events(&id).await.rest().await;
    assert_eq!(events[0]["event_type"], "started");
    assert_eq!(lines(&events).len(), 60);
}

#[tokio::test]
async fn who_does_not_read_does_not_keep_a_cancel_from_its_work() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (request, progress) = flood(&dir);
    let id = server.execute(request).await;
    let _unread = server.events(&id).await;
    held(&progress).await;
    let (status, _) = server
        .call("DELETE", &format!("/executions/{id}"), None)
        .await;
    assert_eq!(status, 204);
    let (_, known) = server.call("GET", &format!("/executions/{id}"), None).await;
    assert_eq!(known["status"], "cancelled");
}

#[tokio::test]
async fn who_leaves_lets_the_command_go_on() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (request, progress) = flood(&dir);
    let id = server.execute(request).await;
    let mut socket = server.events(&id).await;
    held(&progress).await;
    socket.0.close(None).await.expect("closed");
    drop(socket);
    let path = format!("/executions/{id}");
    let begin = Instant::now();
    while server.call("GET", &path, None).await.1["status"] == "running" {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        server.call("GET", &path, None).await.1["status"],
        "completed"
    );
}

#[tokio::test]
async fn who_comes_back_goes_on_in_the_log_without_loss_or_double() {
    let server = Server::start().await;
    let go = tempfile::tempdir().expect("a directory");
    let file = go.path().join("go").display().to_string();
    let id = server
        .shell(&format!(
            "seq 500; until [ -e '{file}' ]; do sleep 0.01; done; seq 501 1000"
        ))
        .await;
    let mut seen = Vec::new();
    let mut from = 0;
    let mut socket = server.open(&format!("/executions/{id}/lines?from=0")).await;
    while seen.len() < 500 {
        for entry in socket.next().await.expect("more") {
            from = entry["offset"].as_u64().expect("an offset");
            seen.push(entry);
        }
    }
    drop(socket);
    std::fs::write(&file, "").expect("written");
    let (rest, closed) = server
        .open(&format!("/executions/{id}/lines?from={from}"))
        .await
        .rest()
        .await;
    seen.extend(rest);
    let expected: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    assert_eq!(lines(&seen), expected);
    assert_eq!(closed.map(|frame| frame.code.into()), Some(1000_u16));
    let (_, page) = server
        .call(
            "GET",
            &format!("/executions/{id}/log?from={from}&limit=2"),
            None,
        )
        .await;
    assert_eq!(
        lines(page["lines"].as_array().expect("lines")),
        ["501", "502"]
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_field_is_named() {
    let server = Server::start().await;
    let empty = json!({ "command": { "type": "exec", "program": "" } });
    let (status, refusal) = server.call("POST", "/executions", Some(empty)).await;
    assert_eq!(
        (status, &refusal["field"]),
        (422, &json!("command.program"))
    );
    let wrong = json!({ "command": { "type": "exec", "program": "true" }, "timeout_ms": "soon" });
    let (status, refusal) = server.call("POST", "/executions", Some(wrong)).await;
    assert_eq!((status, &refusal["code"]), (422, &json!("VALIDATION")));
    assert!(
        refusal["message"]
            .as_str()
            .is_some_and(|message| message.contains("timeout_ms"))
    );
    let unknown = format!("/executions/{}", uuid::Uuid::new_v4());
    let (status, refusal) = server.call("GET", &unknown, None).await;
    assert_eq!((status, &refusal["code"]), (404, &json!("NOT_FOUND")));
}

#[tokio::test]
async fn who_does_not_know_the_token_starts_nothing() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("started");
    let request = json!({ "command": { "type": "exec", "program": "touch", "args": [file] } });
    for wrong in ["", "nothing", &server.token[1..]] {
        let (status, _) = server
            .call_as(wrong, "POST", "/executions", Some(request.clone()))
            .await;
        assert_eq!(status, 401);
    }
    // A page has no other way to open a WebSocket.
    let path = format!("/executions?token={}", server.token);
    let (status, list) = server.call_as("", "GET", &path, None).await;
    assert_eq!((status, list), (200, json!([])));
    assert!(!file.exists());
}

#[tokio::test]
async fn asked_to_stop_it_tells_who_watches_and_leaves_nothing() {
    let mut server = Server::start().await;
    let mark = mark();
    let id = server
        .shell(&format!("echo ready; sleep {mark} & sleep {mark}"))
        .await;
    let mut socket = server.events(&id).await;
    socket.until("ready").await;
    server.ask_to_stop();
    let (events, closed) = socket.rest().await;
    assert_eq!(last_type(&events), "cancelled");
    assert_eq!(closed.map(|frame| frame.code.into()), Some(1000_u16));
    let ended = timeout(PATIENCE, server.child.wait())
        .await
        .expect("an end");
    assert!(ended.expect("an end").success());
    assert!(!lives(&mark));
}

#[tokio::test]
async fn killed_it_leaves_nothing() {
    let mut server = Server::start().await;
    let mark = mark();
    let id = server
        .shell(&format!("setsid sleep {mark} & echo ready; sleep {mark}"))
        .await;
    server.events(&id).await.until("ready").await;
    assert!(lives(&mark));
    server.child.kill().await.expect("killed");
    assert!(is_gone(&mark).await);
}
