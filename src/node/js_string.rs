//! Strings for JavaScript, made the fastest way there is for each.

use std::ptr;
use std::sync::Arc;

use napi::{Env, Status, check_status, sys};

use crate::api::event::OutputStream;
use crate::api::result::ExecutionResult;
use crate::execution::output::buffers;

/// A text in the form that JavaScript makes its string from the fastest. Found out before the text is queued, off the
/// JavaScript thread.
#[derive(Debug)]
pub enum Text {
    /// ASCII alone: its bytes are copied, several times faster than UTF-8 is read, and cut into lines faster too.
    Ascii(Source),
    /// The units that JavaScript counts in: to read UTF-8 would take its thread six times as long.
    Units(Vec<u16>),
}

#[derive(Debug)]
pub enum Source {
    Own(String),
    /// Megabytes, perhaps, which are not copied on their way.
    Output(Arc<ExecutionResult>, OutputStream),
}

impl Source {
    fn as_str(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Output(result, OutputStream::Stdout) => &result.stdout,
            Self::Output(result, OutputStream::Stderr) => &result.stderr,
        }
    }

    /// What is not needed any more may be of use for the next read.
    fn give_back(self) {
        if let Self::Own(text) = self {
            buffers::give(text.into_bytes());
        }
    }
}

impl From<Source> for Text {
    fn from(source: Source) -> Self {
        if source.as_str().is_ascii() {
            return Self::Ascii(source);
        }
        let units = units(source.as_str());
        source.give_back();
        Self::Units(units)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Source::Own(text).into()
    }
}

/// A text as UTF-16. Where most of it is ASCII all the same, long runs of that are only widened, at three times the rate.
fn units(text: &str) -> Vec<u16> {
    let mut units = Vec::with_capacity(text.len());
    let others = text.bytes().filter(|byte| !byte.is_ascii()).count();
    if others > text.len() / 8 {
        units.extend(text.encode_utf16());
        return units;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let (ascii, other) = rest.split_at(run(rest, u8::is_ascii));
        units.extend(ascii.bytes().map(u16::from));
        let (other, after) = other.split_at(run(other, |byte| !byte.is_ascii()));
        units.extend(other.encode_utf16());
        rest = after;
    }
    units
}

/// How many bytes there are before the first that is not such a one.
fn run(text: &str, is_such: impl Fn(&u8) -> bool) -> usize {
    let end = text.as_bytes().iter().position(|byte| !is_such(byte));
    end.unwrap_or(text.len())
}

impl Text {
    pub fn output(result: &Arc<ExecutionResult>, stream: OutputStream) -> Self {
        Source::Output(Arc::clone(result), stream).into()
    }

    pub fn into_value(self, env: Env) -> napi::Result<sys::napi_value> {
        let mut value = ptr::null_mut();
        match self {
            Self::Ascii(source) => {
                let text = source.as_str();
                let (start, length) = (text.as_ptr().cast(), length(text.len())?);
                // SAFETY: `env` is the environment of this thread, the text lives through the call and has that length.
                check_status!(unsafe {
                    sys::napi_create_string_latin1(env.raw(), start, length, &raw mut value)
                })?;
                source.give_back();
            }
            Self::Units(units) => {
                let length = length(units.len())?;
                // SAFETY: as above; the length is that in units.
                check_status!(unsafe {
                    sys::napi_create_string_utf16(env.raw(), units.as_ptr(), length, &raw mut value)
                })?;
            }
        }
        Ok(value)
    }
}

fn length(length: usize) -> napi::Result<isize> {
    isize::try_from(length).map_err(|_| napi::Error::from_status(Status::InvalidArg))
}
