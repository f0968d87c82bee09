//! The one thread that looks at processes, shared by all who wait: one look serves everybody who asked before it began.
//!
//! A read that hangs, on a process in trouble, does not hold up the others: whoever waits sees that it hangs, and
//! another thread begins anew, without that read. No lock is held while it looks, and no thread of a runtime touches
//! `/proc`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::process_scan::{Found, Query, look};
use super::reads::{HANGS, Reader};

/// How long an answer is waited for in all.
const NO_ANSWER: Duration = Duration::from_secs(5);

struct Question {
    queries: Vec<Query>,
    answer: oneshot::Sender<Answer>,
}

/// `None`: processes cannot be looked at. Without an answer it is not known: there was no thread, or it panicked.
type Answer = Option<Vec<Found>>;

struct State {
    waiting: Vec<Question>,
    /// What the look that is under way is to answer.
    asked: Vec<Question>,
    /// What the thread that looks reads; `None`: there is none.
    reader: Option<Arc<Reader>>,
}

static STATE: Mutex<State> = Mutex::new(State {
    waiting: Vec::new(),
    asked: Vec::new(),
    reader: None,
});
static ASKED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread, as long as there is room for one.
pub(super) fn prepare() {
    let mut state = state();
    if state.reader.is_none() {
        state.employ();
    }
}

/// What there is of each execution, in their order, as it was at some moment after the call; `None` where processes
/// cannot be looked at.
pub(super) async fn ask(queries: Vec<Query>) -> Answer {
    let count = queries.len();
    let mut answered = put(queries);
    let asked = Instant::now();
    while asked.elapsed() < NO_ANSWER {
        match tokio::time::timeout(HANGS / 4, &mut answered).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_)) => break,
            Err(_) => pass_over_what_hangs(),
        }
    }
    Some((0..count).map(|_| Found::unknown()).collect())
}

/// As [`ask`], for a thread that may block.
pub(super) fn ask_now(query: Query) -> Option<Found> {
    let mut answered = put(vec![query]);
    let asked = Instant::now();
    while asked.elapsed() < NO_ANSWER {
        match answered.try_recv() {
            Ok(answer) => return answer?.pop(),
            Err(oneshot::error::TryRecvError::Closed) => break,
            Err(oneshot::error::TryRecvError::Empty) => {
                std::thread::sleep(Duration::from_millis(2));
                pass_over_what_hangs();
            }
        }
    }
    Some(Found::unknown())
}

/// Where no thread can be had, the question is dropped, which says so.
fn put(queries: Vec<Query>) -> oneshot::Receiver<Answer> {
    let (answer, answered) = oneshot::channel();
    let mut state = state();
    state.waiting.push(Question { queries, answer });
    if !state.employ() {
        state.waiting.clear();
    }
    answered
}

/// Where a read hangs, another thread begins anew without it.
fn pass_over_what_hangs() {
    let mut state = state();
    let hangs = |reader: &Arc<Reader>| reader.abandon_if_it_hangs();
    if state.reader.as_ref().is_some_and(hangs) {
        state.reader = None;
        let again = std::mem::take(&mut state.asked);
        state.waiting.extend(again);
    }
    if !state.waiting.is_empty() {
        state.employ();
    }
}

impl State {
    /// Sees to it that somebody looks.
    fn employ(&mut self) -> bool {
        if self.reader.is_some() {
            ASKED.notify_one();
            return true;
        }
        let reader = Arc::<Reader>::default();
        let own = Arc::clone(&reader);
        let thread = std::thread::Builder::new()
            .name("escher-look".into())
            .stack_size(256 * 1024)
            .spawn(move || work(&own));
        self.reader = thread.is_ok().then_some(reader);
        self.reader.is_some()
    }
}

fn work(reader: &Reader) {
    while let Some(queries) = next(reader) {
        // A defect must not leave those who wait without an answer: dropped, their questions say so.
        let found = catch_unwind(AssertUnwindSafe(|| look(reader, &queries)));
        let mut state = state();
        if reader.is_abandoned() {
            return;
        }
        let questions = std::mem::take(&mut state.asked);
        drop(state);
        if let Ok(found) = found {
            answer(questions, found);
        }
    }
}

/// Waits for a question; `None` once another thread has taken over.
fn next(reader: &Reader) -> Option<Vec<Query>> {
    let mut state = state();
    while state.waiting.is_empty() && !reader.is_abandoned() {
        state = ASKED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    if reader.is_abandoned() {
        return None;
    }
    state.asked = std::mem::take(&mut state.waiting);
    let queries = state.asked.iter().flat_map(|question| &question.queries);
    Some(queries.cloned().collect())
}

/// Gives everybody what they asked for, in the order of the questions.
fn answer(questions: Vec<Question>, found: Answer) {
    let mut found = found.map(Vec::into_iter);
    for question in questions {
        let own = found.as_mut();
        let own = own.map(|found| found.take(question.queries.len()).collect());
        // Who does not wait any more has settled otherwise.
        drop(question.answer.send(own));
    }
}
