//! Turns status words into what they ask for; a word nobody knows goes to quarantine.

use actix::prelude::*;

use super::inbound::{InboundRecord, Origin, Reply};
use super::intake::LaneTicket;
use super::recorder::{RecordBatch, Recorder};
use super::validator::{Matched, Validated};
use crate::domain::decision::{Claim, CustomerClaim};
use crate::domain::fields::ConversionRequest;
use crate::domain::ids::LeadId;
use crate::domain::status::StatusWord;
use crate::domain::verdict::{FieldError, Verdict};
use crate::panics::caught_now;

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
    /// The status word is mapped to nothing.
    Ignore(Matched),
    /// Only the inbound log hears of it.
    Log(Verdict),
}

pub struct Mapped {
    pub inbound: InboundRecord,
    pub reply: Reply,
    pub origin: Origin,
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
        // One over which this panics gets 503, and the others of its batch go on.
        let items = items.into_iter().filter_map(|one| caught_now(|| map(one)).ok()).collect();
        self.recorder.do_send(RecordBatch { items, ticket });
    }
}

pub(super) fn map(validated: Validated) -> Mapped {
    let Validated { inbound, reply, origin, request, result } = validated;
    let work = result.map_or_else(Work::Log, work_for);
    Mapped { inbound, reply, origin, request, work }
}

fn work_for(matched: Matched) -> Work {
    let status = match (matched.word, &matched.action) {
        (StatusWord::Unknown, _) => return Work::Quarantine(matched),
        (StatusWord::Ignored, _) => return Work::Ignore(matched),
        (StatusWord::Conversion(status), Some(_)) => Some(status),
        (StatusWord::Conversion(_), None) => {
            return Work::Log(Verdict::Invalid(vec![FieldError::missing("action")]));
        }
        (StatusWord::CustomerActivate | StatusWord::CustomerDeactivate, _) => None,
    };
    let Matched { click, offer, action, word, attribution, request } = matched;
    match (status, action) {
        (Some(status), Some(action)) => {
            let lead_of = if request.is_test { LeadId::of_test } else { LeadId::of };
            let lead_id = lead_of(offer.advertiser_id, action.action_id, &request.request_id);
            Work::Lead(Claim { lead_id, click, offer, action, status, attribution, request })
        }
        _ => {
            let customer_id = request.customer_id.clone().unwrap_or_default();
            let active = word == StatusWord::CustomerActivate;
            Work::Customer(CustomerClaim { customer_id, click, offer, active, attribution, request })
        }
    }
}
