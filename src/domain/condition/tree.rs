//! A condition as it was understood, and its judging.

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::names::{NumberName, TextName};
use crate::domain::facts::EventMacros;
use crate::domain::redact::REDACTED;

/// What could not be told, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

/// Something that is true or false.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Constant(bool),
    /// `is_test`.
    Marked,
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Same(Box<Test>, Box<Test>),
    Numbers(Number, Comparison, Number),
    /// Texts are the same or not; they have no order.
    SameText(Text, Text),
    NumberIn(Number, Vec<Number>),
    TextIn(Text, Vec<Text>),
    Search(Text, Search, Text),
    HasField(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    Literal(Decimal),
    Of(NumberName),
    /// A text's length in characters.
    Size(Text),
    /// The number that a text writes.
    Written(Text),
    Minus(Box<Number>),
    Calculated(Box<Number>, Calculation, Box<Number>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    Literal(String),
    Of(TextName),
    Lower(Box<Text>),
    Upper(Box<Text>),
}

impl Test {
    /// As in CEL, what cannot be told does not matter where another part decides.
    pub fn holds(&self, event: &EventMacros<'_>) -> Result<bool, Fault> {
        Ok(match self {
            Self::Constant(value) => *value,
            Self::Marked => event.facts.is_test,
            Self::All(tests) => return decided_by(false, tests, event),
            Self::Any(tests) => return decided_by(true, tests, event),
            Self::Not(test) => !test.holds(event)?,
            Self::Same(left, right) => left.holds(event)? == right.holds(event)?,
            Self::Numbers(left, comparison, right) => {
                comparison.holds(left.value(event)?, right.value(event)?)
            }
            Self::SameText(left, right) => left.value(event) == right.value(event),
            Self::NumberIn(number, list) => {
                let number = number.value(event)?;
                for item in list {
                    if item.value(event)? == number {
                        return Ok(true);
                    }
                }
                false
            }
            Self::TextIn(text, list) => {
                let text = text.value(event);
                list.iter().any(|item| item.value(event) == text)
            }
            Self::Search(text, search, part) => {
                let (text, part) = (text.value(event), part.value(event));
                match search {
                    Search::Contains => text.contains(&*part),
                    Search::StartsWith => text.starts_with(&*part),
                    Search::EndsWith => text.ends_with(&*part),
                }
            }
            Self::HasField(name) => event.facts.fields.contains_key(name),
        })
    }
}

/// `decisive` where one of the tests is, else its opposite, else the first fault.
fn decided_by(decisive: bool, tests: &[Test], event: &EventMacros<'_>) -> Result<bool, Fault> {
    let mut fault = None;
    for test in tests {
        match test.holds(event) {
            Ok(value) if value == decisive => return Ok(decisive),
            Ok(_) => {}
            Err(first) => {
                fault.get_or_insert(first);
            }
        }
    }
    fault.map_or(Ok(!decisive), Err)
}

impl Comparison {
    fn holds(self, left: Decimal, right: Decimal) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::More => left > right,
            Self::MoreOrEqual => left >= right,
        }
    }
}

impl Number {
    pub fn value(&self, event: &EventMacros<'_>) -> Result<Decimal, Fault> {
        match self {
            Self::Literal(number) => Ok(*number),
            Self::Of(name) => Ok(name.value(event).unwrap_or_default()),
            Self::Size(text) => Ok(text.value(event).chars().count().into()),
            Self::Written(text) => {
                let written = text.value(event);
                let number = written.trim().parse();
                let shown = || match text.is_hidden_from(event.owner) {
                    true => REDACTED.into(),
                    false => super::shown::quoted(&written),
                };
                number.map_err(|_| Fault(format!("{self}, but {} is not a number", shown())))
            }
            Self::Minus(number) => Ok(-number.value(event)?),
            Self::Calculated(left, calculation, right) => {
                let (left, right) = (left.value(event)?, right.value(event)?);
                let result = match calculation {
                    Calculation::Add => left.checked_add(right),
                    Calculation::Subtract => left.checked_sub(right),
                    Calculation::Multiply => left.checked_mul(right),
                    Calculation::Divide => left.checked_div(right),
                    Calculation::Remainder => left.checked_rem(right),
                };
                let what = || {
                    let why = if right.is_zero() { "is divided by zero" } else { "is too large" };
                    match self.is_hidden_from(event.owner) {
                        true => Fault(format!("{self} {why}")),
                        false => Fault(format!("{self} {why} ({left} and {right})")),
                    }
                };
                result.ok_or_else(what)
            }
        }
    }
}

impl Text {
    pub fn value<'a>(&'a self, event: &'a EventMacros<'_>) -> Cow<'a, str> {
        match self {
            Self::Literal(text) => Cow::Borrowed(text),
            Self::Of(name) => name.value(event),
            Self::Lower(text) => text.value(event).to_ascii_lowercase().into(),
            Self::Upper(text) => text.value(event).to_ascii_uppercase().into(),
        }
    }
}
