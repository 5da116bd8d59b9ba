//! Reads a request: its parameters (query string, form or JSON object), its key, its wishes.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, X_FORWARDED_FOR};
use actix_web::web::Data;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::limits::PARAMETERS;
use crate::app::Doors;
use crate::domain::access::allowlist::Allowlist;
use crate::domain::access::forwarded;
use crate::domain::verdict::{FieldError, Manner};

pub type Parameters = Vec<(String, String)>;

/// The parameters of the query string followed by those of the body.
pub fn parameters(request: &HttpRequest, body: &[u8]) -> Result<Parameters, FieldError> {
    let mut parameters = of_query(request)?;
    if !body.is_empty() {
        parameters.extend(match content_type(request.headers()).as_str() {
            "application/json" => flat_object(body)?,
            "application/x-www-form-urlencoded" | "" => form(body, "body")?,
            other => return Err(unsupported(other, "application/json or a URL-encoded form")),
        });
    }
    few(parameters)
}

/// The parameters of the query string alone.
pub fn of_query(request: &HttpRequest) -> Result<Parameters, FieldError> {
    few(form(request.query_string().as_bytes(), "query")?)
}

fn few(parameters: Parameters) -> Result<Parameters, FieldError> {
    if parameters.len() > PARAMETERS {
        let message = format!("send at most {PARAMETERS} parameters");
        return Err(FieldError::new("query", "too_many_parameters", message));
    }
    Ok(parameters)
}

/// The media type in lower case, without its parameters.
pub fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub fn unsupported(content_type: &str, supported: &str) -> FieldError {
    let message = format!("{content_type} is not read here; send {supported}");
    FieldError::new("content-type", "unsupported_content_type", message)
}

pub fn too_large(field: &str) -> FieldError {
    FieldError::new(field, "too_large", "one conversion has at most 64 KiB")
}

/// The key in `Authorization: Bearer {key}`.
pub fn bearer_key(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// What `Prefer: handling=strict` (RFC 7240) asks for.
pub fn wanted_manner(headers: &HeaderMap) -> Manner {
    let wishes = headers.get_all("prefer").filter_map(|value| value.to_str().ok());
    let is_strict = |wish: &str| {
        let wish: String = wish.split(';').next().unwrap_or_default().split_whitespace().collect();
        wish.replace('"', "").eq_ignore_ascii_case("handling=strict")
    };
    match wishes.flat_map(|value| value.split(',')).any(is_strict) {
        true => Manner::Strict,
        false => Manner::Usual,
    }
}

/// Takes the parameter `strict` out; `None` where there is none.
pub fn take_strict(parameters: &mut Parameters) -> Result<Option<Manner>, FieldError> {
    let mut manner = None;
    let mut is_faulty = false;
    parameters.retain(|(name, value)| {
        if !name.eq_ignore_ascii_case("strict") {
            return true;
        }
        match value.trim().to_lowercase().as_str() {
            "1" | "true" => manner = Some(Manner::Strict),
            "" | "0" | "false" => manner = manner.or(Some(Manner::Usual)),
            _ => is_faulty = true,
        }
        false
    });
    if is_faulty {
        let message = "send strict=1 to have conflicts answered with 409, or leave it out";
        return Err(FieldError::new("strict", "invalid_flag", message));
    }
    Ok(manner)
}

/// Reads a URL-encoded form. Escapes that are not UTF-8 are refused rather than replaced: a
/// replaced click id would match nothing, and nobody would know why.
pub fn form(text: &[u8], field: &str) -> Result<Parameters, FieldError> {
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
pub fn flat_object(body: &[u8]) -> Result<Parameters, FieldError> {
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
    few(parameters)
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

/// Where a request came from, past our own proxies, with IPv4 written as such. Every use of a
/// source's address, from allowlists to clicks, is of this one.
pub fn source_ip(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let lines = request.headers().get_all(X_FORWARDED_FOR).map(|line| line.to_str().unwrap_or_default());
    let lines: Vec<&str> = lines.collect();
    Some(forwarded::source(peer, lines.into_iter(), trusted_proxies(request)))
}

/// Whether the peer is one of our own proxies, whose headers about the visitor are believed.
pub fn is_from_trusted_proxy(request: &HttpRequest) -> bool {
    request.peer_addr().is_some_and(|peer| forwarded::is_trusted(peer.ip(), trusted_proxies(request)))
}

fn trusted_proxies(request: &HttpRequest) -> &Allowlist {
    static NOBODY: Allowlist = Allowlist::nowhere();
    request.app_data::<Data<Doors>>().map_or(&NOBODY, |doors| &doors.gate.trusted_proxies)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_null_is_absent() {
        let read =
            flat_object(br#"{"amount":25.00,"clickid":"a\u00fc","test":true,"x":null,"fields":{"u":7}}"#);
        let expected = [("amount", "25.00"), ("clickid", "aü"), ("test", "true"), ("u", "7")];
        assert_eq!(read.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(flat_object(b"[1]").unwrap_err().code, "invalid_json");
        assert_eq!(flat_object(br#"{"a":[1]}"#).unwrap_err().field, "a");
        assert_eq!(form(b"a=%ff", "query").unwrap_err().code, "invalid_encoding");
        let deep = format!("{{\"fields\":{}1{}}}", "{\"fields\":".repeat(10_000), "}".repeat(10_000));
        assert_eq!(flat_object(deep.as_bytes()).unwrap_err().field, "fields");
    }

    #[test]
    fn strict_handling_is_asked_for_by_header_or_parameter() {
        let manner = |wish: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer".parse().unwrap(), wish.parse().unwrap());
            wanted_manner(&headers)
        };
        assert_eq!(manner("respond-async, Handling = \"strict\"; x=1"), Manner::Strict);
        assert_eq!(manner("handling=lenient"), Manner::Usual);
        let mut parameters = form(b"a=1&strict=true&b=2", "query").unwrap();
        assert_eq!(take_strict(&mut parameters), Ok(Some(Manner::Strict)));
        assert_eq!(parameters.len(), 2);
        assert_eq!(take_strict(&mut parameters), Ok(None));
        assert_eq!(take_strict(&mut form(b"strict=maybe", "query").unwrap()).unwrap_err().field, "strict");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = flat_object(&body);
            let _ = form(&body, "body");
        }

        #[test]
        fn forms_come_back_as_they_were_sent(pairs in proptest::collection::vec(("[^\0]{1,20}", ".{0,20}"), 0..8)) {
            let encoded = serde_urlencoded::to_string(&pairs).unwrap();
            prop_assert_eq!(form(encoded.as_bytes(), "query").unwrap(), pairs);
        }
    }
}
