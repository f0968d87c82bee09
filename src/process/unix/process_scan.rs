//! Finding the processes of executions by what the kernel knows of them: group, session, parents and time of start.
//! The tag, which anybody may copy, only says to whom an orphan belongs.
//!
//! One thread looks, shared by all who wait: one look serves everybody who asked before it began. A read that hangs, on
//! a process in trouble, does not hold up the others: whoever waits sees that it hangs, and another thread begins anew,
//! without that read. No lock is held while it looks, and no thread of a runtime touches `/proc`.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::signal::{open_pidfd, signal_member};
#[cfg(not(target_os = "macos"))]
use super::{adopter::adopter, procfs as system};
#[cfg(target_os = "macos")]
use super::{darwin as system, darwin::adopter};
use crate::process::tag;

/// How long one read may take before it is taken for one that hangs. Far more than any takes on a busy machine.
const HANGS: Duration = Duration::from_secs(1);

/// How long the thread waits for a question before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// How long an answer is waited for in all: by then, looks are taken for impossible.
const NO_ANSWER: Duration = Duration::from_secs(5);

/// How often a look goes on with what was started meanwhile.
const MOST_ROUNDS: usize = 1000;

/// A process, as one look saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// In the unit of [`system::now`].
    pub started: u64,
    /// A zombie.
    pub is_dead: bool,
    /// It is ending, and has closed its descriptors, or is about to.
    pub is_exiting: bool,
}

/// By what the members of an execution are told from everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// What its tag holds.
    pub serial: u64,
    /// Nothing older belongs to it.
    pub started: u64,
    pub leader: Leader,
}

/// What is known of the number of the leader, which is that of its group and session too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leader {
    /// Not reaped: the number is its own.
    Own(i32),
    /// Reaped at that time, when others were left in group or session: whoever is in them and is older is one of those.
    /// Somebody younger may have been given the number anew.
    Reaped(i32, u64),
    /// Reaped, and nobody was left.
    Gone,
}

/// A member that was seen a second time after a descriptor for it was opened, so that a signal cannot reach another
/// process that has its number by now.
#[derive(Debug)]
pub(crate) struct Member {
    pub pid: i32,
    /// In the group whose number is still the leader's, so that a signal to the group reaches it.
    pub is_in_group: bool,
    /// It ends by itself.
    pub is_exiting: bool,
    /// Whether this user may signal it.
    pub may_be_signalled: bool,
    pidfd: Option<OwnedFd>,
}

/// What one look found of an execution.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub members: Vec<Member>,
    /// Some were there that had ended when they were looked at again: they may have left others behind.
    pub has_missed: bool,
}

impl Found {
    /// Whether that is a proof that nothing is left.
    pub fn is_nothing(&self) -> bool {
        self.members.is_empty() && !self.has_missed
    }

    /// Whether nothing of it may be signalled, and nothing was missed.
    pub fn is_out_of_reach(&self) -> bool {
        !self.has_missed && !self.members.iter().any(|member| member.may_be_signalled)
    }
}

impl Member {
    pub fn signal(&self, signal: i32) {
        signal_member(self.pid, self.pidfd.as_ref(), signal);
    }

    pub fn into_pidfd(self) -> Option<OwnedFd> {
        self.pidfd
    }
}

/// Which file of a process is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Facts,
    Variables,
    /// What is asked of an orphan, or of the system as a whole.
    Surroundings,
}

/// A read, and since when it is under way.
type Read = ((i32, Part), Instant);

struct Question {
    marks: Vec<Mark>,
    answer: oneshot::Sender<Vec<Found>>,
}

struct State {
    waiting: Vec<Question>,
    /// What the look that is under way is to answer.
    asked: Vec<Question>,
    /// The thread that looks, by its number; `None`: there is none.
    looker: Option<u64>,
    lookers: u64,
    reading: Option<Read>,
    /// Reads that hang: not tried again until they have returned.
    hanging: Option<HashSet<(i32, Part)>>,
}

struct Scanner {
    state: Mutex<State>,
    asked: Condvar,
}

static SCANNER: Scanner = Scanner {
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

/// The live members of an execution besides its leader, as they were at some moment after the call; `None` where
/// processes cannot be looked at.
pub(super) async fn members(mark: Mark) -> Option<Found> {
    members_of_all(vec![mark]).await?.pop()
}

/// The same for several executions, in their order.
pub(super) async fn members_of_all(marks: Vec<Mark>) -> Option<Vec<Found>> {
    let (answer, mut answered) = oneshot::channel();
    SCANNER.ask(Question { marks, answer });
    let asked = Instant::now();
    while asked.elapsed() < NO_ANSWER {
        match tokio::time::timeout(HANGS / 4, &mut answered).await {
            Ok(answer) => return answer.ok(),
            Err(_) => SCANNER.pass_over_what_hangs(),
        }
    }
    None
}

/// As [`members`], for a thread that may block.
pub(super) fn members_now(mark: Mark) -> Option<Found> {
    let (answer, answered) = oneshot::channel();
    let marks = vec![mark];
    SCANNER.ask(Question { marks, answer });
    answered.blocking_recv().ok()?.pop()
}

impl Scanner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&'static self, question: Question) {
        let mut state = self.state();
        state.waiting.push(question);
        self.employ(&mut state);
    }

    /// Sees to it that somebody looks. Where no thread can be had, whoever waits tries again.
    fn employ(&'static self, state: &mut State) {
        if state.looker.is_some() {
            self.asked.notify_one();
            return;
        }
        state.lookers += 1;
        let number = state.lookers;
        let thread = std::thread::Builder::new()
            .name("escher-look".into())
            .stack_size(256 * 1024);
        if thread.spawn(move || self.work(number)).is_ok() {
            state.looker = Some(number);
        }
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
        while let Some(marks) = self.next(number) {
            let look = || {
                let look = Look {
                    scanner: self,
                    number,
                };
                look.members(&marks)
            };
            // A defect here must not leave those who wait without an answer: dropped, their questions say so.
            let found = catch_unwind(AssertUnwindSafe(look)).ok().flatten();
            let mut state = self.state();
            if state.looker != Some(number) {
                return;
            }
            state.reading = None;
            let questions = std::mem::take(&mut state.asked);
            drop(state);
            answer(questions, found);
        }
    }

    /// Waits for a question; `None` when there is none for long, or another thread has taken over.
    fn next(&'static self, number: u64) -> Option<Vec<Mark>> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            let waited = self.asked.wait_timeout(state, IDLE);
            let timeout;
            (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.looker != Some(number) {
                return None;
            }
            if timeout.timed_out() && state.waiting.is_empty() {
                state.looker = None;
                return None;
            }
        }
        state.asked = std::mem::take(&mut state.waiting);
        let marks = state.asked.iter().flat_map(|question| &question.marks);
        Some(marks.copied().collect())
    }
}

/// Gives everybody what they asked for, mark by mark, in the order of the questions.
fn answer(questions: Vec<Question>, found: Option<Vec<Found>>) {
    let Some(found) = found else { return };
    let mut found = found.into_iter();
    for question in questions {
        let own = found.by_ref().take(question.marks.len()).collect();
        // Who does not wait any more has settled otherwise.
        drop(question.answer.send(own));
    }
}

/// One look through all processes.
struct Look {
    scanner: &'static Scanner,
    number: u64,
}

impl Look {
    /// Reads something of a process, unless that hangs, or another thread has taken over: then what is found here is of
    /// no more use.
    fn read<T>(&self, pid: i32, part: Part, read: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut state = self.scanner.state();
        let hangs = state.hanging.as_ref();
        if state.looker != Some(self.number)
            || hangs.is_some_and(|hanging| hanging.contains(&(pid, part)))
        {
            return None;
        }
        state.reading = Some(((pid, part), Instant::now()));
        drop(state);
        let found = read();
        let mut state = self.scanner.state();
        if state.looker == Some(self.number) {
            state.reading = None;
        } else if let Some(hanging) = &mut state.hanging {
            // It has returned after all.
            hanging.remove(&(pid, part));
        }
        found
    }

    fn process(&self, pid: i32) -> Option<Process> {
        self.read(pid, Part::Facts, || system::read_process(pid))
    }

    /// For each mark its members; `None` where processes cannot be looked at.
    fn members(&self, marks: &[Mark]) -> Option<Vec<Found>> {
        let can_look = self.read(0, Part::Surroundings, || Some(system::can_look()));
        if can_look != Some(true) {
            return None;
        }
        let oldest = marks.iter().map(|mark| mark.started).min()?;
        let seen = self.seen(oldest);
        let orphans_of = self.adopter();
        let tags = self.tags(&seen, orphans_of);
        let family = Family::new(&seen, &tags);
        let found: Vec<Found> = marks
            .iter()
            .map(|mark| {
                let mut found = Found::default();
                for seen in family.members(mark) {
                    let member = self.confirm(mark, seen, &tags);
                    found.has_missed |= member.is_none();
                    found.members.extend(member);
                }
                found
            })
            .collect();
        if orphans_of == std::process::id().cast_signed() {
            reap(&seen, &found, marks, oldest);
        }
        Some(found)
    }

    fn adopter(&self) -> i32 {
        let asked = self.read(0, Part::Surroundings, || {
            Some(adopter(|pid| self.process(pid)))
        });
        asked.unwrap_or(1)
    }

    /// All processes that are not older than that.
    ///
    /// First those that are listed, then all numbers that were given out since: whoever lives in the end was either there
    /// all the time, or has one of those. So a look that finds no member has proved that there is none, also where each
    /// process starts the next and ends.
    fn seen(&self, oldest: u64) -> Vec<Process> {
        let own = std::process::id().cast_signed();
        let mut seen = HashMap::new();
        let mut visit = |pid: i32| {
            let process = (pid != own).then(|| self.process(pid)).flatten();
            match process.filter(|process| process.started >= oldest) {
                Some(process) => drop(seen.insert(pid, process)),
                None => drop(seen.remove(&pid)),
            }
        };
        let mut last = system::last_pid();
        system::each_pid(&mut visit);
        for _ in 0..MOST_ROUNDS {
            let before = std::mem::replace(&mut last, system::last_pid());
            match (before, last) {
                (Some(before), Some(last)) if before < last => {
                    (before + 1..=last).for_each(&mut visit);
                }
                // The numbers began anew.
                (Some(before), Some(last)) if before > last => system::each_pid(&mut visit),
                _ => break,
            }
        }
        seen.into_values().collect()
    }

    /// Which orphans carry the tag of this host, by their numbers.
    fn tags(&self, seen: &[Process], orphans_of: i32) -> HashMap<i32, u64> {
        let orphans = seen
            .iter()
            .filter(|process| process.parent == orphans_of && !process.is_dead);
        let tags = orphans.filter_map(|orphan| Some((orphan.pid, self.tag(orphan.pid)?)));
        tags.collect()
    }

    fn tag(&self, pid: i32) -> Option<u64> {
        for _ in 0..3 {
            let variables = self.read(pid, Part::Variables, || system::read_variables(pid))?;
            if !variables.is_empty() {
                let serial = tag::serial_in(&variables)?;
                let is_near = || Some(system::is_in_own_cgroup(pid));
                return (self.read(pid, Part::Facts, is_near)?).then_some(serial);
            }
            // In the middle of executing a program a process shows no variables for some microseconds.
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Opens a descriptor for a process, and looks whether it is still the one that was seen.
    fn confirm(&self, mark: &Mark, seen: &Process, tags: &HashMap<i32, u64>) -> Option<Member> {
        let pidfd = open_pidfd(seen.pid).ok();
        let again = self.process(seen.pid)?;
        let is_same = again.started == seen.started
            && !again.is_dead
            && match tags.get(&seen.pid) {
                Some(serial) => mark.has(&again) || self.tag(seen.pid) == Some(*serial),
                None => true,
            };
        if !is_same {
            return None;
        }
        let may_be_signalled = signal_member(seen.pid, pidfd.as_ref(), 0);
        Some(Member {
            pid: seen.pid,
            is_in_group: matches!(mark.leader, Leader::Own(leader) if again.group == leader),
            is_exiting: again.is_exiting,
            may_be_signalled,
            pidfd,
        })
    }
}

impl Mark {
    /// Whether a process is in the group or the session of the leader.
    fn has(&self, process: &Process) -> bool {
        let is_in = |leader: i32| process.group == leader || process.session == leader;
        match self.leader {
            Leader::Own(leader) => is_in(leader),
            Leader::Reaped(leader, at) => is_in(leader) && process.started < at,
            Leader::Gone => false,
        }
    }

    fn is_leader(&self, process: &Process) -> bool {
        matches!(self.leader, Leader::Own(leader) if process.pid == leader)
    }
}

/// The processes of one look, by what is asked of them.
struct Family<'a> {
    seen: &'a [Process],
    children: HashMap<i32, Vec<usize>>,
    tagged: HashMap<u64, Vec<usize>>,
}

impl<'a> Family<'a> {
    fn new(seen: &'a [Process], tags: &HashMap<i32, u64>) -> Self {
        let mut family = Self {
            seen,
            children: HashMap::new(),
            tagged: HashMap::new(),
        };
        for (index, process) in seen.iter().enumerate() {
            family
                .children
                .entry(process.parent)
                .or_default()
                .push(index);
            if let Some(serial) = tags.get(&process.pid) {
                family.tagged.entry(*serial).or_default().push(index);
            }
        }
        family
    }

    /// The live members besides the leader: who is in its group or session, orphans with its tag, and whose parent is a
    /// member.
    fn members(&self, mark: &Mark) -> impl Iterator<Item = &'a Process> + use<'a> {
        let seen = self.seen;
        let mut found = HashSet::new();
        let mut to_visit = self.tagged.get(&mark.serial).cloned().unwrap_or_default();
        if mark.leader != Leader::Gone {
            let all = seen.iter().enumerate();
            let company = all.filter(|(_, process)| mark.has(process) || mark.is_leader(process));
            to_visit.extend(company.map(|(index, _)| index));
        }
        while let Some(index) = to_visit.pop() {
            let process = &seen[index];
            if process.started < mark.started || !found.insert(index) {
                continue;
            }
            let children = self.children.get(&process.pid).into_iter().flatten();
            to_visit.extend(children.filter(|child| seen[**child].started >= process.started));
        }
        let mark = *mark;
        let members = found.into_iter().map(move |index| &seen[index]);
        members.filter(move |process| !process.is_dead && !mark.is_leader(process))
    }
}

/// Where this host itself adopts orphans, nobody else takes their status. Those in the group or session of an execution
/// are its own, and those that were members while they lived. Of the rest it is not known whose they are: another part
/// of the host may wait for them.
fn reap(seen: &[Process], found: &[Found], marks: &[Mark], oldest: u64) {
    static MEMBERS: Mutex<Option<HashMap<i32, u64>>> = Mutex::new(None);

    let mut members = MEMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let members = members.get_or_insert_default();
    let started: HashMap<i32, u64> = seen.iter().map(|p| (p.pid, p.started)).collect();
    let alive = found.iter().flat_map(|found| &found.members);
    let alive = alive.map(|member| member.pid);
    members.extend(alive.filter_map(|pid| Some((pid, *started.get(&pid)?))));
    let own = std::process::id().cast_signed();
    for process in seen
        .iter()
        .filter(|process| process.is_dead && process.parent == own)
    {
        let was_member = members.get(&process.pid) == Some(&process.started);
        let is_company = marks
            .iter()
            .any(|mark| mark.has(process) && !mark.is_leader(process));
        if was_member || is_company {
            super::reap_if_dead(process.pid);
        }
    }
    members.retain(|pid, at| *at < oldest || started.get(pid) == Some(at));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn process(pid: i32, parent: i32, group: i32) -> Process {
        Process {
            pid,
            parent,
            group,
            session: group,
            started: 100,
            is_dead: false,
            is_exiting: false,
        }
    }

    fn mark(leader: Leader) -> Mark {
        Mark {
            serial: 7,
            started: 100,
            leader,
        }
    }

    fn members(seen: &[Process], tags: &[(i32, u64)], mark: &Mark) -> Vec<i32> {
        let tags = tags.iter().copied().collect();
        let family = Family::new(seen, &tags);
        let mut members: Vec<i32> = family.members(mark).map(|member| member.pid).collect();
        members.sort_unstable();
        members
    }

    #[test]
    fn a_member_is_in_the_group_or_a_child_of_a_member_or_an_orphan_with_the_tag() {
        let seen = [
            process(10, 1, 10),
            process(11, 1, 10),
            process(12, 10, 12),
            process(13, 12, 13),
            process(20, 1, 20),
            process(21, 20, 21),
            process(30, 1, 30),
            process(31, 30, 31),
        ];
        // 30 carries the tag of another execution.
        let tags = [(20, 7), (30, 8)];
        let own = mark(Leader::Own(10));
        assert_eq!(members(&seen, &tags, &own), [11, 12, 13, 20, 21]);
        assert_eq!(members(&seen, &tags, &mark(Leader::Gone)), [20, 21]);
    }

    #[test]
    fn what_is_older_than_an_execution_is_none_of_it() {
        let older = Process {
            started: 99,
            ..process(20, 1, 20)
        };
        let seen = [older, process(21, 20, 21)];
        let own = mark(Leader::Own(10));
        assert_eq!(members(&seen, &[(20, 7)], &own), [0_i32; 0]);
    }

    #[test]
    fn who_was_given_the_number_of_a_reaped_leader_is_none_of_its_execution() {
        let left = process(11, 1, 10);
        let stranger = Process {
            started: 105,
            ..process(10, 1, 10)
        };
        let seen = [left, stranger];
        let reaped = mark(Leader::Reaped(10, 105));
        assert_eq!(members(&seen, &[], &reaped), [11]);
    }

    #[test]
    fn a_process_is_confirmed_only_as_the_one_that_was_seen() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("a process");
        let pid = child.id().cast_signed();
        let scanner: &'static Scanner = Box::leak(Box::new(Scanner {
            state: Mutex::new(State {
                waiting: Vec::new(),
                asked: Vec::new(),
                looker: Some(1),
                lookers: 1,
                reading: None,
                hanging: None,
            }),
            asked: Condvar::new(),
        }));
        let look = Look { scanner, number: 1 };
        let seen = look.process(pid).expect("its facts");
        let own = Mark {
            serial: 7,
            started: 0,
            leader: Leader::Own(seen.group),
        };
        let none = HashMap::new();
        let found = look.confirm(&own, &seen, &none).expect("the same");
        assert_eq!((found.pid, found.may_be_signalled), (pid, true));
        let another = Process {
            started: seen.started + 1,
            ..seen.clone()
        };
        assert!(look.confirm(&own, &another, &none).is_none());
        // By a tag that it does not carry.
        let tags = HashMap::from([(pid, 7)]);
        let gone = mark(Leader::Gone);
        assert!(look.confirm(&gone, &seen, &tags).is_none());
        child.kill().expect("it lives");
        child.wait().expect("a child");
        assert!(look.confirm(&own, &seen, &none).is_none());
    }
}
