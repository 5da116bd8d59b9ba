//! `/graphql` over HTTP.
//!
//! A request is authenticated before its body is read. Whoever has no token learns nothing, the
//! schema included.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, guard, web};
use async_graphql::{BatchRequest, Response, ServerError};
use deadpool_postgres::Pool;

use super::Schema;
use super::failure::{Failure, read_store};
use super::scope::Principal;
use crate::config::Origins;
use crate::doors::access::Gate;
use crate::doors::answer::{resource, resource_of};
use crate::doors::request::source_ip;
use crate::doors::table;
use crate::store::tokens;

mod connections;
mod graphiql;
mod websocket;

pub use connections::{Connections, watch_tokens};
pub use websocket::Patience;

const MAX_BODY_BYTES: usize = 256 * 1024;
const MAX_BATCH_REQUESTS: usize = 10;

/// What the door needs.
pub struct GraphqlDoor {
    pub schema: Schema,
    /// Where tokens are looked up.
    pub pool: Pool,
    /// What bounds guesses at tokens and slow bodies, shared with the other doors.
    pub gate: Arc<Gate>,
    /// The `node_modules` folder with the files of GraphiQL; without it GET explains itself.
    pub graphiql_dir: Option<PathBuf>,
    /// The WebSockets of this node.
    pub connections: Arc<Connections>,
    /// Other origins whose pages may open one.
    pub origins: Origins,
    /// How long one waits for whom.
    pub patience: Patience,
}

/// Registers `/graphql` and the files of its page.
pub fn routes(door: web::Data<GraphqlDoor>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .service(
                resource(&table::GRAPHQL)
                    .app_data(door.clone())
                    .route(web::post().to(answer))
                    .route(web::get().guard(guard::fn_guard(websocket::is_upgrade)).to(websocket::connect))
                    .route(web::get().to(graphiql::page)),
            )
            .service(
                resource_of("/graphql/assets/{file}", "GET".to_owned())
                    .app_data(door)
                    .route(web::get().to(graphiql::asset)),
            );
    }
}

async fn answer(door: web::Data<GraphqlDoor>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    match execute(&door, &request, body).await {
        Ok(response) => response,
        Err((status, failure)) => refuse(status, &failure),
    }
}

async fn execute(
    door: &GraphqlDoor,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, (StatusCode, Failure)> {
    let principal = authenticate(door, request).await?;
    let bad_request = |message: String| (StatusCode::BAD_REQUEST, Failure::bad_input("body", message));
    let body = tokio::time::timeout(door.gate.body_timeout, body.to_bytes_limited(MAX_BODY_BYTES))
        .await
        .map_err(|_| {
            let message = "the body took too long to arrive; send it at once";
            (StatusCode::REQUEST_TIMEOUT, Failure::bad_input("body", message))
        })?
        .map_err(|_| {
            let message = format!("a request has at most {MAX_BODY_BYTES} bytes; put less into one");
            (StatusCode::PAYLOAD_TOO_LARGE, Failure::bad_input("body", message))
        })?
        .map_err(|error| bad_request(format!("the body could not be read to its end: {error}")))?;
    let batch: BatchRequest = serde_json::from_slice(&body).map_err(|error| {
        bad_request(format!(
            "send JSON such as {{\"query\": \"{{ __typename }}\"}}, or an array of them ({error})"
        ))
    })?;
    let requests = batch.iter().count();
    if requests > MAX_BATCH_REQUESTS {
        return Err(bad_request(format!(
            "a batch has at most {MAX_BATCH_REQUESTS} requests, and this one has {requests}; send several"
        )));
    }
    let response = door.schema.execute_batch(batch.data(principal)).await;
    Ok(HttpResponse::Ok().json(response))
}

async fn authenticate(door: &GraphqlDoor, request: &HttpRequest) -> Result<Principal, (StatusCode, Failure)> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    principal_of(door, source_ip(request), header.and_then(bearer_token)).await
}

/// Whose token it is. Guesses count against their source as they do at the other doors; a good
/// token is never locked out by them.
async fn principal_of(
    door: &GraphqlDoor,
    source: Option<IpAddr>,
    bearer: Option<&str>,
) -> Result<Principal, (StatusCode, Failure)> {
    let nobody = || match door.gate.limiter.check_refusal(source) {
        Ok(()) => (StatusCode::UNAUTHORIZED, Failure::Unauthenticated),
        Err(denial) => {
            let retry_after_s = denial.retry_after_s().unwrap_or(1);
            (StatusCode::TOO_MANY_REQUESTS, Failure::RateLimited { retry_after_s })
        }
    };
    let Some(bearer) = bearer else { return Err(nobody()) };
    match read_store(tokens::find_live(&door.pool, bearer)).await {
        Ok(principal) => principal.ok_or_else(nobody),
        Err(failure) => Err((StatusCode::SERVICE_UNAVAILABLE, failure)),
    }
}

/// The token of `Bearer {token}`; the scheme's case does not count (RFC 9110).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A refusal in the shape of every GraphQL error.
fn refuse(status: StatusCode, failure: &Failure) -> HttpResponse {
    failure.log();
    let mut error = ServerError::new(failure.sentence(), None);
    error.extensions = Some(failure.extensions());
    let mut response = HttpResponse::build(status);
    match status {
        StatusCode::UNAUTHORIZED => response.insert_header((WWW_AUTHENTICATE, "Bearer")),
        StatusCode::TOO_MANY_REQUESTS => response.insert_header((RETRY_AFTER, failure.retry_after_s())),
        StatusCode::SERVICE_UNAVAILABLE => response.insert_header((RETRY_AFTER, "1")),
        _ => &mut response,
    };
    let errors = Response::from_errors(vec![error]).errors;
    response.json(serde_json::json!({ "errors": errors }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_be_written_in_any_case_and_must_be_bearer() {
        assert_eq!(bearer_token("Bearer rt_1"), Some("rt_1"));
        assert_eq!(bearer_token("bearer  rt_1 "), Some("rt_1"));
        for bad in ["", "Bearer", "Bearer ", "rt_1", "Basic rt_1"] {
            assert_eq!(bearer_token(bad), None, "{bad:?}");
        }
    }
}
