//! Who is told of an execution.

use std::sync::Arc;

use crate::api::event::{EventHandler, ExecutionEvent, OutputBatch, OutputChunk, OutputStream};

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

    pub async fn on_bytes(&self, chunk: OutputChunk) {
        let Some((last, others)) = self.0.split_last() else {
            return;
        };
        for handler in others {
            if handler.wants_bytes(chunk.stream) {
                handler.on_bytes(chunk.clone()).await;
            }
        }
        if last.wants_bytes(chunk.stream) {
            last.on_bytes(chunk).await;
        }
    }

    /// Tells of a line that is not finished.
    pub async fn on_unfinished(&self, stream: OutputStream, event: ExecutionEvent) {
        for handler in &self.0 {
            if handler.wants_output(stream) && handler.wants_unfinished() {
                handler.on_event(event.clone()).await;
            }
        }
    }

    pub fn wants_bytes(&self, stream: OutputStream) -> bool {
        self.0.iter().any(|handler| handler.wants_bytes(stream))
    }

    pub fn wants_unfinished(&self, stream: OutputStream) -> bool {
        let wants = |handler: &Arc<dyn EventHandler>| {
            handler.wants_output(stream) && handler.wants_unfinished()
        };
        self.0.iter().any(wants)
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
