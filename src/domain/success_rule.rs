//! Rules on the body of an answer, for trackers that answer 200 to a refusal.
//!
//! They are looked at where the code says success. The kept beginning of the body is all they
//! see: 4 KiB.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::coded::coded_enum;

coded_enum! {
    /// What a rule asks of the body.
    Check {
        Contains = "contains",
        NotContains = "not_contains",
        /// The JSON value at a pointer (RFC 6901) is the text.
        JsonEquals = "json_equals",
        /// A regular expression finds something.
        Matches = "matches",
    }
}

coded_enum! {
    /// What becomes of the delivery where a rule does not hold.
    Otherwise {
        Retry = "retry",
        Fail = "fail",
    }
}

/// A rule as it is written and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    pub check: Check,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    pub otherwise: Otherwise,
}

/// Most rules of a postback.
pub const MOST_RULES: usize = 10;
/// Longest text of a rule, in characters.
const RULE_CHARS: usize = 500;
/// Memory a compiled expression may take, in bytes. Matching takes time linear in the body.
const REGEX_BYTES: usize = 256 * 1024;

/// A rule ready to be held against answers.
#[derive(Debug, Clone)]
pub struct SuccessRule {
    demand: Demand,
    otherwise: Otherwise,
}

#[derive(Debug, Clone)]
enum Demand {
    Contains(String),
    NotContains(String),
    JsonEquals { pointer: String, text: String },
    Matches(Regex),
}

/// Why an answer of success is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub otherwise: Otherwise,
}

/// A fault of a rule: its member, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    pub member: &'static str,
    pub message: String,
}

impl SuccessRule {
    pub fn compile(settings: &RuleSettings) -> Result<Self, RuleFault> {
        let fault = |member, message: &str| Err(RuleFault { member, message: message.to_owned() });
        let RuleSettings { check, text, pointer, otherwise } = settings;
        if text.chars().count() > RULE_CHARS || pointer.iter().any(|text| text.chars().count() > RULE_CHARS) {
            return fault("text", "write at most 500 characters");
        }
        if text.is_empty() && *check != Check::JsonEquals {
            return fault("text", "write the text to look for");
        }
        let demand = match (check, pointer) {
            (Check::JsonEquals, Some(pointer)) if pointer.is_empty() || pointer.starts_with('/') => {
                Demand::JsonEquals { pointer: pointer.clone(), text: text.clone() }
            }
            (Check::JsonEquals, _) => {
                return fault(
                    "pointer",
                    "write where the value is, as a JSON pointer such as /result/status",
                );
            }
            (_, Some(_)) => {
                return fault("pointer", "only JSON_EQUALS looks at a place; leave the pointer out");
            }
            (Check::Contains, None) => Demand::Contains(text.clone()),
            (Check::NotContains, None) => Demand::NotContains(text.clone()),
            (Check::Matches, None) => {
                let compiled =
                    RegexBuilder::new(text).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build();
                match compiled {
                    Ok(regex) => Demand::Matches(regex),
                    Err(error) => return fault("text", &format!("the expression cannot be used: {error}")),
                }
            }
        };
        Ok(Self { demand, otherwise: *otherwise })
    }

    fn holds(&self, body: &str, json: &mut Option<Option<Value>>) -> bool {
        match &self.demand {
            Demand::Contains(text) => body.contains(text),
            Demand::NotContains(text) => !body.contains(text),
            Demand::Matches(regex) => regex.is_match(body),
            Demand::JsonEquals { pointer, text } => {
                let json = json.get_or_insert_with(|| serde_json::from_str(body).ok());
                match json.as_ref().and_then(|json| json.pointer(pointer)) {
                    None => false,
                    Some(Value::String(value)) => value == text,
                    Some(value) => {
                        let written = value.to_string();
                        written == *text
                    }
                }
            }
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(formatter, "does not contain {text:?}"),
            Self::NotContains(text) => write!(formatter, "contains {text:?}"),
            Self::JsonEquals { pointer, text } => {
                write!(formatter, "is no JSON with {text:?} at {pointer:?} in its first 4 KiB")
            }
            Self::Matches(regex) => write!(formatter, "does not match {:?}", regex.as_str()),
        }
    }
}

/// The first rule that the kept body of a successful answer does not keep to, if any.
pub fn refusal(rules: &[SuccessRule], body: &str) -> Option<Refusal> {
    let mut json = None;
    let broken = rules.iter().find(|rule| !rule.holds(body, &mut json))?;
    Some(Refusal {
        reason: format!("answered success, but the body {}", broken.demand),
        otherwise: broken.otherwise,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(check: Check, text: &str, pointer: Option<&str>) -> RuleSettings {
        RuleSettings {
            check,
            text: text.into(),
            pointer: pointer.map(str::to_owned),
            otherwise: Otherwise::Fail,
        }
    }

    #[test]
    fn each_check_holds_and_breaks() {
        for (check, text, pointer, good, bad) in [
            (Check::Contains, "OK", None, "all OK", "no"),
            (Check::NotContains, "error", None, "fine", "an error"),
            (Check::Matches, "^(OK|DUP)$", None, "DUP", "DUPE"),
            (
                Check::JsonEquals,
                "ok",
                Some("/r/status"),
                r#"{"r":{"status":"ok"}}"#,
                r#"{"r":{"status":"no"}}"#,
            ),
            (Check::JsonEquals, "true", Some("/success"), r#"{"success":true}"#, "not json"),
            (Check::JsonEquals, "1", Some("/a/0"), r#"{"a":[1]}"#, r#"{"a":[]}"#),
            (Check::JsonEquals, "1", Some(""), "1", "2"),
        ] {
            let rules = [SuccessRule::compile(&rule(check, text, pointer)).unwrap()];
            assert_eq!(refusal(&rules, good), None, "{text}");
            let refusal = refusal(&rules, bad).unwrap();
            assert!(refusal.reason.starts_with("answered success, but the body "), "{}", refusal.reason);
            assert_eq!(refusal.otherwise, Otherwise::Fail);
        }
    }

    #[test]
    fn the_first_broken_rule_decides() {
        let mut second = rule(Check::NotContains, "b", None);
        second.otherwise = Otherwise::Retry;
        let rules =
            [rule(Check::Contains, "a", None), second].map(|rule| SuccessRule::compile(&rule).unwrap());
        assert_eq!(refusal(&rules, "b").unwrap().otherwise, Otherwise::Fail);
        assert_eq!(refusal(&rules, "ab").unwrap().otherwise, Otherwise::Retry);
        assert_eq!(refusal(&rules, "a"), None);
    }

    #[test]
    fn what_cannot_be_used_says_where() {
        for (settings, member) in [
            (rule(Check::Contains, "", None), "text"),
            (rule(Check::Contains, "a", Some("/a")), "pointer"),
            (rule(Check::JsonEquals, "a", None), "pointer"),
            (rule(Check::JsonEquals, "a", Some("a")), "pointer"),
            (rule(Check::Matches, "(", None), "text"),
            (rule(Check::Matches, "(a{1000}){1000}", None), "text"),
            (rule(Check::Contains, &"x".repeat(501), None), "text"),
        ] {
            assert_eq!(SuccessRule::compile(&settings).unwrap_err().member, member, "{settings:?}");
        }
    }
}
