//! The request that a delivery is bound to: today's, or an earlier one that is to be sent again as it was.

use std::sync::Arc;

use super::services::Services;
use super::until_answered::until_answered;
use crate::domain::background::Background;
use crate::domain::catalogue::Catalogue;
use crate::domain::party_names::PartyNames;
use crate::domain::postback::Postback;
use crate::store::deliveries::ClaimedDelivery;
use crate::store::{party_names, revisions};

/// The postback and what its request is filled with: both of today, or as they were where the delivery
/// is bound to an earlier request; `None` where that cannot be read: today's would be another than was
/// asked for. While PostgreSQL is away it waits.
pub async fn as_bound(
    services: &Services,
    postback: &Arc<Postback>,
    catalogue: &Catalogue,
    delivery: &ClaimedDelivery,
) -> Option<(Arc<Postback>, Background)> {
    let of_today = |postback: &Postback| Background::of(catalogue, &postback.request, &delivery.facts);
    let Some(revision) = delivery.pinned_revision else {
        return Some((postback.clone(), of_today(postback)));
    };
    let postback = as_it_was(services, postback, revision).await?;
    let background = of_today(&postback);
    if !postback.request.tells_names() {
        return Some((postback, background));
    }
    let names = until_answered(|| party_names::as_sent(&services.pool, delivery.delivery_id)).await;
    match names {
        Ok(sent) => {
            let names: PartyNames = sent.or(&background.names);
            Some((postback, Background { names, ..background }))
        }
        Err(error) => {
            tracing::error!(%error, delivery = %delivery.delivery_id, "the names of an earlier request are unreadable");
            None
        }
    }
}

/// The postback with the request of a revision.
async fn as_it_was(services: &Services, postback: &Arc<Postback>, revision: i32) -> Option<Arc<Postback>> {
    if revision == postback.revision {
        return Some(postback.clone());
    }
    match until_answered(|| revisions::load(&services.pool, postback, revision)).await {
        Ok(Some(earlier)) => Some(Arc::new(earlier)),
        Ok(None) => {
            tracing::error!(postback = %postback.postback_id, revision, "an earlier request was not kept");
            None
        }
        Err(error) => {
            tracing::error!(%error, postback = %postback.postback_id, revision, "an earlier request is unreadable");
            None
        }
    }
}
