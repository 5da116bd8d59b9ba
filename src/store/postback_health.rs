//! How destinations are doing, over all nodes, and the warnings of it.
//!
//! A warning is decided by one statement that changes a row only where nobody has given it yet,
//! in the transaction that writes its deliveries: two nodes that see the same give one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use tokio_postgres::Row;
use uuid::Uuid;

use super::deliveries::{self, NewDelivery};
use super::error::StoreError;
use super::recording::{self, ChangeRow};
use super::session::Session;
use crate::domain::event::Event;
use crate::domain::health::{Notes, Thresholds, Transition, in_words};
use crate::domain::ids::{NodeId, PostbackId};

/// How many destinations are failing, by the warnings given: none, one, two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failing(pub [u32; 3]);

/// What to write for a transition.
pub type Telling<'a> = &'a (dyn Fn(&Transition) -> (ChangeRow, Vec<NewDelivery>) + Sync);

struct Standing {
    postback_id: Uuid,
    failing_since: Option<DateTime<Utc>>,
    warnings: i16,
    untold_pause: Option<String>,
}

impl From<&Row> for Standing {
    fn from(row: &Row) -> Self {
        Self {
            postback_id: row.get("postback_id"),
            failing_since: row.get("failing_since"),
            warnings: row.get("warnings"),
            untold_pause: row.get("untold_pause"),
        }
    }
}

/// Writes what this node has noted, gives the warnings that are due, and tells who subscribed to
/// them, all in one transaction. Where all is well it reads an empty index and writes nothing.
pub async fn settle(
    pool: &Pool,
    node: NodeId,
    now: DateTime<Utc>,
    thresholds: Thresholds,
    notes: &HashMap<PostbackId, Notes>,
    telling: Telling<'_>,
) -> Result<(Vec<Transition>, Failing), StoreError> {
    let session = Session::checkout(pool).await?;
    let standing = standing(&session, "").await?;
    let has_failed = notes.values().any(|notes| notes.failures.is_some() || notes.given_up.is_some());
    if standing.is_empty() && !has_failed {
        session.give_back();
        return Ok((Vec::new(), Failing::default()));
    }
    session.batch_execute("BEGIN").await?;
    let mut transitions = recover(&session, notes).await?;
    note_failures(&session, notes).await?;
    transitions.extend(give_up(&session, now, thresholds, notes).await?);
    // Locked, so that the other nodes wait and then find nothing more to tell.
    let standing = self::standing(&session, "FOR NO KEY UPDATE").await?;
    let mut failing = Failing::default();
    for one in standing {
        transitions.extend(tell_pause(&session, now, &one).await?);
        if let Some(since) = one.failing_since {
            let due = thresholds.due(since, now);
            transitions.extend(warn(&session, now, &one, since, due).await?);
            failing.0[usize::try_from(due.max(one.warnings)).unwrap_or(0).min(2)] += 1;
        }
    }
    let (mut changes, mut news) = (Vec::new(), Vec::new());
    for transition in &transitions {
        let (change, deliveries) = telling(transition);
        if !deliveries.is_empty() {
            changes.push(change);
            news.extend(deliveries);
        }
    }
    let insert_changes = recording::prepare_changes(&session).await?;
    let insert_deliveries = deliveries::prepare_insert(&session).await?;
    recording::write_changes(&session, &insert_changes, now, &changes).await?;
    deliveries::insert(&session, &insert_deliveries, node, now, &news).await?;
    session.commit().await?;
    session.give_back();
    Ok((transitions, failing))
}

/// Whatever is not well, or whose pause is to be told, in one order for all nodes.
async fn standing(session: &Session, lock: &str) -> Result<Vec<Standing>, StoreError> {
    let rows = session
        .query(
            &format!(
                "SELECT postback_id, failing_since, warnings, untold_pause FROM postback_health
                 WHERE failing_since IS NOT NULL OR untold_pause IS NOT NULL ORDER BY postback_id {lock}"
            ),
            &[],
        )
        .await?;
    Ok(rows.iter().map(Standing::from).collect())
}

/// Ends the failing of what has succeeded since it began, on whatever node.
async fn recover(
    session: &Session,
    notes: &HashMap<PostbackId, Notes>,
) -> Result<Vec<Transition>, StoreError> {
    let succeeded = notes.iter().filter(|(_, notes)| notes.is_success_news);
    let (ids, times): (Vec<Uuid>, Vec<DateTime<Utc>>) =
        succeeded.filter_map(|(id, notes)| Some((id.0, notes.succeeded_at?))).unzip();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session
        .query(
            "WITH ended AS (
                 SELECT health.*, success.at
                 FROM postback_health AS health
                 JOIN unnest($1::uuid[], $2::timestamptz[]) AS success(postback_id, at) USING (postback_id)
                 WHERE health.failing_since <= success.at
                 ORDER BY postback_id FOR NO KEY UPDATE OF health
             )
             UPDATE postback_health AS health
             SET failing_since = NULL, consecutive_failures = 0, warnings = 0, last_success_at = ended.at
             FROM ended WHERE health.postback_id = ended.postback_id
             RETURNING ended.postback_id, ended.failing_since, ended.warnings, ended.at",
            &[&ids, &times],
        )
        .await?;
    let told = rows.iter().filter(|row| row.get::<_, i16>("warnings") > 0);
    Ok(told
        .map(|row| {
            let (since, at): (DateTime<Utc>, DateTime<Utc>) = (row.get("failing_since"), row.get("at"));
            Transition {
                postback_id: PostbackId(row.get("postback_id")),
                event: Event::DestinationRecovered,
                since,
                reason: format!("it answers again after {}", in_words(at - since)),
            }
        })
        .collect())
}

async fn note_failures(session: &Session, notes: &HashMap<PostbackId, Notes>) -> Result<(), StoreError> {
    let mut failed: Vec<_> = notes
        .iter()
        .filter_map(|(id, notes)| Some((id.0, notes.failures.as_ref()?, notes.succeeded_at)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    failed.sort_by_key(|(id, ..)| *id);
    macro_rules! column {
        (|$one:ident| $value:expr) => {
            failed.iter().map(|$one| $value).collect::<Vec<_>>()
        };
    }
    session
        .execute(
            "INSERT INTO postback_health AS health
                 (postback_id, failing_since, last_failure_at, consecutive_failures, last_error, last_success_at)
             SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::text[],
                                  $6::timestamptz[])
             ON CONFLICT (postback_id) DO UPDATE
             SET failing_since = COALESCE(health.failing_since, excluded.failing_since),
                 last_failure_at = greatest(health.last_failure_at, excluded.last_failure_at),
                 consecutive_failures = health.consecutive_failures + excluded.consecutive_failures,
                 last_error = excluded.last_error,
                 last_success_at = greatest(health.last_success_at, excluded.last_success_at)
             -- Another node has seen it well since.
             WHERE health.last_success_at IS NULL OR excluded.last_failure_at > health.last_success_at",
            &[
                &column!(|one| one.0),
                &column!(|one| one.1.first_at),
                &column!(|one| one.1.last_at),
                &column!(|one| one.1.count),
                &column!(|one| one.1.last_error.as_str()),
                &column!(|one| one.2),
            ],
        )
        .await?;
    Ok(())
}

/// Tells of deliveries that were given up, once within the first threshold.
async fn give_up(
    session: &Session,
    now: DateTime<Utc>,
    thresholds: Thresholds,
    notes: &HashMap<PostbackId, Notes>,
) -> Result<Vec<Transition>, StoreError> {
    let mut given_up: Vec<(Uuid, &str)> =
        notes.iter().filter_map(|(id, notes)| Some((id.0, notes.given_up.as_deref()?))).collect();
    if given_up.is_empty() {
        return Ok(Vec::new());
    }
    given_up.sort_unstable();
    let (ids, reasons): (Vec<Uuid>, Vec<&str>) = given_up.into_iter().unzip();
    let rows = session
        .query(
            "INSERT INTO postback_health AS health (postback_id, gave_up_told_at)
             SELECT postback_id, $2::timestamptz FROM unnest($1::uuid[]) AS postback_id
             ON CONFLICT (postback_id) DO UPDATE SET gave_up_told_at = excluded.gave_up_told_at
             WHERE health.gave_up_told_at IS NULL
                OR health.gave_up_told_at <= excluded.gave_up_told_at - make_interval(secs => $3)
             RETURNING postback_id, COALESCE(failing_since, $2::timestamptz) AS since",
            &[&ids, &now, &thresholds.first.as_secs_f64()],
        )
        .await?;
    let told = rows.iter().map(|row| {
        let id: Uuid = row.get("postback_id");
        let reason = ids.iter().position(|one| *one == id).map_or("", |index| reasons[index]);
        Transition {
            postback_id: PostbackId(id),
            event: Event::DestinationFailing,
            since: row.get("since"),
            reason: format!("a delivery was given up: {reason}"),
        }
    });
    Ok(told.collect())
}

async fn tell_pause(
    session: &Session,
    now: DateTime<Utc>,
    one: &Standing,
) -> Result<Option<Transition>, StoreError> {
    let Some(reason) = &one.untold_pause else { return Ok(None) };
    let told = "UPDATE postback_health SET untold_pause = NULL WHERE postback_id = $1";
    session.execute(told, &[&one.postback_id]).await?;
    Ok(Some(Transition {
        postback_id: PostbackId(one.postback_id),
        event: Event::DestinationPaused,
        since: now,
        reason: reason.clone(),
    }))
}

async fn warn(
    session: &Session,
    now: DateTime<Utc>,
    one: &Standing,
    since: DateTime<Utc>,
    due: i16,
) -> Result<Option<Transition>, StoreError> {
    if due <= one.warnings {
        return Ok(None);
    }
    let row = session
        .query_one(
            "UPDATE postback_health SET warnings = $2 WHERE postback_id = $1
             RETURNING consecutive_failures, last_error",
            &[&one.postback_id, &due],
        )
        .await?;
    let (failures, error): (i64, String) = (row.get(0), row.get(1));
    let attempts = if failures == 1 { "1 attempt".into() } else { format!("{failures} attempts") };
    Ok(Some(Transition {
        postback_id: PostbackId(one.postback_id),
        event: Event::DestinationFailing,
        since,
        reason: format!("{attempts} failed in {} and none succeeded: {error}", in_words(now - since)),
    }))
}
