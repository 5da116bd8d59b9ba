//! Verdicts as HTTP answers: the one place where they meet.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::middleware::ErrorHandlerResponse;
use actix_web::{HttpResponse, web};
use serde_json::Value;

use super::table::Door;
use crate::domain::verdict::{FieldError, Manner, Verdict, error_body};
use crate::pipeline::inbound::NotDurable;

/// Seconds after which a caller that got 503 should come again.
pub const RETRY_AFTER_S: u32 = 1;

pub fn of_result(manner: Manner, result: Result<Verdict, NotDurable>) -> HttpResponse {
    let (status, body) = parts(manner, &result);
    let mut answer = builder(status);
    if status == 503 {
        answer.insert_header((RETRY_AFTER, RETRY_AFTER_S));
    }
    if let Some(seconds) = result.as_ref().ok().and_then(Verdict::retry_after_s) {
        answer.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    if manner == Manner::Strict {
        answer.insert_header(("preference-applied", "handling=strict"));
    }
    answer.json(body)
}

pub fn not_durable(reason: NotDurable) -> HttpResponse {
    of_result(Manner::Usual, Err(reason))
}

/// Status and body of the answer.
pub fn parts(manner: Manner, result: &Result<Verdict, NotDurable>) -> (u16, Value) {
    match result {
        Ok(verdict) => (manner.http_status(verdict), verdict.body()),
        Err(reason) => not_durable_parts(*reason),
    }
}

pub fn not_durable_parts(reason: NotDurable) -> (u16, Value) {
    let (status, code, message) = match reason {
        NotDurable::StoreAway => (
            503,
            "store_unavailable",
            "nothing was recorded because the database is away; send the same request again",
        ),
        NotDurable::QueueFull => (
            503,
            "overloaded",
            "nothing was recorded because too many requests are waiting; send it again in a second",
        ),
        NotDurable::Refused => {
            (500, "internal", "nothing was recorded because of an internal error, which has been logged")
        }
    };
    metrics::counter!("ricochet_unanswered_requests_total", "reason" => code).increment(1);
    (status, error_body(&[FieldError::new("", code, message)]))
}

pub fn json(status: u16, body: &Value) -> HttpResponse {
    builder(status).json(body)
}

fn builder(status: u16) -> actix_web::HttpResponseBuilder {
    HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}

pub async fn unknown_door() -> HttpResponse {
    let message = "there is no door here; GET /openapi.json lists them";
    json(404, &error_body(&[FieldError::new("path", "unknown_door", message)]))
}

/// A resource that answers a method it does not know with 405 and the ones it does.
pub fn resource(door: &'static Door) -> actix_web::Resource {
    resource_of(door.path, door.allowed())
}

/// [`resource`] for doors that stand in several entries of the table, or in none.
pub fn resource_of(path: &str, allowed: String) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move || {
        let allowed = allowed.clone();
        async move {
            let message = format!("this door takes {allowed}");
            let body = error_body(&[FieldError::new("method", "method_not_allowed", message)]);
            HttpResponse::MethodNotAllowed().insert_header(("allow", allowed)).json(body)
        }
    }))
}

/// The last word on every refusal: what the web framework refuses in its own words (a body that
/// is too long, a path that is no text) is told in ours.
pub fn in_our_words(refusal: ServiceResponse<BoxBody>) -> actix_web::Result<ErrorHandlerResponse<BoxBody>> {
    let headers = refusal.headers();
    // Without a type there is no body: that is how our own doors answer without words.
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("text/plain") {
        return Ok(ErrorHandlerResponse::Response(refusal.map_into_left_body()));
    }
    let status = refusal.status();
    let (code, message) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "send less at once"),
        StatusCode::NOT_FOUND => ("not_found", "there is nothing here; check the address"),
        status if status.is_server_error() => ("internal", "this is our fault; send the same request again"),
        _ => ("malformed", "this request cannot be read; check its path, headers and body"),
    };
    let mut answer = json(status.as_u16(), &error_body(&[FieldError::new("request", code, message)]));
    for (name, value) in headers.iter().filter(|(name, _)| !name.as_str().starts_with("content-")) {
        answer.headers_mut().append(name.clone(), value.clone());
    }
    let (request, _) = refusal.into_parts();
    Ok(ErrorHandlerResponse::Response(ServiceResponse::new(request, answer).map_into_right_body()))
}
