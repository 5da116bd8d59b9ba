//! Every way a GraphQL request can fail, and the one place that turns it into an answer.
//!
//! The answer has a sentence for people and `extensions.code` for programs: `BAD_INPUT` (with
//! `extensions.field`, and `extensions.faults` where several inputs are looked at together),
//! `NOT_FOUND` (with `extensions.field`), `FORBIDDEN`, `CONFLICT`,
//! `UNAUTHENTICATED`, `RATE_LIMITED`, `LOG_UNAVAILABLE`, `STORE_UNAVAILABLE`, `TAIL_ENDED`. What the
//! databases said is logged and not shown: it may quote other people's data.

use std::time::Duration;

use async_graphql::indexmap::IndexMap;
use async_graphql::{ErrorExtensionValues, Name, Value};

use crate::domain::request_settings::Fault;
use crate::store::StoreError;
use crate::store::setup::ChangeError;
use crate::tail::TailEnd;

/// The longest a query may read. ClickHouse and PostgreSQL are told a little less, so that they
/// stop working for an answer nobody waits for.
pub const READ_DEADLINE: Duration = Duration::from_secs(20);

/// Deliberately without `Display`: async-graphql would turn that into an error by itself, and
/// lose the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    BadInput {
        field: String,
        message: String,
    },
    /// Several values are wrong; there is at least one.
    BadInputs(Vec<Fault>),
    /// There is no such thing, or none the caller may see.
    NotFound {
        field: String,
        message: String,
    },
    /// The caller's role cannot do this to anything.
    Forbidden {
        message: String,
    },
    /// Somebody else changed the same thing at the same time.
    Raced {
        detail: String,
    },
    Unauthenticated,
    /// Too many requests of this source had no live token.
    RateLimited {
        retry_after_s: u64,
    },
    LogUnavailable {
        detail: String,
    },
    StoreUnavailable {
        detail: String,
    },
    /// A row that this node does not understand.
    StoreUnreadable {
        detail: String,
    },
    /// A subscription cannot go on without a gap.
    TailEnded(TailEnd),
}

impl Failure {
    pub fn bad_input(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadInput { field: field.into(), message: message.into() }
    }

    pub fn code(&self) -> &'static str {
        match self {
            Self::BadInput { .. } | Self::BadInputs(_) => "BAD_INPUT",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::Forbidden { .. } => "FORBIDDEN",
            Self::Raced { .. } => "CONFLICT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::LogUnavailable { .. } => "LOG_UNAVAILABLE",
            Self::StoreUnavailable { .. } | Self::StoreUnreadable { .. } => "STORE_UNAVAILABLE",
            Self::TailEnded(_) => "TAIL_ENDED",
        }
    }

    pub fn sentence(&self) -> String {
        match self {
            Self::BadInput { field, message } | Self::NotFound { field, message } => {
                format!("{field}: {message}")
            }
            Self::BadInputs(faults) => {
                let told = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message));
                told.collect::<Vec<_>>().join("; ")
            }
            Self::Forbidden { message } => message.clone(),
            Self::Raced { .. } => {
                "somebody else changed this at the same time; look at it again and repeat the request".into()
            }
            Self::Unauthenticated => {
                "send the header Authorization: Bearer {token} with a token that was not revoked; \
                 `ricochet token` makes one"
                    .into()
            }
            Self::RateLimited { .. } => {
                "too many requests from your address had no live token; send it again after the seconds \
                 that Retry-After says"
                    .into()
            }
            Self::LogUnavailable { .. } => {
                "the log (ClickHouse) did not answer in time; try again, or ask for a shorter time".into()
            }
            Self::StoreUnavailable { .. } => {
                "the store (PostgreSQL) did not answer in time; try again, or ask for a shorter time".into()
            }
            Self::StoreUnreadable { .. } => {
                "this node cannot read what the store (PostgreSQL) holds, as where a newer version has written \
                 it: ask a node of that version; what exactly it is stands in this node's log"
                    .into()
            }
            Self::TailEnded(end) => match end {
                TailEnd::Gap => {
                    "the store (PostgreSQL) could not be read for so long that attempts may have \
                                 gone by; subscribe again, with `since` a little before the last you have"
                        .into()
                }
                TailEnd::HistoryTooLong => {
                    "the past took longer to send than new attempts are kept for; subscribe \
                                            again with a later `since`, and export what is older"
                        .into()
                }
                TailEnd::HistoryUnreadable => {
                    "the past broke off, since ClickHouse or PostgreSQL stopped answering; \
                                               subscribe again"
                        .into()
                }
            },
        }
    }

    /// Seconds after which to come again; 0 where waiting changes nothing.
    pub fn retry_after_s(&self) -> u64 {
        match self {
            Self::RateLimited { retry_after_s } => *retry_after_s,
            _ => 0,
        }
    }

    pub fn extensions(&self) -> ErrorExtensionValues {
        let mut values = ErrorExtensionValues::default();
        values.set("code", self.code());
        if let Self::BadInput { field, .. } | Self::NotFound { field, .. } = self {
            values.set("field", field.as_str());
        }
        if let Self::BadInputs(faults) = self {
            let first = faults.first().map_or("", |fault| fault.field.as_str());
            values.set("field", first);
            let told = faults.iter().map(|fault| {
                Value::Object(IndexMap::from([
                    (Name::new("field"), fault.field.clone().into()),
                    (Name::new("message"), fault.message.clone().into()),
                ]))
            });
            values.set("faults", Value::List(told.collect()));
        }
        values
    }

    /// Logs what the caller is not told.
    pub fn log(&self) {
        match self {
            Self::LogUnavailable { detail } => tracing::error!(%detail, "ClickHouse could not be read"),
            Self::StoreUnavailable { detail } | Self::StoreUnreadable { detail } => {
                tracing::error!(%detail, "PostgreSQL could not be read");
            }
            Self::Raced { detail } => tracing::info!(%detail, "a change came second"),
            Self::BadInput { .. }
            | Self::BadInputs(_)
            | Self::NotFound { .. }
            | Self::Forbidden { .. }
            | Self::RateLimited { .. }
            | Self::TailEnded(_)
            | Self::Unauthenticated => {}
        }
    }
}

impl From<Failure> for async_graphql::Error {
    fn from(failure: Failure) -> Self {
        failure.log();
        let mut error = Self::new(failure.sentence());
        error.extensions = Some(failure.extensions());
        error
    }
}

impl From<clickhouse::error::Error> for Failure {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::LogUnavailable { detail: error.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Raced(detail) => Self::Raced { detail },
            StoreError::Unreadable(detail) => Self::StoreUnreadable { detail },
            error => Self::StoreUnavailable { detail: error.to_string() },
        }
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::BadValue { field, message } => Self::BadInput { field: input_field(field), message },
            ChangeError::BadValues(faults) => Self::BadInputs(
                faults
                    .into_iter()
                    .map(|fault| Fault { field: input_field(&fault.field), message: fault.message })
                    .collect(),
            ),
            ChangeError::NotFound { field, what } => Self::NotFound {
                field: input_field(field),
                message: format!("there is no such {what}; take the id of one there is"),
            },
            ChangeError::Store(error) => error.into(),
        }
    }
}

/// A column as the field of a mutation's input.
fn input_field(column: &str) -> String {
    format!("input.{}", in_camel_case(column))
}

/// A column's name as the API writes it: `payout_amount` is `payoutAmount`.
pub fn in_camel_case(column: &str) -> String {
    let mut words = column.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}

/// Waits for a reading of the log, and not longer than is allowed.
pub async fn read_log<T, E: Into<Failure>>(
    reading: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(READ_DEADLINE, reading).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(Failure::LogUnavailable { detail: format!("no answer within {READ_DEADLINE:?}") }),
    }
}

/// Waits for a reading of the store, and not longer than is allowed.
pub async fn read_store<T, E: Into<Failure>>(
    reading: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(READ_DEADLINE, reading).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(Failure::StoreUnavailable { detail: format!("no answer within {READ_DEADLINE:?}") }),
    }
}
