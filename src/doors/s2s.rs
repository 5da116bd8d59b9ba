//! `GET|POST /{api_key}/s2s`: one conversion as query string, form or JSON (HOQU-compatible).

use std::time::Instant;

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use super::answer;
use super::request::{parameters, source_ip, take_strict, wanted_manner, whole_body};
use crate::app::Doors;
use crate::domain::completion::Completion;
use crate::domain::fields;
use crate::domain::ids::InboundId;
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::Verdict;
use crate::pipeline::inbound::{Asked, InboundRecord};

pub async fn receive(
    request: HttpRequest,
    api_key: Path<String>,
    body: Result<Bytes, actix_web::Error>,
    doors: Data<Doors>,
) -> HttpResponse {
    let started = Instant::now();
    let advertiser_id = doors.services.catalogue().advertiser_by_key(&api_key);
    let mut manner = wanted_manner(request.headers());
    let read = whole_body(body).and_then(|body| {
        let mut parameters = parameters(&request, &body).map_err(Verdict::Malformed)?;
        let strict = take_strict(&mut parameters).map_err(|error| Verdict::Invalid(vec![error]))?;
        manner = strict.unwrap_or(manner);
        Ok(parameters)
    });
    let shown = read.as_ref().map(|read| redact_parameters(read)).unwrap_or_default();
    let inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: doors.services.now(),
        door: "s2s",
        method: request.method().to_string(),
        source_ip: source_ip(&request),
        advertiser_id,
        parameters: shown,
        manner,
    };
    let asked = match (advertiser_id, read) {
        (None, _) => Asked::Refused(Verdict::UnknownKey),
        (Some(_), Err(refused)) => Asked::Refused(refused),
        (Some(_), Ok(parameters)) => {
            Asked::Conversion(Box::new(fields::read(&parameters, Completion::AsSent)))
        }
    };
    let answer = answer::of_result(manner, doors.lanes.submit(inbound, asked).await);
    metrics::histogram!("ricochet_accept_seconds").record(started.elapsed());
    answer
}
