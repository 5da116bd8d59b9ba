//! What becomes of one click: it converts or not, its conversion is held, approved, refunded, and
//! whoever asked is told, sometimes at the second try.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::dice::Dice;
use super::network::{Action, Network, Partner, Postback};
use crate::domain::click::Click;
use crate::domain::event::{ActionKind, Event, Occurrence, kind_event, status_event};
use crate::domain::facts::EventFacts;
use crate::domain::ids::{ChangeId, ClickId, DeliveryId, LeadId};
use crate::domain::money::Currency;
use crate::domain::retry::{ErrorKind, Outcome};
use crate::domain::status::Status;
use crate::domain::verdict::VerdictKind;
use crate::event_log::rows::{AttemptRow, InboundRow};

const CONVERTING: f64 = 0.35;
const REPEATED_REQUESTS: f64 = 0.03;
const FAULTY_REQUESTS: f64 = 0.01;
const TESTS: f64 = 0.005;
const SKIPPED: f64 = 0.004;
/// How likely an attempt fails after one that failed: trouble lasts.
const FAILING_AGAIN: f64 = 0.4;
/// As the default schedule, without its jitter.
const RETRY_AFTER_S: [i64; 10] = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400];
const TIMEOUT_US: u64 = 10_000_000;

const COUNTRIES: [&str; 14] =
    ["US", "DE", "BR", "IN", "GB", "FR", "ES", "PL", "UA", "KZ", "TR", "MX", "IT", "PT"];
const DEVICES: [(&str, &str); 4] = [
    ("mobile", "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36"),
    ("desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"),
    ("mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"),
    ("tablet", "Mozilla/5.0 (iPad; CPU OS 19_1 like Mac OS X) AppleWebKit/605.1.15"),
];
const BOT: (&str, &str) = ("bot", "curl/8.16.0");
const SOURCES: [&str; 5] = ["tiktok", "facebook", "google", "push", "native"];

pub struct Story {
    pub click: Click,
    pub inbound: Vec<InboundRow>,
    pub conversion: Option<Conversion>,
    pub changes: Vec<Change>,
    pub attempts: Vec<AttemptRow>,
    pub deliveries: Vec<Delivery>,
}

/// A conversion as it stands in the end.
pub struct Conversion {
    pub facts: EventFacts,
    pub action_id: Uuid,
    pub kind: ActionKind,
    pub is_once_per_click: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

pub struct Change {
    pub facts: EventFacts,
    pub events: Vec<Event>,
    pub status_from: Option<Status>,
}

pub struct Delivery {
    pub delivery_id: Uuid,
    pub postback_id: Uuid,
    pub change_id: Uuid,
    pub event: &'static str,
    pub lead_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    /// Attempts made.
    pub attempts: u16,
    pub end: End,
}

/// How a delivery stands now.
pub enum End {
    Waiting { next_attempt_at: DateTime<Utc> },
    Finished { state: &'static str, reason: String, at: DateTime<Utc> },
}

/// Tells a story of each click; nothing in one happens after `now`.
pub struct Teller {
    network: Arc<Network>,
    dice: Dice,
    now: DateTime<Utc>,
    node_id: Uuid,
    currency: Currency,
}

impl Teller {
    pub fn new(network: Arc<Network>, mut dice: Dice, now: DateTime<Utc>) -> Self {
        let node_id = dice.id_at(now);
        let currency = Currency::parse("USD").expect("USD is a currency");
        Self { network, dice, now, node_id, currency }
    }

    pub fn tell(&mut self, clicked_at: DateTime<Utc>) -> Story {
        let network = self.network.clone();
        let partner = &network.partners[self.dice.skewed(network.partners.len(), 2.0)];
        let click = self.click(&network, partner, clicked_at);
        let mut story = Story {
            click,
            inbound: Vec::new(),
            conversion: None,
            changes: Vec::new(),
            attempts: Vec::new(),
            deliveries: Vec::new(),
        };
        let reported_at = self.later(clicked_at, 1_500.0, 1.5);
        if reported_at > self.now || story.click.device == BOT.0 {
            return story;
        }
        if self.dice.chance(FAULTY_REQUESTS) {
            let fault = self.fault(&story.click, reported_at);
            story.inbound.push(fault);
        } else if self.dice.chance(CONVERTING) {
            self.convert(&network, partner, &mut story, reported_at);
        }
        story
    }

    fn click(&mut self, network: &Network, partner: &Partner, clicked_at: DateTime<Utc>) -> Click {
        let link = &partner.links[self.dice.skewed(partner.links.len(), 1.6)];
        let offer = &network.offers[link.offer];
        let (device, user_agent) =
            if self.dice.chance(0.03) { BOT } else { DEVICES[self.dice.skewed(DEVICES.len(), 1.3)] };
        let source = *self.dice.pick(&SOURCES);
        let address = self.dice.roll().to_be_bytes();
        let campaign = self.dice.below(40);
        Click {
            click_id: ClickId(self.dice.id_at(clicked_at)),
            link_id: link.id,
            offer_id: offer.id,
            partner_id: partner.id,
            advertiser_id: network.advertisers[offer.advertiser].id,
            partner_clickid: format!("{:016x}", self.dice.roll()),
            subs: [source.to_owned(), format!("c{campaign}"), String::new(), String::new(), String::new()],
            // Of a network that documents may use (RFC 5737).
            ip: format!("203.0.113.{}", address[0]),
            user_agent: user_agent.to_owned(),
            referrer: String::new(),
            country: COUNTRIES[self.dice.skewed(COUNTRIES.len(), 1.8)].to_owned(),
            device: device.to_owned(),
            parameters: BTreeMap::from([("utm_source".to_owned(), source.to_owned())]),
            tracker: String::new(),
            clicked_at,
        }
    }

    fn convert(
        &mut self,
        network: &Network,
        partner: &Partner,
        story: &mut Story,
        reported_at: DateTime<Utc>,
    ) {
        let offer = network.offers.iter().find(|offer| offer.id == story.click.offer_id);
        let Some(offer) = offer else { return };
        let action = &offer.actions[self.dice.skewed(offer.actions.len(), 1.4)];
        let hearers: Vec<usize> = [
            partner.postbacks.as_slice(),
            network.advertisers[offer.advertiser].postbacks.as_slice(),
            network.platform.as_slice(),
        ]
        .concat();
        let facts = self.facts(&story.click, action);
        let mut status_from = None;
        let mut status = match self.dice.unit() {
            roll if roll < 0.5 => Status::Hold,
            roll if roll < 0.93 => Status::Approved,
            _ => Status::Rejected,
        };
        let mut at = reported_at;
        loop {
            let change_id = ChangeId(self.dice.id_at(at));
            let facts = EventFacts { change_id, occurred_at: at, status: Some(status), ..facts.clone() };
            story.inbound.push(self.request(&facts, VerdictKind::Accepted, at));
            let repeated_at = self.later(at, 20.0, 1.0);
            if self.dice.chance(REPEATED_REQUESTS) && repeated_at <= self.now {
                story.inbound.push(self.request(&facts, VerdictKind::Duplicate, repeated_at));
            }
            let mut events = vec![status_event(status)];
            if status_from.is_none() {
                events.insert(0, kind_event(action.kind, Occurrence::First, Occurrence::First));
            }
            for event in &events {
                for postback in hearers.iter().map(|number| &network.postbacks[*number]) {
                    if postback.events.contains(event) {
                        self.deliver(postback, &facts, *event, at, story);
                    }
                }
            }
            story.changes.push(Change { facts, events, status_from });
            let (next, decided_at) = match status {
                Status::Hold => {
                    let next = if self.dice.chance(0.82) { Status::Approved } else { Status::Rejected };
                    (next, self.later(at, 86_400.0, 1.0))
                }
                Status::Approved if self.dice.chance(0.015) => {
                    (Status::Rejected, self.later(at, 5.0 * 86_400.0, 0.6))
                }
                Status::Approved | Status::Rejected => break,
            };
            if decided_at > self.now {
                break;
            }
            status_from = Some(status);
            (status, at) = (next, decided_at);
        }
        story.conversion = story.changes.last().map(|change| Conversion {
            facts: change.facts.clone(),
            action_id: action.id.0,
            kind: action.kind,
            is_once_per_click: !action.is_repeatable,
            created_at: reported_at,
            updated_at: at,
        });
    }

    /// What all changes of a conversion have in common.
    fn facts(&mut self, click: &Click, action: &Action) -> EventFacts {
        let request_id = format!("ord-{:012x}", self.dice.roll() >> 16);
        let is_test = self.dice.chance(TESTS);
        let lead_of = if is_test { LeadId::of_test } else { LeadId::of };
        let cents = 500 + i64::try_from(self.dice.below(30_000)).unwrap_or(0);
        EventFacts {
            change_id: ChangeId(Uuid::nil()),
            occurred_at: click.clicked_at,
            advertiser_id: click.advertiser_id,
            offer_id: click.offer_id,
            partner_id: click.partner_id,
            link_id: click.link_id,
            click_id: click.click_id,
            clickid: click.partner_clickid.clone(),
            lead_id: Some(lead_of(click.advertiser_id, action.id, &request_id)),
            action: action.name.to_owned(),
            kind: Some(action.kind),
            kind_event: Some(kind_event(action.kind, Occurrence::First, Occurrence::First)),
            status: None,
            status_from: None,
            request_id,
            customer_id: String::new(),
            amount: Some(Decimal::new(cents, 2)),
            currency: Some(self.currency),
            payout: Some(action.payout),
            payout_currency: Some(self.currency),
            comment: String::new(),
            subs: click.subs.clone(),
            country: click.country.clone(),
            device: click.device.clone(),
            ip: click.ip.clone(),
            user_agent: click.user_agent.clone(),
            tracker: String::new(),
            fields: BTreeMap::new(),
            is_test,
        }
    }

    fn request(&mut self, facts: &EventFacts, verdict: VerdictKind, at: DateTime<Utc>) -> InboundRow {
        let status = facts.status.map_or("", Status::code);
        let (click_id, request_id) = (facts.click_id, &facts.request_id);
        let amount = facts.amount.unwrap_or_default();
        let lead_id = facts.lead_id.map(|lead| lead.0);
        let is_duplicate = verdict == VerdictKind::Duplicate;
        InboundRow {
            inbound_id: self.dice.id_at(at),
            received_at: at,
            door: "s2s",
            method: "GET".into(),
            source_ip: "198.51.100.20".into(),
            advertiser_id: Some(facts.advertiser_id.0),
            offer_id: Some(facts.offer_id.0),
            partner_id: Some(facts.partner_id.0),
            request_id: request_id.clone(),
            click_id: click_id.to_string(),
            lead_id,
            parameters: format!(
                r#"[["click_id","{click_id}"],["request_id","{request_id}"],["action","{}"],["status","{status}"],["price","{amount}"]]"#,
                facts.action
            ),
            verdict: verdict.code(),
            http_status: 200,
            reason_code: "",
            reason: String::new(),
            answer: format!(
                r#"{{"status":"success","lead_id":"{}","rejected_by_conflict":false,"duplicate":{is_duplicate}}}"#,
                lead_id.unwrap_or_default()
            ),
            is_test: facts.is_test,
            node_id: self.node_id,
            integration_id: None,
            origin_id: None,
        }
    }

    /// A request that names no status.
    fn fault(&mut self, click: &Click, at: DateTime<Utc>) -> InboundRow {
        let click_id = click.click_id;
        let reason = "status is required";
        InboundRow {
            inbound_id: self.dice.id_at(at),
            received_at: at,
            door: "s2s",
            method: "GET".into(),
            source_ip: "198.51.100.20".into(),
            advertiser_id: Some(click.advertiser_id.0),
            offer_id: None,
            partner_id: None,
            request_id: String::new(),
            click_id: click_id.to_string(),
            lead_id: None,
            parameters: format!(r#"[["click_id","{click_id}"]]"#),
            verdict: VerdictKind::Rejected.code(),
            http_status: 422,
            reason_code: "missing",
            reason: reason.into(),
            answer: format!(
                r#"{{"status":"error","errors":[{{"field":"status","code":"missing","message":"{reason}"}}]}}"#
            ),
            is_test: false,
            node_id: self.node_id,
            integration_id: None,
            origin_id: None,
        }
    }

    fn deliver(
        &mut self,
        postback: &Postback,
        facts: &EventFacts,
        event: Event,
        at: DateTime<Utc>,
        story: &mut Story,
    ) {
        let delivery_id = DeliveryId::of(facts.change_id, postback.id, event.code()).0;
        let is_skipped = self.dice.chance(SKIPPED);
        let mut failing = postback.failing;
        let mut due = at;
        let mut attempts = 0;
        let end = loop {
            let wait_us = self.dice.lognormal(3_000.0, 0.8);
            let started_at = due + TimeDelta::microseconds(wait_us as i64);
            if started_at > self.now {
                break End::Waiting { next_attempt_at: due };
            }
            attempts += 1;
            let result = if is_skipped {
                Trial::skipped()
            } else if self.dice.chance(failing) {
                self.failure(usize::from(attempts))
            } else {
                Trial::delivered()
            };
            failing = FAILING_AGAIN;
            let row = self.attempt(postback, facts, event, delivery_id, attempts, (due, started_at), &result);
            let ended_at = started_at + TimeDelta::microseconds(row.total_us.cast_signed());
            story.attempts.push(row);
            if result.outcome != Outcome::Retrying {
                let (state, reason) = (result.outcome.code(), result.reason.to_owned());
                break End::Finished { state, reason, at: ended_at };
            }
            due = ended_at + TimeDelta::seconds(RETRY_AFTER_S[usize::from(attempts) - 1]);
        };
        story.deliveries.push(Delivery {
            delivery_id,
            postback_id: postback.id.0,
            change_id: facts.change_id.0,
            event: event.code(),
            lead_id: facts.lead_id.map(|lead| lead.0),
            created_at: at,
            attempts,
            end,
        });
    }

    fn failure(&mut self, attempt: usize) -> Trial {
        let last = attempt > RETRY_AFTER_S.len();
        let outcome = if last { Outcome::Failed } else { Outcome::Retrying };
        match self.dice.unit() {
            roll if roll < 0.5 => Trial {
                outcome,
                error_kind: ErrorKind::Status,
                response_code: 503,
                reason: "the destination answered 503 Service Unavailable",
            },
            roll if roll < 0.75 => Trial {
                outcome,
                error_kind: ErrorKind::Timeout,
                response_code: 0,
                reason: "no whole answer within 10 s",
            },
            roll if roll < 0.85 => Trial {
                outcome,
                error_kind: ErrorKind::Connect,
                response_code: 0,
                reason: "the connection was refused",
            },
            _ => Trial {
                outcome: Outcome::Failed,
                error_kind: ErrorKind::Status,
                response_code: 404,
                reason: "the destination answered 404 Not Found",
            },
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a row is made of all of it")]
    fn attempt(
        &mut self,
        postback: &Postback,
        facts: &EventFacts,
        event: Event,
        delivery_id: Uuid,
        attempt: u16,
        (due, started_at): (DateTime<Utc>, DateTime<Utc>),
        result: &Trial,
    ) -> AttemptRow {
        let is_sent = result.outcome != Outcome::Skipped;
        let total_us = match result.error_kind {
            ErrorKind::Timeout => TIMEOUT_US,
            ErrorKind::Connect => self.dice.lognormal(2_000.0, 0.5) as u64,
            _ if is_sent => self.dice.lognormal(postback.median_us, 0.6) as u64,
            _ => 0,
        };
        // Most go over a connection that was open already.
        let is_fresh = is_sent && self.dice.chance(0.1);
        let step = |share: u64| if is_fresh { total_us / share } else { 0 };
        let status = facts.status.map_or("", Status::code);
        let txid = &facts.request_id;
        let payout = facts.payout.unwrap_or_default();
        AttemptRow {
            attempt_id: self.dice.id_at(started_at),
            delivery_id,
            postback_id: postback.id.0,
            owner: postback.owner.kind(),
            partner_id: facts.partner_id.0,
            advertiser_id: facts.advertiser_id.0,
            offer_id: facts.offer_id.0,
            link_id: facts.link_id.0,
            lead_id: facts.lead_id.map(|lead| lead.0),
            click_id: facts.click_id.0,
            txid: txid.clone(),
            action: facts.action.clone(),
            event: event.code(),
            status,
            amount: facts.amount,
            currency: facts.currency.map_or("", Currency::code),
            payout: facts.payout,
            payout_currency: facts.payout_currency.map_or("", Currency::code),
            country: facts.country.clone(),
            device: facts.device.clone(),
            method: "GET",
            url: if is_sent {
                format!(
                    "https://{}/postback?cid={}&status={status}&event={}&payout={payout}&txid={txid}",
                    postback.host,
                    facts.clickid,
                    event.code()
                )
            } else {
                String::new()
            },
            request_headers: String::new(),
            request_body: String::new(),
            outcome: result.outcome.code(),
            reason: result.reason.to_owned(),
            error_kind: result.error_kind.code(),
            attempt: attempt.into(),
            response_code: result.response_code,
            response_body: if result.response_code == 200 { "OK".into() } else { String::new() },
            started_at,
            queued_us: (started_at - due).num_microseconds().unwrap_or(0).unsigned_abs(),
            dns_us: step(20),
            connect_us: step(6),
            tls_us: step(4),
            first_byte_us: if result.response_code == 0 { 0 } else { total_us - total_us / 20 },
            total_us,
            peer_ip: if result.response_code == 0 { String::new() } else { "192.0.2.80".into() },
            http_version: if result.response_code == 0 { "" } else { "1.1" },
            is_test: facts.is_test,
            node_id: self.node_id,
        }
    }

    fn later(&mut self, time: DateTime<Utc>, median_s: f64, spread: f64) -> DateTime<Utc> {
        time + TimeDelta::microseconds((self.dice.lognormal(median_s, spread) * 1e6) as i64)
    }
}

/// What an attempt came to.
struct Trial {
    outcome: Outcome,
    error_kind: ErrorKind,
    response_code: u16,
    reason: &'static str,
}

impl Trial {
    fn delivered() -> Self {
        Self { outcome: Outcome::Delivered, error_kind: ErrorKind::None, response_code: 200, reason: "" }
    }

    fn skipped() -> Self {
        Self {
            outcome: Outcome::Skipped,
            error_kind: ErrorKind::Condition,
            response_code: 0,
            reason: "the condition is not met: payout > 100",
        }
    }
}
