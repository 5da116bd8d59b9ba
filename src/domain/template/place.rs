//! Where a value stands, and how it is written there.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
pub(super) const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Most digits of a number that every reader of JSON takes without loss.
const EXACT_DIGITS: usize = 15;

/// A value on its way through the filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value<'v> {
    pub text: Cow<'v, str>,
    /// It went through `urlencode`, and nothing has replaced it since.
    pub is_encoded: bool,
    /// It asked not to be encoded.
    pub is_raw: bool,
}

impl<'v> Value<'v> {
    pub fn plain(text: Cow<'v, str>) -> Self {
        Self { text, is_encoded: false, is_raw: false }
    }

    /// Another text in its place: what was encoded is no more.
    pub fn replaced(self, text: String) -> Self {
        Self { text: text.into(), is_encoded: false, is_raw: self.is_raw }
    }
}

/// A place in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A component of a URL's path, query or fragment.
    Url,
    /// A name or value of an `application/x-www-form-urlencoded` body.
    Form,
    /// Inside the quotes of a JSON string.
    JsonString,
    /// A JSON value of its own.
    JsonValue,
    Header,
    RawBody,
}

impl Place {
    /// Writes a value so that it is read as that value and nothing else. Control characters never
    /// get into a URL or header: a line break would end them.
    pub fn write(self, value: &Value, out: &mut String) {
        let text = value.text.as_ref();
        match self {
            Self::Url | Self::Form if value.is_encoded => out.push_str(text),
            Self::Url | Self::Form if value.is_raw => {
                out.extend(text.chars().filter(|char| !char.is_control()));
            }
            Self::Url | Self::Form => out.extend(utf8_percent_encode(text, COMPONENT)),
            Self::JsonString => escape_json(text, out),
            Self::JsonValue if text.is_empty() => out.push_str("null"),
            Self::JsonValue if is_exact_number(text) => out.push_str(text),
            Self::JsonValue => {
                out.push('"');
                escape_json(text, out);
                out.push('"');
            }
            Self::Header => {
                out.extend(text.chars().map(|char| if char.is_control() { ' ' } else { char }));
            }
            Self::RawBody => out.push_str(text),
        }
    }
}

fn escape_json(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() => {
                // Controls are below U+00A0.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
}

/// Whether a text is a JSON number that nobody reads otherwise: no leading zero, no exponent, no
/// more digits than a double holds.
fn is_exact_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole)
        && are_digits(decimals)
        && (whole == "0" || !whole.starts_with('0'))
        && digits.len() <= EXACT_DIGITS
        && text != "-0"
}
