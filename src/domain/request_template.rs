//! The request of a postback ready to be rendered, as
//! [`RequestSettings`](super::request_settings::RequestSettings) compile to it.

use url::Url;

use super::request::{Method, RenderedRequest};
use super::template::{JsonTemplate, MacroValues, TextTemplate, UrlTemplate};

/// Longest URL that is sent, in bytes; servers take 8 to 64 KiB.
const SENT_URL_BYTES: usize = 32 * 1024;
/// Longest body that is sent, in bytes.
const SENT_BODY_BYTES: usize = 1024 * 1024;
/// Longest header value that is sent, in bytes.
const SENT_HEADER_BYTES: usize = 8 * 1024;

/// A request ready to be filled in, any number of times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTemplate {
    pub(super) method: Method,
    pub(super) url: UrlTemplate,
    pub(super) headers: Vec<(String, TextTemplate)>,
    pub(super) body: BodyTemplate,
    pub(super) content_type: Option<String>,
    pub(super) required: Vec<String>,
    pub(super) needs_secret: bool,
    /// Whether a macro asks what a party of the event is called.
    pub(super) tells_names: bool,
    /// Of the URL's path; mostly none.
    pub(super) path_secrets: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyTemplate {
    None,
    Text(TextTemplate),
    Json(JsonTemplate),
}

/// Why a rendered request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    #[error("the required macro {{{0}}} is empty")]
    RequiredMacroEmpty(String),
    #[error("the URL is not legal once its macros are filled ({0})")]
    IllegalUrl(url::ParseError),
    #[error("the filter hmac needs a secret of the postback, and it has none")]
    NoSecret,
    #[error("the {what} is {bytes} bytes once its macros are filled; at most {most} are sent")]
    TooLong { what: &'static str, bytes: usize, most: usize },
}

/// A request filled in, and why it may not be sent; nowhere: it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendering {
    pub request: RenderedRequest,
    pub skip: Vec<SkipReason>,
}

impl BodyTemplate {
    fn render(&self, values: &impl MacroValues) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(template) => template.render(values),
            Self::Json(template) => template.render(values),
        }
    }

    pub(super) fn needs_secret(&self) -> bool {
        match self {
            Self::None => false,
            Self::Text(template) => template.needs_secret(),
            Self::Json(template) => template.needs_secret(),
        }
    }

    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::None => Box::new(std::iter::empty()),
            Self::Text(template) => Box::new(template.names()),
            Self::Json(template) => Box::new(template.names()),
        }
    }
}

impl RequestTemplate {
    /// Fills the request in, and says whether it is fit to be sent.
    pub fn render(&self, values: &impl MacroValues) -> Rendering {
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        headers.extend(self.content_type.iter().map(|kind| ("content-type".to_owned(), kind.clone())));
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.render(values))));
        let request = RenderedRequest {
            method: self.method,
            url: self.url.render(values),
            headers,
            body: self.body.render(values),
            path_secrets: self.path_secrets.clone(),
        };
        let skip = self.unfit(&request, values);
        Rendering { request, skip }
    }

    fn unfit(&self, request: &RenderedRequest, values: &impl MacroValues) -> Vec<SkipReason> {
        let is_empty = |name: &&String| values.value(name).trim().is_empty();
        let mut reasons: Vec<SkipReason> =
            self.required.iter().filter(is_empty).cloned().map(SkipReason::RequiredMacroEmpty).collect();
        if self.needs_secret && values.secret().is_none() {
            reasons.push(SkipReason::NoSecret);
        }
        let longest_header = request.headers.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
        for (what, bytes, most) in [
            ("URL", request.url.len(), SENT_URL_BYTES),
            ("body", request.body.len(), SENT_BODY_BYTES),
            ("longest header", longest_header, SENT_HEADER_BYTES),
        ] {
            if bytes > most {
                reasons.push(SkipReason::TooLong { what, bytes, most });
            }
        }
        if let Err(error) = Url::parse(&request.url) {
            reasons.push(SkipReason::IllegalUrl(error));
        }
        reasons
    }

    /// Whether a macro asks what a party of the event is called.
    pub fn tells_names(&self) -> bool {
        self.tells_names
    }

    /// Its macros without a value, each once, in the order they stand in.
    pub fn empty_macros(&self, values: &impl MacroValues) -> Vec<&str> {
        let of_headers = self.headers.iter().flat_map(|(_, value)| value.names());
        let required = self.required.iter().map(String::as_str);
        let mut empty: Vec<&str> = Vec::new();
        for name in self.url.names().chain(of_headers).chain(self.body.names()).chain(required) {
            if !empty.contains(&name) && values.value(name).is_empty() {
                empty.push(name);
            }
        }
        empty
    }
}

#[cfg(test)]
#[path = "request_template_tests.rs"]
mod tests;
