//! Deliveries that are to be sent again, one transaction's worth.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::deliveries::{ClaimedDelivery, FIRST_FENCE};
use super::error::StoreError;
use super::kept_back::{Judged, finished, judge};
use super::log_batches;
use crate::domain::ids::{DeliveryId, JobId, NodeId};
use crate::domain::resend::{Conditions, Finished, PassedOver, RequestVersion, Resend, Standing, resend};
use crate::event_log::rows::encode;
use crate::graphql::scope::Scope;
use crate::outbound::attempt;

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

/// What is asked for, of whatever deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub job: JobId,
    pub scope: Scope,
    pub request: RequestVersion,
    pub conditions: Conditions,
    /// Who makes it so.
    pub node: NodeId,
}

/// What became of the deliveries that were asked for, in their order, and why conditions kept some
/// of them back.
#[derive(Debug, Default)]
pub struct Batch {
    pub results: Vec<(DeliveryId, Resent)>,
    pub reasons: HashMap<DeliveryId, String>,
}

/// A delivery that is over, and what the resend of it needs.
struct Source {
    first: DeliveryId,
    finished: Finished,
    judged: Option<Judged>,
}

/// Sends deliveries again inside the caller's transaction: at most one new delivery for every
/// (job, event, postback), however often it is called. What lies outside the scope is unknown. What
/// a condition keeps back is finished at once, as skipped, with its row in the log.
pub async fn resend_batch(
    client: &impl GenericClient,
    wish: Wish,
    asked: &[DeliveryId],
    now: DateTime<Utc>,
) -> Result<Batch, StoreError> {
    let Wish { job, scope, request, conditions, node } = wish;
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
    let finished: HashMap<Uuid, Source> = finished(client, scope, &ids)
        .await?
        .iter()
        .map(|row| {
            let judged = match conditions {
                Conditions::Heeded => judge(row)?,
                Conditions::Ignored => None,
            };
            let finished = Finished {
                has_history: row.get("has_history"),
                postback_is_deleted: row.get("is_deleted"),
                sent_revision: row.get("sent_revision"),
                is_kept_back: judged.is_some(),
            };
            let first = DeliveryId(row.get("first_id"));
            Ok((row.get("delivery_id"), Source { first, finished, judged }))
        })
        .collect::<Result<_, StoreError>>()?;

    let mut results = Vec::with_capacity(asked.len());
    let mut reasons = HashMap::new();
    let mut kept_back: HashMap<DeliveryId, (Uuid, Uuid, &Judged)> = HashMap::new();
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
            (Resend::PassOver(reason), source) => {
                if let (PassedOver::ConditionUnmet, Some(Source { first, judged: Some(judged), .. })) =
                    (reason, source)
                {
                    reasons.insert(id, judged.reason.clone());
                    kept_back.entry(DeliveryId::of_resend(*first, job)).or_insert((id.0, first.0, judged));
                }
                Resent::PassedOver(reason)
            }
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
    finish_kept_back(client, job, &kept_back, node, now).await?;
    Ok(Batch { results, reasons })
}

/// Adds what conditions keep back to what is over, and to the log: once for a job, however often it
/// is asked for.
async fn finish_kept_back(
    client: &impl GenericClient,
    job: JobId,
    kept_back: &HashMap<DeliveryId, (Uuid, Uuid, &Judged)>,
    node: NodeId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if kept_back.is_empty() {
        return Ok(());
    }
    let new_ids: Vec<Uuid> = kept_back.keys().map(|id| id.0).collect();
    let sources: Vec<Uuid> = kept_back.values().map(|(source, ..)| *source).collect();
    let firsts: Vec<Uuid> = kept_back.values().map(|(_, first, _)| *first).collect();
    let reasons: Vec<&str> = kept_back.values().map(|(.., judged)| judged.reason.as_str()).collect();
    let statement = client.prepare_cached(include_str!("queries/insert_kept_back.sql")).await?;
    let rows = client.query(&statement, &[&new_ids, &sources, &firsts, &reasons, &now, &job.0]).await?;
    let log_rows = rows.iter().filter_map(|row| {
        let delivery_id = DeliveryId(row.get(0));
        let (.., judged) = kept_back.get(&delivery_id)?;
        let delivery = ClaimedDelivery {
            delivery_id,
            postback_id: judged.postback_id,
            event: judged.event,
            attempt: 1,
            fence: FIRST_FENCE,
            due_at: now,
            facts: judged.facts.clone(),
            pinned_revision: None,
            is_unjudged: false,
        };
        Some(attempt::unmet_row(judged.owner, &delivery, judged.reason.clone(), node))
    });
    match encode(log_rows) {
        Some(batch) => log_batches::insert_within(client, &batch).await,
        None => Ok(()),
    }
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
