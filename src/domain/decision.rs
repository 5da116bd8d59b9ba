//! Whether a request is new, a change, a repeat or a contradiction.
//!
//! The [`Ledger`] holds what is known of the leads a batch touches. Requests are decided one
//! after another in their order of arrival, and each decision is entered at once, so two
//! requests in one batch meet the same rules as two requests an hour apart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rust_decimal::Decimal;

use super::access::replay::SignatureLedger;
use super::catalogue::{Action, Offer};
use super::click::Click;
use super::event::{ActionKind, Event, Occurrence, kind_event, status_event};
use super::fields::ConversionRequest;
use super::ids::{ActionId, AdvertiserId, ClickId, LeadId};
use super::money::Currency;
use super::payout::PayoutModel;
use super::status::Status;
use super::verdict::{ConflictReason, FieldError};

/// A request whose click, action and status are known.
#[derive(Debug, Clone)]
pub struct Claim {
    pub lead_id: LeadId,
    pub click: Arc<Click>,
    pub offer: Arc<Offer>,
    pub action: Arc<Action>,
    pub status: Status,
    pub request: ConversionRequest,
}

/// A customer to be added or stopped.
#[derive(Debug, Clone)]
pub struct CustomerClaim {
    pub customer_id: String,
    pub click: Arc<Click>,
    pub offer: Arc<Offer>,
    pub active: bool,
    pub request: ConversionRequest,
}

/// A lead as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLead {
    pub click_id: ClickId,
    pub status: Status,
    pub price: Option<Decimal>,
    pub currency: Option<Currency>,
    pub customer_id: Option<String>,
    pub comment: String,
    pub fields: BTreeMap<String, String>,
}

impl KnownLead {
    fn of(claim: &Claim, request: &ConversionRequest) -> Self {
        Self {
            click_id: claim.click.click_id,
            status: claim.status,
            price: request.price,
            currency: Some(request.currency.unwrap_or(claim.action.currency)),
            customer_id: request.customer_id.clone(),
            comment: request.comment.clone(),
            fields: request.fields.clone(),
        }
    }

    /// The request, with what an earlier one said wherever this one is silent.
    fn completed(&self, mut request: ConversionRequest) -> ConversionRequest {
        request.price = request.price.or(self.price);
        request.currency = request.currency.or(self.currency);
        request.customer_id = request.customer_id.or_else(|| self.customer_id.clone());
        if request.comment.is_empty() {
            request.comment.clone_from(&self.comment);
        }
        for (name, value) in &self.fields {
            request.fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
        request
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCustomer {
    pub click_id: ClickId,
    pub active: bool,
}

pub type CustomerKey = (AdvertiserId, String);

/// What is known of everything a batch touches.
#[derive(Debug, Default)]
pub struct Ledger {
    pub leads: HashMap<LeadId, KnownLead>,
    /// The lead that holds a once-per-click action.
    pub once_per_click: HashMap<(ClickId, ActionId), LeadId>,
    pub clicks_with_deposit: HashSet<ClickId>,
    pub customers_with_deposit: HashSet<CustomerKey>,
    pub customers_with_lead: HashSet<CustomerKey>,
    pub customers: HashMap<CustomerKey, KnownCustomer>,
    /// The signatures that the batch came with.
    pub signatures: SignatureLedger,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Create {
        events: Vec<Event>,
    },
    /// `request` is completed with what was known before.
    Change {
        from: Status,
        request: Box<ConversionRequest>,
        events: Vec<Event>,
    },
    Duplicate,
    Conflict(ConflictReason),
    Refuse(FieldError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerDecision {
    Set { event: Event },
    Duplicate,
}

impl Ledger {
    pub fn decide(&mut self, claim: &Claim) -> Decision {
        match self.leads.get(&claim.lead_id).cloned() {
            Some(known) => self.decide_known(claim, &known),
            None => self.decide_new(claim),
        }
    }

    fn decide_known(&mut self, claim: &Claim, known: &KnownLead) -> Decision {
        if known.click_id != claim.click.click_id {
            return Decision::Conflict(ConflictReason::OtherClick);
        }
        let request = known.completed(claim.request.clone());
        if known.status == claim.status {
            return match (request.price, request.currency) == (known.price, known.currency) {
                true => Decision::Duplicate,
                false => Decision::Conflict(ConflictReason::PriceChanged),
            };
        }
        if !known.status.may_become(claim.status, claim.offer.refunds) {
            return Decision::Conflict(ConflictReason::Transition {
                from: known.status.code(),
                to: claim.status.code(),
            });
        }
        self.leads.insert(claim.lead_id, KnownLead::of(claim, &request));
        let events = vec![status_event(claim.status)];
        Decision::Change { from: known.status, request: Box::new(request), events }
    }

    fn decide_new(&mut self, claim: &Claim) -> Decision {
        let customer = customer_key(claim);
        if claim.action.payout_model == PayoutModel::Recurring {
            let active =
                customer.as_ref().and_then(|key| self.customers.get(key)).is_some_and(|known| known.active);
            if !active {
                let message = "this customer is not active; send status=activate for it first";
                return Decision::Refuse(FieldError::new("customer_id", "inactive_customer", message));
            }
        }
        let click_id = claim.click.click_id;
        if !claim.action.repeatable {
            if let Some(existing) = self.once_per_click.get(&(click_id, claim.action.action_id)) {
                return Decision::Conflict(ConflictReason::OncePerClick { existing: *existing });
            }
            self.once_per_click.insert((click_id, claim.action.action_id), claim.lead_id);
        }

        let mut deposits = Occurrence::First;
        let mut renewals = Occurrence::First;
        if claim.action.kind == ActionKind::Deposit {
            let click_had_one = !self.clicks_with_deposit.insert(click_id);
            let customer_had_one =
                customer.clone().is_some_and(|key| !self.customers_with_deposit.insert(key));
            if click_had_one || customer_had_one {
                deposits = Occurrence::Later;
            }
        }
        if claim.action.payout_model == PayoutModel::Recurring
            && customer.is_some_and(|key| !self.customers_with_lead.insert(key))
        {
            renewals = Occurrence::Later;
        }
        self.leads.insert(claim.lead_id, KnownLead::of(claim, &claim.request));
        Decision::Create {
            events: vec![kind_event(claim.action.kind, deposits, renewals), status_event(claim.status)],
        }
    }

    pub fn decide_customer(&mut self, claim: &CustomerClaim) -> CustomerDecision {
        let key = (claim.offer.advertiser_id, claim.customer_id.clone());
        let known = KnownCustomer { click_id: claim.click.click_id, active: claim.active };
        match self.customers.insert(key, known) {
            Some(before) if before == known => CustomerDecision::Duplicate,
            // One that never was cannot be stopped twice: the first stop is still news.
            _ if claim.active => CustomerDecision::Set { event: Event::CustomerActivate },
            _ => CustomerDecision::Set { event: Event::CustomerDeactivate },
        }
    }
}

/// The recurring customer or payer a claim names.
pub fn customer_key(claim: &Claim) -> Option<CustomerKey> {
    claim.request.customer_id.clone().map(|id| (claim.offer.advertiser_id, id))
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
