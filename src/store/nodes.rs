//! Which server processes are alive.

use std::time::Duration;

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::ids::NodeId;

/// Says that this node lives for another `lease`.
pub async fn renew(pool: &Pool, node: NodeId, lease: Duration) -> Result<(), StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "INSERT INTO nodes (node_id, lease_until) VALUES ($1, now() + make_interval(secs => $2))
             ON CONFLICT (node_id) DO UPDATE SET lease_until = excluded.lease_until",
        )
        .await?;
    client.execute(&statement, &[&node.0, &lease.as_secs_f64()]).await?;
    Ok(())
}

/// Says good-bye. A node that leaves claims behind is dead from now on, and they are rescued.
pub async fn leave(pool: &Pool, node: NodeId) -> Result<(), StoreError> {
    let client = pool.get().await?;
    client.execute("UPDATE nodes SET lease_until = '-infinity' WHERE node_id = $1", &[&node.0]).await?;
    client.execute("DELETE FROM destination_states WHERE node_id = $1", &[&node.0]).await?;
    client
        .execute(
            "DELETE FROM nodes
             WHERE node_id = $1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE claimed_by = $1)",
            &[&node.0],
        )
        .await?;
    Ok(())
}

/// The nodes there are.
#[derive(Debug, Default)]
pub struct Membership {
    /// They share the destinations.
    pub alive: Vec<NodeId>,
    /// Their lease has lapsed.
    pub dead: Vec<NodeId>,
}

/// Who is alive and who is not. While PostgreSQL was away nobody could renew, so after its start
/// every node has a lease's time to come back, and counts as alive.
pub async fn membership(pool: &Pool, lease: Duration) -> Result<Membership, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT node_id,
                    lease_until < now()
                    AND (lease_until = '-infinity'
                         OR pg_postmaster_start_time() < now() - make_interval(secs => $1)) AS is_dead
             FROM nodes ORDER BY node_id",
        )
        .await?;
    let mut membership = Membership::default();
    for row in client.query(&statement, &[&lease.as_secs_f64()]).await? {
        let nodes = if row.get("is_dead") { &mut membership.dead } else { &mut membership.alive };
        nodes.push(NodeId(row.get("node_id")));
    }
    Ok(membership)
}

/// Forgets nodes that hold nothing any more, unless they have come back.
pub async fn forget(pool: &Pool, rescued: &[NodeId]) -> Result<(), StoreError> {
    let nodes: Vec<Uuid> = rescued.iter().map(|node| node.0).collect();
    let client = pool.get().await?;
    client
        .execute(
            "WITH gone AS (DELETE FROM nodes WHERE node_id = ANY($1) AND lease_until < now() RETURNING node_id)
             DELETE FROM destination_states USING gone WHERE destination_states.node_id = gone.node_id",
            &[&nodes],
        )
        .await?;
    Ok(())
}
