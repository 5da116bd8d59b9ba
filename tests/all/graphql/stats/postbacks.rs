//! `postbackStats` against the rows it counts.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use ricochet::event_log::rows::AttemptRow;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::super::rows::{attempt, id};
use super::super::stage::Stage;
use super::oracle::{Condition, Dimension, Question, code, hold, one_of, seed, some_id, sums, text, time};
use crate::chaos::dice::Dice;

pub const DIMENSIONS: [Dimension<AttemptRow>; 17] = [
    ("STATUS", "status", |row| code(row.status)),
    ("OUTCOME", "outcome", |row| code(row.outcome)),
    ("OFFER", "offerId", |row| json!(row.offer_id)),
    ("PARTNER", "partnerId", |row| json!(row.partner_id)),
    ("ADVERTISER", "advertiserId", |row| json!(row.advertiser_id)),
    ("POSTBACK", "postbackId", |row| json!(row.postback_id)),
    ("LINK", "linkId", |row| json!(row.link_id)),
    ("OWNER", "owner", |row| text(row.owner)),
    ("EVENT", "event", |row| code(row.event)),
    ("ACTION", "action", |row| text(&row.action)),
    ("CURRENCY", "currency", |row| text(row.currency)),
    ("COUNTRY", "country", |row| text(&row.country)),
    ("DEVICE", "device", |row| text(&row.device)),
    ("ERROR_KIND", "errorKind", |row| code(row.error_kind)),
    ("RESPONSE_CODE", "responseCode", |row| match row.response_code {
        0 => Value::Null,
        code => json!(code),
    }),
    ("METHOD", "method", |row| text(row.method)),
    ("ATTEMPT", "attempt", |row| json!(row.attempt)),
];

pub fn started_at(row: &AttemptRow) -> DateTime<Utc> {
    row.started_at
}

pub fn any_attempt(dice: &mut Dice) -> AttemptRow {
    let (outcome, error_kind, response_code) = one_of(
        dice,
        &[
            ("delivered", "none", 200),
            ("delivered", "none", 204),
            ("retrying", "timeout", 0),
            ("retrying", "status", 503),
            ("failed", "status", 404),
            ("skipped", "condition", 0),
        ],
    );
    let amount = one_of(dice, &[None, Some(0), Some(1_000), Some(2_549), Some(-1)]);
    let times = [0; 6].map(|_| if dice.within(0..5) == 0 { 0 } else { dice.within(1..3_000_000) });
    AttemptRow {
        delivery_id: some_id(dice, 150),
        postback_id: some_id(dice, 3),
        owner: one_of(dice, &["partner", "advertiser", "platform"]),
        partner_id: some_id(dice, 3),
        advertiser_id: some_id(dice, 2),
        offer_id: some_id(dice, 4),
        link_id: some_id(dice, 2),
        action: one_of(dice, &["sale", "lead"]).into(),
        event: one_of(dice, &["sale", "ftd", "approve", "customer_activate"]),
        status: one_of(dice, &["hold", "approved", "rejected", ""]),
        amount: amount.map(|amount: i64| Decimal::new(amount.max(0), 2)),
        currency: if amount.is_some() { one_of(dice, &["USD", "EUR", "JPY"]) } else { "" },
        payout: Some(Decimal::new(i64::try_from(dice.within(0..50_000_000)).unwrap(), 6)),
        payout_currency: one_of(dice, &["USD", "BTC"]),
        country: one_of(dice, &["DE", "US", ""]).into(),
        device: one_of(dice, &["mobile", "desktop", ""]).into(),
        method: one_of(dice, &["GET", "POST"]),
        outcome,
        error_kind,
        response_code,
        attempt: u32::try_from(dice.within(1..4)).unwrap(),
        is_test: dice.within(0..10) == 0,
        queued_us: times[0],
        dns_us: times[1],
        connect_us: times[2],
        tls_us: times[3],
        first_byte_us: times[4],
        total_us: times[5],
        ..attempt("t", time(dice))
    }
}

pub fn any_conditions(dice: &mut Dice) -> Vec<Condition<AttemptRow>> {
    let mut conditions: Vec<Condition<AttemptRow>> = Vec::new();
    let with_tests = dice.within(0..3) == 0;
    conditions.push(Condition {
        written: format!("includeTests: {with_tests}"),
        lets_through: Box::new(move |row| with_tests || !row.is_test),
    });
    let mut add = |dice: &mut Dice, written: &str, lets_through: Box<dyn Fn(&AttemptRow) -> bool>| {
        if dice.within(0..4) == 0 {
            conditions.push(Condition { written: written.into(), lets_through });
        }
    };
    add(
        dice,
        "outcomes: [DELIVERED, FAILED]",
        Box::new(|row| ["delivered", "failed"].contains(&row.outcome)),
    );
    add(dice, "statuses: [APPROVED, HOLD]", Box::new(|row| ["approved", "hold"].contains(&row.status)));
    add(dice, "events: [SALE, FTD]", Box::new(|row| ["sale", "ftd"].contains(&row.event)));
    add(dice, "errorKinds: [NONE, TIMEOUT]", Box::new(|row| ["none", "timeout"].contains(&row.error_kind)));
    add(dice, "attemptAtLeast: 2", Box::new(|row| row.attempt >= 2));
    add(dice, "totalUsAtLeast: 100000", Box::new(|row| row.total_us >= 100_000));
    let some = [id(1), id(2)];
    add(
        dice,
        &format!("partnerIds: [\"{}\", \"{}\"]", some[0], some[1]),
        Box::new(move |row| some.contains(&row.partner_id)),
    );
    add(dice, &format!("offerIds: [\"{}\"]", some[0]), Box::new(move |row| row.offer_id == some[0]));
    conditions
}

const FIGURES: &str =
    "attempts deliveries delivered retrying failed skipped successRate failureRate firstAttempts
    firstAttemptsDelivered firstAttemptSuccessRate deliveredAmounts { currency amount }
    deliveredPayouts { currency amount }";

fn count(rows: &[&AttemptRow]) -> Value {
    let number = |what: &dyn Fn(&AttemptRow) -> bool| rows.iter().filter(|row| what(row)).count();
    let came_to = |outcome: &str| number(&|row| row.outcome == outcome);
    let rate = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let sent = rows.len() - came_to("skipped");
    let first = number(&|row| row.attempt == 1 && row.outcome != "skipped");
    let first_delivered = number(&|row| row.attempt == 1 && row.outcome == "delivered");
    let told = || rows.iter().filter(|row| row.outcome == "delivered");
    json!({
        "attempts": rows.len(),
        "deliveries": rows.iter().map(|row| row.delivery_id).collect::<HashSet<_>>().len(),
        "delivered": came_to("delivered"),
        "retrying": came_to("retrying"),
        "failed": came_to("failed"),
        "skipped": came_to("skipped"),
        "successRate": rate(came_to("delivered"), sent),
        "failureRate": rate(came_to("failed"), sent),
        "firstAttempts": first,
        "firstAttemptsDelivered": first_delivered,
        "firstAttemptSuccessRate": rate(first_delivered, first),
        "deliveredAmounts": sums(told().map(|row| (row.currency, row.amount))),
        "deliveredPayouts": sums(told().map(|row| (row.payout_currency, row.payout))),
    })
}

#[actix_web::test]
async fn every_figure_of_attempts_is_that_of_its_rows() {
    let mut dice = Dice::of(seed());
    let stage = Stage::set().await;
    let rows: Vec<AttemptRow> = (0..1_500).map(|_| any_attempt(&mut dice)).collect();
    stage.log_rows(rows.clone()).await;
    for _ in 0..120 {
        let conditions = any_conditions(&mut dice);
        let question = Question::throw(&mut dice, &DIMENSIONS, started_at, conditions);
        hold(&stage, "postbackStats", "", &question, &rows, started_at, FIGURES, count).await;
    }
}
