//! Trackers we tell: what a preset asks for, the postbacks it comes to, and the registration link
//! that brings the tracker's click id here.
//!
//! In a preset's texts `<name>` stands for a value it asks for, `<click>` for the macro that holds
//! the tracker's click id, `<click_name>` for that macro's bare name and `<click_field>` for its name in
//! a condition; which it is depends on the parameter of the link that carries it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::Verified;
use super::files::{self, Files, Preset, files};
use crate::domain::event::Event;
use crate::domain::request::Method;
use crate::domain::request_settings::{BodyKind, HeaderSetting, RequestSettings};
use crate::domain::success_rule::RuleSettings;

/// A system that is told by us.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboundPreset {
    /// Its name, by which a preset is chosen.
    pub system: String,
    pub verified: Verified,
    pub source: String,
    /// Year and month when the source was read.
    pub checked: String,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub values: Vec<PresetValue>,
    pub link: PresetLink,
    pub postbacks: Vec<PostbackDefinition>,
}

/// Something a preset has to be told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetValue {
    pub name: String,
    pub kind: ValueKind,
    pub what: String,
    pub example: String,
    /// Taken where nothing is said.
    pub default: Option<String>,
    /// One of so many: `<n>` in its texts is 1 and so on.
    #[serde(default)]
    numbered: Option<u8>,
}

/// What a value has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// `tracker.example`, or with `http://` or `https://`; https where neither is said.
    Origin,
    Path,
    Key,
    /// The name of a query parameter.
    Parameter,
    /// A word of the other system's, percent-encoded where it has to be.
    Word,
    Uuid,
    /// The value of a parameter that bears this name and is added to every postback where it is
    /// given: any text, with our macros in it.
    Added,
}

/// How the tracker's click id gets into our click link.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetLink {
    /// The tracker's own macro of its click id, in its own brackets.
    #[serde(rename = "macro")]
    pub click_macro: String,
    #[serde(default = "third_party")]
    pub macro_verified: Verified,
    /// The parameter of our link that carries it.
    #[serde(default = "clickid")]
    pub parameter: String,
    /// Further parameters.
    #[serde(default)]
    pub extras: BTreeMap<String, String>,
}

fn third_party() -> Verified {
    Verified::ThirdParty
}

fn clickid() -> String {
    "clickid".into()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostbackDefinition {
    pub name: String,
    pub events: Vec<Event>,
    pub url: String,
    pub condition: Option<String>,
    /// Macros without whose value nothing is sent, beside that of the click id, which always is one.
    #[serde(default)]
    pub required: Vec<String>,
    /// What the body of a successful answer must keep to, where the system answers 200 to refusals.
    #[serde(default)]
    pub success: Vec<RuleSettings>,
    #[serde(default = "get")]
    pub method: Method,
    #[serde(default)]
    pub headers: Vec<HeaderSetting>,
    pub body: Option<PresetBody>,
}

/// What a request carries, where it does not all stand in its URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetBody {
    pub kind: BodyKind,
    pub template: String,
    pub content_type: Option<String>,
}

fn get() -> Method {
    Method::Get
}

/// A postback a preset comes to, ready to be made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PlannedPostback {
    pub name: String,
    pub events: Vec<Event>,
    pub condition: Option<String>,
    #[serde(flatten)]
    pub request: RequestSettings,
}

/// A value that will not do, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct ValueError {
    pub name: String,
    pub message: String,
}

const FILES: Files = files!(
    "outbound":
    "keitaro",
    "binom-v1",
    "binom-v2",
    "redtrack",
    "voluum",
    "bemob",
    "peerclick",
    "clickflare",
    "prosper202",
    "chatterfy",
    "carpe-diem",
    "custom",
);

static OUTBOUND: LazyLock<Vec<OutboundPreset>> = LazyLock::new(|| {
    let mut presets: Vec<OutboundPreset> = files::read(FILES);
    for preset in &mut presets {
        preset.values = std::mem::take(&mut preset.values).into_iter().flat_map(PresetValue::each).collect();
    }
    presets
});

impl Preset for OutboundPreset {
    const FOLDER: &'static str = "outbound";

    fn system(&self) -> &str {
        &self.system
    }
}

/// Every system there is a preset for.
pub fn outbound() -> &'static [OutboundPreset] {
    &OUTBOUND
}

/// The preset of a system, by its name.
pub fn outbound_of(system: &str) -> Option<&'static OutboundPreset> {
    files::of(&OUTBOUND, system)
}

impl OutboundPreset {
    /// The postbacks, with the values filled in. `parameter` is the one of our click link that
    /// carries the tracker's click id; where it is not given, the preset's.
    pub fn postbacks(
        &self,
        given: &BTreeMap<String, String>,
        parameter: Option<&str>,
    ) -> Result<Vec<PlannedPostback>, ValueError> {
        let mut values = self.read_values(given)?;
        let name = click_name(checked_parameter(parameter.unwrap_or(&self.link.parameter))?);
        values.insert("click".into(), format!("{{{name}}}"));
        values.insert("click_field".into(), in_condition(&name));
        values.insert("click_name".into(), name);
        let is_added = |value: &&PresetValue| value.kind == ValueKind::Added;
        let added: Vec<(String, String)> = (self.values.iter().filter(is_added))
            .filter_map(|value| values.remove_entry(&value.name))
            .collect();
        let planned = |definition: &PostbackDefinition| PlannedPostback {
            name: definition.name.clone(),
            events: definition.events.clone(),
            condition: definition.condition.as_ref().map(|condition| fill(condition, &values)),
            request: definition.request(&values, &added),
        };
        Ok(self.postbacks.iter().map(planned).collect())
    }

    /// The registration link: `click_url` with the tracker's macro, the preset's extras and those
    /// given. `click_macro` and `parameter` are the preset's where they are not given.
    pub fn registration_link(
        &self,
        click_url: &str,
        given: &BTreeMap<String, String>,
        parameter: Option<&str>,
        click_macro: Option<&str>,
        extras: &[(String, String)],
    ) -> Result<String, ValueError> {
        let values = self.read_values(given)?;
        let parameter = checked_parameter(parameter.unwrap_or(&self.link.parameter))?;
        let own = self.link.extras.iter().map(|(name, value)| (name.clone(), fill(value, &values)));
        let first = (parameter.to_owned(), click_macro.unwrap_or(&self.link.click_macro).to_owned());
        let mut parameters: Vec<(String, String)> = vec![first];
        for (name, value) in own.chain(extras.iter().cloned()) {
            checked_parameter(&name)?;
            parameters.retain(|(known, _)| *known != name || known == parameter);
            if name == parameter {
                let message = format!("{name} carries the click id already; choose another parameter");
                return Err(ValueError { name, message });
            }
            parameters.push((name, value));
        }
        Ok(link_with(click_url, &parameters))
    }

    fn read_values(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ValueError> {
        if let Some(unknown) = given.keys().find(|name| !self.values.iter().any(|value| value.name == **name))
        {
            let names = in_ranges(self.values.iter().map(|value| value.name.as_str()));
            let message = format!("{} does not ask for this; it asks for {}", self.system, names.join(", "));
            return Err(ValueError { name: unknown.clone(), message });
        }
        self.values
            .iter()
            .filter(|value| value.kind != ValueKind::Added || given.contains_key(&value.name))
            .map(|value| {
                let text = given.get(&value.name).or(value.default.as_ref()).map(|text| text.trim());
                let read = text.filter(|text| !text.is_empty()).and_then(|text| value.kind.read(text));
                let message = || format!("{}; write one such as {}", value.what, value.example);
                let read = read.ok_or_else(|| ValueError { name: value.name.clone(), message: message() })?;
                Ok((value.name.clone(), read))
            })
            .collect()
    }
}

impl PostbackDefinition {
    /// Its required macros: that of the click id first.
    pub fn required_macros(&self) -> Vec<String> {
        std::iter::once("<click_name>".to_owned()).chain(self.required.iter().cloned()).collect()
    }

    fn request(&self, values: &BTreeMap<String, String>, added: &[(String, String)]) -> RequestSettings {
        let filled = |text: &String| fill(text, values);
        let header = |header: &HeaderSetting| HeaderSetting {
            name: header.name.clone(),
            value: filled(&header.value),
        };
        let body = self.body.as_ref();
        let mut request = RequestSettings {
            method: self.method,
            headers: self.headers.iter().map(header).collect(),
            body_kind: body.map_or(BodyKind::None, |body| body.kind),
            body_template: body.map(|body| filled(&body.template)).unwrap_or_default(),
            content_type: body.and_then(|body| body.content_type.clone()),
            required_macros: self.required_macros().iter().map(filled).collect(),
            success_rules: self.success.clone(),
            ..RequestSettings::get(link_with(&filled(&self.url), added))
        };
        // What is added may be written as another system writes it; what cannot be read is refused when
        // the postback is made.
        let _ = request.translate();
        request
    }
}

impl PresetValue {
    /// Itself, or each of those it stands for.
    fn each(self) -> Vec<Self> {
        let Some(count) = self.numbered else { return vec![self] };
        let one = |number: u8| {
            let with = |text: &str| text.replace("<n>", &number.to_string());
            let default = self.default.as_deref().map(with);
            let (name, what, example) = (with(&self.name), with(&self.what), with(&self.example));
            Self { name, what, example, default, kind: self.kind, numbered: None }
        };
        (1..=count).map(one).collect()
    }
}

impl ValueKind {
    /// As it is written into a URL template; `None` where it does not fit.
    fn read(self, text: &str) -> Option<String> {
        let plain = |extra: &str, longest: usize| {
            let fits = text.chars().all(|char| char.is_ascii_alphanumeric() || extra.contains(char));
            (fits && text.len() <= longest).then(|| text.to_owned())
        };
        match self {
            Self::Origin => {
                let with_scheme =
                    if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
                let url = Url::parse(&with_scheme).ok()?;
                let is_bare = matches!(url.path(), "" | "/")
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
                    && url.password().is_none();
                // Parsers of URLs let braces through, and a macro must not choose the host.
                let is_plain = |host: &str| {
                    host.chars().all(|char| char.is_ascii_alphanumeric() || "-._:[]".contains(char))
                };
                let is_http =
                    matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(is_plain);
                (is_bare && is_http).then(|| url.as_str().trim_end_matches('/').to_owned())
            }
            Self::Path => plain("/-_.~", 200).filter(|path| path.starts_with('/') && !path.contains("//")),
            Self::Key => plain("-_.~", 200),
            Self::Parameter => plain("-_.[]", 64),
            Self::Word => {
                let is_plain =
                    text.len() <= 100 && !text.chars().any(|char| char.is_control() || "{}<>".contains(char));
                is_plain.then(|| encoded(text))
            }
            Self::Uuid => Uuid::try_parse(text).ok().map(|id| id.to_string()),
            Self::Added => {
                (text.len() <= 200 && !text.chars().any(char::is_control)).then(|| text.to_owned())
            }
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Path => "path",
            Self::Key => "key",
            Self::Parameter => "parameter",
            Self::Word => "word",
            Self::Uuid => "uuid",
            Self::Added => "added",
        }
    }
}

/// Letters, digits, `-`, `_` and `.`: the names that macros can spell too.
pub(super) fn checked_parameter(name: &str) -> Result<&str, ValueError> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char));
    let message = "write the name of a parameter of the link, such as clickid, sub4 or fields.userid";
    fits.then_some(name).ok_or_else(|| ValueError { name: "parameter".into(), message: message.into() })
}

/// The macro that holds what came in a parameter of our click link.
fn click_name(parameter: &str) -> String {
    match parameter {
        "clickid" | "sub1" | "sub2" | "sub3" | "sub4" | "sub5" => parameter.to_owned(),
        other => format!("fields.{other}"),
    }
}

/// The name of a macro as a condition writes it. A custom field's is not always a word of the
/// language: `fields.click-id` would be a subtraction.
fn in_condition(name: &str) -> String {
    match name.strip_prefix("fields.") {
        Some(field) => format!("fields[\"{field}\"]"),
        None => name.to_owned(),
    }
}

fn fill(text: &str, values: &BTreeMap<String, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value))
}

/// `event1` to `event30` as one.
fn in_ranges<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let numbered = |name: &'a str| {
        let base = name.trim_end_matches(|last: char| last.is_ascii_digit());
        Some((base, name[base.len()..].parse::<u8>().ok()?))
    };
    let mut ranges: Vec<(&str, &str)> = Vec::new();
    for name in names {
        let follows = |last: &'a str| {
            numbered(last).zip(numbered(name)).is_some_and(|(last, this)| (last.0, last.1 + 1) == this)
        };
        match ranges.last_mut().filter(|(_, last)| follows(last)) {
            Some((_, last)) => *last = name,
            None => ranges.push((name, name)),
        }
    }
    let shown =
        |(first, last): (&str, &str)| if first == last { first.into() } else { format!("{first}–{last}") };
    ranges.into_iter().map(shown).collect()
}

fn encoded(text: &str) -> String {
    const COMPONENT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(text, COMPONENT).to_string()
}

/// A URL with parameters whose values may hold another system's macros: those stay as they are,
/// for it to fill in; all else is percent-encoded.
pub fn link_with(url: &str, parameters: &[(String, String)]) -> String {
    let mut link = url.to_owned();
    for (name, value) in parameters {
        link.push(if link.contains('?') { '&' } else { '?' });
        link.push_str(&encoded(name));
        link.push('=');
        link.push_str(&encoded_around_macros(value));
    }
    link
}

/// Opening and closing brackets of other systems, longer ones first.
const BRACKETS: &[(&str, &str)] = &[
    ("{{", "}}"),
    ("[[", "]]"),
    ("##", "##"),
    ("${", "}"),
    ("{", "}"),
    ("[", "]"),
    ("#", "#"),
    ("%", "%"),
    ("<", ">"),
];

fn encoded_around_macros(value: &str) -> String {
    let mut written = String::new();
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let end = macro_length(rest).unwrap_or(0);
        if end > 0 {
            written.push_str(&rest[..end]);
            rest = &rest[end..];
        } else {
            let (character, after) = rest.split_at(first.len_utf8());
            written.push_str(&encoded(character));
            rest = after;
        }
    }
    written
}

/// How many bytes a macro that `text` begins with takes.
fn macro_length(text: &str) -> Option<usize> {
    BRACKETS.iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?;
        let name = &inner[..inner.find(close)?];
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|char| char.is_ascii_alphanumeric() || "_.".contains(char));
        is_name.then_some(open.len() + name.len() + close.len())
    })
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
