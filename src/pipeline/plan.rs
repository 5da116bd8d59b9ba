//! What one batch comes to: pure work between reading the ledger and writing the result.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::inbound::InboundDetails;
use super::slots::{Slot, Slots};
use super::status_mapper::{Mapped, Work};
use super::validator::Matched;
use crate::domain::access::denial::Denial;
use crate::domain::access::signature::SignatureFault;
use crate::domain::catalogue::Catalogue;
use crate::domain::decision::{
    Claim, CustomerClaim, CustomerDecision, CustomerKey, Decision, KnownCustomer, Ledger, customer_key,
};
use crate::domain::event::{ActionKind, Cause, Event};
use crate::domain::facts::EventFacts;
use crate::domain::fields::ConversionRequest;
use crate::domain::ids::{ChangeId, DeliveryId, LeadId, NodeId, PostbackId};
use crate::domain::postback::subscribers;
use crate::domain::status::Status;
use crate::domain::status_words::normalized;
use crate::domain::verdict::{Verdict, VerdictKind};
use crate::event_log::rows::{ConversionEventRow, InboundRow, encode};
use crate::outbound::attempt;
use crate::store::conversions::LedgerKeys;
use crate::store::deliveries::{Claimed, ClaimedDelivery, FIRST_FENCE, NewDelivery};
use crate::store::recording::{ChangeRow, LeadRow, QuarantineRow, Recording};
use crate::store::skipped::SkippedDelivery;

/// The circumstances a batch is judged in.
pub struct Circumstances<'a> {
    pub catalogue: &'a Catalogue,
    pub slots: &'a Slots,
    pub node: NodeId,
    pub now: DateTime<Utc>,
}

/// A batch worked out: what to write is in the [`Recording`], the rest is for afterwards.
pub struct Outcome {
    /// One a request, in order.
    pub verdicts: Vec<Verdict>,
    /// Deliveries this node has claimed, each with its place at the destination.
    pub claimed: Vec<(ClaimedDelivery, Slot)>,
    /// Postbacks with deliveries that were written to wait for a free place.
    pub waiting: BTreeSet<PostbackId>,
}

/// What the batch must know before it can be decided.
pub fn keys(items: &[Mapped]) -> LedgerKeys {
    let mut keys = LedgerKeys::default();
    for item in items {
        if !matches!(item.work, Work::Log(_)) {
            keys.signatures.extend(item.inbound.proof.signatures.iter().map(|signature| signature.digest));
        }
        match &item.work {
            Work::Lead(claim) => {
                keys.leads.push(claim.lead_id);
                keys.clicks.push(claim.click.click_id);
                keys.customers.extend(customer_key(claim));
                if !claim.action.repeatable {
                    keys.actions_of_clicks.push((claim.click.click_id, claim.action.action_id));
                }
                if claim.action.kind == ActionKind::Deposit {
                    keys.clicks_with_deposits.push(claim.click.click_id);
                }
            }
            Work::Customer(claim) => {
                keys.clicks.push(claim.click.click_id);
                keys.customers.push(claim.key());
            }
            Work::Quarantine(_) | Work::Ignore(_) | Work::Log(_) => {}
        }
        keys.waiting.extend(item.origin.waiting);
    }
    keys.customers.sort();
    keys.customers.dedup();
    keys.waiting.sort();
    keys
}

/// Decides every request of a batch, in order.
pub fn decide(items: &[Mapped], mut ledger: Ledger, circumstances: &Circumstances) -> (Recording, Outcome) {
    let mut planner = Planner {
        circumstances,
        new_leads: HashMap::new(),
        changed_leads: HashMap::new(),
        customers: HashMap::new(),
        changes: Vec::new(),
        deliveries: Vec::new(),
        skipped: Vec::new(),
        claimed: Vec::new(),
        waiting: BTreeSet::new(),
    };
    let mut quarantined = Vec::new();
    let mut no_longer_waiting = Vec::new();
    let mut verdicts = Vec::with_capacity(items.len());
    let mut told = Vec::with_capacity(items.len());
    for item in items {
        if let Some(waiting) = item.origin.waiting
            && !ledger.waiting.remove(&waiting)
        {
            verdicts.push(Verdict::AlreadyProcessed);
            continue;
        }
        let cause = item.origin.cause;
        let verdict = match &item.work {
            Work::Log(verdict) => verdict.clone(),
            _ if ledger.signatures.is_replay(&item.inbound.proof) => {
                Verdict::Denied(Denial::Signature(SignatureFault::Replayed))
            }
            Work::Lead(claim) => planner.lead(&mut ledger, claim, cause),
            Work::Customer(claim) => planner.customer(&mut ledger, claim, cause),
            Work::Quarantine(matched) => {
                // Its word was unmapped again meanwhile: it stays where it is.
                if cause != Cause::Quarantine {
                    quarantined.push(quarantine_row(item, matched));
                }
                Verdict::Quarantined { word: matched.request.status_word.clone() }
            }
            Work::Ignore(matched) => Verdict::Ignored { word: matched.request.status_word.clone() },
        };
        // What was refused changed nothing, and may be sent again as it is.
        if verdict.kind() != VerdictKind::Rejected {
            ledger.signatures.use_up(&item.inbound.proof);
        }
        let stays = cause == Cause::Quarantine && matches!(verdict, Verdict::Quarantined { .. });
        if !stays {
            no_longer_waiting.extend(item.origin.waiting);
            told.push((item, verdict.clone()));
        }
        verdicts.push(verdict);
    }

    let node = circumstances.node;
    let inbound_rows = told.iter().map(|(item, verdict)| inbound_row(node, item, verdict));
    let event_rows = planner.changes.iter().flat_map(|change| {
        change
            .events
            .iter()
            .map(|event| ConversionEventRow::of(&change.facts, *event, change.status_from, circumstances.now))
    });
    let log_batches = [encode(inbound_rows), encode(event_rows)].into_iter().flatten().collect();
    let recording = Recording {
        log_batches,
        new_leads: planner.new_leads.into_values().collect(),
        changed_leads: planner.changed_leads.into_values().collect(),
        customers: planner.customers.into_iter().collect(),
        changes: planner.changes.into_iter().map(Change::into_row).collect(),
        deliveries: planner.deliveries,
        skipped: planner.skipped,
        quarantined,
        used_signatures: ledger.signatures.into_newly_used(),
        no_longer_waiting,
        settled: Vec::new(),
        audited: Vec::new(),
    };
    let outcome = Outcome { verdicts, claimed: planner.claimed, waiting: planner.waiting };
    (recording, outcome)
}

struct Change {
    facts: Arc<EventFacts>,
    status_from: Option<Status>,
    events: Vec<Event>,
    cause: Cause,
}

impl Change {
    fn into_row(self) -> ChangeRow {
        ChangeRow {
            change_id: self.facts.change_id,
            lead_id: self.facts.lead_id,
            customer_id: Some(self.facts.customer_id.clone()).filter(|id| !id.is_empty()),
            status_from: self.status_from,
            status_to: self.facts.status,
            events: self.events.iter().map(|event| event.code()).collect(),
            facts: serde_json::to_string(&*self.facts).expect("facts are JSON"),
            cause: self.cause,
            actor: String::new(),
            note: String::new(),
        }
    }
}

/// What happens to a lead, and the event of its kind that it fires or has fired.
struct LeadChange {
    status_from: Option<Status>,
    events: Vec<Event>,
    kind_event: Option<Event>,
}

struct Planner<'a> {
    circumstances: &'a Circumstances<'a>,
    new_leads: HashMap<LeadId, LeadRow>,
    changed_leads: HashMap<LeadId, LeadRow>,
    customers: HashMap<CustomerKey, KnownCustomer>,
    changes: Vec<Change>,
    deliveries: Vec<NewDelivery>,
    skipped: Vec<SkippedDelivery>,
    claimed: Vec<(ClaimedDelivery, Slot)>,
    waiting: BTreeSet<PostbackId>,
}

impl Planner<'_> {
    fn lead(&mut self, ledger: &mut Ledger, claim: &Claim, cause: Cause) -> Verdict {
        let lead_id = claim.lead_id;
        match ledger.decide(claim) {
            Decision::Create { events } => {
                let [kind_event, _] = events;
                let change =
                    LeadChange { status_from: None, events: events.into(), kind_event: Some(kind_event) };
                let row = self.change_lead(claim, &claim.request, change, cause);
                self.new_leads.insert(lead_id, row);
                Verdict::Accepted { lead_id }
            }
            Decision::Change { from, request, events, kind_event } => {
                let change = LeadChange { status_from: Some(from), events, kind_event };
                let row = self.change_lead(claim, &request, change, cause);
                // Created in this very batch: it is inserted as it ends up.
                let leads = match self.new_leads.contains_key(&lead_id) {
                    true => &mut self.new_leads,
                    false => &mut self.changed_leads,
                };
                leads.insert(lead_id, row);
                Verdict::Accepted { lead_id }
            }
            Decision::Duplicate => Verdict::Duplicate { lead_id },
            Decision::Conflict(reason) => Verdict::Conflict { lead_id, reason },
            Decision::Refuse(error) => Verdict::Invalid(vec![error]),
        }
    }

    fn change_lead(
        &mut self,
        claim: &Claim,
        request: &ConversionRequest,
        change: LeadChange,
        cause: Cause,
    ) -> LeadRow {
        let LeadChange { status_from, events, kind_event } = change;
        let change_id = ChangeId(Uuid::now_v7());
        let facts = EventFacts::of_lead(claim, request, kind_event, change_id, self.circumstances.now);
        let facts = EventFacts { status_from, ..facts };
        let row = LeadRow {
            lead_id: claim.lead_id,
            action_id: claim.action.action_id,
            action_kind: claim.action.kind.code(),
            is_once_per_click: !claim.action.repeatable,
            facts: facts.clone(),
        };
        self.announce(Change { facts: Arc::new(facts), status_from, events, cause });
        row
    }

    fn customer(&mut self, ledger: &mut Ledger, claim: &CustomerClaim, cause: Cause) -> Verdict {
        let duplicate = match ledger.decide_customer(claim) {
            CustomerDecision::Duplicate => true,
            CustomerDecision::Refuse(error) => return Verdict::Invalid(vec![error]),
            CustomerDecision::Set { event } => {
                let known = KnownCustomer { click_id: claim.click.click_id, active: claim.active };
                self.customers.insert(claim.key(), known);
                let facts = EventFacts::of_customer(claim, ChangeId(Uuid::now_v7()), self.circumstances.now);
                self.announce(Change {
                    facts: Arc::new(facts),
                    status_from: None,
                    events: vec![event],
                    cause,
                });
                false
            }
        };
        Verdict::Customer { customer_id: claim.customer_id.clone(), active: claim.active, duplicate }
    }

    /// Adds a change with a delivery for everyone who wants to hear of it.
    fn announce(&mut self, change: Change) {
        let facts = &change.facts;
        for (postback, event) in subscribers(self.circumstances.catalogue, facts, &change.events) {
            if let Err(unmet) = postback.admits(event, facts, self.circumstances.catalogue) {
                let Circumstances { node, now, .. } = *self.circumstances;
                self.skipped.push(attempt::kept_back(postback, event, facts, &unmet, node, now));
                continue;
            }
            let delivery_id = DeliveryId::of(facts.change_id, postback.postback_id, event.code());
            let slot = self.circumstances.slots.try_take(postback);
            self.deliveries.push(NewDelivery {
                delivery_id,
                postback_id: postback.postback_id,
                change_id: facts.change_id,
                event,
                lead_id: facts.lead_id,
                is_claimed: if slot.is_some() { Claimed::ByThisNode } else { Claimed::waiting_for(postback) },
            });
            let Some(slot) = slot else {
                self.waiting.insert(postback.postback_id);
                continue;
            };
            let claimed = ClaimedDelivery {
                delivery_id,
                postback_id: postback.postback_id,
                event,
                attempt: 1,
                fence: FIRST_FENCE,
                due_at: self.circumstances.now,
                facts: facts.clone(),
                pinned_revision: None,
                is_unjudged: false,
            };
            self.claimed.push((claimed, slot));
        }
        self.changes.push(change);
    }
}

fn quarantine_row(item: &Mapped, matched: &Matched) -> QuarantineRow {
    let request = &matched.request;
    QuarantineRow {
        inbound_id: item.inbound.inbound_id,
        advertiser_id: matched.offer.advertiser_id,
        offer_id: matched.offer.offer_id,
        integration_id: item.origin.integration_id(),
        click_id: matched.click.click_id,
        word: normalized(&request.status_word),
        request: serde_json::to_string(request).expect("requests are JSON"),
        parameters: serde_json::to_string(&item.inbound.parameters).expect("pairs of texts are JSON"),
        source_ip: item.inbound.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        received_at: item.inbound.received_at,
        occurred_at: request.occurred_at.unwrap_or(item.inbound.received_at),
    }
}

fn inbound_row(node: NodeId, item: &Mapped, verdict: &Verdict) -> InboundRow {
    let click = match &item.work {
        Work::Lead(claim) => Some(&claim.click),
        Work::Customer(claim) => Some(&claim.click),
        Work::Quarantine(matched) | Work::Ignore(matched) => Some(&matched.click),
        Work::Log(_) => None,
    };
    let request = item.request.as_ref();
    let details = InboundDetails {
        offer_id: click.map(|click| click.offer_id.0),
        partner_id: click.map(|click| click.partner_id.0),
        request_id: request.map(|request| request.request_id.clone()).unwrap_or_default(),
        click_id: request.map(|request| request.click_ref.clone()).unwrap_or_default(),
        is_test: request.is_some_and(|request| request.is_test),
        integration_id: item.origin.integration_id().map(|id| id.0),
        origin_id: item.origin.waiting.map(|id| id.0),
        told: item.origin.integration.as_ref().filter(|_| item.origin.cause == Cause::Request).map(|own| {
            let answer = own.answers.of(verdict);
            (answer.code, answer.body)
        }),
    };
    item.inbound.row(node, verdict, details)
}
