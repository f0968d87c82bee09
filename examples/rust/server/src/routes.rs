//! What can be called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use execution_engine::{
    ExecutionEngine, ExecutionError, ExecutionFilter, ExecutionRequest, ExecutionStatus,
    ExecutionSummary, LogPage, Subscription,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::access::{self, Token};
use crate::refusal::Refusal;
use crate::stream::{self, Source};

/// How long the beginning of what a command tells is kept for the first who watches it. Until then its output holds it up
/// once its pipe is full; afterwards it goes on unwatched, and its log has what it printed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The entries of a page of a log when nothing else is said.
const PAGE: usize = 1000;

type Answer<T> = Result<T, Refusal>;

/// What all calls share. Clones are the same.
#[derive(Clone)]
pub struct Service {
    engine: ExecutionEngine,
    unwatched: Arc<Mutex<HashMap<Uuid, Subscription>>>,
    /// Held by each who watches.
    watching: mpsc::Sender<()>,
}

impl Service {
    pub fn new(engine: ExecutionEngine, watching: mpsc::Sender<()>) -> Self {
        let unwatched = Arc::default();
        Self {
            engine,
            unwatched,
            watching,
        }
    }

    fn unwatched(&self) -> MutexGuard<'_, HashMap<Uuid, Subscription>> {
        self.unwatched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the beginning for the first who watches.
    fn keep(&self, id: Uuid, events: Subscription) {
        self.unwatched().insert(id, events);
        let service = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            service.unwatched().remove(&id);
        });
    }

    /// All events for the first who watches, those from now on for others.
    fn watch(&self, id: Uuid) -> Result<Subscription, ExecutionError> {
        let kept = self.unwatched().remove(&id);
        kept.map_or_else(|| self.engine.subscribe(id), Ok)
    }
}

pub fn router(service: Service, token: Token) -> Router {
    Router::new()
        .route("/executions", post(start).get(list))
        .route("/executions/{id}", get(status).delete(cancel))
        .route("/executions/{id}/events", get(events))
        .route("/executions/{id}/log", get(log))
        .route("/executions/{id}/lines", get(lines))
        .layer(middleware::from_fn_with_state(token, access::check))
        .with_state(service)
}

async fn start(
    State(service): State<Service>,
    request: Result<Json<ExecutionRequest>, JsonRejection>,
) -> Answer<(StatusCode, Json<Value>)> {
    let Json(request) = request?;
    let (id, events) = service.engine.execute_subscribed(request).await?;
    service.keep(id, events);
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

/// Which executions are listed.
#[derive(Deserialize)]
struct Wanted {
    status: Option<ExecutionStatus>,
    source: Option<String>,
    limit: Option<usize>,
}

async fn list(
    State(service): State<Service>,
    Query(wanted): Query<Wanted>,
) -> Json<Vec<ExecutionSummary>> {
    let filter = ExecutionFilter {
        status: wanted.status,
        source: wanted.source,
        limit: wanted.limit,
        ..ExecutionFilter::default()
    };
    Json(service.engine.list_executions(&filter).await)
}

/// Where it stands, and how it ended, once it has.
async fn status(State(service): State<Service>, Path(id): Path<Uuid>) -> Answer<Json<Value>> {
    let status = service.engine.get_status(id).await?;
    let result = service.engine.get_result(id).await.ok();
    Ok(Json(
        json!({ "id": id, "status": status, "result": result }),
    ))
}

/// Answers once nothing of it is left running.
async fn cancel(State(service): State<Service>, Path(id): Path<Uuid>) -> Answer<StatusCode> {
    service.engine.cancel(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where in a log to begin, and how much of it is wanted.
#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

async fn log(
    State(service): State<Service>,
    Path(id): Path<Uuid>,
    Query(place): Query<Place>,
) -> Answer<Json<LogPage>> {
    let limit = place.limit.unwrap_or(PAGE);
    Ok(Json(
        service.engine.read_log_lines(id, place.from, limit).await?,
    ))
}

/// What happens, as it happens: lists of events. Who does not take them holds the command up.
async fn events(
    State(service): State<Service>,
    Path(id): Path<Uuid>,
    socket: WebSocketUpgrade,
) -> Answer<Response> {
    let source = Source::Events(service.watch(id)?);
    Ok(socket.on_upgrade(|socket| stream::pass_on(socket, source, service.watching)))
}

/// The log from an offset on, as it grows: lists of entries, each with the offset to go on after it. Holds nobody up.
async fn lines(
    State(service): State<Service>,
    Path(id): Path<Uuid>,
    Query(place): Query<Place>,
    socket: WebSocketUpgrade,
) -> Response {
    let source = Source::Log(service.engine.follow_logs(id, place.from));
    socket.on_upgrade(|socket| stream::pass_on(socket, source, service.watching))
}
