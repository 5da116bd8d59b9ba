//! A request on its way through a lane.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::domain::fields::ReadFields;
use crate::domain::ids::{AdvertiserId, InboundId, NodeId};
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
    pub manner: Manner,
}

/// What the door made of the request.
#[derive(Debug)]
pub enum Asked {
    Conversion(Box<ReadFields>),
    /// Refused at the door; it is only logged.
    Refused(Verdict),
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
}

impl InboundRecord {
    pub fn row(&self, node: NodeId, verdict: &Verdict, details: InboundDetails) -> InboundRow {
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
            http_status: self.manner.http_status(verdict),
            reason_code: verdict.reason_code(),
            reason: verdict.reason(),
            answer: verdict.body().to_string(),
            is_test: details.is_test,
            node_id: node.0,
        }
    }
}
