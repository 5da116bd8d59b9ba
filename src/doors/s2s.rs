//! `GET|POST /{api_key}/s2s`: one conversion as query string, form or JSON (HOQU-compatible).

use std::time::Instant;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use super::access::{self, Credential};
use super::answer;
use super::limits::BODY_BYTES;
use super::request::parameters;
use crate::app::Doors;
use crate::domain::access::replay::Proof;
use crate::domain::fields;
use crate::domain::ids::InboundId;
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::Verdict;
use crate::pipeline::inbound::{Asked, InboundRecord};

pub async fn receive(request: HttpRequest, payload: Payload, doors: Data<Doors>) -> HttpResponse {
    let started = Instant::now();
    let api_key = request.match_info().get("api_key").unwrap_or_default();
    let entry = access::admit(&doors, &request, payload, BODY_BYTES, Credential::ApiKey(api_key)).await;
    let read = parameters(&request, &entry.body);
    let shown = read.as_ref().map(|read| redact_parameters(read)).unwrap_or_default();
    let mut inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: doors.services.now(),
        door: "s2s",
        method: request.method().to_string(),
        source_ip: entry.source_ip,
        advertiser_id: entry.advertiser_id,
        parameters: shown,
        proof: Proof::default(),
    };
    let asked = match (entry.result, read) {
        (Err(verdict), _) => Asked::Refused(verdict),
        (Ok(_), Err(error)) => Asked::Refused(Verdict::Malformed(error)),
        (Ok(admitted), Ok(parameters)) => {
            let parameters = admitted.without_signature(parameters);
            inbound.proof = admitted.proof;
            Asked::Conversion(Box::new(fields::read(&parameters)))
        }
    };
    let answer = answer::of_result(doors.lanes.submit(inbound, asked).await);
    metrics::histogram!("ricochet_accept_seconds").record(started.elapsed());
    answer
}
