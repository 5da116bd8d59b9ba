//! Reading arguments, and saying which one is wrong and what to write instead.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::domain::access::signature_policy::SignaturePolicy;
use crate::domain::event::{ActionKind, Event};
use crate::domain::money::parse_amount;
use crate::domain::note;
use crate::domain::payout::PayoutModel;
use crate::domain::postback::OfferPostbacks;
use crate::domain::status::{Meaning, Status};
use crate::store::setup::ChangeError;

/// The id of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub Uuid);

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Uuid::try_parse(text.trim());
        id.map(Self)
            .map_err(|_| "write an id such as 0198d5f0-0000-7000-8000-000000000000; `list` shows them")
    }
}

/// Ids as the store takes them.
pub fn uuids(ids: &[Id]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}

/// A value, or the word that takes a value away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrNone<T> {
    Value(T),
    None,
}

impl<T> From<OrNone<T>> for Option<T> {
    fn from(value: OrNone<T>) -> Self {
        match value {
            OrNone::Value(value) => Some(value),
            OrNone::None => None,
        }
    }
}

/// The fault with the name of the argument it is in: that of `spelled`, or the flag of the
/// field's name.
pub fn flagged(error: ChangeError, spelled: &[(&str, &str)]) -> anyhow::Error {
    match error {
        ChangeError::BadValue { field, message } => anyhow::anyhow!("{}: {message}", flag(field, spelled)),
        ChangeError::BadValues(faults) => {
            let told = faults.iter().map(|fault| {
                // The place within a setting, such as `[2].value`, says which of several it is.
                let end = fault.field.find('[').unwrap_or(fault.field.len());
                let (field, place) = fault.field.split_at(end);
                format!("{}{place}: {}", flag(field, spelled), fault.message)
            });
            anyhow::anyhow!("{}", told.collect::<Vec<_>>().join("\n"))
        }
        ChangeError::NotFound { field, what } => {
            anyhow::anyhow!("{}: there is no such {what}; take the id of one there is", flag(field, spelled))
        }
        ChangeError::Store(error) => error.into(),
    }
}

fn flag(field: &str, spelled: &[(&str, &str)]) -> String {
    let known = spelled.iter().find(|(name, _)| *name == field);
    known.map_or_else(
        || format!("--{}", field.trim_end_matches("_id").replace('_', "-")),
        |(_, flag)| (*flag).to_owned(),
    )
}

pub fn amount(text: &str) -> Result<Decimal, String> {
    parse_amount(text).map_err(|error| error.to_string())
}

pub fn kind(text: &str) -> Result<ActionKind, String> {
    coded(text, ActionKind::from_code, ActionKind::ALL.iter().map(|kind| kind.code()))
}

pub fn payout_model(text: &str) -> Result<PayoutModel, String> {
    coded(text, PayoutModel::from_code, PayoutModel::ALL.iter().map(|model| model.code()))
}

pub fn event(text: &str) -> Result<Event, String> {
    coded(text, Event::from_code, Event::ALL.iter().map(|event| event.code()))
}

pub fn offer_postbacks(text: &str) -> Result<OfferPostbacks, String> {
    coded(text, OfferPostbacks::from_code, OfferPostbacks::ALL.iter().map(|choice| choice.code()))
}

pub fn status(text: &str) -> Result<Status, String> {
    coded(text, Status::from_code, Status::ALL.iter().map(|status| status.code()))
}

pub fn meaning(text: &str) -> Result<Meaning, String> {
    coded(text, Meaning::from_code, Meaning::ALL.iter().map(|meaning| meaning.code()))
}

pub fn policy(text: &str) -> Result<SignaturePolicy, String> {
    coded(text, SignaturePolicy::from_code, SignaturePolicy::ALL.iter().map(|policy| policy.code()))
}

/// A reason, which must say something.
pub fn note(text: &str) -> Result<String, String> {
    note::checked(text).map(str::to_owned)
}

pub fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let time = DateTime::parse_from_rfc3339(text.trim());
    time.map(|time| time.to_utc()).map_err(|_| "write a time such as 2026-11-01T00:00:00Z")
}

pub fn id_or_none(text: &str) -> Result<OrNone<Id>, String> {
    match text {
        "none" => Ok(OrNone::None),
        _ => text.parse().map(OrNone::Value).map_err(|unfit| format!("{unfit}; or none")),
    }
}

/// Yes or no.
pub fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("write yes or no"),
    }
}

pub fn coded<T>(
    text: &str,
    from_code: impl Fn(&str) -> Option<T>,
    codes: impl Iterator<Item = &'static str>,
) -> Result<T, String> {
    let text = text.trim().to_lowercase();
    from_code(&text).ok_or_else(|| format!("write one of {}", codes.collect::<Vec<_>>().join(", ")))
}
