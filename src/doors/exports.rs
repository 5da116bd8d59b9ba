//! `GET /api/v1/export/{dataset}`: a log as a file, streamed from ClickHouse to the caller, or conversions
//! as they stand, from PostgreSQL.
//!
//! ```text
//! ClickHouse ─► BytesCursor ─┬─► pump (gzip) ─ channel of [`CHUNKS`] ─► body
//! PostgreSQL ─► portal ──────┘
//! ```
//!
//! The pump reads no further than the caller does, so the memory of an export is bounded whatever its
//! rows. A file that ends early never ends cleanly: the connection breaks before the last chunk.

mod conversions;
mod filter;
mod parameters;
mod parquet;
mod pump;

use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use self::conversions::Lines;
use self::filter::{Asked, Wanted};
use self::pump::Source;
use super::access;
use super::answer;
use super::request::{self, bearer_key, source_ip};
use crate::app::Doors;
use crate::domain::verdict::{FieldError, Manner, Verdict, error_body};
use crate::event_log::reader::export::{self, Dataset, Export, ExportFormat};
use crate::graphql::scope::{Principal, Scope};
use crate::pipeline::inbound::NotDurable;
use crate::store::conversion_export::{self, Counting};
use crate::store::conversion_search::ConversionFilter;
use crate::store::tokens;

/// Seconds after which a caller that found all places taken should come again.
const RETRY_AFTER_S: u32 = 5;
/// Rows of the file, told where `count=1` asks for them.
pub const ROWS_HEADER: &str = "x-ricochet-rows";

pub use parameters::{about_parameter, names as parameters};

pub async fn download(request: HttpRequest, dataset: Path<String>, doors: Data<Doors>) -> HttpResponse {
    try_download(&request, &dataset, &doors).await.unwrap_or_else(|refusal| refusal)
}

async fn try_download(
    request: &HttpRequest,
    dataset: &str,
    doors: &Doors,
) -> Result<HttpResponse, HttpResponse> {
    let principal = authenticate(request, doors).await?;
    let dataset = Dataset::from_code(dataset).ok_or_else(|| {
        let known: Vec<_> = Dataset::ALL.iter().map(|dataset| dataset.code()).collect();
        let message = format!("{dataset:?} is not exported; take one of {}", known.join(", "));
        refusal(404, "dataset", "unknown_dataset", message)
    })?;
    let parameters = request::of_query(request).map_err(|error| answer::json(400, &error_body(&[error])))?;
    let Asked { wanted, format, counts } =
        filter::read(dataset, &parameters).map_err(|errors| answer::json(400, &error_body(&errors)))?;
    let scope = principal.scope();
    if let (Scope::Advertiser(_), Some(parameter)) = (scope, wanted.private_parameter()) {
        let message = "this is the partner's own affair; leave it out";
        return Err(refusal(403, parameter, "forbidden", message));
    }
    let Ok(place) = doors.exports.clone().try_acquire_owned() else {
        let message = "all places for exports are taken; come again after the seconds that Retry-After says";
        let mut answer = refusal(429, "request", "too_many_exports", message);
        answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
        return Err(answer);
    };

    let mut answer = HttpResponse::Ok();
    // Errors until the first bytes are told as errors; what comes later breaks the connection.
    let (rows, first, source) = match wanted {
        Wanted::Log(export) => of_log(doors, scope, &export, format, counts).await?,
        Wanted::Conversions(filter) => of_conversions(doors, scope, *filter, format, counts).await?,
    };
    if let Some(rows) = rows {
        answer.insert_header((ROWS_HEADER, rows.to_string()));
    }
    let compresses = format != ExportFormat::Parquet && accepts_gzip(request);
    let (name, media_type) = match format {
        ExportFormat::Csv => ("csv", "text/csv; charset=utf-8; header=present"),
        ExportFormat::Ndjson => ("ndjson", "application/x-ndjson"),
        ExportFormat::Parquet => ("parquet", "application/vnd.apache.parquet"),
    };
    if compresses {
        answer.insert_header((CONTENT_ENCODING, "gzip"));
    }
    tracing::info!(dataset = dataset.code(), token = %principal.token_id, format = name, "an export begins");
    Ok(answer
        .content_type(media_type)
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{}.{name}\"", dataset.code())))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept-Encoding"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .streaming(pump::start(source, first, compresses, place)))
}

/// The number of rows where it is asked for, the first bytes, and the rest.
type Beginning = (Option<u64>, Option<Bytes>, Source);

async fn of_log(
    doors: &Doors,
    scope: Scope,
    export: &Export,
    format: ExportFormat,
    counts: Counting,
) -> Result<Beginning, HttpResponse> {
    let log = &doors.services.log;
    let rows = match counts {
        Counting::Uncounted => None,
        Counting::Counted => Some(export::count(log, scope, export).await.map_err(|error| log_away(&error))?),
    };
    let beginning = export::export(log, scope, export, format).await;
    let (first, cursor) = beginning.map_err(|error| log_away(&error))?;
    Ok((rows, first, Source::Log(cursor)))
}

async fn of_conversions(
    doors: &Doors,
    scope: Scope,
    filter: ConversionFilter,
    format: ExportFormat,
    counts: Counting,
) -> Result<Beginning, HttpResponse> {
    let begun = conversion_export::begin(&doors.readers, scope, filter, counts).await.map_err(|error| {
        tracing::warn!(%error, "an export did not begin: PostgreSQL did not go along");
        answer::not_durable(NotDurable::StoreAway)
    })?;
    let mut lines = Lines::of(scope, format);
    Ok((begun.rows, Some(lines.beginning()), Source::Conversions(begun.portions, lines)))
}

fn accepts_gzip(request: &HttpRequest) -> bool {
    let header =
        request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_refused = parts.any(|part| {
            part.strip_prefix("q=")
                .and_then(|weight| weight.parse::<f32>().ok())
                .is_some_and(|weight| weight <= 0.0)
        });
        is_gzip && !is_refused
    })
}

/// The bearer of a token; whoever guesses is slowed down as at the other doors.
async fn authenticate(request: &HttpRequest, doors: &Doors) -> Result<Principal, HttpResponse> {
    let denied = |verdict: Verdict| answer::of_result(Manner::Usual, Ok(verdict));
    let nobody = || match doors.gate.limiter.check_refusal(source_ip(request)) {
        Ok(()) => {
            let message = "send Authorization: Bearer with a token of the GraphQL API; `ricochet token create` makes one";
            refusal(401, "authorization", "unknown_token", message)
        }
        Err(denial) => denied(Verdict::Denied(denial)),
    };
    access::let_through(doors, request).map_err(denied)?;
    let secret = bearer_key(request.headers()).ok_or_else(nobody)?;
    match tokens::find_live(&doors.services.pool, secret).await {
        Ok(principal) => principal.ok_or_else(nobody),
        Err(error) => {
            tracing::warn!(%error, "an export did not begin: PostgreSQL did not go along");
            Err(answer::not_durable(NotDurable::StoreAway))
        }
    }
}

fn log_away(error: &clickhouse::error::Error) -> HttpResponse {
    tracing::error!(%error, "an export did not begin: ClickHouse could not be read");
    let message = "the log (ClickHouse) did not answer; send the same request again";
    let mut answer = refusal(503, "request", "log_unavailable", message);
    answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
    answer
}

fn refusal(status: u16, field: &str, code: &'static str, message: impl Into<String>) -> HttpResponse {
    answer::json(status, &error_body(&[FieldError::new(field, code, message)]))
}
