//! Which server processes are alive.

use std::time::Duration;

use deadpool_postgres::Pool;

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

/// Says good-bye, so that nobody waits for the lease to lapse.
pub async fn leave(pool: &Pool, node: NodeId) -> Result<(), StoreError> {
    pool.get().await?.execute("DELETE FROM nodes WHERE node_id = $1", &[&node.0]).await?;
    Ok(())
}

/// Forgets nodes that have been dead for an hour.
pub async fn forget_dead(pool: &Pool) -> Result<(), StoreError> {
    pool.get().await?.execute("DELETE FROM nodes WHERE lease_until < now() - interval '1 hour'", &[]).await?;
    Ok(())
}
