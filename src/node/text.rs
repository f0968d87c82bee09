//! Strings for JavaScript, made the fastest way there is for each.

use std::ptr;
use std::sync::Arc;

use napi::{Env, Status, check_status, sys};

use crate::event::OutputStream;
use crate::result::ExecutionResult;
use crate::spare;

/// A text, and whether it is ASCII alone: such a string is made from single bytes, several times faster than from
/// UTF-8, and cut into lines faster too. Found out before the text is queued, off the JavaScript thread.
#[derive(Debug)]
pub struct Text {
    source: Source,
    ascii: bool,
}

#[derive(Debug)]
enum Source {
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
}

impl From<Source> for Text {
    fn from(source: Source) -> Self {
        let ascii = source.as_str().is_ascii();
        Self { source, ascii }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Source::Own(text).into()
    }
}

impl Text {
    pub fn output(result: &Arc<ExecutionResult>, stream: OutputStream) -> Self {
        Source::Output(Arc::clone(result), stream).into()
    }

    pub fn into_value(self, env: Env) -> napi::Result<sys::napi_value> {
        let create = if self.ascii {
            sys::napi_create_string_latin1
        } else {
            sys::napi_create_string_utf8
        };
        let text = self.source.as_str();
        let length = isize::try_from(text.len())
            .map_err(|_| napi::Error::from_status(Status::InvalidArg))?;
        let start = text.as_ptr().cast();
        let mut value = ptr::null_mut();
        // SAFETY: `env` is the environment of this thread, the text lives through the call and has that length.
        check_status!(unsafe { create(env.raw(), start, length, &raw mut value) })?;
        if let Source::Own(text) = self.source {
            spare::give(text.into_bytes());
        }
        Ok(value)
    }
}
