//! A command as a terminal may show it: quoted for a shell, and without what a terminal would obey. And a text quoted for
//! a shell that is to read it.

use std::fmt::Write;

use super::error::ValidationError;

/// A text as one word for a POSIX shell, which reads nothing in it as syntax. It stands between spaces, and not within
/// quotes: `format!("ls -l {} | wc -l", quote(path)?)`.
///
/// # Errors
///
/// A text with a NUL byte, which no shell can be given.
pub fn quote(text: &str) -> Result<String, ValidationError> {
    if text.contains('\0') {
        let found = "one with a NUL byte";
        return Err(ValidationError::new(
            "text",
            "text without NUL bytes",
            found,
        ));
    }
    // All of it, always: what needs no quotes in one place does in another, such as a word that would be a keyword.
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// The words of a command, as one would type them. A word with what a terminal would obey is spelled `$'…'`, as `bash`
/// and others read it.
pub(crate) fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoter = shlex::Quoter::new().allow_nul(true);
    let words = words.into_iter().map(|word| {
        if word.chars().any(is_obeyed) {
            return format!("$'{}'", escaped(word, |char| matches!(char, '\\' | '\'')));
        }
        quoter.quote(word).unwrap_or_default().into_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A line that is for a shell as it stands; on one line, whatever it holds.
pub(crate) fn visible(line: &str) -> String {
    escaped(line, |_| false)
}

/// Whether a terminal does something else with it than to show it: control characters, the two other ends of a line,
/// and what turns the direction of the text around it.
fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

fn escaped(text: &str, also: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            '\r' => escaped.push_str("\\r"),
            '\u{1b}' => escaped.push_str("\\e"),
            // Beyond ASCII, a byte is no character.
            char if char.is_ascii_control() => drop(write!(escaped, "\\x{:02x}", u32::from(char))),
            char if is_obeyed(char) => drop(write!(escaped, "\\u{:04x}", u32::from(char))),
            char => {
                if also(char) {
                    escaped.push('\\');
                }
                escaped.push(char);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_for_a_shell_whatever_it_holds() {
        assert_eq!(quote("it's $HOME").as_deref(), Ok(r"'it'\''s $HOME'"));
        assert_eq!(quote("").as_deref(), Ok("''"));
        let refused = quote("a\0").expect_err("a refusal");
        assert_eq!(refused.field, "text");
    }

    #[test]
    fn a_word_is_quoted_only_where_it_has_to_be() {
        assert_eq!(
            quoted(["echo", "a b", "it's", ""]),
            "echo 'a b' \"it's\" ''"
        );
        assert_eq!(quoted(["é€😀", "~"]), "'é€😀' '~'");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_words() {
        let word = "\u{1b}[2J it's \\ a\nb\tc\r\u{7}\u{7f}\u{85}\u{2028}\u{202e}\u{2066}";
        assert_eq!(
            quoted(["echo", word]),
            r"echo $'\e[2J it\'s \\ a\nb\tc\r\x07\x7f\u0085\u2028\u202e\u2066'"
        );
    }

    #[test]
    fn a_line_for_a_shell_stays_on_one_line_and_is_otherwise_as_it_is() {
        assert_eq!(
            visible("echo 'a\\n' \"$HOME\"\n\techo \u{1b}]0;x\u{7}\u{200f}é"),
            r#"echo 'a\n' "$HOME"\n\techo \e]0;x\x07\u200fé"#
        );
    }
}
