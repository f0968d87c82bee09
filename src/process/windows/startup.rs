//! What `CreateProcess` is told.

use std::cmp::Ordering;
use std::io;
use std::mem::size_of;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, OwnedHandle, RawHandle};
use std::ptr;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Globalization::{CSTR_GREATER_THAN, CSTR_LESS_THAN, CompareStringOrdinal};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CREATE_UNICODE_ENVIRONMENT, CreateProcessW, DeleteProcThreadAttributeList,
    EXTENDED_STARTUPINFO_PRESENT, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST, PROCESS_INFORMATION,
    STARTF_USESTDHANDLES, STARTUPINFOEXW, UpdateProcThreadAttribute,
};

use super::job::Job;
use super::{check, check_handle, program, size_of_all, wide};
use crate::process::Invocation;
use crate::process::environment::Variables;

/// Starts the process, in the job from its first instruction on; returns its handle and number.
pub(super) fn create_process(
    invocation: &Invocation,
    stdio: [&OwnedHandle; 3],
    job: &Job,
) -> io::Result<(OwnedHandle, u32)> {
    let (program, mut command_line) =
        program::command_line(&invocation.program, &invocation.words)?;
    let program = wide(program.as_os_str())?;
    let variables = environment_block(&invocation.variables);
    let working_dir = match &invocation.working_dir {
        Some(dir) => Some(wide(std::path::absolute(dir)?.as_os_str())?),
        None => None,
    };
    let handles = stdio.map(AsRawHandle::as_raw_handle);
    let jobs = [job.handle().as_raw_handle()];
    // One that is in the list twice is refused.
    let mut inherited = handles.to_vec();
    inherited.dedup();
    let mut attributes = Attributes::new(2)?;
    attributes.add(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &inherited)?;
    attributes.add(PROC_THREAD_ATTRIBUTE_JOB_LIST, &jobs)?;
    let mut startup = STARTUPINFOEXW::default();
    startup.StartupInfo.cb = size_of_all(&startup);
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    [
        startup.StartupInfo.hStdInput,
        startup.StartupInfo.hStdOutput,
        startup.StartupInfo.hStdError,
    ] = handles;
    startup.lpAttributeList = attributes.list();
    let mut process = PROCESS_INFORMATION::default();
    // SAFETY: every text ends with NUL, the command line may be written to, the block ends with two NULs, and all
    // of it lives through the call, with the attributes, the handles and the job.
    check(unsafe {
        CreateProcessW(
            program.as_ptr(),
            command_line.as_mut_ptr(),
            ptr::null(),
            ptr::null(),
            1,
            // A console, since many programs need one, which nobody sees; that of the host is not for the child.
            CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT,
            variables.as_ptr().cast(),
            working_dir.as_ref().map_or(ptr::null(), Vec::as_ptr),
            (&raw const startup).cast(),
            &raw mut process,
        )
    })?;
    drop(check_handle(process.hThread));
    Ok((check_handle(process.hProcess)?, process.dwProcessId))
}

/// The attributes of a start.
struct Attributes {
    /// Of numbers, so that it is aligned.
    list: Vec<usize>,
}

impl Attributes {
    fn new(count: u32) -> io::Result<Self> {
        let mut size = 0;
        // SAFETY: asks for the size, which is its only effect.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), count, 0, &raw mut size) };
        let mut list = vec![0_usize; size.div_ceil(size_of::<usize>())];
        // SAFETY: the list has the size that was asked for.
        check(unsafe {
            InitializeProcThreadAttributeList(list.as_mut_ptr().cast(), count, 0, &raw mut size)
        })?;
        Ok(Self { list })
    }

    fn list(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.list.as_mut_ptr().cast()
    }

    /// The handles must outlive the attributes.
    fn add(&mut self, attribute: u32, handles: &[RawHandle]) -> io::Result<()> {
        // SAFETY: the list is initialized and has room; the caller keeps the handles, whose length is told.
        check(unsafe {
            UpdateProcThreadAttribute(
                self.list(),
                0,
                attribute as usize,
                handles.as_ptr().cast(),
                size_of_val(handles),
                ptr::null_mut(),
                ptr::null(),
            )
        })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialized in `new`, deleted once.
        unsafe { DeleteProcThreadAttributeList(self.list()) };
    }
}

const _: () = assert!(size_of::<HANDLE>() == size_of::<RawHandle>());

/// The variables as Windows wants them: sorted by name without regard to case, no name twice. Of two, that of the
/// request is taken, and of its own, the first in the order of their letters.
fn environment_block(variables: &Variables) -> Vec<u16> {
    let inherited = variables.iter().count() - variables.own.len();
    let mut all: Vec<(bool, Vec<u16>, usize)> = variables
        .iter()
        .enumerate()
        .map(|(index, variable)| {
            let text: Vec<u16> = variable.with_nul().encode_wide().collect();
            // A name may begin with "=", as those of the directories of drives do.
            let end = text
                .iter()
                .skip(1)
                .position(|unit| *unit == u16::from(b'='));
            let end = end.map_or(text.len() - 1, |end| end + 1);
            (index < inherited, text, end)
        })
        .collect();
    // A program without this one can load hardly a library of the system.
    let is_root = |(_, text, end): &(bool, Vec<u16>, usize)| {
        compare(&text[..*end], &utf16("SystemRoot")).is_eq()
    };
    if !all.iter().any(is_root)
        && let Some(root) = std::env::var_os("SystemRoot")
    {
        let mut text = utf16("SystemRoot=");
        text.extend(root.encode_wide().chain([0]));
        all.push((true, text, "SystemRoot".len()));
    }
    all.sort_by(|(inherited, a, a_end), (also, b, b_end)| {
        compare(&a[..*a_end], &b[..*b_end])
            .then(inherited.cmp(also))
            .then_with(|| a.cmp(b))
    });
    all.dedup_by(|(_, later, later_end), (_, kept, kept_end)| {
        compare(&later[..*later_end], &kept[..*kept_end]).is_eq()
    });
    let mut block: Vec<u16> = all.into_iter().flat_map(|(_, text, _)| text).collect();
    if block.is_empty() {
        block.push(0);
    }
    block.push(0);
    block
}

fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// Compares two names as Windows does.
fn compare(a: &[u16], b: &[u16]) -> Ordering {
    let length = |text: &[u16]| i32::try_from(text.len()).unwrap_or(i32::MAX);
    // SAFETY: both texts have the lengths that are told.
    match unsafe { CompareStringOrdinal(a.as_ptr(), length(a), b.as_ptr(), length(b), 1) } {
        CSTR_LESS_THAN => Ordering::Less,
        CSTR_GREATER_THAN => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::process::environment::{Assignment, Environment};

    fn names_and_values(block: &[u16]) -> Vec<String> {
        let texts = block.split(|unit| *unit == 0);
        texts
            .map(String::from_utf16_lossy)
            .filter(|text| !text.is_empty())
            .filter(|text| !text.starts_with("SystemRoot="))
            .collect()
    }

    fn assignment(name: &str, value: &str) -> Assignment {
        Assignment::new(OsStr::new(name), OsStr::new(value))
    }

    #[test]
    fn a_block_is_sorted_and_has_no_name_twice_whatever_its_case() {
        let inherited = [("zeta", "1"), ("Path", "old"), ("=C:", r"C:\here")];
        let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
        let variables = Variables {
            inherited: Some(Environment::default().with_variables(inherited.into())),
            hidden: Vec::new(),
            own: vec![assignment("PATH", "new"), assignment("alpha", "a=b")],
        };
        let block = environment_block(&variables);
        assert_eq!(
            names_and_values(&block),
            [r"=C:=C:\here", "alpha=a=b", "PATH=new", "zeta=1"]
        );
        assert!(block.ends_with(&[0, 0]));
    }

    #[test]
    fn a_child_that_inherits_nothing_still_finds_the_system() {
        let variables = Variables {
            inherited: None,
            hidden: Vec::new(),
            own: Vec::new(),
        };
        let block = String::from_utf16_lossy(&environment_block(&variables));
        assert!(
            block.to_ascii_lowercase().starts_with("systemroot="),
            "{block:?}"
        );
        assert!(block.ends_with("\0\0"));
    }
}
