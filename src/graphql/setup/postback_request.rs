//! The request of a postback: how it is written, and how it is shown.

use async_graphql::{Enum, InputObject, SimpleObject};

use crate::domain::{request, request_settings, success_rule};

/// How a destination is called.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "request::Method")]
pub enum Method {
    Get,
    Post,
    Put,
}

/// What a request carries.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "request_settings::BodyKind")]
pub enum BodyKind {
    None,
    /// `application/x-www-form-urlencoded`: `cid={clickid}&sum={payout}`.
    Form,
    /// `{"id": "{clickid}", "sum": {payout}}`.
    Json,
    /// Sent as it is written.
    Raw,
}

/// What a success rule asks of the body of an answer, of which the first 4 KiB are looked at.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "success_rule::Check")]
pub enum SuccessCheck {
    Contains,
    NotContains,
    /// The JSON value at `pointer` is `text`.
    JsonEquals,
    /// The regular expression `text` finds something.
    Matches,
}

/// What becomes of a delivery whose answer breaks a rule.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "success_rule::Otherwise")]
pub enum Otherwise {
    Retry,
    Fail,
}

#[derive(SimpleObject)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl From<request_settings::HeaderSetting> for Header {
    fn from(header: request_settings::HeaderSetting) -> Self {
        Self { name: header.name, value: header.value }
    }
}

impl From<(String, String)> for Header {
    fn from((name, value): (String, String)) -> Self {
        Self { name, value }
    }
}

/// What the body of an answer must keep to for the delivery to be a success.
#[derive(SimpleObject)]
pub struct SuccessRule {
    check: SuccessCheck,
    text: String,
    pointer: Option<String>,
    otherwise: Otherwise,
}

impl From<success_rule::RuleSettings> for SuccessRule {
    fn from(rule: success_rule::RuleSettings) -> Self {
        Self {
            check: rule.check.into(),
            text: rule.text,
            pointer: rule.pointer,
            otherwise: rule.otherwise.into(),
        }
    }
}

/// Another system's notation, and what it was read as.
#[derive(SimpleObject)]
pub struct Translated {
    /// The input it stood in, such as `urlTemplate` or `headers[0].value`.
    field: String,
    from: String,
    to: String,
}

impl From<request_settings::Translated> for Translated {
    fn from(one: request_settings::Translated) -> Self {
        Self { field: crate::graphql::failure::in_camel_case(&one.field), from: one.from, to: one.to }
    }
}

/// What is stored and sent, but likely says something else than was meant.
#[derive(SimpleObject)]
pub struct PostbackWarning {
    /// The input it is about, such as `urlTemplate`.
    field: String,
    message: String,
}

impl From<request_settings::Fault> for PostbackWarning {
    fn from(one: request_settings::Fault) -> Self {
        Self { field: crate::graphql::failure::in_camel_case(&one.field), message: one.message }
    }
}

#[derive(InputObject)]
struct HeaderInput {
    name: String,
    /// Macros may stand in it.
    value: String,
}

#[derive(InputObject)]
struct SuccessRuleInput {
    check: SuccessCheck,
    /// The text to look for, the value of JSON, or the regular expression.
    text: String,
    /// For JSON_EQUALS: where the value is, such as `/result/status` (RFC 6901).
    pointer: Option<String>,
    #[graphql(default_with = "Otherwise::Retry")]
    otherwise: Otherwise,
}

/// The request beside its URL; what is left out stays as it is.
#[derive(InputObject)]
pub struct RequestInput {
    /// GET where it was never given.
    method: Option<Method>,
    /// All of them, in their order.
    headers: Option<Vec<HeaderInput>>,
    /// NONE where it was never given.
    body_kind: Option<BodyKind>,
    /// Macros such as `{clickid}` may stand in it.
    body_template: Option<String>,
    /// Another than that of the kind of the body; empty for that again.
    content_type: Option<String>,
    /// Macros without whose value nothing is sent, such as `clickid`.
    required_macros: Option<Vec<String>>,
    /// For trackers that answer 200 to a refusal. All must hold; the first that does not decides.
    success_rules: Option<Vec<SuccessRuleInput>>,
}

impl RequestInput {
    pub fn with_url(self, url_template: Option<String>) -> request_settings::RequestChange {
        let header =
            |header: HeaderInput| request_settings::HeaderSetting { name: header.name, value: header.value };
        let rule = |rule: SuccessRuleInput| success_rule::RuleSettings {
            check: rule.check.into(),
            text: rule.text,
            pointer: rule.pointer,
            otherwise: rule.otherwise.into(),
        };
        request_settings::RequestChange {
            method: self.method.map(Into::into),
            url_template,
            headers: self.headers.map(|headers| headers.into_iter().map(header).collect()),
            body_kind: self.body_kind.map(Into::into),
            body_template: self.body_template,
            content_type: self.content_type,
            required_macros: self.required_macros,
            success_rules: self.success_rules.map(|rules| rules.into_iter().map(rule).collect()),
        }
    }
}
