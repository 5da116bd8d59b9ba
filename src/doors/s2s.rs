//! `GET|POST /{api_key}/s2s`: one conversion as query string, form or JSON (HOQU-compatible).

use std::time::Instant;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use super::access::{self, Body, Credential};
use super::answer;
use super::limits::BODY_BYTES;
use super::request::{parameters, take_strict, wanted_manner};
use crate::app::Doors;
use crate::domain::access::replay::Proof;
use crate::domain::completion::Completion;
use crate::domain::fields;
use crate::domain::ids::InboundId;
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::Verdict;
use crate::pipeline::inbound::{Asked, InboundRecord};

pub async fn receive(request: HttpRequest, payload: Payload, doors: Data<Doors>) -> HttpResponse {
    let started = Instant::now();
    let api_key = request.match_info().get("api_key").unwrap_or_default();
    let body = Body::Whole { payload, most_bytes: BODY_BYTES };
    let entry = access::admit(&doors, &request, body, Credential::ApiKey(api_key)).await;
    let mut manner = wanted_manner(request.headers());
    let read = parameters(&request, &entry.body).map_err(Verdict::Malformed).and_then(|mut parameters| {
        let strict = take_strict(&mut parameters).map_err(|error| Verdict::Invalid(vec![error]))?;
        manner = strict.unwrap_or(manner);
        Ok(parameters)
    });
    let shown = read.as_ref().map(|read| redact_parameters(read)).unwrap_or_default();
    let mut inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: doors.services.now(),
        door: "s2s",
        method: request.method().to_string(),
        source_ip: entry.source_ip,
        advertiser_id: entry.advertiser_id,
        parameters: shown,
        manner,
        proof: Proof::default(),
    };
    let asked = match (entry.result, read) {
        (Err(refused), _) | (Ok(_), Err(refused)) => Asked::Refused(refused),
        (Ok(admitted), Ok(parameters)) => {
            let parameters = admitted.without_signature(parameters);
            inbound.proof = admitted.proof;
            Asked::Conversion(Box::new(fields::read(&parameters, Completion::AsSent)))
        }
    };
    let answer = answer::of_result(manner, doors.lanes.submit(inbound, asked).await);
    metrics::histogram!("ricochet_accept_seconds").record(started.elapsed());
    answer
}
