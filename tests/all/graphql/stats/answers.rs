//! What an answer says about itself: order, limit, gaps, and the refusals.

use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::event_log::rows::AttemptRow;
use ricochet::graphql::scope::{Grant, Scope};
use serde_json::{Value, json};

use super::super::rows::{at, attempt, id};
use super::super::stage::{Stage, refusal};

/// Partner 1 has three attempts, partner 2 two, partner 3 one; each a minute after the other.
async fn stage() -> Stage {
    let stage = Stage::set().await;
    let rows = [1, 2, 3, 1, 2, 1].into_iter().enumerate().map(|(minute, partner)| AttemptRow {
        partner_id: id(partner),
        owner: if partner == 3 { "advertiser" } else { "partner" },
        ..attempt("t", at(60 * minute as i64))
    });
    stage.log_rows(rows).await;
    stage
}

async fn ask(stage: &Stage, grant: Grant, arguments: &str) -> Value {
    let query = format!(
        "{{ postbackStats({arguments}) {{ groupCount isCut from to timeZone total {{ attempts }}
           rows {{ partnerId bucketLocal attempts }} }} }}"
    );
    stage.data(grant, &query).await["postbackStats"].clone()
}

fn partners(answer: &Value) -> Vec<(String, u64)> {
    let row = |row: &Value| {
        let partner = row["partnerId"].as_str().map_or("", |id| &id[35..]);
        (partner.to_owned(), row["attempts"].as_u64().unwrap())
    };
    answer["rows"].as_array().unwrap().iter().map(row).collect()
}

fn pairs(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(partner, attempts)| ((*partner).to_owned(), *attempts)).collect()
}

#[actix_web::test]
async fn the_limit_keeps_the_first_groups_and_says_so() {
    let stage = stage().await;
    let by_partner = "groupBy: [PARTNER]";
    let all = ask(&stage, Grant::Owner, by_partner).await;
    assert_eq!(partners(&all), pairs(&[("1", 3), ("2", 2), ("3", 1)]));
    assert_eq!((&all["isCut"], &all["groupCount"]), (&json!(false), &json!(3)));

    let first = ask(&stage, Grant::Owner, &format!("{by_partner}, limit: 2")).await;
    assert_eq!(partners(&first), pairs(&[("1", 3), ("2", 2)]));
    assert_eq!((&first["isCut"], &first["groupCount"]), (&json!(true), &json!(3)));
    assert_eq!(first["total"]["attempts"], 6, "the limit leaves groups out, and not of the total");

    let least = ask(&stage, Grant::Owner, &format!("{by_partner}, limit: 1, direction: ASCENDING")).await;
    assert_eq!(partners(&least), pairs(&[("3", 1)]));
    let by_key = ask(&stage, Grant::Owner, &format!("{by_partner}, orderBy: KEY")).await;
    assert_eq!(partners(&by_key), pairs(&[("3", 1), ("2", 2), ("1", 3)]));
}

#[actix_web::test]
async fn a_limit_of_groups_leaves_each_its_buckets() {
    let stage = stage().await;
    let filter = r#"filter: { from: "2026-03-01T12:00:00Z", to: "2026-03-01T12:06:00Z" }"#;
    let cut = format!("{filter}, groupBy: [PARTNER], bucket: MINUTE, timeZone: \"+03:00\", limit: 1");
    let cut = ask(&stage, Grant::Owner, &cut).await;
    assert_eq!(partners(&cut), pairs(&[("1", 1); 3]));
    assert_eq!((&cut["isCut"], &cut["timeZone"]), (&json!(true), &json!("+03:00")));
    let shown: Vec<&str> =
        cut["rows"].as_array().unwrap().iter().map(|row| row["bucketLocal"].as_str().unwrap()).collect();
    assert_eq!(
        shown,
        ["2026-03-01T15:00:00+03:00", "2026-03-01T15:03:00+03:00", "2026-03-01T15:05:00+03:00"]
    );
    let filled = format!("{filter}, groupBy: [PARTNER], bucket: MINUTE, limit: 2, fillGaps: true");
    let filled = ask(&stage, Grant::Owner, &filled).await;
    let counts: Vec<u64> = partners(&filled).into_iter().map(|(_, attempts)| attempts).collect();
    assert_eq!(counts, [1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0]);
    let of_nothing = r#"filter: { from: "2020-01-01T00:00:00Z", to: "2020-01-03T00:00:00Z" }, bucket: DAY, fillGaps: true"#;
    let of_nothing = ask(&stage, Grant::Owner, of_nothing).await;
    assert_eq!(partners(&of_nothing), pairs(&[("", 0), ("", 0)]));
}

#[actix_web::test]
async fn statistics_have_the_scope_of_the_log() {
    let stage = stage().await;
    for (scope, attempts) in [
        (Scope::Everything, 6),
        (Scope::Partner(PartnerId(id(1))), 3),
        // Of partner 3 there are only the advertiser's own postbacks.
        (Scope::Partner(PartnerId(id(3))), 0),
        (Scope::Advertiser(AdvertiserId(id(1))), 1),
        (Scope::Advertiser(AdvertiserId(id(2))), 0),
    ] {
        for filter in ["", "filter: { includeTests: true }, "] {
            let answer = ask(&stage, Grant::Bi(scope), &format!("{filter}groupBy: [PARTNER]")).await;
            assert_eq!(answer["total"]["attempts"], attempts, "{scope:?}");
            let shown: u64 = partners(&answer).iter().map(|(_, attempts)| attempts).sum();
            assert_eq!(shown, attempts, "{scope:?}");
        }
    }
}

#[actix_web::test]
async fn what_is_too_much_or_makes_no_sense_is_refused_by_its_name() {
    let stage = Stage::set().await;
    let year = r#"filter: { from: "2025-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z" }"#;
    for (arguments, field, remedy) in [
        ("timeZone: \"Berlin\"".to_owned(), "timeZone", "did you mean Europe/Berlin?"),
        ("bucket: DAY".to_owned(), "filter.from", "the time of the first"),
        (format!("{year}, bucket: MINUTE"), "bucket", "bucket: HOUR"),
        (format!("{year}, bucket: DAY, groupBy: [PARTNER], limit: 1000"), "limit", "take limit: 1"),
        ("limit: 0".to_owned(), "limit", "take 1 to 10000"),
        ("filter: { from: \"2999-01-01T00:00:00Z\" }".to_owned(), "filter.from", "in the future"),
        ("filter: { offerIds: [\"x\"] }".to_owned(), "filter.offerIds", "write a UUID"),
    ] {
        for query in ["postbackStats", "timings"] {
            let asked = format!("{{ {query}({arguments}) {{ isCut }} }}");
            let response = stage.execute(Grant::Owner, &asked).await;
            assert_eq!(refusal(&response), ("BAD_INPUT".into(), field.into()), "{arguments}");
            assert!(response.errors[0].message.contains(remedy), "{:?}", response.errors);
        }
    }
    let costly: String = (0..30).map(|number| format!("a{number}: timings {{ isCut }} ")).collect();
    assert!(!stage.execute(Grant::Owner, &format!("{{ {costly} }}")).await.errors.is_empty());
}
