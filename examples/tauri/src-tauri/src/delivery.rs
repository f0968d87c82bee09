//! What happens, on its way to the page: no faster than the page takes it.
//!
//! A channel of Tauri has no bound: what is sent into it waits in the memory of the application until the page comes to it.
//! So the page says what it has taken, and only a few messages are on their way in each channel. What cannot be sent yet
//! holds the command back, which blocks on its pipe.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use execution_engine::{ExecutionEvent, LogFollower, LogLine, Result, Subscription};
use tauri::ipc::Channel;
use tokio::sync::Semaphore;

/// How many messages may be on their way in one channel.
const MESSAGES: usize = 4;

/// How many events are in one message at most.
const EVENTS: usize = 500;

/// The channels that something is delivered through, by their ids.
#[derive(Debug, Clone, Default)]
pub struct Deliveries(Arc<Mutex<HashMap<u32, Arc<Semaphore>>>>);

impl Deliveries {
    /// Sends events, until the terminal one is sent or the page has left.
    pub async fn events(&self, mut events: Subscription, page: &Channel<Vec<ExecutionEvent>>) {
        let delivery = self.open(page.id());
        while delivery.has_room().await {
            let next = events.next_many(EVENTS).await;
            if next.is_empty() || page.send(next).is_err() {
                break;
            }
        }
    }

    /// Sends the entries of a log, until all are sent or the page has left. The log is a file: nobody is held back.
    pub async fn log(&self, mut log: LogFollower, page: &Channel<Vec<LogLine>>) -> Result<()> {
        let delivery = self.open(page.id());
        while delivery.has_room().await {
            let next = log.next_many().await?;
            if next.is_empty() || page.send(next).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The page has taken a message. One that nobody waits for any more does not matter.
    pub fn taken(&self, channel: u32) {
        if let Some(room) = self.lock().get(&channel) {
            room.add_permits(1);
        }
    }

    /// The page is gone, or another one: nothing is delivered to it any more, and nothing held back.
    pub fn leave_all(&self) {
        for (_, room) in self.lock().drain() {
            room.close();
        }
    }

    fn open(&self, channel: u32) -> Delivery<'_> {
        let room = Arc::new(Semaphore::new(MESSAGES));
        self.lock().insert(channel, Arc::clone(&room));
        Delivery {
            all: self,
            channel,
            room,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, for as long as it goes on.
struct Delivery<'a> {
    all: &'a Deliveries,
    channel: u32,
    room: Arc<Semaphore>,
}

impl Delivery<'_> {
    /// Waits until one more message may be on its way; `false` once the page has left.
    async fn has_room(&self) -> bool {
        let room = self.room.acquire().await;
        room.map(tokio::sync::SemaphorePermit::forget).is_ok()
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        // A page that was loaded again numbers its channels anew.
        if all
            .get(&self.channel)
            .is_some_and(|room| Arc::ptr_eq(room, &self.room))
        {
            all.remove(&self.channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use execution_engine::{Command, ExecutionConfig, ExecutionEngine, ExecutionRequest};

    use super::*;

    #[tokio::test]
    async fn a_page_that_has_left_holds_nobody_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = ExecutionConfig {
            log_dir: dir.path().join("logs"),
            ..ExecutionConfig::default()
        };
        let engine = ExecutionEngine::new(config).expect("a configuration");
        let line = "line=$(head -c 200000 /dev/zero | tr '\\0' x); for i in $(seq 50); do echo $line; done";
        let request = ExecutionRequest::new(Command::shell(line));
        let (id, events) = engine.execute_subscribed(request).await.expect("accepted");
        let deliveries = Deliveries::default();
        // Nobody acknowledges anything.
        let page = Channel::new(|_| Ok(()));
        let delivered = deliveries.events(events, &page);
        let leave = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let status = engine.get_status(id).await.expect("known");
            assert_eq!(status.as_str(), "running");
            deliveries.leave_all();
        };
        tokio::join!(delivered, leave);
        let result = engine.wait_for_completion(id).await.expect("known");
        assert!(result.success);
    }
}
