//! What comes from JavaScript as JSON.

use napi::Either;
use napi::bindgen_prelude::Uint8Array;
use zeroize::Zeroize;

use crate::api::error::{Result, ValidationError};
use crate::api::request::ExecutionRequest;
use crate::masking::secret::Secret;

/// A request as JSON, with its input apart.
pub(super) fn parse_request(
    json: String,
    stdin: Option<Either<String, Uint8Array>>,
) -> Result<ExecutionRequest> {
    let mut request: ExecutionRequest =
        serde_json::from_str(&json).map_err(unreadable("request"))?;
    wipe(json, &request.secrets);
    if let Some(stdin) = stdin {
        request.stdin = Some(bytes(stdin).into());
    }
    Ok(request)
}

/// Wipes what was sent, where it holds secrets.
pub(super) fn wipe<'a>(mut json: String, secrets: impl IntoIterator<Item = &'a Secret>) {
    if secrets.into_iter().next().is_some() {
        json.zeroize();
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

pub(super) fn bytes(stdin: Either<String, Uint8Array>) -> Vec<u8> {
    match stdin {
        Either::A(text) => text.into_bytes(),
        Either::B(bytes) => bytes.to_vec(),
    }
}
