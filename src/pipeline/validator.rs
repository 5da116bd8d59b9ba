//! Finds the click, offer and action of each request, and names every fault.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use chrono::{DateTime, Utc};

use super::inbound::{Asked, InboundRecord, NotDurable, Origin, Reply, Submission};
use super::intake::LaneTicket;
use super::services::Services;
use super::status_mapper::{MapBatch, StatusMapper};
use super::wide_gate::{WideGate, Widely, is_wide};
use crate::domain::catalogue::{Action as PaidAction, Catalogue, Offer};
use crate::domain::click::Click;
use crate::domain::completion::Completion;
use crate::domain::decision::Attribution;
use crate::domain::fields::{ConversionRequest, ReadFields};
use crate::domain::ids::AdvertiserId;
use crate::domain::payout::PayoutModel;
use crate::domain::status::{Status, StatusWord};
use crate::domain::verdict::{FieldError, Verdict};
use crate::panics::caught_now;
use crate::store::clicks::{self, Found};

/// Bound: one batch, as its lane has one under way.
pub struct Validator {
    services: Arc<Services>,
    mapper: Addr<StatusMapper>,
    wide: Addr<WideGate>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct ValidateBatch {
    pub submissions: Vec<Submission>,
    pub ticket: LaneTicket,
}

/// A request whose parts have been found.
#[derive(Debug)]
pub struct Matched {
    pub click: Arc<Click>,
    pub offer: Arc<Offer>,
    /// `None` for a customer that is added or stopped.
    pub action: Option<Arc<PaidAction>>,
    /// What the request's status word means here.
    pub word: StatusWord,
    pub attribution: Attribution,
    pub request: ConversionRequest,
}

pub struct Validated {
    pub inbound: InboundRecord,
    pub reply: Reply,
    pub origin: Origin,
    pub request: Option<ConversionRequest>,
    pub result: Result<Matched, Verdict>,
}

impl Validator {
    pub fn new(services: Arc<Services>, mapper: Addr<StatusMapper>, wide: Addr<WideGate>) -> Self {
        Self { services, mapper, wide }
    }
}

impl Actor for Validator {
    type Context = Context<Self>;
}

impl Handler<ValidateBatch> for Validator {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, batch: ValidateBatch, _: &mut Self::Context) -> Self::Result {
        let services = self.services.clone();
        let (mapper, wide) = (self.mapper.clone(), self.wide.clone());
        AtomicResponse::new(Box::pin(
            async move {
                let ValidateBatch { submissions, ticket } = batch;
                match clicks::find(&services.lane_pool, &click_references(&submissions)).await {
                    Ok(clicks) => {
                        let catalogue = services.catalogue();
                        // One over which this panics gets 503, and the others of its batch go on.
                        let items = submissions
                            .into_iter()
                            .filter_map(|one| caught_now(|| validate(one, &clicks, &catalogue)).ok());
                        let goes_wide = |item: &Validated| {
                            item.result.as_ref().is_ok_and(|matched| is_wide(&catalogue, &matched.click))
                        };
                        let (to_wide, items): (Vec<_>, Vec<_>) = items.partition(goes_wide);
                        if !to_wide.is_empty() {
                            wide.do_send(Widely(to_wide));
                        }
                        mapper.do_send(MapBatch { items, ticket });
                    }
                    Err(error) => {
                        tracing::warn!(%error, requests = submissions.len(), "requests get 503: clicks cannot be read");
                        for submission in submissions {
                            let _ = submission.reply.send(Err(NotDurable::StoreAway));
                        }
                    }
                }
            }
            .into_actor(self),
        ))
    }
}

pub(super) type Clicks = HashMap<(AdvertiserId, String), Found>;

pub(super) fn click_references(submissions: &[Submission]) -> Vec<(AdvertiserId, String)> {
    let mut references: Vec<_> = submissions
        .iter()
        .filter_map(|submission| match (&submission.asked, submission.inbound.advertiser_id) {
            (Asked::Conversion(read), Some(advertiser)) if !read.request.click_ref.contains('\0') => {
                Some((advertiser, read.request.click_ref.clone()))
            }
            _ => None,
        })
        .filter(|(_, text)| !text.is_empty())
        .collect();
    references.sort();
    references.dedup();
    references
}

pub(super) fn validate(submission: Submission, clicks: &Clicks, catalogue: &Catalogue) -> Validated {
    let Submission { inbound, asked, origin, reply } = submission;
    let (request, result) = match (asked, inbound.advertiser_id) {
        (Asked::Refused(verdict), _) => (None, Err(verdict)),
        (Asked::Conversion(read), None) => (Some(read.request), Err(Verdict::UnknownKey)),
        (Asked::Conversion(read), Some(advertiser)) => {
            let found = clicks.get(&(advertiser, read.request.click_ref.clone()));
            let request = read.request.clone();
            let parts = find_parts(*read, found, catalogue, &origin, inbound.received_at);
            (Some(request), parts.map_err(Verdict::Invalid))
        }
    };
    Validated { inbound, reply, origin, request, result }
}

/// Puts the parts of a request together, or names everything that is wrong with it.
fn find_parts(
    read: ReadFields,
    found: Option<&Found>,
    catalogue: &Catalogue,
    origin: &Origin,
    received_at: DateTime<Utc>,
) -> Result<Matched, Vec<FieldError>> {
    let ReadFields { mut request, completion, mut errors } = read;
    let click_and_offer = match found {
        Some(Found::Click(click)) => catalogue.offers.get(&click.offer_id).map(|offer| (click, offer)),
        Some(Found::Ambiguous { candidates }) => {
            let message = format!("{candidates} clicks bear this partner's id; send our click_id instead");
            errors.push(FieldError::new("click_id", "ambiguous_click", message));
            None
        }
        Some(Found::Unknown) | None => None,
    };
    let is_faulty = |errors: &[FieldError]| errors.iter().any(|error| error.field == "click_id");
    if click_and_offer.is_none() && !is_faulty(&errors) {
        let message = "no click of your offers has this id; send the click_id the visitor arrived with";
        errors.push(FieldError::new("click_id", "unknown_click", message));
    }
    let Some((click, offer)) = click_and_offer else {
        return Err(errors);
    };

    let other_offer = |errors: &mut Vec<FieldError>, message: &str| {
        errors.push(FieldError::new("click_id", "other_offer", message));
    };
    if let Completion::HoldOf(offer_id) = completion
        && offer_id != offer.offer_id
    {
        other_offer(&mut errors, "this click leads to another offer; use the pixel of the click's own offer");
    }
    if origin.offer_id().is_some_and(|offer_id| offer_id != offer.offer_id) {
        other_offer(&mut errors, "this click belongs to an offer that the integration is not for");
    }

    let word = match (completion, origin.meaning) {
        // No mapping makes more than a hold of what a browser says.
        (Completion::HoldOf(_), _) => StatusWord::Conversion(Status::Hold),
        (_, Some(meaning)) => meaning.into(),
        (_, None) => {
            let words = &catalogue.status_words;
            let integration = origin.integration_id();
            words.read(&request.status_word, integration, offer.offer_id, offer.advertiser_id)
        }
    };
    let concerns_customer = word.concerns_customer();
    require_by_meaning(&mut errors, &request, completion, concerns_customer);
    if !concerns_customer && let Err(error) = completion.complete(&mut request, click.click_id, offer) {
        errors.push(error);
    }
    // An unknown word may yet turn out to stop or add a customer; quarantine loses nothing.
    if word == StatusWord::Unknown && request.customer_id.is_some() && offer.has_recurring_actions() {
        errors.retain(|error| error.code != "missing" || !CUSTOMERS_NEED_NO.contains(&error.field.as_str()));
    }
    let action = if concerns_customer { None } else { offer.action(&request.action).cloned() };
    if concerns_customer && !offer.has_recurring_actions() {
        let message = "customers are added and stopped only for offers with recurring actions";
        errors.push(FieldError::new("status", "not_recurring", message));
    }
    if !concerns_customer && action.is_none() && !request.action.is_empty() {
        let message = format!("this offer has no such action; it has {}", offer.action_names());
        errors.push(FieldError::new("action", "unknown_action", message));
    }
    if let Some(action) = &action {
        if action.payout.needs_price() && request.price.is_none() && !has_error(&errors, "price") {
            errors.push(FieldError::missing("price"));
        }
        if action.payout_model == PayoutModel::Recurring && request.customer_id.is_none() {
            errors.push(FieldError::missing("customer_id"));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let happened_at = request.occurred_at.unwrap_or(received_at);
    let attribution = match catalogue.attribution_windows.get(&offer.advertiser_id) {
        Some(window) if happened_at - click.clicked_at > *window => {
            Attribution::Outside { hours: window.num_hours() }
        }
        _ => Attribution::Inside,
    };
    Ok(Matched { click: click.clone(), offer: offer.clone(), action, word, attribution, request })
}

/// What a request that adds or stops a customer comes without.
const CUSTOMERS_NEED_NO: &[&str] = &["request_id", "action"];

/// The request was read by the words everybody shares. Where its own word concerns a customer,
/// it needs a customer instead of a request id and an action, and the other way about.
fn require_by_meaning(
    errors: &mut Vec<FieldError>,
    request: &ConversionRequest,
    completion: Completion,
    concerns_customer: bool,
) {
    if concerns_customer == StatusWord::read(&request.status_word).concerns_customer() {
        return;
    }
    let is_missing = |name: &str| match name {
        "request_id" => request.request_id.is_empty(),
        "action" => request.action.is_empty(),
        _ => request.customer_id.is_none(),
    };
    let (needed, needless): (&[&str], &[&str]) = match concerns_customer {
        true => (&["customer_id"], CUSTOMERS_NEED_NO),
        false => (CUSTOMERS_NEED_NO, &["customer_id"]),
    };
    errors.retain(|error| error.code != "missing" || !needless.contains(&error.field.as_str()));
    for name in needed {
        if is_missing(name) && !completion.can_do_without(name) && !has_error(errors, name) {
            errors.push(FieldError::missing(name));
        }
    }
}

fn has_error(errors: &[FieldError], field: &str) -> bool {
    errors.iter().any(|error| error.field == field)
}
