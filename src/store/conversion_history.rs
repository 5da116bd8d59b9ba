//! What has happened to conversions, for people: every change with its cause.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use super::resend::scope_columns;
use super::search::read_only;
use crate::domain::event::{Cause, Event};
use crate::domain::facts::EventFacts;
use crate::domain::money::Currency;
use crate::domain::status::Status;
use crate::graphql::scope::Scope;

/// One change of a conversion.
#[derive(Debug, Clone)]
pub struct ChangeRecord {
    pub lead_id: Uuid,
    pub change_id: Uuid,
    pub recorded_at: DateTime<Utc>,
    /// By the word of whoever reported it.
    pub occurred_at: DateTime<Utc>,
    /// `None` where it made the conversion.
    pub status_from: Option<Status>,
    pub status_to: Option<Status>,
    pub events: Vec<Event>,
    pub cause: Cause,
    /// Who did it by hand: a role and the id of a token; empty for requests.
    pub actor: String,
    pub note: String,
    pub amount: Option<Decimal>,
    pub currency: Option<Currency>,
    pub payout: Option<Decimal>,
    pub payout_currency: Option<Currency>,
    pub comment: String,
}

/// The first `each` changes of each of `leads` that is in scope, oldest first; as far back as the
/// history is kept.
pub async fn of_leads(
    pool: &Pool,
    scope: Scope,
    leads: &[Uuid],
    each: usize,
) -> Result<Vec<ChangeRecord>, StoreError> {
    let (advertiser, partner) = scope_columns(scope);
    let each = i64::try_from(each).unwrap_or(i64::MAX);
    let rows = read_only(
        pool,
        "SELECT * FROM (
             SELECT history.*, row_number() OVER (PARTITION BY lead_id ORDER BY recorded_at, change_id) AS place
             FROM conversion_history AS history JOIN conversions USING (lead_id)
             WHERE lead_id = ANY($1) AND ($2::uuid IS NULL OR advertiser_id = $2)
               AND ($3::uuid IS NULL OR partner_id = $3)) AS placed
         WHERE place <= $4 ORDER BY lead_id, place",
        &[&leads, &advertiser, &partner, &each],
    )
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ChangeRecord, StoreError> {
    let unreadable =
        |column: &str, why: String| StoreError::Unreadable(format!("conversion_history.{column}: {why}"));
    let status = |column: &str| {
        let code: Option<&str> = row.try_get(column)?;
        let read = |code: &str| Status::from_code(code).ok_or_else(|| unreadable(column, code.to_owned()));
        code.map(read).transpose()
    };
    let events: Vec<&str> = row.try_get("events")?;
    let event = |code: &str| Event::from_code(code).ok_or_else(|| unreadable("events", code.to_owned()));
    let cause: &str = row.try_get("cause")?;
    let facts: EventFacts = serde_json::from_value(row.try_get("facts")?)
        .map_err(|error| unreadable("facts", error.to_string()))?;
    Ok(ChangeRecord {
        lead_id: row.try_get("lead_id")?,
        change_id: row.try_get("change_id")?,
        recorded_at: row.try_get("recorded_at")?,
        occurred_at: facts.occurred_at,
        status_from: status("status_from")?,
        status_to: status("status_to")?,
        events: events.into_iter().map(event).collect::<Result<_, _>>()?,
        cause: Cause::from_code(cause).ok_or_else(|| unreadable("cause", cause.to_owned()))?,
        actor: row.try_get("actor")?,
        note: row.try_get("note")?,
        amount: facts.amount,
        currency: facts.currency,
        payout: facts.payout,
        payout_currency: facts.payout_currency,
        comment: facts.comment,
    })
}
