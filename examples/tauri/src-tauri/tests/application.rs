//! The promises of the application's commands, kept without a window.

#![cfg(unix)]

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use execution_engine::{ExecutionConfig, ExecutionEngine};
use serde_json::{Value, json};
use tauri::ipc::{CallbackFn, InvokeBody, InvokeResponseBody};
use tauri::test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets};
use tauri::webview::InvokeRequest;
use tauri::{App, Manager as _, WebviewWindow};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(30);

/// The application, with a page that is a test.
struct Application {
    app: App<MockRuntime>,
    page: WebviewWindow<MockRuntime>,
    /// What the application tells the page, in the words of JavaScript.
    _dir: tempfile::TempDir,
}

impl Application {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = ExecutionConfig {
            log_dir: dir.path().join("logs"),
            ..ExecutionConfig::default()
        };
        let app = execution_app::with_commands(mock_builder())
            .manage(ExecutionEngine::new(config).expect("a configuration"))
            .build(mock_context(noop_assets()))
            .expect("an application");
        let page = tauri::WebviewWindowBuilder::new(&app, "main", tauri::WebviewUrl::default());
        let page = page.build().expect("a window");
        Self {
            app,
            page,
            _dir: dir,
        }
    }
}
