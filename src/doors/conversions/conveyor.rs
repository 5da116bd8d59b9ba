//! Carries the items of one request into the lanes and their results back, in order.

use std::net::IpAddr;

use actix_web::rt::{spawn, task::JoinHandle};
use actix_web::web::Data;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::ARRAY_ITEMS;
use crate::app::Doors;
use crate::domain::access::replay::Proof;
use crate::domain::ids::{AdvertiserId, InboundId};
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::{FieldError, Manner};
use crate::doors::answer;
use crate::doors::request::Parameters;
use crate::pipeline::inbound::{InboundRecord, NotDurable};

/// What all items of one request have in common.
pub struct Conveyor {
    pub doors: Data<Doors>,
    pub method: String,
    pub source_ip: Option<IpAddr>,
    pub advertiser_id: Option<AdvertiserId>,
    pub manner: Manner,
    /// Parameters of the query string, which stand before those of every item.
    pub common: Parameters,
    /// How the request proved itself, for all of them.
    pub proof: Proof,
}

/// The result of one item: the body of an ordinary answer, with its status as `http_status`.
pub struct ItemResult {
    pub status: u16,
    pub body: Value,
    _waiting: Option<Waiting>,
}

/// A result on its way to its reader; counted in `ricochet_batch_results_waiting`.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        metrics::gauge!("ricochet_batch_results_waiting").increment(1);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!("ricochet_batch_results_waiting").decrement(1);
    }
}

impl Conveyor {
    pub fn record(&self, manner: Manner, parameters: &[(String, String)]) -> InboundRecord {
        InboundRecord {
            inbound_id: InboundId(Uuid::now_v7()),
            received_at: self.doors.services.now(),
            door: "conversions",
            method: self.method.clone(),
            source_ip: self.source_ip,
            advertiser_id: self.advertiser_id,
            parameters: redact_parameters(parameters),
            manner,
            proof: self.proof.clone(),
        }
    }

    /// Bound: at most [`ARRAY_ITEMS`] results wait for their reader (then no further item is
    /// read), and the items of all batches that are in the lanes hold a permit of
    /// `batch_permits` each, so that batches leave single requests their place.
    ///
    /// Items enter the lanes one after another, so those about one click keep their order.
    pub fn convey(
        self,
        items: impl Stream<Item = Result<Parameters, FieldError>> + 'static,
    ) -> impl Stream<Item = ItemResult> {
        let (results, waiting) = mpsc::channel::<JoinHandle<ItemResult>>(ARRAY_ITEMS);
        spawn(async move {
            let mut items = Box::pin(items);
            while let Some(item) = items.next().await {
                // The place for the result comes first: whoever reads no results holds no permit.
                let Ok(place) = results.reserve().await else { return };
                let permits = self.doors.batch_permits.clone();
                let Ok(permit) = permits.acquire_owned().await else { return };
                let (inbound, asked) = self.submission(item);
                let manner = inbound.manner;
                let verdict = self.doors.lanes.enqueue(inbound, asked);
                let waiting = Waiting::begin();
                // A task of its own, so that the permit comes back also when nobody reads.
                place.send(spawn(async move {
                    let verdict = verdict.await;
                    drop(permit);
                    let (status, body) = answer::parts(manner, &verdict);
                    ItemResult { status, body: with_status(status, body), _waiting: Some(waiting) }
                }));
            }
        });
        stream::unfold(waiting, |mut waiting| async move {
            let result = waiting.recv().await?.await.unwrap_or_else(|_| lost());
            Some((result, waiting))
        })
    }
}

/// The task that waited for a verdict panicked.
fn lost() -> ItemResult {
    let (status, body) = answer::not_durable_parts(NotDurable::Refused);
    ItemResult { status, body: with_status(status, body), _waiting: None }
}

fn with_status(status: u16, body: Value) -> Value {
    let mut result = json!({ "http_status": status });
    if let (Value::Object(result), Value::Object(body)) = (&mut result, body) {
        result.extend(body);
    }
    result
}
