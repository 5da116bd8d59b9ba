//! URL templates: `https://tracker.example/postback?cid={clickid}&sum={payout}`.
//!
//! A template is parsed once, when it is saved or loaded, against the list of macros that may
//! stand in it; rendering cannot fail, and a macro never leaves unreplaced.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Custom fields are macros of their own: `{fields.userid}`.
const FIELDS_PREFIX: &str = "fields.";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Macro(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the macro {{{name}}} does not exist{}", did_you_mean(.nearest))]
    UnknownMacro { name: String, nearest: Option<&'static str> },
    #[error("a macro starts at character {position} and its closing brace is missing")]
    Unclosed { position: usize },
    #[error("the URL must start with http:// or https://, with no macro in the scheme or host")]
    NotAUrl,
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {{{name}}}?")).unwrap_or_default()
}

/// Where the values of macros come from.
pub trait MacroValues {
    /// The value of a macro on the list the template was parsed with; empty if there is none.
    fn value(&self, name: &str) -> Cow<'_, str>;
}

impl UrlTemplate {
    /// Parses `source`, in which the macros `known` and `fields.…` may stand.
    pub fn parse(source: &str, known: &[&'static str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find('{') {
            let (literal, from_brace) = rest.split_at(open);
            let position = source.len() - from_brace.len();
            let (name, after) =
                from_brace[1..].split_once('}').ok_or(TemplateError::Unclosed { position: position + 1 })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            if !known.contains(&name) && !is_field(name) {
                return Err(TemplateError::UnknownMacro {
                    name: name.to_owned(),
                    nearest: nearest(name, known),
                });
            }
            parts.push(Part::Macro(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let template = Self { source: source.to_owned(), parts };
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
            rest.is_some() && (self.parts.len() == 1 || start[scheme.len()..].contains(['/', '?', '#']))
        });
        let legal = url::Url::parse(start).is_ok_and(|url| url.has_host());
        if authority_ends && legal { Ok(()) } else { Err(TemplateError::NotAUrl) }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn mentions(&self, name: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Macro(used) if used == name))
    }

    /// Fills the macros, each encoded as a URL component.
    pub fn render(&self, values: &impl MacroValues) -> String {
        let mut url = String::with_capacity(self.source.len() * 2);
        for part in &self.parts {
            match part {
                Part::Literal(text) => url.push_str(text),
                Part::Macro(name) => url.extend(utf8_percent_encode(&values.value(name), COMPONENT)),
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

fn is_field(name: &str) -> bool {
    name.strip_prefix(FIELDS_PREFIX).is_some_and(|field| !field.is_empty())
}

fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), candidate), *candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const KNOWN: &[&str] = &["clickid", "click_id", "payout", "status"];

    struct Values(BTreeMap<&'static str, String>);

    impl MacroValues for Values {
        fn value(&self, name: &str) -> Cow<'_, str> {
            self.0.get(name).map(|value| Cow::Borrowed(value.as_str())).unwrap_or_default()
        }
    }

    #[test]
    fn values_are_encoded_for_a_url() {
        let template = UrlTemplate::parse("https://t.example/p?c={clickid}&s={payout}", KNOWN).unwrap();
        let values = Values([("clickid", "a b&c=ü/#".to_owned())].into());
        assert_eq!(template.render(&values), "https://t.example/p?c=a%20b%26c%3D%C3%BC%2F%23&s=");
    }

    #[test]
    fn an_unknown_macro_is_refused_with_the_nearest_name() {
        let error = UrlTemplate::parse("https://t.example/?c={Click_ID}", KNOWN).unwrap_err();
        assert_eq!(error.to_string(), "the macro {Click_ID} does not exist; did you mean {click_id}?");
        let error = UrlTemplate::parse("https://t.example/?c={zzz}", KNOWN).unwrap_err();
        assert_eq!(error.to_string(), "the macro {zzz} does not exist");
    }

    #[test]
    fn the_host_is_never_left_to_a_macro() {
        for source in
            ["{clickid}", "https://{clickid}/", "https://a{clickid}.example/", "ftp://x/", "//x/", "https://"]
        {
            assert_eq!(UrlTemplate::parse(source, KNOWN), Err(TemplateError::NotAUrl), "{source}");
        }
        assert!(UrlTemplate::parse("https://t.example", KNOWN).is_ok());
        assert!(UrlTemplate::parse("https://t.example?c={clickid}", KNOWN).is_ok());
    }

    #[test]
    fn parameters_go_before_the_fragment() {
        assert_eq!(append_parameter("https://a.example/x#f", "c", "1"), "https://a.example/x?c=1#f");
        assert_eq!(append_parameter("https://a.example/?b=2", "c", "&"), "https://a.example/?b=2&c=%26");
    }

    fn wild_template() -> impl Strategy<Value = String> {
        "https://t[.]example/[a-z{}?&=.]{0,40}"
    }

    proptest! {
        #[test]
        fn a_value_comes_back_whole_and_alone(value in ".{0,60}") {
            let template = UrlTemplate::parse("https://t.example/p?c={clickid}&s=1", KNOWN).unwrap();
            let url = url::Url::parse(&template.render(&Values([("clickid", value.clone())].into()))).unwrap();
            let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(query, [("c".to_owned(), value), ("s".to_owned(), "1".to_owned())]);
        }

        #[test]
        fn no_template_panics_or_leaves_a_macro(source in wild_template()) {
            if let Ok(template) = UrlTemplate::parse(&source, KNOWN) {
                let url = template.render(&Values(BTreeMap::new()));
                prop_assert!(!url.contains('{'), "a macro is left");
            }
        }
    }
}
