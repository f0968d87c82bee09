//! From the start of a process until nothing of it is left: watch, end, drain.

use std::convert::Infallible;
use std::pin::Pin;

use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use super::handlers::Handlers;
use super::output::reader::Progress;
use crate::api::config::ExecutionConfig;
use crate::process::tree::Tree;
use crate::process::{Child, Exit, ExitStatus, StopSignal, TreeEnd, escapees};
use crate::state::cancellation::{Cause, Stop};
use crate::state::lease::deadline_after;

/// How the processes of an execution ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// `None`: the command ended by itself.
    pub cause: Option<Cause>,
    pub exit: Exit,
    pub forced: bool,
    pub leftovers: bool,
    /// Processes that could not be ended.
    pub survivors: Vec<i32>,
    /// It could not be found out whether there are others.
    pub is_unknown: bool,
    /// Whether all output was delivered.
    pub delivered: bool,
}

/// When an execution is to be over, and whose deadline that is.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    pub at: Instant,
    pub cause: Cause,
}

/// What is watched, and by which rules.
pub(crate) struct Supervisor<'a> {
    pub config: &'a ExecutionConfig,
    pub stop: &'a Stop,
    pub progress: &'a Progress,
    pub handlers: &'a Handlers,
    pub deadline: Deadline,
    pub idle_timeout_ms: Option<u64>,
    pub stop_signal: StopSignal,
    pub keep_background: bool,
}

/// The streams of the command: a future that is driven alongside everything else.
struct Streams<'a> {
    work: Work<'a>,
    done: bool,
}

/// Reads and delivers, until there is nothing more to do.
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

impl Supervisor<'_> {
    /// Sees the process through. `work` reads its streams until they end or the progress is cut.
    pub async fn run(&self, mut child: Child, work: Work<'_>) -> Ending {
        let mut streams = Streams { work, done: false };
        let cause = self.watch(&mut child, &mut streams).await;
        let watched = Instant::now();
        let is_forced = cause.is_some();
        let mut ending = match cause {
            None => self.clear_up(child, &mut streams).await,
            Some(cause) => self.end(cause, child, &mut streams).await,
        };
        self.deliver_rest(&mut streams, is_forced, watched).await;
        ending.delivered = streams.done;
        ending
    }

    /// Waits until the command ends by itself, or is to be ended: then with the reason.
    async fn watch(&self, child: &mut Child, streams: &mut Streams<'_>) -> Option<Cause> {
        loop {
            let have_ended = streams.done;
            tokio::select! {
                biased;
                cause = self.stop.asked() => return Some(cause),
                () = child.exited() => return self.stop.end(),
                () = sleep_until(self.deadline.at) => {
                    // The host may have been stopped meanwhile, and the command have ended long ago.
                    if child.is_dead() {
                        return self.stop.end();
                    }
                    self.stop.ask(self.deadline.cause.clone());
                }
                // What was printed meanwhile is read before it is asked for how long nothing was.
                () = streams.finished() => {}
                idle_ms = self.idle(have_ended) => {
                    if child.is_dead() {
                        return self.stop.end();
                    }
                    self.stop.ask(Cause::Idle(idle_ms));
                }
            }
        }
    }

    /// Resolves once nothing was printed for too long. Waiting for the consumer is no silence of the command; where both
    /// streams have ended, nothing is waited for but the command.
    async fn idle(&self, have_ended: bool) -> u64 {
        let Some(idle_ms) = self.idle_timeout_ms else {
            return std::future::pending().await;
        };
        let mut is_sure = false;
        loop {
            let now = Instant::now();
            let waits = have_ended || self.progress.waits_for_bytes();
            let since = if waits {
                self.progress.last_activity()
            } else {
                now
            };
            let idle_at = deadline_after(since, idle_ms);
            if now < idle_at {
                is_sure = false;
                sleep_until(idle_at).await;
            } else if is_sure {
                return idle_ms;
            } else {
                // Where the host was stopped meanwhile, a clock may tell before a pipe does: who waits again hears both.
                is_sure = true;
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Ends the command and all it has started: asks, and kills after the grace.
    async fn end(&self, cause: Cause, mut child: Child, streams: &mut Streams<'_>) -> Ending {
        let tree = child.tree().asked_with(self.stop_signal);
        let kill_at = Instant::now() + self.config.termination_grace();
        let end = tree.end_all(child.exited(), kill_at, self.stop.urgent());
        let mut end = streams.during(end).await;
        self.drain(streams, self.stop.urgent()).await;
        let exit = if child.is_dead() {
            child.reap()
        } else {
            end.survivors.insert(0, child.pid());
            // Dropped, it is reaped by a thread, whenever it ends.
            Exit::without_time(ExitStatus::Alive)
        };
        Ending {
            cause: Some(cause),
            exit,
            forced: end.forced,
            leftovers: false,
            survivors: end.survivors,
            is_unknown: end.is_unknown,
            delivered: false,
        }
    }

    /// Reads the rest of what a command printed that has ended by itself, and ends what it has left running.
    async fn clear_up(&self, mut child: Child, streams: &mut Streams<'_>) -> Ending {
        let (left_company, tree) = if self.keep_background {
            child.let_go();
            (false, None)
        } else {
            let (left_company, tree) = child.leave();
            (left_company, Some(tree.asked_with(self.stop_signal)))
        };
        self.drain(streams, self.at_once()).await;
        let end = match tree {
            // Before reading ends: what still prints would die of its closed pipe, neither asked nor counted.
            Some(tree) => self.end_leftovers(left_company, tree, streams).await,
            None => TreeEnd::default(),
        };
        Ending {
            cause: None,
            exit: child.reap(),
            forced: end.forced,
            leftovers: end.found,
            survivors: end.survivors,
            is_unknown: end.is_unknown,
            delivered: false,
        }
    }

    /// Who is in the group or the session, or holds the output open, was left running. Whoever has left quietly is seen
    /// to later.
    async fn end_leftovers(
        &self,
        left_company: bool,
        tree: Tree,
        streams: &mut Streams<'_>,
    ) -> TreeEnd {
        let grace = self.config.termination_grace();
        if !left_company && self.progress.reached_end() {
            escapees::end_soon(tree, grace);
            return TreeEnd::default();
        }
        let kill_at = Instant::now() + grace;
        streams.during(tree.end_left(kill_at, self.at_once())).await
    }

    /// Resolves when nobody waits any longer for what a command has left: its deadline has passed, or it is cancelled.
    async fn at_once(&self) {
        tokio::select! {
            () = self.stop.urgent() => {}
            () = sleep_until(self.deadline.at) => {}
        }
    }

    /// Reads on after the command itself has ended: until the streams end, are idle for long enough, it takes too long,
    /// or is to be over at once.
    async fn drain(&self, streams: &mut Streams<'_>, at_once: impl Future<Output = ()>) {
        let exited = Instant::now();
        let latest = exited + self.config.drain_max();
        let idle = self.config.drain_idle();
        tokio::pin!(at_once);
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
                () = &mut at_once => return
            }
        }
    }

    /// Ends reading, and waits for the consumer to take the rest. One that takes nothing is given up: after a forced end,
    /// or past the deadline, or when a stop is asked for, once nothing has moved for as long as a drain may take. A listener
    /// that takes nothing is given up for itself, and in any case.
    async fn deliver_rest(&self, streams: &mut Streams<'_>, is_forced: bool, watched: Instant) {
        if streams.done {
            return;
        }
        // What waits for bytes is told that there are no more, and is not stuck.
        self.progress.cut();
        tokio::select! {
            biased;
            () = streams.finished() => {}
            () = self.consumer_is_stuck(is_forced) => {}
            never = self.give_up_listeners(watched) => match never {},
        }
    }

    async fn give_up_listeners(&self, since: Instant) -> Infallible {
        let patience = self.config.drain_max();
        loop {
            let next = self.handlers.give_up_stuck(since.into_std(), patience);
            sleep_until(next.await.into()).await;
        }
    }

    async fn consumer_is_stuck(&self, is_forced: bool) {
        let patience = self.config.drain_max();
        let mut is_impatient = is_forced || self.stop.is_urgent();
        loop {
            // One that is busy elsewhere takes what it was told before it sees the end.
            self.handlers.reached().await;
            let reached = Instant::now();
            loop {
                let stuck_at = self.progress.last_activity().max(reached) + patience;
                let check_at = if is_impatient {
                    stuck_at
                } else {
                    stuck_at.max(self.deadline.at)
                };
                if Instant::now() >= check_at {
                    break;
                }
                tokio::select! {
                    () = sleep_until(check_at) => {}
                    () = self.stop.urgent(), if !is_impatient => is_impatient = true,
                }
            }
            if timeout(Duration::ZERO, self.handlers.reached())
                .await
                .is_ok()
                && !self.handlers.give_up_behind(patience)
            {
                return;
            }
        }
    }
}
