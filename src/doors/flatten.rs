//! Reads the parameters of a foreign system: nested JSON becomes dotted names, so that a map can
//! say `{data.amount}` or `{items.0.id}`.

use actix_web::HttpRequest;
use serde_json::value::RawValue;

use super::limits::PARAMETERS;
use super::request::{Parameters, content_type, form, invalid_json, members};
use crate::domain::verdict::FieldError;

/// Deepest nesting that is read.
const DEPTH: usize = 16;

/// The parameters of the query string followed by those of the body, which is JSON where it
/// says so or looks so: many senders forget to say.
pub fn parameters(request: &HttpRequest, body: &[u8]) -> Result<Parameters, FieldError> {
    let mut parameters = form(request.query_string().as_bytes(), "query")?;
    let content_type = content_type(request.headers());
    let is_json = content_type.ends_with("json") || body.trim_ascii_start().starts_with(b"{");
    match content_type.as_str() {
        _ if body.trim_ascii().is_empty() => {}
        _ if is_json => flatten_members(body, "", 0, &mut parameters)?,
        "application/x-www-form-urlencoded" | "text/plain" | "" => parameters.extend(form(body, "body")?),
        other => {
            let message = format!("{other} is not read here; send JSON or a URL-encoded form");
            return Err(FieldError::new("content-type", "unsupported_content_type", message));
        }
    }
    if parameters.len() > PARAMETERS {
        return Err(too_many());
    }
    Ok(parameters)
}

fn flatten_members(
    object: &[u8],
    prefix: &str,
    depth: usize,
    into: &mut Parameters,
) -> Result<(), FieldError> {
    for (name, value) in members(object)? {
        flatten(format!("{prefix}{name}"), &value, depth, into)?;
    }
    Ok(())
}

fn flatten(name: String, value: &RawValue, depth: usize, into: &mut Parameters) -> Result<(), FieldError> {
    if depth >= DEPTH {
        return Err(FieldError::new(&name, "nested_too_deep", "send JSON of at most 16 levels"));
    }
    if into.len() > PARAMETERS {
        return Err(too_many());
    }
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => flatten_members(text.as_bytes(), &format!("{name}."), depth + 1, into)?,
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(invalid_json)?;
            for (index, item) in items.iter().enumerate() {
                flatten(format!("{name}.{index}"), item, depth + 1, into)?;
            }
        }
        Some(b'"') => into.push((name, serde_json::from_str(text).map_err(invalid_json)?)),
        // `null` is as good as absent; numbers keep their digits.
        Some(b'n') => {}
        _ => into.push((name, text.to_owned())),
    }
    Ok(())
}

fn too_many() -> FieldError {
    FieldError::new("query", "too_many_parameters", "send at most 200 parameters")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flattened(body: &[u8]) -> Result<Parameters, FieldError> {
        let mut parameters = Vec::new();
        flatten_members(body, "", 0, &mut parameters).map(|()| parameters)
    }

    #[test]
    fn nested_values_get_dotted_names_and_keep_their_digits() {
        let read =
            flattened(br#"{"data":{"amount":25.00,"ids":[{"id":"a"},7]},"x":null,"ok":true}"#).unwrap();
        let expected =
            [("data.amount", "25.00"), ("data.ids.0.id", "a"), ("data.ids.1", "7"), ("ok", "true")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_refused() {
        let deep = format!("{}1{}", "{\"a\":".repeat(17), "}".repeat(17));
        assert_eq!(flattened(deep.as_bytes()).unwrap_err().code, "nested_too_deep");
        let much = format!("{{\"a\":[{}1]}}", "1,".repeat(300));
        assert_eq!(flattened(much.as_bytes()).unwrap_err().code, "too_many_parameters");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = flattened(&body);
        }
    }
}
