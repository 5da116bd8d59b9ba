//! What can go wrong with PostgreSQL, as callers need to tell it apart.

use deadpool_postgres::PoolError;

use crate::panics::Panicked;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL cannot be reached, is starting or stopping, takes no changes for now, or has no
    /// room. Nothing was confirmed; the same work may be tried again.
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
    /// A fault of ours; whether anything was confirmed is not known.
    #[error(transparent)]
    Panicked(#[from] Panicked),
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
        match kind(db_error.code().code(), db_error.routine()) {
            Kind::Passing => Self::Unavailable(message),
            Kind::Raced => Self::Raced(message),
            Kind::Refused => Self::Refused(message),
        }
    }
}

/// What an SQLSTATE says of the same work, asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It passes when PostgreSQL's own state does.
    Passing,
    /// It passes at once.
    Raced,
    /// It does not pass: it is about the statement, or about its values.
    Refused,
}

/// `routine` is PostgreSQL's function that complained: the same code may mean a passing state of
/// the server and a fault of the statement. Codes: PostgreSQL's documentation, appendix A.
fn kind(code: &str, routine: Option<&str>) -> Kind {
    match (code, routine) {
        // A unique violation: whoever came first is seen the next time.
        ("23505", _) => Kind::Raced,
        // The connection broke, perhaps in the commit; or the prepared statement is gone, as behind
        // a pooler that has changed the server.
        ("40003" | "26000", _) => Kind::Passing,
        // The columns of a table have changed under a prepared statement: a newer node migrated.
        ("0A000", Some("RevalidateCachedQuery")) => Kind::Raced,
        // Read-only: a standby after a failover, or a managed server whose disk is full.
        ("25006", _) => Kind::Passing,
        // Ended by one of the timeouts of transactions.
        ("25P03" | "25P04", _) => Kind::Passing,
        // No transaction numbers are left until somebody has vacuumed.
        ("54000", Some("GetNewTransactionId" | "GetNewMultiXactId")) => Kind::Passing,
        // Somebody else's lock, longer than lock_timeout; an object in use.
        ("55P03" | "55006", _) => Kind::Passing,
        // The snapshot is too old.
        ("72000", _) => Kind::Raced,
        _ => match code.get(..2) {
            // Connections; who may connect; no room; stopped by an operator (or by
            // statement_timeout); the disk, or another trouble outside of PostgreSQL.
            Some("08" | "28" | "53" | "57" | "58") => Kind::Passing,
            // Rolled back for another transaction's sake: serialization, deadlock.
            Some("40") => Kind::Raced,
            _ => Kind::Refused,
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_was_refused() {
        for (code, routine, expected) in [
            ("25006", Some("PreventCommandIfReadOnly"), Kind::Passing),
            ("25P03", None, Kind::Passing),
            ("25P04", None, Kind::Passing),
            ("53100", None, Kind::Passing),
            ("55P03", None, Kind::Passing),
            ("57P01", None, Kind::Passing),
            ("58030", None, Kind::Passing),
            ("54000", Some("GetNewTransactionId"), Kind::Passing),
            ("54000", Some("heap_form_tuple"), Kind::Refused),
            ("40001", None, Kind::Raced),
            ("40P01", None, Kind::Raced),
            ("40003", None, Kind::Passing),
            ("23505", None, Kind::Raced),
            ("0A000", Some("RevalidateCachedQuery"), Kind::Raced),
            ("0A000", None, Kind::Refused),
            ("22021", None, Kind::Refused),
            ("23514", None, Kind::Refused),
            ("42501", None, Kind::Refused),
            ("P0001", None, Kind::Refused),
            ("XX001", None, Kind::Refused),
            ("", None, Kind::Refused),
        ] {
            assert_eq!(kind(code, routine), expected, "{code} {routine:?}");
        }
    }
}
