//! Other systems' brackets, read when a template is entered: `{x}` `{{x}}` `[x]` `##x##` `#x#`
//! `${x}` `%x%` `<x>`.
//!
//! Around a name we know, ours or an alias, they are brackets. Around another name they are refused
//! in a URL or form, where they have next to no other business and would be sent as they are; in
//! headers and other bodies they are what JSON, XML and prose have them for, unless the name is all
//! but a macro's. What is stored is the translation, so it is read once, and translating it again
//! changes nothing.

use super::TemplateError;
use super::names::{canonical, nearest, slip_of};
use super::place::COMPONENT;
use super::syntax::{leading_name, read_macro};

/// How other systems write a macro, longest first where one begins with another.
const BRACKETS: &[(&str, &str)] =
    &[("{{", "}}"), ("${", "}"), ("{", "}"), ("##", "##"), ("#", "#"), ("[", "]"), ("%", "%"), ("<", ">")];

/// What was written, and what it was read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    pub from: String,
    pub to: String,
}

/// A template in our own notation, with what was translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    pub text: String,
    pub translations: Vec<Translation>,
}

/// Longest word that may be a slip of the pen for a macro's name, in bytes.
const LONGEST_NAME: usize = 64;

/// Where a text stands, as far as it says what a bracket is likely to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A URL, or a form, which is written like a query.
    Url,
    /// A header, or any other body.
    Text,
}

/// Translates brackets and names.
///
/// # Errors
/// Where a name in foreign brackets is no macro but was surely or very likely meant as one.
pub fn translate(text: &str, known: &[&'static str], setting: Setting) -> Result<Translated, TemplateError> {
    let mut translated = Translated { text: text.to_owned(), translations: Vec::new() };
    // Brackets within brackets, `{[x]}`, take a pass each. Every pass leaves less that is foreign,
    // so there is a last one.
    loop {
        let (text, translations) = pass(&translated.text, known);
        if translations.is_empty() {
            break;
        }
        translated.text = text;
        translated.translations.extend(translations);
    }
    match meant_as_macro(&translated.text, known, setting) {
        Some(error) => Err(error),
        None => Ok(translated),
    }
}

fn pass(text: &str, known: &[&'static str]) -> (String, Vec<Translation>) {
    let mut out = String::with_capacity(text.len());
    let mut translations = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        match found_at(text, at, known) {
            Some((ours, length)) => {
                let written = &text[at..at + length];
                if written != ours {
                    translations.push(Translation { from: written.to_owned(), to: ours.clone() });
                }
                out.push_str(&ours);
                at += length;
            }
            None => {
                out.push(first);
                at += first.len_utf8();
            }
        }
    }
    (out, translations)
}

/// The macro that begins at `at`, in our notation, and how many bytes it takes as written.
fn found_at(text: &str, at: usize, known: &[&'static str]) -> Option<(String, usize)> {
    BRACKETS.iter().find_map(|(open, close)| {
        let inner = text[at..].strip_prefix(open)?;
        let braced = open.ends_with('{');
        let (found, length) = read_macro(inner, close).ok()?;
        let name = if braced { found.name.trim() } else { found.name.as_str() };
        if !braced && leading_name(name) != name {
            return None;
        }
        let ours = canonical(name, known)?;
        if is_of_the_text(text, at, open, &inner[..length], name) {
            return None;
        }
        let filters = &inner[found.name.len()..length - close.len()];
        Some((format!("{{{ours}{filters}}}"), open.len() + length))
    })
}

/// Whether a bracket around one of our names is nevertheless what it is without us: the index of
/// `items[sum]=5`, an escape as in `%82%ac…`, a tag of XML.
fn is_of_the_text(text: &str, at: usize, open: &str, inner: &str, name: &str) -> bool {
    let before = &text[..at];
    let after = &text[at + open.len() + inner.len()..];
    match open {
        "[" => {
            let follows_a_name =
                before.ends_with(|char: char| char.is_ascii_alphanumeric() || "_]".contains(char));
            follows_a_name && (after.starts_with(['=', '[']) || after.starts_with("%5B"))
        }
        "%" => {
            let looks_like_an_escape = name.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
            looks_like_an_escape && ends_with_an_escape(before)
        }
        "<" => text.contains(&format!("</{name}>")),
        _ => false,
    }
}

fn ends_with_an_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 3
        && bytes[bytes.len() - 3] == b'%'
        && bytes[bytes.len() - 2..].iter().all(u8::is_ascii_hexdigit)
}

/// A bracketed word that is no macro and was meant as one. Braces without blanks are left to the
/// parser, which refuses every unknown name in them.
fn meant_as_macro(text: &str, known: &[&'static str], setting: Setting) -> Option<TemplateError> {
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        // What stands in the filters of a macro is its own business.
        if let Some((ours, length)) = found_at(text, at, known)
            && first == '{'
            && text[at..at + length] == ours
        {
            at += length;
            continue;
        }
        if let Some(error) = meant_at(text, at, known, setting) {
            return Some(error);
        }
        at += first.len_utf8();
    }
    None
}

fn meant_at(text: &str, at: usize, known: &[&'static str], setting: Setting) -> Option<TemplateError> {
    if let Some(inner) = text[at..].strip_prefix('{') {
        // `{ clikid }`: blanks make it another thing in a header or body, such as a query of GraphQL.
        let (name, _) = inner.split_once(['}', '|'])?;
        let bare = name.trim();
        if bare == name || bare.len() > LONGEST_NAME || leading_name(bare) != bare {
            return None;
        }
        let nearest = slip_of(bare, known)?;
        return Some(TemplateError::UnknownMacro { name: bare.to_owned(), nearest: Some(nearest) });
    }
    BRACKETS[3..].iter().find_map(|(open, close)| {
        let inner = text[at..].strip_prefix(open)?;
        let name = leading_name(inner);
        let is_closed = inner[name.len()..].starts_with(close);
        if name.is_empty() || !is_closed || canonical(name, known).is_some() {
            return None;
        }
        let whole = &inner[..name.len() + close.len()];
        if is_of_the_text(text, at, open, whole, name) {
            return None;
        }
        if let Some(meant) = slip_of(name, known) {
            return Some(TemplateError::UnknownMacro { name: name.to_owned(), nearest: Some(meant) });
        }
        if *open == "##" {
            let nearest = nearest(name, known);
            return Some(TemplateError::UnknownMacro { name: name.to_owned(), nearest });
        }
        let written = &text[at..at + open.len() + whole.len()];
        let is_meant = setting == Setting::Url && !is_of_the_url(text, at, open, &inner[whole.len()..], name);
        is_meant.then(|| TemplateError::UnknownInBrackets {
            written: written.to_owned(),
            name: name.to_owned(),
            nearest: nearest(name, known),
            literal: literal(written),
        })
    })
}

/// Whether a bracket around a name that nobody knows is what URLs have it for: the index of a
/// parameter, `rows[first]`; an escape, `%adid%20`; a fragment, `…/page#top#2`.
fn is_of_the_url(text: &str, at: usize, open: &str, after: &str, name: &str) -> bool {
    let before = &text[..at];
    match open {
        "[" => {
            let pair = before.rsplit(['?', '&']).next().unwrap_or_default();
            !pair.contains('=')
                && pair.ends_with(|char: char| char.is_ascii_alphanumeric() || "_]".contains(char))
        }
        "%" => {
            let is_hex =
                |text: &str| text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
            is_hex(name) && (is_hex(after) || name.len() == 2)
        }
        // A value of the query begins with one; between the fields of a composite `#-#` may stand.
        "#" => !before.ends_with(['=', '}', '_', '.', ':', '|', ',']) || !before.contains('='),
        _ => false,
    }
}

/// The same characters as a URL has them where they mean nothing.
fn literal(written: &str) -> String {
    percent_encoding::utf8_percent_encode(written, COMPONENT).to_string()
}
