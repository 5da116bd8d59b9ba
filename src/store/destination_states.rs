//! How the nodes find their destinations: written by each for its own, read by whoever is asked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use uuid::Uuid;

use super::error::StoreError;
use super::search::{Search, page};
use super::setup::postbacks::{COLUMNS, PostbackRecord, read as read_postback};
use crate::domain::destination::breaker::State;
use crate::domain::ids::{NodeId, PostbackId};
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

/// One destination as one node finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationState {
    pub postback_id: PostbackId,
    pub breaker: State,
    /// When the next probe may go, while it is open.
    pub probe_at: Option<DateTime<Utc>>,
    pub held_until: Option<DateTime<Utc>>,
    pub in_flight: i32,
    /// Requests that may be under way as things stand.
    pub concurrency: i32,
    /// The node's shares of the limits.
    pub max_in_flight: i32,
    pub rate_per_second: Option<f64>,
    pub consecutive_failures: i32,
    pub last_success_at: Option<DateTime<Utc>>,
    pub last_failure_at: Option<DateTime<Utc>>,
}

/// Writes what `node` finds, in one statement.
pub async fn write(pool: &Pool, node: NodeId, states: &[DestinationState]) -> Result<(), StoreError> {
    if states.is_empty() {
        return Ok(());
    }
    fn column<T>(states: &[DestinationState], value: impl Fn(&DestinationState) -> T) -> Vec<T> {
        states.iter().map(value).collect()
    }
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("queries/write_destination_states.sql")).await?;
    client
        .execute(
            &statement,
            &[
                &node.0,
                &column(states, |state| state.postback_id.0),
                &column(states, |state| state.breaker.code()),
                &column(states, |state| state.probe_at),
                &column(states, |state| state.held_until),
                &column(states, |state| state.in_flight),
                &column(states, |state| state.concurrency),
                &column(states, |state| state.max_in_flight),
                &column(states, |state| state.rate_per_second),
                &column(states, |state| state.consecutive_failures),
                &column(states, |state| state.last_success_at),
                &column(states, |state| state.last_failure_at),
            ],
        )
        .await?;
    Ok(())
}

/// What waits in PostgreSQL for one postback.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backlog {
    /// [`COUNTED`] at most.
    pub deliveries: i64,
    pub oldest_due: Option<DateTime<Utc>>,
}

/// As far as a backlog is counted: past that it is only known to be more.
pub const COUNTED: i64 = 10_000;

/// A postback's destination: what is set of it, what waits for it, and how every node finds it.
#[derive(Debug)]
pub struct DestinationRecord {
    pub postback: PostbackRecord,
    pub backlog: Backlog,
    pub nodes: Vec<(NodeId, DestinationState)>,
}

impl Positioned for DestinationRecord {
    fn position(&self) -> Position {
        self.postback.position()
    }
}

/// Which destinations; what is empty restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct DestinationFilter {
    pub postback_ids: Vec<Uuid>,
    /// Those of which at least one node says so.
    pub breakers: Vec<State>,
}

/// Destinations of postbacks that are not deleted, newest first; an advertiser or partner sees
/// those of its own. Three queries, however many there are.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    filter: &DestinationFilter,
    request: &PageRequest,
) -> Result<Page<DestinationRecord>, StoreError> {
    let mut search = Search::default();
    search.condition("deleted_at IS NULL");
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.compare("advertiser_id =", Some(id.0)),
        Scope::Partner(id) => search.compare("partner_id =", Some(id.0)),
    }
    search.one_of("postback_id", filter.postback_ids.clone());
    let breakers: Vec<&str> = filter.breakers.iter().map(|state| state.code()).collect();
    if !breakers.is_empty() {
        let number = search.value(breakers);
        search.condition(format!(
            "postback_id IN (SELECT postback_id FROM destination_states WHERE breaker = ANY(${number}))"
        ));
    }
    let page = page(pool, COLUMNS, search, request, read_postback).await?;
    let ids: Vec<Uuid> = page.rows.iter().map(|postback| postback.postback_id).collect();
    let mut nodes = states_of(pool, &ids).await?;
    let backlogs = backlogs_of(pool, &ids).await?;
    let rows = page
        .rows
        .into_iter()
        .map(|postback| {
            let id = postback.postback_id;
            DestinationRecord {
                postback,
                backlog: backlogs.get(&id).copied().unwrap_or_default(),
                nodes: nodes.remove(&id).unwrap_or_default(),
            }
        })
        .collect();
    Ok(Page { rows, has_next_page: page.has_next_page, total: page.total })
}

async fn states_of(
    pool: &Pool,
    postbacks: &[Uuid],
) -> Result<HashMap<Uuid, Vec<(NodeId, DestinationState)>>, StoreError> {
    let rows = pool
        .get()
        .await?
        .query(
            "SELECT destination_states.* FROM destination_states JOIN nodes USING (node_id)
             WHERE postback_id = ANY($1) ORDER BY node_id",
            &[&postbacks],
        )
        .await?;
    let mut states: HashMap<Uuid, Vec<_>> = HashMap::new();
    for row in &rows {
        let breaker: String = row.try_get("breaker")?;
        let postback_id: Uuid = row.try_get("postback_id")?;
        let state = DestinationState {
            postback_id: PostbackId(postback_id),
            breaker: State::from_code(&breaker)
                .ok_or_else(|| StoreError::Unreadable(format!("destination_states.breaker: {breaker}")))?,
            probe_at: row.try_get("probe_at")?,
            held_until: row.try_get("held_until")?,
            in_flight: row.try_get("in_flight")?,
            concurrency: row.try_get("concurrency")?,
            max_in_flight: row.try_get("max_in_flight")?,
            rate_per_second: row.try_get("rate_per_second")?,
            consecutive_failures: row.try_get("consecutive_failures")?,
            last_success_at: row.try_get("last_success_at")?,
            last_failure_at: row.try_get("last_failure_at")?,
        };
        states.entry(postback_id).or_default().push((NodeId(row.try_get("node_id")?), state));
    }
    Ok(states)
}

async fn backlogs_of(pool: &Pool, postbacks: &[Uuid]) -> Result<HashMap<Uuid, Backlog>, StoreError> {
    let rows = pool
        .get()
        .await?
        .query(
            "SELECT postback.id, waiting.deliveries, oldest.due
             FROM unnest($1::uuid[]) AS postback(id)
             CROSS JOIN LATERAL (
                 SELECT count(*) AS deliveries FROM (
                     SELECT 1 FROM deliveries WHERE postback_id = postback.id AND claimed_by IS NULL LIMIT $2
                 ) AS counted
             ) AS waiting
             CROSS JOIN LATERAL (
                 SELECT min(next_attempt_at) AS due FROM deliveries
                 WHERE postback_id = postback.id AND claimed_by IS NULL
             ) AS oldest",
            &[&postbacks, &COUNTED],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let backlog = Backlog { deliveries: row.try_get(1)?, oldest_due: row.try_get(2)? };
            Ok((row.try_get(0)?, backlog))
        })
        .collect()
}
