//! Templates of header values and of bodies that are a form or the caller's own business.

use super::place::Place;
use super::syntax::{Braces, Macro, Part, parse};
use super::{MacroValues, TemplateError};

/// A text whose macros are all in one kind of place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate {
    parts: Vec<Part>,
    place: Place,
}

impl TextTemplate {
    pub fn header(source: &str, known: &[&'static str]) -> Result<Self, TemplateError> {
        Self::parse(source, known, Place::Header)
    }

    pub fn form(source: &str, known: &[&'static str]) -> Result<Self, TemplateError> {
        Self::parse(source, known, Place::Form)
    }

    pub fn raw(source: &str, known: &[&'static str]) -> Result<Self, TemplateError> {
        Self::parse(source, known, Place::RawBody)
    }

    fn parse(source: &str, known: &[&'static str], place: Place) -> Result<Self, TemplateError> {
        Ok(Self { parts: parse(source, known, Braces::OfTheText)?, place })
    }

    pub(crate) fn render_into(&self, values: &impl MacroValues, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Macro(found) => found.write(self.place, values, out),
            }
        }
    }

    pub fn render(&self, values: &impl MacroValues) -> String {
        let mut text = String::new();
        self.render_into(values, &mut text);
        text
    }

    pub(super) fn macros(&self) -> impl Iterator<Item = &Macro> {
        macros_of(&self.parts)
    }

    /// The names of its macros, repeats included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.macros().map(|found| found.name.as_str())
    }

    /// Whether a filter needs the postback's secret.
    pub fn needs_secret(&self) -> bool {
        needs_secret(&self.parts)
    }
}

pub(super) fn macros_of(parts: &[Part]) -> impl Iterator<Item = &Macro> {
    parts.iter().filter_map(|part| match part {
        Part::Macro(found) => Some(found),
        Part::Literal(_) => None,
    })
}

pub(super) fn needs_secret(parts: &[Part]) -> bool {
    macros_of(parts).any(|found| found.filters.contains(&super::filter::Filter::Hmac))
}
