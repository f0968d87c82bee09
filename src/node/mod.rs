//! The Node door: what `index.js` and `lib/` call, and how the engine calls back.
//!
//! Everything that goes to JavaScript goes through one queue per evaluation of the package, in order: lines,
//! events, results, answers. So a promise never settles before the lines that came before it were seen.
#![expect(unsafe_code, reason = "values for JavaScript are made here")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "Node-API hands over values, not references"
)]

mod door;
mod engine;
mod failure;
mod handler;
mod message;
mod text;

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// The runtime of all engines in this process. It is never shut down: a worker thread that ends takes its own
/// executions with it, and no one else's.
fn runtime() -> Result<&'static Handle, std::io::Error> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle());
    }
    let runtime = Builder::new_multi_thread()
        .thread_name("escher-engine")
        // Two: one may be held up by a large batch while the other keeps the deadlines.
        .worker_threads(2)
        // The default, which would be looked for in a variable: another thread may be changing one.
        .thread_stack_size(2 * 1024 * 1024)
        .enable_io()
        .enable_time()
        .build()?;
    // Another JavaScript thread may have been faster; its runtime is as good.
    Ok(RUNTIME.get_or_init(|| runtime).handle())
}
