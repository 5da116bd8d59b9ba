//! Filters: what is made of a value before it is written.

use std::borrow::Cow;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::utf8_percent_encode;
use rust_decimal::{Decimal, RoundingStrategy};
use sha2::{Digest, Sha256};

use super::TemplateError;
use super::place::{COMPONENT, Value};
use super::syntax::Reader;
use crate::domain::zone::Zone;

/// Every filter: how it is written, and what it does. The table in `docs/postbacks.md` is tested
/// against this one.
pub const FILTERS: &[(&str, &str)] = &[
    ("default:TEXT", "TEXT where the value is empty"),
    (
        "map:a=b,c=d,*=x",
        "`b` for `a`, `d` for `c`, `x` for everything else; without `*` the rest stays as it is",
    ),
    ("lower", "small letters"),
    ("upper", "capital letters"),
    ("urlencode", "percent-encoded; in a URL or form, where values are encoded anyway, once and not twice"),
    ("raw", "not encoded for its place; not in JSON"),
    ("sha256", "SHA-256 in hex, for e-mail addresses and the like"),
    ("hmac", "HMAC-SHA256 in hex, keyed by the postback's newest secret"),
    ("round:N", "rounded to N decimals, 0 to 10; halves go away from zero"),
    (
        "date:FORMAT",
        "a time by strftime, in UTC; `date:FORMAT,Europe/Berlin` in a time zone, `date:FORMAT,+03:00` at an offset",
    ),
];

/// The names of all filters, for messages.
pub(super) fn names() -> String {
    let name = |written: &'static str| written.split(':').next().unwrap_or(written);
    FILTERS.iter().map(|(written, _)| name(written)).collect::<Vec<_>>().join(", ")
}

/// Most decimals `round` keeps.
const MOST_DECIMALS: u32 = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Default(String),
    Map { entries: Vec<(String, String)>, rest: Option<String> },
    Lower,
    Upper,
    UrlEncode,
    Raw,
    Sha256,
    Hmac,
    Round(u32),
    Date { items: Vec<Item<'static>>, zone: Zone },
}

impl Filter {
    /// Reads one filter; the reader stands behind its `|`.
    pub fn read(reader: &mut Reader) -> Result<Self, TemplateError> {
        let name = reader.word();
        let has_argument = reader.take(':');
        let needs = |filter: &'static str, argument: &str| {
            let message = format!("write {filter}:{argument}");
            Err(TemplateError::BadArgument { filter, message })
        };
        match (name.as_str(), has_argument) {
            ("default", true) => Ok(Self::Default(reader.text("", "default")?)),
            ("default", false) => needs("default", "TEXT"),
            ("map", true) => read_map(reader),
            ("map", false) => needs("map", "a=b,c=d"),
            ("round", true) => {
                let decimals = reader.text("", "round")?.trim().parse().ok();
                match decimals.filter(|decimals| *decimals <= MOST_DECIMALS) {
                    Some(decimals) => Ok(Self::Round(decimals)),
                    None => needs("round", "N with a number of decimals from 0 to 10"),
                }
            }
            ("round", false) => needs("round", "2"),
            ("date", true) => read_date(reader),
            ("date", false) => needs("date", "%Y-%m-%d"),
            (other, has_argument) => {
                let filter = match other {
                    "lower" => Self::Lower,
                    "upper" => Self::Upper,
                    "urlencode" => Self::UrlEncode,
                    "raw" => Self::Raw,
                    "sha256" => Self::Sha256,
                    "hmac" => Self::Hmac,
                    _ => return Err(TemplateError::UnknownFilter { name }),
                };
                if has_argument {
                    let message = "it takes no argument; leave the colon out".to_owned();
                    return Err(TemplateError::BadArgument { filter: filter.name(), message });
                }
                Ok(filter)
            }
        }
    }

    /// A status is told by its event in many a tracker's manual: `map:approve=sale` means the status
    /// `approved` too.
    pub fn know_events_of_status(&mut self) {
        let Self::Map { entries, .. } = self else { return };
        for (event, status) in [("approve", "approved"), ("reject", "rejected")] {
            let to = entries.iter().find(|(from, _)| from == event).map(|(_, to)| to.clone());
            if let Some(to) = to
                && !entries.iter().any(|(from, _)| from == status)
            {
                entries.push((status.to_owned(), to));
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Default(_) => "default",
            Self::Map { .. } => "map",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::UrlEncode => "urlencode",
            Self::Raw => "raw",
            Self::Sha256 => "sha256",
            Self::Hmac => "hmac",
            Self::Round(_) => "round",
            Self::Date { .. } => "date",
        }
    }

    /// An empty value has no hash, number or date: only `default` and `map` make something of it.
    pub fn apply<'v>(&self, value: Value<'v>, secret: Option<&[u8]>) -> Value<'v> {
        let text = value.text.as_ref();
        match self {
            Self::Default(default) if text.is_empty() => value.replaced(default.clone()),
            Self::Map { entries, rest } => {
                let found = entries.iter().find(|(from, _)| from == text).map(|(_, to)| to);
                match found.or(rest.as_ref()) {
                    Some(to) => value.replaced(to.clone()),
                    None => value,
                }
            }
            Self::Raw => Value { is_raw: true, ..value },
            _ if text.is_empty() => value,
            Self::Default(_) => value,
            // Percent-encoding bears a change of case; the text is still encoded.
            Self::Lower => Value { text: text.to_lowercase().into(), ..value },
            Self::Upper => Value { text: text.to_uppercase().into(), ..value },
            Self::UrlEncode => {
                let encoded: Cow<str> = utf8_percent_encode(text, COMPONENT).to_string().into();
                Value { text: encoded, is_encoded: true, ..value }
            }
            Self::Sha256 => {
                let digest = hex::encode(Sha256::digest(text.as_bytes()));
                value.replaced(digest)
            }
            Self::Hmac => {
                let tag = secret.map(|secret| hmac_hex(secret, text)).unwrap_or_default();
                value.replaced(tag)
            }
            Self::Round(decimals) => match rounded(text, *decimals) {
                Some(number) => value.replaced(number),
                None => value,
            },
            Self::Date { items, zone } => match read_time(text) {
                Some(time) => value.replaced(zone.write(time, items)),
                None => value,
            },
        }
    }
}

fn read_map(reader: &mut Reader) -> Result<Filter, TemplateError> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut rest = None;
    loop {
        let from = reader.text("=,", "map")?;
        if !reader.take('=') {
            let message = format!("`{from}` has no `=`; write map:a=b,c=d");
            return Err(TemplateError::BadArgument { filter: "map", message });
        }
        let to = reader.text(",", "map")?;
        match from.as_str() {
            "*" => rest = Some(to),
            _ if entries.iter().any(|(known, _)| *known == from) => {
                let message = format!("`{from}` stands twice");
                return Err(TemplateError::BadArgument { filter: "map", message });
            }
            _ => entries.push((from, to)),
        }
        if !reader.take(',') {
            return Ok(Filter::Map { entries, rest });
        }
    }
}

fn read_date(reader: &mut Reader) -> Result<Filter, TemplateError> {
    let bad = |message: String| TemplateError::BadArgument { filter: "date", message };
    let format = reader.text(",", "date")?;
    let items = StrftimeItems::new(&format)
        .parse_to_owned()
        .map_err(|_| bad(format!("`{format}` is no format; write one such as %Y-%m-%d %H:%M:%S")))?;
    let zone =
        if reader.take(',') { Zone::parse(&reader.text("", "date")?).map_err(bad)? } else { Zone::UTC };
    Ok(Filter::Date { items, zone })
}

fn hmac_hex(secret: &[u8], text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The number at `decimals` places, exactly; `None` where it is no plain number.
fn rounded(text: &str, decimals: u32) -> Option<String> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    let number = Decimal::from_str_exact(text).ok().filter(|_| is_plain)?;
    let mut number = number.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
    number.rescale(decimals);
    Some(number.to_string())
}

/// Seconds since 1970, or RFC 3339.
fn read_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(seconds) => DateTime::from_timestamp(seconds, 0),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()),
    }
}
