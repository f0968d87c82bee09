//! What can go wrong before an execution is accepted, and in the questions asked about one.
//!
//! What happens to a process is never an error of these types: it is in the
//! [`ExecutionResult`](crate::ExecutionResult).

use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// The result of the engine's verbs.
pub type Result<T> = std::result::Result<T, ExecutionError>;

/// Why the engine refused a call, as it is told to programs: [`ExecutionError::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// An argument, request or plan is not as it must be; `field` says which part. Nothing was started.
    Validation,
    /// A field of the configuration is not as it must be; `field` says which one.
    InvalidConfig,
    /// No execution or plan of that id is known. It never was, or it has been forgotten; or the id is that of a plan where
    /// that of an execution is due, or the other way round.
    NotFound,
    /// The execution still runs or waits; or what it has left running, or another host, still writes the log that was to be
    /// deleted.
    NotFinished,
    /// What was to be cancelled, written to, or given a secret, has ended, or the lease that was to be renewed.
    AlreadyFinished,
    /// The id of the request is that of an execution the engine remembers.
    DuplicateId,
    /// All slots are taken and the queue is full.
    ConcurrencyLimitReached,
    /// The global engine exists.
    AlreadyInitialized,
    /// The global engine does not exist yet.
    NotInitialized,
    /// The engine has been shut down.
    ShutDown,
    /// A log could not be read, or an input not be written to; or a subscription was given up, as nothing was taken of it.
    Io,
    /// A defect of the engine.
    Internal,
}

impl ErrorCode {
    /// Its spelling in JSON and in JavaScript.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "VALIDATION",
            Self::InvalidConfig => "INVALID_CONFIG",
            Self::NotFound => "NOT_FOUND",
            Self::NotFinished => "NOT_FINISHED",
            Self::AlreadyFinished => "ALREADY_FINISHED",
            Self::DuplicateId => "DUPLICATE_ID",
            Self::ConcurrencyLimitReached => "CONCURRENCY_LIMIT_REACHED",
            Self::AlreadyInitialized => "ALREADY_INITIALIZED",
            Self::NotInitialized => "NOT_INITIALIZED",
            Self::ShutDown => "SHUT_DOWN",
            Self::Io => "IO",
            Self::Internal => "INTERNAL",
        }
    }
}

/// Why the engine refused a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The request or plan cannot be accepted; nothing was started. Becomes `VALIDATION` in JavaScript.
    #[error("{0}")]
    Validation(#[from] ValidationError),
    /// A configuration field is out of range. Becomes `INVALID_CONFIG` in JavaScript.
    #[error("{0}")]
    InvalidConfig(ValidationError),
    /// No execution or plan of that id is known: it never was, or it has been forgotten. Becomes `NOT_FOUND`.
    #[error("no execution or plan with the id {0} is known")]
    NotFound(Uuid),
    /// There is no log of that id, or none any more. Becomes `NOT_FOUND`.
    #[error("there is no log of an execution with the id {0}")]
    NoLog(Uuid),
    /// The id of a plan, where that of an execution was due. Becomes `NOT_FOUND`.
    #[error("{0} is a plan, and no execution")]
    IsPlan(Uuid),
    /// The id of an execution, where that of a plan was due. Becomes `NOT_FOUND`.
    #[error("{0} is an execution, and no plan")]
    IsExecution(Uuid),
    /// The result was asked for, or the removal, of something that still runs or waits. Becomes `NOT_FINISHED`.
    #[error("{0} has not finished")]
    NotFinished(Uuid),
    /// The log of something that has finished was to be deleted, and is still written. Becomes `NOT_FINISHED`.
    #[error(
        "the log or an overflow file of {0} is still written, by what the command has left running or by another host: nothing was deleted"
    )]
    LogInUse(Uuid),
    /// What was to be cancelled, written to, or given a secret, has already ended. Becomes `ALREADY_FINISHED`.
    #[error("{0} has already finished")]
    AlreadyFinished(Uuid),
    /// The id of a request or plan is that of an execution or plan the engine remembers. Becomes `DUPLICATE_ID`.
    #[error(
        "{field}: expected an id that is not in use, found {id}, which an execution or plan already has"
    )]
    DuplicateId {
        /// The path of the id, such as `id` or `commands[2].id`.
        field: String,
        /// The id.
        id: Uuid,
    },
    /// All slots are taken and the queue is full. Becomes `CONCURRENCY_LIMIT_REACHED`.
    #[error(
        "{running} of {max_running} executions are running and {queued} of {max_queued} are waiting: no slot is free"
    )]
    ConcurrencyLimitReached {
        /// Executions that hold a slot.
        running: usize,
        /// [`ExecutionConfig::max_concurrent_executions`](crate::ExecutionConfig::max_concurrent_executions).
        max_running: usize,
        /// Executions that wait for a slot.
        queued: usize,
        /// [`ExecutionConfig::max_queued_executions`](crate::ExecutionConfig::max_queued_executions).
        max_queued: usize,
    },
    /// The lease that was to be renewed has ended, and with it the execution. Becomes `ALREADY_FINISHED`.
    #[error("the lease of {0} has ended")]
    LeaseEnded(Uuid),
    /// The global engine exists already. Becomes `ALREADY_INITIALIZED`.
    #[error("the global engine has already been initialized")]
    AlreadyInitialized,
    /// The global engine does not exist yet. Becomes `NOT_INITIALIZED`.
    #[error("the global engine has not been initialized: call init_global first")]
    NotInitialized,
    /// The engine has been shut down and starts nothing more. Becomes `SHUT_DOWN`.
    #[error("the engine has been shut down")]
    ShutDown,
    /// A log could not be read, or an input not be written to. Becomes `IO`.
    #[error("{context}: {source}")]
    Io {
        /// What was tried, and on which path.
        context: String,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// A defect of the engine, or a call outside a Tokio runtime. Becomes `INTERNAL`.
    #[error("{0}")]
    Internal(String),
}

impl ExecutionError {
    /// The code that TypeScript sees in `ExecutionError.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The same as [`ExecutionError::code`], to be matched.
    #[must_use]
    pub fn kind(&self) -> ErrorCode {
        match self {
            Self::Validation(_) => ErrorCode::Validation,
            Self::InvalidConfig(_) => ErrorCode::InvalidConfig,
            Self::NotFound(_) | Self::NoLog(_) | Self::IsPlan(_) | Self::IsExecution(_) => {
                ErrorCode::NotFound
            }
            Self::NotFinished(_) | Self::LogInUse(_) => ErrorCode::NotFinished,
            Self::AlreadyFinished(_) | Self::LeaseEnded(_) => ErrorCode::AlreadyFinished,
            Self::DuplicateId { .. } => ErrorCode::DuplicateId,
            Self::ConcurrencyLimitReached { .. } => ErrorCode::ConcurrencyLimitReached,
            Self::AlreadyInitialized => ErrorCode::AlreadyInitialized,
            Self::NotInitialized => ErrorCode::NotInitialized,
            Self::ShutDown => ErrorCode::ShutDown,
            Self::Io { .. } => ErrorCode::Io,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// The path of the culprit in the request, plan or configuration, in `snake_case`.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Validation(error) | Self::InvalidConfig(error) => Some(&error.field),
            Self::DuplicateId { field, .. } => Some(field),
            _ => None,
        }
    }

    /// The execution or plan that the call was about.
    #[must_use]
    pub fn execution_id(&self) -> Option<Uuid> {
        match self {
            Self::NotFound(id)
            | Self::NoLog(id)
            | Self::IsPlan(id)
            | Self::IsExecution(id)
            | Self::NotFinished(id)
            | Self::LogInUse(id)
            | Self::AlreadyFinished(id)
            | Self::LeaseEnded(id)
            | Self::DuplicateId { id, .. } => Some(*id),
            _ => None,
        }
    }
}

/// In JSON, for who passes it on: `code`, `message`, `field` and `execution_id`, the last two `null` where there is none.
impl Serialize for ExecutionError {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ExecutionError", 4)?;
        fields.serialize_field("code", &self.kind())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.serialize_field("field", &self.field())?;
        fields.serialize_field("execution_id", &self.execution_id())?;
        fields.end()
    }
}

/// One field that is not as it must be.
///
/// Its text is `field: expected …, found …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationError {
    /// The path of the culprit, such as `command.args[2]` or `timeout_ms`.
    pub field: String,
    /// What would have been accepted.
    pub expected: String,
    /// What was found in its place.
    pub found: String,
}

impl ValidationError {
    pub(crate) fn new(
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The same, without what `hide` takes out.
    pub(crate) fn hiding(self, hide: impl Fn(&str) -> String) -> Self {
        Self {
            field: hide(&self.field),
            expected: hide(&self.expected),
            found: hide(&self.found),
        }
    }

    /// The same field, seen from further out.
    pub(crate) fn within(mut self, path: &str) -> Self {
        self.field = format!("{path}.{}", self.field);
        self
    }
}

impl std::error::Error for ValidationError {}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, found {}",
            self.field, self.expected, self.found
        )
    }
}
