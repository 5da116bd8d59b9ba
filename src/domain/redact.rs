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

/// Whether a secret can be looked for in what somebody else has written: short ones are in any text.
pub fn is_long_enough_to_be_found(secret: &str) -> bool {
    secret.chars().count() >= 6
}

/// The secrets in a request's query and headers, as they are written and as they may be repeated.
pub fn secret_values(url: &str, headers: &[(String, String)]) -> Vec<String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let of_query =
        query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(name, _)| is_secret(name));
    let decoded = |value: &str| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
    let of_query = of_query.flat_map(|(_, value)| [value.to_owned(), decoded(value)]);
    let of_headers = headers.iter().filter(|(name, _)| is_secret_header(name));
    // `Bearer s3cret` may be repeated without its scheme.
    let of_headers = of_headers.flat_map(|(_, value)| {
        let bare = value.rsplit(' ').next().unwrap_or_default();
        [value.clone(), bare.to_owned()]
    });
    let mut values: Vec<String> =
        of_query.chain(of_headers).filter(|value| is_long_enough_to_be_found(value)).collect();
    // The longer first: what holds another is replaced as a whole.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.dedup();
    values
}

/// Parts of names, in lower case, that mark a header as secret whatever else it is called.
const SECRET_HEADER_PARTS: &[&str] =
    &["auth", "cookie", "credential", "key", "passw", "secret", "session", "signature", "token"];

/// Whether a header's value is one, by its name.
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_lowercase();
    is_secret(&name) || SECRET_HEADER_PARTS.iter().any(|part| name.contains(part))
}

/// Headers with the values of secret ones replaced: those that name the sender, and signatures.
pub fn redact_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let shown =
        |name: &str, value: &String| if is_secret_header(name) { REDACTED.to_owned() } else { value.clone() };
    headers.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// A body's first `most_bytes`, with the values of secret fields replaced where it is a form or
/// JSON, also with macros in it or cut short; any other text stays as it is.
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
            Err(_) if body.contains('"') => redact_members(body),
            // A form whose first name is a macro.
            Err(_) => redact_pairs(body),
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

/// JSON that cannot be read, such as a template with macros for values: what stands behind each
/// secret name is replaced, up to where it ends; the rest stays as it was written. A string that
/// is not closed is secret to the end.
fn redact_members(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let length = string_bytes(&rest[start..]);
        let (before, behind) = rest.split_at(start + length);
        shown.push_str(before);
        rest = behind;
        let written = &before[start..];
        let name = serde_json::from_str(written).unwrap_or_else(|_| written.trim_matches('"').to_owned());
        let Some(value) = behind.trim_start().strip_prefix(':').map(str::trim_start) else { continue };
        if !is_secret(&name) {
            continue;
        }
        let (gap, value) = behind.split_at(behind.len() - value.len());
        let length = value_bytes(value);
        shown.push_str(gap);
        if length > 0 {
            shown.push_str(&format!("\"{REDACTED}\""));
        }
        rest = &value[length..];
    }
    shown + rest
}

/// Bytes of the string a text begins with, its quotes included.
fn string_bytes(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Bytes of the JSON value or macro a text begins with, without blanks behind it.
fn value_bytes(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => {
                at += string_bytes(&text[at..]);
                continue;
            }
            // An argument of a macro's filter.
            b'\'' if depth > 0 => {
                at += text[at + 1..].find('\'').map_or(text.len() - at, |end| end + 2);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' if depth == 0 => break,
            b'}' | b']' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => break,
            },
            _ => {}
        }
        at += 1;
    }
    text[..at].trim_end().len()
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
    use proptest::prelude::*;

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
    fn what_may_be_repeated_is_known_however_it_is_written() {
        let headers =
            [("Authorization", "Bearer s3cret-token"), ("X-Api-Key", "short"), ("Accept", "text/html")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let values = secret_values(
            "https://t.example/p?cid=1234567&Token=a%20b%2Fcdef&key=1#&token=fragment",
            &headers,
        );
        assert_eq!(values, ["Bearer s3cret-token", "a%20b%2Fcdef", "s3cret-token", "a b/cdef"]);
        assert_eq!(secret_values("https://t.example/p", &[]), [""; 0]);
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
        // A template, and a body that was cut.
        for (body, expected) in [
            (
                r#"{"id": {clickid}, "Token" : "a\"b{sub1}", "x": "{sub1|default:"}"#,
                r#"{"id": {clickid}, "Token" : "[redacted]", "x": "{sub1|default:"}"#,
            ),
            (r#"{"key":{sub1|map:a=b,c=d},"n":{payout}}"#, r#"{"key":"[redacted]","n":{payout}}"#),
            (r#"[{"auth": {"user": [1, "}"]} , "n": {x}}]"#, r#"[{"auth": "[redacted]" , "n": {x}}]"#),
            (r#"{"n": {x}, "to\u006ben": 12"#, r#"{"n": {x}, "to\u006ben": "[redacted]""#),
            (r#"{"n": {x}, "secret": "ab"#, r#"{"n": {x}, "secret": "[redacted]""#),
            (r#"{"n": {x}, "a": "token", "key""#, r#"{"n": {x}, "a": "token", "key""#),
            (r#"{"key": {sub1|default:'a}b'}, "n": {x}}"#, r#"{"key": "[redacted]", "n": {x}}"#),
            ("{fields.a}=1&token={sub1}", "{fields.a}=1&token=[redacted]"),
            (r#"{"n": {x}, "key": }"#, r#"{"n": {x}, "key": }"#),
        ] {
            assert_eq!(redact_body(body, 200), expected);
        }
        // Nothing to hide: as it was written.
        assert_eq!(redact_body(r#"{"a": 1}"#, 100), r#"{"a": 1}"#);
        assert_eq!(redact_body("äöü", 3), "ä");
        assert_eq!(redact_body("", 3), "");
    }

    proptest! {
        /// Whatever stands around it, and wherever the text is cut.
        #[test]
        fn a_secret_of_a_template_is_never_shown(
            before in r#"[a-z0-9 {}\[\],:|]{0,12}"#,
            name in prop::sample::select(vec!["token", "API_KEY", "secret"]),
            between in "[ \n]{0,2}:[ \n]{0,2}",
            wrap in prop::sample::select(vec![("\"", "\""), ("\"\\\"", "\""), ("", ""), ("[1, ", "]"), ("{\"a\": \"", "\"}")]),
            after in r#"[a-z0-9 {}\[\],:|"\\]{0,12}"#,
            cut in 0usize..12,
        ) {
            let body = format!("{{\"n\": {{x}}, {before}\"{name}\"{between}{}HIDDEN{}{after}", wrap.0, wrap.1);
            let cut = body.floor_char_boundary(body.len().saturating_sub(cut));
            prop_assert!(!redact_body(&body[..cut], 500).contains("HIDDEN"), "{}", body);
        }

        #[test]
        fn what_has_no_secret_name_stays(body in r#"\{[a-z"\\{}\[\]:, äö]{0,40}"#) {
            let is_plain = !SECRET_NAMES.iter().any(|name| body.contains(name));
            if is_plain {
                prop_assert_eq!(redact_body(&body, 500), body);
            }
        }
    }
}
