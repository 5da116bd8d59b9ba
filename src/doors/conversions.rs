//! `POST /api/v1/conversions`: one conversion, an array of them, or a stream of lines.
//!
//! ```text
//! body ─► array │ lines ─► conveyor ─► lanes ═ commit ─► results, in the order of the items
//! ```
//!
//! The key is checked before the body is read. Each item is a request of its own in the inbound
//! log; whatever is wrong with one of them is that one's result and nobody else's.

mod array;
mod conveyor;
mod lines;

use std::pin::Pin;
use std::time::Instant;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;

pub use self::array::items as array_items;
use self::conveyor::{Conveyor, ItemResult};
use super::access::{self, Admitted, Body, Credential};
use super::answer;
use super::limits::BODY_BYTES;
use super::request::{
    Parameters, bearer_key, content_type, flat_object, of_query, take_strict, too_large, unsupported,
    wanted_manner,
};
use crate::app::Doors;
use crate::domain::access::replay::Proof;
use crate::domain::completion::Completion;
use crate::domain::fields;
use crate::domain::verdict::{FieldError, Manner, Verdict};
use crate::pipeline::inbound::{Asked, InboundRecord};

/// Most items of an array. Also as many answers of a stream wait for a slow reader, so a sender
/// that reads nothing before it has sent everything gets as far with lines as with an array.
pub const ARRAY_ITEMS: usize = 10_000;
/// Longest array body, in bytes.
pub const ARRAY_BYTES: usize = 16 * 1024 * 1024;

pub async fn receive(request: HttpRequest, payload: Payload, doors: Data<Doors>) -> HttpResponse {
    let started = Instant::now();
    let credential = bearer_key(request.headers()).map_or(Credential::None, Credential::ApiKey);
    let is_streamed = has_lines(&request) && !access::verifies_bodies(&doors, credential);
    // A body that has to be verified is held whole; lines that have not are read as they come.
    let (body, lines) = match is_streamed {
        true => (Body::Unread, Some(payload)),
        false => (Body::Whole { payload, most_bytes: ARRAY_BYTES }, None),
    };
    let entry = access::admit(&doors, &request, body, credential).await;
    let mut common = of_query(&request).unwrap_or_default();
    // A fault in it is told when the request is read.
    let manner = take_strict(&mut common).ok().flatten().unwrap_or(wanted_manner(request.headers()));
    let mut conveyor = Conveyor {
        doors: doors.clone(),
        method: request.method().to_string(),
        source_ip: entry.source_ip,
        advertiser_id: entry.advertiser_id,
        manner,
        common,
        proof: Proof::default(),
    };
    let content = entry.result.and_then(|admitted: Admitted| {
        conveyor.common = admitted.without_signature(std::mem::take(&mut conveyor.common));
        conveyor.proof = admitted.proof;
        read(&request, entry.body, lines)
    });
    let answer = match content {
        Err(refused) => conveyor.refuse(refused).await,
        Ok(Content::One(parameters)) => one(&conveyor, parameters).await,
        Ok(Content::Array(items)) => array(conveyor, items).await,
        Ok(Content::Lines(lines)) => stream_of_lines(conveyor, lines).await,
    };
    metrics::histogram!("ricochet_accept_seconds").record(started.elapsed());
    answer
}

fn has_lines(request: &HttpRequest) -> bool {
    let types = ["application/x-ndjson", "application/ndjson", "application/jsonl"];
    types.contains(&content_type(request.headers()).as_str())
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

enum Content {
    One(Parameters),
    /// Each item's bytes.
    Array(Vec<Bytes>),
    Lines(Chunks),
}

/// Reads the body as far as it is read at once; `unread` is a stream that was let in unread.
fn read(request: &HttpRequest, body: Bytes, unread: Option<Payload>) -> Result<Content, Verdict> {
    let mut query = of_query(request).map_err(Verdict::Malformed)?;
    take_strict(&mut query).map_err(|error| Verdict::Invalid(vec![error]))?;
    if let Some(payload) = unread {
        return Ok(Content::Lines(Box::pin(payload)));
    }
    if has_lines(request) {
        return Ok(Content::Lines(Box::pin(stream::iter([Ok(body)]))));
    }
    match content_type(request.headers()).as_str() {
        "application/json" | "" => {}
        other => {
            return Err(Verdict::Malformed(unsupported(other, "application/json or application/x-ndjson")));
        }
    }
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let items = array::items(&body).map_err(Verdict::Malformed)?;
        if items.len() > ARRAY_ITEMS {
            let message = "send at most 10000 items at once, or any number as application/x-ndjson";
            return Err(Verdict::TooLarge(FieldError::new("body", "too_many_items", message)));
        }
        return Ok(Content::Array(items));
    }
    if body.len() > BODY_BYTES {
        return Err(Verdict::TooLarge(too_large("body")));
    }
    flat_object(&body).map(Content::One).map_err(Verdict::Malformed)
}

async fn one(conveyor: &Conveyor, parameters: Parameters) -> HttpResponse {
    let (inbound, asked) = conveyor.submission(Ok(parameters));
    let manner = inbound.manner;
    answer::of_result(manner, conveyor.doors.lanes.submit(inbound, asked).await)
}

/// 200 with a result for each item; 503 where at least one of them was not recorded, so that a
/// sender who looks at nothing else sends the array again. Those recorded are duplicates then.
async fn array(conveyor: Conveyor, items: Vec<Bytes>) -> HttpResponse {
    let items = stream::iter(items.into_iter().map(|item| item_of(&item)));
    let results: Vec<ItemResult> = conveyor.convey(items).collect().await;
    let is_durable = results.iter().all(|result| result.status != 503);
    let bodies: Vec<Value> = results.into_iter().map(|result| result.body).collect();
    if is_durable {
        return HttpResponse::Ok().json(bodies);
    }
    HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, answer::RETRY_AFTER_S)).json(bodies)
}

/// Answers while it reads. The head waits for the first result: where that one could not be
/// recorded, nothing can, and the status says so.
async fn stream_of_lines(conveyor: Conveyor, payload: Chunks) -> HttpResponse {
    let items = lines::lines(payload, BODY_BYTES).map(|line| line.and_then(|line| item_of(&line)));
    // Fused: looked at for its first result, it may have ended before the rest is asked for.
    let mut results = Box::pin(conveyor.convey(items).fuse());
    let first = results.next().await;
    let status = match &first {
        Some(result) if result.status == 503 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let lines = stream::iter(first).chain(results).map(|result| {
        let mut line = result.body.to_string();
        line.push('\n');
        Ok::<_, actix_web::Error>(Bytes::from(line))
    });
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.insert_header((RETRY_AFTER, answer::RETRY_AFTER_S));
    }
    answer.content_type("application/x-ndjson").streaming(lines)
}

fn item_of(item: &[u8]) -> Result<Parameters, FieldError> {
    if item.len() > BODY_BYTES {
        return Err(too_large("item"));
    }
    flat_object(item)
}

impl Conveyor {
    async fn refuse(&self, verdict: Verdict) -> HttpResponse {
        let result = self.doors.lanes.submit(self.record(Manner::Usual, &[]), Asked::Refused(verdict)).await;
        answer::of_result(Manner::Usual, result)
    }

    /// What one item comes to at the lanes.
    fn submission(&self, item: Result<Parameters, FieldError>) -> (InboundRecord, Asked) {
        let mut parameters = self.common.clone();
        let read = item.and_then(|own| {
            parameters.extend(own);
            Ok(take_strict(&mut parameters)?.unwrap_or(self.manner))
        });
        let manner = read.as_ref().copied().unwrap_or(self.manner);
        let asked = match read {
            Err(error) => Asked::Refused(Verdict::Malformed(error)),
            Ok(_) => Asked::Conversion(Box::new(fields::read(&parameters, Completion::Defaults))),
        };
        (self.record(manner, &parameters), asked)
    }
}
