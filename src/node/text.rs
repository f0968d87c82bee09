//! Strings for JavaScript, made the fastest way there is for each.

use std::ptr;

use napi::{Env, Status, check_status, sys};

use crate::spare;

/// A text, and whether it is ASCII alone: such a string is made from single bytes, several times faster than from
/// UTF-8, and cut into lines faster too. Found out before the text is queued, off the JavaScript thread.
#[derive(Debug)]
pub struct Text {
    text: String,
    ascii: bool,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        let ascii = text.is_ascii();
        Self { text, ascii }
    }
}

impl Text {
    pub fn into_value(self, env: Env) -> napi::Result<sys::napi_value> {
        let create = if self.ascii {
            sys::napi_create_string_latin1
        } else {
            sys::napi_create_string_utf8
        };
        let length = isize::try_from(self.text.len())
            .map_err(|_| napi::Error::from_status(Status::InvalidArg))?;
        let start = self.text.as_ptr().cast();
        let mut value = ptr::null_mut();
        // SAFETY: `env` is the environment of this thread, the text lives through the call and has that length.
        check_status!(unsafe { create(env.raw(), start, length, &raw mut value) })?;
        spare::give(self.text.into_bytes());
        Ok(value)
    }
}
