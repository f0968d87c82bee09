//! Ending all that an execution has started.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::job::{Job, Member};
use super::wait::ExitWait;
use crate::process::{KILL_TIMEOUT, StopSignal, TreeEnd};

/// What belongs to an execution besides its leader.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(super) job: Arc<Job>,
    pub(super) leader: u32,
}

impl Tree {
    /// The same: nothing is asked here.
    pub fn asked_with(self, _stop_signal: StopSignal) -> Self {
        self
    }

    /// Kills all of it, the leader included, whose end `exited` tells: Windows has no way to ask a process that does not
    /// share a console with the host, and to wait for what was not asked for would help nobody.
    pub async fn end_all(
        &self,
        exited: impl Future<Output = ()>,
        kill_at: Instant,
        hurry: impl Future<Output = ()>,
    ) -> TreeEnd {
        self.job.terminate();
        drop(tokio::time::timeout(KILL_TIMEOUT, exited).await);
        self.end_left(kill_at, hurry).await
    }

    /// Kills what a dead leader has left, at once, and looks again until nothing is found.
    pub async fn end_left(&self, _kill_at: Instant, _hurry: impl Future<Output = ()>) -> TreeEnd {
        let mut end = TreeEnd::default();
        let give_up = Instant::now() + KILL_TIMEOUT;
        loop {
            let members = self.job.members(self.leader);
            if members.is_empty() {
                end.forced = self.job.was_killed();
                return end;
            }
            if Instant::now() >= give_up {
                let pids = members.iter().map(|member| member.pid.cast_signed());
                end.survivors = pids.collect();
                end.forced = true;
                return end;
            }
            end.found = true;
            self.job.terminate();
            drop(tokio::time::timeout_at(give_up, all_gone(members)).await);
        }
    }
}

/// Resolves when all of them are dead.
async fn all_gone(members: Vec<Member>) {
    for member in members {
        match member.process.map(ExitWait::new) {
            Some(Ok(mut wait)) => wait.done().await,
            // What may not be watched is looked for again soon.
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
