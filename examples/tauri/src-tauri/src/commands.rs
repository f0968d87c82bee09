//! What the page may call, with `invoke`. What is passed and told has the names that the crate has: `working_dir`,
//! `event_type`. A refusal rejects with `{ code, message, field, execution_id }`.

use std::sync::Arc;

use execution_engine::{
    ExecutionEngine, ExecutionEvent, ExecutionFilter, ExecutionPlan, ExecutionRequest,
    ExecutionResult, ExecutionSummary, LogLine, LogPage, Result,
};
use tauri::State;
use tauri::async_runtime::spawn;
use tauri::ipc::Channel;
use uuid::Uuid;

use crate::delivery::Deliveries;

type Engine<'a> = State<'a, ExecutionEngine>;

/// Starts a command. All its events come through the channel, from the first one on, in lists.
#[tauri::command]
pub async fn start(
    engine: Engine<'_>,
    deliveries: State<'_, Deliveries>,
    request: ExecutionRequest,
    on_events: Channel<Vec<ExecutionEvent>>,
) -> Result<Uuid> {
    let (id, events) = engine.execute_subscribed(request).await?;
    let deliveries = Deliveries::clone(&deliveries);
    spawn(async move { deliveries.events(events, &on_events).await });
    Ok(id)
}

/// Starts a plan. The events of all its steps come through the channel, and those of its own.
#[tauri::command]
pub async fn start_plan(
    engine: Engine<'_>,
    deliveries: State<'_, Deliveries>,
    plan: ExecutionPlan,
    on_events: Channel<Vec<ExecutionEvent>>,
) -> Result<Uuid> {
    let (id, events) = engine.execute_plan_subscribed(plan).await?;
    let deliveries = Deliveries::clone(&deliveries);
    spawn(async move { deliveries.events(events, &on_events).await });
    Ok(id)
}

/// Ends a command or a plan; resolves once nothing of it is left running.
#[tauri::command]
pub async fn cancel(engine: Engine<'_>, id: Uuid, reason: Option<String>) -> Result<()> {
    match reason {
        Some(reason) => engine.cancel_with_reason(id, reason).await,
        None => engine.cancel(id).await,
    }
}

/// What runs and what has run, the newest first.
#[tauri::command]
pub async fn list(
    engine: Engine<'_>,
    filter: Option<ExecutionFilter>,
) -> Result<Vec<ExecutionSummary>> {
    Ok(engine.list_executions(&filter.unwrap_or_default()).await)
}

/// How a command ended.
#[tauri::command]
pub async fn result(engine: Engine<'_>, id: Uuid) -> Result<Arc<ExecutionResult>> {
    engine.get_result(id).await
}

/// A page of a log, from an offset on; also of an earlier run of the application.
#[tauri::command]
pub async fn logs(engine: Engine<'_>, id: Uuid, from: u64, limit: usize) -> Result<LogPage> {
    engine.read_log_lines(id, from, limit).await
}

/// Follows a log from an offset on, as a page does that was loaded again. Resolves when the last entry is sent, which may be
/// before the page has it.
#[tauri::command]
pub async fn follow(
    engine: Engine<'_>,
    deliveries: State<'_, Deliveries>,
    id: Uuid,
    from: u64,
    on_lines: Channel<Vec<LogLine>>,
) -> Result<()> {
    deliveries
        .log(engine.follow_logs(id, from), &on_lines)
        .await
}

/// The page has taken a message of a channel; the next one may come.
#[tauri::command]
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is called by generated code"
)]
pub fn taken(deliveries: State<'_, Deliveries>, channel: u32) {
    deliveries.taken(channel);
}
