//! What the nodes tell each other of destinations in trouble.
//!
//! Times are told as durations, by PostgreSQL's clock: those of the nodes need not agree.

use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::destination::news::{BreakerNews, HoldNews, Telling, Told};
use crate::domain::ids::{NodeId, PostbackId};

/// Most rows of one statement.
const ROWS: usize = 1_000;

/// Tells the other nodes.
pub async fn tell(pool: &Pool, node: NodeId, tellings: &[(PostbackId, Telling)]) -> Result<(), StoreError> {
    if tellings.is_empty() {
        return Ok(());
    }
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("queries/tell_destinations.sql")).await?;
    for rows in tellings.chunks(ROWS) {
        let postbacks: Vec<Uuid> = rows.iter().map(|(postback, _)| postback.0).collect();
        let column = |value: fn(&Telling) -> Option<Duration>| -> Vec<Option<f64>> {
            rows.iter().map(|(_, telling)| value(telling).map(|time| time.as_secs_f64())).collect()
        };
        let holds = column(|telling| telling.hold);
        let probes = column(|telling| match telling.breaker {
            Some(BreakerNews::Open { probe_in, .. }) => Some(probe_in),
            Some(BreakerNews::Closed) | None => None,
        });
        let openings: Vec<Option<i32>> = rows
            .iter()
            .map(|(_, telling)| match telling.breaker? {
                BreakerNews::Open { openings, .. } => Some(i32::try_from(openings).unwrap_or(i32::MAX)),
                BreakerNews::Closed => Some(0),
            })
            .collect();
        client.execute(&statement, &[&node.0, &postbacks, &holds, &probes, &openings]).await?;
    }
    Ok(())
}

/// How far back is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// What was told in the last few seconds: for who looks twice a second.
    Recent,
    /// All there is: for who may have missed something.
    All,
}

/// What was told, by whichever node.
pub async fn look(pool: &Pool, look: Look) -> Result<Vec<(PostbackId, Told)>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT postback_id, version, openings, is_lifted,
                    extract(epoch FROM held_until - now())::double precision AS hold_s,
                    extract(epoch FROM probe_at - now())::double precision AS probe_in_s
             FROM destination_news WHERE $1 OR changed_at > now() - interval '5 seconds'",
        )
        .await?;
    let rows = client.query(&statement, &[&(look == Look::All)]).await?;
    let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(rows
        .iter()
        .map(|row| {
            let openings: Option<i32> = row.get("openings");
            let probe_in: Option<f64> = row.get("probe_in_s");
            let breaker = openings.map(|openings| match probe_in {
                None => BreakerNews::Closed,
                Some(seconds) => BreakerNews::Open {
                    probe_in: duration(seconds),
                    openings: u32::try_from(openings).unwrap_or(0),
                },
            });
            let hold: Option<f64> = row.get("hold_s");
            let told = Told {
                version: row.get("version"),
                hold: match hold.map(duration).filter(|hold| !hold.is_zero()) {
                    Some(hold) => HoldNews::For(hold),
                    None if row.get("is_lifted") => HoldNews::Lifted,
                    None => HoldNews::Nothing,
                },
                breaker,
            };
            (PostbackId(row.get("postback_id")), told)
        })
        .collect())
}

/// Lifts the hold of a destination, on all nodes.
pub async fn lift_hold(transaction: &Transaction<'_>, postback: PostbackId) -> Result<(), StoreError> {
    transaction
        .execute(
            "UPDATE destination_news SET held_until = NULL, is_lifted = true, changed_at = clock_timestamp(),
                                         version = nextval('destination_news_version')
             WHERE postback_id = $1 AND held_until IS NOT NULL",
            &[&postback.0],
        )
        .await?;
    Ok(())
}

/// Forgets what was told long ago. A breaker that is open still was not probed for a day, since
/// nothing was due there: whoever does not know of it finds out.
pub async fn forget(pool: &Pool) -> Result<(), StoreError> {
    pool.get()
        .await?
        .execute(
            "DELETE FROM destination_news
             WHERE changed_at < now() - interval '1 day' AND (held_until IS NULL OR held_until < now())",
            &[],
        )
        .await?;
    Ok(())
}
