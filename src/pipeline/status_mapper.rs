//! Turns status words into what they ask for; a word nobody knows goes to quarantine.

use actix::prelude::*;

use super::inbound::{InboundRecord, Reply};
use super::intake::LaneTicket;
use super::recorder::{RecordBatch, Recorder};
use super::validator::{Matched, Validated};
use crate::domain::decision::{Claim, CustomerClaim};
use crate::domain::fields::ConversionRequest;
use crate::domain::ids::LeadId;
use crate::domain::status::StatusWord;
use crate::domain::verdict::{FieldError, Verdict};

/// Bound: one batch, as its lane has one under way.
pub struct StatusMapper {
    recorder: Addr<Recorder>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct MapBatch {
    pub items: Vec<Validated>,
    pub ticket: LaneTicket,
}

/// What the recorder is to do with a request.
#[derive(Debug)]
pub enum Work {
    Lead(Claim),
    Customer(CustomerClaim),
    Quarantine(Matched),
    /// Only the inbound log hears of it.
    Log(Verdict),
}

pub struct Mapped {
    pub inbound: InboundRecord,
    pub reply: Reply,
    pub request: Option<ConversionRequest>,
    pub work: Work,
}

impl StatusMapper {
    pub fn new(recorder: Addr<Recorder>) -> Self {
        Self { recorder }
    }
}

impl Actor for StatusMapper {
    type Context = Context<Self>;
}

impl Handler<MapBatch> for StatusMapper {
    type Result = ();

    fn handle(&mut self, MapBatch { items, ticket }: MapBatch, _: &mut Self::Context) {
        let items = items.into_iter().map(map).collect();
        self.recorder.do_send(RecordBatch { items, ticket });
    }
}

pub(super) fn map(validated: Validated) -> Mapped {
    let Validated { inbound, reply, request, result } = validated;
    let work = result.map_or_else(Work::Log, work_for);
    Mapped { inbound, reply, request, work }
}

fn work_for(matched: Matched) -> Work {
    let Matched { click, offer, action, request } = matched;
    match (StatusWord::read(&request.status_word), action) {
        (StatusWord::Conversion(status), Some(action)) => {
            let lead_id = LeadId::of(offer.advertiser_id, action.action_id, &request.request_id);
            Work::Lead(Claim { lead_id, click, offer, action, status, request })
        }
        (word @ (StatusWord::CustomerActivate | StatusWord::CustomerDeactivate), _) => {
            let customer_id = request.customer_id.clone().unwrap_or_default();
            let active = word == StatusWord::CustomerActivate;
            Work::Customer(CustomerClaim { customer_id, click, offer, active, request })
        }
        (StatusWord::Conversion(_), None) => Work::Log(Verdict::Invalid(vec![FieldError::missing("action")])),
        (StatusWord::Unknown, action) => Work::Quarantine(Matched { click, offer, action, request }),
    }
}
