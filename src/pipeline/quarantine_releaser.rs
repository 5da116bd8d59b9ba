//! Takes requests that wait in PostgreSQL through the pipeline: from quarantine, once their word
//! is mapped, and from the inbound log, where somebody asked for it.
//!
//! They go in the order of their own times and are judged as of those times. A request's row
//! goes in the transaction that records what came of it, so each is processed once whatever
//! dies. Every node does this; who comes second to a row finds it gone. Each request of one
//! click takes one lane, in order, on every node: so no node can record a later one first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use uuid::Uuid;

use super::inbound::{Asked, InboundRecord, Origin};
use super::lanes::{Lanes, PendingVerdict};
use super::services::Services;
use crate::domain::access::replay::Proof;
use crate::domain::catalogue::Catalogue;
use crate::domain::completion::Completion;
use crate::domain::event::Cause;
use crate::domain::fields::{self, ReadFields};
use crate::domain::ids::InboundId;
use crate::domain::verdict::{FieldError, Manner};
use crate::panics::as_failure;
use crate::store::quarantine::{self, QuarantineItem};
use crate::store::reprocessing::{self, WaitingRequest};
use crate::store::{Pool, StoreError};

/// Between rounds; also the most a release starts late.
const ROUND: Duration = Duration::from_secs(1);
/// Of all the time, rounds that find nothing take at most one part in this many: each passes over what
/// PostgreSQL could not clear away, as long as somebody's transaction is older.
const LOOK_SHARE: u32 = 20;
/// Before what could not be recorded is tried again.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(5);
/// Requests of one round; a full round is followed by the next at once.
const ROUND_REQUESTS: i64 = 500;

/// Bound: one round at a time, of 500 requests from each of the two places.
pub struct QuarantineReleaser {
    services: Arc<Services>,
    lanes: Arc<Lanes>,
}

/// A request ready for its lane.
struct Ready {
    inbound: InboundRecord,
    asked: Asked,
    origin: Origin,
    /// What it must not overtake another request of, where that takes another lane.
    click_ref: String,
    customer_id: Option<String>,
}

enum Round {
    Idle,
    Full,
    Troubled,
}

impl QuarantineReleaser {
    pub fn new(services: Arc<Services>, lanes: Arc<Lanes>) -> Self {
        Self { services, lanes }
    }

    fn next_round(&mut self, ctx: &mut Context<Self>) {
        let (services, lanes) = (self.services.clone(), self.lanes.clone());
        let began = Instant::now();
        let round = async move {
            as_failure(go_round(&services, &lanes)).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "what waits to be released waits longer");
                Round::Troubled
            })
        };
        ctx.spawn(round.into_actor(self).map(move |round, _, ctx| {
            let wait = match round {
                Round::Full => Duration::ZERO,
                Round::Idle => ROUND.max(began.elapsed() * LOOK_SHARE),
                Round::Troubled => PAUSE_AFTER_TROUBLE,
            };
            ctx.run_later(wait, Self::next_round);
        }));
    }
}

impl Actor for QuarantineReleaser {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.next_round(ctx);
    }
}

impl Supervised for QuarantineReleaser {}

async fn go_round(services: &Services, lanes: &Lanes) -> Result<Round, StoreError> {
    if services.slots.is_closed() {
        return Ok(Round::Idle);
    }
    let pool: &Pool = &services.pool;
    let released = quarantine::releasable(pool, ROUND_REQUESTS).await?;
    let repeated = reprocessing::waiting(pool, ROUND_REQUESTS).await?;
    if released.is_empty() && repeated.is_empty() {
        return Ok(Round::Idle);
    }
    // The word that set these free may be younger than the catalogue in force.
    services.refresh_catalogue().await?;
    let catalogue = services.catalogue();
    let most = released.len().max(repeated.len());
    let from_quarantine = released.into_iter().map(|item| of_quarantine(item, &catalogue, services));
    let mut troubles = release_in_order(lanes, from_quarantine.collect()).await;
    let from_log = repeated.into_iter().map(|request| of_log(request, &catalogue, services));
    troubles += release_in_order(lanes, from_log.collect()).await;
    Ok(match troubles {
        0 if i64::try_from(most) == Ok(ROUND_REQUESTS) => Round::Full,
        0 => Round::Idle,
        troubles => {
            tracing::warn!(requests = troubles, "requests could not be released and are tried again");
            Round::Troubled
        }
    })
}

/// Enqueues requests in their order; returns how many could not be recorded.
///
/// Requests of one click follow each other in their lane. A customer's may come by several
/// clicks, and so several lanes: the later one then waits for everything before it.
async fn release_in_order(lanes: &Lanes, requests: Vec<Ready>) -> usize {
    let mut troubles = 0;
    let mut under_way = Vec::new();
    let mut customers: HashMap<String, String> = HashMap::new();
    for Ready { inbound, asked, origin, click_ref, customer_id } in requests {
        if let Some(customer_id) = customer_id {
            let is_elsewhere = customers.get(&customer_id).is_some_and(|held| *held != click_ref);
            if is_elsewhere {
                troubles += settle(&mut under_way).await;
                customers.clear();
            }
            customers.insert(customer_id, click_ref);
        }
        match lanes.place(inbound, asked, origin) {
            Ok(verdict) => under_way.push(verdict),
            // What comes after it must not overtake it: the next round takes both.
            Err(_) => {
                troubles += 1;
                break;
            }
        }
    }
    troubles + settle(&mut under_way).await
}

/// Waits until all are recorded; returns how many could not be.
async fn settle(under_way: &mut Vec<PendingVerdict>) -> usize {
    let results = join_all(under_way.drain(..)).await;
    results.into_iter().filter(|result| !matches!(result, Ok(Ok(_)))).count()
}

fn of_quarantine(item: QuarantineItem, catalogue: &Catalogue, services: &Services) -> Ready {
    let mut request = item.request;
    // What was found then is found again, also where a partner's id has become ambiguous since.
    if let Some(click_id) = item.click_id {
        request.click_ref = click_id.to_string();
    }
    request.occurred_at = Some(item.occurred_at);
    // A word that may concern a customer is quarantined without these; a lead needs them.
    let missing = [("request_id", &request.request_id), ("action", &request.action)];
    let missing = missing.into_iter().filter(|(_, value)| value.is_empty());
    let errors = missing.map(|(name, _)| FieldError::missing(name)).collect();
    let integration = item.integration_id.and_then(|id| catalogue.integrations.get(&id)).cloned();
    let inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: services.now(),
        door: "quarantine",
        method: String::new(),
        source_ip: item.source_ip.parse::<IpAddr>().ok(),
        advertiser_id: Some(item.advertiser_id),
        parameters: item.parameters,
        manner: Manner::Usual,
        proof: Proof::default(),
    };
    let (click_ref, customer_id) = (request.click_ref.clone(), request.customer_id.clone());
    let read = ReadFields { request, completion: Completion::AsSent, errors };
    let origin = Origin {
        cause: Cause::Quarantine,
        integration,
        meaning: item.decided_meaning,
        waiting: Some(item.inbound_id),
    };
    Ready { inbound, asked: Asked::Conversion(Box::new(read)), origin, click_ref, customer_id }
}

fn of_log(request: WaitingRequest, catalogue: &Catalogue, services: &Services) -> Ready {
    let integration = request.integration_id.and_then(|id| catalogue.integrations.get(&id)).cloned();
    let completion = match (request.door.as_str(), request.offer_id) {
        ("s2s", _) => Completion::AsSent,
        // Without its offer a browser's request is still only a hold: of an offer nobody has.
        ("pixel" | "iframe", offer_id) => {
            Completion::HoldOf(offer_id.unwrap_or(crate::domain::ids::OfferId(Uuid::nil())))
        }
        _ => Completion::Defaults,
    };
    let mut read = match &integration {
        Some(integration) => integration.read(&request.door, &request.parameters, request.received_at),
        None => fields::read(&request.parameters, completion),
    };
    read.request.occurred_at.get_or_insert(request.received_at);
    let inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: services.now(),
        door: "reprocess",
        method: request.method,
        source_ip: request.source_ip.parse::<IpAddr>().ok(),
        advertiser_id: Some(request.advertiser_id),
        parameters: request.parameters,
        manner: Manner::Usual,
        proof: Proof::default(),
    };
    let (click_ref, customer_id) = (read.request.click_ref.clone(), read.request.customer_id.clone());
    let origin =
        Origin { cause: Cause::Reprocess, integration, meaning: None, waiting: Some(request.inbound_id) };
    Ready { inbound, asked: Asked::Conversion(Box::new(read)), origin, click_ref, customer_id }
}
