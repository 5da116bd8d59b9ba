//! A postback: a destination somebody configured.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::background::Background;
use super::catalogue::Catalogue;
use super::client_certificate::ClientCertificate;
use super::coded::coded_enum;
use super::condition::{Condition, Unmet};
use super::destination::rate::Rate;
use super::destination::share::Limits;
use super::event::Event;
use super::facts::{EventFacts, EventMacros};
use super::ids::{AdvertiserId, DeliveryId, LinkId, OfferId, PartnerId, PostbackId};
use super::party_names::{NO_NAMES, PartyNames};
use super::request_template::{Rendering, RequestTemplate};
use super::request_values::RequestValues;
use super::retry::RetryPolicy;
use super::signing::{Signing, SigningSecret};
use super::success_rule::SuccessRule;

/// Who configured a postback, and so who may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    Partner(PartnerId),
    Advertiser(AdvertiserId),
    Platform,
}

impl Owner {
    /// As a postback's row names it: a partner, an advertiser, or neither.
    pub fn of(partner: Option<Uuid>, advertiser: Option<Uuid>) -> Self {
        match (partner, advertiser) {
            (Some(id), _) => Self::Partner(PartnerId(id)),
            (None, Some(id)) => Self::Advertiser(AdvertiserId(id)),
            (None, None) => Self::Platform,
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Partner(_) => "partner",
            Self::Advertiser(_) => "advertiser",
            Self::Platform => "platform",
        }
    }
}

coded_enum! {
    /// What an offer's postbacks are to the global ones of the same owner.
    OfferPostbacks {
        /// Both are told.
        Join = "join",
        /// An owner that has a postback of this offer, or of the link in question, is told by
        /// those alone; its global ones do not hear of the offer, whatever their events.
        Replace = "replace",
    }
}

/// Which conversions of its owner a postback hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Global,
    Offer(OfferId),
    Link(LinkId),
}

/// How much of a postback's row this node could read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Whole,
    /// Whose it is and what it hears of. Its deliveries are written, and wait for a node that can read
    /// what to send, and on what condition.
    Outline,
}

#[derive(Debug, Clone)]
pub struct Postback {
    pub postback_id: PostbackId,
    pub reading: Reading,
    /// Grows with every change of what its requests are made from.
    pub revision: i32,
    pub owner: Owner,
    pub scope: Scope,
    /// Empty: it was deleted.
    pub events: Vec<Event>,
    /// What is filtered out is skipped, and says why.
    pub condition: Option<Arc<Condition>>,
    pub request: RequestTemplate,
    /// What the body of a successful answer must keep to.
    pub success: Vec<SuccessRule>,
    /// Most requests under way at once, over all nodes.
    pub max_in_flight: usize,
    /// Most requests a second, over all nodes.
    pub rate: Option<Rate>,
    /// One deadline over the whole exchange: DNS, connection, request, body.
    pub timeout: Duration,
    pub retry: RetryPolicy,
    pub paused: bool,
    /// Shown over TLS to a destination that asks for one.
    pub certificate: Option<Arc<ClientCertificate>>,
    pub signing: Signing,
    /// What it is signed with, newest first: two while one replaces the other.
    pub secrets: Vec<SigningSecret>,
}

impl Postback {
    pub fn limits(&self) -> Limits {
        Limits { max_in_flight: self.max_in_flight, rate: self.rate }
    }

    /// The request that tells it of an event.
    pub fn render(
        &self,
        delivery_id: DeliveryId,
        event: Event,
        facts: &EventFacts,
        background: &Background,
    ) -> Rendering {
        let macros = EventMacros { event, facts, owner: self.owner, names: &background.names };
        let composite = background.composite.as_deref();
        let secret = self.template_secret();
        self.request.render(&RequestValues { delivery_id, macros, composite, secret })
    }

    /// What the filter `hmac` signs with: the newest secret, as it is written.
    pub fn template_secret(&self) -> Option<&[u8]> {
        self.secrets.first().map(|newest| newest.secret.text_key())
    }
}

impl Postback {
    /// Whether the event may go to it, by its condition; the catalogue knows what its parties are
    /// called.
    pub fn admits(&self, event: Event, facts: &EventFacts, catalogue: &Catalogue) -> Result<(), Unmet> {
        let Some(condition) = &self.condition else { return Ok(()) };
        let named: PartyNames;
        let names = if condition.asks_for_names() {
            named = catalogue.party_names(facts);
            &named
        } else {
            &NO_NAMES
        };
        condition.judge(&EventMacros { event, facts, owner: self.owner, names })
    }
}

impl Scope {
    /// Whether it is for what happens at that offer through that link.
    pub fn covers(self, offer: OfferId, link: LinkId) -> bool {
        match self {
            Self::Global => true,
            Self::Offer(offer_id) => offer_id == offer,
            Self::Link(link_id) => link_id == link,
        }
    }
}

/// Whether the owner's own postbacks of the offer or link stand in for its global ones. One that
/// is paused does; one that is deleted does not.
pub fn replaces_global(catalogue: &Catalogue, owner: Owner, facts: &EventFacts) -> bool {
    let offer = catalogue.offers.get(&facts.offer_id);
    offer.is_some_and(|offer| offer.offer_postbacks == OfferPostbacks::Replace)
        && catalogue.postbacks_of(owner).iter().any(|postback| {
            postback.scope != Scope::Global
                && postback.scope.covers(facts.offer_id, facts.link_id)
                && !postback.events.is_empty()
        })
}

/// Every (postback, event) that hears of a change: the partner's, the advertiser's and the
/// platform's own. Paused postbacks are included: their deliveries wait. So are those whose
/// condition keeps the event from them, which [`Postback::admits`] tells; global ones that the
/// offer's replace are not: a scope leaves no trace of what it does not cover.
pub fn subscribers<'a>(
    catalogue: &'a Catalogue,
    facts: &'a EventFacts,
    events: &'a [Event],
) -> impl Iterator<Item = (&'a Arc<Postback>, Event)> {
    [Owner::Partner(facts.partner_id), Owner::Advertiser(facts.advertiser_id), Owner::Platform]
        .into_iter()
        .flat_map(|owner| {
            let is_replaced = replaces_global(catalogue, owner, facts);
            let postbacks = catalogue.postbacks_of(owner).iter();
            postbacks.filter(move |postback| !(is_replaced && postback.scope == Scope::Global))
        })
        .filter(|postback| postback.scope.covers(facts.offer_id, facts.link_id))
        .flat_map(|postback| {
            events.iter().filter(|event| postback.events.contains(event)).map(move |event| (postback, *event))
        })
}

/// The platform's postbacks that hear of what happens to the destination `about`; not its own,
/// which could not be told.
pub fn operational_subscribers(
    catalogue: &Catalogue,
    about: PostbackId,
    event: Event,
) -> impl Iterator<Item = &Arc<Postback>> {
    let hears = move |postback: &&Arc<Postback>| {
        postback.postback_id != about && postback.scope == Scope::Global && postback.events.contains(&event)
    };
    catalogue.postbacks_of(Owner::Platform).iter().filter(hears)
}
