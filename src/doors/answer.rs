//! Verdicts as HTTP answers: the one place where they meet.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use serde_json::Value;

use crate::domain::verdict::{FieldError, Manner, Verdict, error_body};
use crate::pipeline::inbound::NotDurable;

/// Seconds after which a caller that got 503 should come again.
const RETRY_AFTER_S: u32 = 1;

pub fn of_result(manner: Manner, result: Result<Verdict, NotDurable>) -> HttpResponse {
    match result {
        Ok(verdict) => json(manner.http_status(&verdict), &verdict.body()),
        Err(reason) => not_durable(reason),
    }
}

pub fn not_durable(reason: NotDurable) -> HttpResponse {
    let (code, message) = match reason {
        NotDurable::StoreAway => (
            "store_unavailable",
            "nothing was recorded because the database is away; send the same request again",
        ),
        NotDurable::QueueFull => (
            "overloaded",
            "nothing was recorded because too many requests are waiting; send it again in a second",
        ),
        NotDurable::Refused => {
            ("internal", "nothing was recorded because of an internal error, which has been logged")
        }
    };
    metrics::counter!("ricochet_unanswered_requests_total", "reason" => code).increment(1);
    let body = error_body(&[FieldError::new("", code, message)]);
    if reason == NotDurable::Refused {
        return json(500, &body);
    }
    HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, RETRY_AFTER_S.to_string())).json(body)
}

pub fn json(status: u16, body: &Value) -> HttpResponse {
    HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)).json(body)
}
