//! Makes up for whatever was lost: renews this node's lease, takes back the claims of dead
//! nodes, and wakes dispatchers that have something due.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::dispatcher_supervisor::{DispatcherSupervisor, Due};
use super::services::Services;
use crate::outbound::attempt;
use crate::store::{StoreError, deliveries, nodes, outcomes};

/// How long a node is taken to live after it last said so. What a dead node had in flight is
/// due again within this time and one round.
pub const NODE_LEASE: Duration = Duration::from_secs(6);
/// Between rounds; also the most a retry starts late.
const ROUND: Duration = Duration::from_millis(500);
/// Rounds between renewals of the lease.
const RENEW_EVERY: u32 = 4;

/// Bound: one round at a time.
pub struct Rescuer {
    services: Arc<Services>,
    supervisor: Addr<DispatcherSupervisor>,
    round: u32,
}

impl Rescuer {
    pub fn new(services: Arc<Services>, supervisor: Addr<DispatcherSupervisor>) -> Self {
        Self { services, supervisor, round: 0 }
    }

    fn next_round(&mut self, ctx: &mut Context<Self>) {
        let services = self.services.clone();
        let supervisor = self.supervisor.clone();
        let renews = self.round.is_multiple_of(RENEW_EVERY);
        self.round = self.round.wrapping_add(1);
        let round = async move {
            if let Err(error) = go_round(&services, &supervisor, renews).await {
                tracing::warn!(%error, "a rescue round failed and is tried again");
            }
        };
        ctx.spawn(round.into_actor(self).map(|(), _, ctx| {
            ctx.run_later(ROUND, Self::next_round);
        }));
    }
}

async fn go_round(
    services: &Services,
    supervisor: &Addr<DispatcherSupervisor>,
    renews: bool,
) -> Result<(), StoreError> {
    if services.slots.is_closed() {
        return Ok(());
    }
    if renews {
        nodes::renew(&services.pool, services.node, NODE_LEASE).await?;
    }
    let catalogue = services.catalogue();
    let rescued = outcomes::rescue(&services.pool, |abandoned| {
        let postback = catalogue.postbacks.get(&abandoned.delivery.postback_id);
        attempt::interrupted(abandoned, postback.map(AsRef::as_ref), services.node)
    })
    .await?;
    if rescued > 0 {
        tracing::warn!(deliveries = rescued, "took over what another node had in flight");
        metrics::counter!("ricochet_attempts_total", "outcome" => "retrying", "error_kind" => "interrupted")
            .increment(rescued as u64);
    }
    let due = deliveries::due_postbacks(&services.pool).await?;
    if !due.is_empty() {
        supervisor.do_send(Due(due));
    }
    Ok(())
}

impl Actor for Rescuer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.next_round(ctx);
    }
}
