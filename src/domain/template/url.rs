//! Templates of URLs: landing pages, and where postbacks are sent.

use percent_encoding::utf8_percent_encode;

use super::filter::Filter;
use super::place::{COMPONENT, Place};
use super::syntax::{Braces, Part, parse};
use super::text::{macros_of, needs_secret};
use super::{MacroValues, TemplateError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    source: String,
    parts: Vec<Part>,
}

impl UrlTemplate {
    /// Parses `source`, in which the macros `known` and `fields.…` may stand. There is no secret
    /// for the filter `hmac`.
    pub fn parse(source: &str, known: &[&'static str]) -> Result<Self, TemplateError> {
        let template = Self::parse_with_secret(source, known)?;
        if template.needs_secret() {
            let message = "only postbacks have a secret";
            return Err(TemplateError::BadPlace { filter: "hmac", message });
        }
        Ok(template)
    }

    /// The same where `hmac` may stand too.
    pub fn parse_with_secret(source: &str, known: &[&'static str]) -> Result<Self, TemplateError> {
        let template = Self { source: source.to_owned(), parts: parse(source, known, Braces::AlwaysAMacro)? };
        template.check_origin()?;
        Ok(template)
    }

    /// The scheme and host must be fixed: whoever fills the macros must not choose the host.
    fn check_origin(&self) -> Result<(), TemplateError> {
        let Some(Part::Literal(start)) = self.parts.first() else {
            return Err(TemplateError::NotAUrl);
        };
        let authority_ends = ["http://", "https://"].iter().any(|scheme| {
            let rest = start.get(..scheme.len()).filter(|head| head.eq_ignore_ascii_case(scheme));
            let authority = start.get(scheme.len()..).unwrap_or_default();
            // Parsers of URLs pass over further slashes, and over control characters anywhere.
            let begins = !authority.starts_with(['/', '\\']) && !start.contains(char::is_control);
            rest.is_some() && begins && (self.parts.len() == 1 || authority.contains(['/', '?', '#']))
        });
        let legal = ::url::Url::parse(start).is_ok_and(|url| url.has_host());
        if authority_ends && legal { Ok(()) } else { Err(TemplateError::NotAUrl) }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn mentions(&self, name: &str) -> bool {
        self.names().any(|used| used == name)
    }

    /// The names of its macros, repeats included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        macros_of(&self.parts).map(|found| found.name.as_str())
    }

    /// Whether a filter needs the postback's secret.
    pub fn needs_secret(&self) -> bool {
        needs_secret(&self.parts)
    }

    /// Fills the macros, each encoded as a URL component.
    pub fn render(&self, values: &impl MacroValues) -> String {
        let mut url = String::with_capacity(self.source.len() * 2);
        for part in &self.parts {
            match part {
                Part::Literal(text) => url.push_str(text),
                Part::Macro(found) => found.write(Place::Url, values, &mut url),
            }
        }
        url
    }
}

/// Adds `name=value` to a URL's query, before any fragment.
pub fn append_parameter(url: &str, name: &str, value: &str) -> String {
    let (base, fragment) = url.split_once('#').map_or((url, None), |(base, rest)| (base, Some(rest)));
    let joint = match base.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let name = utf8_percent_encode(name, COMPONENT);
    let value = utf8_percent_encode(value, COMPONENT);
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{base}{joint}{name}={value}{fragment}")
}

/// Whether a part is a macro with this filter; for templates that forbid it.
pub(super) fn has_filter(parts: &[Part], filter: &Filter) -> bool {
    macros_of(parts).any(|found| found.filters.contains(filter))
}
