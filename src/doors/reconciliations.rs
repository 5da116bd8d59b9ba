//! `/api/v1/reconciliations`: an advertiser's file is taken in and judged, shown, and applied.

mod caller;

use std::collections::BTreeMap;

use actix_multipart::Multipart;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use self::caller::{Caller, authenticate, authenticate_bodiless, denied, refuse_signature};
use super::answer;
use super::request::source_ip;
use crate::app::Doors;
use crate::domain::access::denial::Denial;
use crate::domain::access::signature::Verification;
use crate::domain::fields::parse_time;
use crate::domain::reconciliation::RowResult;
use crate::domain::verdict::{FieldError, Verdict, error_body};
use crate::pipeline::inbound::NotDurable;
use crate::reconcile::apply::{self, ApplyError};
use crate::reconcile::csv_file;
use crate::reconcile::judge::Sender;
use crate::reconcile::upload::{self, UploadError};
use crate::store::StoreError;
use crate::store::audit::Actor;
use crate::store::reconciliations::{self, Period, StoredRow, Summary};

/// Rows that an upload shows in its answer, and at most in a page of them.
pub const SHOWN_ROWS: i64 = 100;
pub const PAGE_ROWS: i64 = 1_000;
/// Rows that one call applies, so that it ends before anybody's patience does.
const APPLIED_ROWS: i64 = 5_000;

/// Where a request for a refused or unreadable thing ends.
struct Refusal(u16, FieldError);

impl Refusal {
    fn new(status: u16, field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self(status, FieldError::new(field, code, message))
    }

    fn answer(self) -> HttpResponse {
        answer::json(self.0, &error_body(&[self.1]))
    }
}

#[derive(Deserialize)]
pub struct UploadParameters {
    mode: Option<String>,
    encoding: Option<String>,
    from: Option<String>,
    to: Option<String>,
    advertiser_id: Option<String>,
}

pub async fn take_in(
    request: HttpRequest,
    parameters: Query<UploadParameters>,
    body: web::Payload,
    doors: Data<Doors>,
) -> HttpResponse {
    match try_take_in(&request, &parameters, body, &doors).await {
        Ok(response) => response,
        Err(refusal) => refusal,
    }
}

async fn try_take_in(
    request: &HttpRequest,
    parameters: &UploadParameters,
    body: web::Payload,
    doors: &Doors,
) -> Result<HttpResponse, HttpResponse> {
    let Caller { actor, advertiser, mut announced } =
        authenticate(request, parameters.advertiser_id.as_deref(), doors).await?;
    let applies = match parameters.mode.as_deref() {
        None | Some("dry-run") => false,
        Some("apply") => true,
        Some(_) => {
            let message = "write mode=dry-run to see the difference, or mode=apply to apply it at once";
            return Err(Refusal::new(400, "mode", "unknown_mode", message).answer());
        }
    };
    let encoding = csv_file::encoding(parameters.encoding.as_deref().unwrap_or("utf-8"))
        .map_err(|error| Refusal(400, error).answer())?;
    let period = period(parameters).map_err(Refusal::answer)?;
    let sender = Sender { advertiser, source_ip: source_ip(request) };

    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let verification = match &mut announced {
        Some(announced) => match announced.verification.take().transpose() {
            Ok(verification) => verification,
            Err(fault) => return Err(refuse_signature(request, announced, fault, doors)),
        },
        None => None,
    };
    let taken = if content_type.starts_with("multipart/form-data") {
        // The signature would be over the form, of which only the file is read.
        if verification.as_ref().is_some_and(Verification::covers_body) {
            let message = "a signed file is sent alone, with content-type text/csv, and signed as it is";
            return Err(Refusal::new(401, "signature", "bad_signature", message).answer());
        }
        let mut parts = Multipart::new(request.headers(), body);
        let part = loop {
            match parts.next().await {
                Some(Ok(part)) if part.name() == Some("file") => break part,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    let message = "send the file as the part named file, or alone with content-type text/csv";
                    return Err(Refusal::new(400, "file", "missing", message).answer());
                }
            }
        };
        upload::take_in(&doors.services, sender, encoding, period, verification, part).await
    } else {
        upload::take_in(&doors.services, sender, encoding, period, verification, body).await
    };
    let file = taken.map_err(|error| match error {
        UploadError::File(error) => Refusal(422, error).answer(),
        UploadError::TooLarge(error) => Refusal(413, error).answer(),
        UploadError::Signature(fault) => match &announced {
            Some(announced) => refuse_signature(request, announced, fault, doors),
            None => denied(Verdict::Denied(Denial::Signature(fault))),
        },
        UploadError::Store(error) => store_failed(&error),
    })?;
    if applies {
        run(doors, actor, sender, file, i64::MAX).await?;
    }
    answer_with_summary(doors, file, Showing::Differences).await
}

fn period(parameters: &UploadParameters) -> Result<Option<Period>, Refusal> {
    let bound = |field: &'static str, text: Option<&str>| -> Result<Option<DateTime<Utc>>, Refusal> {
        let Some(text) = text else { return Ok(None) };
        let message = "write a time by RFC 3339 such as 2025-08-04T12:00:00Z";
        parse_time(text).map(Some).ok_or_else(|| Refusal::new(400, field, "invalid_datetime", message))
    };
    match (bound("from", parameters.from.as_deref())?, bound("to", parameters.to.as_deref())?) {
        (None, None) => Ok(None),
        (Some(from), Some(to)) if from < to => Ok(Some(Period { from, to })),
        (Some(_), Some(_)) => Err(Refusal::new(
            400,
            "to",
            "invalid_period",
            "the period ends before it begins; exchange the two",
        )),
        (None, Some(_)) => Err(Refusal::new(400, "from", "missing", "say when the period begins")),
        (Some(_), None) => Err(Refusal::new(400, "to", "missing", "say when the period ends")),
    }
}

#[derive(Deserialize)]
pub struct OwnerParameters {
    advertiser_id: Option<String>,
}

pub async fn show(
    request: HttpRequest,
    id: Path<String>,
    parameters: Query<OwnerParameters>,
    doors: Data<Doors>,
) -> HttpResponse {
    let shown = async {
        let (file, ..) = find(&request, &id, parameters.advertiser_id.as_deref(), &doors).await?;
        answer_with_summary(&doors, file, Showing::Differences).await
    };
    shown.await.unwrap_or_else(|refusal| refusal)
}

pub async fn apply_more(
    request: HttpRequest,
    id: Path<String>,
    parameters: Query<OwnerParameters>,
    doors: Data<Doors>,
) -> HttpResponse {
    let applied = async {
        let (file, actor, sender) = find(&request, &id, parameters.advertiser_id.as_deref(), &doors).await?;
        run(&doors, actor, sender, file, APPLIED_ROWS).await?;
        answer_with_summary(&doors, file, Showing::Totals).await
    };
    applied.await.unwrap_or_else(|refusal| refusal)
}

#[derive(Deserialize)]
pub struct RowParameters {
    /// Results, separated by commas; none: all but unchanged.
    results: Option<String>,
    after: Option<i64>,
    limit: Option<i64>,
    advertiser_id: Option<String>,
}

pub async fn show_rows(
    request: HttpRequest,
    id: Path<String>,
    parameters: Query<RowParameters>,
    doors: Data<Doors>,
) -> HttpResponse {
    let shown = async {
        let (file, ..) = find(&request, &id, parameters.advertiser_id.as_deref(), &doors).await?;
        let results = results(parameters.results.as_deref()).map_err(Refusal::answer)?;
        let limit = parameters.limit.unwrap_or(SHOWN_ROWS);
        if !(1..=PAGE_ROWS).contains(&limit) {
            let message = format!("write 1 to {PAGE_ROWS} rows");
            return Err(Refusal::new(400, "limit", "out_of_range", message).answer());
        }
        let after = parameters.after.unwrap_or(0);
        let rows = reconciliations::rows(&doors.services.pool, file, &results, after, limit).await;
        let rows = rows.map_err(|error| store_failed(&error))?;
        let next = (rows.len() as i64 == limit).then(|| rows.last().map(|row| row.position)).flatten();
        let rows: Vec<Value> = rows.iter().map(row_body).collect();
        Ok(answer::json(200, &json!({ "rows": rows, "next_after": next })))
    };
    shown.await.unwrap_or_else(|refusal| refusal)
}

fn results(text: Option<&str>) -> Result<Vec<&'static str>, Refusal> {
    let Some(text) = text else { return Ok(differences()) };
    text.split(',')
        .map(|word| {
            RowResult::from_code(word.trim()).map(RowResult::code).ok_or_else(|| {
                let known: Vec<_> = RowResult::ALL.iter().map(|result| result.code()).collect();
                let message = format!("{word:?} is no result; write some of {}", known.join(", "));
                Refusal::new(400, "results", "unknown_result", message)
            })
        })
        .collect()
}

fn differences() -> Vec<&'static str> {
    RowResult::ALL
        .iter()
        .filter(|result| **result != RowResult::Unchanged)
        .map(|result| result.code())
        .collect()
}

/// A file of the caller's; another's does not exist.
async fn find(
    request: &HttpRequest,
    id: &str,
    advertiser_id: Option<&str>,
    doors: &Doors,
) -> Result<(Uuid, Actor, Sender), HttpResponse> {
    let Caller { actor, advertiser, .. } = authenticate_bodiless(request, advertiser_id, doors).await?;
    let unknown = || {
        let message =
            "there is no such reconciliation, or it is more than 30 days old; upload the file again";
        Refusal::new(404, "reconciliation_id", "unknown_reconciliation", message).answer()
    };
    let file: Uuid = id.parse().map_err(|_| unknown())?;
    let owner = reconciliations::owner(&doors.services.pool, file).await;
    match owner.map_err(|error| store_failed(&error))? {
        Some(owner) if owner == advertiser => {
            Ok((file, actor, Sender { advertiser, source_ip: source_ip(request) }))
        }
        _ => Err(unknown()),
    }
}

async fn run(
    doors: &Doors,
    actor: Actor,
    sender: Sender,
    file: Uuid,
    most_rows: i64,
) -> Result<(), HttpResponse> {
    let begun = reconciliations::begin_applying(&doors.services.pool, actor, file).await;
    begun.map_err(|error| store_failed(&error))?;
    let applied = apply::apply(&doors.services, &doors.lanes, sender, file, most_rows).await;
    applied.map_err(|error| match error {
        ApplyError::NotDurable(reason) => answer::not_durable(reason),
        ApplyError::Store(error) => store_failed(&error),
    })
}

fn store_failed(error: &StoreError) -> HttpResponse {
    tracing::warn!(%error, "a reconciliation stopped: PostgreSQL did not go along");
    answer::not_durable(match error {
        StoreError::Unavailable(_) | StoreError::Raced(_) => NotDurable::StoreAway,
        StoreError::Refused(_) | StoreError::Unreadable(_) | StoreError::Panicked(_) => NotDurable::Refused,
    })
}

/// How much an answer shows beside the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Showing {
    Differences,
    Totals,
}

async fn answer_with_summary(
    doors: &Doors,
    file: Uuid,
    showing: Showing,
) -> Result<HttpResponse, HttpResponse> {
    let failed = |error: StoreError| store_failed(&error);
    let pool = &doors.services.pool;
    let summary = reconciliations::summary(pool, file).await.map_err(failed)?;
    let Some(Summary { state, created_at, applied_at, results, applied, remaining, advertiser_id }) = summary
    else {
        return Err(store_failed(&StoreError::Unreadable("the reconciliation is gone".into())));
    };
    let results: BTreeMap<_, _> = results.into_iter().collect();
    let mut body = json!({
        "status": "success", "reconciliation_id": file, "advertiser_id": advertiser_id, "state": state,
        "created_at": created_at, "applied_at": applied_at, "totals": results,
        "applied": applied, "remaining": remaining,
    });
    if showing == Showing::Differences {
        let rows = reconciliations::rows(pool, file, &differences(), 0, SHOWN_ROWS).await.map_err(failed)?;
        let more = rows.len() as i64 == SHOWN_ROWS;
        body["rows"] = rows.iter().map(row_body).collect();
        body["next_after"] = json!(rows.last().filter(|_| more).map(|row| row.position));
    }
    Ok(answer::json(200, &body))
}

fn row_body(row: &StoredRow) -> Value {
    let mut body = json!({
        "position": row.position, "line": row.line, "request_id": row.request_id, "lead_id": row.lead_id,
        "result": row.result,
    });
    if let (Some(body), Value::Object(details)) = (body.as_object_mut(), row.details.clone()) {
        body.extend(details);
        if let Some(applied) = &row.applied {
            body.insert("applied".into(), json!(applied));
            body.insert("applied_details".into(), json!(row.applied_details));
        }
    }
    body
}
