//! Masks a text that is a whole by itself: a command, a message.

use std::borrow::Cow;
use std::sync::Arc;

use super::mask::Mask;
use super::secret::Secret;
use super::stream::StreamMask;

/// A text without the secrets in it.
pub(crate) fn masked<'a>(mask: &Arc<Mask>, text: &'a str) -> Cow<'a, str> {
    let mut bytes = text.as_bytes().to_vec();
    StreamMask::new(Arc::clone(mask)).finish(&mut bytes, 0);
    if bytes == text.as_bytes() {
        return Cow::Borrowed(text);
    }
    let masked = String::from_utf8(bytes);
    Cow::Owned(
        masked.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// A text without these secrets, for a message that is told once. Those that cannot be masked are refused elsewhere.
pub(crate) fn hide(secrets: &[Secret], text: &str) -> String {
    hiding(secrets)(text)
}

/// What does so with several texts.
pub(crate) fn hiding(secrets: &[Secret]) -> impl Fn(&str) -> String + use<> {
    let valid = secrets.iter().filter(|secret| secret.complaint().is_none());
    let mask = Mask::of(&valid.cloned().collect::<Vec<_>>());
    move |text| match &mask {
        Some(mask) => masked(mask, text).into_owned(),
        None => text.to_owned(),
    }
}
