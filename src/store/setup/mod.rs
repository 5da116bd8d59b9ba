//! Sets the network up: makes, changes and lists what it consists of, one file an entity.
//!
//! Every change is one transaction with its entry in the audit log, and says which value is
//! wrong and what to write instead. Who may make a change is decided by the callers (the GraphQL
//! mutations, the command line); who may see a row is decided here, by the [`Scope`] given.
//!
//! [`Scope`]: crate::graphql::scope::Scope

pub mod access;
pub mod actions;
pub mod advertisers;
pub mod api_keys;
pub mod integrations;
pub mod links;
pub mod offers;
pub mod partners;
pub mod postback_certificates;
mod postback_checks;
pub mod postback_listing;
mod postback_reach;
pub mod postback_signing;
pub mod postback_trial;
pub mod postback_twins;
pub mod postbacks;
pub mod presets;
pub mod sending;
pub mod words;

use chrono::{DateTime, Utc};
use deadpool_postgres::PoolError;
use uuid::Uuid;

use super::error::StoreError;
use super::network::SaveError;
use crate::domain::request_settings::Fault;
use crate::graphql::paging::{Position, Positioned};

/// Why a change was not made. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// `field` is the column's name; callers spell it as their input does.
    #[error("{field}: {message}")]
    BadValue { field: &'static str, message: String },
    /// Several values are wrong, or one within another.
    #[error("{}", sentence(.0))]
    BadValues(Vec<Fault>),
    /// There is no such thing, or none in the caller's scope.
    #[error("{field}: there is no such {what}; take the id of one there is")]
    NotFound { field: &'static str, what: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sentence(faults: &[Fault]) -> String {
    let told = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message));
    told.collect::<Vec<_>>().join("; ")
}

impl ChangeError {
    pub fn bad(field: &'static str, message: impl Into<String>) -> Self {
        Self::BadValue { field, message: message.into() }
    }
}

impl From<tokio_postgres::Error> for ChangeError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<PoolError> for ChangeError {
    fn from(error: PoolError) -> Self {
        Self::Store(error.into())
    }
}

impl From<SaveError> for ChangeError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::LandingUrl(error) => Self::bad("landing_url", error.to_string()),
            SaveError::PostbackUrl(error) => Self::bad("url_template", error.to_string()),
            SaveError::Store(error) => Self::Store(error),
        }
    }
}

/// Longest name or label, in characters.
const NAME_CHARS: usize = 255;
/// Longest URL template, in characters.
const URL_CHARS: usize = 4_096;

/// A name without blanks around it.
fn name<'a>(field: &'static str, text: &'a str) -> Result<&'a str, ChangeError> {
    let text = label(field, text)?;
    if text.is_empty() {
        return Err(ChangeError::bad(field, "write a name"));
    }
    Ok(text)
}

/// A name that may be empty.
fn label<'a>(field: &'static str, text: &'a str) -> Result<&'a str, ChangeError> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(ChangeError::bad(field, "leave out line breaks and other control characters"));
    }
    if text.chars().count() > NAME_CHARS {
        return Err(ChangeError::bad(field, format!("write at most {NAME_CHARS} characters")));
    }
    Ok(text)
}

fn url_length(field: &'static str, url: &str) -> Result<(), ChangeError> {
    if url.chars().count() > URL_CHARS {
        return Err(ChangeError::bad(field, format!("a URL has at most {URL_CHARS} characters")));
    }
    if url.chars().any(char::is_control) || url.contains(' ') {
        return Err(ChangeError::bad(
            field,
            "a URL has no blanks and no control characters; write %20 for a blank",
        ));
    }
    Ok(())
}

fn position(time: DateTime<Utc>, id: Uuid) -> Position {
    Position { time, id }
}

macro_rules! positioned_by {
    ($record:ty, $id:ident) => {
        impl Positioned for $record {
            fn position(&self) -> Position {
                position(self.created_at, self.$id)
            }
        }
    };
}
use positioned_by;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("name", "  Acme ").unwrap(), "Acme");
        for bad in ["", "  ", "a\nb", "a\0", "x".repeat(256).as_str()] {
            assert!(matches!(name("name", bad), Err(ChangeError::BadValue { field: "name", .. })), "{bad:?}");
        }
        assert_eq!(label("label", "").unwrap(), "");
    }
}
