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
    client
        .execute(
            "DELETE FROM nodes
             WHERE node_id = $1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE claimed_by = $1)",
            &[&node.0],
        )
        .await?;
    Ok(())
}

/// Nodes whose lease has lapsed. While PostgreSQL was away nobody could renew, so after its start
/// every node has a lease's time to come back.
pub async fn dead(pool: &Pool, lease: Duration) -> Result<Vec<NodeId>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT node_id FROM nodes
             WHERE lease_until < now()
               AND (lease_until = '-infinity' OR pg_postmaster_start_time() < now() - make_interval(secs => $1))",
        )
        .await?;
    let rows = client.query(&statement, &[&lease.as_secs_f64()]).await?;
    Ok(rows.iter().map(|row| NodeId(row.get(0))).collect())
}

/// Forgets nodes that hold nothing any more, unless they have come back.
pub async fn forget(pool: &Pool, rescued: &[NodeId]) -> Result<(), StoreError> {
    let nodes: Vec<Uuid> = rescued.iter().map(|node| node.0).collect();
    let client = pool.get().await?;
    client.execute("DELETE FROM nodes WHERE node_id = ANY($1) AND lease_until < now()", &[&nodes]).await?;
    Ok(())
}
