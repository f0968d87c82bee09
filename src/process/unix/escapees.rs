//! What has left the group and the session of an execution that ended by itself, and closed its output. To look for it at
//! each end would cost milliseconds, so one look serves all executions that have ended lately.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::looker;
use super::tree::Tree;

/// Between two looks while executions end.
const INTERVAL: Duration = Duration::from_millis(500);

/// An execution that has ended.
#[derive(Debug, Clone)]
struct Ended {
    tree: Tree,
    /// Of its engine.
    grace: Duration,
    /// Where it lived.
    runtime: Handle,
}

/// Those whose escapees have not been looked for, by their serials.
#[derive(Default)]
struct Waiting {
    ended: HashMap<u64, Ended>,
    has_looker: bool,
}

static WAITING: Mutex<Option<Waiting>> = Mutex::new(None);

fn with_waiting<T>(act: impl FnOnce(&mut Waiting) -> T) -> T {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    act(waiting.get_or_insert_default())
}

/// Looks for what an execution may have left quietly, soon, and ends it.
pub(crate) fn end_soon(tree: Tree, grace: Duration) {
    let runtime = Handle::current();
    wait(Ended {
        tree,
        grace,
        runtime,
    });
}

fn wait(ended: Ended) {
    let runtime = ended.runtime.clone();
    let had_looker = with_waiting(|waiting| {
        waiting.ended.insert(ended.tree.mark.serial, ended);
        std::mem::replace(&mut waiting.has_looker, true)
    });
    if !had_looker {
        // Not under the lock: a runtime that is ending drops it at once.
        runtime.spawn(look_again_and_again(Looker::default()));
    }
}

/// Held by the task that looks; dropped with it, also when its runtime ends.
#[derive(Default)]
struct Looker {
    /// Those that it looks for now.
    ended: HashMap<u64, Ended>,
    /// Besides the one that looks again and again.
    is_extra: bool,
}

impl Drop for Looker {
    /// What it has not looked for, and what came since, is left to a task on another runtime, or a later one on this; and
    /// to a thread where all of them have ended.
    fn drop(&mut self) {
        with_waiting(|waiting| {
            waiting.has_looker &= self.is_extra;
            waiting.ended.extend(self.ended.drain());
        });
        let next = || {
            with_waiting(|waiting| {
                let serial = *waiting
                    .ended
                    .keys()
                    .next()
                    .filter(|_| !waiting.has_looker)?;
                waiting.ended.remove(&serial)
            })
        };
        let mut abandoned = Vec::new();
        while let Some(ended) = next() {
            let (runtime, tree) = (ended.runtime.clone(), ended.tree.clone());
            // On a runtime that has ended it is over before it began: then it is the turn of the next.
            if !runtime.spawn(async move { wait(ended) }).is_finished() {
                return;
            }
            abandoned.push(tree);
        }
        if !abandoned.is_empty() {
            let thread = std::thread::Builder::new().name("escher-reaper".into());
            // Without a thread, the guardian ends them with the host.
            let _ = thread.spawn(move || abandoned.iter().for_each(Tree::kill_now));
        }
    }
}

async fn look_again_and_again(mut looker: Looker) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        looker.ended = with_waiting(|waiting| std::mem::take(&mut waiting.ended));
        if looker.ended.is_empty() {
            return;
        }
        for (tree, grace, runtime) in looker.look().await {
            runtime.spawn(end(tree, grace));
        }
    }
}

async fn end(tree: Tree, grace: Duration) {
    let kill_at = Instant::now() + grace;
    tree.end_left(kill_at, std::future::pending()).await;
}

impl Looker {
    /// Looks for what all of them have left. Those of whom the look could not tell are looked for again.
    async fn look(&mut self) -> Vec<(Tree, Duration, Handle)> {
        let queries = self.ended.values().map(|ended| ended.tree.query());
        let found = looker::ask(queries.collect()).await.unwrap_or_default();
        let mut to_end = Vec::new();
        let mut unknown = HashMap::new();
        let ended = std::mem::take(&mut self.ended);
        for ((serial, ended), found) in ended.into_iter().zip(found) {
            if !found.members.is_empty() {
                to_end.push((ended.tree, ended.grace, ended.runtime));
            } else if found.has_missed {
                unknown.insert(serial, ended);
            }
        }
        with_waiting(|waiting| waiting.ended.extend(unknown));
        to_end
    }
}

/// Looks at once for what executions that have ended lately may have left, and resolves when it is ended.
pub(crate) async fn end_now() {
    let mut looker = Looker {
        ended: with_waiting(|waiting| std::mem::take(&mut waiting.ended)),
        is_extra: true,
    };
    if looker.ended.is_empty() {
        return;
    }
    for (tree, grace, _) in looker.look().await {
        end(tree, grace).await;
    }
}
