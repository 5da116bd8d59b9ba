//! Keeps secrets out of logs.

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
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={REDACTED}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{}?{}{fragment}", redact_password(before), pairs.join("&"))
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
}
