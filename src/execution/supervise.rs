//! From the start of a process until nothing of it is left: watch, end, drain.

use std::pin::Pin;

use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep_until};

use super::Stop;
use super::pump::Progress;
use crate::config::ExecutionConfig;
use crate::process::tree::Tree;
use crate::process::{Asked, Child, ExitStatus, PATIENCE, TreeEnd};

/// Why a command was ended, the first reason there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Timeout,
    Cancel,
    OutputLimit,
}

/// How the processes of an execution ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// `None`: the command ended by itself.
    pub cause: Option<Cause>,
    pub exit: ExitStatus,
    pub forced: bool,
    pub leftovers: bool,
    pub unkillable: Vec<i32>,
    /// Whether all output was delivered.
    pub delivered: bool,
}

/// What is watched, and by which rules.
pub(crate) struct Supervisor<'a> {
    pub config: &'a ExecutionConfig,
    pub stop: &'a Stop,
    pub progress: &'a Progress,
    pub deadline: Instant,
    /// What the execution owns besides its leader; `None`: it leaves the rest running.
    pub tree: Tree,
    pub keep_background: bool,
}

/// The streams of the command: a future that is driven alongside everything else.
struct Streams<'a> {
    work: Work<'a>,
    done: bool,
}

/// Reads, delivers and feeds, until there is nothing more to do.
pub(crate) type Work<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

impl Streams<'_> {
    /// Resolves when all was read and delivered; never a second time.
    async fn finished(&mut self) {
        if self.done {
            std::future::pending::<()>().await;
        }
        self.work.as_mut().await;
        self.done = true;
    }

    /// Drives the streams while something else is done.
    async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                outcome = &mut other => return outcome,
                () = self.finished() => {}
            }
        }
    }
}

/// Asked to end, and killed then.
struct Request {
    cause: Cause,
    kill_at: Instant,
    /// Tells in the end who was asked besides the group.
    asked: JoinHandle<Asked>,
}

/// How the watch over the leader ended.
struct Watched {
    request: Option<Request>,
    killed: bool,
    /// Not even the kill has ended it.
    alive: bool,
}

impl Supervisor<'_> {
    /// Sees the process through. `work` reads its streams until they end or the progress is cut.
    pub async fn run(&self, mut child: Child, work: Work<'_>) -> Ending {
        let mut streams = Streams { work, done: false };
        let Watched {
            mut request,
            killed,
            alive,
        } = self.watch(&mut child, &mut streams).await;
        let mut end = TreeEnd::default();
        let mut leftovers = false;
        if let Some(request) = &mut request {
            let hurry = self.stop.at_least(Stop::AT_ONCE);
            end = streams
                .during(async {
                    let asked = (&mut request.asked).await.unwrap_or_default();
                    self.tree.end(Some(&asked), request.kill_at, hurry).await
                })
                .await;
        }
        self.drain(&mut streams, request.is_some()).await;
        if request.is_none() && !self.keep_background {
            // Before reading ends: what still prints would die of its closed pipe, neither asked nor counted.
            end = self.end_leftovers(&child, &mut streams).await;
            leftovers = end.found;
        }
        if !streams.done {
            self.progress.cut();
        }
        self.deliver_rest(&mut streams, request.is_some()).await;
        // One that has left the group quietly was not looked for; one that was leaving it may not have been found.
        self.tree
            .look_for_escapees_soon(self.config.termination_grace());
        let exit = if alive {
            end.unkillable.insert(0, child.pid());
            // Dropped, it is reaped by a thread, whenever it ends.
            ExitStatus::Alive
        } else {
            child.reap()
        };
        Ending {
            cause: request.map(|request| request.cause),
            exit,
            forced: killed || end.forced,
            leftovers,
            unkillable: end.unkillable,
            delivered: streams.done,
        }
    }

    /// Waits until the leader is dead, and sees to it once there is a reason.
    async fn watch(&self, child: &mut Child, streams: &mut Streams<'_>) -> Watched {
        let mut request: Option<Request> = None;
        let mut give_up: Option<Instant> = None;
        loop {
            let asked = request.is_some();
            let killed = give_up.is_some();
            let next = match (&request, give_up) {
                (_, Some(give_up)) => give_up,
                (Some(request), None) => request.kill_at,
                (None, None) => self.deadline,
            };
            let ended = |request, alive| Watched {
                request,
                killed,
                alive,
            };
            let cause = tokio::select! {
                biased;
                () = child.exited() => return ended(request, false),
                () = self.stop.at_least(Stop::AT_ONCE), if asked && !killed => {
                    child.kill_group();
                    give_up = Some(Instant::now() + PATIENCE);
                    continue;
                }
                () = self.stop.at_least(Stop::ASKED), if !asked => Cause::Cancel,
                () = sleep_until(next) => match (asked, killed) {
                    (false, _) => Cause::Timeout,
                    (true, false) => {
                        child.kill_group();
                        give_up = Some(Instant::now() + PATIENCE);
                        continue;
                    }
                    (true, true) => return ended(request, true),
                },
                () = self.progress.over_limit(), if !asked => Cause::OutputLimit,
                () = streams.finished() => continue,
            };
            child.ask_group();
            request = Some(Request {
                cause,
                asked: self.ask_escapees(),
                kill_at: Instant::now() + self.config.termination_grace(),
            });
        }
    }

    /// Those that have left the group are asked at the same time; finding them must not delay the rest.
    fn ask_escapees(&self) -> JoinHandle<Asked> {
        let tree = self.tree.clone();
        tokio::spawn(async move { tree.ask_escapees().await })
    }

    /// Reads on after the command itself has ended: until the streams end, are idle for long enough, or it
    /// takes too long.
    async fn drain(&self, streams: &mut Streams<'_>, ended: bool) {
        let exited = Instant::now();
        let latest = exited + self.config.drain_max();
        let idle = self.config.drain_idle();
        while !streams.done {
            let now = Instant::now();
            // Only waiting for bytes is idleness; waiting for the consumer is not.
            let idle_at = if self.progress.waits_for_bytes() {
                self.progress.last_activity().max(exited) + idle
            } else {
                now + idle
            };
            if now >= idle_at || now >= latest {
                return;
            }
            tokio::select! {
                () = streams.finished() => {}
                () = sleep_until(idle_at.min(latest)) => {}
                () = self.stop.at_least(Stop::ASKED), if !ended => return
            }
        }
    }

    /// Ends what a command that ended by itself has left running.
    async fn end_leftovers(&self, child: &Child, streams: &mut Streams<'_>) -> TreeEnd {
        let grace = self.config.termination_grace();
        let held_open = !self.progress.reached_end();
        if !held_open && !child.may_have_company() {
            self.tree.ask_unseen();
            return TreeEnd::default();
        }
        let hurry = self.stop.at_least(Stop::ASKED);
        streams
            .during(self.tree.end(None, Instant::now() + grace, hurry))
            .await
    }

    /// Waits for the consumer to take the rest. One that takes nothing is given up: after a forced end, or
    /// past the deadline, or when a stop is asked for, once nothing has moved for as long as a drain may take.
    async fn deliver_rest(&self, streams: &mut Streams<'_>, ended: bool) {
        let patience = self.config.drain_max();
        let mut impatient = ended;
        // What waits for bytes was told just now that there are no more, and is not stuck.
        let told = self.progress.waits_for_bytes().then(Instant::now);
        while !streams.done {
            let active = self.progress.last_activity();
            let stuck_at = told.map_or(active, |told| told.max(active)) + patience;
            let check_at = if impatient {
                stuck_at
            } else {
                stuck_at.max(self.deadline)
            };
            if Instant::now() >= check_at {
                return;
            }
            tokio::select! {
                () = streams.finished() => {}
                () = sleep_until(check_at) => {}
                () = self.stop.at_least(Stop::ASKED), if !impatient => impatient = true,
            }
        }
    }
}

/// The longest deadline that a clock can hold; a longer one is none.
pub(crate) fn deadline_after(start: Instant, timeout_ms: u64) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    start + Duration::from_millis(timeout_ms).min(CENTURY)
}
