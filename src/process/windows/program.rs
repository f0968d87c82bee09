//! What programs, shells and scripts are on Windows, and how words become the one text that a program is given.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::MAX_PATH;
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

use crate::process::environment::Variables;

/// The extensions of what the system can start.
const STARTABLE: [&str; 4] = ["com", "exe", "bat", "cmd"];

/// The longest text that `cmd.exe` reads, in UTF-16 units.
const LONGEST_FOR_CMD: usize = 8191;

/// The forms under which a program may be found: with the extensions of the child's `PATHEXT`.
pub(crate) struct Forms(Vec<String>);

impl Forms {
    pub fn of_child(variables: &Variables) -> Self {
        let listed = variables.value("PATHEXT").unwrap_or_default();
        let listed = listed.to_string_lossy().to_ascii_lowercase();
        let extensions = listed.split(';').filter_map(|part| part.strip_prefix('.'));
        // Others, such as that of a script, are for a shell, which knows what runs them.
        let extensions = extensions.filter(|extension| STARTABLE.contains(extension));
        let mut extensions: Vec<String> = extensions.map(str::to_owned).collect();
        if extensions.is_empty() {
            extensions = STARTABLE.map(str::to_owned).into();
        }
        Self(extensions)
    }

    /// The files that a path may mean, the likeliest first. Beside `tool.cmd` there may be a `tool` for other systems.
    pub fn of(&self, path: PathBuf) -> Vec<PathBuf> {
        let with_extension = self.0.iter().map(|extension| {
            let mut longer = path.clone().into_os_string();
            longer.push(".");
            longer.push(extension);
            PathBuf::from(longer)
        });
        let mut forms: Vec<PathBuf> = with_extension.collect();
        let own = if is_executable(&path) { 0 } else { forms.len() };
        forms.insert(own, path);
        forms
    }
}

/// Where programs are looked for when the child has no `PATH`.
pub(crate) fn default_path() -> OsString {
    let system = system_dir();
    let windows = system.parent().unwrap_or(&system);
    let shell = system.join(r"WindowsPowerShell\v1.0");
    std::env::join_paths([&system, windows, &shell]).unwrap_or_default()
}

fn system_dir() -> PathBuf {
    let mut path = [0; MAX_PATH as usize];
    // SAFETY: the path has the length that is told.
    let length = unsafe { GetSystemDirectoryW(path.as_mut_ptr(), MAX_PATH) };
    OsString::from_wide(path.get(..length as usize).unwrap_or_default()).into()
}

/// Whether it is a path, and no name to look for.
pub(crate) fn is_path(program: &OsStr) -> bool {
    let bytes = program.as_encoded_bytes();
    bytes.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':'))
}

/// Whether the system can start the file, by its name: a `#!` line is nothing to Windows.
pub(crate) fn is_executable(path: &Path) -> bool {
    STARTABLE
        .iter()
        .any(|extension| has_extension(path, extension))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// A batch file, which `cmd.exe` runs.
fn is_batch(program: &Path) -> bool {
    has_extension(program, "bat") || has_extension(program, "cmd")
}

/// Whether these words are a line for `cmd.exe`, as [`shell_words`] has them.
fn is_line_for_cmd(words: &[OsString]) -> bool {
    matches!(words, [shell, a, b, c, _] if name_of(shell) == "cmd" && a == "/d" && b == "/s" && c == "/c")
}

/// The name of a program, without its directory and its extension.
fn name_of(program: &OsStr) -> String {
    let name = Path::new(program).file_stem().unwrap_or_default();
    name.to_string_lossy().to_ascii_lowercase()
}

/// A word that cannot be passed to the program as it is, and why.
pub(crate) fn refused_word(program: &Path, words: &[OsString]) -> Option<(usize, &'static str)> {
    // As it will be started: "tool.bat." is a batch file, too.
    let program = std::path::absolute(program).ok();
    let expected = if program.as_deref().is_none_or(is_batch) {
        "a text without line breaks, which cannot be passed to a batch file"
    } else if is_line_for_cmd(words) {
        "a text without line breaks, behind which cmd.exe reads nothing"
    } else {
        return None;
    };
    let breaks = |word: &OsString| {
        let bytes = word.as_encoded_bytes();
        bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    };
    words.iter().position(breaks).map(|index| (index, expected))
}

/// `powershell`, which every Windows has.
pub(crate) fn default_shell(_: impl Fn(&str) -> bool) -> &'static str {
    "powershell"
}

/// Windows has no login shell.
pub(crate) fn login_shell(_: Option<OsString>) -> Option<OsString> {
    None
}

/// How a shell is told what to run.
pub(crate) fn shell_words(shell: &str, command: &str) -> Vec<OsString> {
    let options: &[&str] = match name_of(shell.as_ref()).as_str() {
        "cmd" => &["/d", "/s", "/c"],
        // A prompt fails instead of hanging.
        "powershell" | "pwsh" => &["-NoLogo", "-NoProfile", "-NonInteractive", "-Command"],
        _ => &["-c"],
    };
    let words = [shell].into_iter().chain(options.iter().copied());
    words.chain([command]).map(OsString::from).collect()
}

/// How an interpreter is told to run a script: nothing for what runs by itself.
pub(crate) fn interpreter_named(interpreter: &str) -> Vec<OsString> {
    let options: &[&str] = match name_of(interpreter.as_ref()).as_str() {
        "cmd" => return Vec::new(),
        "powershell" | "pwsh" => &[
            "-NoLogo",
            "-NoProfile",
            "-NonInteractive",
            "-ExecutionPolicy",
            "Bypass",
            "-File",
        ],
        _ => &[],
    };
    let words = [interpreter].into_iter().chain(options.iter().copied());
    words.map(OsString::from).collect()
}

/// The interpreter that a `#!` line names: by its name alone, since its directory is that of another system.
pub(crate) fn interpreter_of_line(words: &[OsString]) -> Vec<OsString> {
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    let words: Vec<String> = words.iter().map(text).collect();
    let mut parts = words.iter().flat_map(|word| word.split_whitespace());
    let Some(first) = parts.next() else {
        return Vec::new();
    };
    let first = match first.strip_prefix('/') {
        Some(path) => path.rsplit('/').next().unwrap_or(path),
        None => first,
    };
    let is_env = first == "env";
    let first = (!is_env).then_some(first);
    let rest = parts.skip_while(|part| is_env && *part == "-S");
    first.into_iter().chain(rest).map(OsString::from).collect()
}

/// What runs a script with this extension: a program and its first arguments, nothing if the script is a program
/// itself, `None` if there is no such thing.
pub(crate) fn interpreter_of_extension(
    extension: Option<&str>,
    _: impl Fn(&str) -> bool,
) -> Option<Vec<OsString>> {
    let extension = extension?.to_ascii_lowercase();
    Some(interpreter_named(match extension.as_str() {
        "bat" | "cmd" => "cmd",
        "ps1" => "powershell",
        "py" => "python",
        "js" | "cjs" | "mjs" => "node",
        "rb" => "ruby",
        "pl" => "perl",
        "zsh" => "zsh",
        "bash" => "bash",
        "sh" => "sh",
        _ => return None,
    }))
}

/// What is started, and the text it is given, with a NUL at its end.
///
/// A batch file is started through the system's `cmd.exe`, with each word quoted so that nothing in it is a command.
pub(super) fn command_line(program: &Path, words: &[OsString]) -> io::Result<(PathBuf, Vec<u16>)> {
    let program = std::path::absolute(program)?;
    let mut line = Line::default();
    if is_batch(&program) {
        // Extensions, for the quoting; no expansion of "!"; no commands of a registry key.
        line.raw("cmd.exe /e:ON /v:OFF /d /c \"");
        line.batch_word(program.as_os_str(), true);
        for word in words.iter().skip(1) {
            line.raw(" ");
            line.batch_word(word, false);
        }
        line.raw("\"");
        if line.0.len() > LONGEST_FOR_CMD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a batch file can be given {LONGEST_FOR_CMD} characters at most"),
            ));
        }
        return Ok((system_dir().join("cmd.exe"), line.finish()?));
    }
    line.program(&words[0]);
    if is_line_for_cmd(words) {
        // What follows is not cut into words: with these options the outermost quotes are taken away, no others.
        line.raw(" /d /s /c \"");
        line.0.extend(words[4].encode_wide());
        line.raw("\"");
    } else {
        for word in &words[1..] {
            line.raw(" ");
            line.word(word);
        }
    }
    Ok((program, line.finish()?))
}

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;
const PERCENT: u16 = b'%' as u16;

/// A command line in the making.
#[derive(Default)]
struct Line(Vec<u16>);

impl Line {
    fn raw(&mut self, text: &str) {
        self.0.extend(text.encode_utf16());
    }

    /// The first word, in which no character but the quote has a meaning.
    fn program(&mut self, word: &OsStr) {
        self.0.push(QUOTE);
        self.0
            .extend(word.encode_wide().filter(|unit| *unit != QUOTE));
        self.0.push(QUOTE);
    }

    /// A word by the rules of the C library, which almost every program follows: a quote is written `\"`, and
    /// backslashes are doubled where a quote follows.
    fn word(&mut self, word: &OsStr) {
        let is_plain = |unit: u16| !matches!(unit, 0x09 | 0x0A | 0x0B | 0x20 | QUOTE);
        if !word.is_empty() && word.encode_wide().all(is_plain) {
            self.0.extend(word.encode_wide());
            return;
        }
        self.quoted(word, |line, unit| {
            if unit == QUOTE {
                line.push(BACKSLASH);
            }
            line.push(unit);
        });
    }

    /// A word for a batch file. Between quotes `cmd.exe` gives a meaning to nothing but the quote and "%". Two
    /// quotes are one, and do not end the text between quotes. Each "%" becomes one behind which an empty part of
    /// a variable is taken: so there is no pair that would be replaced by what is between.
    fn batch_word(&mut self, word: &OsStr, must_quote: bool) {
        let is_plain = |unit: u16| {
            u8::try_from(unit).is_ok_and(|byte| {
                byte.is_ascii_alphanumeric()
                    || matches!(
                        byte,
                        b'#' | b'+' | b'-' | b'.' | b'/' | b':' | b'?' | b'@' | b'_' | b'\\'
                    )
            })
        };
        let plain = !word.is_empty()
            && word.encode_wide().all(is_plain)
            && word.encode_wide().last() != Some(BACKSLASH);
        if plain && !must_quote {
            self.0.extend(word.encode_wide());
            return;
        }
        self.quoted(word, |line, unit| match unit {
            QUOTE => line.extend([QUOTE, QUOTE]),
            PERCENT => line.extend("%%cd:~,%".encode_utf16()),
            unit => line.push(unit),
        });
    }

    /// Puts quotes around, and doubles the backslashes before each.
    fn quoted(&mut self, word: &OsStr, push: impl Fn(&mut Vec<u16>, u16)) {
        self.0.push(QUOTE);
        let mut backslashes = 0;
        for unit in word.encode_wide() {
            if unit == QUOTE {
                self.repeat_backslashes(backslashes);
            }
            backslashes = if unit == BACKSLASH {
                backslashes + 1
            } else {
                0
            };
            push(&mut self.0, unit);
        }
        self.repeat_backslashes(backslashes);
        self.0.push(QUOTE);
    }

    fn repeat_backslashes(&mut self, times: usize) {
        self.0.extend(std::iter::repeat_n(BACKSLASH, times));
    }

    fn finish(mut self) -> io::Result<Vec<u16>> {
        if self.0.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a text with a NUL in it",
            ));
        }
        self.0.push(0);
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(program: &str, words: &[&str]) -> String {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let (_, line) = command_line(Path::new(program), &words).expect("a command line");
        String::from_utf16(&line[..line.len() - 1]).expect("whole characters")
    }

    #[test]
    fn words_are_quoted_by_the_rules_of_the_c_library() {
        let cases = [
            ("plain", "plain"),
            ("", r#""""#),
            ("two words", r#""two words""#),
            (r#"a"b"#, r#""a\"b""#),
            (r"a\b", r"a\b"),
            (r"ends in \", r#""ends in \\""#),
            (r#"a\"b"#, r#""a\\\"b""#),
            ("%PATH%&^!", "%PATH%&^!"),
        ];
        for (word, quoted) in cases {
            let expected = format!(r#""tool" {quoted}"#);
            assert_eq!(line(r"C:\tool.exe", &["tool", word]), expected);
        }
    }

    #[test]
    fn nothing_in_a_word_for_a_batch_file_is_a_command() {
        let cases = [
            ("plain", "plain"),
            ("", r#""""#),
            ("a&b|c<d>e^f", r#""a&b|c<d>e^f""#),
            (r#"" & whoami & ""#, r#"""" & whoami & """"#),
            ("%PATH%", r#""%%cd:~,%PATH%%cd:~,%""#),
            ("a=b,c;d", r#""a=b,c;d""#),
            (r"ends in \", r#""ends in \\""#),
        ];
        for (word, quoted) in cases {
            let expected = format!(r#"cmd.exe /e:ON /v:OFF /d /c ""C:\tool.cmd" {quoted}""#);
            assert_eq!(line(r"C:\tool.cmd", &["tool", word]), expected);
        }
    }

    #[test]
    fn a_batch_file_is_refused_what_cannot_be_passed_to_it() {
        let words = ["tool", "fine", "two\nlines"].map(OsString::from);
        let refused = refused_word(Path::new(r"C:\tool.bat"), &words);
        assert_eq!(refused.map(|(index, _)| index), Some(2));
        for other in [r"C:\tool.bat.", r"C:\tool.BAT ", r"C:\tool.cmd. ."] {
            let refused = refused_word(Path::new(other), &words);
            assert_eq!(refused.map(|(index, _)| index), Some(2), "{other}");
        }
        assert_eq!(refused_word(Path::new(r"C:\tool.exe"), &words), None);
        let long = "x".repeat(LONGEST_FOR_CMD);
        let words = ["tool".into(), long.into()];
        let error = command_line(Path::new(r"C:\tool.bat"), &words).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn each_shell_gets_its_line_as_it_reads_it() {
        let command = r#"echo "a  b" & exit 3"#;
        let words = |shell: &str| shell_words(shell, command);
        let text = |shell: &str| {
            let (_, line) =
                command_line(Path::new(r"C:\shell.exe"), &words(shell)).expect("a command line");
            String::from_utf16(&line[..line.len() - 1]).expect("whole characters")
        };
        assert_eq!(text("cmd"), r#""cmd" /d /s /c "echo "a  b" & exit 3""#);
        let quoted = r#""echo \"a  b\" & exit 3""#;
        let options = "-NoLogo -NoProfile -NonInteractive -Command";
        for shell in ["powershell", "pwsh", r"C:\tools\PowerShell.EXE"] {
            assert_eq!(text(shell), format!(r#""{shell}" {options} {quoted}"#));
        }
        assert_eq!(text("bash"), format!(r#""bash" -c {quoted}"#));
        assert_eq!(default_shell(|_| true), "powershell");
    }

    #[test]
    fn a_program_is_looked_for_under_the_extensions_that_can_be_started() {
        let forms = Forms(vec!["exe".into(), "cmd".into()]);
        let of = |path: &str| -> Vec<String> {
            let forms = forms.of(path.into()).into_iter();
            forms.map(|form| form.display().to_string()).collect()
        };
        assert_eq!(of("tool"), ["tool.exe", "tool.cmd", "tool"]);
        assert_eq!(of("tool.Exe"), ["tool.Exe", "tool.Exe.exe", "tool.Exe.cmd"]);
        assert_eq!(of("tool.1"), ["tool.1.exe", "tool.1.cmd", "tool.1"]);
    }

    #[test]
    fn a_first_line_of_another_system_names_an_interpreter_by_its_name() {
        let cases = [
            (&["/bin/sh"][..], &["sh"][..]),
            (&["/usr/bin/env", "python3"], &["python3"]),
            (
                &["/usr/bin/env", "-S node --no-warnings"],
                &["node", "--no-warnings"],
            ),
            (&["/usr/bin/perl", "-w"], &["perl", "-w"]),
            (&[r"C:\ruby\ruby.exe"], &[r"C:\ruby\ruby.exe"]),
        ];
        for (line, expected) in cases {
            let words: Vec<OsString> = line.iter().map(OsString::from).collect();
            assert_eq!(interpreter_of_line(&words), expected);
        }
    }
}
