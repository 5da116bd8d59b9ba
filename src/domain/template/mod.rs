//! Templates of what is sent: `https://tracker.example/postback?cid={clickid}&sum={payout|round:2}`.
//!
//! A template is parsed once, when it is saved or loaded, against the list of macros that may
//! stand in it. Rendering looks nothing up but values: it cannot fail, and a macro never leaves
//! unreplaced. Each value is encoded for the place it stands in ([`place::Place`]), so whoever
//! chooses the values chooses no more than values.
//!
//! | file | what it knows |
//! |---|---|
//! | `syntax` | `{name\|filter:argument}` in a text |
//! | `filter` | what the filters do |
//! | `place` | URL, form, JSON, header, raw: how a value is written there |
//! | `url`, `json`, `text` | the templates of those places |
//! | `names` | other systems' names for our macros, and the nearest name |
//! | `brackets` | other systems' brackets, read when a template is entered |

pub mod brackets;
pub mod filter;
mod json;
pub mod names;
pub mod place;
mod syntax;
mod text;
mod url;

use std::borrow::Cow;

/// Custom fields are macros of their own: `{fields.userid}`.
use super::fields::FIELDS_PREFIX;

pub use json::JsonTemplate;
pub use text::TextTemplate;
pub use url::{UrlTemplate, append_parameter};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the macro {{{name}}} does not exist{}", did_you_mean(.nearest))]
    UnknownMacro { name: String, nearest: Option<&'static str> },
    /// In another system's brackets, where nothing but a macro is likely.
    #[error(
        "the macro {{{name}}} does not exist{} For a field of that name write {{fields.{name}}}, for the text \
         {written} itself {literal}",
        end_of_sentence(.nearest)
    )]
    UnknownInBrackets { written: String, name: String, nearest: Option<&'static str>, literal: String },
    #[error("a macro starts at character {position} and its closing brace is missing")]
    Unclosed { position: usize },
    #[error("the URL must start with http:// or https://, with no macro in the scheme or host")]
    NotAUrl,
    #[error("the filter {name} does not exist; there are {}", filter::names())]
    UnknownFilter { name: String },
    #[error("the filter {filter} cannot be read: {message}")]
    BadArgument { filter: &'static str, message: String },
    #[error("the filter {filter} cannot stand here: {message}")]
    BadPlace { filter: &'static str, message: &'static str },
    #[error("the body is not JSON where {{macros}} are filled with {sample}: {fault}")]
    NotJson { sample: &'static str, fault: String },
    #[error("a macro cannot follow a backslash: its value would be read as an escape")]
    AfterBackslash,
    #[error("write at most {most} macros")]
    TooManyMacros { most: usize },
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {{{name}}}?")).unwrap_or_default()
}

fn end_of_sentence(nearest: &Option<&'static str>) -> String {
    if nearest.is_some() { did_you_mean(nearest) } else { ".".into() }
}

/// Where the values of macros come from.
pub trait MacroValues {
    /// The value of a macro on the list the template was parsed with; empty if there is none.
    fn value(&self, name: &str) -> Cow<'_, str>;

    /// What the filter `hmac` signs with; without it, `hmac` gives nothing.
    fn secret(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
