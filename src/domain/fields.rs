//! What a caller sent: foreign names become ours, texts become values, faults get names.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::completion::Completion;
use super::money::{Currency, parse_amount};
use super::status::{Status, StatusWord};
use super::verdict::FieldError;

/// Every name we understand: ours first, then its aliases, most specific first. The table in
/// `docs/conversions.md` is tested against this one.
pub const NAMES: &[(&str, &[&str])] = &[
    ("click_id", &["clickid", "cid", "subid", "transaction_id"]),
    ("request_id", &["txid", "tid", "order_id", "transaction"]),
    ("action", &["goal", "event", "type"]),
    ("status", &[]),
    ("price", &["amount", "sum", "sale_amount", "payout"]),
    ("currency", &[]),
    ("customer_id", &[]),
    ("comment", &[]),
    ("sub1", &[]),
    ("sub2", &[]),
    ("sub3", &[]),
    ("sub4", &[]),
    ("sub5", &[]),
    ("datetime", &["timestamp"]),
    ("test", &[]),
];

/// Longest value of an identifier or word, in characters.
const IDENTIFIER_CHARS: usize = 255;
/// Longest free text (comment, sub, custom field), in characters.
const TEXT_CHARS: usize = 2_000;
/// Most custom fields of one request.
const CUSTOM_FIELDS: usize = 100;
/// Longest name of a custom field, in characters.
const CUSTOM_NAME_CHARS: usize = 64;

/// One conversion as it was asked for; nothing has been looked up yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConversionRequest {
    /// Our click id or the partner's own.
    pub click_ref: String,
    pub request_id: String,
    pub action: String,
    pub status_word: String,
    pub price: Option<Decimal>,
    pub currency: Option<Currency>,
    pub customer_id: Option<String>,
    pub comment: String,
    /// `sub1` to `sub5` as the advertiser sent them; they stand in for the click's own where
    /// the click has none.
    pub subs: [String; 5],
    /// When the conversion happened, if the caller said so.
    pub occurred_at: Option<DateTime<Utc>>,
    pub is_test: bool,
    /// Everything with a name we do not know.
    pub fields: BTreeMap<String, String>,
}

/// What could be read, and everything that is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadFields {
    pub request: ConversionRequest,
    /// What may still be added once the click's offer is known.
    pub completion: Completion,
    pub errors: Vec<FieldError>,
}

/// Reads the parameters of one conversion. All faults are reported at once.
pub fn read(parameters: &[(String, String)], completion: Completion) -> ReadFields {
    let mut errors = Vec::new();
    let (mut known, fields) = sort_by_name(parameters, &mut errors);
    if let Completion::HoldOf(_) = completion {
        known.insert("status", Status::Hold.code().to_owned());
    }
    let text = |name: &str| known.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();

    let customer_id = Some(text("customer_id")).filter(|id| !id.is_empty());
    let concerns_customer = StatusWord::read(&text("status")).concerns_customer();
    let required: &[&str] = if concerns_customer {
        &["customer_id", "click_id"]
    } else {
        &["click_id", "request_id", "action", "status"]
    };
    for name in required {
        if text(name).is_empty()
            && !completion.can_do_without(name)
            && !errors.iter().any(|error| error.field == *name)
        {
            errors.push(FieldError::missing(name));
        }
    }
    for name in ["click_id", "request_id", "action", "status", "customer_id"] {
        if text(name).chars().count() > IDENTIFIER_CHARS {
            errors.push(FieldError::too_long(name, IDENTIFIER_CHARS));
        }
    }
    for name in ["comment", "sub1", "sub2", "sub3", "sub4", "sub5"] {
        if text(name).chars().count() > TEXT_CHARS {
            errors.push(FieldError::too_long(name, TEXT_CHARS));
        }
    }

    let price = optional(&text("price"), |value| match parse_amount(value) {
        Ok(amount) => Some(amount),
        Err(error) => {
            errors.push(FieldError::new("price", "invalid_amount", error.to_string()));
            None
        }
    });
    let currency = optional(&text("currency"), |value| {
        Currency::parse(value).or_else(|| {
            let message = "send a three-letter ISO 4217 code such as USD";
            errors.push(FieldError::new("currency", "unknown_currency", message));
            None
        })
    });
    let occurred_at = optional(&text("datetime"), |value| {
        parse_time(value).or_else(|| {
            let message = "send RFC 3339 such as 2025-08-04T12:00:00Z, or Unix seconds";
            errors.push(FieldError::new("datetime", "invalid_datetime", message));
            None
        })
    });
    let is_test = match text("test").to_lowercase().as_str() {
        "" | "0" | "false" => false,
        "1" | "true" => true,
        _ => {
            errors.push(FieldError::new(
                "test",
                "invalid_flag",
                "send 1 for a test conversion, or leave it out",
            ));
            false
        }
    };

    let request = ConversionRequest {
        click_ref: text("click_id"),
        request_id: text("request_id"),
        action: text("action"),
        status_word: text("status"),
        price,
        currency,
        customer_id,
        comment: text("comment"),
        subs: ["sub1", "sub2", "sub3", "sub4", "sub5"].map(text),
        occurred_at,
        is_test,
        fields,
    };
    ReadFields { request, completion, errors }
}

fn optional<T>(value: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    if value.is_empty() { None } else { read(value) }
}

/// What marks a parameter as a custom field, whatever else its name means to us.
pub const FIELDS_PREFIX: &str = "fields.";

/// The field that `fields.NAME` names, in any case of the prefix; none where it names nothing.
pub fn prefixed_field(name: &str) -> Option<&str> {
    let (prefix, field) = name.split_at_checked(FIELDS_PREFIX.len())?;
    (prefix.eq_ignore_ascii_case(FIELDS_PREFIX) && !field.is_empty()).then_some(field)
}

/// The name of a field, with or without the prefix.
pub fn unprefixed(name: &str) -> &str {
    prefixed_field(name).unwrap_or(name)
}

/// Our own name for what a parameter is called, where it is one we know.
pub fn canonical_name(name: &str) -> Option<&'static str> {
    our_name(name).map(|(ours, _)| ours)
}

/// Our name for a parameter, with its rank among the names for the same thing (0 is our own).
pub fn our_name(name: &str) -> Option<(&'static str, usize)> {
    NAMES.iter().find_map(|(ours, aliases)| {
        if name.eq_ignore_ascii_case(ours) {
            return Some((*ours, 0));
        }
        let rank = aliases.iter().position(|alias| name.eq_ignore_ascii_case(alias))?;
        Some((*ours, rank + 1))
    })
}

type Known = BTreeMap<&'static str, String>;
type Custom = BTreeMap<String, String>;

fn sort_by_name(parameters: &[(String, String)], errors: &mut Vec<FieldError>) -> (Known, Custom) {
    let mut known: BTreeMap<&'static str, (usize, String)> = BTreeMap::new();
    let mut custom = Custom::new();
    for (name, value) in parameters {
        let shown = our_name(name).map_or(name.as_str(), |(ours, _)| ours);
        if value.contains('\0') || name.contains('\0') {
            let message = "remove the NUL character (%00)";
            errors.push(FieldError::new(&shown.replace('\0', ""), "invalid_character", message));
            continue;
        }
        match our_name(name) {
            Some((ours, rank)) => match known.get(ours) {
                // Our own name beats an alias; an empty value beats nobody.
                Some((held, kept)) if *held == rank && kept != value => {
                    errors.push(FieldError::new(ours, "repeated", "send this parameter once"));
                }
                Some((held, kept)) if !kept.is_empty() && (*held <= rank || value.is_empty()) => {}
                _ => {
                    known.insert(ours, (rank, value.clone()));
                }
            },
            None => read_custom(name, value, &mut custom, errors),
        }
    }
    (known.into_iter().map(|(name, (_, value))| (name, value)).collect(), custom)
}

fn read_custom(name: &str, value: &str, custom: &mut Custom, errors: &mut Vec<FieldError>) {
    let name = unprefixed(name);
    if name.is_empty() || name.chars().count() > CUSTOM_NAME_CHARS {
        let shown: String = name.chars().take(CUSTOM_NAME_CHARS).collect();
        errors.push(FieldError::new(&shown, "invalid_name", "a parameter name has 1 to 64 characters"));
    } else if value.chars().count() > TEXT_CHARS {
        errors.push(FieldError::too_long(name, TEXT_CHARS));
    } else if custom.get(name).is_some_and(|kept| kept != value) {
        errors.push(FieldError::new(name, "repeated", "send this parameter once"));
    } else if custom.len() >= CUSTOM_FIELDS {
        if !errors.iter().any(|error| error.code == "too_many_fields") {
            errors.push(FieldError::new(name, "too_many_fields", "send at most 100 custom parameters"));
        }
    } else {
        custom.insert(name.to_owned(), value.to_owned());
    }
}

/// Reads RFC 3339, `2025-08-04 12:00:00` (taken as UTC), or Unix seconds or milliseconds.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    /// Unix times from here on are milliseconds: as seconds this is the year 5138.
    const FIRST_MILLISECONDS: i64 = 100_000_000_000;
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc()).filter(|time| (1970..=9999).contains(&chrono::Datelike::year(time)));
    }
    if let Ok(time) = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S") {
        return Some(time.and_utc()).filter(|time| (1970..=9999).contains(&chrono::Datelike::year(time)));
    }
    match text.parse::<i64>().ok()? {
        negative if negative < 0 => None,
        seconds if seconds < FIRST_MILLISECONDS => DateTime::from_timestamp(seconds, 0),
        milliseconds if milliseconds < FIRST_MILLISECONDS * 1000 => {
            DateTime::from_timestamp_millis(milliseconds)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parameters(query: &str) -> Vec<(String, String)> {
        serde_urlencoded::from_str(query).unwrap()
    }

    fn read(parameters: &[(String, String)]) -> ReadFields {
        super::read(parameters, Completion::AsSent)
    }

    fn codes(read: &ReadFields) -> Vec<(&str, &str)> {
        read.errors.iter().map(|error| (error.field.as_str(), error.code)).collect()
    }

    #[test]
    fn aliases_mean_the_same_and_our_own_name_wins() {
        let ours = read(&parameters("click_id=c&request_id=r&action=sale&status=approved&price=5"));
        let theirs = read(&parameters("subid=c&txid=r&goal=sale&status=approved&amount=5"));
        assert_eq!(ours, theirs);
        assert_eq!(ours.errors, []);
        let both = read(&parameters("clickid=x&click_id=c&subid=y&request_id=r&action=a&status=new"));
        assert_eq!((both.request.click_ref.as_str(), both.errors.len()), ("c", 0));
        let order = read(&parameters("subid=y&clickid=x&request_id=r&action=a&status=new"));
        assert_eq!(order.request.click_ref, "x");
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let read = read(&parameters("price=-1&currency=XXXX&datetime=tomorrow&test=maybe&status=new"));
        assert_eq!(
            codes(&read),
            [
                ("click_id", "missing"),
                ("request_id", "missing"),
                ("action", "missing"),
                ("price", "invalid_amount"),
                ("currency", "unknown_currency"),
                ("datetime", "invalid_datetime"),
                ("test", "invalid_flag"),
            ]
        );
    }

    #[test]
    fn a_customer_needs_no_request_id() {
        let read = read(&parameters("customer_id=7&click_id=c&status=activate"));
        assert_eq!(codes(&read), []);
        assert_eq!(read.request.customer_id.as_deref(), Some("7"));
    }

    #[test]
    fn unknown_names_are_kept_as_custom_fields() {
        let read = read(&parameters("click_id=c&request_id=r&action=a&status=new&fields.userid=9&zone=eu"));
        assert_eq!(read.request.fields["userid"], "9");
        assert_eq!(read.request.fields["zone"], "eu");
    }

    #[test]
    fn a_parameter_sent_twice_with_two_values_is_refused() {
        let read = read(&parameters("click_id=c&click_id=d&request_id=r&action=a&status=new&z=1&z=2&z=2"));
        assert_eq!(codes(&read), [("click_id", "repeated"), ("z", "repeated"), ("z", "repeated")]);
    }

    #[test]
    fn times_are_read_in_the_forms_senders_use() {
        let expected = parse_time("2025-08-04T12:00:00Z").unwrap();
        for text in ["2025-08-04T14:00:00+02:00", "2025-08-04 12:00:00", "1754308800", "1754308800000"] {
            assert_eq!(parse_time(text), Some(expected), "{text}");
        }
        for text in ["-1", "99999999999999999", "2025-13-01", "12:00"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_caller_sends_panics(parameters in proptest::collection::vec((".{0,80}", ".{0,300}"), 0..12)) {
            let read = read(&parameters);
            prop_assert!(read.request.fields.values().all(|value| !value.contains('\0')));
        }
    }
}
