//! A program to be started, in the form that the system takes.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use super::Entry;
#[cfg(not(target_os = "macos"))]
use crate::process::Attributes;
use crate::process::environment::Assignment;
#[cfg(not(target_os = "macos"))]
use crate::process::linux::Place;
use crate::process::{Directory, Invocation};

/// Program, arguments, variables and directory as C has them, and the three descriptors.
pub(in crate::process) struct ExecArgs<'a> {
    program: CString,
    directory: Option<RawFd>,
    working_dir: Option<CString>,
    /// Pointers into `words`, and a null pointer behind them.
    argv: Vec<*const c_char>,
    /// Pointers to the variables, which are borrowed, and a null pointer behind them.
    envp: Vec<*const c_char>,
    _words: Vec<CString>,
    _variables: PhantomData<&'a [Assignment]>,
    /// What becomes its standard input, output and error; `None`: the null device.
    pub stdio: [Option<RawFd>; 3],
    /// What it is to be, other than this process.
    #[cfg(not(target_os = "macos"))]
    pub attributes: Option<&'a Attributes>,
    /// Where it enters its group for the guardian.
    #[cfg(not(target_os = "macos"))]
    pub place: Option<Place>,
    /// Whether it waits before its first instruction, until it is continued; on macOS only.
    #[cfg(target_os = "macos")]
    pub stopped: bool,
}

impl<'a> ExecArgs<'a> {
    pub fn new(
        invocation: &'a Invocation,
        stdio: [Option<RawFd>; 3],
        entry: Option<&Entry>,
    ) -> io::Result<Self> {
        let words = invocation.words.iter().map(|word| c_string(word));
        let dir = invocation.working_dir.as_deref();
        Ok(Self {
            directory: invocation.directory.as_deref().map(Directory::fd),
            working_dir: dir.map(|dir| c_string(dir.as_os_str())).transpose()?,
            #[cfg(not(target_os = "macos"))]
            attributes: Some(&invocation.attributes),
            #[cfg(not(target_os = "macos"))]
            place: entry.and_then(Entry::place),
            #[cfg(target_os = "macos")]
            stopped: entry.is_some(),
            program: c_string(invocation.program.as_os_str())?,
            ..Self::helper(
                words.collect::<io::Result<_>>()?,
                invocation.variables.iter(),
                stdio,
            )?
        })
    }

    /// A helper of the engine itself: a program by its path, in the directory of this process.
    pub fn helper(
        words: Vec<CString>,
        variables: impl IntoIterator<Item = &'a Assignment>,
        stdio: [Option<RawFd>; 3],
    ) -> io::Result<Self> {
        let variables = variables.into_iter().map(|variable| {
            let text = CStr::from_bytes_with_nul(variable.with_nul().as_bytes());
            text.map(CStr::as_ptr)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
        });
        Ok(Self {
            program: words.first().cloned().unwrap_or_default(),
            directory: None,
            working_dir: None,
            argv: end_with_null(words.iter().map(|word| word.as_ptr()).collect()),
            envp: end_with_null(variables.collect::<io::Result<_>>()?),
            _words: words,
            _variables: PhantomData,
            stdio,
            #[cfg(not(target_os = "macos"))]
            attributes: None,
            #[cfg(not(target_os = "macos"))]
            place: None,
            #[cfg(target_os = "macos")]
            stopped: false,
        })
    }

    /// Whether the child enters its group for the guardian itself.
    pub fn is_entered(&self) -> bool {
        #[cfg(not(target_os = "macos"))]
        let is_entered = self.place.is_some();
        #[cfg(target_os = "macos")]
        let is_entered = false;
        is_entered
    }

    pub fn program(&self) -> &CStr {
        &self.program
    }

    /// The descriptor of the directory to go to first. `None`: to stay in that of this process.
    pub fn directory(&self) -> Option<RawFd> {
        self.directory
    }

    /// The path to go to from there, if any.
    pub fn working_dir(&self) -> Option<&CStr> {
        self.working_dir.as_deref()
    }

    /// A list of strings that ends with null; both live as long as this.
    pub fn argv(&self) -> *const *const c_char {
        self.argv.as_ptr()
    }

    /// As `argv`.
    pub fn envp(&self) -> *const *const c_char {
        self.envp.as_ptr()
    }
}

fn end_with_null(mut pointers: Vec<*const c_char>) -> Vec<*const c_char> {
    pointers.push(ptr::null());
    pointers
}

fn c_string(string: &OsStr) -> io::Result<CString> {
    Ok(CString::new(string.as_bytes())?)
}
