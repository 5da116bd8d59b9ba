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
use super::ids::{ActionId, AdvertiserId, ClickId, InboundId, LeadId};
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
    pub attribution: Attribution,
    pub request: ConversionRequest,
}

/// Whether a conversion came within the time its click counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    Inside,
    /// The advertiser's window, in hours, had ended.
    Outside {
        hours: i64,
    },
}

impl Attribution {
    fn fault(self) -> Option<FieldError> {
        let Self::Outside { hours } = self else {
            return None;
        };
        let message = format!(
            "the click is older than the {hours} hours it counts for; have the network lengthen the \
             attribution window if it should count"
        );
        Some(FieldError::new("click_id", "outside_attribution_window", message))
    }
}

/// A customer to be added or stopped.
#[derive(Debug, Clone)]
pub struct CustomerClaim {
    pub customer_id: String,
    pub click: Arc<Click>,
    pub offer: Arc<Offer>,
    pub active: bool,
    pub attribution: Attribution,
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
    /// The event of its kind that it fired when it was new.
    pub kind_event: Option<Event>,
}

impl KnownLead {
    fn of(claim: &Claim, request: &ConversionRequest, kind_event: Option<Event>) -> Self {
        Self {
            click_id: claim.click.click_id,
            status: claim.status,
            price: request.price,
            currency: Some(request.currency.unwrap_or(claim.action.currency)),
            customer_id: request.customer_id.clone(),
            comment: request.comment.clone(),
            fields: request.fields.clone(),
            kind_event,
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

/// Test customers are others than real ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerKey {
    pub advertiser_id: AdvertiserId,
    pub customer_id: String,
    pub is_test: bool,
}

/// What is known of everything a batch touches. Tests are kept apart (`is_test` in the keys): a
/// test deposit does not make a real one the second.
#[derive(Debug, Default)]
pub struct Ledger {
    pub leads: HashMap<LeadId, KnownLead>,
    /// The lead that holds a once-per-click action.
    pub once_per_click: HashMap<(ClickId, ActionId, bool), LeadId>,
    pub clicks_with_deposit: HashSet<(ClickId, bool)>,
    pub customers_with_deposit: HashSet<CustomerKey>,
    pub customers_with_lead: HashSet<CustomerKey>,
    pub customers: HashMap<CustomerKey, KnownCustomer>,
    /// The signatures that the batch came with.
    pub signatures: SignatureLedger,
    pub settled: HashSet<LeadId>,
    /// Requests in quarantine or waiting to be processed again that nobody has taken yet.
    pub waiting: HashSet<InboundId>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Create {
        /// That of its kind, and that of its status.
        events: [Event; 2],
    },
    /// `request` is completed with what was known before.
    Change {
        from: Status,
        request: Box<ConversionRequest>,
        events: Vec<Event>,
        /// The event of its kind that the lead fired when it was new.
        kind_event: Option<Event>,
    },
    Duplicate,
    Conflict(ConflictReason),
    Refuse(FieldError),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerDecision {
    Set { event: Event },
    Duplicate,
    Refuse(FieldError),
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
        let kind_event = known.kind_event;
        self.leads.insert(claim.lead_id, KnownLead::of(claim, &request, kind_event));
        let events = vec![status_event(claim.status)];
        Decision::Change { from: known.status, request: Box::new(request), events, kind_event }
    }

    fn decide_new(&mut self, claim: &Claim) -> Decision {
        let customer = customer_key(claim);
        let is_test = claim.request.is_test;
        if claim.action.payout_model == PayoutModel::Recurring {
            // The window was kept by the customer's activation; renewals come for years.
            let active =
                customer.as_ref().and_then(|key| self.customers.get(key)).is_some_and(|known| known.active);
            if !active {
                let message = "this customer is not active; send status=activate for it first";
                return Decision::Refuse(FieldError::new("customer_id", "inactive_customer", message));
            }
        } else if let Some(fault) = claim.attribution.fault() {
            return Decision::Refuse(fault);
        }
        let click_id = claim.click.click_id;
        if !claim.action.repeatable {
            let place = (click_id, claim.action.action_id, is_test);
            if let Some(existing) = self.once_per_click.get(&place) {
                return Decision::Conflict(ConflictReason::OncePerClick { existing: *existing });
            }
            self.once_per_click.insert(place, claim.lead_id);
        }

        let mut deposits = Occurrence::First;
        let mut renewals = Occurrence::First;
        if claim.action.kind == ActionKind::Deposit {
            let click_had_one = !self.clicks_with_deposit.insert((click_id, is_test));
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
        let kind_event = kind_event(claim.action.kind, deposits, renewals);
        self.leads.insert(claim.lead_id, KnownLead::of(claim, &claim.request, Some(kind_event)));
        Decision::Create { events: [kind_event, status_event(claim.status)] }
    }

    pub fn decide_customer(&mut self, claim: &CustomerClaim) -> CustomerDecision {
        let key = claim.key();
        let known = KnownCustomer { click_id: claim.click.click_id, active: claim.active };
        if claim.active
            && !self.customers.contains_key(&key)
            && let Some(fault) = claim.attribution.fault()
        {
            return CustomerDecision::Refuse(fault);
        }
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
    claim.request.customer_id.clone().map(|customer_id| CustomerKey {
        advertiser_id: claim.offer.advertiser_id,
        customer_id,
        is_test: claim.request.is_test,
    })
}

impl CustomerClaim {
    pub fn key(&self) -> CustomerKey {
        CustomerKey {
            advertiser_id: self.offer.advertiser_id,
            customer_id: self.customer_id.clone(),
            is_test: self.request.is_test,
        }
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
