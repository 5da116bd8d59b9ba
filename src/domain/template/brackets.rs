//! Other systems' brackets, read when a template is entered: `{x}` `{{x}}` `[x]` `##x##` `#x#`
//! `${x}` `%x%` `<x>`.
//!
//! They are brackets only around a name we know, ours or an alias; around anything else they are
//! what URLs, JSON and XML have them for. What is stored is the translation, so it is read
//! once, and translating it again changes nothing.

use super::TemplateError;
use super::names::{canonical, nearest, slip_of};
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

/// Translates brackets and names.
///
/// # Errors
/// Where a name in foreign brackets is no macro but was surely or very likely meant as one.
pub fn translate(text: &str, known: &[&'static str]) -> Result<Translated, TemplateError> {
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
    match meant_as_macro(&translated.text, known) {
        Some((name, nearest)) => Err(TemplateError::UnknownMacro { name, nearest }),
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

/// A bracketed word that is no macro and was meant as one: always in `##x##`, which nothing else
/// uses; in the others where it is all but a macro's name. Braces are left to the parser, which
/// refuses every unknown name in them.
fn meant_as_macro(text: &str, known: &[&'static str]) -> Option<(String, Option<&'static str>)> {
    for (at, _) in text.match_indices(['#', '[', '%', '<']) {
        for (open, close) in &BRACKETS[3..] {
            let Some(inner) = text[at..].strip_prefix(open) else { continue };
            let name = leading_name(inner);
            let is_closed = inner[name.len()..].starts_with(close);
            if name.is_empty() || !is_closed || canonical(name, known).is_some() {
                continue;
            }
            let whole = &inner[..name.len() + close.len()];
            if is_of_the_text(text, at, open, whole, name) {
                continue;
            }
            if *open == "##" {
                return Some((name.to_owned(), nearest(name, known)));
            }
            if let Some(meant) = slip_of(name, known) {
                return Some((name.to_owned(), Some(meant)));
            }
        }
    }
    None
}
