//! The class behind `followLogs` of `index.js`.

use std::sync::Arc;

use napi_derive::napi;
use tokio::sync::{Mutex, Notify};

use super::answer::{answer, internal};
use super::channel::Shared;
use super::message::Value;
use crate::api::log::LogPage;
use crate::execution::output::follow::LogFollower;

/// Follows one log.
#[napi]
pub struct NativeLogFollower {
    follower: Arc<Mutex<LogFollower>>,
    stopped: Arc<Notify>,
    channel: Arc<Shared>,
}

impl NativeLogFollower {
    pub(super) fn new(follower: LogFollower, channel: Arc<Shared>) -> Self {
        Self {
            follower: Arc::new(Mutex::new(follower)),
            stopped: Arc::default(),
            channel,
        }
    }
}

#[napi]
impl NativeLogFollower {
    /// Settles `token` with the next entries, as JSON of a page; with nothing when there are none to come, or when it is
    /// stopped. To be called again once that has settled.
    #[napi(catch_unwind)]
    pub fn next(&self, token: u32) {
        let (follower, stopped) = (Arc::clone(&self.follower), Arc::clone(&self.stopped));
        answer(&self.channel, token, async move {
            let mut follower = follower.lock().await;
            let lines = tokio::select! {
                biased;
                () = stopped.notified() => return Ok(Value::Undefined),
                lines = follower.next_many() => lines?,
            };
            let Some(last) = lines.last() else {
                return Ok(Value::Undefined);
            };
            let (next, ended) = (last.offset, false);
            let page = LogPage { lines, next, ended };
            serde_json::to_string(&page)
                .map(Value::text)
                .map_err(internal)
        });
    }

    /// Ends it: what waits for entries is told that there are none.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        self.stopped.notify_one();
    }
}

impl Drop for NativeLogFollower {
    fn drop(&mut self) {
        self.stopped.notify_one();
    }
}
