//! Finding the processes of executions by what the kernel knows of them: group, session, parents and time of start.
//! The tag, which anybody may copy, only says to whom an orphan belongs.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use super::reads::{Part, Reader};
use super::signal::{open_pidfd, signal_member};
use super::system;
use crate::process::tag;

/// How often a look goes on with what was started meanwhile.
const MOST_ROUNDS: usize = 1000;

/// A process, as one look saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::process) struct Process {
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
    /// Reaped at that time, when others were left in group or session. As long as they are, nobody is given the number
    /// anew; whoever has it is another, and then none of them is left.
    Reaped(i32, u64),
    /// Reaped, and nobody was left.
    Gone,
}

/// Of which execution the members are asked for.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub mark: Mark,
    /// Who was found to be one before, and since when it runs: it stays one, also as an orphan without a tag.
    pub known: Vec<(i32, u64)>,
}

/// A member that was seen a second time after a descriptor for it was opened, so that a signal cannot reach another
/// process that has its number by now.
#[derive(Debug)]
pub(crate) struct Member {
    pub pid: i32,
    pub started: u64,
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
    /// There may be others: some could not be looked at, or were gone at the second look and may have left others behind.
    pub has_missed: bool,
}

impl Found {
    /// Nothing is known.
    pub fn unknown() -> Self {
        Self {
            members: Vec::new(),
            has_missed: true,
        }
    }

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

/// For each query what there is; `None` where processes cannot be looked at.
pub(super) fn look(reader: &Reader, queries: &[Query]) -> Option<Vec<Found>> {
    let can_look = reader.read(0, Part::List, || Ok(Some(system::can_look())));
    if can_look == Some(false) {
        return None;
    }
    let oldest = queries.iter().map(|query| query.mark.started).min()?;
    let look = Look { reader };
    let seen = look.seen(oldest);
    let orphans_of = look.adopter();
    let tags = look.tags(&seen, orphans_of);
    let family = Family::new(&seen, &tags);
    let mut found: Vec<Found> = queries
        .iter()
        .map(|query| look.confirm_all(query, &family, &tags))
        .collect();
    let has_failed = reader.take_failed();
    for found in &mut found {
        found.has_missed |= has_failed;
    }
    if orphans_of == std::process::id().cast_signed() {
        reap(&seen, &found, queries, oldest);
    }
    Some(found)
}

/// One look through all processes.
struct Look<'a> {
    reader: &'a Reader,
}

impl Look<'_> {
    fn process(&self, pid: i32) -> Option<Process> {
        self.reader
            .read(pid, Part::Facts, || system::read_process(pid))
    }

    /// All processes that are not older than that.
    ///
    /// First those that are listed, then all numbers that were given out since: whoever lives in the end was either there
    /// all the time, or has one of those. So a look that finds no member has proved that there is none, also where each
    /// process starts the next and ends.
    fn seen(&self, oldest: u64) -> Vec<Process> {
        let own = std::process::id().cast_signed();
        let mut seen = HashMap::new();
        let mut visit = |process: Option<Process>, pid: i32| {
            let is_new = |process: &Process| process.started >= oldest && pid != own;
            match process.filter(is_new) {
                Some(process) => drop(seen.insert(pid, process)),
                None => drop(seen.remove(&pid)),
            }
        };
        let mut last = system::last_pid();
        self.each_listed(&mut visit);
        for _ in 0..MOST_ROUNDS {
            let before = std::mem::replace(&mut last, system::last_pid());
            match (before, last) {
                (Some(before), Some(last)) if before < last => {
                    for pid in before + 1..=last {
                        visit(self.numbered(pid), pid);
                    }
                }
                // The numbers began anew.
                (Some(before), Some(last)) if before > last => self.each_listed(&mut visit),
                _ => break,
            }
        }
        seen.into_values().collect()
    }

    fn each_listed(&self, mut visit: impl FnMut(Option<Process>, i32)) {
        let pids = self
            .reader
            .read(0, Part::List, || system::all_pids().map(Some));
        for pid in pids.unwrap_or_default() {
            visit(self.process(pid), pid);
        }
    }

    /// A process by a number that may be that of a thread.
    fn numbered(&self, pid: i32) -> Option<Process> {
        let process = self.process(pid)?;
        let is_process = || system::is_process(pid).map(Some);
        self.reader
            .read(pid, Part::Facts, is_process)?
            .then_some(process)
    }

    fn adopter(&self) -> i32 {
        let asked = self
            .reader
            .read(0, Part::Adopter, || Ok(Some(system::adopter())));
        asked.unwrap_or(1)
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
        let variables = || system::read_variables(pid).map(Some);
        let variables = self.reader.read(pid, Part::Variables, variables)?;
        if variables.is_empty() {
            let is_executing = || system::is_executing(pid).map(Some);
            if self.reader.read(pid, Part::Variables, is_executing)? {
                // It shows its variables in a moment: who asks looks again.
                self.reader.note_failure();
            }
            return None;
        }
        let serial = tag::serial_in(&variables)?;
        let is_near = || system::is_in_own_cgroup(pid).map(Some);
        let is_near = self.reader.read(pid, Part::Cgroup, is_near)?;
        is_near.then_some(serial)
    }

    fn confirm_all(&self, query: &Query, family: &Family<'_>, tags: &HashMap<i32, u64>) -> Found {
        let mut found = Found::default();
        for seen in family.members(query) {
            let is_tagged = tags.contains_key(&seen.pid) && !query.is_known(seen);
            let member = self.confirm(&query.mark, seen, is_tagged);
            found.has_missed |= member.is_none();
            found.members.extend(member);
        }
        found
    }

    /// Opens a descriptor for a process, and looks whether it is still the one that was seen; of one that only its tag
    /// makes a member, whether it still carries that.
    fn confirm(&self, mark: &Mark, seen: &Process, is_tagged: bool) -> Option<Member> {
        let pidfd = open_pidfd(seen.pid).ok();
        let again = self.process(seen.pid)?;
        let is_same = again.started == seen.started && !again.is_dead;
        if !is_same || (is_tagged && !mark.has(&again) && self.tag(seen.pid) != Some(mark.serial)) {
            return None;
        }
        Some(Member {
            pid: seen.pid,
            started: seen.started,
            is_in_group: matches!(mark.leader, Leader::Own(leader) if again.group == leader),
            is_exiting: again.is_exiting,
            may_be_signalled: signal_member(seen.pid, pidfd.as_ref(), 0),
            pidfd,
        })
    }
}

impl Mark {
    /// Whether a process is in the group or the session of the leader, as long as that has its number.
    fn has(&self, process: &Process) -> bool {
        let is_in = |leader: i32| process.group == leader || process.session == leader;
        match self.leader {
            Leader::Own(leader) => is_in(leader),
            // A tick is too short for the numbers to begin anew.
            Leader::Reaped(leader, at) => is_in(leader) && process.started <= at,
            Leader::Gone => false,
        }
    }

    fn is_leader(&self, process: &Process) -> bool {
        matches!(self.leader, Leader::Own(leader) if process.pid == leader)
    }
}

impl Query {
    fn is_known(&self, process: &Process) -> bool {
        self.known.contains(&(process.pid, process.started))
    }
}

/// The processes of one look, by what is asked of them.
struct Family<'a> {
    seen: &'a [Process],
    by_pid: HashMap<i32, usize>,
    children: HashMap<i32, Vec<usize>>,
    tagged: HashMap<u64, Vec<usize>>,
}

impl<'a> Family<'a> {
    fn new(seen: &'a [Process], tags: &HashMap<i32, u64>) -> Self {
        let mut family = Self {
            seen,
            by_pid: HashMap::with_capacity(seen.len()),
            children: HashMap::new(),
            tagged: HashMap::new(),
        };
        for (index, process) in seen.iter().enumerate() {
            family.by_pid.insert(process.pid, index);
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

    /// The live members besides the leader: who is in its group or session, orphans with its tag, who was a member before,
    /// and whose parent is a member.
    fn members(&self, query: &Query) -> impl Iterator<Item = &'a Process> + use<'a> {
        let (seen, mark) = (self.seen, query.mark);
        let mut found = HashSet::new();
        let mut to_visit = self.tagged.get(&mark.serial).cloned().unwrap_or_default();
        to_visit.extend(self.company(&mark));
        let known = query.known.iter().filter_map(|(pid, started)| {
            let index = self.by_pid.get(pid)?;
            (seen[*index].started == *started).then_some(*index)
        });
        to_visit.extend(known);
        while let Some(index) = to_visit.pop() {
            let process = &seen[index];
            if process.started < mark.started || !found.insert(index) {
                continue;
            }
            let children = self.children.get(&process.pid).into_iter().flatten();
            to_visit.extend(children.filter(|child| seen[**child].started >= process.started));
        }
        let members = found.into_iter().map(move |index| &seen[index]);
        members.filter(move |process| !process.is_dead && !mark.is_leader(process))
    }

    /// The leader, and who is in its group or session.
    fn company(&self, mark: &Mark) -> impl Iterator<Item = usize> {
        let is_given_anew =
            matches!(mark.leader, Leader::Reaped(leader, _) if self.by_pid.contains_key(&leader));
        let is_free = mark.leader == Leader::Gone || is_given_anew;
        let all = self.seen.iter().enumerate().filter(move |_| !is_free);
        all.filter(|(_, process)| mark.has(process) || mark.is_leader(process))
            .map(|(index, _)| index)
    }
}

/// Where this host itself adopts orphans, nobody else takes their status. Those in the group or session of an execution
/// are its own, and those that were members while they lived. Of the rest it is not known whose they are: another part
/// of the host may wait for them.
pub(super) fn reap(seen: &[Process], found: &[Found], queries: &[Query], oldest: u64) {
    static MEMBERS: Mutex<Option<HashMap<i32, u64>>> = Mutex::new(None);

    let mut members = MEMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let members = members.get_or_insert_default();
    let alive = found.iter().flat_map(|found| &found.members);
    members.extend(alive.map(|member| (member.pid, member.started)));
    let own = std::process::id().cast_signed();
    let dead = seen
        .iter()
        .filter(|process| process.is_dead && process.parent == own);
    for process in dead {
        let was_member = members.get(&process.pid) == Some(&process.started);
        let is_company = |query: &Query| query.mark.has(process) && !query.mark.is_leader(process);
        if was_member || queries.iter().any(is_company) {
            super::reap_if_dead(process.pid);
        }
    }
    let started: HashMap<i32, u64> = seen.iter().map(|seen| (seen.pid, seen.started)).collect();
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
        members_with(seen, tags, mark, &[])
    }

    fn members_with(
        seen: &[Process],
        tags: &[(i32, u64)],
        mark: &Mark,
        known: &[(i32, u64)],
    ) -> Vec<i32> {
        let tags = tags.iter().copied().collect();
        let query = Query {
            mark: *mark,
            known: known.to_vec(),
        };
        let family = Family::new(seen, &tags);
        let mut members: Vec<i32> = family.members(&query).map(|member| member.pid).collect();
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
    fn who_was_a_member_stays_one_as_an_orphan_without_a_tag() {
        let seen = [process(20, 1, 20), process(21, 20, 21), process(30, 1, 30)];
        let gone = mark(Leader::Gone);
        assert_eq!(
            members_with(&seen, &[], &gone, &[(20, 100), (30, 99)]),
            [20, 21]
        );
    }

    #[test]
    fn who_is_given_the_number_of_a_reaped_leader_is_none_of_its_execution() {
        let left = process(11, 1, 10);
        let reaped = mark(Leader::Reaped(10, 105));
        let stranger = Process {
            started: 105,
            ..process(10, 1, 10)
        };
        assert_eq!(members(std::slice::from_ref(&left), &[], &reaped), [11]);
        let strangers = [stranger, left];
        assert_eq!(members(&strangers, &[], &reaped), [0_i32; 0]);
        let late = Process {
            started: 106,
            ..process(12, 1, 10)
        };
        assert_eq!(members(&[late], &[], &reaped), [0_i32; 0]);
    }

    #[test]
    fn a_process_is_confirmed_only_as_the_one_that_was_seen() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("a process");
        let pid = child.id().cast_signed();
        let reader = Reader::default();
        let look = Look { reader: &reader };
        let seen = look.process(pid).expect("its facts");
        let own = Mark {
            serial: 7,
            started: 0,
            leader: Leader::Own(seen.group),
        };
        let found = look.confirm(&own, &seen, false).expect("the same");
        assert_eq!((found.pid, found.may_be_signalled), (pid, true));
        let another = Process {
            started: seen.started + 1,
            ..seen.clone()
        };
        assert!(look.confirm(&own, &another, false).is_none());
        // By a tag that it does not carry.
        let gone = mark(Leader::Gone);
        assert!(look.confirm(&gone, &seen, true).is_none());
        child.kill().expect("it lives");
        child.wait().expect("a child");
        assert!(look.confirm(&own, &seen, false).is_none());
    }
}
