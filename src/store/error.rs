//! What can go wrong with PostgreSQL, as callers need to tell it apart.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL cannot be reached, is starting or stopping, or has no room. Nothing was
    /// confirmed; the same work may be tried again.
    #[error("PostgreSQL is away: {0}")]
    Unavailable(String),
    /// Somebody else's transaction came first. The same work, tried again, sees what it did.
    #[error("another transaction came first: {0}")]
    Raced(String),
    /// PostgreSQL refused the statement or its values.
    #[error("PostgreSQL refused: {0}")]
    Refused(String),
    /// A stored value is not what the code expects.
    #[error("unreadable row: {0}")]
    Unreadable(String),
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db_error) = error.as_db_error() else {
            let message = with_sources(&error);
            return match error.is_closed() || message.contains("connect") || is_io(&error) {
                true => Self::Unavailable(message),
                false => Self::Refused(message),
            };
        };
        let message = format!("{}: {}", db_error.code().code(), db_error.message());
        let code = db_error.code();
        if [
            &SqlState::UNIQUE_VIOLATION,
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(&code)
        {
            return Self::Raced(message);
        }
        // Connection trouble, no room, stopped by an operator (or by statement_timeout).
        match &code.code()[..2] {
            "08" | "53" | "57" => Self::Unavailable(message),
            _ => Self::Refused(message),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(with_sources(&error))
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = inner.source();
    }
    message
}
