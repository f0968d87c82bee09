//! Ending all that an execution has started.

use std::collections::{HashMap, HashSet};
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{Instant, timeout, timeout_at};

use super::leader::{is_dead, may_have_company};
use super::looker;
use super::pipe::register;
use super::process_scan::{Found, Leader, Mark, Member, Query};
use super::signal::{number_of, signal_group, signal_member};
use super::{Entry, now};
use crate::process::{KILL_TIMEOUT, StopSignal, TreeEnd};

/// Between two looks where nothing tells of an end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The longest time between two looks for whom to ask to end, where something was missed.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long asking a tree to end waits for a look at it.
const LOOK_FIRST: Duration = Duration::from_millis(100);

/// How often what is found is stopped before it is killed, whoever else is found then.
const MOST_STOPS: usize = 5;

/// What belongs to an execution besides the leader of its group. As long as one of these lives, the guardian ends what
/// belongs to it with the host.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(super) mark: Mark,
    /// Who was found to be a member, and since when it runs.
    known: Arc<Mutex<HashMap<i32, u64>>>,
    /// What asks it to end.
    stop_signal: StopSignal,
    _entry: Option<Arc<Entry>>,
}

impl Tree {
    pub(super) fn new(mark: Mark, entry: Option<Arc<Entry>>) -> Self {
        Self {
            mark,
            known: Arc::default(),
            stop_signal: StopSignal::Terminate,
            _entry: entry,
        }
    }

    /// The same, asked to end by another signal.
    pub fn asked_with(self, stop_signal: StopSignal) -> Self {
        Self {
            stop_signal,
            ..self
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<i32, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn query(&self) -> Query {
        Query {
            mark: self.mark,
            known: self.known().iter().map(|(pid, at)| (*pid, *at)).collect(),
        }
    }

    fn remember(&self, found: &Found) {
        let members = found.members.iter();
        self.known()
            .extend(members.map(|member| (member.pid, member.started)));
    }

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

    /// Ends all of it, the leader included, whose end `exited` tells: asks, waits until `kill_at` or `hurry`, kills, and
    /// looks again until nothing is found. What was born since it was asked is awaited, and killed with the rest.
    pub async fn end_all(
        &self,
        exited: impl Future<Output = ()>,
        kill_at: Instant,
        hurry: impl Future<Output = ()>,
    ) -> TreeEnd {
        let exited = async {
            if self.leader_may_be_signalled() {
                exited.await;
            }
        };
        self.end(exited, kill_at, hurry).await
    }

    /// Whether the leader lives.
    fn is_led(&self) -> bool {
        self.group().is_some_and(|leader| !is_dead(leader))
    }

    /// A leader may have become another user, by a program that does so. To wait for that one would help nobody.
    fn leader_may_be_signalled(&self) -> bool {
        self.group()
            .is_none_or(|leader| signal_member(leader, None, 0))
    }

    /// Ends what a dead leader has left, in the same way.
    pub async fn end_left(&self, kill_at: Instant, hurry: impl Future<Output = ()>) -> TreeEnd {
        if self.left(kill_at).await.is_nothing() {
            return TreeEnd::default();
        }
        TreeEnd {
            found: true,
            ..self.end(std::future::ready(()), kill_at, hurry).await
        }
    }

    /// Asks all of it to end, as far as it is found by a first look. Returns who was asked.
    async fn ask(&self) -> Asked {
        let look = self.look();
        tokio::pin!(look);
        // Members that have nothing but their parents to be known by are found as long as these live. But nobody waits
        // for a look that hangs.
        let early = timeout(LOOK_FIRST, &mut look).await;
        let mut asked = Asked::now(number_of(self.stop_signal));
        self.signal_group(asked.stop);
        self.signal_group(libc::SIGCONT);
        let found = match early {
            Ok(found) => found,
            Err(_) => look.await,
        };
        asked.others(&found);
        asked
    }

    /// Asks all of it to end, also who is found later: some leave the group between a look and the signal to it, or have
    /// not shown yet whose they are. Resolves once none is left, or none that may be signalled: to wait for those would
    /// help nobody. Returns whether none is left.
    async fn end_by_itself(&self, exited: impl Future<Output = ()>) -> bool {
        let mut asked = self.ask().await;
        let mut has_exited = false;
        let mut pause = LOOK_AGAIN;
        tokio::pin!(exited);
        loop {
            let found = self.look().await;
            asked.others(&found);
            if has_exited && found.is_out_of_reach() {
                return found.is_nothing();
            }
            let has_missed = found.has_missed;
            let gone = async {
                if has_exited {
                    all_gone(found.members).await;
                } else {
                    exited.as_mut().await;
                    has_exited = true;
                }
            };
            if has_missed {
                drop(timeout(pause, gone).await);
                pause = (2 * pause).min(LONGEST_PAUSE);
            } else {
                gone.await;
                pause = LOOK_AGAIN;
            }
        }
    }

    /// What there is of it besides the leader. Where processes cannot be looked at, there is the group, and the question
    /// whether a dead leader is alone in it.
    async fn look(&self) -> Found {
        let has_company = |group: i32| is_dead(group) && may_have_company(group);
        let found = looker::ask(vec![self.query()]).await;
        let found = found.and_then(|mut found| found.pop());
        let found = found.unwrap_or_else(|| Found {
            members: Vec::new(),
            has_missed: self.group().is_some_and(has_company),
        });
        self.remember(&found);
        found
    }

    /// What does not end by itself.
    async fn left(&self, latest: Instant) -> Found {
        loop {
            let found = self.look().await;
            // What has closed its output is often still on its way out. It was not left running.
            let all_end = found.members.iter().all(|member| member.is_exiting);
            if found.members.is_empty() || !all_end || Instant::now() >= latest {
                return found;
            }
            drop(timeout_at(latest, all_gone(found.members)).await);
        }
    }

    async fn end(
        &self,
        exited: impl Future<Output = ()>,
        kill_at: Instant,
        hurry: impl Future<Output = ()>,
    ) -> TreeEnd {
        let mut end = TreeEnd::default();
        tokio::select! {
            biased;
            gone = self.end_by_itself(exited) => if gone { return end },
            () = tokio::time::sleep_until(kill_at) => {}
            () = hurry => {}
        }
        let give_up = Instant::now() + KILL_TIMEOUT;
        loop {
            let found = self.stop_all().await;
            let leader_can_end = self.is_led() && self.leader_may_be_signalled();
            if (found.is_out_of_reach() && !leader_can_end) || Instant::now() >= give_up {
                end.is_unknown = found.has_missed;
                end.survivors = found.members.iter().map(|member| member.pid).collect();
                return end;
            }
            end.forced = true;
            self.signal(&found.members, libc::SIGKILL);
            let members = found.members.into_iter();
            let killed = members.filter(|member| member.may_be_signalled);
            drop(timeout_at(give_up, all_gone(killed.collect())).await);
        }
    }

    /// Stops all of it, until nobody is found who was not stopped: whoever is killed then has no children unseen, which
    /// would be orphans that nothing tells of.
    async fn stop_all(&self) -> Found {
        let mut found = self.look().await;
        for _ in 0..MOST_STOPS {
            let stopped: HashSet<i32> = found.members.iter().map(|member| member.pid).collect();
            if stopped.is_empty() {
                break;
            }
            self.signal(&found.members, libc::SIGSTOP);
            found = self.look().await;
            let is_stopped = |member: &Member| stopped.contains(&member.pid);
            if found.members.iter().all(is_stopped) {
                break;
            }
        }
        found
    }

    /// Kills all of it without asking, and blocks meanwhile: nobody is left who could wait for it.
    pub(super) fn kill_now(&self) {
        let give_up = std::time::Instant::now() + KILL_TIMEOUT;
        while std::time::Instant::now() < give_up {
            let found = looker::ask_now(self.query()).unwrap_or_default();
            self.remember(&found);
            if found.is_out_of_reach() {
                return;
            }
            self.signal(&found.members, libc::SIGKILL);
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Who was asked to end: each once, as many programs take a second request for impatience, and end without putting anything
/// in order.
struct Asked {
    stop: c_int,
    /// What is started later may be there to put something in order, and is not asked.
    at: u64,
    others: HashSet<i32>,
}

impl Asked {
    fn now(stop: c_int) -> Self {
        Self {
            stop,
            at: now(),
            others: HashSet::new(),
        }
    }

    /// Asks who is not in the group, which is asked as a whole. Stopped processes are continued, so that they can.
    fn others(&mut self, found: &Found) {
        for member in &found.members {
            if !member.is_in_group && member.started <= self.at && self.others.insert(member.pid) {
                member.signal(self.stop);
                member.signal(libc::SIGCONT);
            }
        }
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
