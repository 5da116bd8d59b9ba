//! The request of a postback as somebody writes it: checked, every fault named, and made into a
//! [`RequestTemplate`].

use serde::{Deserialize, Serialize};

use super::coded::coded_enum;
use super::facts::POSTBACK_MACROS;
use super::party_names::Party;
use super::path_secrets::{path_secrets, redact_path};
use super::postback::Owner;
use super::redact::{redact_body, redact_headers, redact_url};
use super::request::Method;
use super::request_template::{BodyTemplate, RequestTemplate};
use super::success_rule::{MOST_RULES, RuleSettings, SuccessRule};
use super::template::brackets::{Setting, translate};
use super::template::names::{canonical, nearest};
use super::template::{JsonTemplate, TemplateError, TextTemplate, UrlTemplate};

coded_enum! {
    /// What a request carries.
    BodyKind {
        None = "none",
        /// `application/x-www-form-urlencoded`.
        Form = "form",
        Json = "json",
        /// Anything else, sent as it is written.
        Raw = "raw",
    }
}

impl BodyKind {
    fn content_type(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Form => Some("application/x-www-form-urlencoded"),
            Self::Json => Some("application/json"),
            Self::Raw => Some("text/plain; charset=utf-8"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderSetting {
    pub name: String,
    pub value: String,
}

/// A request as somebody writes it, and as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestSettings {
    pub method: Method,
    pub url_template: String,
    pub headers: Vec<HeaderSetting>,
    pub body_kind: BodyKind,
    pub body_template: String,
    /// `None`: that of the kind of the body.
    pub content_type: Option<String>,
    /// Macros without whose value nothing is sent.
    pub required_macros: Vec<String>,
    pub success_rules: Vec<RuleSettings>,
}

impl RequestSettings {
    /// A GET of a URL, and nothing else.
    pub fn get(url_template: impl Into<String>) -> Self {
        Self {
            method: Method::Get,
            url_template: url_template.into(),
            headers: Vec::new(),
            body_kind: BodyKind::None,
            body_template: String::new(),
            content_type: None,
            required_macros: Vec::new(),
            success_rules: Vec::new(),
        }
    }
}

/// What to set of a request; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct RequestChange {
    pub method: Option<Method>,
    pub url_template: Option<String>,
    pub headers: Option<Vec<HeaderSetting>>,
    pub body_kind: Option<BodyKind>,
    pub body_template: Option<String>,
    /// Empty: that of the kind of the body.
    pub content_type: Option<String>,
    pub required_macros: Option<Vec<String>>,
    pub success_rules: Option<Vec<RuleSettings>>,
}

impl RequestChange {
    /// `before` with the change made. A request that stops having a body lets go of what belonged
    /// to it.
    pub fn over(self, before: RequestSettings) -> RequestSettings {
        let loses_body = self.body_kind == Some(BodyKind::None);
        RequestSettings {
            method: self.method.unwrap_or(before.method),
            url_template: self.url_template.unwrap_or(before.url_template),
            headers: self.headers.unwrap_or(before.headers),
            body_kind: self.body_kind.unwrap_or(before.body_kind),
            body_template: match self.body_template {
                None if loses_body => String::new(),
                written => written.unwrap_or(before.body_template),
            },
            content_type: match self.content_type {
                None if loses_body => None,
                written => written.or(before.content_type).filter(|written| !written.is_empty()),
            },
            required_macros: self.required_macros.unwrap_or(before.required_macros),
            success_rules: self.success_rules.unwrap_or(before.success_rules),
        }
    }
}

/// A fault of one setting, with the remedy in its message. `field` is the setting's name, such as
/// `url_template` or `headers[2].value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub field: String,
    pub message: String,
}

impl Fault {
    pub fn new(field: impl Into<String>, message: impl ToString) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }
}

/// Foreign notation that was read as ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Translated {
    pub field: String,
    pub from: String,
    pub to: String,
}

/// Longest URL template, in characters.
const URL_CHARS: usize = 4_096;
const MOST_HEADERS: usize = 30;
const HEADER_NAME_CHARS: usize = 100;
const HEADER_VALUE_CHARS: usize = 2_000;
const BODY_CHARS: usize = 32_000;
const MOST_REQUIRED: usize = 50;
/// Headers that are not the caller's to set, and why.
const TAKEN_HEADERS: &[(&str, &str)] = &[
    ("host", "it is the URL's host"),
    ("content-length", "it is counted from the body"),
    ("content-type", "it follows the kind of the body; set contentType instead"),
    ("content-encoding", "bodies are sent as they are"),
    ("transfer-encoding", "bodies are sent whole, with their length"),
    ("connection", "connections are kept and closed by us"),
    ("keep-alive", "connections are kept and closed by us"),
    ("proxy-connection", "no proxy is used"),
    ("proxy-authorization", "no proxy is used"),
    ("upgrade", "only HTTP is spoken"),
    ("te", "answers are read as they are"),
    ("trailer", "nothing follows the body"),
    ("accept-encoding", "answers are unpacked by us, so what is accepted is ours to say"),
    ("expect", "bodies are sent at once"),
];

impl RequestSettings {
    /// Reads foreign brackets and names as ours, in every template.
    pub fn translate(&mut self) -> Result<Vec<Translated>, Vec<Fault>> {
        let mut all = Vec::new();
        let mut faults = Vec::new();
        let of_body = if self.body_kind == BodyKind::Form { Setting::Url } else { Setting::Text };
        let mut each =
            |field: String, text: &mut String, setting| match translate(text, POSTBACK_MACROS, setting) {
                Ok(translated) => {
                    *text = translated.text;
                    all.extend(translated.translations.into_iter().map(|one| Translated {
                        field: field.clone(),
                        from: one.from,
                        to: one.to,
                    }));
                }
                Err(error) => faults.push(Fault::new(field, error)),
            };
        each("url_template".into(), &mut self.url_template, Setting::Url);
        for (index, header) in self.headers.iter_mut().enumerate() {
            each(format!("headers[{index}].value"), &mut header.value, Setting::Text);
        }
        each("body_template".into(), &mut self.body_template, of_body);
        for (index, name) in self.required_macros.iter_mut().enumerate() {
            let bare = name.trim().trim_start_matches('{').trim_end_matches('}').trim();
            let ours = canonical(bare, POSTBACK_MACROS).unwrap_or_else(|| bare.to_owned());
            if ours != *name {
                let field = format!("required_macros[{index}]");
                all.push(Translated { field, from: std::mem::replace(name, ours.clone()), to: ours });
            }
        }
        if faults.is_empty() { Ok(all) } else { Err(faults) }
    }

    /// The request ready to be rendered, and its success rules.
    ///
    /// # Errors
    /// Every fault of every setting.
    pub fn compile(&self) -> Result<(RequestTemplate, Vec<SuccessRule>), Vec<Fault>> {
        let mut faults = Vec::new();
        let url = self.compile_url().map_err(|fault| faults.push(fault)).ok();
        let headers = self.compile_headers(&mut faults);
        let body = self.compile_body(&mut faults);
        let content_type = self.checked_content_type(&mut faults);
        self.check_required(&mut faults);
        let rules = self.compile_rules(&mut faults);
        match url {
            Some(url) if faults.is_empty() => {
                let needs_secret = url.needs_secret()
                    || headers.iter().any(|(_, value)| value.needs_secret())
                    || body.needs_secret();
                let tells_names = {
                    let of_headers = headers.iter().flat_map(|(_, value)| value.names());
                    let required = self.required_macros.iter().map(String::as_str);
                    let mut names = url.names().chain(of_headers).chain(body.names()).chain(required);
                    names.any(|name| Party::of_macro(name).is_some())
                };
                let template = RequestTemplate {
                    method: self.method,
                    url,
                    headers,
                    body,
                    content_type,
                    required: self.required_macros.clone(),
                    needs_secret,
                    tells_names,
                    path_secrets: path_secrets(&self.url_template),
                };
                Ok((template, rules))
            }
            _ => Err(faults),
        }
    }

    /// The same for those who may see what is asked for, but no secret that it holds.
    pub fn without_secrets(self) -> Self {
        let headers: Vec<_> = self.headers.into_iter().map(|one| (one.name, one.value)).collect();
        let shown = redact_headers(&headers).into_iter();
        Self {
            url_template: redact_path(&redact_url(&self.url_template), &path_secrets(&self.url_template)),
            headers: shown.map(|(name, value)| HeaderSetting { name, value }).collect(),
            body_template: redact_body(&self.body_template, usize::MAX),
            ..self
        }
    }

    /// What may be sent, but likely says something else than was meant; of a request in our own
    /// notation. `owner` is whose postback it is.
    pub fn warnings(&self, owner: Owner) -> Vec<Fault> {
        let headers = self.headers.iter().enumerate();
        let texts: Vec<(String, &str)> = std::iter::once(("url_template".into(), self.url_template.as_str()))
            .chain(headers.map(|(index, one)| (format!("headers[{index}].value"), one.value.as_str())))
            .chain([("body_template".into(), self.body_template.as_str())])
            .collect();
        let has_amount = texts.iter().any(|(_, text)| mentions(text, "amount"));
        let currency = texts.iter().find(|(_, text)| mentions(text, "currency"));
        match (currency, owner) {
            (Some((field, _)), Owner::Partner(_) | Owner::Platform) if has_amount => {
                let message = "{currency} is the currency of {payout}; {amount} may be in another, which is \
                               {amount_currency}";
                vec![Fault::new(field.as_str(), message)]
            }
            _ => Vec::new(),
        }
    }

    fn compile_url(&self) -> Result<UrlTemplate, Fault> {
        let url = &self.url_template;
        let fault = |message: String| Fault::new("url_template", message);
        if url.chars().count() > URL_CHARS {
            return Err(fault(format!("a URL has at most {URL_CHARS} characters")));
        }
        if outside_macros(url).any(|char| char.is_control() || char == ' ') {
            return Err(fault("a URL has no blanks and no control characters; write %20 for a blank".into()));
        }
        UrlTemplate::parse_with_secret(url, POSTBACK_MACROS).map_err(|error| fault(error.to_string()))
    }

    fn compile_headers(&self, faults: &mut Vec<Fault>) -> Vec<(String, TextTemplate)> {
        if self.headers.len() > MOST_HEADERS {
            faults.push(Fault::new("headers", format!("write at most {MOST_HEADERS} headers")));
            return Vec::new();
        }
        let mut compiled: Vec<(String, TextTemplate)> = Vec::new();
        for (index, HeaderSetting { name, value }) in self.headers.iter().enumerate() {
            let lower = name.to_ascii_lowercase();
            if let Some(message) = header_name_fault(&lower) {
                faults.push(Fault::new(format!("headers[{index}].name"), message));
            } else if self.headers[..index].iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
                faults.push(Fault::new(format!("headers[{index}].name"), "this header stands twice"));
            }
            let field = format!("headers[{index}].value");
            if value.chars().count() > HEADER_VALUE_CHARS {
                faults.push(Fault::new(field, format!("write at most {HEADER_VALUE_CHARS} characters")));
            } else if value.chars().any(char::is_control) {
                faults.push(Fault::new(field, "leave out line breaks and other control characters"));
            } else {
                match TextTemplate::header(value, POSTBACK_MACROS) {
                    Ok(template) => compiled.push((name.clone(), template)),
                    Err(error) => faults.push(Fault::new(field, error)),
                }
            }
        }
        compiled
    }

    fn compile_body(&self, faults: &mut Vec<Fault>) -> BodyTemplate {
        let text = &self.body_template;
        let fault = |field: &str, message: &str| Fault::new(field, message);
        if self.body_kind != BodyKind::None && self.method == Method::Get {
            faults.push(fault("body_kind", "a GET carries no body; set the method to POST or PUT"));
        }
        if text.chars().count() > BODY_CHARS {
            faults.push(Fault::new("body_template", format!("write at most {BODY_CHARS} characters")));
            return BodyTemplate::None;
        }
        let parsed = match self.body_kind {
            BodyKind::None if text.is_empty() => return BodyTemplate::None,
            BodyKind::None => {
                faults.push(fault("body_kind", "say what the body is: FORM, JSON or RAW"));
                return BodyTemplate::None;
            }
            BodyKind::Form if outside_macros(text).any(|char| char.is_control() || char == ' ') => {
                let message = "a form has no blanks and no line breaks; write + or %20 for a blank, and & \
                               between pairs";
                faults.push(fault("body_template", message));
                return BodyTemplate::None;
            }
            BodyKind::Form => TextTemplate::form(text, POSTBACK_MACROS).map(BodyTemplate::Text),
            BodyKind::Raw => TextTemplate::raw(text, POSTBACK_MACROS).map(BodyTemplate::Text),
            BodyKind::Json => JsonTemplate::parse(text, POSTBACK_MACROS).map(BodyTemplate::Json),
        };
        parsed.unwrap_or_else(|error: TemplateError| {
            faults.push(Fault::new("body_template", error));
            BodyTemplate::None
        })
    }

    fn checked_content_type(&self, faults: &mut Vec<Fault>) -> Option<String> {
        let Some(written) = &self.content_type else {
            return self.body_kind.content_type().map(str::to_owned);
        };
        let kind_and_rest = written.split_once('/');
        let fits = kind_and_rest.is_some_and(|(kind, rest)| is_token(kind) && !rest.is_empty())
            && written.chars().count() <= HEADER_NAME_CHARS
            && written.chars().all(|char| char.is_ascii_graphic() || char == ' ');
        if !fits {
            let message = "write a media type such as application/xml; charset=utf-8";
            faults.push(Fault::new("content_type", message));
        } else if self.body_kind == BodyKind::None {
            faults.push(Fault::new("content_type", "there is no body to have a type; leave it out"));
        }
        Some(written.clone())
    }

    fn check_required(&self, faults: &mut Vec<Fault>) {
        if self.required_macros.len() > MOST_REQUIRED {
            faults.push(Fault::new("required_macros", format!("name at most {MOST_REQUIRED} macros")));
        }
        for (index, name) in self.required_macros.iter().enumerate() {
            if canonical(name, POSTBACK_MACROS).as_deref() != Some(name) {
                let error = TemplateError::UnknownMacro {
                    name: name.clone(),
                    nearest: nearest(name, POSTBACK_MACROS),
                };
                faults.push(Fault::new(format!("required_macros[{index}]"), error));
            }
        }
    }

    fn compile_rules(&self, faults: &mut Vec<Fault>) -> Vec<SuccessRule> {
        if self.success_rules.len() > MOST_RULES {
            faults.push(Fault::new("success_rules", format!("write at most {MOST_RULES} rules")));
            return Vec::new();
        }
        let compile = |(index, settings): (usize, &RuleSettings)| {
            SuccessRule::compile(settings)
                .map_err(|fault| {
                    let field = format!("success_rules[{index}].{}", fault.member);
                    faults.push(Fault { field, message: fault.message });
                })
                .ok()
        };
        self.success_rules.iter().enumerate().filter_map(compile).collect()
    }
}

/// Whether a macro stands in a template in our own notation.
pub fn mentions(template: &str, name: &str) -> bool {
    template
        .split('{')
        .skip(1)
        .any(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['}', '|'])))
}

/// What of a template is sent as it is written. A blank may stand inside a macro's braces, in the
/// text of a `default` say; it is encoded with the value.
fn outside_macros(template: &str) -> impl Iterator<Item = char> {
    let mut depth = 0_usize;
    template.chars().filter(move |char| {
        match char {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

/// What is wrong with a header's name in small letters.
fn header_name_fault(name: &str) -> Option<String> {
    if !is_token(name) || name.len() > HEADER_NAME_CHARS {
        return Some("a header's name is letters, digits and hyphens, at most 100".into());
    }
    let (_, why) = TAKEN_HEADERS.iter().find(|(taken, _)| *taken == name)?;
    Some(format!("{name} is not yours to set: {why}"))
}

/// A token of RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_char)
}
