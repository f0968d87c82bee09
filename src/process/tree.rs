//! Ending all that an execution has started.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::sweep::{self, Member};
use super::unix::register;
use super::{PATIENCE, TreeEnd};

/// What belongs to an execution besides the leader of its group.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// The group, as long as its leader is not reaped: from then on its number may be another's.
    pub group: Option<i32>,
    /// The mark that escapees carry; `None`: what has left the group is let go.
    pub mark: Option<Uuid>,
}

impl Tree {
    /// Its live processes besides the leader.
    async fn members(&self) -> Vec<Member> {
        // A process in the middle of executing a program shows no environment for some microseconds.
        for _ in 0..3 {
            let processes = sweep::processes().await;
            let members: Vec<Member> = processes
                .iter()
                .filter(|process| Some(process.pid) != self.group)
                .filter(|process| {
                    Some(process.group) == self.group
                        || (process.mark.is_some() && process.mark == self.mark)
                })
                .filter_map(Member::confirm)
                .collect();
            if !members.is_empty() || !processes.iter().any(|process| process.unclear) {
                return members;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Vec::new()
    }

    /// Asks those that carry the mark and have left the group to end.
    pub async fn ask_escapees(&self) {
        let Some(mark) = self.mark else { return };
        for process in sweep::processes().await.iter() {
            if process.mark == Some(mark)
                && Some(process.group) != self.group
                && let Some(member) = Member::confirm(process)
            {
                member.signal(libc::SIGTERM);
                member.signal(libc::SIGCONT);
            }
        }
    }

    /// Remembers it for a later look, as [`look_for_escapees_soon`] tells.
    pub fn look_for_escapees_soon(&self, grace: Duration) {
        if let Some(id) = self.mark {
            look_for_escapees_soon(id, grace);
        }
    }

    /// Ends all of it: asks, waits until `kill_at` or `hurry`, kills, and looks again until nothing is found.
    pub async fn end(&self, kill_at: Instant, hurry: impl Future<Output = ()> + Send) -> TreeEnd {
        let mut end = TreeEnd::default();
        let mut members = self.members().await;
        while !members.is_empty() && members.iter().all(|member| member.exiting) {
            // What has ended its output is often still on its way out. It was not left running.
            let gone = timeout_at(kill_at, all_gone(members)).await;
            members = self.members().await;
            if gone.is_err() {
                break;
            }
        }
        if members.is_empty() {
            return end;
        }
        end.found = true;
        for member in &members {
            member.signal(libc::SIGTERM);
            member.signal(libc::SIGCONT);
        }
        tokio::select! {
            () = all_gone(members) => {}
            () = tokio::time::sleep_until(kill_at) => {}
            () = hurry => {}
        }
        let give_up = Instant::now() + PATIENCE;
        loop {
            let members = self.members().await;
            if members.is_empty() {
                return end;
            }
            if Instant::now() >= give_up {
                end.unkillable = members.iter().map(|member| member.pid).collect();
                return end;
            }
            end.forced = true;
            for member in &members {
                member.signal(libc::SIGKILL);
            }
            drop(timeout_at(give_up, all_gone(members)).await);
        }
    }
}

/// Resolves when all of them are dead.
async fn all_gone(members: Vec<Member>) {
    for member in members {
        match member
            .into_pidfd()
            .map(|fd| register(fd, Interest::READABLE))
        {
            Some(Ok(pidfd)) => drop(pidfd.readable().await),
            // Without a descriptor nothing tells of the end of a process that is not a child: look again soon.
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Ended executions whose escapees have not been looked for.
struct Ended {
    ids: HashSet<Uuid>,
    sweeping: bool,
}

static ENDED: Mutex<Option<Ended>> = Mutex::new(None);

fn ended() -> MutexGuard<'static, Option<Ended>> {
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks for quiet escapees while executions end.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Remembers an execution that has ended by itself: a process that left its group and closed its output is
/// looked for soon, with those of all others that end meanwhile, and ended.
fn look_for_escapees_soon(id: Uuid, grace: Duration) {
    let mut ended = ended();
    let ended = ended.get_or_insert_with(|| Ended {
        ids: HashSet::new(),
        sweeping: false,
    });
    ended.ids.insert(id);
    if !ended.sweeping {
        ended.sweeping = true;
        tokio::spawn(sweep_escapees(Sweeping, grace));
    }
}

/// Held by the task that sweeps; dropped with it, also when its runtime ends.
struct Sweeping;

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(ended) = ended().as_mut() {
            ended.sweeping = false;
        }
    }
}

async fn sweep_escapees(sweeping: Sweeping, grace: Duration) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let ids = match ended().as_mut() {
            Some(ended) if !ended.ids.is_empty() => std::mem::take(&mut ended.ids),
            _ => break,
        };
        let processes = sweep::processes().await;
        let escaped: HashSet<Uuid> = processes
            .iter()
            .filter_map(|p| p.mark)
            .filter(|mark| ids.contains(mark))
            .collect();
        for id in escaped {
            let tree = Tree {
                group: None,
                mark: Some(id),
            };
            tokio::spawn(async move {
                tree.end(Instant::now() + grace, std::future::pending())
                    .await;
            });
        }
    }
    sweep::forget().await;
    drop(sweeping);
    // One that came between the last look and the end of this task would otherwise wait for the next.
    let id = ended()
        .as_ref()
        .and_then(|ended| ended.ids.iter().next().copied());
    if let Some(id) = id {
        look_for_escapees_soon(id, grace);
    }
}
