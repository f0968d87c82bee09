//! Ending all that an execution has started.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::child::may_have_company;
use super::pipe::register;
use super::signal::signal_group;
use super::sweep::{self, Member, Process};
use crate::process::{Asked, PATIENCE, TreeEnd};

/// Between two looks where nothing tells of an end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What belongs to an execution besides the leader of its group.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// The group, as long as its leader is not reaped: from then on its number may be another's.
    pub group: Option<i32>,
    /// The mark that escapees carry; `None`: what has left the group is let go.
    pub mark: Option<Uuid>,
}

/// What was found of a tree.
#[derive(Debug, Default)]
struct Found {
    members: Vec<Member>,
    /// Where nothing else was found: what was seen, but was gone or another at the second look, again and again. It
    /// leaves successors behind.
    elusive: Vec<i32>,
}

impl Found {
    fn is_nothing(&self) -> bool {
        self.members.is_empty() && self.elusive.is_empty()
    }

    fn is_exiting(&self) -> bool {
        !self.members.is_empty() && self.members.iter().all(|member| member.exiting)
    }
}

impl Tree {
    /// Its live processes besides the leader.
    async fn find(&self) -> Found {
        let mut found = Found::default();
        // A process that becomes a daemon changes from one look to the next.
        for _ in 0..3 {
            let processes = sweep::processes().await;
            let seen: Vec<&Process> = processes.iter().filter(|seen| self.has(seen)).collect();
            found.members = seen
                .iter()
                .filter_map(|seen| Member::confirm(seen))
                .collect();
            if !found.members.is_empty() {
                found.elusive.clear();
                return found;
            }
            found.elusive = seen.iter().map(|seen| seen.pid).collect();
            if seen.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        found
    }

    fn has(&self, process: &Process) -> bool {
        Some(process.pid) != self.group
            && (Some(process.group) == self.group
                || (process.mark.is_some() && process.mark == self.mark))
    }

    /// The group at once, since no child that is born meanwhile escapes that, and what has left it one by one.
    fn signal(&self, members: &[Member], signal: i32) {
        if let Some(group) = self.group {
            signal_group(group, signal);
        }
        for member in members {
            if Some(member.group) != self.group {
                member.signal(signal);
            }
        }
    }

    /// Asks those that carry the mark and have left the group to end; returns who that was.
    pub async fn ask_escapees(&self) -> Asked {
        let mut asked = Asked::new();
        let Some(mark) = self.mark else { return asked };
        for process in sweep::processes().await.iter() {
            if process.mark == Some(mark)
                && Some(process.group) != self.group
                && let Some(member) = Member::confirm(process)
            {
                member.signal(libc::SIGTERM);
                member.signal(libc::SIGCONT);
                asked.insert(member.pid);
            }
        }
        asked
    }

    /// Asks what does not count as company of the leader to end: that which runs at the lowest priority, as a dead leader
    /// does. There is hardly ever any.
    pub fn ask_unseen(&self) {
        if let Some(group) = self.group {
            signal_group(group, libc::SIGTERM);
        }
    }

    /// Remembers it for a later look, as [`look_for_escapees_soon`] tells.
    pub fn look_for_escapees_soon(&self, grace: Duration) {
        if let Some(id) = self.mark {
            look_for_escapees_soon(id, grace);
        }
    }

    /// Asks those that were not asked yet; `None`: nobody was. Many programs take a second request for impatience, and
    /// end without putting anything in order.
    fn ask(&self, members: &[Member], asked: Option<&Asked>) {
        let Some(asked) = asked else {
            self.signal(members, libc::SIGTERM);
            return self.signal(members, libc::SIGCONT);
        };
        for member in members {
            if Some(member.group) != self.group && !asked.contains(&member.pid) {
                member.signal(libc::SIGTERM);
                member.signal(libc::SIGCONT);
            }
        }
    }

    /// Ends all of it: asks, waits until `kill_at` or `hurry`, kills, and looks again until nothing is found. Where some
    /// were `asked` before, so was the group.
    pub async fn end(
        &self,
        asked: Option<&Asked>,
        kill_at: Instant,
        hurry: impl Future<Output = ()> + Send,
    ) -> TreeEnd {
        if !sweep::can_look() {
            return self.end_unseen(asked, kill_at, hurry).await;
        }
        let mut end = TreeEnd::default();
        let mut found = self.find().await;
        while found.is_exiting() {
            // What has ended its output is often still on its way out. It was not left running.
            let gone = timeout_at(kill_at, all_gone(found.members)).await;
            found = self.find().await;
            if gone.is_err() {
                break;
            }
        }
        if found.is_nothing() {
            self.kill_unseen();
            return end;
        }
        end.found = true;
        self.ask(&found.members, asked);
        tokio::select! {
            () = all_gone(found.members) => {}
            () = tokio::time::sleep_until(kill_at) => {}
            () = hurry => {}
        }
        let give_up = Instant::now() + PATIENCE;
        loop {
            let found = self.find().await;
            if found.is_nothing() {
                self.kill_unseen();
                return end;
            }
            if Instant::now() >= give_up {
                let members = found.members.iter().map(|member| member.pid);
                end.unkillable = members.chain(found.elusive).collect();
                return end;
            }
            end.forced = true;
            self.signal(&found.members, libc::SIGKILL);
            drop(timeout_at(give_up, all_gone(found.members)).await);
        }
    }

    /// Kills what no look finds: a chain of processes of which each starts the next and ends, faster than they can be
    /// read one after another. Most often there is nothing, or what is dead already.
    fn kill_unseen(&self) {
        if let Some(group) = self.group {
            signal_group(group, libc::SIGKILL);
        }
    }

    /// Where processes cannot be looked at, there is the group, and the question whether its leader is alone in it.
    async fn end_unseen(
        &self,
        asked: Option<&Asked>,
        kill_at: Instant,
        hurry: impl Future<Output = ()> + Send,
    ) -> TreeEnd {
        let mut end = TreeEnd::default();
        let Some(group) = self.group.filter(|group| may_have_company(*group)) else {
            return end;
        };
        let alone = || async move {
            while may_have_company(group) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        end.found = true;
        self.ask(&[], asked);
        tokio::select! {
            () = alone() => return end,
            () = tokio::time::sleep_until(kill_at) => {}
            () = hurry => {}
        }
        end.forced = true;
        signal_group(group, libc::SIGKILL);
        // No longer: what is dead counts as company until its parent has taken its status, and some never do.
        drop(timeout(Duration::from_secs(1), alone()).await);
        end
    }
}

/// Resolves when all of them are dead; soon, where it is not known who they are.
async fn all_gone(members: Vec<Member>) {
    if members.is_empty() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    for member in members {
        match member
            .into_pidfd()
            .map(|fd| register(fd, Interest::READABLE))
        {
            Some(Ok(pidfd)) => drop(pidfd.readable().await),
            // Without a descriptor nothing tells of the end of a process that is not a child: look again soon.
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// An execution that has ended.
#[derive(Debug, Clone)]
struct Ended {
    /// Of its engine.
    grace: Duration,
    /// Where it lived.
    runtime: Handle,
}

/// Ended executions whose escapees have not been looked for.
#[derive(Default)]
struct Waiting {
    ids: HashMap<Uuid, Ended>,
    sweeping: bool,
}

static WAITING: Mutex<Option<Waiting>> = Mutex::new(None);

fn with_waiting<T>(act: impl FnOnce(&mut Waiting) -> T) -> T {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    act(waiting.get_or_insert_default())
}

/// Between two looks for quiet escapees while executions end.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Remembers an execution that has ended by itself: a process that left its group and closed its output is
/// looked for soon, with those of all others that end meanwhile, and ended.
fn look_for_escapees_soon(id: Uuid, grace: Duration) {
    let runtime = Handle::current();
    let ended = Ended {
        grace,
        runtime: runtime.clone(),
    };
    let was_sweeping = with_waiting(|waiting| {
        waiting.ids.insert(id, ended);
        std::mem::replace(&mut waiting.sweeping, true)
    });
    if !was_sweeping {
        // Not under the lock: a runtime that is ending drops it at once.
        runtime.spawn(sweep_escapees(Sweeping::default()));
    }
}

/// Held by the task that sweeps; dropped with it, also when its runtime ends.
#[derive(Default)]
struct Sweeping {
    /// Those that it looks for now.
    ids: HashMap<Uuid, Ended>,
}

impl Drop for Sweeping {
    /// What it has not looked for, and what came since, is left to a sweep on another runtime, or a later one on this.
    fn drop(&mut self) {
        with_waiting(|waiting| {
            waiting.sweeping = false;
            waiting.ids.extend(self.ids.drain());
        });
        let next = || {
            with_waiting(|waiting| {
                let id = *waiting.ids.keys().next().filter(|_| !waiting.sweeping)?;
                waiting.ids.remove_entry(&id)
            })
        };
        while let Some((id, ended)) = next() {
            let again = async move { look_for_escapees_soon(id, ended.grace) };
            // On a runtime that has ended it is over before it began: then it is the turn of the next.
            if !ended.runtime.spawn(again).is_finished() {
                return;
            }
        }
    }
}

async fn sweep_escapees(mut sweeping: Sweeping) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        sweeping.ids = with_waiting(|waiting| std::mem::take(&mut waiting.ids));
        if sweeping.ids.is_empty() {
            return sweep::forget().await;
        }
        let processes = sweep::processes().await;
        let marks = processes.iter().filter_map(|process| process.mark);
        let escaped: HashMap<_, _> = marks
            .filter_map(|mark| sweeping.ids.get_key_value(&mark))
            .collect();
        for (&id, ended) in escaped {
            let grace = ended.grace;
            let tree = Tree {
                group: None,
                mark: Some(id),
            };
            ended.runtime.spawn(async move {
                let kill_at = Instant::now() + grace;
                let end = tree.end(None, kill_at, std::future::pending()).await;
                // It may have had a child that was not there yet, or not its own yet, in the last look.
                if end.found && end.unkillable.is_empty() {
                    look_for_escapees_soon(id, grace);
                }
            });
        }
        sweeping.ids.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::environment::Variables;
    use crate::process::{Invocation, spawn};

    #[tokio::test]
    async fn where_processes_cannot_be_looked_at_the_group_is_ended_all_the_same() {
        let line = "trap '' TERM; (trap - TERM; sleep 600) & sleep 600 & exit 0";
        let invocation = Invocation {
            program: "/bin/sh".into(),
            words: ["sh", "-c", line].map(Into::into).into(),
            variables: Variables {
                inherited: None,
                hidden: Vec::new(),
                own: Vec::new(),
            },
            directory: None,
            working_dir: None,
            stdin: false,
            guarded: false,
            files: 0,
        };
        let spawned = spawn(&invocation).expect("a process");
        let (mut child, _, _streams) = spawned.adopt().expect("a runtime");
        child.exited().await;
        let tree = child.tree(None);
        let kill_at = Instant::now() + Duration::from_millis(100);
        let end = tree.end_unseen(None, kill_at, std::future::pending()).await;
        assert!(end.found && end.forced);
        let processes = sweep::processes().await;
        let alive: Vec<_> = processes.iter().filter(|seen| tree.has(seen)).collect();
        assert!(alive.is_empty(), "{alive:?}");
        child.reap();
    }
}
