//! Job Objects: all processes of an execution, whatever they do.

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_MORE_DATA, MAX_PATH, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, IsProcessInJob, JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION,
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_BASIC_PROCESS_ID_LIST, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectBasicAccountingInformation, JobObjectBasicProcessIdList,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
    QueryFullProcessImageNameW, WaitForSingleObject,
};

use super::{KILLED, check, check_handle, size_of_all};
use crate::process::CpuTime;

/// The processes of one execution.
#[derive(Debug)]
pub(super) struct Job {
    handle: OwnedHandle,
    was_killed: AtomicBool,
}

/// A live process of a job.
#[derive(Debug)]
pub(super) struct Member {
    pub pid: u32,
    /// `None`: this user may not even watch it.
    pub process: Option<OwnedHandle>,
}

impl Job {
    /// A job without processes. One that is guarded ends with its last handle, which the host holds: with the host.
    pub fn new(guarded: bool) -> io::Result<Self> {
        // SAFETY: no attributes and no name: the handle is not inherited, and the job is nobody else's.
        let handle = check_handle(unsafe { CreateJobObjectW(ptr::null(), ptr::null()) })?;
        let job = Self {
            handle,
            was_killed: AtomicBool::new(false),
        };
        job.limit(guarded)?;
        Ok(job)
    }

    /// Leaves alone what is in it, also at the end of the host.
    pub fn let_go(&self) {
        // What could be limited can be limited less.
        let _ = self.limit(false);
    }

    fn limit(&self, guarded: bool) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        // A process that crashes must not wait for somebody to close a dialog.
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
        if guarded {
            limits.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        }
        // SAFETY: the job is open, and the limits are of the class that is named.
        check(unsafe {
            SetInformationJobObject(
                self.handle.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size_of_all(&limits),
            )
        })
    }

    pub fn handle(&self) -> &OwnedHandle {
        &self.handle
    }

    /// Kills all of it.
    pub fn terminate(&self) {
        if self.process_ids().is_ok_and(|ids| ids.is_empty()) {
            return;
        }
        self.was_killed.store(true, Ordering::Release);
        // SAFETY: the job is open. One without processes is no error.
        unsafe { TerminateJobObject(self.handle.as_raw_handle(), KILLED) };
    }

    /// Whether there was something to kill when it was killed.
    pub fn was_killed(&self) -> bool {
        self.was_killed.load(Ordering::Acquire)
    }

    /// The processor time of all processes that are or were in it.
    pub fn cpu_time(&self) -> Option<CpuTime> {
        let mut told = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        // SAFETY: the job is open, and the answer is of the class that is named.
        let answer = check(unsafe {
            QueryInformationJobObject(
                self.handle.as_raw_handle(),
                JobObjectBasicAccountingInformation,
                (&raw mut told).cast(),
                size_of_all(&told),
                ptr::null_mut(),
            )
        });
        // The system counts in steps of 100 ns.
        let duration = |time: i64| Duration::from_nanos(u64::try_from(time).unwrap_or(0) * 100);
        answer.ok().map(|()| CpuTime {
            user: duration(told.TotalUserTime),
            system: duration(told.TotalKernelTime),
        })
    }

    /// Its live processes besides the leader.
    pub fn members(&self, leader: u32) -> Vec<Member> {
        let ids = self.process_ids().unwrap_or_default();
        ids.into_iter()
            .filter(|pid| *pid != leader)
            .filter_map(|pid| self.member(pid))
            .collect()
    }

    fn process_ids(&self) -> io::Result<Vec<u32>> {
        /// What stands before the numbers: two counts.
        const HEAD: usize = size_of::<JOBOBJECT_BASIC_PROCESS_ID_LIST>() / size_of::<usize>() - 1;
        let mut room = 64;
        loop {
            // Of numbers, so that it is aligned.
            let mut list = vec![0_usize; HEAD + room];
            // SAFETY: the job is open, and the list has the length that is told.
            let answer = check(unsafe {
                QueryInformationJobObject(
                    self.handle.as_raw_handle(),
                    JobObjectBasicProcessIdList,
                    list.as_mut_ptr().cast(),
                    size_of_all(&list[..]),
                    ptr::null_mut(),
                )
            });
            match answer {
                Err(error) if error.raw_os_error() == Some(ERROR_MORE_DATA.cast_signed()) => {
                    room *= 4;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    // SAFETY: the list is large enough and aligned, and was filled in.
                    let head = unsafe { &*list.as_ptr().cast::<JOBOBJECT_BASIC_PROCESS_ID_LIST>() };
                    let count = head.NumberOfProcessIdsInList as usize;
                    let ids = list.iter().skip(HEAD).take(count);
                    return Ok(ids
                        .map(|id| u32::try_from(*id).unwrap_or(u32::MAX))
                        .collect());
                }
            }
        }
    }

    /// `None` if the process has ended, or its number is another's by now, or it is the host of its console,
    /// which the system starts and ends.
    fn member(&self, pid: u32) -> Option<Member> {
        let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE;
        // SAFETY: takes numbers.
        let process = match check_handle(unsafe { OpenProcess(rights, 0, pid) }) {
            Ok(process) => process,
            Err(error) if error.raw_os_error() == Some(ERROR_ACCESS_DENIED.cast_signed()) => {
                return Some(Member { pid, process: None });
            }
            Err(_) => return None,
        };
        let mut is_in_job = 0;
        // SAFETY: both handles are open, and there is room for the answer.
        let known = unsafe {
            IsProcessInJob(
                process.as_raw_handle(),
                self.handle.as_raw_handle(),
                &raw mut is_in_job,
            )
        };
        // SAFETY: the handle is open.
        let has_ended = unsafe { WaitForSingleObject(process.as_raw_handle(), 0) } == WAIT_OBJECT_0;
        // Where the question is not allowed, it was in the job a moment ago.
        let is_in_job = known == 0 || is_in_job != 0;
        let counts = is_in_job && !has_ended && !is_console_host(&process);
        counts.then_some(Member {
            pid,
            process: Some(process),
        })
    }
}

fn is_console_host(process: &OwnedHandle) -> bool {
    let mut path = [0; MAX_PATH as usize];
    let mut length = MAX_PATH;
    // SAFETY: the handle is open, and the path has the length that is told.
    let known = unsafe {
        QueryFullProcessImageNameW(
            process.as_raw_handle(),
            PROCESS_NAME_WIN32,
            path.as_mut_ptr(),
            &raw mut length,
        )
    };
    let path = String::from_utf16_lossy(&path[..length as usize]);
    known != 0
        && path
            .to_ascii_lowercase()
            .ends_with("\\system32\\conhost.exe")
}
