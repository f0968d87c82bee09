//! The forms that a secret is printed in: as it is, and as programs encode, quote and escape it.

use std::fmt::Write;

use zeroize::Zeroizing;

use super::secret::{SHORTEST, Secret};

/// Encoded forms that are shorter stand in any output by chance.
const SHORTEST_ENCODED: usize = 6;

/// Lines that are shorter, of a secret of several, say too little to be one.
const SHORTEST_LINE: usize = 8;

/// A form of a secret, wiped when it is dropped.
pub(super) type Form = Zeroizing<Vec<u8>>;

/// All forms of some secrets.
#[derive(Default)]
pub(super) struct Forms {
    /// What is looked for byte by byte.
    pub exact: Vec<Form>,
    /// Secrets of several lines, with one space for each run of white space: it is looked for with any run of it there.
    pub flowing: Vec<Form>,
}

impl Forms {
    pub fn of(secrets: &[Secret]) -> Self {
        let mut forms = Self::default();
        for secret in secrets {
            forms.enter(secret.expose());
        }
        for list in [&mut forms.exact, &mut forms.flowing] {
            list.sort_unstable_by(|one, other| one.as_slice().cmp(other));
            list.dedup();
        }
        forms
    }

    fn enter(&mut self, secret: &str) {
        let text = secret.trim_matches(is_space);
        if text.len() < SHORTEST {
            // What is around it makes it long enough.
            self.exact.push(form(secret));
        } else if text.contains('\n') {
            self.enter_lines(text);
        } else {
            self.exact.push(form(text));
            self.enter_all(escaped(text));
            self.enter_all(encoded(text));
        }
    }

    fn enter_lines(&mut self, text: &str) {
        let words: Vec<&str> = text
            .split(is_space)
            .filter(|word| !word.is_empty())
            .collect();
        self.flowing.push(Zeroizing::new(words.join(" ").into()));
        for line in text.lines().map(|line| line.trim_matches(is_space)) {
            if line.len() >= SHORTEST_LINE && !line.chars().all(is_structure) {
                self.exact.push(form(line));
                self.enter_all(escaped(line));
            }
        }
        let unix = Zeroizing::new(text.replace("\r\n", "\n"));
        let dos = Zeroizing::new(unix.replace('\n', "\r\n"));
        for text in [unix, dos] {
            self.enter_all(escaped(&text));
            self.enter_all(encoded(&text));
        }
    }

    fn enter_all(&mut self, forms: impl IntoIterator<Item = Form>) {
        let long_enough = |form: &Form| form.len() >= SHORTEST_ENCODED;
        // What holds a line break is found by its words.
        let on_one_line = |form: &Form| !form.contains(&b'\n');
        let forms = forms.into_iter().filter(long_enough).filter(on_one_line);
        self.exact.extend(forms);
    }
}

/// What a run of white space is made of.
pub(super) fn is_space_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn is_space(char: char) -> bool {
    u8::try_from(char).is_ok_and(is_space_byte)
}

/// Lines of these alone stand in any document.
fn is_structure(char: char) -> bool {
    is_space(char) || "{}[](),;:\"'`".contains(char)
}

fn form(text: &str) -> Form {
    Zeroizing::new(text.as_bytes().to_vec())
}

/// The forms in which each character is written as it is, or as something else that stands for it.
fn escaped(text: &str) -> Vec<Form> {
    let mut forms = json(text);
    forms.extend(percent(text));
    forms.extend(shell(text));
    forms.extend(markup(text));
    forms
}

/// A form that is made character by character.
fn mapped(text: &str, mut write: impl FnMut(&mut String, char)) -> Form {
    // Long enough for most: what is left behind as it grows is not wiped.
    let mut form = String::with_capacity(3 * text.len());
    for char in text.chars() {
        write(&mut form, char);
    }
    Zeroizing::new(form.into_bytes())
}

/// With something in place of some characters.
fn replaced(text: &str, replace: impl Fn(char) -> Option<&'static str>) -> Form {
    mapped(text, |form, char| match replace(char) {
        Some(other) => form.push_str(other),
        None => form.push(char),
    })
}

/// With something in front of some characters.
fn prefixed(text: &str, prefix: char, chars: &str) -> Form {
    mapped(text, |form, char| {
        if chars.contains(char) {
            form.push(prefix);
        }
        form.push(char);
    })
}

/// What two characters stand for: of JSON, and of C and others beyond it.
fn short_escape(char: char) -> Option<&'static str> {
    Some(match char {
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\\' => "\\\\",
        _ => return None,
    })
}

fn short_escape_of_c(char: char) -> Option<&'static str> {
    match char {
        '\u{7}' => Some("\\a"),
        '\u{b}' => Some("\\v"),
        _ => short_escape(char),
    }
}

/// `\u` and four digits, for each unit of UTF-16.
fn write_units(form: &mut String, char: char, upper: bool) {
    for unit in char.encode_utf16(&mut [0; 2]) {
        let written = if upper {
            write!(form, "\\u{unit:04X}")
        } else {
            write!(form, "\\u{unit:04x}")
        };
        let _ = written;
    }
}

/// What stands between the quotes of a text in JSON, and of Go and C.
fn json(text: &str) -> Vec<Form> {
    let spelled = |by_units: &dyn Fn(char) -> bool, slash: bool, upper: bool| {
        mapped(text, |form, char| match short_escape(char) {
            _ if by_units(char) => write_units(form, char, upper),
            Some(short) => form.push_str(short),
            None if char == '"' => form.push_str("\\\""),
            None if char == '/' && slash => form.push_str("\\/"),
            None if char < ' ' => write_units(form, char, upper),
            None => form.push(char),
        })
    };
    let none = |_| false;
    let beyond_ascii = |char: char| !char.is_ascii();
    // For a page of HTML, as Go writes it, and as .NET does.
    let in_page = |char| matches!(char, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    let in_page_of_net = |char: char| "\"'&+<>`".contains(char) || !char.is_ascii();
    vec![
        spelled(&none, false, false),
        spelled(&none, true, false),
        spelled(&in_page, false, false),
        spelled(&in_page_of_net, false, true),
        spelled(&beyond_ascii, false, false),
        spelled(&beyond_ascii, true, false),
        spelled(&beyond_ascii, false, true),
        mapped(text, |form, char| match short_escape_of_c(char) {
            Some(short) => form.push_str(short),
            None if char == '"' => form.push_str("\\\""),
            None if char.is_ascii_control() => drop(write!(form, "\\x{:02x}", u32::from(char))),
            None => form.push(char),
        }),
    ]
}

/// What stands in a URL or a form. The encoders differ in what they leave as it is.
fn percent(text: &str) -> Vec<Form> {
    const LEFT: [(&str, bool); 6] = [
        ("~", false),
        ("~!'()*", false),
        ("~/", false),
        ("~!'()*;,/?:@&=+$#", false),
        ("~", true),
        ("*", true),
    ];
    let spelled = |(left, plus): (&str, bool), upper: bool| {
        mapped(text, |form, char| match char {
            ' ' if plus => form.push('+'),
            char if char.is_ascii_alphanumeric() || "-._".contains(char) => form.push(char),
            char if left.contains(char) => form.push(char),
            char => {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    let written = if upper {
                        write!(form, "%{byte:02X}")
                    } else {
                        write!(form, "%{byte:02x}")
                    };
                    let _ = written;
                }
            }
        })
    };
    let both = |set| [spelled(set, true), spelled(set, false)];
    LEFT.into_iter().flat_map(both).collect()
}

/// What stands on a command line, or is printed of one by `set -x`, `printf %q` and `declare -p`.
fn shell(text: &str) -> Vec<Form> {
    let one = |char: char, other: &'static str| {
        replaced(text, move |found| (found == char).then_some(other))
    };
    vec![
        one('\'', "'\\''"),
        one('\'', "'\"'\"'"),
        // PowerShell, and the quotes of CSV and SQL.
        one('\'', "''"),
        one('"', "\"\""),
        // Make, and Compose files.
        one('$', "$$"),
        prefixed(text, '\\', "'\\"),
        prefixed(text, '\\', "\"$`\\"),
        backslashed(text, ""),
        // Older shells leave the comma as it is.
        backslashed(text, ","),
        dollar_quoted(text, |char| !char.is_ascii_control()),
        dollar_quoted(text, |char| char.is_ascii() && !char.is_ascii_control()),
        // The command line of Windows.
        prefixed(text, '^', "&|<>^"),
        prefixed(text, '^', "&|<>^()%!\""),
    ]
}

/// `printf %q` of bash.
fn backslashed(text: &str, left: &str) -> Form {
    let mut is_first = true;
    mapped(text, |form, char| {
        let is_special = " !\"$&'()*,;<>?[\\]^`{|}".contains(char) && !left.contains(char);
        if is_special || (is_first && "#~".contains(char)) {
            form.push('\\');
        }
        is_first = false;
        form.push(char);
    })
}

/// What stands within `$'…'`.
fn dollar_quoted(text: &str, is_printed: impl Fn(char) -> bool) -> Form {
    mapped(text, |form, char| match short_escape_of_c(char) {
        Some(short) => form.push_str(short),
        None if char == '\'' => form.push_str("\\'"),
        None if char == '\u{1b}' => form.push_str("\\E"),
        None if is_printed(char) => form.push(char),
        None => {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(form, "\\{byte:03o}");
            }
        }
    })
}

/// XML and HTML. What is written for quotes differs.
fn markup(text: &str) -> Vec<Form> {
    const QUOTES: [(&str, &str); 6] = [
        ("\"", "'"),
        ("&quot;", "'"),
        ("&quot;", "&apos;"),
        ("&quot;", "&#39;"),
        ("&quot;", "&#x27;"),
        ("&#34;", "&#39;"),
    ];
    let spelled = |(double, single): (&'static str, &'static str)| {
        replaced(text, |char| match char {
            '&' => Some("&amp;"),
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '"' => Some(double),
            '\'' => Some(single),
            _ => None,
        })
    };
    QUOTES.into_iter().map(spelled).collect()
}

/// The forms of the bytes as a whole.
fn encoded(text: &str) -> Vec<Form> {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut forms = Vec::with_capacity(9);
    for alphabet in [STANDARD, URL] {
        forms.extend((0..3).map(|behind| base64(text.as_bytes(), behind, alphabet)));
    }
    let hex = |digits: &[u8; 16]| {
        let pairs = text.bytes().flat_map(|byte| {
            [
                digits[usize::from(byte >> 4)],
                digits[usize::from(byte & 15)],
            ]
        });
        Zeroizing::new(pairs.collect())
    };
    forms.push(hex(b"0123456789abcdef"));
    forms.push(hex(b"0123456789ABCDEF"));
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    forms.push(Zeroizing::new(units.collect()));
    forms
}

/// The characters of base64 that these bytes alone determine, where so many bytes of a group stand before them: they
/// are there whatever is encoded with them.
fn base64(bytes: &[u8], behind: usize, alphabet: &[u8; 64]) -> Form {
    let bit = |index: usize| {
        let byte = bytes[index / 8 - behind];
        usize::from(byte >> (7 - index % 8) & 1)
    };
    let first = (8 * behind).div_ceil(6);
    let end = 8 * (behind + bytes.len()) / 6;
    let char = |index: usize| {
        let value = (6 * index..6 * index + 6).fold(0, |value, index| value << 1 | bit(index));
        alphabet[value]
    };
    Zeroizing::new((first..end).map(char).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a text with the secret in this form is found.
    fn has(secret: &str, printed: &str) -> bool {
        let forms = Forms::of(&[Secret::from(secret)]);
        let found = |form: &Form| {
            printed
                .as_bytes()
                .windows(form.len())
                .any(|part| part == &form[..])
        };
        forms.exact.iter().any(found)
    }

    #[test]
    fn a_secret_is_looked_for_in_every_form_that_programs_print() {
        let secret = r#"p@s'"w$o\r/d<&>`é +!"#;
        for printed in [
            secret,
            r#"p@s'\"w$o\\r/d<&>`é +!"#,
            r#"p@s'\"w$o\\r\/d<&>`é +!"#,
            r#"p@s'\"w$o\\r/d<&>`\u00e9 +!"#,
            r#"p@s'\"w$o\\r/d<&>`\u00E9 +!"#,
            r#"p@s'\"w$o\\r\/d<&>`\u00e9 +!"#,
            r#"p@s'\"w$o\\r/d\u003c\u0026\u003e`é +!"#,
            r"p@s\u0027\u0022w$o\\r/d\u003C\u0026\u003E\u0060\u00E9 \u002B!",
            "p%40s%27%22w%24o%5Cr%2Fd%3C%26%3E%60%C3%A9%20%2B%21",
            "p%40s%27%22w%24o%5cr%2fd%3c%26%3e%60%c3%a9%20%2b%21",
            "p%40s'%22w%24o%5Cr%2Fd%3C%26%3E%60%C3%A9%20%2B!",
            "p%40s%27%22w%24o%5Cr/d%3C%26%3E%60%C3%A9%20%2B%21",
            "p@s'%22w$o%5Cr/d%3C&%3E%60%C3%A9%20+!",
            "p%40s%27%22w%24o%5Cr%2Fd%3C%26%3E%60%C3%A9+%2B%21",
            r#"p@s'\''"w$o\r/d<&>`é +!"#,
            r#"p@s'"'"'"w$o\r/d<&>`é +!"#,
            r#"p@s''"w$o\r/d<&>`é +!"#,
            r#"p@s'""w$o\r/d<&>`é +!"#,
            r#"p@s'"w$$o\r/d<&>`é +!"#,
            r#"p@s'\"w\$o\\r/d<&>\`é +!"#,
            r#"p@s\'\"w\$o\\r/d\<\&\>\`é\ +\!"#,
            r#"p@s\'"w$o\\r/d<&>`é +!"#,
            r#"p@s\'"w$o\\r/d<&>`\303\251 +!"#,
            r#"p@s'"w$o\r/d^<^&^>`é +!"#,
            r#"p@s'"w$o\r/d&lt;&amp;&gt;`é +!"#,
            r"p@s'&quot;w$o\r/d&lt;&amp;&gt;`é +!",
            r"p@s&apos;&quot;w$o\r/d&lt;&amp;&gt;`é +!",
            r"p@s&#39;&quot;w$o\r/d&lt;&amp;&gt;`é +!",
            r"p@s&#x27;&quot;w$o\r/d&lt;&amp;&gt;`é +!",
            r"p@s&#39;&#34;w$o\r/d&lt;&amp;&gt;`é +!",
        ] {
            assert!(has(secret, printed), "{printed}");
        }
        assert!(has("hunter22", "x68756e7465723232x"));
        assert!(has("hunté?22", "68756E74C3A93F3232"));
    }

    #[test]
    fn base64_is_found_whatever_is_encoded_with_the_secret() {
        let encode = |text: &str| {
            let whole = base64(
                text.as_bytes(),
                0,
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            );
            String::from_utf8(whole.to_vec()).expect("ASCII")
        };
        assert_eq!(encode("user:password"), "dXNlcjpwYXNzd29yZ");
        for secret in ["SECRET", "five5", "a longer one?>~"] {
            for prefix in ["", "u", "us", "use", "user", "user:"] {
                for suffix in ["", ":", "ab", "xyz"] {
                    let printed = encode(&format!("{prefix}{secret}{suffix}"));
                    assert!(has(secret, &printed), "{prefix}{secret}{suffix}");
                    let for_urls = printed.replace('+', "-").replace('/', "_");
                    assert!(has(secret, &for_urls), "{prefix}{secret}{suffix}");
                }
            }
        }
    }

    #[test]
    fn forms_that_are_too_short_are_left_out_and_the_secret_itself_never() {
        let forms = |secret: &str| Forms::of(&[Secret::from(secret)]).exact;
        assert!(
            forms("a\"cd")
                .iter()
                .all(|form| form.len() >= 6 || form[..] == b"a\"cd"[..])
        );
        assert!(has("abcd", "abcd"));
        // What is around a value is no part of it, unless it would be too short.
        assert!(has(" hunter22\n", "hunter22"));
        assert!(has("abcd\n", "abcd"));
        assert!(!has("ab \n", "ab"));
        assert!(has("ab \n", "ab \n"));
    }

    #[test]
    fn lines_that_any_document_has_are_not_looked_for() {
        let document =
            "{\n  \"a\": [\n    {},\n    \"0123456789\"\n  ]\n}\n]],,{{}}((\n\"type\": 1\n";
        let forms = Forms::of(&[Secret::from(document)]);
        let lines: Vec<_> = forms
            .exact
            .iter()
            .filter_map(|form| std::str::from_utf8(form).ok())
            .filter(|form| form.len() < 13)
            .collect();
        assert!(lines.contains(&"\"0123456789\"") && lines.contains(&"\"type\": 1"));
        assert!(!lines.contains(&"]],,{{}}(("));
        assert!(!lines.iter().any(|line| line.len() < 6));
        assert_eq!(forms.flowing.len(), 1);
    }
}
