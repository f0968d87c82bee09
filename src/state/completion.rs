//! Something that ends once, and those who wait for it.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// How something ended, once it has.
#[derive(Debug)]
pub(crate) struct Completion<T> {
    result: OnceLock<Arc<T>>,
    announced: Notify,
}

impl<T> Default for Completion<T> {
    fn default() -> Self {
        Self {
            result: OnceLock::new(),
            announced: Notify::new(),
        }
    }
}

impl<T> Completion<T> {
    pub fn get(&self) -> Option<&Arc<T>> {
        self.result.get()
    }

    /// The first result stays.
    pub fn set(&self, result: Arc<T>) {
        drop(self.result.set(result));
    }

    pub fn get_or_set(&self, result: impl FnOnce() -> Arc<T>) -> Arc<T> {
        Arc::clone(self.result.get_or_init(result))
    }

    /// Wakes who waits. Apart from `set`, so that the terminal event is told first.
    pub fn announce(&self) {
        self.announced.notify_waiters();
    }

    /// Resolves when it has ended.
    pub async fn wait(&self) -> Arc<T> {
        loop {
            let announced = self.announced.notified();
            if let Some(result) = self.get() {
                return Arc::clone(result);
            }
            announced.await;
        }
    }
}
