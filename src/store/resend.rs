//! Deliveries that are to be sent again, one transaction's worth.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::resend::{Finished, PassedOver, RequestVersion, Resend, Standing, resend};
use crate::graphql::scope::Scope;

/// What became of one delivery of the wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// A new delivery, of this id, waits to be sent.
    Made(DeliveryId),
    /// It was waiting; it is due now.
    Hastened,
    PassedOver(PassedOver),
}

/// One lock over all nodes: resends are numbered.
const ADVISORY_LOCK: i64 = 0x5249_434f_5245_534e;

/// A delivery that is over, and what the resend of it needs.
struct Source {
    first: DeliveryId,
    finished: Finished,
}

/// Sends deliveries again inside the caller's transaction: at most one new delivery for every
/// (job, event, postback), however often it is called. What lies outside the scope is unknown.
pub async fn resend_batch(
    client: &impl GenericClient,
    job: JobId,
    scope: Scope,
    request: RequestVersion,
    asked: &[DeliveryId],
    now: DateTime<Utc>,
) -> Result<Vec<(DeliveryId, Resent)>, StoreError> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK]).await?;
    let ids: Vec<Uuid> = asked.iter().map(|id| id.0).collect();
    let (advertiser, partner) = scope_columns(scope);
    // A row that somebody else holds is being claimed or recorded: it is not waited for.
    let lock = client
        .prepare_cached(
            "SELECT delivery_id FROM deliveries JOIN postbacks USING (postback_id)
             WHERE delivery_id = ANY($1) AND claimed_by IS NULL
               AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)
             FOR UPDATE OF deliveries SKIP LOCKED",
        )
        .await?;
    let waiting: HashSet<Uuid> =
        client.query(&lock, &[&ids, &advertiser, &partner]).await?.iter().map(|row| row.get(0)).collect();
    let look = client
        .prepare_cached(
            "SELECT delivery_id FROM deliveries JOIN postbacks USING (postback_id)
             WHERE delivery_id = ANY($1)
               AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)",
        )
        .await?;
    let hot: HashSet<Uuid> =
        client.query(&look, &[&ids, &advertiser, &partner]).await?.iter().map(|row| row.get(0)).collect();
    // After the queue: what left it meanwhile is found here.
    let over = client
        .prepare_cached(
            "SELECT delivery_id, coalesce(resent_from, delivery_id) AS first_id, sent_revision,
                    deleted_at IS NOT NULL AS is_deleted,
                    EXISTS (SELECT FROM conversion_history AS history
                            WHERE history.change_id = deliveries_finished.change_id) AS has_history
             FROM deliveries_finished JOIN postbacks USING (postback_id)
             WHERE delivery_id = ANY($1)
               AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)",
        )
        .await?;
    let finished: HashMap<Uuid, Source> = client
        .query(&over, &[&ids, &advertiser, &partner])
        .await?
        .iter()
        .map(|row| {
            let finished = Finished {
                has_history: row.get("has_history"),
                postback_is_deleted: row.get("is_deleted"),
                sent_revision: row.get("sent_revision"),
            };
            (row.get("delivery_id"), Source { first: DeliveryId(row.get("first_id")), finished })
        })
        .collect();

    let mut results = Vec::with_capacity(asked.len());
    let mut to_hasten = Vec::new();
    let mut to_make: HashMap<DeliveryId, (Uuid, Uuid, Option<i32>)> = HashMap::new();
    for &id in asked {
        let source = finished.get(&id.0);
        let standing = match source {
            _ if waiting.contains(&id.0) => Standing::Waiting,
            Some(source) => Standing::Finished(source.finished),
            None if hot.contains(&id.0) => Standing::BeingSent,
            None => Standing::Unknown,
        };
        let result = match (resend(standing, request), source) {
            (Resend::Hasten, _) => {
                to_hasten.push(id.0);
                Resent::Hastened
            }
            (Resend::Make { pinned_revision }, Some(source)) => {
                let new_id = DeliveryId::of_resend(source.first, job);
                let is_first = !to_make.contains_key(&new_id);
                to_make.entry(new_id).or_insert((id.0, source.first.0, pinned_revision));
                if is_first { Resent::Made(new_id) } else { Resent::PassedOver(PassedOver::MadeBefore) }
            }
            (Resend::Make { .. }, None) => Resent::PassedOver(PassedOver::Forgotten),
            (Resend::PassOver(reason), _) => Resent::PassedOver(reason),
        };
        results.push((id, result));
    }
    let hasten =
        "UPDATE deliveries SET next_attempt_at = least(next_attempt_at, now()) WHERE delivery_id = ANY($1)";
    if !to_hasten.is_empty() {
        client.execute(hasten, &[&to_hasten]).await?;
    }
    let made = insert(client, job, &to_make, now).await?;
    for (_, result) in &mut results {
        if let Resent::Made(new_id) = result
            && !made.contains(&new_id.0)
        {
            *result = Resent::PassedOver(PassedOver::MadeBefore);
        }
    }
    Ok(results)
}

/// Adds the new deliveries, and returns which of them are new indeed.
async fn insert(
    client: &impl GenericClient,
    job: JobId,
    to_make: &HashMap<DeliveryId, (Uuid, Uuid, Option<i32>)>,
    now: DateTime<Utc>,
) -> Result<HashSet<Uuid>, StoreError> {
    if to_make.is_empty() {
        return Ok(HashSet::new());
    }
    let new_ids: Vec<Uuid> = to_make.keys().map(|id| id.0).collect();
    let sources: Vec<Uuid> = to_make.values().map(|(source, ..)| *source).collect();
    let firsts: Vec<Uuid> = to_make.values().map(|(_, first, _)| *first).collect();
    let pinned: Vec<Option<i32>> = to_make.values().map(|(.., pinned)| *pinned).collect();
    let statement = client.prepare_cached(include_str!("queries/insert_resends.sql")).await?;
    let rows = client.query(&statement, &[&new_ids, &sources, &firsts, &pinned, &now, &job.0]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The scope as `(advertiser_id, partner_id)` of the postbacks in it.
pub fn scope_columns(scope: Scope) -> (Option<Uuid>, Option<Uuid>) {
    match scope {
        Scope::Everything => (None, None),
        Scope::Advertiser(id) => (Some(id.0), None),
        Scope::Partner(id) => (None, Some(id.0)),
    }
}
