//! What the network has agreed on: who is in it, what is paid for, who wants to know.
//!
//! A catalogue is one consistent reading of the reference tables. It is never changed, only
//! replaced, so a batch is judged from beginning to end by the same rules.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::TimeDelta;

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::access::AdvertiserAccess;
use super::composite::Composite;
use super::event::ActionKind;
use super::facts::EventFacts;
use super::ids::{ActionId, AdvertiserId, IntegrationId, LinkId, OfferId, PartnerId, PostbackId};
use super::integration::Integration;
use super::money::Currency;
use super::party_names::PartyNames;
use super::payout::{PartnerPayout, PayoutModel};
use super::postback::{OfferPostbacks, Owner, Postback};
use super::status::Refunds;
use super::status_words::StatusWords;
use super::template::UrlTemplate;

#[derive(Debug, Clone)]
pub struct Offer {
    pub offer_id: OfferId,
    pub advertiser_id: AdvertiserId,
    pub name: String,
    pub landing_url: UrlTemplate,
    /// The query parameter the click id is appended under.
    pub click_id_parameter: String,
    pub refunds: Refunds,
    pub offer_postbacks: OfferPostbacks,
    pub actions: Vec<Arc<Action>>,
}

impl Offer {
    pub fn action(&self, name: &str) -> Option<&Arc<Action>> {
        let name = name.trim();
        let by_name = self.actions.iter().find(|action| action.name.eq_ignore_ascii_case(name));
        by_name.or_else(|| self.only_action_of_kind(ActionKind::from_code(name.strip_prefix("kind:")?)?))
    }

    /// For ready integrations, which know what happened but not what the offer calls it: they
    /// say `kind:deposit`.
    fn only_action_of_kind(&self, kind: ActionKind) -> Option<&Arc<Action>> {
        let mut of_kind = self.actions.iter().filter(|action| action.kind == kind);
        of_kind.next().filter(|_| of_kind.next().is_none())
    }

    /// The action a conversion is of when its sender names none: the marked one, or the only one.
    pub fn default_action(&self) -> Option<&Arc<Action>> {
        let marked = self.actions.iter().find(|action| action.is_default);
        marked.or_else(|| self.actions.first().filter(|_| self.actions.len() == 1))
    }

    /// The names of the actions, for messages.
    pub fn action_names(&self) -> String {
        self.actions.iter().map(|action| action.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub fn has_recurring_actions(&self) -> bool {
        self.actions.iter().any(|action| action.payout_model == PayoutModel::Recurring)
    }
}

/// One paid goal of an offer.
#[derive(Debug, Clone)]
pub struct Action {
    pub action_id: ActionId,
    pub name: String,
    pub kind: ActionKind,
    pub payout_model: PayoutModel,
    /// What the advertiser pays, in the same unit as the payout (an amount or percent).
    pub advertiser_rate: Decimal,
    /// The network's share of the advertiser's rate, in percent.
    pub commission_percent: Decimal,
    pub payout: PartnerPayout,
    pub currency: Currency,
    /// Whether one click can have this action more than once.
    pub repeatable: bool,
    /// Whether this is the offer's action where none is named; at most one of an offer is.
    pub is_default: bool,
}

#[derive(Debug, Clone)]
pub struct Link {
    pub link_id: LinkId,
    pub offer_id: OfferId,
    pub partner_id: PartnerId,
    /// How this partner packs several values into one parameter, if so.
    pub composite: Option<Arc<Composite>>,
}

#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Grows with every change of a reference table.
    pub version: i64,
    pub keys: HashMap<KeyHash, AdvertiserId>,
    /// What the requests of each advertiser must fulfil.
    pub access: HashMap<AdvertiserId, Arc<AdvertiserAccess>>,
    pub offers: HashMap<OfferId, Arc<Offer>>,
    pub links: HashMap<LinkId, Link>,
    /// Those that could be read as a whole.
    pub postbacks: HashMap<PostbackId, Arc<Postback>>,
    pub integrations: HashMap<IntegrationId, Arc<Integration>>,
    pub status_words: StatusWords,
    /// How long after a click a new conversion still counts, where it does not for ever.
    pub attribution_windows: HashMap<AdvertiserId, TimeDelta>,
    pub partner_names: HashMap<PartnerId, String>,
    pub advertiser_names: HashMap<AdvertiserId, String>,
    postbacks_by_owner: HashMap<Owner, Vec<Arc<Postback>>>,
}

/// The SHA-256 of an API key or token. Keys are random and long, so nothing slower is needed.
pub type KeyHash = [u8; 32];

pub fn hash_key(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

impl Catalogue {
    pub fn new(
        version: i64,
        keys: HashMap<KeyHash, AdvertiserId>,
        offers: HashMap<OfferId, Arc<Offer>>,
        links: HashMap<LinkId, Link>,
        postbacks: HashMap<PostbackId, Arc<Postback>>,
    ) -> Self {
        let mut postbacks_by_owner: HashMap<Owner, Vec<Arc<Postback>>> = HashMap::new();
        for postback in postbacks.values() {
            postbacks_by_owner.entry(postback.owner).or_default().push(postback.clone());
        }
        Self { version, keys, offers, links, postbacks, postbacks_by_owner, ..Self::default() }
    }

    /// Adds postbacks of which only that much could be read: what they hear of is written down for them,
    /// but as [`Catalogue::postbacks`] has them not, nothing is sent by this node.
    pub fn add_outlines(&mut self, outlines: Vec<Postback>) {
        for outline in outlines {
            self.postbacks_by_owner.entry(outline.owner).or_default().push(Arc::new(outline));
        }
    }

    /// The advertiser whose key this is. The look-up is by hash, so its timing tells nothing
    /// about the key.
    pub fn advertiser_by_key(&self, key: &str) -> Option<AdvertiserId> {
        self.keys.get(&hash_key(key)).copied()
    }

    pub fn link_and_offer(&self, link_id: LinkId) -> Option<(&Link, &Arc<Offer>)> {
        let link = self.links.get(&link_id)?;
        Some((link, self.offers.get(&link.offer_id)?))
    }

    /// How the link packs several values into one parameter, if it does.
    pub fn composite_of(&self, link_id: LinkId) -> Option<Arc<Composite>> {
        self.links.get(&link_id)?.composite.clone()
    }

    /// What those who have to do with an event are called.
    pub fn party_names(&self, facts: &EventFacts) -> PartyNames {
        PartyNames {
            offer: self.offers.get(&facts.offer_id).map(|offer| offer.name.clone()),
            partner: self.partner_names.get(&facts.partner_id).cloned(),
            advertiser: self.advertiser_names.get(&facts.advertiser_id).cloned(),
        }
    }

    /// Those of which only an outline could be read are among them.
    pub fn postbacks_of(&self, owner: Owner) -> &[Arc<Postback>] {
        self.postbacks_by_owner.get(&owner).map_or(&[], Vec::as_slice)
    }
}
