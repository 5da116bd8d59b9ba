//! `conversionStats` against the changes and clicks it counts.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use ricochet::event_log::rows::{ClickRow, ConversionEventRow};
use ricochet::graphql::scope::Grant;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::rows::id;
use super::super::stage::{Stage, refusal};
use super::oracle::{
    Condition, Dimension, Question, code, hold, one_of, plain, seed, some_id, sums, text, time,
};
use crate::chaos::dice::Dice;

/// One row of either log.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
enum Row {
    Event(ConversionEventRow<'static>),
    Click(Click),
}

#[derive(Clone)]
struct Click {
    at: DateTime<Utc>,
    offer_id: Uuid,
    partner_id: Uuid,
    advertiser_id: Uuid,
    link_id: Uuid,
    country: &'static str,
    device: &'static str,
}

macro_rules! both {
    ($row:expr, $event:ident => $of_event:expr, $click:ident => $of_click:expr) => {
        match $row {
            Row::Event($event) => $of_event,
            Row::Click($click) => $of_click,
        }
    };
}

/// Those that clicks have too come first.
const DIMENSIONS: [Dimension<Row>; 10] = [
    ("OFFER", "offerId", |row| both!(row, event => json!(event.offer_id), click => json!(click.offer_id))),
    (
        "PARTNER",
        "partnerId",
        |row| both!(row, event => json!(event.partner_id), click => json!(click.partner_id)),
    ),
    (
        "ADVERTISER",
        "advertiserId",
        |row| both!(row, event => json!(event.advertiser_id), click => json!(click.advertiser_id)),
    ),
    ("LINK", "linkId", |row| both!(row, event => json!(event.link_id), click => json!(click.link_id))),
    ("COUNTRY", "country", |row| both!(row, event => text(event.country), click => text(click.country))),
    ("DEVICE", "device", |row| both!(row, event => text(event.device), click => text(click.device))),
    ("STATUS", "status", |row| both!(row, event => code(event.status), _click => Value::Null)),
    ("EVENT", "event", |row| both!(row, event => code(event.event), _click => Value::Null)),
    ("ACTION", "action", |row| both!(row, event => text(event.action), _click => Value::Null)),
    ("CURRENCY", "currency", |row| both!(row, event => text(event.currency), _click => Value::Null)),
];

fn time_of(row: &Row) -> DateTime<Utc> {
    both!(row, event => event.recorded_at, click => click.at)
}

/// A change, with a row for each of its events.
fn any_change(dice: &mut Dice) -> Vec<ConversionEventRow<'static>> {
    let (status_from, status, events): (&str, &str, &[&str]) = one_of(
        dice,
        &[
            ("", "hold", &["sale", "hold"] as &[&str]),
            ("", "approved", &["sale", "approve"]),
            ("", "approved", &["ftd", "approve"]),
            ("", "rejected", &["lead", "reject"]),
            ("hold", "approved", &["approve"]),
            ("hold", "rejected", &["reject"]),
            ("approved", "rejected", &["reject"]),
            ("rejected", "approved", &["approve"]),
            ("approved", "approved", &["payout"]),
            ("", "", &["customer_activate"]),
        ],
    );
    let priced = dice.within(0..3) > 0;
    let row = ConversionEventRow {
        change_id: Uuid::new_v4(),
        event: "",
        recorded_at: time(dice),
        occurred_at: time(dice),
        lead_id: (!status.is_empty()).then(Uuid::new_v4),
        customer_id: "c",
        request_id: "r",
        click_id: some_id(dice, 40),
        advertiser_id: some_id(dice, 2),
        offer_id: some_id(dice, 3),
        partner_id: some_id(dice, 3),
        link_id: some_id(dice, 2),
        action: one_of(dice, &["sale", "deposit"]),
        status_from: one_of(dice, &[status_from]),
        status: one_of(dice, &[status]),
        amount: priced.then(|| Decimal::new(i64::try_from(dice.within(0..100_000)).unwrap(), 2)),
        currency: if priced { one_of(dice, &["USD", "EUR"]) } else { "" },
        payout: Some(Decimal::new(i64::try_from(dice.within(0..100_000)).unwrap(), 3)),
        payout_currency: one_of(dice, &["USD", "JPY"]),
        country: one_of(dice, &["DE", "US", ""]),
        device: one_of(dice, &["mobile", "bot"]),
        is_test: dice.within(0..10) == 0,
    };
    let of_event = |event: &&'static str| ConversionEventRow { event, ..row.clone() };
    events.iter().map(of_event).collect()
}

fn any_click(dice: &mut Dice) -> Click {
    Click {
        at: time(dice),
        offer_id: some_id(dice, 3),
        partner_id: some_id(dice, 4),
        advertiser_id: some_id(dice, 2),
        link_id: some_id(dice, 2),
        country: one_of(dice, &["DE", "US", ""]),
        device: one_of(dice, &["mobile", "bot", "desktop"]),
    }
}

const FIGURES: &str = "events changes conversions convertedClicks held approved rejected refunded settled approvalRate
    reportedAmounts { currency amount } approvedAmounts { currency amount } approvedPayouts { currency amount }
    refundedAmounts { currency amount } refundedPayouts { currency amount } settledPayouts { currency amount }
    clicks botClicks conversionRate epc { currency amount }";

fn count(rows: &[&Row], with_clicks: bool) -> Value {
    let events: Vec<&ConversionEventRow> =
        rows.iter().filter_map(|row| both!(row, event => Some(event), _click => None)).collect();
    let clicks: Vec<&Click> =
        rows.iter().filter_map(|row| both!(row, _event => None, click => Some(click))).collect();
    // One row of each change.
    let changes: BTreeMap<Uuid, &ConversionEventRow> =
        events.iter().map(|event| (event.change_id, *event)).collect();
    let of = |what: fn(&ConversionEventRow) -> bool| -> Vec<&ConversionEventRow> {
        changes.values().copied().filter(|change| what(change)).collect()
    };
    let new = of(|change| change.status_from.is_empty() && change.lead_id.is_some());
    let held = of(|change| change.status == "hold" && change.status_from != "hold");
    let approved = of(|change| change.status == "approved" && change.status_from != "approved");
    let rejected = of(|change| change.status == "rejected" && change.status_from != "rejected");
    let refunded = of(|change| change.status == "rejected" && change.status_from == "approved");
    let settled = of(|change| change.status == "approved" && change.status_from == "approved");
    let amounts = |rows: &[&ConversionEventRow]| sums(rows.iter().map(|row| (row.currency, row.amount)));
    let payouts =
        |rows: &[&ConversionEventRow]| sums(rows.iter().map(|row| (row.payout_currency, row.payout)));
    let decided = approved.len() + rejected.len() - refunded.len();
    let epc = (!clicks.is_empty()).then(|| {
        let share = |sum: &Value| {
            let share =
                sum["amount"].as_str().unwrap().parse::<Decimal>().unwrap() / Decimal::from(clicks.len());
            json!({ "currency": sum["currency"], "amount": share.round_dp(6).normalize().to_string() })
        };
        payouts(&approved).as_array().unwrap().iter().map(share).collect::<Vec<_>>()
    });
    json!({
        "events": events.len(),
        "changes": changes.len(),
        "conversions": new.len(),
        "convertedClicks": new.iter().map(|change| change.click_id).collect::<HashSet<_>>().len(),
        "held": held.len(),
        "approved": approved.len(),
        "rejected": rejected.len(),
        "refunded": refunded.len(),
        "settled": settled.len(),
        "approvalRate": (decided > 0).then(|| approved.len() as f64 / decided as f64),
        "reportedAmounts": amounts(&new),
        "approvedAmounts": amounts(&approved),
        "approvedPayouts": payouts(&approved),
        "refundedAmounts": amounts(&refunded),
        "refundedPayouts": payouts(&refunded),
        "settledPayouts": payouts(&settled),
        "clicks": with_clicks.then_some(clicks.len()),
        "botClicks": with_clicks.then(|| clicks.iter().filter(|click| click.device == "bot").count()),
        "conversionRate":
            (with_clicks && !clicks.is_empty()).then(|| new.len() as f64 / clicks.len() as f64),
        "epc": with_clicks.then(|| epc.unwrap_or_default()),
    })
}

async fn log_clicks(stage: &Stage, clicks: &[Click]) {
    let (subs, parameters) = (Default::default(), BTreeMap::new());
    let row = |click: &Click| ClickRow {
        click_id: Uuid::new_v4(),
        clicked_at: click.at,
        link_id: click.link_id,
        offer_id: click.offer_id,
        partner_id: click.partner_id,
        advertiser_id: click.advertiser_id,
        partner_clickid: "",
        subs: &subs,
        ip: "",
        user_agent: "",
        referrer: "",
        country: click.country,
        device: click.device,
        parameters: &parameters,
    };
    let rows: Vec<ClickRow> = clicks.iter().map(row).collect();
    stage.log_rows(rows).await;
}

#[actix_web::test]
async fn every_figure_of_conversions_is_that_of_its_changes() {
    let mut dice = Dice::of(seed());
    let stage = Stage::set().await;
    let events: Vec<ConversionEventRow> = (0..700).flat_map(|_| any_change(&mut dice)).collect();
    let clicks: Vec<Click> = (0..900).map(|_| any_click(&mut dice)).collect();
    stage.log_rows(events.clone()).await;
    log_clicks(&stage, &clicks).await;
    let events: Vec<Row> = events.into_iter().map(Row::Event).collect();
    let both: Vec<Row> = events.iter().cloned().chain(clicks.into_iter().map(Row::Click)).collect();
    let is_test = |row: &Row| both!(row, event => event.is_test, _click => false);
    for _ in 0..100 {
        let with_clicks = dice.within(0..2) == 0;
        let mut conditions: Vec<Condition<Row>> =
            vec![Condition { written: String::new(), lets_through: Box::new(move |row| !is_test(row)) }];
        if dice.within(0..3) == 0 {
            let offer = id(1);
            conditions.push(Condition {
                written: format!("offerIds: [\"{offer}\"]"),
                lets_through: Box::new(
                    move |row| both!(row, event => event.offer_id == offer, click => click.offer_id == offer),
                ),
            });
        }
        if dice.within(0..3) == 0 {
            conditions.push(Condition {
                written: "countries: [\"de\"], devices: [MOBILE, BOT]".into(),
                lets_through: Box::new(|row| {
                    let (country, device) =
                        both!(row, event => (event.country, event.device), click => (click.country, click.device));
                    country == "DE" && ["mobile", "bot"].contains(&device)
                }),
            });
        }
        if !with_clicks && dice.within(0..2) == 0 {
            conditions.push(Condition {
                written: "events: [SALE, APPROVE, PAYOUT]".into(),
                lets_through: Box::new(|row| {
                    let event = both!(row, event => event.event, _click => "");
                    ["sale", "approve", "payout"].contains(&event)
                }),
            });
        }
        let (dimensions, rows, arguments) = match with_clicks {
            true => (&DIMENSIONS[..6], &both, ", withClicks: true"),
            false => (&DIMENSIONS[..], &events, ""),
        };
        let question = Question::throw(&mut dice, dimensions, time_of, conditions);
        let counted = |rows: &[&Row]| count(rows, with_clicks);
        hold(&stage, "conversionStats", arguments, &question, rows, time_of, FIGURES, counted).await;
    }
}

/// Only what is asked for is counted: alone, every field says what it says among all others.
#[actix_web::test]
async fn every_figure_of_conversions_stands_alone() {
    let mut dice = Dice::of(seed());
    let stage = Stage::set().await;
    let events: Vec<ConversionEventRow> = (0..200).flat_map(|_| any_change(&mut dice)).collect();
    stage.log_rows(events).await;
    log_clicks(&stage, &(0..200).map(|_| any_click(&mut dice)).collect::<Vec<_>>()).await;
    let fields = FIGURES.replace("{ currency amount }", "");
    for arguments in ["withClicks: true, groupBy: [OFFER]", "groupBy: [OFFER, EVENT]", "groupBy: [EVENT]"] {
        for order in ["KEY", "EVENTS", "APPROVED", "CLICKS"] {
            let asked = async |figures: &str| {
                let query = format!(
                    "{{ conversionStats({arguments}, orderBy: {order}) {{ rows {{ offerId event FIGURES }} total {{ FIGURES }} }} }}"
                );
                stage.data(Grant::Owner, &query.replace("FIGURES", figures)).await["conversionStats"].take()
            };
            let all = asked(FIGURES).await;
            for field in fields.split_whitespace() {
                let selected = if field.ends_with("ounts") || field.ends_with("Payouts") || field == "epc" {
                    format!("{field} {{ currency amount }}")
                } else {
                    field.to_owned()
                };
                let alone = asked(&selected).await;
                let only = |row: &Value| json!([row["offerId"], row["event"], row[field]]);
                let rows =
                    |answer: &Value| answer["rows"].as_array().unwrap().iter().map(only).collect::<Vec<_>>();
                assert_eq!(rows(&alone), rows(&all), "{arguments} {order} {field}");
                assert_eq!(alone["total"][field], all["total"][field], "{arguments} {order} {field}");
            }
        }
    }
}

#[actix_web::test]
async fn clicks_are_counted_only_by_what_they_have() {
    let stage = Stage::set().await;
    for (arguments, field, remedy) in [
        ("withClicks: true, groupBy: [EVENT]", "groupBy", "clicks have no EVENT"),
        ("withClicks: true, filter: { statuses: [HOLD] }", "filter.statuses", "without withClicks"),
    ] {
        let query = format!("{{ conversionStats({arguments}) {{ rows {{ clicks }} }} }}");
        let response = stage.execute(Grant::Owner, &query).await;
        assert_eq!(refusal(&response), ("BAD_INPUT".into(), field.into()), "{arguments}");
        assert!(response.errors[0].message.contains(remedy), "{:?}", response.errors);
    }
}

#[test]
fn amounts_are_compared_without_their_zeros() {
    assert_eq!(plain(&json!([{ "amount": "2.50" }])), json!([{ "amount": "2.5" }]));
}
