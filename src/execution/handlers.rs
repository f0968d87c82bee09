//! Who is told of an execution.

use std::sync::Arc;

use crate::api::event::{EventHandler, ExecutionEvent, OutputBatch, OutputStream};

/// Who is told of an execution: the handler of the engine, and its own.
#[derive(Clone, Default)]
pub(crate) struct Handlers(pub Vec<Arc<dyn EventHandler>>);

impl Handlers {
    pub async fn on_event(&self, event: ExecutionEvent) {
        if let Some((last, others)) = self.0.split_last() {
            for handler in others {
                handler.on_event(event.clone()).await;
            }
            last.on_event(event).await;
        }
    }

    pub async fn on_output(&self, batch: OutputBatch) {
        let Some((last, others)) = self.0.split_last() else {
            return;
        };
        for handler in others {
            if handler.wants_output(batch.stream) {
                handler.on_output(batch.clone()).await;
            }
        }
        if last.wants_output(batch.stream) {
            last.on_output(batch).await;
        }
    }

    pub fn wants_output(&self, stream: OutputStream) -> bool {
        self.0.iter().any(|handler| handler.wants_output(stream))
    }

    /// Resolves once all of them could have taken what they were told.
    pub async fn reached(&self) {
        for handler in &self.0 {
            handler.reached().await;
        }
    }

    pub async fn flush(&self) {
        for handler in &self.0 {
            handler.flush().await;
        }
    }
}
