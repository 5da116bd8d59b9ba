//! Templates of JSON bodies: `{"id": "{clickid}", "sum": {payout}}`.
//!
//! A macro between the quotes of a string is written as content of that string. One that stands
//! alone is written as a number where the value is one, as `null` where it is empty, and as a
//! string otherwise. Whatever the values, the body is JSON; that is tried out when it is parsed.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::filter::Filter;
use super::place::Place;
use super::syntax::{Braces, Macro, Part, parse};
use super::url::has_filter;
use super::{MacroValues, TemplateError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonTemplate {
    parts: Vec<JsonPart>,
    needs_secret: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum JsonPart {
    Literal(String),
    Macro(Macro, Place),
}

/// A value of every kind that JSON tells apart, with what they are called in messages. Values are
/// escaped one by one, so what holds for these holds for all.
const SAMPLES: &[(&str, &str)] =
    &[("", "nothing"), ("1", "a number"), ("a", "a word"), ("\"}\\\n", "quotes and line breaks")];

struct Sample(&'static str);

impl MacroValues for Sample {
    fn value(&self, _name: &str) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn secret(&self) -> Option<&[u8]> {
        Some(b"sample")
    }
}

impl JsonTemplate {
    pub fn parse(source: &str, known: &[&'static str]) -> Result<Self, TemplateError> {
        let parts = parse(source, known, Braces::OfTheText)?;
        if has_filter(&parts, &Filter::Raw) {
            let message = "JSON is only JSON while its values are escaped; for a body of your own making, \
                           set its kind to raw";
            return Err(TemplateError::BadPlace { filter: "raw", message });
        }
        let needs_secret = super::text::needs_secret(&parts);
        let mut lexer = Lexer::default();
        let mut placed = Vec::with_capacity(parts.len());
        for part in parts {
            placed.push(match part {
                Part::Literal(text) => {
                    lexer.read(&text);
                    JsonPart::Literal(text)
                }
                Part::Macro(_) if lexer.is_escaped => return Err(TemplateError::AfterBackslash),
                Part::Macro(found) if lexer.is_in_string => JsonPart::Macro(found, Place::JsonString),
                Part::Macro(found) => JsonPart::Macro(found, Place::JsonValue),
            });
        }
        let template = Self { parts: placed, needs_secret };
        for (value, name) in SAMPLES {
            serde_json::from_str::<IgnoredAny>(&template.render(&Sample(value)))
                .map_err(|fault| TemplateError::NotJson { sample: name, fault: fault.to_string() })?;
        }
        Ok(template)
    }

    pub fn render(&self, values: &impl MacroValues) -> String {
        let mut body = String::new();
        for part in &self.parts {
            match part {
                JsonPart::Literal(text) => body.push_str(text),
                JsonPart::Macro(found, place) => found.write(*place, values, &mut body),
            }
        }
        body
    }

    /// The names of its macros, repeats included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            JsonPart::Macro(found, _) => Some(found.name.as_str()),
            JsonPart::Literal(_) => None,
        })
    }

    /// Whether a filter needs the postback's secret.
    pub fn needs_secret(&self) -> bool {
        self.needs_secret
    }
}

/// Follows JSON as far as knowing whether it is inside a string.
#[derive(Default)]
struct Lexer {
    is_in_string: bool,
    is_escaped: bool,
}

impl Lexer {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                _ => {}
            }
        }
    }
}
