//! Taking over what dead nodes had in flight: the attempts that nobody recorded are told, and what was
//! claimed is due again.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;

use super::dispatcher_supervisor::{DispatcherSupervisor, Due};
use super::services::Services;
use crate::domain::background::Background;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::PostbackId;
use crate::domain::postback::Postback;
use crate::outbound::attempt;
use crate::store::claims::{self, Sought};
use crate::store::deliveries::Abandoned;
use crate::store::{StoreError, nodes, revisions};

/// Takes over everything that dead nodes, or attempts that never ended, have claimed.
pub async fn rescue(
    services: &Services,
    supervisor: &Addr<DispatcherSupervisor>,
    sought: Sought<'_>,
) -> Result<(), StoreError> {
    let catalogue = services.catalogue();
    let mut earlier = HashMap::new();
    let mut describe = async |abandoned: &Abandoned| {
        let delivery = &abandoned.delivery;
        let today = catalogue.postbacks.get(&delivery.postback_id);
        let postback = match (today, delivery.pinned_revision) {
            (Some(today), Some(revision)) if revision != today.revision => {
                Some(as_it_was(services, &mut earlier, today, revision).await)
            }
            _ => today.cloned(),
        };
        let background = match &postback {
            Some(postback) => as_it_was_told(&catalogue, postback, abandoned),
            None => Background::default(),
        };
        attempt::interrupted(abandoned, postback.as_deref(), &background, services.node)
    };
    let mut are_empty = true;
    for step in claims::Sweep::begin(&services.pool).await? {
        let found = claims::find_abandoned(&services.pool, step, sought).await?;
        are_empty &= found.is_empty();
        for some in found.chunks(claims::TAKE_LIMIT) {
            let taken = claims::take_over(&services.pool, some, sought, &mut describe).await?;
            if !taken.is_empty() {
                wake(services, supervisor, &taken);
            }
        }
    }
    if are_empty {
        nodes::forget(&services.pool, sought.dead).await?;
    }
    Ok(())
}

/// The postback that a resend of an earlier request was sent by; today's where that cannot be read,
/// as a log row with another request says more than none.
async fn as_it_was(
    services: &Services,
    known: &mut HashMap<(PostbackId, i32), Arc<Postback>>,
    today: &Arc<Postback>,
    revision: i32,
) -> Arc<Postback> {
    let key = (today.postback_id, revision);
    if let Some(earlier) = known.get(&key) {
        return earlier.clone();
    }
    let earlier = match revisions::load(&services.pool, today, revision).await {
        Ok(Some(earlier)) => Arc::new(earlier),
        Ok(None) => today.clone(),
        Err(error) => {
            tracing::warn!(%error, postback = %today.postback_id, revision, "an earlier request is not at hand");
            today.clone()
        }
    };
    known.insert(key, earlier.clone());
    earlier
}

/// What such a request is filled with; the names are of today where those of then are not at hand.
fn as_it_was_told(catalogue: &Catalogue, postback: &Postback, abandoned: &Abandoned) -> Background {
    let background = Background::of(catalogue, &postback.request, &abandoned.delivery.facts);
    if abandoned.delivery.pinned_revision.is_none() {
        return background;
    }
    let names = abandoned.sent_names.clone().or(&background.names);
    Background { names, ..background }
}

/// What was taken over is due at once, but stands before where the queues are read from.
fn wake(services: &Services, supervisor: &Addr<DispatcherSupervisor>, taken: &[Abandoned]) {
    tracing::warn!(deliveries = taken.len(), "took over what another node had in flight");
    metrics::counter!("ricochet_attempts_total", "outcome" => "retrying", "error_kind" => "interrupted")
        .increment(taken.len() as u64);
    for one in taken {
        services.queues.put_back(one.delivery.postback_id, one.delivery.position());
    }
    let mut postbacks: Vec<_> = taken.iter().map(|one| one.delivery.postback_id).collect();
    postbacks.sort_unstable();
    postbacks.dedup();
    supervisor.do_send(Due(postbacks));
}
