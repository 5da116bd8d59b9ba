//! Conditions of postbacks: `payout >= 10 && country in ["DE", "AT"]`.
//!
//! The language is CEL; its grammar is read by the `cel` crate, and what it means is decided here,
//! because CEL has no exact decimals and checks no types beforehand. A condition is read once,
//! when it is saved or loaded, into a tree whose every part is known to be a number, a text or a
//! test; so judging it cannot fail for its form, costs well under a microsecond or two, and needs
//! no clock, no memory that grows and no loop (CEL's macros but `has` are refused).
//!
//! | what | how |
//! |---|---|
//! | tests | `&&` `\|\|` `!`, `==` `!=` `<` `<=` `>` `>=`, `in [..]`, `has(fields.NAME)` |
//! | texts | `contains` `startsWith` `endsWith`, `lowerAscii()` `upperAscii()`, `size(..)` |
//! | numbers | `+` `-` `*` `/` `%`, `double(..)` of a text; exact decimals of up to 28 digits, in the conversion's own currency |
//!
//! What an event lacks is an empty text, and a sum that nobody reported is 0.

mod names;
mod reading;
mod shown;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use self::tree::{Fault, Test};
use super::facts::EventMacros;
use super::party_names::Party;

/// Longest condition, in characters: what bounds its reading and its judging.
pub const MAX_CHARS: usize = 1_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    source: String,
    test: Test,
    asks_for_names: bool,
}

/// Why a text is no condition, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    /// Counted from 1; none where it is the whole.
    pub character: Option<usize>,
    pub message: String,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.character {
            Some(character) => write!(formatter, "at character {character}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConditionError {}

/// Why an event is kept from a postback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// The part that was false, and the values it saw.
    False { explanation: String },
    /// It could not be told: a text was no number, or a calculation had no result.
    Unclear { explanation: String },
}

impl fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::False { explanation } => write!(formatter, "condition not met: {explanation}"),
            Self::Unclear { explanation } => write!(formatter, "condition not decidable: {explanation}"),
        }
    }
}

impl Condition {
    pub fn parse(source: &str) -> Result<Self, ConditionError> {
        let asks_for_names = Party::ALL.iter().any(|party| source.contains(party.macro_name()));
        Ok(Self { source: source.to_owned(), test: reading::read(source)?, asks_for_names })
    }

    /// The same, read once however often it is asked for: a catalogue is loaded anew with every
    /// change of the network, and its conditions are mostly those of before.
    pub fn shared(source: &str) -> Result<Arc<Self>, ConditionError> {
        static KNOWN: LazyLock<Mutex<HashMap<String, Weak<Condition>>>> = LazyLock::new(Mutex::default);
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(source).and_then(Weak::upgrade);
        if let Some(known) = known {
            return Ok(known);
        }
        let condition = Arc::new(Self::parse(source)?);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        // Bound: twice the conditions in use.
        if known.len() == known.capacity() {
            known.retain(|_, condition| condition.strong_count() > 0);
        }
        known.insert(source.to_owned(), Arc::downgrade(&condition));
        Ok(condition)
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it must be judged with what the event's parties are called; it may be true of one that
    /// has such a word only in quotes.
    pub fn asks_for_names(&self) -> bool {
        self.asks_for_names
    }

    /// Whether the event may go to the postback, or why not.
    pub fn judge(&self, event: &EventMacros<'_>) -> Result<(), Unmet> {
        match self.test.holds(event) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unmet::False { explanation: shown::explain(&self.test, event) }),
            Err(Fault(explanation)) => Err(Unmet::Unclear { explanation }),
        }
    }
}
