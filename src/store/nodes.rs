//! Which server processes are alive.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use uuid::Uuid;

use super::claims;
use super::error::StoreError;
use super::session::Session;
use crate::domain::ids::NodeId;

/// What a node says of itself as it renews its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    Serving,
    /// It finishes what it has under way and begins nothing new.
    Leaving,
}

/// Says that this node lives for another `lease`. May be given up while it waits: its connection
/// is closed then.
pub async fn renew(pool: &Pool, node: NodeId, lease: Duration, renewal: Renewal) -> Result<(), StoreError> {
    let session = Session::checkout(pool).await?;
    let statement = session
        .prepare_cached(
            "INSERT INTO nodes (node_id, lease_until, state) VALUES ($1, now() + make_interval(secs => $2), $3)
             ON CONFLICT (node_id) DO UPDATE SET lease_until = excluded.lease_until, state = excluded.state",
        )
        .await?;
    let state = match renewal {
        Renewal::Serving => "serving",
        Renewal::Leaving => "leaving",
    };
    session.execute(&statement, &[&node.0, &lease.as_secs_f64(), &state]).await?;
    session.give_back();
    Ok(())
}

/// How a node stands, by PostgreSQL's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Serving,
    Leaving,
    /// Its lease has lapsed. It may be dead, or cut off from PostgreSQL.
    Lapsed,
    /// It has said good-bye and left claims behind.
    Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub node: NodeId,
    pub standing: Standing,
    /// When claims of it were last taken over.
    pub rescued_at: Option<DateTime<Utc>>,
}

/// All nodes that are not forgotten, in the order of their ids.
pub async fn members(pool: &Pool) -> Result<Vec<Member>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT node_id, state, lease_until < now() AS has_lapsed, rescued_at FROM nodes ORDER BY node_id",
        )
        .await?;
    let rows = client.query(&statement, &[]).await?;
    let member = |row: &tokio_postgres::Row| Member {
        node: NodeId(row.get("node_id")),
        standing: match (row.get("state"), row.get("has_lapsed")) {
            ("left", _) => Standing::Left,
            (_, true) => Standing::Lapsed,
            ("leaving", false) => Standing::Leaving,
            (_, false) => Standing::Serving,
        },
        rescued_at: row.get("rescued_at"),
    };
    Ok(rows.iter().map(member).collect())
}

/// Says good-bye. A node that leaves claims behind is dead from now on, and they are rescued.
pub async fn leave(pool: &Pool, node: NodeId) -> Result<(), StoreError> {
    {
        let client = pool.get().await?;
        let left = "UPDATE nodes SET lease_until = now(), state = 'left' WHERE node_id = $1";
        client.execute(left, &[&node.0]).await?;
        client.execute("DELETE FROM destination_states WHERE node_id = $1", &[&node.0]).await?;
    }
    if !claims::any_of(pool, node).await? {
        pool.get().await?.execute("DELETE FROM nodes WHERE node_id = $1", &[&node.0]).await?;
    }
    Ok(())
}

/// So long after its end a node may still get claims: no statement runs on for more than 30 s after
/// its connection has broken, nor does an open transaction.
const AFTERMATH: Duration = Duration::from_secs(60);

/// Forgets nodes that were found to hold nothing any more, unless they have come back, or what they
/// asked PostgreSQL for may still be under way.
pub async fn forget(pool: &Pool, empty: &[NodeId]) -> Result<(), StoreError> {
    let nodes: Vec<Uuid> = empty.iter().map(|node| node.0).collect();
    let client = pool.get().await?;
    client
        .execute(
            "WITH gone AS (
                 DELETE FROM nodes
                 WHERE node_id = ANY($1) AND lease_until < now() - make_interval(secs => $2) RETURNING node_id
             )
             DELETE FROM destination_states USING gone WHERE destination_states.node_id = gone.node_id",
            &[&nodes, &AFTERMATH.as_secs_f64()],
        )
        .await?;
    Ok(())
}
