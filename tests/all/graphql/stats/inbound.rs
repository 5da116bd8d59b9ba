//! `inboundStats` against the requests it counts.

use chrono::{DateTime, Utc};
use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::event_log::rows::InboundRow;
use ricochet::graphql::scope::Grant;
use serde_json::{Value, json};

use super::super::rows::{at, id, inbound};
use super::super::stage::Stage;
use super::oracle::{Condition, Dimension, Question, code, hold, one_of, seed, some_id, text, time};
use crate::chaos::dice::Dice;

const DIMENSIONS: [Dimension<InboundRow>; 9] = [
    ("VERDICT", "verdict", |row| code(row.verdict)),
    ("REASON_CODE", "reasonCode", |row| text(row.reason_code)),
    ("DOOR", "door", |row| text(row.door)),
    ("ADVERTISER", "advertiserId", |row| json!(row.advertiser_id)),
    ("OFFER", "offerId", |row| json!(row.offer_id)),
    ("PARTNER", "partnerId", |row| json!(row.partner_id)),
    ("INTEGRATION", "integrationId", |row| json!(row.integration_id)),
    ("METHOD", "method", |row| text(&row.method)),
    ("HTTP_STATUS", "httpStatus", |row| json!(row.http_status)),
];

const FIGURES: &str = "requests accepted duplicate conflict quarantined rejected rejectionRate";

fn any_request(dice: &mut Dice) -> InboundRow {
    let (verdict, http_status, reason_code) = one_of(
        dice,
        &[
            ("accepted", 200, ""),
            ("duplicate", 200, ""),
            ("conflict", 200, "final"),
            ("quarantined", 202, "unknown_status"),
            ("rejected", 422, "unknown_click"),
            ("rejected", 401, "unknown_key"),
        ],
    );
    let mut maybe = |most| (dice.within(0..3) > 0).then(|| some_id(dice, most));
    let (advertiser_id, offer_id, partner_id, integration_id) = (maybe(2), maybe(3), maybe(2), maybe(1));
    InboundRow {
        verdict,
        http_status,
        reason_code,
        advertiser_id,
        offer_id,
        partner_id,
        integration_id,
        door: one_of(dice, &["s2s", "api"]),
        method: one_of(dice, &["GET", "POST"]).into(),
        is_test: dice.within(0..10) == 0,
        ..inbound("r", time(dice))
    }
}

fn received_at(row: &InboundRow) -> DateTime<Utc> {
    row.received_at
}

fn count(rows: &[&InboundRow]) -> Value {
    let came_to = |verdict: &str| rows.iter().filter(|row| row.verdict == verdict).count();
    json!({
        "requests": rows.len(),
        "accepted": came_to("accepted"),
        "duplicate": came_to("duplicate"),
        "conflict": came_to("conflict"),
        "quarantined": came_to("quarantined"),
        "rejected": came_to("rejected"),
        "rejectionRate": (!rows.is_empty()).then(|| came_to("rejected") as f64 / rows.len() as f64),
    })
}

#[actix_web::test]
async fn every_figure_of_requests_is_that_of_its_rows() {
    let mut dice = Dice::of(seed());
    let stage = Stage::set().await;
    let rows: Vec<InboundRow> = (0..800).map(|_| any_request(&mut dice)).collect();
    stage.log_rows(rows.clone()).await;
    for _ in 0..50 {
        let mut conditions: Vec<Condition<InboundRow>> =
            vec![Condition { written: String::new(), lets_through: Box::new(|row| !row.is_test) }];
        if dice.within(0..3) == 0 {
            conditions.push(Condition {
                written: "verdicts: [REJECTED, ACCEPTED]".into(),
                lets_through: Box::new(|row| ["rejected", "accepted"].contains(&row.verdict)),
            });
        }
        let question = Question::throw(&mut dice, &DIMENSIONS, received_at, conditions);
        hold(&stage, "inboundStats", "", &question, &rows, received_at, FIGURES, count).await;
    }
}

#[actix_web::test]
async fn requests_are_the_advertisers_affair_and_tests_are_asked_for() {
    let stage = Stage::set().await;
    let of = |advertiser, is_test| InboundRow {
        advertiser_id: Some(id(advertiser)),
        is_test,
        ..inbound("r", at(0))
    };
    stage.log_rows([of(1, false), of(1, true), of(2, false)]).await;
    let counted = async |grant, arguments: &str| {
        let query = format!(
            "{{ inboundStats{arguments} {{ groupCount total {{ requests }} rows {{ requests }} }} }}"
        );
        stage.data(grant, &query).await["inboundStats"]["total"]["requests"].clone()
    };
    assert_eq!(counted(Grant::Owner, "").await, 2);
    assert_eq!(counted(Grant::Owner, "(includeTests: true)").await, 3);
    assert_eq!(counted(Grant::Owner, "(filter: { isTest: true })").await, 1);
    assert_eq!(counted(Grant::Advertiser(AdvertiserId(id(1))), "").await, 1);
    assert_eq!(counted(Grant::Partner(PartnerId(id(1))), "").await, 0);
}
