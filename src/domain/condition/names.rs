//! The names a condition may use, and their values.

use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::domain::device::Device;
use crate::domain::event::{ActionKind, Event};
use crate::domain::facts::EventMacros;
use crate::domain::party_names::Party;
use crate::domain::postback::Owner;
use crate::domain::redact::is_secret;
use crate::domain::status::Status;
use crate::domain::template::MacroValues;

/// Names of texts, beside `fields.NAME` and `utm_*`.
const TEXTS: &[&str] = &[
    "event",
    "status",
    "old_status",
    "action",
    "kind",
    "kind_event",
    "offer_id",
    "partner_id",
    "advertiser_id",
    "offer_name",
    "partner_name",
    "advertiser_name",
    "link_id",
    "country",
    "geo",
    "device",
    "currency",
    "amount_currency",
    "payout_currency",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "clickid",
    "click_id",
    "txid",
    "request_id",
    "lead_id",
    "customer_id",
    "comment",
    "ip",
    "user_agent",
    "tracker",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextName {
    Of(&'static str),
    /// A custom field of the conversion, or a parameter of its click.
    Field(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberName {
    /// The full sum before commission.
    Amount,
    Payout,
    /// Seconds since 1970.
    Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    Text(TextName),
    Number(NumberName),
    IsTest,
}

impl Name {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "amount" => Self::Number(NumberName::Amount),
            "payout" => Self::Number(NumberName::Payout),
            "timestamp" => Self::Number(NumberName::Timestamp),
            "is_test" => Self::IsTest,
            utm if utm.starts_with("utm_") => Self::Text(TextName::Field(utm.to_owned())),
            text => Self::Text(TextName::Of(TEXTS.iter().copied().find(|known| *known == text)?)),
        })
    }

    /// The name that was meant, where one is near.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let others = ["amount", "payout", "timestamp", "is_test", "fields", "utm_source"];
        nearest(name, TEXTS.iter().copied().chain(others))
    }
}

fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

impl TextName {
    pub fn value<'a>(&self, event: &'a EventMacros<'_>) -> Cow<'a, str> {
        match self {
            Self::Of("kind_event") => Cow::Borrowed(event.facts.kind_event.map_or("", Event::code)),
            Self::Of("kind") => Cow::Borrowed(event.facts.kind.map_or("", ActionKind::code)),
            Self::Of(name) => event.value(name),
            Self::Field(name) => Cow::Borrowed(event.facts.fields.get(name).map_or("", String::as_str)),
        }
    }

    /// Whether the value is kept out of what is said of a condition: of secrets always, and of what
    /// concerns the payout from an advertiser. What the owner may not know a party by the name of, it
    /// has no value of either.
    pub fn is_hidden_from(&self, owner: Owner) -> bool {
        match self {
            Self::Of(name) if let Some(party) = Party::of_macro(name) => party.is_hidden_from(owner),
            Self::Of(name) => *name == "payout_currency" && matches!(owner, Owner::Advertiser(_)),
            Self::Field(field) => is_secret(field),
        }
    }

    /// Why this never is `literal`, and what it can be: a comparison that nothing fulfils is a
    /// slip of the pen.
    pub fn never_is(&self, literal: &str) -> Option<String> {
        let Self::Of(name) = self else { return None };
        if literal.is_empty() {
            return None;
        }
        let one_of = |words: &mut dyn Iterator<Item = &'static str>| {
            let words: Vec<&str> = words.collect();
            if words.contains(&literal) {
                return None;
            }
            Some(format!("{name} is never \"{literal}\"; write one of {}", words.join(", ")))
        };
        let capitals = |length: usize, example: &str| {
            let fits = literal.len() == length && literal.bytes().all(|byte| byte.is_ascii_uppercase());
            (!fits).then(|| {
                format!("{name} is {length} capital letters, such as \"{example}\", not \"{literal}\"")
            })
        };
        match *name {
            "event" => one_of(&mut Event::ALL.iter().map(|event| event.code())),
            "status" | "old_status" => one_of(&mut Status::ALL.into_iter().map(Status::code)),
            "kind" => one_of(&mut ActionKind::ALL.iter().map(|kind| kind.code())),
            "kind_event" => one_of(&mut Event::KIND_EVENTS.iter().map(|event| event.code())),
            "device" => one_of(&mut Device::ALL.iter().map(|device| device.code())),
            "country" | "geo" => capitals(2, "DE"),
            "currency" | "amount_currency" | "payout_currency" => capitals(3, "USD"),
            _ => None,
        }
    }
}

impl NumberName {
    /// Whether the postback's owner may not know the value: what a partner gets is between it and
    /// the network, which may all the same let an advertiser's postback depend on it.
    pub fn is_hidden_from(self, owner: Owner) -> bool {
        self == Self::Payout && matches!(owner, Owner::Advertiser(_))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Payout => "payout",
            Self::Timestamp => "timestamp",
        }
    }

    /// None where it was not reported.
    pub fn value(self, event: &EventMacros<'_>) -> Option<Decimal> {
        match self {
            Self::Amount => event.facts.amount,
            Self::Payout => event.facts.payout,
            Self::Timestamp => Some(event.facts.occurred_at.timestamp().into()),
        }
    }
}
