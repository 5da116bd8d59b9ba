//! The facts of a change: what postbacks are filled with and the log tells.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::click::Click;
use super::decision::{Claim, CustomerClaim};
use super::event::{ActionKind, Event};
use super::fields::{ConversionRequest, prefixed_field};
use super::health::Transition;
use super::ids::{AdvertiserId, ChangeId, ClickId, LeadId, LinkId, OfferId, PartnerId};
use super::money::Currency;
use super::party_names::{Party, PartyNames};
use super::postback::Owner;
use super::status::Status;
use super::template::MacroValues;

/// Macros of a postback, beside `{fields.NAME}`.
pub const POSTBACK_MACROS: &[&str] = &[
    "clickid",
    "click_id",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "status",
    "event",
    "offer_id",
    "partner_id",
    "advertiser_id",
    "offer_name",
    "partner_name",
    "advertiser_name",
    "link_id",
    "action",
    "geo",
    "country",
    "device",
    "amount",
    "payout",
    "currency",
    "amount_currency",
    "payout_currency",
    "txid",
    "request_id",
    "lead_id",
    "customer_id",
    "ip",
    "user_agent",
    "timestamp",
    "datetime",
    "comment",
    "tracker",
    "old_status",
    "delivery_id",
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
    /// None where the change is a customer's or a click's.
    #[serde(default)]
    pub kind: Option<ActionKind>,
    /// The event of its kind that the conversion fired when it was new: what tells a first deposit
    /// from a later one also where its status changes afterwards. None for what is no conversion, and
    /// for what was recorded before this was.
    #[serde(default)]
    pub kind_event: Option<Event>,
    pub status: Option<Status>,
    /// What it was before; none where it is new, or where this was not kept yet.
    #[serde(default)]
    pub status_from: Option<Status>,
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
    /// The click's composite parameter.
    #[serde(default)]
    pub tracker: String,
    /// Custom fields of the conversion, and parameters of the click where it has none by that name.
    pub fields: BTreeMap<String, String>,
    pub is_test: bool,
}

impl EventFacts {
    /// What can be read of facts that a newer version has written, or that are damaged: each by itself,
    /// and `lead_id` where even that cannot be. For a log row that says little rather than nothing.
    pub fn as_far_as_readable(
        written: &Value,
        change_id: ChangeId,
        lead_id: Option<LeadId>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut read = Self { lead_id, ..Self::of_nobody(change_id, now) };
        let Some(written) = written.as_object() else { return read };
        let Ok(Value::Object(mut facts)) = serde_json::to_value(&read) else { return read };
        for (name, value) in written {
            let before = facts.insert(name.clone(), value.clone());
            match Self::deserialize(&Value::Object(facts.clone())) {
                Ok(more) => read = more,
                Err(_) => match before {
                    Some(before) => drop(facts.insert(name.clone(), before)),
                    None => drop(facts.remove(name)),
                },
            }
        }
        read
    }

    /// A lead as it stands after a change; `request` is completed with what was known before.
    pub fn of_lead(
        claim: &Claim,
        request: &ConversionRequest,
        kind_event: Option<Event>,
        change_id: ChangeId,
        now: DateTime<Utc>,
    ) -> Self {
        let currency = request.currency.unwrap_or(claim.action.currency);
        // A share is paid in the currency of the price, an amount in that of the action.
        let payout_currency =
            if claim.action.payout.needs_price() { currency } else { claim.action.currency };
        Self {
            lead_id: Some(claim.lead_id),
            action: claim.action.name.clone(),
            kind: Some(claim.action.kind),
            kind_event,
            status: Some(claim.status),
            amount: request.price,
            currency: Some(currency),
            payout: claim.action.payout.of(request.price, payout_currency),
            payout_currency: Some(payout_currency),
            ..Self::of_click(&claim.click, request, change_id, now)
        }
    }

    /// A recurring customer that was added or stopped.
    pub fn of_customer(claim: &CustomerClaim, change_id: ChangeId, now: DateTime<Utc>) -> Self {
        Self::of_click(&claim.click, &claim.request, change_id, now)
    }

    /// A click that is only a click so far; its parameters are its fields.
    pub fn of_visit(click: &Click, change_id: ChangeId) -> Self {
        let request = ConversionRequest { fields: click.parameters.clone(), ..ConversionRequest::default() };
        Self::of_click(click, &request, change_id, click.clicked_at)
    }

    /// What has happened to a destination; its fields tell of it, and there is no visitor.
    pub fn of_destination(
        transition: &Transition,
        owner: Owner,
        change_id: ChangeId,
        now: DateTime<Utc>,
    ) -> Self {
        let nobody = Uuid::nil();
        let (advertiser, partner) = match owner {
            Owner::Advertiser(id) => (id.0, nobody),
            Owner::Partner(id) => (nobody, id.0),
            Owner::Platform => (nobody, nobody),
        };
        let since = transition.since.to_rfc3339_opts(SecondsFormat::Millis, true);
        let fields = [
            ("postback_id", transition.postback_id.to_string()),
            ("owner", owner.kind().to_owned()),
            ("reason", transition.reason.clone()),
            ("since", since),
        ];
        Self {
            advertiser_id: AdvertiserId(advertiser),
            partner_id: PartnerId(partner),
            comment: transition.reason.clone(),
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Self::of_nobody(change_id, now)
        }
    }

    fn of_nobody(change_id: ChangeId, now: DateTime<Utc>) -> Self {
        let nobody = Uuid::nil();
        Self {
            change_id,
            occurred_at: now,
            advertiser_id: AdvertiserId(nobody),
            offer_id: OfferId(nobody),
            partner_id: PartnerId(nobody),
            link_id: LinkId(nobody),
            click_id: ClickId(nobody),
            clickid: String::new(),
            lead_id: None,
            action: String::new(),
            kind: None,
            kind_event: None,
            status: None,
            status_from: None,
            request_id: String::new(),
            customer_id: String::new(),
            amount: None,
            currency: None,
            payout: None,
            payout_currency: None,
            comment: String::new(),
            subs: Default::default(),
            country: String::new(),
            device: String::new(),
            ip: String::new(),
            user_agent: String::new(),
            tracker: String::new(),
            fields: BTreeMap::new(),
            is_test: false,
        }
    }

    fn of_click(click: &Click, request: &ConversionRequest, change_id: ChangeId, now: DateTime<Utc>) -> Self {
        let sub = |index: usize| match click.subs[index].as_str() {
            "" => request.subs[index].clone(),
            of_click => of_click.to_owned(),
        };
        Self {
            change_id,
            occurred_at: request.occurred_at.unwrap_or(now),
            advertiser_id: click.advertiser_id,
            offer_id: click.offer_id,
            partner_id: click.partner_id,
            link_id: click.link_id,
            click_id: click.click_id,
            clickid: click.partner_clickid.clone(),
            lead_id: None,
            action: String::new(),
            kind: None,
            kind_event: None,
            status: None,
            status_from: None,
            request_id: request.request_id.clone(),
            customer_id: request.customer_id.clone().unwrap_or_default(),
            amount: None,
            currency: None,
            payout: None,
            payout_currency: None,
            comment: request.comment.clone(),
            subs: [sub(0), sub(1), sub(2), sub(3), sub(4)],
            country: click.country.clone(),
            device: click.device.clone(),
            ip: click.ip.clone(),
            user_agent: click.user_agent.clone(),
            tracker: click.value("tracker").into_owned(),
            fields: click
                .parameters
                .iter()
                .chain(&request.fields)
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            is_test: request.is_test,
        }
    }

    /// The transaction id that trackers tell conversions of one click apart by.
    pub fn txid(&self) -> Cow<'_, str> {
        match self.lead_id {
            Some(lead_id) if self.request_id.is_empty() => lead_id.to_string().into(),
            _ => Cow::Borrowed(&self.request_id),
        }
    }
}

/// The facts of a change, told as one of its events to whoever the postback belongs to.
pub struct EventMacros<'a> {
    pub event: Event,
    pub facts: &'a EventFacts,
    pub owner: Owner,
    pub names: &'a PartyNames,
}

impl EventMacros<'_> {
    /// Of the sum that the reader reckons in: a partner, and the network, in what is paid out, an
    /// advertiser in its own price. What the partner gets, it is not told even the currency of.
    fn currency(&self) -> Option<Currency> {
        let EventFacts { currency, payout_currency, .. } = self.facts;
        match self.owner {
            Owner::Advertiser(_) => *currency,
            Owner::Partner(_) | Owner::Platform => payout_currency.or(*currency),
        }
    }

    /// What a party is called, where the postback's owner may know that.
    fn name_of(&self, party: Party) -> &str {
        if party.is_hidden_from(self.owner) { "" } else { self.names.of(party).unwrap_or_default() }
    }
}

impl MacroValues for EventMacros<'_> {
    fn value(&self, name: &str) -> Cow<'_, str> {
        let facts = self.facts;
        // What happens to a destination is about no visitor.
        let known = |id: Uuid| if id.is_nil() { Cow::Borrowed("") } else { id.to_string().into() };
        let money = |amount: Option<Decimal>| amount.map(|amount| amount.to_string()).unwrap_or_default();
        match name {
            "clickid" => Cow::Borrowed(&facts.clickid),
            "click_id" => known(facts.click_id.0),
            "sub1" => Cow::Borrowed(&facts.subs[0]),
            "sub2" => Cow::Borrowed(&facts.subs[1]),
            "sub3" => Cow::Borrowed(&facts.subs[2]),
            "sub4" => Cow::Borrowed(&facts.subs[3]),
            "sub5" => Cow::Borrowed(&facts.subs[4]),
            "status" => facts.status.map(Status::code).unwrap_or_default().into(),
            "old_status" => facts.status_from.map(Status::code).unwrap_or_default().into(),
            "event" => self.event.code().into(),
            "offer_id" => known(facts.offer_id.0),
            "partner_id" => known(facts.partner_id.0),
            "advertiser_id" => known(facts.advertiser_id.0),
            "offer_name" => Cow::Borrowed(self.name_of(Party::Offer)),
            "partner_name" => Cow::Borrowed(self.name_of(Party::Partner)),
            "advertiser_name" => Cow::Borrowed(self.name_of(Party::Advertiser)),
            "link_id" => known(facts.link_id.0),
            "action" => Cow::Borrowed(&facts.action),
            "geo" | "country" => Cow::Borrowed(&facts.country),
            "device" => Cow::Borrowed(&facts.device),
            "amount" => money(facts.amount).into(),
            "payout" => money(facts.payout).into(),
            "currency" => self.currency().map(Currency::code).unwrap_or_default().into(),
            "amount_currency" => facts.currency.map(Currency::code).unwrap_or_default().into(),
            "payout_currency" => facts.payout_currency.map(Currency::code).unwrap_or_default().into(),
            "txid" => facts.txid(),
            "request_id" => Cow::Borrowed(&facts.request_id),
            "lead_id" => facts.lead_id.map(|id| id.to_string()).unwrap_or_default().into(),
            "customer_id" => Cow::Borrowed(&facts.customer_id),
            "ip" => Cow::Borrowed(&facts.ip),
            "user_agent" => Cow::Borrowed(&facts.user_agent),
            "timestamp" => facts.occurred_at.timestamp().to_string().into(),
            "datetime" => facts.occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
            "comment" => Cow::Borrowed(&facts.comment),
            "tracker" => Cow::Borrowed(&facts.tracker),
            other => {
                let field = prefixed_field(other).and_then(|name| facts.fields.get(name));
                field.map(|value| Cow::Borrowed(value.as_str())).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_facts_of_tomorrow_each_is_read_that_can_be() {
        let (change, now) =
            (ChangeId(Uuid::from_u128(1)), DateTime::from_timestamp(1_785_000_000, 0).unwrap());
        let lead = LeadId(Uuid::from_u128(2));
        let whole = EventFacts {
            offer_id: OfferId(Uuid::from_u128(3)),
            request_id: "order-1".into(),
            status: Some(Status::Hold),
            amount: Some(Decimal::TEN),
            is_test: true,
            ..EventFacts::of_nobody(change, now)
        };
        let mut written = serde_json::to_value(&whole).unwrap();
        written["status"] = json!("undecided");
        written["comment"] = json!({ "text": "in two languages" });
        written["mood"] = json!("new");
        written["lead_id"] = json!(lead);
        let read = EventFacts::as_far_as_readable(&written, change, None, now);
        assert_eq!(read, EventFacts { status: None, lead_id: Some(lead), ..whole });
        let lost = EventFacts::as_far_as_readable(&Value::Null, change, Some(lead), now);
        assert_eq!(lost, EventFacts { lead_id: Some(lead), ..EventFacts::of_nobody(change, now) });
    }
}
