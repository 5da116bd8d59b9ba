//! Conditions in words: written out again, and with the values that made them false.

use std::fmt::{self, Display, Formatter};

use super::names::TextName;
use super::tree::{Calculation, Comparison, Number, Search, Test, Text};
use crate::domain::facts::EventMacros;
use crate::domain::postback::Owner;
use crate::domain::redact::REDACTED;

/// Longest value shown, in characters.
const VALUE_CHARS: usize = 60;
/// Most values shown.
const VALUES: usize = 10;

/// Where everything must hold, the first part that does not; with the values of its names.
pub fn explain(test: &Test, event: &EventMacros<'_>) -> String {
    if let Test::All(parts) = test
        && let Some(culprit) = parts.iter().find(|part| part.holds(event) == Ok(false))
    {
        return explain(culprit, event);
    }
    let mut seen = Vec::new();
    test.list_values(event, &mut seen);
    match seen.is_empty() {
        true => test.to_string(),
        false => format!("{test} ({})", seen.join(", ")),
    }
}

impl Test {
    fn list_values(&self, event: &EventMacros<'_>, seen: &mut Vec<String>) {
        match self {
            Self::Constant(_) => {}
            Self::Marked => add(seen, format!("is_test = {}", event.facts.is_test)),
            Self::All(tests) | Self::Any(tests) => {
                tests.iter().for_each(|test| test.list_values(event, seen));
            }
            Self::Not(test) => test.list_values(event, seen),
            Self::Same(left, right) => {
                left.list_values(event, seen);
                right.list_values(event, seen);
            }
            Self::Numbers(left, _, right) => {
                left.list_values(event, seen);
                right.list_values(event, seen);
            }
            Self::NumberIn(number, list) => {
                number.list_values(event, seen);
                list.iter().for_each(|item| item.list_values(event, seen));
            }
            Self::SameText(left, right) | Self::Search(left, _, right) => {
                left.list_values(event, seen);
                right.list_values(event, seen);
            }
            Self::TextIn(text, list) => {
                text.list_values(event, seen);
                list.iter().for_each(|item| item.list_values(event, seen));
            }
            Self::HasField(name) => Text::Of(TextName::Field(name.clone())).list_values(event, seen),
        }
    }
}

impl Number {
    fn list_values(&self, event: &EventMacros<'_>, seen: &mut Vec<String>) {
        match self {
            Self::Literal(_) => {}
            Self::Of(name) => {
                let value = match name.value(event) {
                    _ if name.is_hidden_from(event.owner) => REDACTED.into(),
                    Some(value) => value.to_string(),
                    None => "0, as none is known".into(),
                };
                add(seen, format!("{} = {value}", name.name()));
            }
            Self::Size(text) | Self::Written(text) => text.list_values(event, seen),
            Self::Minus(number) => number.list_values(event, seen),
            Self::Calculated(left, _, right) => {
                left.list_values(event, seen);
                right.list_values(event, seen);
            }
        }
    }
}

impl Number {
    /// Whether its value tells of something that the postback's owner may not know.
    pub fn is_hidden_from(&self, owner: Owner) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Of(name) => name.is_hidden_from(owner),
            Self::Size(text) | Self::Written(text) => text.is_hidden_from(owner),
            Self::Minus(number) => number.is_hidden_from(owner),
            Self::Calculated(left, _, right) => left.is_hidden_from(owner) || right.is_hidden_from(owner),
        }
    }
}

impl Text {
    pub fn is_hidden_from(&self, owner: Owner) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Of(name) => name.is_hidden_from(owner),
            Self::Lower(text) | Self::Upper(text) => text.is_hidden_from(owner),
        }
    }

    fn list_values(&self, event: &EventMacros<'_>, seen: &mut Vec<String>) {
        match self {
            Self::Literal(_) => {}
            Self::Of(name) => {
                let value = match name.is_hidden_from(event.owner) {
                    true => REDACTED.into(),
                    false => quoted(&name.value(event)),
                };
                add(seen, format!("{name} = {value}"));
            }
            Self::Lower(text) | Self::Upper(text) => text.list_values(event, seen),
        }
    }
}

fn add(seen: &mut Vec<String>, value: String) {
    if seen.len() < VALUES && !seen.contains(&value) {
        seen.push(value);
    }
}

/// A text in quotes, as CEL reads it too; a long one is cut.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", literal(&text[..end])),
        None => literal(text),
    }
}

fn literal(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

/// Separated by `joint`.
fn list<T: Display>(formatter: &mut Formatter<'_>, items: &[T], joint: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            formatter.write_str(joint)?;
        }
        write!(formatter, "{item}")?;
    }
    Ok(())
}

/// A part of a larger test, in brackets where it would not hold together.
struct Part<'a>(&'a Test);

impl Display for Part<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Test::Constant(_) | Test::Marked | Test::Search(..) | Test::HasField(_) => {
                write!(formatter, "{}", self.0)
            }
            Test::Not(_)
            | Test::SameText(..)
            | Test::Numbers(..)
            | Test::NumberIn(..)
            | Test::TextIn(..)
            | Test::Same(..)
            | Test::All(_)
            | Test::Any(_) => write!(formatter, "({})", self.0),
        }
    }
}

/// A part of a conjunction or alternative.
struct Member<'a>(&'a Test);

impl Display for Member<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Test::All(_) | Test::Any(_) => write!(formatter, "({})", self.0),
            other => write!(formatter, "{other}"),
        }
    }
}

impl Display for Test {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let members =
            |tests: &'_ [Self]| tests.iter().map(|test| Member(test).to_string()).collect::<Vec<_>>();
        match self {
            Self::Constant(value) => write!(formatter, "{value}"),
            Self::Marked => formatter.write_str("is_test"),
            Self::All(tests) => list(formatter, &members(tests), " && "),
            Self::Any(tests) => list(formatter, &members(tests), " || "),
            Self::Not(test) => match &**test {
                Self::SameText(left, right) => write!(formatter, "{left} != {right}"),
                Self::Same(left, right) => write!(formatter, "{} != {}", Part(left), Part(right)),
                other => write!(formatter, "!{}", Part(other)),
            },
            Self::Same(left, right) => write!(formatter, "{} == {}", Part(left), Part(right)),
            Self::SameText(left, right) => write!(formatter, "{left} == {right}"),
            Self::Numbers(left, comparison, right) => write!(formatter, "{left} {comparison} {right}"),
            Self::NumberIn(number, items) => {
                write!(formatter, "{number} in [")?;
                list(formatter, items, ", ")?;
                formatter.write_str("]")
            }
            Self::TextIn(text, items) => {
                write!(formatter, "{text} in [")?;
                list(formatter, items, ", ")?;
                formatter.write_str("]")
            }
            Self::Search(text, search, part) => {
                let method = match search {
                    Search::Contains => "contains",
                    Search::StartsWith => "startsWith",
                    Search::EndsWith => "endsWith",
                };
                write!(formatter, "{text}.{method}({part})")
            }
            Self::HasField(name) => write!(formatter, "has(fields.{name})"),
        }
    }
}

impl Display for Comparison {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::More => ">",
            Self::MoreOrEqual => ">=",
        })
    }
}

impl Display for Number {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(number) => write!(formatter, "{number}"),
            Self::Of(name) => formatter.write_str(name.name()),
            Self::Size(text) => write!(formatter, "size({text})"),
            Self::Written(text) => write!(formatter, "double({text})"),
            Self::Minus(number) => write!(formatter, "-({number})"),
            Self::Calculated(left, calculation, right) => {
                let sign = match calculation {
                    Calculation::Add => '+',
                    Calculation::Subtract => '-',
                    Calculation::Multiply => '*',
                    Calculation::Divide => '/',
                    Calculation::Remainder => '%',
                };
                write!(formatter, "({left} {sign} {right})")
            }
        }
    }
}

impl Display for Text {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => formatter.write_str(&literal(text)),
            Self::Of(name) => write!(formatter, "{name}"),
            Self::Lower(text) => write!(formatter, "{text}.lowerAscii()"),
            Self::Upper(text) => write!(formatter, "{text}.upperAscii()"),
        }
    }
}

impl Display for TextName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let is_plain = |name: &str| {
            let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
            starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match self {
            Self::Of(name) => formatter.write_str(name),
            Self::Field(name) if name.starts_with("utm_") && is_plain(name) => formatter.write_str(name),
            Self::Field(name) if is_plain(name) && name != "in" => write!(formatter, "fields.{name}"),
            Self::Field(name) => write!(formatter, "fields[{}]", literal(name)),
        }
    }
}
