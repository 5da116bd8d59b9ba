use std::collections::BTreeMap;

use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::domain::ids::{LinkId, OfferId, PartnerId};
use crate::domain::money::Currency;
use crate::domain::payout::PartnerPayout;
use crate::domain::status::Refunds;
use crate::domain::template::UrlTemplate;

fn action(kind: ActionKind, payout_model: PayoutModel, repeatable: bool) -> Action {
    Action {
        action_id: ActionId(Uuid::from_u128(kind as u128 + 100)),
        name: kind.code().into(),
        kind,
        payout_model,
        advertiser_rate: Decimal::TEN,
        commission_percent: Decimal::ZERO,
        payout: PartnerPayout::Amount(Decimal::TEN),
        currency: Currency::parse("USD").unwrap(),
        repeatable,
        is_default: false,
    }
}

struct World {
    ledger: Ledger,
    action: Arc<Action>,
}

impl World {
    fn new(action: Action) -> Self {
        Self { ledger: Ledger::default(), action: Arc::new(action) }
    }

    fn decide(&mut self, click: u128, request_id: &str, status: Status, price: Option<i64>) -> Decision {
        let claim = claim(&self.action, click, request_id, status, price);
        self.ledger.decide(&claim)
    }
}

fn claim(action: &Arc<Action>, click: u128, request_id: &str, status: Status, price: Option<i64>) -> Claim {
    let advertiser_id = AdvertiserId(Uuid::from_u128(1));
    let offer = Offer {
        offer_id: OfferId(Uuid::from_u128(2)),
        advertiser_id,
        name: "offer".into(),
        landing_url: UrlTemplate::parse("https://shop.example/", &[]).unwrap(),
        click_id_parameter: "click_id".into(),
        refunds: Refunds::Allowed,
        offer_postbacks: crate::domain::postback::OfferPostbacks::Join,
        actions: vec![action.clone()],
    };
    let click = Click {
        click_id: ClickId(Uuid::from_u128(click)),
        link_id: LinkId(Uuid::from_u128(3)),
        offer_id: offer.offer_id,
        partner_id: PartnerId(Uuid::from_u128(4)),
        advertiser_id,
        partner_clickid: click.to_string(),
        subs: Default::default(),
        ip: String::new(),
        user_agent: String::new(),
        referrer: String::new(),
        country: String::new(),
        device: String::new(),
        parameters: BTreeMap::new(),
        tracker: String::new(),
        clicked_at: DateTime::UNIX_EPOCH,
    };
    let request = ConversionRequest {
        click_ref: click.partner_clickid.clone(),
        request_id: request_id.into(),
        action: action.name.clone(),
        status_word: status.code().into(),
        price: price.map(Decimal::from),
        currency: None,
        customer_id: Some("customer".into()),
        comment: String::new(),
        subs: Default::default(),
        occurred_at: None,
        is_test: false,
        fields: BTreeMap::new(),
    };
    Claim {
        lead_id: LeadId::of(advertiser_id, action.action_id, request_id),
        click: Arc::new(click),
        offer: Arc::new(offer),
        action: action.clone(),
        status,
        attribution: Attribution::Inside,
        request,
    }
}

fn change(decision: Decision) -> (Status, Option<Decimal>, Vec<Event>) {
    match decision {
        Decision::Change { from, request, events, .. } => (from, request.price, events),
        other => panic!("not a change: {other:?}"),
    }
}

#[test]
fn a_lead_is_created_changed_and_repeated() {
    let mut world = World::new(action(ActionKind::Sale, PayoutModel::Fixed, false));
    assert_eq!(
        world.decide(1, "r", Status::Hold, None),
        Decision::Create { events: [Event::Sale, Event::Hold] }
    );
    assert_eq!(world.decide(1, "r", Status::Hold, None), Decision::Duplicate);
    assert_eq!(
        change(world.decide(1, "r", Status::Approved, Some(9))),
        (Status::Hold, Some(9.into()), vec![Event::Approve])
    );
    assert_eq!(world.decide(1, "r", Status::Approved, None), Decision::Duplicate);
    assert_eq!(
        world.decide(1, "r", Status::Approved, Some(10)),
        Decision::Conflict(ConflictReason::PriceChanged)
    );
    assert_eq!(
        world.decide(1, "r", Status::Hold, None),
        Decision::Conflict(ConflictReason::Transition { from: "approved", to: "hold" })
    );
    assert_eq!(
        change(world.decide(1, "r", Status::Rejected, None)),
        (Status::Approved, Some(9.into()), vec![Event::Reject])
    );
}

#[test]
fn a_once_per_click_action_has_one_lead_a_click() {
    let mut world = World::new(action(ActionKind::Sale, PayoutModel::Fixed, false));
    world.decide(1, "r", Status::Hold, None);
    assert!(matches!(
        world.decide(1, "other", Status::Hold, None),
        Decision::Conflict(ConflictReason::OncePerClick { .. })
    ));
    assert!(matches!(world.decide(2, "other", Status::Hold, None), Decision::Create { .. }));
    assert_eq!(world.decide(3, "r", Status::Hold, None), Decision::Conflict(ConflictReason::OtherClick));
}

#[test]
fn the_second_deposit_is_a_redeposit() {
    let mut world = World::new(action(ActionKind::Deposit, PayoutModel::Fixed, true));
    let first = world.decide(1, "a", Status::Approved, Some(5));
    let second = world.decide(1, "b", Status::Approved, Some(5));
    let same_customer_by_another_click = world.decide(2, "c", Status::Approved, Some(5));
    assert_eq!(first, Decision::Create { events: [Event::FirstDeposit, Event::Approve] });
    assert_eq!(second, Decision::Create { events: [Event::Redeposit, Event::Approve] });
    assert_eq!(same_customer_by_another_click, second);
}

#[test]
fn a_recurring_lead_needs_an_active_customer_and_renews_later() {
    let mut world = World::new(action(ActionKind::Sale, PayoutModel::Recurring, true));
    assert!(matches!(world.decide(1, "a", Status::Approved, Some(5)), Decision::Refuse(_)));

    let sample = claim(&world.action, 1, "a", Status::Approved, None);
    let mut customer = CustomerClaim {
        customer_id: "customer".into(),
        click: sample.click,
        offer: sample.offer,
        active: true,
        attribution: Attribution::Inside,
        request: sample.request,
    };
    let activated = CustomerDecision::Set { event: Event::CustomerActivate };
    assert_eq!(world.ledger.decide_customer(&customer), activated);
    assert_eq!(world.ledger.decide_customer(&customer), CustomerDecision::Duplicate);

    assert_eq!(
        world.decide(1, "a", Status::Approved, Some(5)),
        Decision::Create { events: [Event::Sale, Event::Approve] }
    );
    assert_eq!(
        world.decide(1, "b", Status::Approved, Some(5)),
        Decision::Create { events: [Event::Rebill, Event::Approve] }
    );

    customer.active = false;
    world.ledger.decide_customer(&customer);
    assert!(matches!(world.decide(1, "c", Status::Approved, Some(5)), Decision::Refuse(_)));
    assert_eq!(world.decide(1, "b", Status::Approved, Some(5)), Decision::Duplicate);
}
