//! `GET|POST /{api_key}/s2s`: one conversion as query string, form or JSON (HOQU-compatible).

use std::time::Instant;

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use super::answer;
use super::request::{parameters, source_ip};
use crate::app::Doors;
use crate::domain::completion::Completion;
use crate::domain::fields;
use crate::domain::ids::InboundId;
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::{Manner, Verdict};
use crate::pipeline::inbound::{Asked, InboundRecord};

pub async fn receive(
    request: HttpRequest,
    api_key: Path<String>,
    body: Bytes,
    doors: Data<Doors>,
) -> HttpResponse {
    let started = Instant::now();
    let advertiser_id = doors.services.catalogue().advertiser_by_key(&api_key);
    let read = parameters(&request, &body);
    let shown = read.as_ref().map(|read| redact_parameters(read)).unwrap_or_default();
    let inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: doors.services.now(),
        door: "s2s",
        method: request.method().to_string(),
        source_ip: source_ip(&request),
        advertiser_id,
        parameters: shown,
        manner: Manner::Usual,
    };
    let asked = match (advertiser_id, read) {
        (None, _) => Asked::Refused(Verdict::UnknownKey),
        (Some(_), Err(error)) => Asked::Refused(Verdict::Malformed(error)),
        (Some(_), Ok(parameters)) => {
            Asked::Conversion(Box::new(fields::read(&parameters, Completion::AsSent)))
        }
    };
    let answer = answer::of_result(Manner::Usual, doors.lanes.submit(inbound, asked).await);
    metrics::histogram!("ricochet_accept_seconds").record(started.elapsed());
    answer
}
