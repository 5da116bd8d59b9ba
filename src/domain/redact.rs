//! Keeps secrets out of logs.

use std::borrow::Cow;

use url::Url;

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Parameter names, in lower case, whose values are secrets.
const SECRET_NAMES: &[&str] = &[
    "access_token",
    "api_key",
    "api-key",
    "apikey",
    "auth",
    "authorization",
    "hash",
    "hmac",
    "key",
    "pass",
    "passwd",
    "password",
    "postback_key",
    "pwd",
    "ricochet-signature",
    "secret",
    "secret_key",
    "sig",
    "sign",
    "signature",
    "token",
    "webhook-signature",
];

pub fn is_secret(name: &str) -> bool {
    SECRET_NAMES.contains(&name.to_lowercase().as_str())
}

/// Whether a text begins as our API keys and tokens do.
pub fn looks_like_a_key(text: &str) -> bool {
    ["rk_", "rt_"].iter().any(|prefix| text.trim_start().starts_with(prefix))
}

/// Parameters with the values of secret ones replaced.
pub fn redact_parameters(parameters: &[(String, String)]) -> Vec<(String, String)> {
    let shown =
        |name: &str, value: &String| if is_secret(name) { REDACTED.to_owned() } else { value.clone() };
    parameters.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// A URL with its password and the values of secret query parameters replaced; the rest stays
/// as it was written.
pub fn redact_url(url: &str) -> String {
    let (before, query, fragment) = match url.split_once('?') {
        None => return redact_password(url),
        Some((before, rest)) => match rest.split_once('#') {
            Some((query, fragment)) => (before, query, format!("#{fragment}")),
            None => (before, rest, String::new()),
        },
    };
    format!("{}?{}{fragment}", redact_password(before), redact_pairs(query))
}

/// Parts of names, in lower case, that mark a header as secret whatever else it is called.
const SECRET_HEADER_PARTS: &[&str] =
    &["auth", "cookie", "credential", "key", "passw", "secret", "session", "signature", "token"];

/// Headers with the values of secret ones replaced: those that name the sender, and signatures.
pub fn redact_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let is_secret_header = |name: &str| {
        let name = name.to_lowercase();
        is_secret(&name) || SECRET_HEADER_PARTS.iter().any(|part| name.contains(part))
    };
    let shown =
        |name: &str, value: &String| if is_secret_header(name) { REDACTED.to_owned() } else { value.clone() };
    headers.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// A body's first `most_bytes`, with the values of secret fields replaced where it is JSON or a
/// form; any other text stays as it is.
pub fn redact_body(body: &str, most_bytes: usize) -> String {
    let mut shown = match body.trim_start().as_bytes().first() {
        None => return String::new(),
        Some(b'{' | b'[') => match serde_json::from_str::<serde_json::Value>(body) {
            Ok(mut value) => {
                if redact_json(&mut value) {
                    value.to_string()
                } else {
                    body.to_owned()
                }
            }
            Err(_) => body.to_owned(),
        },
        Some(_) if body.contains('=') => redact_pairs(body),
        Some(_) => body.to_owned(),
    };
    shown.truncate(shown.floor_char_boundary(most_bytes));
    shown
}

/// Whether anything had to be replaced.
fn redact_json(value: &mut serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(members) => {
            let mut is_changed = false;
            for (name, member) in members {
                if is_secret(name) && !member.is_null() {
                    *member = REDACTED.into();
                    is_changed = true;
                } else {
                    is_changed |= redact_json(member);
                }
            }
            is_changed
        }
        serde_json::Value::Array(items) => {
            items.iter_mut().fold(false, |is_changed, item| redact_json(item) | is_changed)
        }
        _ => false,
    }
}

fn redact_pairs(pairs: &str) -> String {
    let shown: Vec<_> = pairs
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={REDACTED}").into(),
            _ => Cow::Borrowed(pair),
        })
        .collect();
    shown.join("&")
}

fn redact_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Fails only for URLs without a host, which have no password.
            let _ = parsed.set_password(Some("redacted"));
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_and_the_rest_stays() {
        assert_eq!(
            redact_url("https://t.example/p?cid=a%20b&Token=abc&x=1#f"),
            "https://t.example/p?cid=a%20b&Token=[redacted]&x=1#f"
        );
        assert_eq!(redact_url("https://u:p@t.example/p?x=1"), "https://u:redacted@t.example/p?x=1");
        assert_eq!(redact_url("not a url"), "not a url");
    }

    #[test]
    fn headers_that_name_the_sender_are_replaced() {
        for secret in ["Authorization", "x-api-key", "Cookie", "webhook-signature", "X-Auth-Token", "Api-Key"]
        {
            let shown = redact_headers(&[(secret.to_owned(), "s3cret".to_owned())]);
            assert_eq!(shown, [(secret.to_owned(), REDACTED.to_owned())]);
        }
        let plain = [("content-type".to_owned(), "application/json".to_owned())];
        assert_eq!(redact_headers(&plain), plain);
    }

    #[test]
    fn bodies_are_shown_without_secrets_and_cut() {
        assert_eq!(redact_body("a=1&token=abc&b=2", 100), "a=1&token=[redacted]&b=2");
        assert_eq!(
            redact_body(r#"{"a": 1, "deep": [{"secret": "abc"}]}"#, 100),
            r#"{"a":1,"deep":[{"secret":"[redacted]"}]}"#
        );
        // Nothing to hide: as it was written.
        assert_eq!(redact_body(r#"{"a": 1}"#, 100), r#"{"a": 1}"#);
        assert_eq!(redact_body("äöü", 3), "ä");
        assert_eq!(redact_body("", 3), "");
    }
}
