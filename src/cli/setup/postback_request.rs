//! The flags of a postback's request.

use clap::Args;

use super::flags::coded;
use crate::domain::request::Method;
use crate::domain::request_settings::{BodyKind, HeaderSetting, RequestChange};
use crate::domain::success_rule::{Check, Otherwise, RuleSettings};

#[derive(Debug, Clone, Default, Args)]
pub struct RequestFlags {
    /// GET, POST or PUT; GET where it was never given.
    #[arg(long, value_parser = method)]
    method: Option<Method>,
    /// A header such as 'X-Key: {sub1}'; once for each of them.
    #[arg(long = "header", id = "headers", value_name = "NAME: VALUE", value_parser = header)]
    headers: Option<Vec<HeaderSetting>>,
    /// What the body is: none, form, json or raw.
    #[arg(long, value_name = "KIND", value_parser = body_kind)]
    body_kind: Option<BodyKind>,
    /// The body, with macros: 'cid={clickid}&sum={payout}' or '{"id": "{clickid}"}'.
    #[arg(long, value_name = "TEMPLATE")]
    body: Option<String>,
    /// Media type of the body, where it is not that of its kind; empty for that again.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Macros without whose value nothing is sent, separated by commas; empty for none.
    #[arg(long, value_name = "MACROS", value_delimiter = ',')]
    required: Option<Vec<String>>,
    /// What the body of a successful answer must keep to: contains:OK, not_contains:error,
    /// matches:^OK$ or json_equals:/status=ok; retry: or fail: may stand before it, retry is meant
    /// without. Once for each rule; empty for none.
    #[arg(long, value_name = "RULE", value_parser = rule)]
    success: Option<Vec<RuleFlag>>,
}

/// A rule, or the empty text that takes all rules away.
#[derive(Debug, Clone)]
pub struct RuleFlag(Option<RuleSettings>);

impl RequestFlags {
    pub fn change(&self, url_template: Option<String>) -> RequestChange {
        let given = |names: &Vec<String>| names.iter().filter(|name| !name.is_empty()).cloned().collect();
        let rules = |rules: &Vec<RuleFlag>| rules.iter().filter_map(|RuleFlag(rule)| rule.clone()).collect();
        RequestChange {
            method: self.method,
            url_template,
            headers: self.headers.clone(),
            body_kind: self.body_kind,
            body_template: self.body.clone(),
            content_type: self.content_type.clone(),
            required_macros: self.required.as_ref().map(given),
            success_rules: self.success.as_ref().map(rules),
        }
    }
}

fn method(text: &str) -> Result<Method, String> {
    let codes = Method::ALL.iter().map(|method| method.code());
    Method::from_code(&text.trim().to_uppercase())
        .ok_or_else(|| format!("write one of {}", codes.collect::<Vec<_>>().join(", ")))
}

fn body_kind(text: &str) -> Result<BodyKind, String> {
    coded(text, BodyKind::from_code, BodyKind::ALL.iter().map(|kind| kind.code()))
}

fn header(text: &str) -> Result<HeaderSetting, &'static str> {
    let (name, value) = text.split_once(':').ok_or("write a name, a colon and a value")?;
    Ok(HeaderSetting { name: name.trim().to_owned(), value: value.trim().to_owned() })
}

fn rule(text: &str) -> Result<RuleFlag, String> {
    if text.is_empty() {
        return Ok(RuleFlag(None));
    }
    let word = |text: &str| text.split_once(':').map(|(word, rest)| (word.to_owned(), rest.to_owned()));
    let unreadable = || "write a rule such as contains:OK or fail:json_equals:/status=ok".to_owned();
    let (first, rest) = word(text).ok_or_else(unreadable)?;
    let (otherwise, check, argument) = match Otherwise::from_code(&first) {
        Some(otherwise) => {
            let (check, argument) = word(&rest).ok_or_else(unreadable)?;
            (otherwise, check, argument)
        }
        None => (Otherwise::Retry, first, rest),
    };
    let check = coded(&check, Check::from_code, Check::ALL.iter().map(|check| check.code()))?;
    let (pointer, text) = match check {
        Check::JsonEquals => {
            let (pointer, text) = argument.split_once('=').ok_or_else(unreadable)?;
            (Some(pointer.to_owned()), text.to_owned())
        }
        Check::Contains | Check::NotContains | Check::Matches => (None, argument),
    };
    Ok(RuleFlag(Some(RuleSettings { check, text, pointer, otherwise })))
}
