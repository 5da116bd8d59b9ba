//! Rows to begin a test with. Ids are small numbers, so that tests can speak of offer 1.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, Duration, Utc};
use ricochet::event_log::rows::{AttemptRow, ClickRow, InboundRow};
use ricochet::store::Pool;
use rust_decimal::Decimal;
use uuid::Uuid;

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Noon and so many seconds.
pub fn at(seconds: i64) -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + Duration::seconds(seconds)
}

/// A delivered attempt of a partner's postback.
pub fn attempt(txid: &str, started_at: DateTime<Utc>) -> AttemptRow {
    AttemptRow {
        attempt_id: Uuid::new_v4(),
        delivery_id: Uuid::new_v4(),
        postback_id: id(1),
        owner: "partner",
        partner_id: id(1),
        advertiser_id: id(1),
        offer_id: id(1),
        link_id: id(1),
        lead_id: Some(Uuid::new_v4()),
        click_id: Uuid::new_v4(),
        txid: txid.into(),
        action: "sale".into(),
        event: "sale",
        status: "approved",
        amount: Some(Decimal::new(2500, 2)),
        currency: "USD",
        payout: Some(Decimal::new(1250, 2)),
        payout_currency: "USD",
        country: "DE".into(),
        device: "mobile".into(),
        method: "GET",
        url: "http://tracker.example/postback?cid=1".into(),
        request_headers: r#"[["x-id","1"]]"#.into(),
        request_body: "a=1".into(),
        outcome: "delivered",
        reason: String::new(),
        error_kind: "none",
        attempt: 1,
        response_code: 200,
        response_body: "OK".into(),
        started_at,
        queued_us: 1_500,
        dns_us: 300,
        connect_us: 4_000,
        tls_us: 9_000,
        first_byte_us: 20_000,
        total_us: 21_000,
        peer_ip: "192.0.2.80".into(),
        http_version: "2",
        is_test: false,
        node_id: id(1),
    }
}

/// An accepted request of advertiser 1.
pub fn inbound(request_id: &str, received_at: DateTime<Utc>) -> InboundRow {
    InboundRow {
        inbound_id: Uuid::new_v4(),
        received_at,
        door: "s2s",
        method: "GET".into(),
        source_ip: "192.0.2.1".into(),
        advertiser_id: Some(id(1)),
        offer_id: Some(id(1)),
        partner_id: Some(id(1)),
        request_id: request_id.into(),
        click_id: "abc123".into(),
        lead_id: Some(Uuid::new_v4()),
        parameters: "[[\"clickid\",\"abc123\"]]".into(),
        verdict: "accepted",
        http_status: 200,
        reason_code: "",
        reason: String::new(),
        answer: "{}".into(),
        is_test: false,
        node_id: id(1),
        integration_id: None,
        origin_id: None,
    }
}

static SUBS: LazyLock<[String; 5]> =
    LazyLock::new(|| ["tiktok", "campaign", "", "", "spring"].map(str::to_owned));
static PARAMETERS: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| BTreeMap::from([("utm_source".to_owned(), "feed".to_owned())]));

/// A visitor of everybody's number 1, with a user agent to be known by.
pub fn click(user_agent: &str, clicked_at: DateTime<Utc>) -> ClickRow<'_> {
    ClickRow {
        click_id: Uuid::new_v4(),
        clicked_at,
        link_id: id(1),
        offer_id: id(1),
        partner_id: id(1),
        advertiser_id: id(1),
        partner_clickid: "their-own",
        subs: &SUBS,
        ip: "203.0.113.9",
        user_agent,
        referrer: "https://feed.example/",
        country: "DE",
        device: "mobile",
        parameters: &PARAMETERS,
    }
}

/// A conversion as it is stored.
pub struct StoredConversion {
    pub lead_id: Uuid,
    pub advertiser_id: Uuid,
    pub offer_id: Uuid,
    pub partner_id: Uuid,
    pub click_id: Uuid,
    pub request_id: String,
    pub customer_id: Option<String>,
    pub status: &'static str,
    pub amount: Option<Decimal>,
    pub payout: Decimal,
    pub is_test: bool,
    pub created_at: DateTime<Utc>,
}

/// A conversion of advertiser, offer and partner 1, on hold.
pub fn conversion(request_id: &str, created_at: DateTime<Utc>) -> StoredConversion {
    StoredConversion {
        lead_id: Uuid::new_v4(),
        advertiser_id: id(1),
        offer_id: id(1),
        partner_id: id(1),
        click_id: Uuid::new_v4(),
        request_id: request_id.into(),
        customer_id: None,
        status: "hold",
        amount: Some(Decimal::new(2500, 2)),
        payout: Decimal::new(125, 1),
        is_test: false,
        created_at,
    }
}

pub async fn store(pool: &Pool, conversions: impl IntoIterator<Item = StoredConversion>) {
    let client = pool.get().await.unwrap();
    for row in conversions {
        client
            .execute(
                "INSERT INTO conversions (lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action,
                     action_kind, click_id, request_id, customer_id, status, amount, currency, payout,
                     payout_currency, comment, fields, is_test, is_once_per_click, created_at, updated_at, occurred_at)
                 VALUES ($1, $2, $3, $4, $4, $4, 'sale', 'sale', $5, $6, $7, $8, $9, 'USD', $12, 'USD', '', '{}',
                     $10, true, $11, $11, $11)",
                &[
                    &row.lead_id,
                    &row.advertiser_id,
                    &row.offer_id,
                    &row.partner_id,
                    &row.click_id,
                    &row.request_id,
                    &row.customer_id,
                    &row.status,
                    &row.amount,
                    &row.is_test,
                    &row.created_at,
                    &row.payout,
                ],
            )
            .await
            .unwrap();
    }
}

pub async fn store_network(pool: &Pool) {
    let client = pool.get().await.unwrap();
    for number in [1, 2] {
        let name = format!("number {number}");
        client
            .execute("INSERT INTO advertisers (advertiser_id, name) VALUES ($1, $2)", &[&id(number), &name])
            .await
            .unwrap();
        client
            .execute("INSERT INTO partners (partner_id, name) VALUES ($1, $2)", &[&id(number), &name])
            .await
            .unwrap();
    }
}
