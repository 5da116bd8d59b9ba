//! `{name|filter:argument|…}` in a text.

use super::filter::Filter;
use super::names::{is_known, nearest};
use super::place::{Place, Value};
use super::{FIELDS_PREFIX, MacroValues, TemplateError};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Macro(Macro),
}

/// A macro with its filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Macro {
    pub name: String,
    pub filters: Vec<Filter>,
}

impl Macro {
    pub fn value<'v>(&self, values: &'v impl MacroValues) -> Value<'v> {
        let value = Value::plain(values.value(&self.name));
        self.filters.iter().fold(value, |value, filter| filter.apply(value, values.secret()))
    }

    pub fn write(&self, place: Place, values: &impl MacroValues, out: &mut String) {
        place.write(&self.value(values), out);
    }
}

/// What an opening brace means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Braces {
    /// A macro follows, whatever it is: a brace has no other business in a URL.
    AlwaysAMacro,
    /// A macro where a name and then `}` or `|` follow at once; JSON has braces of its own.
    OfTheText,
}

/// Most macros of one template.
pub(super) const MOST_MACROS: usize = 200;

/// Parses `source`, in which the macros `known` and `fields.…` may stand.
pub(super) fn parse(
    source: &str,
    known: &[&'static str],
    braces: Braces,
) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut macros = 0;
    let mut rest = source;
    while let Some(open) = rest.find('{') {
        literal.push_str(&rest[..open]);
        let inner = &rest[open + 1..];
        let position = source.len() - rest.len() + open + 1;
        if braces == Braces::OfTheText && !opens_a_macro(inner) {
            literal.push('{');
            rest = inner;
            continue;
        }
        let (found, length) = read_macro(inner, "}").map_err(|fault| match fault {
            TemplateError::Unclosed { .. } => TemplateError::Unclosed { position },
            fault => fault,
        })?;
        // What is left of `{{name}}` when the name is nobody's.
        let name = found.name.trim_start_matches('{').trim();
        if name != found.name || !is_known(name, known) {
            return Err(TemplateError::UnknownMacro { name: name.to_owned(), nearest: nearest(name, known) });
        }
        macros += 1;
        if macros > MOST_MACROS {
            return Err(TemplateError::TooManyMacros { most: MOST_MACROS });
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Macro(found));
        rest = &inner[length..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn is_name_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_.-".contains(char)
}

/// The longest name that `text` begins with; empty where it begins with none.
pub(super) fn leading_name(text: &str) -> &str {
    let end = text.find(|char| !is_name_char(char)).unwrap_or(text.len());
    if text.starts_with(|char: char| char.is_ascii_alphabetic()) { &text[..end] } else { "" }
}

fn opens_a_macro(inner: &str) -> bool {
    let name = leading_name(inner);
    match inner[name.len()..].chars().next() {
        _ if name.is_empty() => false,
        Some('}' | '|') => true,
        // Names of custom fields are what advertisers make them.
        Some(_) if name.starts_with(FIELDS_PREFIX) => {
            let end = inner.find(['}', '{', '"', '\n']);
            end.is_some_and(|end| inner[end..].starts_with('}'))
        }
        _ => false,
    }
}

/// Reads what stands between brackets, up to and with `close`: the macro, and how many bytes it
/// took.
pub(super) fn read_macro(inner: &str, close: &str) -> Result<(Macro, usize), TemplateError> {
    let unclosed = TemplateError::Unclosed { position: 0 };
    let end = inner.find(|char| char == '|' || close.starts_with(char)).ok_or(unclosed.clone())?;
    let name = inner[..end].to_owned();
    let mut reader = Reader { rest: &inner[end..], close: close.chars().next().unwrap_or('}') };
    let mut filters = Vec::new();
    while reader.take('|') {
        filters.push(Filter::read(&mut reader)?);
    }
    let rest = reader.rest.strip_prefix(close).ok_or(unclosed)?;
    if name == "status" {
        filters.iter_mut().for_each(Filter::know_events_of_status);
    }
    Ok((Macro { name, filters }, inner.len() - rest.len()))
}

/// Reads filters and their arguments, left to right.
pub(super) struct Reader<'a> {
    rest: &'a str,
    close: char,
}

impl Reader<'_> {
    pub fn take(&mut self, char: char) -> bool {
        match self.rest.strip_prefix(char) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The name of a filter, without blanks around it.
    pub fn word(&mut self) -> String {
        let end = self.rest.find(|char| char == ':' || self.ends(char, "")).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.trim().to_owned()
    }

    /// A text up to the end of the filter or one of `stops`. Between quotes, `'` or `"`, it holds
    /// whatever it likes; a quote itself is doubled.
    pub fn text(&mut self, stops: &str, filter: &'static str) -> Result<String, TemplateError> {
        let quote = self.rest.chars().next().filter(|first| "'\"".contains(*first));
        let Some(quote) = quote else {
            let end = self
                .rest
                .find(|char| self.ends(char, stops))
                .ok_or(TemplateError::Unclosed { position: 0 })?;
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(text.to_owned());
        };
        let mut text = String::new();
        self.rest = &self.rest[1..];
        loop {
            let Some(end) = self.rest.find(quote) else {
                let message = format!("the quote {quote} is not closed");
                return Err(TemplateError::BadArgument { filter, message });
            };
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            if !self.take(quote) {
                break;
            }
            text.push(quote);
        }
        if self.rest.starts_with(|char| self.ends(char, stops)) {
            return Ok(text);
        }
        let message =
            format!("nothing may follow the closing {quote}; write a quote inside as {quote}{quote}");
        Err(TemplateError::BadArgument { filter, message })
    }

    fn ends(&self, char: char, stops: &str) -> bool {
        char == '|' || char == self.close || stops.contains(char)
    }
}
