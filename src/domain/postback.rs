//! A postback: a destination somebody configured.

use std::sync::Arc;
use std::time::Duration;

use super::catalogue::Catalogue;
use super::client_certificate::ClientCertificate;
use super::composite::Composite;
use super::destination::rate::Rate;
use super::destination::share::Limits;
use super::event::Event;
use super::facts::{EventFacts, EventMacros};
use super::ids::{AdvertiserId, LinkId, OfferId, PartnerId, PostbackId};
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
    pub fn kind(self) -> &'static str {
        match self {
            Self::Partner(_) => "partner",
            Self::Advertiser(_) => "advertiser",
            Self::Platform => "platform",
        }
    }
}

/// Which conversions of its owner a postback hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Global,
    Offer(OfferId),
    Link(LinkId),
}

#[derive(Debug, Clone)]
pub struct Postback {
    pub postback_id: PostbackId,
    /// Grows with every change of what its requests are made from.
    pub revision: i32,
    pub owner: Owner,
    pub scope: Scope,
    pub events: Vec<Event>,
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

    /// The request that tells it of an event; `composite` is that of the click's link.
    pub fn render(&self, macros: EventMacros, composite: Option<&Composite>) -> Rendering {
        self.request.render(&RequestValues { macros, composite, secret: self.template_secret() })
    }

    /// What the filter `hmac` signs with: the newest secret, as it is written.
    pub fn template_secret(&self) -> Option<&[u8]> {
        self.secrets.first().map(|newest| newest.secret.text_key())
    }
}

/// Every (postback, event) that hears of a change: the partner's, the advertiser's and the
/// platform's own. Paused postbacks are included: their deliveries wait.
pub fn subscribers<'a>(
    catalogue: &'a Catalogue,
    facts: &'a EventFacts,
    events: &'a [Event],
) -> impl Iterator<Item = (&'a Arc<Postback>, Event)> {
    [Owner::Partner(facts.partner_id), Owner::Advertiser(facts.advertiser_id), Owner::Platform]
        .into_iter()
        .flat_map(|owner| catalogue.postbacks_of(owner))
        .filter(|postback| match postback.scope {
            Scope::Global => true,
            Scope::Offer(offer_id) => offer_id == facts.offer_id,
            Scope::Link(link_id) => link_id == facts.link_id,
        })
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
