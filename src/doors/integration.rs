//! `GET|POST /in/{integration_id}` and `/api/postbacks/{integration_id}/tracker-postback`:
//! conversions as foreign systems report them, in their names and words, answered as they like.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use super::access::{self, Body, Credential};
use super::answer;
use super::flatten;
use super::limits::BODY_BYTES;
use crate::app::Doors;
use crate::domain::access::replay::Proof;
use crate::domain::catalogue::hash_key;
use crate::domain::ids::{InboundId, IntegrationId};
use crate::domain::integration::{CHATTERFY_DOOR, Integration, SECRET_PARAMETER};
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::{FieldError, Manner, Verdict};
use crate::pipeline::inbound::{Asked, InboundRecord, NotDurable, Origin};

pub async fn receive_mapped(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    doors: Data<Doors>,
) -> HttpResponse {
    receive(&request, &id, payload, &doors, "integration").await
}

pub async fn receive_chatterfy(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    doors: Data<Doors>,
) -> HttpResponse {
    receive(&request, &id, payload, &doors, CHATTERFY_DOOR).await
}

async fn receive(
    request: &HttpRequest,
    id: &str,
    payload: Payload,
    doors: &Doors,
    door: &'static str,
) -> HttpResponse {
    let started = Instant::now();
    let catalogue = doors.services.catalogue();
    let integration =
        id.parse::<IntegrationId>().ok().and_then(|id| catalogue.integrations.get(&id)).cloned();
    let credential = match &integration {
        Some(integration) => Credential::Integration {
            advertiser_id: integration.advertiser_id,
            networks: &integration.allowed_networks,
        },
        None => Credential::None,
    };
    let body = Body::Whole { payload, most_bytes: BODY_BYTES };
    let entry = access::admit(doors, request, body, credential).await;
    let read = flatten::parameters(request, &entry.body).map_err(Verdict::Malformed);
    let shown = read.as_ref().map(|read| redact_parameters(read)).unwrap_or_default();
    let mut inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: doors.services.now(),
        door,
        method: request.method().to_string(),
        source_ip: entry.source_ip,
        advertiser_id: integration.as_ref().map(|integration| integration.advertiser_id),
        parameters: shown,
        manner: Manner::Usual,
        proof: Proof::default(),
    };
    let asked = match (&integration, entry.result, read) {
        (None, Err(Verdict::UnknownKey) | Ok(_), _) => {
            Asked::Refused(denied(404, "integration_id", "unknown_integration", UNKNOWN))
        }
        (_, Err(refused), _) | (Some(_), Ok(_), Err(refused)) => Asked::Refused(refused),
        (Some(integration), Ok(admitted), Ok(parameters)) => match check(integration, &parameters) {
            Err(verdict) => Asked::Refused(verdict),
            Ok(()) => {
                let parameters = admitted.without_signature(parameters);
                inbound.proof = admitted.proof;
                Asked::Conversion(Box::new(integration.read(door, &parameters, inbound.received_at)))
            }
        },
    };
    let origin = Origin { integration: integration.clone(), ..Origin::default() };
    let placed = doors.lanes.place(inbound, asked, origin);
    // A lane that died took the reply with it.
    let verdict = async { placed?.await.unwrap_or(Err(NotDurable::StoreAway)) };
    let answer = match verdict.await {
        Ok(verdict) => told(integration.as_ref(), &verdict),
        // Never a configured "OK": nothing was recorded, and the sender should come again.
        Err(reason) => answer::not_durable(reason),
    };
    metrics::histogram!("ricochet_accept_seconds").record(started.elapsed());
    answer
}

const UNKNOWN: &str = "there is no integration at this address; copy it again from the network";

/// What an integration asks of its senders beside the gate.
fn check(integration: &Integration, parameters: &[(String, String)]) -> Result<(), Verdict> {
    if !integration.is_active {
        let message = "this integration is switched off; ask the network to switch it on";
        return Err(denied(403, "integration_id", "integration_off", message));
    }
    let Some(expected) = integration.secret_hash else {
        return Ok(());
    };
    // Compared as hashes: how long it takes tells nothing about the secret.
    let sent = parameters.iter().find(|(name, _)| name == SECRET_PARAMETER);
    if sent.is_some_and(|(_, secret)| hash_key(secret) == expected) {
        return Ok(());
    }
    Err(denied(
        401,
        SECRET_PARAMETER,
        "wrong_secret",
        "send the integration's secret as the parameter secret",
    ))
}

fn denied(http_status: u16, field: &str, code: &'static str, message: &str) -> Verdict {
    Verdict::NotAdmitted { http_status, error: FieldError::new(field, code, message) }
}

fn told(integration: Option<&Arc<Integration>>, verdict: &Verdict) -> HttpResponse {
    let Some(integration) = integration else {
        return answer::json(verdict.http_status(), &verdict.body());
    };
    let told = integration.answers.of(verdict);
    let code = StatusCode::from_u16(told.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(code);
    if let Some(seconds) = verdict.retry_after_s() {
        answer.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    answer.content_type(told.content_type.as_ref()).body(told.body)
}
