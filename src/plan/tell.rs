//! Tells what becomes of a plan.

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::api::event::ExecutionEvent;
use crate::execution::handlers::Handlers;

/// Tells events in order, without keeping the plan waiting.
pub(super) struct Teller {
    queue: Option<(UnboundedSender<ExecutionEvent>, JoinHandle<()>)>,
}

impl Teller {
    pub fn new(handlers: Handlers, runtime: &Handle) -> Self {
        let tell = |handlers: Handlers| {
            let (queue, mut events) = unbounded_channel();
            let told = runtime.spawn(async move {
                while let Some(event) = events.recv().await {
                    handlers.on_event(event).await;
                }
            });
            (queue, told)
        };
        let listened = !handlers.is_empty();
        Self {
            queue: listened.then(|| tell(handlers)),
        }
    }

    pub fn tell(&self, event: ExecutionEvent) {
        if let Some((queue, _)) = &self.queue {
            // Whoever does not listen any more has panicked.
            drop(queue.send(event));
        }
    }

    /// Resolves when everything was told.
    pub async fn has_told(self) {
        if let Some((queue, told)) = self.queue {
            drop(queue);
            drop(told.await);
        }
    }
}
