//! Checks of texts, as a request has them.

use super::error::ValidationError;

pub(super) fn check_optional(field: &str, text: Option<&str>) -> Result<(), ValidationError> {
    text.map_or(Ok(()), |text| check_text(field, text))
}

pub(super) fn check_text(field: &str, text: &str) -> Result<(), ValidationError> {
    if text.trim().is_empty() {
        let found = if text.is_empty() {
            "an empty string"
        } else {
            "only white space"
        };
        return Err(ValidationError::new(
            field,
            "a text that is not empty",
            found,
        ));
    }
    check_nul(field, text)
}

pub(super) fn check_nul(field: &str, text: &str) -> Result<(), ValidationError> {
    match text.find('\0') {
        Some(at) => {
            let found = format!("one with a NUL byte at index {at}");
            Err(ValidationError::new(
                field,
                "a text without NUL bytes",
                found,
            ))
        }
        None => Ok(()),
    }
}
