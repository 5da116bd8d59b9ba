//! What became of attempts: the delivery's next state and the attempt's log row, together.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use uuid::Uuid;

use super::deliveries::Fence;
use super::error::StoreError;
use super::log_batches;
use super::session::Session;
use crate::domain::ids::{DeliveryId, NodeId};
use crate::domain::lease::CLAIM_LEASE;
use crate::domain::party_names::PartyNames;
use crate::domain::retry::Outcome;
use crate::event_log::rows::{AttemptRow, encode};

/// An attempt made, ready to be recorded.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    pub delivery_id: DeliveryId,
    pub fence: Fence,
    pub outcome: Outcome,
    /// Set exactly when the outcome is [`Outcome::Retrying`].
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The revision of its postback that it was sent with.
    pub revision: i32,
    /// What its request called the parties of the event, where it did.
    pub names: Option<PartyNames>,
    pub row: AttemptRow,
}

impl AttemptRecord {
    /// The same attempt with nothing in it that a destination or a template has written: for
    /// PostgreSQL has refused the whole of it, and that it was made must be recorded.
    pub fn reduced(&self) -> Self {
        let row = AttemptRow {
            reason: match self.outcome {
                Outcome::Delivered => String::new(),
                Outcome::Retrying | Outcome::Failed | Outcome::Skipped => {
                    "the database refused to keep what this attempt came to in full".into()
                }
            },
            url: String::new(),
            request_headers: String::new(),
            request_body: String::new(),
            response_body: String::new(),
            ..self.row.clone()
        };
        Self { row, ..self.clone() }
    }
}

/// Records attempts. An attempt whose claim has passed to somebody else changes nothing and is
/// not logged: whoever took the claim over has logged it as interrupted. Returns how many those
/// were.
pub async fn record(
    pool: &Pool,
    node: NodeId,
    now: DateTime<Utc>,
    attempts: &[AttemptRecord],
) -> Result<usize, StoreError> {
    let (retried, finished): (Vec<&AttemptRecord>, Vec<&AttemptRecord>) =
        attempts.iter().partition(|attempt| attempt.outcome == Outcome::Retrying);

    let session = Session::checkout(pool).await?;
    let finish = session.prepare_cached(include_str!("queries/finish_deliveries.sql")).await?;
    let retry = session
        .prepare_cached(
            "UPDATE deliveries SET claimed_by = NULL, lease_until = NULL, next_attempt_at = attempt.next_attempt_at,
                                   sent_revision = attempt.revision,
                                   sent_names = coalesce(attempt.names, deliveries.sent_names)
             FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $5::int[], $6::jsonb[])
                  AS attempt(delivery_id, fence, next_attempt_at, revision, names)
             -- By their keys: see finish_deliveries.sql.
             WHERE deliveries.delivery_id = ANY($1)
               AND deliveries.delivery_id = attempt.delivery_id AND deliveries.fence = attempt.fence
               AND claimed_by = $4
             RETURNING deliveries.delivery_id, deliveries.fence",
        )
        .await?;
    let insert_log = log_batches::prepare_insert(&session).await?;

    let (_, finished, retried) = tokio::try_join!(
        biased;
        session.batch_execute("BEGIN"),
        async {
            if finished.is_empty() {
                return Ok(Vec::new());
            }
            let (ids, fences): (Vec<Uuid>, Vec<i64>) = keys(&finished);
            let states: Vec<&str> = finished.iter().map(|attempt| attempt.outcome.code()).collect();
            let reasons: Vec<&str> = finished.iter().map(|attempt| attempt.row.reason.as_str()).collect();
            session
                .query(
                    &finish,
                    &[&ids, &fences, &states, &reasons, &now, &node.0, &revisions(&finished), &names(&finished)],
                )
                .await
        },
        async {
            if retried.is_empty() {
                return Ok(Vec::new());
            }
            let (ids, fences): (Vec<Uuid>, Vec<i64>) = keys(&retried);
            let times: Vec<DateTime<Utc>> =
                retried.iter().map(|attempt| attempt.next_attempt_at.unwrap_or(now)).collect();
            session.query(&retry, &[&ids, &fences, &times, &node.0, &revisions(&retried), &names(&retried)]).await
        },
    )?;
    // By claim, not by delivery: one that was taken over may have come back to this node, and both of its
    // attempts be here.
    let recorded: HashSet<(Uuid, Fence)> =
        finished.iter().chain(&retried).map(|row| (row.get(0), row.get(1))).collect();
    let rows = attempts.iter().filter(|attempt| recorded.contains(&(attempt.delivery_id.0, attempt.fence)));
    let log_batch = encode(rows.map(|attempt| attempt.row.clone()));
    tokio::try_join!(
        biased;
        log_batches::insert(&session, &insert_log, log_batch.as_slice()),
        async { Ok::<_, StoreError>(session.commit().await?) },
    )?;
    session.give_back();
    Ok(attempts.len() - recorded.len())
}

/// Makes the claims of attempts that are not recorded yet last for another lease from now, where
/// they are still this node's: nobody takes them for lapsed, and nothing is sent again.
pub async fn hold(pool: &Pool, node: NodeId, attempts: &[AttemptRecord]) -> Result<(), StoreError> {
    let (ids, fences) = keys(&attempts.iter().collect::<Vec<_>>());
    let client = pool.get().await?;
    client
        .execute(
            "UPDATE deliveries SET lease_until = now() + make_interval(secs => $4)
             FROM unnest($1::uuid[], $2::bigint[]) AS attempt(delivery_id, fence)
             WHERE deliveries.delivery_id = ANY($1)
               AND deliveries.delivery_id = attempt.delivery_id AND deliveries.fence = attempt.fence
               AND claimed_by = $3",
            &[&ids, &fences, &node.0, &CLAIM_LEASE.as_secs_f64()],
        )
        .await?;
    Ok(())
}

fn keys(attempts: &[&AttemptRecord]) -> (Vec<Uuid>, Vec<i64>) {
    attempts.iter().map(|attempt| (attempt.delivery_id.0, attempt.fence)).unzip()
}

/// JSON, as it is kept with the delivery; mostly nothing.
fn names(attempts: &[&AttemptRecord]) -> Vec<Option<serde_json::Value>> {
    let as_json = |names| serde_json::to_value(names).expect("names are JSON");
    attempts.iter().map(|attempt| attempt.names.as_ref().map(as_json)).collect()
}

fn revisions(attempts: &[&AttemptRecord]) -> Vec<i32> {
    attempts.iter().map(|attempt| attempt.revision).collect()
}
