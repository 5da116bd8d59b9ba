//! A foreign system's way of reporting: its names, its words, and the answer it wants.

mod field_template;

use std::borrow::Cow;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};

pub use field_template::{FieldTemplate, RECEIVED_MINUTE, TemplateError};

use super::access::allowlist::Allowlist;
use super::catalogue::KeyHash;
use super::completion::Completion;
use super::fields::{self, ReadFields};
use super::ids::{AdvertiserId, IntegrationId, OfferId};
use super::verdict::{FieldError, Verdict, VerdictKind};

/// The parameter a sender puts an integration's secret into. It is never stored.
pub const SECRET_PARAMETER: &str = "secret";

#[derive(Debug, Clone)]
pub struct Integration {
    pub integration_id: IntegrationId,
    pub advertiser_id: AdvertiserId,
    /// Set: only clicks of this offer.
    pub offer_id: Option<OfferId>,
    pub name: String,
    pub map: FieldMap,
    pub answers: Answers,
    pub secret_hash: Option<KeyHash>,
    /// Empty: from anywhere.
    pub allowed_networks: Allowlist,
    pub is_active: bool,
}

impl Integration {
    /// Reads a request that came in by one of the integration's two doors. Chatterfy's format is
    /// known: its door needs no map.
    pub fn read(&self, door: &str, sent: &[(String, String)], received_at: DateTime<Utc>) -> ReadFields {
        let map = match door {
            CHATTERFY_DOOR if self.map.0.is_empty() => &CHATTERFY,
            _ => &self.map,
        };
        let Translated { parameters, errors } = map.translate(sent, received_at);
        let mut read = fields::read(&parameters, Completion::Defaults);
        for error in errors {
            read.errors.retain(|known| known.field != error.field);
            read.errors.push(error);
        }
        read
    }
}

/// What the inbound log calls the Chatterfy-compatible door.
pub const CHATTERFY_DOOR: &str = "chatterfy";

/// Chatterfy's own format (its document): the events are `registration`, `sale` (the first
/// deposit) and `resale` (a later one, as is `sale` with a tid). Which deposit is the first is
/// decided here by what came first. Without a tid, a registration and a first deposit of one cost are
/// taken once a click, and repeated deposits are told apart by cost and minute of arrival.
static CHATTERFY: LazyLock<FieldMap> = LazyLock::new(|| {
    let entries = [
        ("click_id", vec!["{clickid}"]),
        (
            "action",
            vec!["{tracker.event|map:registration=kind:registration,sale=kind:deposit,resale=kind:deposit}"],
        ),
        ("status", vec!["approved"]),
        ("price", vec!["{tracker.cost}"]),
        ("currency", vec!["{tracker.currency}"]),
        (
            "request_id",
            vec![
                "{tracker.tid}",
                "{clickid}:{tracker.event|only:resale}:{tracker.cost}:{received_minute}",
                "{clickid}:{tracker.event}:{tracker.cost}",
            ],
        ),
    ];
    let texts = |templates: &[&str]| templates.iter().map(|&text| text.to_owned()).collect();
    let entries = entries.map(|(field, templates)| (field.to_owned(), texts(&templates)));
    FieldMap::parse(entries.iter().map(|(field, templates)| (field, templates)))
        .expect("Chatterfy's map is a constant that a test reads")
});

/// What the sender is told, where it wants something of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    pub success_code: u16,
    /// `None`: the JSON every door answers.
    pub success_body: Option<String>,
    pub success_content_type: String,
    /// `None`: the code every door answers.
    pub refusal_code: Option<u16>,
    pub refusal_body: Option<String>,
    pub refusal_content_type: String,
}

impl Default for Answers {
    fn default() -> Self {
        let text = || "text/plain; charset=utf-8".to_owned();
        Self {
            success_code: 200,
            success_body: None,
            success_content_type: text(),
            refusal_code: None,
            refusal_body: None,
            refusal_content_type: text(),
        }
    }
}

/// An answer as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAnswer<'a> {
    pub code: u16,
    pub content_type: Cow<'a, str>,
    pub body: String,
}

impl Answers {
    /// What a verdict is told as. A quarantined request is kept and will be processed, so its
    /// sender hears a success; only JSON tells the difference (and its code 202).
    pub fn of(&self, verdict: &Verdict) -> FixedAnswer<'_> {
        let is_refusal = verdict.kind() == VerdictKind::Rejected;
        let (code, body, content_type) = match is_refusal {
            true => (self.refusal_code, &self.refusal_body, &self.refusal_content_type),
            false if verdict.kind() == VerdictKind::Quarantined && self.success_body.is_none() => {
                (None, &None, &self.success_content_type)
            }
            false => (Some(self.success_code), &self.success_body, &self.success_content_type),
        };
        // A sender that came too fast is to come again, so it has to hear 429.
        let comes_again = verdict.retry_after_s().is_some();
        let code = code.filter(|_| !comes_again).unwrap_or_else(|| verdict.http_status());
        match body {
            Some(body) if !comes_again => {
                FixedAnswer { code, content_type: content_type.into(), body: body.clone() }
            }
            _ => FixedAnswer {
                code,
                content_type: "application/json".into(),
                body: verdict.body().to_string(),
            },
        }
    }
}

/// Why a field map cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    #[error(
        "field_map.{0}: there is no such field; map to one of ours (click_id, status, …) or to fields.NAME"
    )]
    UnknownField(String),
    #[error("field_map.{0}: the field is mapped twice")]
    Repeated(String),
    #[error("field_map.{field}: {error}")]
    Template { field: String, error: TemplateError },
    #[error("field_map has more than 100 templates; map what you need, the rest is kept by its own name")]
    TooLarge,
}

/// Our fields, each with templates over foreign parameters: the first that has a value counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldMap(Vec<(String, Vec<FieldTemplate>)>);

/// Most templates of one map.
const TEMPLATES: usize = 100;

impl FieldMap {
    pub fn parse<'a>(
        entries: impl IntoIterator<Item = (&'a String, &'a Vec<String>)>,
    ) -> Result<Self, MapError> {
        let mut map = Vec::new();
        let mut count = 0;
        for (field, templates) in entries {
            let target = match fields::canonical_name(field) {
                Some(ours) => ours.to_owned(),
                None if field.len() > "fields.".len() && field.starts_with("fields.") => field.clone(),
                None => return Err(MapError::UnknownField(field.clone())),
            };
            if map.iter().any(|(known, _)| *known == target) {
                return Err(MapError::Repeated(target));
            }
            let templates = templates
                .iter()
                .map(|text| FieldTemplate::parse(text))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| MapError::Template { field: field.clone(), error })?;
            count += templates.len();
            map.push((target, templates));
        }
        if count > TEMPLATES {
            return Err(MapError::TooLarge);
        }
        Ok(Self(map))
    }

    /// A foreign request in our names. What no template reads keeps its own name; where that
    /// name is one the map fills, it becomes a custom field.
    pub fn translate(&self, sent: &[(String, String)], received_at: DateTime<Utc>) -> Translated {
        let minute = received_at.format("%Y-%m-%dT%H:%MZ").to_string();
        let look_up = |name: &str| match name {
            RECEIVED_MINUTE => Some(minute.as_str()),
            name => find(sent, name),
        };
        let mut errors = Vec::new();
        let mut parameters = Vec::new();
        for (field, templates) in &self.0 {
            for name in templates.iter().flat_map(FieldTemplate::names) {
                if is_contradictory(sent, name)
                    && !errors.iter().any(|error: &FieldError| error.field == name)
                {
                    errors.push(FieldError::new(name, "repeated", "send this parameter once"));
                }
            }
            let value = templates.iter().find_map(|template| template.render(look_up));
            if field == "click_id" && value.as_deref().is_some_and(is_bare_macro) {
                let message =
                    "the sender did not fill in its own macro; check its spelling and brackets there";
                errors.push(FieldError::new("click_id", "unreplaced_macro", message));
            }
            parameters.extend(value.map(|value| (field.clone(), value)));
        }
        let read = |name: &str| {
            // What stands for the time of arrival reads no parameter.
            let names = self.0.iter().flat_map(|(_, templates)| templates).flat_map(FieldTemplate::names);
            names.into_iter().any(|known| known != RECEIVED_MINUTE && known.eq_ignore_ascii_case(name))
        };
        let fills = |name: &str| {
            let name = fields::canonical_name(name).unwrap_or(name);
            self.0.iter().any(|(field, _)| field == name)
        };
        for (name, value) in sent {
            if read(name) || name == SECRET_PARAMETER {
                continue;
            }
            let name = if fills(name) { format!("fields.{name}") } else { name.clone() };
            parameters.push((name, value.clone()));
        }
        Translated { parameters, errors }
    }
}

/// A request in our names, and what was wrong with it in theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    pub parameters: Vec<(String, String)>,
    pub errors: Vec<FieldError>,
}

/// The value of a foreign parameter. Case decides only between names that differ in nothing
/// else, as some senders are particular about it and some are careless.
fn find<'a>(sent: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let full = |(_, value): &&(String, String)| !value.trim().is_empty();
    let exact = sent.iter().filter(|(known, _)| known == name).find(full);
    let found =
        exact.or_else(|| sent.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).find(full));
    found.map(|(_, value)| value.as_str())
}

fn is_contradictory(sent: &[(String, String)], name: &str) -> bool {
    let mut values = sent.iter().filter(|(known, value)| known == name && !value.is_empty());
    let first = values.next();
    first.is_some_and(|(_, first)| values.any(|(_, value)| value != first))
}

/// Whether a value is a macro that was sent as it stands in somebody's settings.
fn is_bare_macro(value: &str) -> bool {
    const BRACKETS: [(&str, &str); 6] =
        [("{", "}"), ("${", "}"), ("[", "]"), ("#", "#"), ("%", "%"), ("<", ">")];
    BRACKETS.iter().any(|(open, close)| {
        value.len() > open.len() + close.len() && value.starts_with(open) && value.ends_with(close)
    })
}

#[cfg(test)]
#[path = "integration/tests.rs"]
mod tests;
