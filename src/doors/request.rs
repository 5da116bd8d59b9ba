//! Reads parameters out of a request: query string, form or JSON object.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::verdict::FieldError;

/// Longest body of a single conversion, in bytes.
pub const BODY_BYTES: usize = 64 * 1024;
/// Most parameters of one request.
pub(super) const PARAMETERS: usize = 200;

pub type Parameters = Vec<(String, String)>;

/// The parameters of the query string followed by those of the body.
pub fn parameters(request: &HttpRequest, body: &[u8]) -> Result<Parameters, FieldError> {
    let mut parameters = form(request.query_string().as_bytes(), "query")?;
    if !body.is_empty() {
        parameters.extend(match content_type(request.headers()) {
            "application/json" => json_object(body)?,
            "application/x-www-form-urlencoded" | "" => form(body, "body")?,
            other => {
                let message =
                    format!("{other} is not read here; send application/json or a URL-encoded form");
                return Err(FieldError::new("content-type", "unsupported_content_type", message));
            }
        });
    }
    if parameters.len() > PARAMETERS {
        return Err(FieldError::new("query", "too_many_parameters", "send at most 200 parameters"));
    }
    Ok(parameters)
}

pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Reads a URL-encoded form. Escapes that are not UTF-8 are refused rather than replaced: a
/// replaced click id would match nothing, and nobody would know why.
pub(super) fn form(text: &[u8], field: &str) -> Result<Parameters, FieldError> {
    let not_utf8 = || FieldError::new(field, "invalid_encoding", "percent-encode parameters as UTF-8");
    let decode = |part: &[u8]| -> Result<String, FieldError> {
        let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let decoded: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
        String::from_utf8(decoded).map_err(|_| not_utf8())
    };
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            Ok((name, value))
        })
        .collect()
}

/// Reads a flat JSON object; only `fields` may hold another one, of custom fields. Numbers stay
/// as they were written: `25.00` is not `25`.
fn json_object(body: &[u8]) -> Result<Parameters, FieldError> {
    let mut parameters = Vec::new();
    for (name, value) in members(body)? {
        if name == "fields" && value.get().starts_with('{') {
            for (name, value) in members(value.get().as_bytes())? {
                parameters.extend(parameter(name, &value)?);
            }
        } else {
            parameters.extend(parameter(name, &value)?);
        }
    }
    Ok(parameters)
}

/// A member as a parameter; `null` is as good as absent.
fn parameter(name: String, value: &RawValue) -> Result<Option<(String, String)>, FieldError> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => Ok(Some((name, serde_json::from_str(text).map_err(invalid_json)?))),
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') => {
            Err(FieldError::new(&name, "nested_value", "send a text, a number or true/false here"))
        }
        _ => Ok(Some((name, text.to_owned()))),
    }
}

pub(super) fn members(object: &[u8]) -> Result<Vec<(String, Box<RawValue>)>, FieldError> {
    serde_json::from_slice::<Members>(object).map(|members| members.0).map_err(invalid_json)
}

pub(super) fn invalid_json(error: serde_json::Error) -> FieldError {
    let message = format!("send one JSON object, such as {{\"click_id\":\"…\"}}: {error}");
    FieldError::new("body", "invalid_json", message)
}

/// The members of an object in their order, repeated names included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Members;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// The peer's address, with IPv4 written as such.
pub fn source_ip(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_null_is_absent() {
        let read =
            json_object(br#"{"amount":25.00,"clickid":"a\u00fc","test":true,"x":null,"fields":{"u":7}}"#);
        let expected = [("amount", "25.00"), ("clickid", "aü"), ("test", "true"), ("u", "7")];
        assert_eq!(read.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(json_object(b"[1]").unwrap_err().code, "invalid_json");
        assert_eq!(json_object(br#"{"a":[1]}"#).unwrap_err().field, "a");
        assert_eq!(form(b"a=%ff", "query").unwrap_err().code, "invalid_encoding");
        let deep = format!("{{\"fields\":{}1{}}}", "{\"fields\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(json_object(deep.as_bytes()).unwrap_err().field, "fields");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = json_object(&body);
            let _ = form(&body, "body");
        }

        #[test]
        fn forms_come_back_as_they_were_sent(pairs in proptest::collection::vec(("[^\0]{1,20}", ".{0,20}"), 0..8)) {
            let encoded = serde_urlencoded::to_string(&pairs).unwrap();
            prop_assert_eq!(form(encoded.as_bytes(), "query").unwrap(), pairs);
        }
    }
}
