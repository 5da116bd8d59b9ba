//! `GET /pixel/{offer}.gif` and `GET /iframe/{offer}`: conversions told by a visitor's browser.
//!
//! Anybody can load them, so they are believed little: they make a `hold` of a click of that
//! offer, and nothing a hold cannot do. The picture comes whatever the verdict is, as a broken
//! one would show on the advertiser's page; the verdict is in a header and in the inbound log.

use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE as COOKIE_HEADER};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use uuid::Uuid;

use super::access;
use super::answer::{self, RETRY_AFTER_S};
use super::click_script::COOKIE;
use super::request::{Parameters, of_query, source_ip};
use crate::app::Doors;
use crate::domain::access::replay::Proof;
use crate::domain::completion::Completion;
use crate::domain::fields;
use crate::domain::ids::{InboundId, OfferId};
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::{FieldError, Manner, Verdict};
use crate::pipeline::inbound::{Asked, InboundRecord, NotDurable};

/// A transparent GIF of one pixel.
const PIXEL: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
                       \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
const PAGE: &str =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Conversion</title></html>\n";

pub async fn pixel(request: HttpRequest, offer: Path<String>, doors: Data<Doors>) -> HttpResponse {
    receive(&request, &offer, &doors, "pixel").await.content_type("image/gif").body(PIXEL)
}

pub async fn iframe(request: HttpRequest, offer: Path<String>, doors: Data<Doors>) -> HttpResponse {
    receive(&request, &offer, &doors, "iframe")
        .await
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header(("content-security-policy", "default-src 'none'"))
        .body(PAGE)
}

/// The head of the answer; the verdict is durable.
async fn receive(
    request: &HttpRequest,
    offer: &str,
    doors: &Doors,
    door: &'static str,
) -> HttpResponseBuilder {
    let started = Instant::now();
    let catalogue = doors.services.catalogue();
    let offer = offer.parse::<OfferId>().ok().and_then(|offer_id| catalogue.offers.get(&offer_id));
    let read = of_query(request).map(|parameters| with_click_of_cookie(request, parameters));
    let inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: doors.services.now(),
        door,
        method: request.method().to_string(),
        source_ip: source_ip(request),
        advertiser_id: offer.map(|offer| offer.advertiser_id),
        parameters: read.as_ref().map(|read| redact_parameters(read)).unwrap_or_default(),
        manner: Manner::Picture,
        proof: Proof::default(),
    };
    let let_in = access::let_through(doors, request);
    let asked = match (let_in.map(|()| offer), read) {
        (Err(refused), _) => Asked::Refused(refused),
        (Ok(None), _) => {
            let message = "this offer does not exist; copy the address from the offer's page";
            Asked::Refused(Verdict::Invalid(vec![FieldError::new("offer", "unknown_offer", message)]))
        }
        (Ok(Some(_)), Err(error)) => Asked::Refused(Verdict::Malformed(error)),
        (Ok(Some(offer)), Ok(parameters)) => {
            Asked::Conversion(Box::new(fields::read(&parameters, Completion::HoldOf(offer.offer_id))))
        }
    };
    let result = doors.lanes.submit(inbound, asked).await;
    metrics::histogram!("ricochet_accept_seconds").record(started.elapsed());

    let (status, _) = answer::parts(Manner::Picture, &result);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut head = HttpResponse::build(status);
    head.insert_header((CACHE_CONTROL, "no-store"));
    head.insert_header(("x-content-type-options", "nosniff"));
    head.insert_header(("x-ricochet-verdict", in_a_header(&result)));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        head.insert_header(("retry-after", RETRY_AFTER_S));
    }
    head
}

/// A visitor whose click id is in no parameter may bring it in the cookie of our script.
fn with_click_of_cookie(request: &HttpRequest, mut parameters: Parameters) -> Parameters {
    let is_named = parameters.iter().any(|(name, value)| {
        !value.trim().is_empty() && fields::our_name(name).is_some_and(|(ours, _)| ours == "click_id")
    });
    if let Some(cookie) = cookie(request).filter(|_| !is_named) {
        let decoded = percent_encoding::percent_decode_str(cookie).decode_utf8_lossy().into_owned();
        parameters.push(("click_id".to_owned(), decoded));
    }
    parameters
}

fn cookie(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers().get_all(COOKIE_HEADER).filter_map(|value| value.to_str().ok());
    let mut cookies = headers.flat_map(|value| value.split(';')).filter_map(|cookie| cookie.split_once('='));
    cookies.find(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

/// Such as `accepted`, `conflict; reason=transition` or `rejected; reason=missing; fields=action`.
/// Field names are the caller's own words, so only the known ones are repeated.
fn in_a_header(result: &Result<Verdict, NotDurable>) -> String {
    let verdict = match result {
        Ok(verdict) => verdict,
        Err(_) => return "not recorded; reason=unavailable".to_owned(),
    };
    let mut text = verdict.code().to_owned();
    if !verdict.reason_code().is_empty() {
        text.push_str("; reason=");
        text.push_str(verdict.reason_code());
    }
    if let Verdict::Invalid(errors) = verdict {
        let known = |field: &str| field == "offer" || fields::our_name(field).is_some();
        let named: Vec<&str> =
            errors.iter().map(|error| error.field.as_str()).filter(|field| known(field)).collect();
        if !named.is_empty() {
            text.push_str("; fields=");
            text.push_str(&named.join(","));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_known_fields_only() {
        let errors = ["action", "evil\r\nx: y", "request_id"].map(FieldError::missing);
        let text = in_a_header(&Ok(Verdict::Invalid(errors.to_vec())));
        assert_eq!(text, "rejected; reason=missing; fields=action,request_id");
        assert_eq!(PIXEL.len(), 43);
    }
}
