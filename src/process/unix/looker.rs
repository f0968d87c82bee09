//! The one thread that looks at processes, shared by all who wait: one look serves everybody who asked before it began.
//!
//! A read that hangs, on a process in trouble, does not hold up the others: whoever waits sees that it hangs, and
//! another thread begins anew, without that read. No lock is held while it looks, and no thread of a runtime touches
//! `/proc`.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::process_scan::{Found, Query, look};

/// How long one read may take before it is taken for one that hangs. Far more than any takes on a busy machine.
const HANGS: Duration = Duration::from_millis(500);

/// How long an answer is waited for in all.
const NO_ANSWER: Duration = Duration::from_secs(5);

/// Which file of a process is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Facts,
    Variables,
    Cgroup,
    /// No file of a process: who adopts orphans.
    Adopter,
    /// No file of a process: which processes there are.
    List,
}

struct Question {
    queries: Vec<Query>,
    answer: oneshot::Sender<Vec<Found>>,
}

struct State {
    waiting: Vec<Question>,
    /// What the look that is under way is to answer.
    asked: Vec<Question>,
    /// The thread that looks, by its number; `None`: there is none.
    looker: Option<u64>,
    lookers: u64,
    /// What it reads, and since when.
    reading: Option<((i32, Part), Instant)>,
    /// Reads that hang: not tried again until they have returned.
    hanging: Option<HashSet<(i32, Part)>>,
}

struct Looker {
    state: Mutex<State>,
    asked: Condvar,
}

static LOOKER: Looker = Looker {
    state: Mutex::new(State {
        waiting: Vec::new(),
        asked: Vec::new(),
        looker: None,
        lookers: 0,
        reading: None,
        hanging: None,
    }),
    asked: Condvar::new(),
};

/// Starts the thread, as long as there is room for one.
pub(super) fn prepare() {
    let mut state = LOOKER.state();
    if state.looker.is_none() {
        LOOKER.employ(&mut state);
    }
}

/// What there is of each execution, in their order, as it was at some moment after the call; `None` where processes
/// cannot be looked at.
pub(super) async fn ask(queries: Vec<Query>) -> Option<Vec<Found>> {
    let count = queries.len();
    let mut answered = LOOKER.ask(queries);
    let asked = Instant::now();
    while asked.elapsed() < NO_ANSWER {
        match tokio::time::timeout(HANGS / 4, &mut answered).await {
            Ok(answer) => return answer.ok(),
            Err(_) => LOOKER.pass_over_what_hangs(),
        }
    }
    Some((0..count).map(|_| Found::unknown()).collect())
}

/// As [`ask`], for a thread that may block.
pub(super) fn ask_now(query: Query) -> Option<Found> {
    let mut answered = LOOKER.ask(vec![query]);
    let asked = Instant::now();
    while asked.elapsed() < NO_ANSWER {
        match answered.try_recv() {
            Ok(mut answer) => return answer.pop(),
            Err(oneshot::error::TryRecvError::Closed) => return None,
            Err(oneshot::error::TryRecvError::Empty) => {
                std::thread::sleep(Duration::from_millis(2));
                LOOKER.pass_over_what_hangs();
            }
        }
    }
    Some(Found::unknown())
}

impl Looker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where no thread can be had, the question is dropped, which says so.
    fn ask(&'static self, queries: Vec<Query>) -> oneshot::Receiver<Vec<Found>> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        state.waiting.push(Question { queries, answer });
        if !self.employ(&mut state) {
            state.waiting.clear();
        }
        answered
    }

    /// Sees to it that somebody looks.
    fn employ(&'static self, state: &mut State) -> bool {
        if state.looker.is_some() {
            self.asked.notify_one();
            return true;
        }
        state.lookers += 1;
        let number = state.lookers;
        let thread = std::thread::Builder::new()
            .name("escher-look".into())
            .stack_size(256 * 1024)
            .spawn(move || self.work(number));
        state.looker = thread.is_ok().then_some(number);
        thread.is_ok()
    }

    /// Where a read hangs, it is remembered, and another thread begins anew without it.
    fn pass_over_what_hangs(&'static self) {
        let mut state = self.state();
        if let Some((read, since)) = state.reading
            && since.elapsed() >= HANGS
        {
            state.hanging.get_or_insert_default().insert(read);
            state.reading = None;
            state.looker = None;
            let again = std::mem::take(&mut state.asked);
            state.waiting.extend(again);
        }
        if !state.waiting.is_empty() {
            self.employ(&mut state);
        }
    }

    fn work(&'static self, number: u64) {
        while let Some(queries) = self.next(number) {
            let reader = Reader::new(self, number);
            // A defect must not leave those who wait without an answer: dropped, their questions say so.
            let found = catch_unwind(AssertUnwindSafe(|| look(&reader, &queries)));
            let mut state = self.state();
            if state.looker != Some(number) {
                return;
            }
            state.reading = None;
            let questions = std::mem::take(&mut state.asked);
            drop(state);
            if let Ok(Some(found)) = found {
                answer(questions, found);
            }
        }
    }

    /// Waits for a question; `None` once another thread has taken over.
    fn next(&'static self, number: u64) -> Option<Vec<Query>> {
        let mut state = self.state();
        while state.waiting.is_empty() && state.looker == Some(number) {
            let waited = self.asked.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if state.looker != Some(number) {
            return None;
        }
        state.asked = std::mem::take(&mut state.waiting);
        let queries = state.asked.iter().flat_map(|question| &question.queries);
        Some(queries.cloned().collect())
    }
}

/// Gives everybody what they asked for, in the order of the questions.
fn answer(questions: Vec<Question>, found: Vec<Found>) {
    let mut found = found.into_iter();
    for question in questions {
        let own = found.by_ref().take(question.queries.len()).collect();
        // Who does not wait any more has settled otherwise.
        drop(question.answer.send(own));
    }
}

/// Reads for one look.
pub(super) struct Reader {
    looker: &'static Looker,
    number: u64,
    has_failed: Cell<bool>,
}

impl Reader {
    fn new(looker: &'static Looker, number: u64) -> Self {
        Self {
            looker,
            number,
            has_failed: Cell::new(false),
        }
    }

    /// A reader for a test, of a looker of its own.
    #[cfg(test)]
    pub fn for_test() -> Self {
        let state = Mutex::new(State {
            waiting: Vec::new(),
            asked: Vec::new(),
            looker: Some(1),
            lookers: 1,
            reading: None,
            hanging: None,
        });
        let asked = Condvar::new();
        Self::new(Box::leak(Box::new(Looker { state, asked })), 1)
    }

    /// Reads something of a process: `None` if that is gone or not for this user, if the read hangs, or if another thread
    /// has taken over, so that what is found here is of no more use.
    pub fn read<T>(
        &self,
        pid: i32,
        part: Part,
        read: impl FnOnce() -> io::Result<Option<T>>,
    ) -> Option<T> {
        let mut state = self.looker.state();
        let hangs = state.hanging.as_ref();
        if state.looker != Some(self.number)
            || hangs.is_some_and(|hanging| hanging.contains(&(pid, part)))
        {
            return None;
        }
        state.reading = Some(((pid, part), Instant::now()));
        drop(state);
        let found = read();
        let mut state = self.looker.state();
        if state.looker == Some(self.number) {
            state.reading = None;
        } else if let Some(hanging) = &mut state.hanging {
            // It has returned after all.
            hanging.remove(&(pid, part));
        }
        drop(state);
        found.unwrap_or_else(|error| {
            if !is_gone(&error) && error.kind() != io::ErrorKind::PermissionDenied {
                self.has_failed.set(true);
            }
            None
        })
    }

    /// Whether a read failed for another reason than that there is nothing to read: for lack of descriptors, say. Then
    /// what was not found may be there all the same.
    pub fn has_failed(&self) -> bool {
        self.has_failed.get()
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}
