//! Ending all that an execution has started.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{Instant, timeout, timeout_at};

use super::child::may_have_company;
#[cfg(target_os = "macos")]
use super::darwin::Entry;
use super::escapees;
use super::pipe::register;
use super::process_scan::{self, Found, Leader, Mark, Member};
#[cfg(not(target_os = "macos"))]
use super::roll::Entry;
use super::signal::signal_group;
use crate::process::{KILL_TIMEOUT, TreeEnd};

/// Between two looks where nothing tells of an end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What belongs to an execution besides the leader of its group. As long as one of these lives, the guardian ends what
/// belongs to it with the host.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(super) mark: Mark,
    pub(super) _entry: Option<Arc<Entry>>,
}

impl Tree {
    /// The group, as long as its leader is not reaped: from then on its number may be another's.
    fn group(&self) -> Option<i32> {
        match self.mark.leader {
            Leader::Own(leader) => Some(leader),
            Leader::Reaped(..) | Leader::Gone => None,
        }
    }

    fn signal_group(&self, signal: i32) {
        if let Some(group) = self.group() {
            signal_group(group, signal);
        }
    }

    /// The group at once, since no child that is born meanwhile escapes that, and what has left it one by one.
    fn signal(&self, members: &[Member], signal: i32) {
        self.signal_group(signal);
        for member in members.iter().filter(|member| !member.is_in_group) {
            member.signal(signal);
        }
    }

    /// Asks all of it to end, the leader included; once, as many programs take a second request for impatience, and end
    /// without putting anything in order. Stopped processes are continued, so that they can.
    pub async fn ask(&self) {
        // Finding the others must not delay it.
        self.signal_group(libc::SIGTERM);
        self.signal_group(libc::SIGCONT);
        let found = process_scan::members(self.mark).await.unwrap_or_default();
        for member in found.members {
            if !member.is_in_group {
                member.signal(libc::SIGTERM);
                member.signal(libc::SIGCONT);
            }
        }
    }

    /// Ends what is left after the leader: asks, waits until `kill_at` or `hurry`, kills, and looks again until nothing is
    /// found. With `was_asked` it is not asked again; what was born since is awaited, and killed with the rest.
    pub async fn end(
        &self,
        was_asked: bool,
        kill_at: Instant,
        hurry: impl Future<Output = ()> + Send,
    ) -> TreeEnd {
        let mut end = TreeEnd::default();
        let Some(found) = self.left(kill_at).await else {
            return self.end_unseen(was_asked, kill_at, hurry).await;
        };
        if found.is_nothing() {
            return end;
        }
        end.found = true;
        if !was_asked {
            self.signal(&found.members, libc::SIGTERM);
            self.signal(&found.members, libc::SIGCONT);
        }
        tokio::select! {
            biased;
            gone = self.gone(found) => if gone { return end },
            () = tokio::time::sleep_until(kill_at) => {}
            () = hurry => {}
        }
        self.kill(&mut end).await;
        end
    }

    /// What does not end by itself; `None` where processes cannot be looked at.
    async fn left(&self, latest: Instant) -> Option<Found> {
        loop {
            let found = process_scan::members(self.mark).await?;
            // What has closed its output is often still on its way out. It was not left running.
            let all_end = found.members.iter().all(|member| member.is_exiting);
            if found.members.is_empty() || !all_end || Instant::now() >= latest {
                return Some(found);
            }
            drop(timeout_at(latest, all_gone(found.members)).await);
        }
    }

    /// Resolves once none is left, or none that may be signalled: to wait for those would help nobody. Returns whether
    /// none is left.
    async fn gone(&self, mut found: Found) -> bool {
        while !found.is_out_of_reach() {
            all_gone(found.members).await;
            match process_scan::members(self.mark).await {
                Some(again) => found = again,
                None => return false,
            }
        }
        found.is_nothing()
    }

    async fn kill(&self, end: &mut TreeEnd) {
        let give_up = Instant::now() + KILL_TIMEOUT;
        loop {
            let found = process_scan::members(self.mark).await.unwrap_or_default();
            if found.is_out_of_reach() || Instant::now() >= give_up {
                end.survivors = found.members.iter().map(|member| member.pid).collect();
                return;
            }
            end.forced = true;
            self.signal(&found.members, libc::SIGKILL);
            let members = found.members.into_iter();
            let killed = members.filter(|member| member.may_be_signalled);
            drop(timeout_at(give_up, all_gone(killed.collect())).await);
        }
    }

    /// Where processes cannot be looked at, there is the group, and the question whether its leader is alone in it.
    async fn end_unseen(
        &self,
        was_asked: bool,
        kill_at: Instant,
        hurry: impl Future<Output = ()> + Send,
    ) -> TreeEnd {
        let mut end = TreeEnd::default();
        let Some(group) = self.group().filter(|group| may_have_company(*group)) else {
            return end;
        };
        let alone = || async move {
            while may_have_company(group) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        end.found = true;
        if !was_asked {
            self.signal(&[], libc::SIGTERM);
            self.signal(&[], libc::SIGCONT);
        }
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

    /// Kills all of it without asking, and blocks meanwhile: nobody is left who could wait for it.
    pub(super) fn kill_now(&self) {
        let give_up = std::time::Instant::now() + KILL_TIMEOUT;
        while std::time::Instant::now() < give_up {
            let found = process_scan::members_now(self.mark).unwrap_or_default();
            if found.is_out_of_reach() {
                return;
            }
            self.signal(&found.members, libc::SIGKILL);
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Sees to what has left the group and the session quietly, and was not looked for: soon, with that of all others that
    /// end meanwhile.
    pub fn end_escapees_soon(self, grace: Duration) {
        escapees::end_soon(self, grace);
    }
}

/// Resolves when all of them are dead; soon, where that is not told, or it is not known who they are.
async fn all_gone(members: Vec<Member>) {
    if members.is_empty() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    for member in members {
        let pidfd = member.into_pidfd();
        match pidfd.map(|fd| register(fd, Interest::READABLE)) {
            Some(Ok(pidfd)) => drop(pidfd.readable().await),
            // Without a descriptor nothing tells of the end of a process that is not a child: look again soon.
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}
