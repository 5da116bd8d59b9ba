//! Templates over a foreign system's parameters, such as `{goal}_{status}` or `{data.amount}`.
//!
//! `{name}` stands for the foreign parameter; names of nested JSON are dotted. Filters follow
//! after `|`: `default:TEXT` for a value that is missing, `map:a=b,c=d` for single values (what
//! is not listed stays as it is), `lower` and `upper`. `only:a,b` makes a template that has no value
//! where this one is none of those. `{received_minute}` is no parameter but the minute the request came
//! in. `{{` and `}}` are braces themselves.

use std::borrow::Cow;

/// The name in whose place a template has the minute in which the request came in, UTC, such as
/// `2026-11-21T15:04Z`: what tells one report from the next where a sender gives neither an id nor a
/// time. Of two that are alike within a minute, the second is a repeat.
pub const RECEIVED_MINUTE: &str = "received_minute";

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the brace at character {0} has no partner; write {{{{ or }}}} for a brace itself")]
    UnpairedBrace(usize),
    #[error("`{{}}` names no parameter; put a foreign parameter's name between the braces")]
    NoName,
    #[error("there is no filter `{0}`; there are default:TEXT, map:a=b,c=d, only:a,b, lower and upper")]
    UnknownFilter(String),
    #[error("`map:{0}` has an entry without `=`; write map:theirs=ours,other=ours")]
    BadMap(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value { name: String, filters: Vec<Filter> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Default(String),
    Map(Vec<(String, String)>),
    Lower,
    Upper,
    /// The whole template has no value where this is none of these.
    Only(Vec<String>),
}

impl FieldTemplate {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            match char {
                '{' | '}' if chars.next_if(|(_, next)| *next == char).is_some() => literal.push(char),
                '}' => return Err(TemplateError::UnpairedBrace(at + 1)),
                '{' => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    let mut inner = String::new();
                    loop {
                        match chars.next() {
                            Some((_, '}')) => break,
                            Some((_, '{')) | None => return Err(TemplateError::UnpairedBrace(at + 1)),
                            Some((_, char)) => inner.push(char),
                        }
                    }
                    parts.push(read_value(&inner)?);
                }
                char => literal.push(char),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The foreign names it reads.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Value { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The value, over what `look_up` finds. Nothing where every parameter it reads is missing
    /// or empty: `_` alone is not a value of `{goal}_{status}`.
    pub fn render<'a>(&self, look_up: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let mut rendered = String::new();
        let mut reads = false;
        let mut finds = false;
        for part in &self.0 {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Value { name, filters } => {
                    reads = true;
                    let found = Cow::Borrowed(look_up(name).unwrap_or_default().trim());
                    let value = filters.iter().try_fold(found, |value, filter| filter.apply(value))?;
                    // The time of arrival is no answer of the sender's.
                    finds |= !value.is_empty() && name != RECEIVED_MINUTE;
                    rendered.push_str(&value);
                }
            }
        }
        (!rendered.is_empty() && (finds || !reads)).then_some(rendered)
    }
}

fn read_value(inner: &str) -> Result<Part, TemplateError> {
    let mut pieces = inner.split('|');
    let name = pieces.next().unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return Err(TemplateError::NoName);
    }
    let filters = pieces.map(read_filter).collect::<Result<_, _>>()?;
    Ok(Part::Value { name, filters })
}

fn read_filter(text: &str) -> Result<Filter, TemplateError> {
    let (name, argument) = text.split_once(':').unwrap_or((text, ""));
    match name.trim() {
        "default" => Ok(Filter::Default(argument.to_owned())),
        "only" => Ok(Filter::Only(argument.split(',').map(|word| word.trim().to_owned()).collect())),
        "lower" => Ok(Filter::Lower),
        "upper" => Ok(Filter::Upper),
        "map" => {
            let entry = |pair: &str| {
                let (theirs, ours) = pair.split_once('=')?;
                Some((theirs.trim().to_owned(), ours.trim().to_owned()))
            };
            let entries: Option<Vec<_>> = argument.split(',').map(entry).collect();
            entries.map(Filter::Map).ok_or_else(|| TemplateError::BadMap(argument.to_owned()))
        }
        other => Err(TemplateError::UnknownFilter(other.to_owned())),
    }
}

impl Filter {
    fn apply<'a>(&self, value: Cow<'a, str>) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Default(text) if value.is_empty() => Cow::Owned(text.clone()),
            Self::Default(_) => value,
            Self::Lower => value.to_lowercase().into(),
            Self::Upper => value.to_uppercase().into(),
            Self::Map(entries) => {
                match entries.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(&value)) {
                    Some((_, ours)) => ours.clone().into(),
                    None => value,
                }
            }
            Self::Only(words) => {
                return words.iter().any(|word| word.eq_ignore_ascii_case(&value)).then_some(value);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(template: &str, parameters: &[(&str, &str)]) -> Option<String> {
        let template = FieldTemplate::parse(template).unwrap();
        template.render(|name| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
    }

    #[test]
    fn values_constants_composites_and_filters() {
        let sent = [("goal", "FTD"), ("status", "1"), ("data.amount", " 5.00 ")];
        assert_eq!(render("{goal}_{status}", &sent).unwrap(), "FTD_1");
        assert_eq!(render("approved", &sent).unwrap(), "approved");
        assert_eq!(render("{data.amount}", &sent).unwrap(), "5.00");
        assert_eq!(render("{goal|map:reg=registration,ftd=deposit}", &sent).unwrap(), "deposit");
        assert_eq!(render("{goal|lower}", &sent).unwrap(), "ftd");
        assert_eq!(render("{other|default:USD}", &sent).unwrap(), "USD");
        assert_eq!(render("{{{goal}}}", &sent).unwrap(), "{FTD}");
        assert_eq!(render("{goal|only:reg,ftd}-{status}", &sent).unwrap(), "FTD-1");
        assert_eq!(render("{goal|only:reg}-{status}", &sent), None);
        assert_eq!(render("{goal|map:ftd=first|only:first}", &sent).unwrap(), "first");
        assert_eq!(render("{other|only:}-{status}", &sent).unwrap(), "-1");
        let now = [("received_minute", "2026-11-21T15:04Z"), ("id", "7")];
        assert_eq!(render("{id}:{received_minute}", &now).unwrap(), "7:2026-11-21T15:04Z");
        assert_eq!(render("{other}:{received_minute}", &now), None, "a time alone is no value");
        assert_eq!(render("{a}_{b}", &sent), None, "no value was sent, so there is none");
        assert_eq!(render("", &sent), None);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_write() {
        assert_eq!(FieldTemplate::parse("a}b"), Err(TemplateError::UnpairedBrace(2)));
        assert_eq!(FieldTemplate::parse("{a"), Err(TemplateError::UnpairedBrace(1)));
        assert_eq!(FieldTemplate::parse("{ }"), Err(TemplateError::NoName));
        assert_eq!(FieldTemplate::parse("{a|trim}"), Err(TemplateError::UnknownFilter("trim".into())));
        assert_eq!(FieldTemplate::parse("{a|map:x}"), Err(TemplateError::BadMap("x".into())));
    }

    proptest! {
        #[test]
        fn no_template_panics(text in ".{0,60}", value in ".{0,20}") {
            if let Ok(template) = FieldTemplate::parse(&text) {
                let _ = template.render(|_| Some(&value));
            }
        }

        /// A literal text, braces doubled, comes out as it was written.
        #[test]
        fn literals_survive(text in "[^\0]{1,40}") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(render(&escaped, &[]), Some(text));
        }
    }
}
