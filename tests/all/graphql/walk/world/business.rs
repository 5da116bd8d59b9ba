//! Clicks and what came of them, with what every log says of that.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ricochet::domain::event::Event;
use ricochet::domain::facts::EventFacts;
use ricochet::domain::ids::{AdvertiserId, ChangeId, ClickId, LeadId, LinkId, OfferId, PartnerId};
use ricochet::domain::sample::sample;
use ricochet::event_log::rows::{ClickRow, ConversionEventRow, InboundRow};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::MarkedWorld;
use crate::graphql::rows::{StoredConversion, at, conversion, inbound, store};

/// What an advertiser and a partner do together.
pub struct Deal {
    /// Places of the advertiser and the partner.
    pub pair: (usize, usize),
    /// The roles of the advertiser, of the partner, and of both.
    pub a: String,
    pub p: String,
    pub both: String,
    pub advertiser: Uuid,
    pub partner: Uuid,
    pub offer: Uuid,
    pub link: Uuid,
    pub lead: Uuid,
    pub click: Uuid,
    pub country: &'static str,
    pub agent: String,
    pub request: String,
    pub customer: String,
    pub comment: String,
    pub payout: Decimal,
    pub when: DateTime<Utc>,
}

impl MarkedWorld {
    pub(super) async fn add_business(&mut self, pair: (usize, usize)) {
        let deal = self.deal(pair);
        self.leads.push(deal.lead);
        self.add_click(&deal).await;
        self.add_conversion(&deal).await;
        let approval = self.add_change(&deal, "approved", &["sale", "approve"]).await;
        // Nobody has been told of it.
        self.add_change(&deal, "rejected", &["reject"]).await;
        self.log_changes(&deal, approval).await;
        self.log_request(&deal).await;
        for postback in self.own_postbacks.clone() {
            let is_heard = match (postback.owner, postback.place) {
                ("advertiser", place) => place == Some(pair.0),
                ("partner", place) => place == Some(pair.1),
                _ => true,
            };
            if is_heard {
                self.add_deliveries(&deal, postback, approval).await;
            }
        }
    }

    fn deal(&mut self, pair: (usize, usize)) -> Deal {
        let (a, p) = (format!("a{}", pair.0 + 1), format!("p{}", pair.1 + 1));
        let both = format!("{a}{p}");
        // What the partner gets, the advertiser does not know.
        let number = 700_000 + i64::try_from(10 * pair.0 + pair.1).unwrap() * 1_000 + 31;
        let payout = Decimal::new(number, 2);
        self.markers.known(&payout.to_string(), &p);
        let country = ["DE", "AT", "FR", "IT"][2 * pair.0 + pair.1];
        self.markers.field("country", country, &both);
        let [agent, request, customer, comment] =
            ["agent", "request", "customer", "comment"].map(|name| self.markers.text(name, &both));
        Deal {
            pair,
            advertiser: self.advertisers[pair.0],
            partner: self.partners[pair.1],
            offer: self.offers[pair.0],
            link: self.links[&pair],
            lead: self.id(&both),
            click: self.id(&both),
            country,
            agent,
            request,
            customer,
            comment,
            payout,
            when: at(10),
            a,
            p,
            both,
        }
    }

    /// The click in both databases. How the partner runs its traffic is its own affair.
    async fn add_click(&mut self, deal: &Deal) {
        let [own_id, referrer, parameter] =
            ["clickid", "referrer", "utm"].map(|name| self.markers.text(name, &deal.p));
        let subs: [String; 5] = std::array::from_fn(|_| self.markers.text("sub", &deal.p));
        let ip = format!("203.0.113.{}", 101 + 2 * deal.pair.0 + deal.pair.1);
        self.markers.field("ip", ip.clone(), &deal.both);
        let parameters = BTreeMap::from([("utm_source".to_owned(), parameter)]);
        self.stage
            .log_rows([ClickRow {
                click_id: deal.click,
                clicked_at: deal.when,
                link_id: deal.link,
                offer_id: deal.offer,
                partner_id: deal.partner,
                advertiser_id: deal.advertiser,
                partner_clickid: &own_id,
                subs: &subs,
                ip: &ip,
                user_agent: &deal.agent,
                referrer: &referrer,
                country: deal.country,
                device: "mobile",
                parameters: &parameters,
            }])
            .await;
        let [sub1, sub2, sub3, sub4, sub5] = &subs;
        self.execute(
            "INSERT INTO clicks (click_id, link_id, offer_id, partner_id, advertiser_id, partner_clickid, sub1, sub2,
                 sub3, sub4, sub5, ip, user_agent, referrer, country, device, parameters, clicked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'mobile', $16, $17)",
            &[
                &deal.click,
                &deal.link,
                &deal.offer,
                &deal.partner,
                &deal.advertiser,
                &own_id,
                sub1,
                sub2,
                sub3,
                sub4,
                sub5,
                &ip,
                &deal.agent,
                &referrer,
                &deal.country,
                &serde_json::to_value(&parameters).unwrap(),
                &deal.when,
            ],
        )
        .await;
    }

    async fn add_conversion(&mut self, deal: &Deal) {
        let row = StoredConversion {
            lead_id: deal.lead,
            advertiser_id: deal.advertiser,
            offer_id: deal.offer,
            partner_id: deal.partner,
            click_id: deal.click,
            customer_id: Some(deal.customer.clone()),
            status: "approved",
            payout: deal.payout,
            ..conversion(&deal.request, deal.when)
        };
        store(&self.stage.pool, [row]).await;
        let said = self.markers.text("said", &deal.both);
        self.execute(
            "UPDATE conversions SET link_id = $2, comment = $3 WHERE lead_id = $1",
            &[&deal.lead, &deal.link, &said],
        )
        .await;
    }

    /// A change that somebody made by hand; its id.
    async fn add_change(&mut self, deal: &Deal, status: &str, events: &[&str]) -> ChangeId {
        let change = ChangeId(self.id(&deal.both));
        let (actor, note) = (self.markers.text("actor", ""), self.markers.text("note", ""));
        let facts = EventFacts {
            change_id: change,
            offer_id: OfferId(deal.offer),
            partner_id: PartnerId(deal.partner),
            advertiser_id: AdvertiserId(deal.advertiser),
            link_id: LinkId(deal.link),
            click_id: ClickId(deal.click),
            lead_id: Some(LeadId(deal.lead)),
            request_id: deal.request.clone(),
            customer_id: deal.customer.clone(),
            payout: Some(deal.payout),
            comment: deal.comment.clone(),
            is_test: false,
            ..sample(Event::Approve)
        };
        let from = if status == "approved" { "hold" } else { "approved" };
        self.execute(
            "INSERT INTO conversion_history (change_id, lead_id, status_from, status_to, events, facts, cause, actor,
                 note)
             VALUES ($1, $2, $3, $4, $5, $6, 'owner', $7, $8)",
            &[
                &change.0,
                &Some(deal.lead),
                &from,
                &status,
                &events,
                &serde_json::to_value(&facts).unwrap(),
                &actor,
                &note,
            ],
        )
        .await;
        change
    }

    /// What ClickHouse has of the changes, and two more: a refund and a settlement.
    async fn log_changes(&mut self, deal: &Deal, approval: ChangeId) {
        let action = self.markers.text("sold", &deal.both);
        let event = |event| ConversionEventRow {
            change_id: approval.0,
            event,
            recorded_at: deal.when,
            occurred_at: deal.when,
            lead_id: Some(deal.lead),
            customer_id: "",
            request_id: &deal.request,
            click_id: deal.click,
            advertiser_id: deal.advertiser,
            offer_id: deal.offer,
            partner_id: deal.partner,
            link_id: deal.link,
            action: &action,
            status_from: "",
            status: "approved",
            amount: Some(25.into()),
            currency: "USD",
            payout: Some(deal.payout),
            payout_currency: "USD",
            country: deal.country,
            device: "mobile",
            is_test: false,
        };
        let refund = ConversionEventRow {
            change_id: Uuid::now_v7(),
            status_from: "approved",
            status: "rejected",
            ..event("reject")
        };
        let settled =
            ConversionEventRow { change_id: Uuid::now_v7(), status_from: "approved", ..event("payout") };
        let events = ["sale", "approve"].map(event);
        self.stage.log_rows(events.into_iter().chain([refund, settled])).await;
    }

    /// A request of the advertiser's that was refused.
    async fn log_request(&mut self, deal: &Deal) {
        let [sent, reason, click, parameters, answer] =
            ["sent", "reason", "sentclick", "raw", "answered"].map(|name| self.markers.text(name, &deal.a));
        let (inbound_id, integration) = (self.id(&deal.a), self.id(&deal.a));
        let source_ip = format!("198.18.0.{}", 101 + 2 * deal.pair.0 + deal.pair.1);
        self.markers.field("sourceIp", source_ip.clone(), &deal.a);
        self.stage
            .log_rows([InboundRow {
                inbound_id,
                advertiser_id: Some(deal.advertiser),
                partner_id: Some(deal.partner),
                offer_id: Some(deal.offer),
                lead_id: Some(deal.lead),
                click_id: click,
                source_ip,
                parameters: format!(r#"[["x","{parameters}"]]"#),
                verdict: "rejected",
                reason_code: "unknown_click",
                integration_id: Some(integration),
                reason,
                answer,
                ..inbound(&sent, deal.when)
            }])
            .await;
    }
}
