//! Commands of the system in a window: the engine in an application of Tauri.
//!
//! `commands` is what the page calls, `delivery` how what happens comes to it.

mod commands;
mod delivery;

use execution_engine::{ExecutionConfig, ExecutionEngine};
use tauri::webview::PageLoadEvent;
use tauri::{Builder, Manager, RunEvent, Runtime};

use delivery::Deliveries;

/// Runs the application until its last window is closed. Nothing that it has started is left then.
///
/// # Panics
///
/// If there is no display, or the engine cannot be made.
pub fn run() {
    let app = with_commands(tauri::Builder::default())
        .setup(|app| {
            let logs = app.path().app_log_dir()?;
            // The engine makes its own directory, but not those above it.
            std::fs::create_dir_all(&logs)?;
            let config = ExecutionConfig {
                log_dir: logs.join("executions"),
                max_queued_executions: 100,
                ..ExecutionConfig::default()
            };
            app.manage(ExecutionEngine::new(config)?);
            Ok(())
        })
        .build(tauri::generate_context!())
        .expect("a display and a configuration");
    app.run(|app, event| {
        if let RunEvent::Exit = event {
            let engine = app.state::<ExecutionEngine>();
            tauri::async_runtime::block_on(engine.shutdown());
        }
    });
}

/// What the page may call. The engine is still to be managed.
pub fn with_commands<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    builder
        .manage(Deliveries::default())
        .invoke_handler(tauri::generate_handler![
            commands::start,
            commands::start_plan,
            commands::cancel,
            commands::list,
            commands::result,
            commands::logs,
            commands::follow,
            commands::taken,
        ])
        .on_page_load(|view, page| {
            // Whoever was told before is gone, and nobody will take what waits for it.
            if page.event() == PageLoadEvent::Started {
                view.state::<Deliveries>().leave_all();
            }
        })
}
