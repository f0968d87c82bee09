//! What comes from JavaScript as JSON.

use napi::Either;
use napi::bindgen_prelude::Uint8Array;

use crate::api::error::{Result, ValidationError};
use crate::api::request::ExecutionRequest;

/// A request as JSON, with its input apart.
pub(super) fn parse_request(
    request: &str,
    stdin: Option<Either<String, Uint8Array>>,
) -> Result<ExecutionRequest> {
    let mut request: ExecutionRequest =
        serde_json::from_str(request).map_err(unreadable("request"))?;
    request.stdin = stdin.map(bytes);
    Ok(request)
}

pub(super) fn bytes(stdin: Either<String, Uint8Array>) -> Vec<u8> {
    match stdin {
        Either::A(text) => text.into_bytes(),
        Either::B(bytes) => bytes.to_vec(),
    }
}

pub(super) fn unreadable(what: &'static str) -> impl Fn(serde_json::Error) -> ValidationError {
    let expected = "text of whole Unicode characters";
    // Not what the error says, which may tell a value.
    move |error| {
        let found = format!("something else at byte {}", error.column());
        ValidationError::new(what, expected, found)
    }
}
