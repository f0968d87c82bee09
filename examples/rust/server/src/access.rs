//! Who may call: whoever knows the token.

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use uuid::Uuid;

/// What each call has to name.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn new() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the same time wherever they differ.
    fn is(&self, other: &str) -> bool {
        let bytes = self.0.bytes().zip(other.bytes());
        self.0.len() == other.len() && bytes.fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

/// A page can send no header with a WebSocket, so the token may stand in the address as well.
#[derive(Deserialize)]
pub struct InAddress {
    token: Option<String>,
}

/// Lets pass who knows the token.
pub async fn check(
    State(token): State<Token>,
    Query(address): Query<InAddress>,
    request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match header.or(address.token.as_deref()) {
        Some(found) if token.is(found) => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}
