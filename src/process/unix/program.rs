//! What programs, shells and scripts are on Unix.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::passwd;
use crate::process::environment::Variables;

/// The forms under which a program may be found: on Unix, its name.
pub(crate) struct Forms;

impl Forms {
    pub fn of_child(_: &Variables) -> Self {
        Self
    }

    /// The files that a path may mean.
    #[expect(clippy::unused_self, reason = "elsewhere a path has several forms")]
    pub fn of(&self, path: PathBuf) -> [PathBuf; 1] {
        [path]
    }
}

/// Where programs are looked for when the child has no `PATH`.
pub(crate) fn default_path() -> OsString {
    "/usr/local/bin:/usr/bin:/bin".into()
}

/// Whether it is a path, and no name to look for.
pub(crate) fn is_path(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}

/// Whether this user may execute the file.
pub(crate) fn is_executable(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: `path` is a NUL-terminated string that lives through the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) == 0 }
}

/// A word that cannot be passed to the program as it is, and why.
pub(crate) fn refused_word(_: &Path, _: &[OsString]) -> Option<(usize, &'static str)> {
    None
}

/// `bash`, and `sh` where there is no bash.
pub(crate) fn default_shell(has: impl Fn(&str) -> bool) -> &'static str {
    if has("bash") { "bash" } else { "sh" }
}

/// How a shell is told what to run.
pub(crate) fn shell_words(shell: &str, command: &str) -> Vec<OsString> {
    [shell, "-c", command].map(OsString::from).into()
}

/// The login shell of the user, where there are such shells: what `SHELL` says, or the entry of the user. May block.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
pub(crate) fn login_shell(said: Option<OsString>) -> Option<OsString> {
    let of_user = || {
        // SAFETY: takes nothing.
        let entry = passwd::by_id(unsafe { libc::geteuid() });
        entry.ok().flatten().map(|entry| entry.shell)
    };
    let is_known = |shell: &OsString| !shell.is_empty();
    let shell = said.filter(is_known).or_else(of_user).filter(is_known);
    Some(shell.unwrap_or_else(|| "/bin/sh".into()))
}

/// How an interpreter is told to run a script.
pub(crate) fn interpreter_named(interpreter: &str) -> Vec<OsString> {
    vec![interpreter.into()]
}

/// The interpreter that a `#!` line names.
pub(crate) fn interpreter_of_line(words: &[OsString]) -> Vec<OsString> {
    words.to_vec()
}

/// What runs a script with this extension: a program and its first arguments, nothing if the script is a program
/// itself, `None` if there is no such thing.
#[expect(
    clippy::unnecessary_wraps,
    reason = "elsewhere not every file can be run by something"
)]
pub(crate) fn interpreter_of_extension(
    extension: Option<&str>,
    has: impl Fn(&str) -> bool,
) -> Option<Vec<OsString>> {
    let interpreter = match extension {
        Some("py") => "python3",
        Some("js" | "cjs" | "mjs") => "node",
        Some("rb") => "ruby",
        Some("pl") => "perl",
        Some("ps1") => "pwsh",
        Some("zsh") => "zsh",
        Some("bash") => "bash",
        Some("sh") => "sh",
        _ => default_shell(has),
    };
    Some(vec![interpreter.into()])
}
