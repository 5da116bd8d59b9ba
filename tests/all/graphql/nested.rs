//! What hangs on a row: a conversion's history, deliveries, attempts and click, and the way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use deadpool_postgres::{Hook, Manager};
use ricochet::domain::event::Event;
use ricochet::domain::facts::EventFacts;
use ricochet::domain::ids::{AdvertiserId, ChangeId, ClickId, LeadId, OfferId, PartnerId};
use ricochet::domain::sample::sample;
use ricochet::event_log::EventLog;
use ricochet::event_log::rows::{AttemptRow, ClickRow, InboundRow};
use ricochet::graphql::schema;
use ricochet::graphql::scope::{Grant, Principal};
use ricochet::store::Pool;
use ricochet::store::partitions::{self, Retention};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::rows::{StoredConversion, attempt, click, conversion, id, inbound, store, store_network};
use super::stage::{Stage, refusal};
use crate::support::closing_proxy::ClosingProxy;

/// A network of numbers with a postback of partner 1, of advertiser 1 and of the platform, each known
/// by its number.
async fn network() -> Stage {
    let stage = Stage::set().await;
    partitions::keep(&stage.pool, Retention { clicks_days: 365, history_days: 365 }, Utc::now())
        .await
        .unwrap();
    store_network(&stage.pool).await;
    for (number, partner, advertiser) in [(1, Some(id(1)), None), (2, None, Some(id(1))), (3, None, None)] {
        execute(
            &stage.pool,
            "INSERT INTO postbacks (postback_id, partner_id, advertiser_id, events, url_template, timeout_ms,
                 max_in_flight)
             VALUES ($1, $2, $3, '{approve}', 'http://tracker.example/', 1000, 1)",
            &[&id(number), &partner, &advertiser],
        )
        .await;
    }
    stage
}

async fn execute(pool: &Pool, statement: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) {
    pool.get().await.unwrap().execute(statement, values).await.unwrap();
}

/// A conversion of everybody's number 1, made now.
struct Lead {
    lead: Uuid,
    click: Uuid,
    now: DateTime<Utc>,
}

impl Lead {
    async fn store(stage: &Stage, request_id: &str) -> Self {
        let (lead, click, now) = (Uuid::new_v4(), Uuid::now_v7(), Utc::now());
        let row = StoredConversion { lead_id: lead, click_id: click, ..conversion(request_id, now) };
        store(&stage.pool, [row]).await;
        execute(
            &stage.pool,
            "INSERT INTO clicks (click_id, link_id, offer_id, partner_id, advertiser_id, partner_clickid, sub1, sub2,
                 sub3, sub4, sub5, ip, user_agent, referrer, country, device, parameters, clicked_at)
             VALUES ($1, $2, $2, $2, $2, 'their-own', '', '', '', '', '', '203.0.113.7', 'agent', '', 'DE',
                 'mobile', '{}', now())",
            &[&click, &id(1)],
        )
        .await;
        Self { lead, click, now }
    }

    /// A change with its deliveries to postbacks: by number, and whether it is through.
    async fn change(&self, stage: &Stage, event: Event, from: Option<&str>, to: &str, cause: &str) -> Uuid {
        let facts = EventFacts {
            change_id: ChangeId(Uuid::now_v7()),
            lead_id: Some(LeadId(self.lead)),
            click_id: ClickId(self.click),
            advertiser_id: AdvertiserId(id(1)),
            partner_id: PartnerId(id(1)),
            offer_id: OfferId(id(1)),
            is_test: false,
            ..sample(event)
        };
        let told = serde_json::to_value(&facts).unwrap();
        execute(
            &stage.pool,
            "INSERT INTO conversion_history (change_id, lead_id, status_from, status_to, events, facts, cause, actor,
                 note)
             VALUES ($1, $2, $3, $4, ARRAY[$5::text], $6, $7, 'owner 1', 'because')",
            &[&facts.change_id.0, &self.lead, &from, &to, &event.code(), &told, &cause],
        )
        .await;
        facts.change_id.0
    }

    async fn waiting(&self, stage: &Stage, change: Uuid, postback: u128) -> Uuid {
        let delivery = ricochet::domain::ids::DeliveryId::of(
            ChangeId(change),
            ricochet::domain::ids::PostbackId(id(postback)),
            "approve",
        );
        execute(
            &stage.pool,
            "INSERT INTO deliveries (delivery_id, postback_id, change_id, event, lead_id, attempt, next_attempt_at,
                 fence, created_at)
             VALUES ($1, $2, $3, 'approve', $4, 1, now(), 0, now())",
            &[&delivery.0, &id(postback), &change, &self.lead],
        )
        .await;
        delivery.0
    }

    async fn finished(&self, stage: &Stage, change: Uuid, postback: u128) -> Uuid {
        let delivery = self.waiting(stage, change, postback).await;
        execute(&stage.pool, "DELETE FROM deliveries WHERE delivery_id = $1", &[&delivery]).await;
        execute(
            &stage.pool,
            "INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason,
                 attempts, created_at, finished_at)
             VALUES ($1, $2, $3, 'approve', $4, 'delivered', '', 3, now(), now())",
            &[&delivery, &id(postback), &change, &self.lead],
        )
        .await;
        delivery
    }

    /// Line number `number` of a delivery in the log.
    fn line(&self, delivery: Uuid, owner: &'static str, number: u32) -> AttemptRow {
        AttemptRow {
            delivery_id: delivery,
            owner,
            lead_id: Some(self.lead),
            click_id: self.click,
            attempt: number,
            ..attempt("t", self.now + chrono::Duration::seconds(number.into()))
        }
    }
}

fn numbers(list: &Value, field: &str) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|one| one[field].as_u64().unwrap()).collect()
}

fn texts(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn a_conversion_tells_its_whole_story() {
    let stage = network().await;
    let lead = Lead::store(&stage, "story").await;
    let other = Lead::store(&stage, "other").await;
    let made = lead.change(&stage, Event::Hold, None, "hold", "request").await;
    let approved = lead.change(&stage, Event::Approve, Some("hold"), "approved", "owner").await;
    other.change(&stage, Event::Hold, None, "hold", "csv").await;
    let first = lead.finished(&stage, made, 1).await;
    let second = lead.waiting(&stage, approved, 1).await;
    let platform = lead.finished(&stage, approved, 3).await;
    let lines =
        [(first, "partner", 2), (first, "partner", 1), (second, "partner", 3), (platform, "platform", 4)];
    let lines = lines.map(|(delivery, owner, number)| lead.line(delivery, owner, number));
    let of_other = AttemptRow { is_test: true, ..other.line(Uuid::now_v7(), "partner", 9) };
    stage.log_rows(lines.into_iter().chain([of_other])).await;

    let asked = r#"{ conversions(filter: {requestId: "story"}) { edges { node {
        history { statusFrom status events cause actor note payout }
        deliveries { deliveryId state conversion { requestId } attemptLog(first: 1) { attempt } }
        attempts { attempt delivery { deliveryId state } conversion { requestId } }
        firstOnly: attempts(first: 1) { attempt }
        click { clickId partnerClickid userAgent }
    } } } }"#;
    let node = |data: Value| data["conversions"]["edges"][0]["node"].clone();
    let node_of = async |grant| node(stage.data(grant, asked).await);

    let owner = node_of(Grant::Owner).await;
    let told = json!([
        { "statusFrom": null, "status": "HOLD", "events": ["HOLD"], "cause": "REQUEST",
          "actor": "owner 1", "note": "because", "payout": "10.50" },
        { "statusFrom": "HOLD", "status": "APPROVED", "events": ["APPROVE"], "cause": "OWNER",
          "actor": "owner 1", "note": "because", "payout": "10.50" },
    ]);
    assert_eq!(owner["history"], told);
    assert_eq!(numbers(&owner["attempts"], "attempt"), [1, 2, 3, 4], "oldest first");
    assert_eq!(numbers(&owner["firstOnly"], "attempt"), [1]);
    let mut expected = [first, second, platform].map(|id| id.to_string()).to_vec();
    expected.sort();
    assert_eq!(texts(&owner["deliveries"], "deliveryId"), expected, "in the order of their events");
    for delivery in owner["deliveries"].as_array().unwrap() {
        assert_eq!(delivery["conversion"]["requestId"], "story");
        assert_eq!(delivery["attemptLog"].as_array().unwrap().len(), 1);
    }
    for line in owner["attempts"].as_array().unwrap() {
        assert_eq!(line["conversion"]["requestId"], "story");
        let state =
            if line["delivery"]["deliveryId"] == second.to_string() { "RETRYING" } else { "DELIVERED" };
        assert_eq!(line["delivery"]["state"], state);
    }
    assert_eq!(
        owner["click"],
        json!({ "clickId": lead.click, "partnerClickid": "their-own", "userAgent": "agent" })
    );

    // Each sees its own postbacks' part of it, and not what is between others.
    let partner = node_of(Grant::Partner(PartnerId(id(1)))).await;
    assert_eq!(partner["history"][1]["payout"], "10.50");
    assert_eq!(
        (&partner["history"][1]["actor"], &partner["history"][1]["note"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(numbers(&partner["attempts"], "attempt"), [1, 2, 3]);
    assert_eq!(partner["deliveries"].as_array().unwrap().len(), 2);
    let advertiser = node_of(Grant::Advertiser(AdvertiserId(id(1)))).await;
    assert_eq!(advertiser["history"][1]["cause"], "OWNER");
    assert_eq!(advertiser["history"][1]["payout"], Value::Null);
    assert_eq!(advertiser["attempts"], json!([]));
    assert_eq!(advertiser["deliveries"], json!([]));
    assert_eq!(advertiser["click"]["partnerClickid"], Value::Null);
    assert_eq!(node_of(Grant::Partner(PartnerId(id(2)))).await, Value::Null, "nobody else's");
}

#[actix_web::test]
async fn a_line_of_the_log_leads_to_nothing_that_its_reader_may_not_see() {
    let stage = network().await;
    let lead = Lead::store(&stage, "theirs").await;
    let change = lead.change(&stage, Event::Approve, None, "approved", "request").await;
    let delivery = lead.finished(&stage, change, 1).await;
    // A line in partner 2's name about partner 1's conversion and delivery.
    let line = AttemptRow { partner_id: id(2), ..lead.line(delivery, "partner", 1) };
    stage.log_rows([line]).await;
    let asked = "{ postbackLog { nodes { leadId conversion { leadId } delivery { deliveryId } } } }";
    let seen = stage.data(Grant::Partner(PartnerId(id(2))), asked).await;
    let expected = json!([{ "leadId": lead.lead, "conversion": null, "delivery": null }]);
    assert_eq!(seen["postbackLog"]["nodes"], expected);
    let seen = stage.data(Grant::Owner, asked).await;
    assert_eq!(seen["postbackLog"]["nodes"][0]["delivery"]["deliveryId"], delivery.to_string());
}

#[actix_web::test]
async fn what_is_nested_is_bounded_and_costs_its_rows() {
    let stage = network().await;
    let ask = async |nested: &str| {
        let query = format!("{{ conversions(first: 100) {{ nodes {{ {nested} }} }} }}");
        stage.execute(Grant::Owner, &query).await
    };
    assert!(ask("deliveries(first: 10) { attemptLog(first: 3) { attempt } }").await.errors.is_empty());
    let too_much = ask("deliveries(first: 10) { attemptLog(first: 10) { attempt } }").await;
    assert!(too_much.errors[0].message.contains("complex"), "{:?}", too_much.errors);
    Lead::store(&stage, "one").await;
    for nested in ["history(first: 0) { note }", "attempts(first: 101) { attempt }"] {
        let query = format!("{{ conversions(first: 1) {{ nodes {{ {nested} }} }} }}");
        let refused = stage.execute(Grant::Owner, &query).await;
        assert_eq!(refusal(&refused), ("BAD_INPUT".into(), "first".into()), "{nested}");
    }
}

/// Counts how often a connection is taken: that is once a reading.
fn counted(database_url: &str) -> (Pool, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let (made, again) = (taken.clone(), taken.clone());
    let manager = Manager::new(database_url.parse().unwrap(), tokio_postgres::NoTls);
    let pool = Pool::builder(manager)
        .max_size(8)
        .post_create(Hook::sync_fn(move |_, _| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }))
        .pre_recycle(Hook::sync_fn(move |_, _| {
            again.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }))
        .build()
        .unwrap();
    (pool, taken)
}

#[actix_web::test]
async fn a_page_takes_as_many_readings_as_one_row() {
    let stage = network().await;
    let mut lines = Vec::new();
    for number in 0..100 {
        let lead = Lead::store(&stage, &format!("r{number}")).await;
        let change = lead.change(&stage, Event::Approve, None, "approved", "request").await;
        for postback in [1, 3] {
            let delivery = lead.finished(&stage, change, postback).await;
            lines.push(lead.line(delivery, "partner", 1));
        }
    }
    stage.log_rows(lines).await;
    let proxy = ClosingProxy::before(stage.clickhouse_url()).await;
    let (pool, taken) = counted(stage.database_url());
    let schema = schema(pool, EventLog::new(&Url::parse(proxy.url.as_str()).unwrap()));
    let query = "{ conversions(first: 100) { nodes { history { cause } click { clickId } attempts(first: 2) { attempt }
        deliveries(first: 2) { attemptLog(first: 1) { attempt conversion { leadId } } } } } }";
    let principal = Principal { token_id: Uuid::nil(), grant: Grant::Owner };
    let response = schema.execute(async_graphql::Request::new(query).data(principal)).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let data = response.data.into_json().unwrap();
    let nodes = data["conversions"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 100);
    for node in nodes {
        let deliveries = node["deliveries"].as_array().unwrap();
        assert_eq!((deliveries.len(), node["attempts"].as_array().unwrap().len()), (2, 2), "{node}");
        assert!(
            deliveries.iter().all(|one| one["attemptLog"][0]["conversion"]["leadId"].is_string()),
            "{node}"
        );
    }
    // Five kinds of things in PostgreSQL and two lists of lines in ClickHouse.
    assert_eq!((taken.load(Ordering::SeqCst), proxy.served()), (5, 2));
}

#[actix_web::test]
async fn names_beside_ids_are_read_once_a_page() {
    let stage = network().await;
    let mut rows = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..60 {
        execute(
            &stage.pool,
            "INSERT INTO partners (partner_id, name) VALUES ($1, 'partner ' || $2)",
            &[&id(1_000 + number), &number.to_string()],
        )
        .await;
        let lead = Lead::store(&stage, &format!("r{number}")).await;
        let change = lead.change(&stage, Event::Approve, None, "approved", "request").await;
        let delivery = lead.finished(&stage, change, 1).await;
        let partner_id = id(1_000 + number);
        rows.0.push(AttemptRow { partner_id, ..lead.line(delivery, "partner", 1) });
        rows.1.push(InboundRow { partner_id: Some(partner_id), ..inbound("r", lead.now) });
        rows.2.push(ClickRow { partner_id, ..click("agent", lead.now) });
    }
    stage.log_rows(rows.0).await;
    stage.log_rows(rows.1).await;
    stage.log_rows(rows.2).await;
    let proxy = ClosingProxy::before(stage.clickhouse_url()).await;
    let (pool, taken) = counted(stage.database_url());
    let schema = schema(pool, EventLog::new(&Url::parse(proxy.url.as_str()).unwrap()));

    let parties = "offerName partnerName advertiserName";
    let stats = "filter: { from: \"2026-01-01T00:00:00Z\" }, groupBy: [OFFER, PARTNER, ADVERTISER";
    // A reading of each kind of name, beside those of the rows.
    for (query, list, readings) in [
        (format!("postbackLog(first: 60) {{ nodes {{ {parties} postbackHost }} }}"), "nodes", 4),
        (format!("inboundLog(first: 60) {{ nodes {{ {parties} }} }}"), "nodes", 3),
        (format!("clicks(first: 60) {{ nodes {{ {parties} }} }}"), "nodes", 3),
        (format!("conversions(first: 60) {{ nodes {{ {parties} }} }}"), "nodes", 1 + 3),
        (format!("deliveries(first: 60) {{ nodes {{ {parties} postbackHost }} }}"), "nodes", 1 + 4),
        (
            format!("conversions(first: 60) {{ nodes {{ partnerName click {{ {parties} }} }} }}"),
            "nodes",
            1 + 1 + 1 + 3,
        ),
        (format!("postbackStats({stats}, POSTBACK]) {{ rows {{ {parties} postbackHost }} }}"), "rows", 4),
        (format!("inboundStats({stats}]) {{ rows {{ {parties} }} }}"), "rows", 3),
    ] {
        taken.store(0, Ordering::SeqCst);
        let principal = Principal { token_id: Uuid::nil(), grant: Grant::Owner };
        let request = async_graphql::Request::new(format!("{{ list: {query} }}")).data(principal);
        let response = schema.execute(request).await;
        assert!(response.errors.is_empty(), "{query}: {:?}", response.errors);
        let data = response.data.into_json().unwrap();
        let rows = data["list"][list].as_array().unwrap();
        assert_eq!(rows.len(), 60, "{query}");
        assert!(rows.iter().all(|row| row["partnerName"].is_string()), "{query}: {}", rows[0]);
        assert_eq!(taken.load(Ordering::SeqCst), readings, "{query}");
    }
}
