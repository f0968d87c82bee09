//! Why a call was refused, as an answer: a status, and `{ code, message, field, execution_id }`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use execution_engine::{ErrorCode, ExecutionError};
use serde_json::json;

/// What a handler answers with in place of a result.
pub enum Refusal {
    /// The engine has refused it.
    Engine(ExecutionError),
    /// What was sent is no request.
    Body(JsonRejection),
}

impl From<ExecutionError> for Refusal {
    fn from(error: ExecutionError) -> Self {
        Self::Engine(error)
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self::Body(rejection)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Engine(error) => (status(error.kind()), Json(error)).into_response(),
            Self::Body(rejection) => {
                let (code, message) = (ErrorCode::Validation, rejection.body_text());
                let body = json!({ "code": code, "message": message, "field": null, "execution_id": null });
                (rejection.status(), Json(body)).into_response()
            }
        }
    }
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Validation => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::NotFinished | ErrorCode::AlreadyFinished | ErrorCode::DuplicateId => {
            StatusCode::CONFLICT
        }
        ErrorCode::ConcurrencyLimitReached => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
