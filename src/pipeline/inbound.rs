//! A request on its way through a lane.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::domain::access::replay::Proof;
use crate::domain::event::Cause;
use crate::domain::fields::ReadFields;
use crate::domain::ids::{AdvertiserId, InboundId, IntegrationId, NodeId, OfferId};
use crate::domain::integration::Integration;
use crate::domain::status::Meaning;
use crate::domain::verdict::{Manner, Verdict};
use crate::event_log::rows::InboundRow;

/// What the inbound log tells of a request, whatever becomes of it.
#[derive(Debug, Clone)]
pub struct InboundRecord {
    pub inbound_id: InboundId,
    pub received_at: DateTime<Utc>,
    pub door: &'static str,
    pub method: String,
    pub source_ip: Option<IpAddr>,
    /// `None` where the key was nobody's.
    pub advertiser_id: Option<AdvertiserId>,
    /// As they came, secrets redacted.
    pub parameters: Vec<(String, String)>,
    pub proof: Proof,
    pub manner: Manner,
}

/// What the door made of the request.
#[derive(Debug)]
pub enum Asked {
    Conversion(Box<ReadFields>),
    /// Refused at the door; it is only logged.
    Refused(Verdict),
}

/// How a request came to be in the pipeline, and what is decided about it already.
#[derive(Debug, Clone)]
pub struct Origin {
    pub cause: Cause,
    pub integration: Option<Arc<Integration>>,
    /// What somebody said, for this request alone, that its status word means.
    pub meaning: Option<Meaning>,
    /// The request this one processes again: its row in `quarantine` or `reprocessing` goes in
    /// the transaction that records what came of it, and if it has gone nothing is done.
    pub waiting: Option<InboundId>,
}

impl Default for Origin {
    fn default() -> Self {
        Self { cause: Cause::Request, integration: None, meaning: None, waiting: None }
    }
}

impl Origin {
    pub fn integration_id(&self) -> Option<IntegrationId> {
        self.integration.as_ref().map(|integration| integration.integration_id)
    }

    /// The offer whose clicks alone the integration is for.
    pub fn offer_id(&self) -> Option<OfferId> {
        self.integration.as_ref().and_then(|integration| integration.offer_id)
    }
}

/// The door's end of a submission: the verdict, once it is durable, or nothing when PostgreSQL
/// was away and nothing was done.
pub type Reply = oneshot::Sender<Result<Verdict, NotDurable>>;

/// The verdict could not be made durable, so there is none: 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDurable {
    StoreAway,
    QueueFull,
    /// PostgreSQL refused this very item; a fault of ours.
    Refused,
}

/// One request with somebody waiting for its answer.
#[derive(Debug)]
pub struct Submission {
    pub inbound: InboundRecord,
    pub asked: Asked,
    pub origin: Origin,
    pub reply: Reply,
}

/// What the log tells of a request besides its record.
#[derive(Debug, Clone, Default)]
pub struct InboundDetails {
    pub offer_id: Option<Uuid>,
    pub partner_id: Option<Uuid>,
    pub request_id: String,
    pub click_id: String,
    pub is_test: bool,
    pub integration_id: Option<Uuid>,
    pub origin_id: Option<Uuid>,
    /// Code and body of an answer in the sender's own form; the usual one otherwise.
    pub told: Option<(u16, String)>,
}

impl InboundRecord {
    pub fn row(&self, node: NodeId, verdict: &Verdict, details: InboundDetails) -> InboundRow {
        let usual = || (self.manner.http_status(verdict), verdict.body().to_string());
        let (http_status, answer) = details.told.unwrap_or_else(usual);
        InboundRow {
            inbound_id: self.inbound_id.0,
            received_at: self.received_at,
            door: self.door,
            method: self.method.clone(),
            source_ip: self.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            advertiser_id: self.advertiser_id.map(|id| id.0),
            offer_id: details.offer_id,
            partner_id: details.partner_id,
            request_id: details.request_id,
            click_id: details.click_id,
            lead_id: verdict.lead_id().map(|id| id.0),
            parameters: serde_json::to_string(&self.parameters).expect("pairs of texts are JSON"),
            verdict: verdict.code(),
            http_status,
            reason_code: verdict.reason_code(),
            reason: verdict.reason(),
            answer,
            is_test: details.is_test,
            node_id: node.0,
            integration_id: details.integration_id,
            origin_id: details.origin_id,
        }
    }
}
