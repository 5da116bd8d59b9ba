//! Several values in one parameter: `tracker=trID_AFF#-#TRANS#-#CLICK#-#ANY_trID`.
//!
//! The format is Carpe Diem's (espace-plus and others have relatives of it); the markers, the
//! separator and the fields are settings of a link. Parsing and rebuilding are inverse to each
//! other, byte by byte, empty fields included.

use serde::{Deserialize, Serialize};

use super::coded::coded_enum;
use super::verdict::FieldError;

/// A field that is read past and kept only for rebuilding.
pub const IGNORED: &str = "_";
/// The partner's account at the program the composite comes from.
pub const ACCOUNT: &str = "account_id";

/// How a link's composite parameter is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Composite {
    /// The query parameter that carries it.
    pub parameter: String,
    pub start: String,
    pub end: String,
    pub separator: String,
    /// In their order: `sub1`…`sub5`, `clickid`, `click_id` (ours), any other name, or `_`.
    pub fields: Vec<String>,
    #[serde(default)]
    pub layout: Layout,
}

/// Where the partner's account stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layout {
    /// Nowhere that we would have to know of.
    #[default]
    Plain,
    /// In a parameter of its own; it is kept as `account_id`.
    Revshare { parameter: String },
    /// In the first field, `account_id`; the parameter is the same for everybody.
    Pps { parameter: String, value: String },
}

coded_enum! {
    /// Why a text is not the composite it should be.
    Malformed {
        NoStart = "no_start_marker",
        NoEnd = "no_end_marker",
        FieldCount = "field_count",
        TooLong = "too_long",
    }
}

/// Longest composite that is taken apart, in bytes; five kept values and their separators.
const LONGEST_BYTES: usize = 8_000;
/// Most fields of a composite.
const FIELDS: usize = 20;
/// Longest marker, separator or field name, in characters.
const NAME_CHARS: usize = 64;

impl Composite {
    /// Carpe Diem, revshare: the account in `id`, the partner's ids in `tracker`.
    pub fn revshare() -> Self {
        Self::carpe_diem("affiliate_id", Layout::Revshare { parameter: "id".into() })
    }

    /// Carpe Diem, pay per sale: `id=66013` for everybody, the account as the first field.
    pub fn pps() -> Self {
        Self::carpe_diem(ACCOUNT, Layout::Pps { parameter: "id".into(), value: "66013".into() })
    }

    fn carpe_diem(first_field: &str, layout: Layout) -> Self {
        Self {
            parameter: "tracker".into(),
            start: "trID_".into(),
            end: "_trID".into(),
            separator: "#-#".into(),
            fields: [first_field, "transaction_id", "clickid", "any"].map(str::to_owned).to_vec(),
            layout,
        }
    }

    /// Everything that is wrong with these settings.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut refuse = |field: &str, message: &str| {
            errors.push(FieldError::new(field, "invalid_composite", message));
        };
        if !is_name(&self.parameter) || ["link", "format", IGNORED].contains(&self.parameter.as_str()) {
            refuse("parameter", "name the query parameter, such as tracker; link and format are taken");
        }
        if !self.separator.starts_with(|first: char| !first.is_alphanumeric() && first != '%') {
            refuse("separator", "begin it with a sign such as # or |, so that values can be kept from it");
        }
        for (name, text) in [("start", &self.start), ("end", &self.end), ("separator", &self.separator)] {
            if text.chars().count() > NAME_CHARS || text.contains(char::is_control) {
                refuse(name, "use at most 64 printable characters");
            }
        }
        if self.fields.is_empty() || self.fields.len() > FIELDS {
            refuse("fields", "name 1 to 20 fields");
        }
        for (index, field) in self.fields.iter().enumerate() {
            if field == IGNORED {
                continue;
            }
            if !is_name(field) || field == &self.parameter {
                refuse("fields", "a field is sub1…sub5, clickid, click_id, a free name, or _ to ignore it");
            }
            if self.fields[..index].contains(field) {
                refuse("fields", "name every field once; _ may stand several times");
            }
        }
        match &self.layout {
            Layout::Revshare { parameter } | Layout::Pps { parameter, .. }
                if !is_name(parameter) || parameter == &self.parameter =>
            {
                refuse("layout.parameter", "name the parameter of the account, such as id");
            }
            Layout::Pps { .. } if self.fields.first().is_none_or(|first| first != ACCOUNT) => {
                refuse("fields", "with layout pps the first field is account_id");
            }
            _ => {}
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The values of the fields, in order. A text that senders or proxies between have encoded
    /// once or twice too often, or put blanks around, is understood as well.
    pub fn parse(&self, text: &str) -> Result<Vec<String>, Malformed> {
        if text.len() > LONGEST_BYTES {
            return Err(Malformed::TooLong);
        }
        let as_it_is = self.parse_exactly(text);
        let Err(fault) = as_it_is else {
            return as_it_is;
        };
        let trimmed = text.trim();
        let once = form_decoded(trimmed);
        let twice = once.as_deref().and_then(form_decoded);
        let plus = self.has_plus().then(|| trimmed.replace(' ', "+"));
        [Some(trimmed.to_owned()), once, twice, plus]
            .into_iter()
            .flatten()
            .find_map(|reading| self.parse_exactly(&reading).ok())
            .ok_or(fault)
    }

    /// In a query a bare `+` means a blank; where our own signs have one, it was a plus.
    fn has_plus(&self) -> bool {
        [&self.start, &self.end, &self.separator].into_iter().any(|sign| sign.contains('+'))
    }

    fn parse_exactly(&self, text: &str) -> Result<Vec<String>, Malformed> {
        let inner = text.strip_prefix(&self.start).ok_or(Malformed::NoStart)?;
        let inner = inner.strip_suffix(&self.end).ok_or(Malformed::NoEnd)?;
        let values: Vec<String> = inner.split(&self.separator).map(str::to_owned).collect();
        if values.len() == self.fields.len() { Ok(values) } else { Err(Malformed::FieldCount) }
    }

    /// Writes the composite. A value that would break it up (it holds the separator, or the
    /// beginning of one where the real one follows) has the separator's first character
    /// percent-encoded.
    pub fn rebuild<S: AsRef<str>>(&self, values: &[S]) -> String {
        let join = |values: &[String]| format!("{}{}{}", self.start, values.join(&self.separator), self.end);
        let values: Vec<String> = values.iter().map(|value| value.as_ref().to_owned()).collect();
        let text = join(&values);
        if self.parse_exactly(&text).is_ok_and(|parsed| parsed == values) {
            return text;
        }
        let Some(first) = self.separator.chars().next() else {
            return text;
        };
        let encoded: String = first.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let guarded: Vec<String> = values.iter().map(|value| value.replace(first, &encoded)).collect();
        join(&guarded)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= NAME_CHARS
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "_-.".contains(char))
}

/// The text with one layer of form encoding taken off; `None` where there is none, or what is
/// under it is not UTF-8.
fn form_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

#[cfg(test)]
#[path = "composite_tests.rs"]
mod tests;
