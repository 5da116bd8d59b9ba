//! An event that never happened, to try a postback on.

use std::collections::BTreeMap;

use chrono::DateTime;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::event::{ActionKind, Event};
use super::facts::EventFacts;
use super::ids::{AdvertiserId, ChangeId, ClickId, DeliveryId, LeadId, LinkId, OfferId, PartnerId};
use super::money::Currency;
use super::party_names::PartyNames;
use super::status::Status;

/// The delivery that a sample would be told by.
pub fn sample_delivery() -> DeliveryId {
    DeliveryId(id(8))
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0198_d5f0_0000_7000_8000_0000_0000_0000 + number)
}

/// What the parties of a sample are called.
pub fn sample_names() -> PartyNames {
    PartyNames {
        offer: Some("Sample offer".into()),
        partner: Some("Sample partner".into()),
        advertiser: Some("Sample advertiser".into()),
    }
}

/// Facts with every value filled that the event can have, the same each time.
pub fn sample(event: Event) -> EventFacts {
    let status = match event {
        Event::Hold => Status::Hold,
        Event::Reject => Status::Rejected,
        _ => Status::Approved,
    };
    let fields = [("userid", "42"), ("utm_source", "sample"), ("campaign", "summer")];
    EventFacts {
        change_id: ChangeId(id(1)),
        // 2025-08-04T12:00:00Z
        occurred_at: DateTime::from_timestamp(1_754_308_800, 0).unwrap_or_default(),
        advertiser_id: AdvertiserId(id(2)),
        offer_id: OfferId(id(3)),
        partner_id: PartnerId(id(4)),
        link_id: LinkId(id(5)),
        click_id: ClickId(id(6)),
        clickid: "sample-click-1".into(),
        lead_id: Some(LeadId(id(7))),
        action: "sale".into(),
        kind: Some(ActionKind::Sale),
        kind_event: Some(if Event::KIND_EVENTS.contains(&event) { event } else { Event::Sale }),
        status: Some(status),
        status_from: matches!(event, Event::Approve | Event::Reject).then_some(Status::Hold),
        request_id: "sample-order-1".into(),
        customer_id: "sample-customer-1".into(),
        amount: Some(Decimal::new(2_500, 2)),
        currency: Currency::parse("USD"),
        payout: Some(Decimal::new(1_050, 2)),
        payout_currency: Currency::parse("USD"),
        comment: "sample".into(),
        subs: ["sub-1", "sub-2", "sub-3", "sub-4", "sub-5"].map(str::to_owned),
        country: "DE".into(),
        device: "mobile".into(),
        // Documentation's own network: RFC 5737.
        ip: "203.0.113.7".into(),
        user_agent: "Mozilla/5.0 (sample)".into(),
        tracker: String::new(),
        fields: fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        is_test: true,
    }
}
