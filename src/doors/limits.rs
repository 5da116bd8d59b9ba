//! The bounds of a request: what is more than this is refused, in our own words, and never a 5xx.
//!
//! Before these, actix-web itself refuses heads of more than 96 headers or 128 KiB. JSON needs no
//! depth of its own: a door takes objects whose only nesting is `fields`, and skips the rest
//! without recursion.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

use crate::domain::access::denial::Denial;
use crate::domain::verdict::{FieldError, Verdict};

/// Longest body of a single conversion, in bytes.
pub const BODY_BYTES: usize = 64 * 1024;
/// Longest query string, in bytes.
const QUERY_BYTES: usize = 16 * 1024;
/// Most parameters of one request.
pub const PARAMETERS: usize = 200;
/// Most headers, and their longest names and values together, in bytes.
const HEADERS: usize = 80;
const HEADER_BYTES: usize = 32 * 1024;
/// How much of a body that is too large is read and dropped, in bytes: a sender that is cut off
/// while it writes often never reads the answer.
const DROPPED_BYTES: usize = 1024 * 1024;

/// Judges what came before the body.
pub fn check_head(request: &HttpRequest) -> Result<(), Denial> {
    if request.query_string().len() > QUERY_BYTES {
        return Err(Denial::LongQuery { most_bytes: QUERY_BYTES });
    }
    let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if request.headers().len() > HEADERS || bytes > HEADER_BYTES {
        return Err(Denial::LargeHead { most_headers: HEADERS, most_bytes: HEADER_BYTES });
    }
    Ok(())
}

/// Reads a body of at most `most_bytes` that arrives within `timeout`.
pub async fn read_body(payload: Payload, most_bytes: usize, timeout: Duration) -> Result<Bytes, Verdict> {
    let read = tokio::time::timeout(timeout, gather(payload, most_bytes)).await;
    read.unwrap_or(Err(Verdict::Denied(Denial::SlowBody)))
}

async fn gather(mut payload: Payload, most_bytes: usize) -> Result<Bytes, Verdict> {
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            let message = format!("the body broke off or is not as its headers say: {error}");
            Verdict::Malformed(FieldError::new("body", "broken_body", message))
        })?;
        length += chunk.len();
        if length <= most_bytes {
            body.extend_from_slice(&chunk);
        } else if length > most_bytes + DROPPED_BYTES {
            break;
        }
    }
    if length > most_bytes {
        let message = format!("the body has at most {most_bytes} bytes; send less at once");
        return Err(Verdict::TooLarge(FieldError::new("body", "too_large", message)));
    }
    Ok(body.freeze())
}
