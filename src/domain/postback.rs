//! A postback: a destination somebody configured, and the facts its template is filled with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::event::Event;
use super::ids::{AdvertiserId, ChangeId, ClickId, LeadId, LinkId, OfferId, PartnerId, PostbackId};
use super::money::Currency;
use super::retry::RetrySchedule;
use super::status::Status;
use super::template::{MacroValues, UrlTemplate};

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
    pub owner: Owner,
    pub scope: Scope,
    pub events: Vec<Event>,
    pub url: UrlTemplate,
    /// Most requests under way at once.
    pub max_in_flight: usize,
    /// One deadline over the whole exchange: DNS, connection, request, body.
    pub timeout: Duration,
    pub retry: RetrySchedule,
    pub paused: bool,
}

/// Macros of a postback, beside `{fields.NAME}`.
pub const POSTBACK_MACROS: &[&str] = &[
    "clickid", "click_id", "sub1", "sub2", "sub3", "sub4", "sub5", "status", "event", "offer_id", "partner_id",
    "advertiser_id", "link_id", "action", "geo", "country", "device", "amount", "payout", "currency", "txid",
    "request_id", "lead_id", "customer_id", "ip", "user_agent", "timestamp", "datetime", "comment",
];

/// What is known of a change at the moment it happened: what postbacks are filled with, now and
/// at every later attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventFacts {
    pub change_id: ChangeId,
    pub occurred_at: DateTime<Utc>,
    pub advertiser_id: AdvertiserId,
    pub offer_id: OfferId,
    pub partner_id: PartnerId,
    pub link_id: LinkId,
    pub click_id: ClickId,
    pub clickid: String,
    /// None where the change is a customer's.
    pub lead_id: Option<LeadId>,
    pub action: String,
    pub status: Option<Status>,
    pub request_id: String,
    pub customer_id: String,
    /// The full sum before commission, in `currency`.
    pub amount: Option<Decimal>,
    pub currency: Option<Currency>,
    pub payout: Option<Decimal>,
    pub payout_currency: Option<Currency>,
    pub comment: String,
    pub subs: [String; 5],
    pub country: String,
    pub device: String,
    pub ip: String,
    pub user_agent: String,
    pub fields: BTreeMap<String, String>,
    pub is_test: bool,
}

impl EventFacts {
    /// The transaction id that trackers tell conversions of one click apart by.
    pub fn txid(&self) -> Cow<'_, str> {
        match self.lead_id {
            Some(lead_id) if self.request_id.is_empty() => lead_id.to_string().into(),
            _ => Cow::Borrowed(&self.request_id),
        }
    }
}

/// The facts of a change, told as one of its events.
pub struct EventMacros<'a> {
    pub event: Event,
    pub facts: &'a EventFacts,
}

impl MacroValues for EventMacros<'_> {
    fn value(&self, name: &str) -> Cow<'_, str> {
        let facts = self.facts;
        let money = |amount: Option<Decimal>| amount.map(|amount| amount.to_string()).unwrap_or_default();
        match name {
            "clickid" => Cow::Borrowed(&facts.clickid),
            "click_id" => facts.click_id.to_string().into(),
            "sub1" => Cow::Borrowed(&facts.subs[0]),
            "sub2" => Cow::Borrowed(&facts.subs[1]),
            "sub3" => Cow::Borrowed(&facts.subs[2]),
            "sub4" => Cow::Borrowed(&facts.subs[3]),
            "sub5" => Cow::Borrowed(&facts.subs[4]),
            "status" => facts.status.map(Status::code).unwrap_or_default().into(),
            "event" => self.event.code().into(),
            "offer_id" => facts.offer_id.to_string().into(),
            "partner_id" => facts.partner_id.to_string().into(),
            "advertiser_id" => facts.advertiser_id.to_string().into(),
            "link_id" => facts.link_id.to_string().into(),
            "action" => Cow::Borrowed(&facts.action),
            "geo" | "country" => Cow::Borrowed(&facts.country),
            "device" => Cow::Borrowed(&facts.device),
            "amount" => money(facts.amount).into(),
            "payout" => money(facts.payout).into(),
            "currency" => facts.payout_currency.or(facts.currency).map(Currency::code).unwrap_or_default().into(),
            "txid" => facts.txid(),
            "request_id" => Cow::Borrowed(&facts.request_id),
            "lead_id" => facts.lead_id.map(|id| id.to_string()).unwrap_or_default().into(),
            "customer_id" => Cow::Borrowed(&facts.customer_id),
            "ip" => Cow::Borrowed(&facts.ip),
            "user_agent" => Cow::Borrowed(&facts.user_agent),
            "timestamp" => facts.occurred_at.timestamp().to_string().into(),
            "datetime" => facts.occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
            "comment" => Cow::Borrowed(&facts.comment),
            other => {
                let field = other.strip_prefix("fields.").and_then(|name| facts.fields.get(name));
                field.map(|value| Cow::Borrowed(value.as_str())).unwrap_or_default()
            }
        }
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
