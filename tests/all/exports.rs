//! Logs as files: what is in them, who gets which rows, how large they may be, and how they end.

use std::io::Read as _;
use std::process::Command;

use chrono::Utc;
use flate2::read::GzDecoder;
use futures_util::StreamExt as _;
use reqwest::{Client, Response};
use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::event_log::EventLog;
use ricochet::event_log::reader::export::Dataset;
use ricochet::event_log::rows::{AttemptRow, ClickRow, InboundRow, LogRow, decode, encode};
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::tokens;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::graphql::rows::{
    StoredConversion, at, attempt, click, conversion, id, inbound, store, store_network,
};
use crate::support::clickhouse::ClickHouseUser;
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::{Server, client};
use crate::tail::peak_memory;

struct Stage {
    databases: Databases,
    server: Server,
    client: Client,
    token: String,
}

impl Stage {
    async fn on(databases: Databases, settings: &[(&str, &str)]) -> Self {
        store_network(&databases.pool).await;
        let server = Server::start_with(&databases, settings).await;
        let token = tokens::create(&databases.pool, Grant::Bi(Scope::Everything), "").await.unwrap().secret;
        Self { databases, server, client: client(), token }
    }

    async fn new() -> Self {
        Self::on(Databases::shared().await, &[("RICOCHET_REFUSALS_PER_SECOND", "0")]).await
    }

    async fn ask(&self, path: &str, token: &str) -> Response {
        let url = self.server.url(&format!("/api/v1/export/{path}"));
        self.client.get(url).bearer_auth(token).send().await.unwrap()
    }

    async fn file(&self, path: &str) -> String {
        let answer = self.ask(path, &self.token).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    async fn rows(&self, path: &str, token: &str) -> Vec<Value> {
        let answer = self.ask(path, token).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn refusal(&self, path: &str, token: &str) -> (u16, Vec<(String, String)>) {
        let answer = self.ask(path, token).await;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
        let errors = body["errors"].as_array().unwrap();
        (status, errors.iter().map(|error| (text(error, "field"), text(error, "code"))).collect())
    }
}

async fn log_rows<R: LogRow>(log: &EventLog, rows: impl IntoIterator<Item = R>) {
    let batch = encode(rows).unwrap();
    log.insert(batch.log, Uuid::new_v4(), decode(&batch.payload).unwrap()).await.unwrap();
}

fn texts(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn every_field_is_there_and_filters_mean_what_they_mean_in_graphql() {
    let stage = Stage::new().await;
    let other = AttemptRow {
        outcome: "failed",
        error_kind: "timeout",
        response_code: 0,
        first_byte_us: 0,
        offer_id: id(2),
        lead_id: None,
        amount: None,
        ..attempt("other", at(1))
    };
    let test = AttemptRow { is_test: true, ..attempt("test", at(2)) };
    let first = attempt("first", at(0));
    log_rows(&stage.databases.log, [test, other.clone(), first.clone()]).await;

    let rows = stage.rows("postback-log?format=ndjson", &stage.token).await;
    assert_eq!(texts(&rows, "txid"), ["first", "other"], "oldest first, without tests");
    let row = &rows[0];
    for (name, expected) in [
        ("attempt_id", json!(first.attempt_id)),
        ("lead_id", json!(first.lead_id)),
        ("event", json!("sale")),
        ("amount", json!("25")),
        ("currency", json!("USD")),
        ("url", json!("http://tracker.example/postback?cid=1")),
        ("response_code", json!(200)),
        ("started_at", json!("2026-03-01T12:00:00.000000Z")),
        ("total_us", json!(21_000)),
        ("is_test", json!(false)),
    ] {
        assert_eq!(row[name], expected, "{name}");
    }
    assert_eq!(row.as_object().unwrap().len(), 40);
    let row = &rows[1];
    let empty = ["lead_id", "amount", "response_code", "first_byte_us"];
    assert!(empty.iter().all(|name| row[*name].is_null()), "{row}");

    for (query, expected) in [
        ("outcomes=FAILED,RETRYING", vec!["other"]),
        ("outcomes=failed&outcomes=delivered", vec!["first", "other"]),
        ("offer_ids=00000000-0000-0000-0000-000000000002", vec!["other"]),
        ("offerIds=00000000-0000-0000-0000-000000000001", vec!["first"]),
        ("include_tests=true", vec!["first", "other", "test"]),
        ("from=2026-03-01T12:00:01Z", vec!["other"]),
        ("to=2026-03-01T12:00:01Z", vec!["first"]),
        ("txid=other&error_kinds=timeout", vec!["other"]),
        ("response_codes=404", vec![]),
        (
            "statuses=approved&events=sale&partner_ids=00000000-0000-0000-0000-000000000001",
            vec!["first", "other"],
        ),
    ] {
        let rows = stage.rows(&format!("postback-log?format=ndjson&{query}"), &stage.token).await;
        assert_eq!(texts(&rows, "txid"), expected, "{query}");
    }
    let answer = stage.ask("postback-log?count=1&include_tests=1", &stage.token).await;
    assert_eq!(answer.headers()["x-ricochet-rows"], "3");
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"postback-log.csv\"");
}

/// Each with its words in an address and in GraphQL, and what both find.
type Case = (&'static str, &'static str, &'static [&'static str]);

#[actix_web::test]
async fn every_filter_finds_what_it_finds_in_graphql() {
    let stage = Stage::new().await;
    let log = &stage.databases.log;
    let slow = AttemptRow { attempt: 3, total_us: 90_000, link_id: id(2), ..attempt("slow", at(1)) };
    let other = AttemptRow {
        action: "Deposit, first".into(),
        country: "US".into(),
        device: "tablet".into(),
        click_id: id(77),
        ..attempt("other", at(2))
    };
    let test = AttemptRow { is_test: true, ..attempt("test", at(3)) };
    log_rows(log, [attempt("plain", at(0)), slow, other, test]).await;
    let refused = InboundRow {
        http_status: 422,
        reason_code: "unknown_click",
        source_ip: "192.0.2.99".into(),
        door: "pixel",
        integration_id: Some(id(5)),
        ..inbound("refused", at(1))
    };
    log_rows(log, [inbound("good", at(0)), refused]).await;
    let bot = ClickRow {
        device: "bot",
        country: "US",
        link_id: id(2),
        click_id: id(78),
        partner_clickid: "bots-own",
        ..click("bot", at(1))
    };
    log_rows(log, [click("person", at(0)), bot]).await;
    let approved = StoredConversion {
        status: "approved",
        customer_id: Some("c-1".into()),
        click_id: id(79),
        offer_id: id(2),
        ..conversion("approved", at(1))
    };
    let test = StoredConversion { is_test: true, ..conversion("test", at(2)) };
    store(&stage.databases.pool, [conversion("held", at(0)), approved, test]).await;

    let lists: [(&str, &str, &str, &str, &[Case]); 4] = [
        (
            "postback-log",
            "postbackLog",
            "txid",
            "txid",
            &[
                ("link_ids=ID2", "linkIds: [ID2]", &["slow"]),
                ("actions=sale", "actions: [\"sale\"]", &["plain", "slow"]),
                ("countries=us,at", "countries: [\"us\", \"AT\"]", &["other"]),
                ("devices=TABLET", "devices: [TABLET]", &["other"]),
                ("search=slow", "search: \"slow\"", &["slow"]),
                ("search=ID77", "search: ID77", &["other"]),
                ("attempt_at_most=2", "attemptAtMost: 2", &["plain", "other"]),
                ("total_us_at_most=21000", "totalUsAtMost: 21000", &["plain", "other"]),
                ("is_test=true", "isTest: true", &["test"]),
            ],
        ),
        (
            "inbound-log",
            "inboundLog",
            "request_id",
            "requestId",
            &[
                ("http_statuses=422", "httpStatuses: [422]", &["refused"]),
                ("reason_codes=unknown_click", "reasonCodes: [\"unknown_click\"]", &["refused"]),
                ("source_ip=192.0.2.99", "sourceIp: \"192.0.2.99\"", &["refused"]),
                ("doors=pixel,csv", "doors: [\"pixel\", \"csv\"]", &["refused"]),
                ("integration_ids=ID5", "integrationIds: [ID5]", &["refused"]),
                ("search=good", "search: \"good\"", &["good"]),
            ],
        ),
        (
            "clicks",
            "clicks",
            "user_agent",
            "userAgent",
            &[
                ("is_bot=true", "isBot: true", &["bot"]),
                ("is_bot=false", "isBot: false", &["person"]),
                ("devices=mobile", "devices: [MOBILE]", &["person"]),
                ("countries=US&link_ids=ID2", "countries: [\"US\"], linkIds: [ID2]", &["bot"]),
                ("search=ID78", "search: ID78", &["bot"]),
                ("sub1=tiktok&sub5=spring", "sub1: \"tiktok\", sub5: \"spring\"", &["person", "bot"]),
                ("sub2=other", "sub2: \"other\"", &[]),
                ("sub3=3&sub4=4", "sub3: \"3\", sub4: \"4\"", &[]),
                ("partner_clickid=bots-own", "partnerClickid: \"bots-own\"", &["bot"]),
            ],
        ),
        (
            "conversions",
            "conversions",
            "request_id",
            "requestId",
            &[
                ("", "", &["held", "approved", "test"]),
                ("is_test=false", "isTest: false", &["held", "approved"]),
                ("statuses=APPROVED,rejected", "statuses: [APPROVED, REJECTED]", &["approved"]),
                ("offer_ids=ID2", "offerIds: [ID2]", &["approved"]),
                ("link_ids=ID1", "linkIds: [ID1]", &["held", "approved", "test"]),
                (
                    "actions=sale,other&request_id=held",
                    "actions: [\"sale\", \"other\"], requestId: \"held\"",
                    &["held"],
                ),
                ("customer_id=c-1", "customerId: \"c-1\"", &["approved"]),
                ("search=c-1", "search: \"c-1\"", &["approved"]),
                ("search=ID79", "search: ID79", &["approved"]),
                ("click_id=ID79", "clickId: ID79", &["approved"]),
                (
                    "from=2026-03-01T12:00:01Z&to=2026-03-01T12:00:02Z",
                    "from: \"2026-03-01T12:00:01Z\", to: \"2026-03-01T12:00:02Z\"",
                    &["approved"],
                ),
            ],
        ),
    ];
    let with_ids = |text: &str, quote: &str| {
        let ids = [(79, "ID79"), (78, "ID78"), (77, "ID77"), (5, "ID5"), (2, "ID2"), (1, "ID1")];
        ids.iter().fold(text.to_owned(), |text, (number, name)| {
            text.replace(name, &format!("{quote}{}{quote}", id(*number)))
        })
    };
    for (dataset, list, column, field, cases) in lists {
        for (words, filter, expected) in cases {
            let path = with_ids(&format!("{dataset}?format=ndjson&{words}"), "");
            let rows = stage.rows(&path, &stage.token).await;
            assert_eq!(texts(&rows, column), *expected, "{path}");
            let query =
                with_ids(&format!("{{ {list}(filter: {{ {filter} }}) {{ nodes {{ {field} }} }} }}"), "\"");
            let asked = stage.client.post(stage.server.url("/graphql")).bearer_auth(&stage.token);
            let answer: Value =
                asked.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap();
            let mut found = texts(answer["data"][list]["nodes"].as_array().expect(&query), field);
            found.reverse();
            assert_eq!(found, *expected, "{query}");
        }
    }
}

#[actix_web::test]
async fn conversions_are_exported_as_they_stand() {
    let stage = Stage::new().await;
    let of_second =
        StoredConversion { advertiser_id: id(2), partner_id: id(2), ..conversion("=1+1", at(-1)) };
    store(&stage.databases.pool, [of_second]).await;
    // More than are read at once.
    let many = "INSERT INTO conversions (lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action,
            action_kind, click_id, request_id, status, amount, currency, payout, payout_currency, comment, fields,
            is_test, is_once_per_click, created_at, updated_at, occurred_at)
        SELECT gen_random_uuid(), $1, $1, $1, $1, $1, 'sale', 'sale', gen_random_uuid(), 'r' || number, 'hold', 25.00,
            'USD', 12.5, 'USD', '', '{}', false, true, time, time, time
        FROM generate_series(0, 1499) AS number, LATERAL (SELECT $2::timestamptz + number * interval '1 ms') AS at(time)";
    stage.databases.pool.get().await.unwrap().execute(many, &[&id(1), &at(0)]).await.unwrap();

    let answer = stage.ask("conversions?count=1", &stage.token).await;
    assert_eq!(answer.headers()["x-ricochet-rows"], "1501");
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"conversions.csv\"");
    let file = answer.text().await.unwrap();
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let names = reader.headers().unwrap().clone();
    let place = |name: &str| names.iter().position(|one| one == name).unwrap();
    let requests: Vec<String> =
        reader.records().map(|record| record.unwrap()[place("request_id")].to_owned()).collect();
    assert_eq!((names.len(), requests.len()), (18, 1_501));
    assert_eq!((requests[0].as_str(), requests[1_500].as_str()), ("'=1+1", "r1499"), "oldest first");

    for (grant, rows) in
        [(Grant::Advertiser(AdvertiserId(id(1))), 1_500), (Grant::Bi(Scope::Partner(PartnerId(id(2)))), 1)]
    {
        let token = tokens::create(&stage.databases.pool, grant, "").await.unwrap().secret;
        let seen = stage.rows("conversions?format=ndjson", &token).await;
        assert_eq!(seen.len(), rows, "{grant:?}");
        let row = &seen[0];
        let payout = grant.scope().sees_payouts().then_some(json!("12.5"));
        assert_eq!((row["amount"].as_str(), row.get("payout").cloned()), (Some("25"), payout), "{grant:?}");
    }
}

#[actix_web::test]
async fn conversions_in_parquet_are_those_in_ndjson() {
    let stage = Stage::new().await;
    // Several row groups, the last of them not full; texts of every length, and what there is none of.
    let many = "INSERT INTO conversions (lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action,
            action_kind, click_id, request_id, customer_id, status, amount, currency, payout, payout_currency, comment,
            fields, is_test, is_once_per_click, created_at, updated_at, occurred_at)
        SELECT gen_random_uuid(), $1, $1, $1, $1, $1, 'sale', 'sale', gen_random_uuid(), 'r' || number,
            CASE WHEN number % 3 = 0 THEN 'c' || number END, (ARRAY['hold', 'approved', 'rejected'])[1 + number % 3],
            CASE WHEN number % 5 > 0 THEN number / 100.0 END, CASE WHEN number % 5 > 0 THEN 'USD' END, 12.345678, 'EUR',
            repeat('é=', number % 100), '{}', number % 7 = 0, true, time, time, time
        FROM generate_series(1, 45001) AS number,
            LATERAL (SELECT $2::timestamptz + number * interval '1001 us') AS at(time)";
    stage.databases.pool.get().await.unwrap().execute(many, &[&id(1), &at(0)]).await.unwrap();
    let advertiser = Grant::Advertiser(AdvertiserId(id(1)));
    let advertiser = tokens::create(&stage.databases.pool, advertiser, "").await.unwrap().secret;
    let clickhouse = ClickHouseUser::of(&stage.databases.clickhouse_url);
    for (table, token, filter) in [
        ("of_all", &stage.token, ""),
        ("of_advertiser", &advertiser, "&is_test=true"),
        ("of_none", &advertiser, "&request_id=nobodys"),
    ] {
        let expected = stage.rows(&format!("conversions?format=ndjson{filter}"), token).await;
        let answer = stage.ask(&format!("conversions?format=parquet{filter}"), token).await;
        let file = answer.bytes().await.unwrap();
        assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
        // Its own schema is the table's; a file without rows has one too.
        let names: Vec<&str> = Dataset::Conversions
            .columns()
            .iter()
            .map(|column| column.name)
            .filter(|name| token != &advertiser || !name.starts_with("payout"))
            .collect();
        let column = |name: &&str| match *name {
            "created_at" | "updated_at" => format!("{name} DateTime64(6, 'UTC')"),
            "amount" | "payout" => format!("{name} Nullable(Decimal(38, 6))"),
            "is_test" => format!("{name} Bool"),
            name => format!("{name} Nullable(String)"),
        };
        let columns: Vec<String> = names.iter().map(column).collect();
        clickhouse.text(&format!("CREATE TABLE {table} ({}) ENGINE = Memory", columns.join(", "))).await;
        let (status, refusal) = clickhouse.send(&format!("INSERT INTO {table} FORMAT Parquet"), file).await;
        assert_eq!(status, 200, "{refusal}");
        let shown = |name: &&str| match *name {
            "created_at" | "updated_at" => {
                format!("formatDateTime({table}.{name}, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC') AS {name}")
            }
            "amount" | "payout" => format!("toString({table}.{name}) AS {name}"),
            name => name.to_owned(),
        };
        let shown: Vec<String> = names.iter().map(shown).collect();
        let order = format!("ORDER BY {table}.created_at, {table}.lead_id");
        let found = clickhouse.rows(&format!("SELECT {} FROM {table} {order}", shown.join(", "))).await;
        assert_eq!(found.len(), expected.len(), "{table}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{table}");
        }
    }
}

#[actix_web::test]
async fn every_dataset_has_a_file_even_an_empty_one() {
    let stage = Stage::new().await;
    let request = InboundRow { request_id: "r".into(), verdict: "rejected", ..inbound("r", at(0)) };
    log_rows(&stage.databases.log, [request]).await;
    let rows = stage.rows("inbound-log?format=ndjson&verdicts=REJECTED", &stage.token).await;
    assert_eq!((&rows[0]["request_id"], &rows[0]["verdict"]), (&json!("r"), &json!("rejected")));
    assert!(stage.rows("inbound-log?format=ndjson&verdicts=accepted", &stage.token).await.is_empty());
    for (dataset, columns) in
        [("postback-log", 40), ("inbound-log", 18), ("clicks", 18), ("conversion-events", 22)]
    {
        let file = stage.file(&format!("{dataset}?from=2031-01-01T00:00:00Z")).await;
        assert_eq!((file.lines().count(), file.split(',').count()), (1, columns), "{file}");
        assert!(stage.file(&format!("{dataset}?from=2031-01-01T00:00:00Z&format=ndjson")).await.is_empty());
        let answer =
            stage.ask(&format!("{dataset}?from=2031-01-01T00:00:00Z&format=parquet"), &stage.token).await;
        assert!(answer.bytes().await.unwrap().starts_with(b"PAR1"));
    }
}

#[actix_web::test]
async fn clicks_and_events_that_happened_are_exported() {
    let world = crate::support::world::World::new().await;
    let server = Server::start(&world.databases).await;
    let url = server.url(&format!("/click/{}?format=json&sub1=a&clickid=theirs&utm_source=x", world.fixed.1));
    let click: Value = world.client.get(url).send().await.unwrap().json().await.unwrap();
    let click = click["click_id"].as_str().unwrap();
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=approved")).await;
    let rows = async |dataset: &str, token: &str| {
        let url = server.url(&format!("/api/v1/export/{dataset}?format=ndjson"));
        let file = world.client.get(url).bearer_auth(token).send().await.unwrap().text().await.unwrap();
        file.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let events = eventually("the events are in the log", || async {
        Some(rows("conversion-events", &world.owner_token).await).filter(|rows| rows.len() == 2)
    })
    .await;
    let mut kinds = texts(&events, "event");
    kinds.sort();
    assert_eq!(kinds, ["approve", "sale"]);
    let clicks = eventually("the click is in the log", || async {
        Some(rows("clicks", &world.owner_token).await).filter(|rows| !rows.is_empty())
    })
    .await;
    assert_eq!((&clicks[0]["sub1"], &clicks[0]["partner_clickid"]), (&json!("a"), &json!("theirs")));
    assert!(clicks[0]["parameters"].as_str().unwrap().contains("utm_source"), "{}", clicks[0]);

    let db = world.databases.pool.get().await.unwrap();
    let advertiser: Uuid = db.query_one("SELECT advertiser_id FROM advertisers", &[]).await.unwrap().get(0);
    let grant = Grant::Advertiser(AdvertiserId(advertiser));
    let token = tokens::create(&world.databases.pool, grant, "").await.unwrap().secret;
    let seen = &rows("clicks", &token).await[0];
    assert_eq!(seen["click_id"], clicks[0]["click_id"]);
    // The visitor it meets on its own site; how the partner runs its traffic it is not told.
    assert_eq!((&seen["ip"], &seen["user_agent"]), (&clicks[0]["ip"], &clicks[0]["user_agent"]));
    let private = ["partner_clickid", "sub1", "sub2", "sub3", "sub4", "sub5", "referrer", "parameters"];
    for name in private {
        assert_eq!((seen.get(name), clicks[0].get(name).is_some()), (None, true), "{name}");
    }
    for name in &private[..6] {
        let url = server.url(&format!("/api/v1/export/clicks?{name}=a"));
        let refused = world.client.get(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{name}");
        let body: Value = refused.json().await.unwrap();
        assert_eq!(
            (&body["errors"][0]["field"], &body["errors"][0]["code"]),
            (&json!(name), &json!("forbidden"))
        );
    }
}

#[actix_web::test]
async fn each_role_exports_what_it_sees() {
    let stage = Stage::new().await;
    let rows = ["partner", "advertiser", "platform"].into_iter().flat_map(|owner| {
        [(1, 1), (1, 2), (2, 1)].map(|(advertiser, partner)| AttemptRow {
            owner,
            advertiser_id: id(advertiser),
            partner_id: id(partner),
            ..attempt(&format!("{owner} a{advertiser}p{partner}"), at(0))
        })
    });
    log_rows(&stage.databases.log, rows).await;
    let requests = [1, 2].map(|advertiser| InboundRow {
        advertiser_id: Some(id(advertiser)),
        ..inbound(&advertiser.to_string(), at(0))
    });
    log_rows(&stage.databases.log, requests).await;
    for (grant, attempts, requests) in [
        (Grant::Owner, 9, 2),
        (Grant::Bi(Scope::Everything), 9, 2),
        (Grant::Partner(PartnerId(id(1))), 2, 0),
        (Grant::Bi(Scope::Partner(PartnerId(id(2)))), 1, 0),
        (Grant::Advertiser(AdvertiserId(id(1))), 2, 1),
        (Grant::Bi(Scope::Advertiser(AdvertiserId(id(2)))), 1, 1),
    ] {
        let token = tokens::create(&stage.databases.pool, grant, "").await.unwrap().secret;
        let seen = stage.rows("postback-log?format=ndjson", &token).await;
        assert_eq!(seen.len(), attempts, "{grant:?}: {:?}", texts(&seen, "txid"));
        let sees_payouts = grant.scope().sees_payouts();
        assert!(seen.iter().all(|row| row.get("payout").is_some() == sees_payouts), "{grant:?}");
        assert_eq!(stage.rows("inbound-log?format=ndjson", &token).await.len(), requests, "{grant:?}");
        let counted = stage.ask("postback-log?count=1", &token).await;
        assert_eq!(counted.headers()["x-ricochet-rows"], attempts.to_string().as_str());
        // Naming another's does not make it visible.
        let foreign = "postback-log?format=ndjson&advertiser_ids=00000000-0000-0000-0000-000000000009";
        assert!(stage.rows(foreign, &token).await.is_empty());
    }
}

#[actix_web::test]
async fn a_spreadsheet_runs_none_of_it() {
    let stage = Stage::new().await;
    let bodies = ["=1+1", "+49 30 1", "-12.5", "-x", "@SUM(A1)", "\t=1", "a,\"b\"\n=c", "", "+7"];
    let rows = bodies.iter().enumerate().map(|(number, body)| AttemptRow {
        response_body: (*body).to_owned(),
        ..attempt("x", at(i64::try_from(number).unwrap()))
    });
    log_rows(&stage.databases.log, rows).await;
    let file = stage.file("postback-log?format=csv").await;
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let place = reader.headers().unwrap().iter().position(|name| name == "response_body").unwrap();
    let seen: Vec<String> = reader.records().map(|record| record.unwrap()[place].to_owned()).collect();
    assert_eq!(seen, ["'=1+1", "'+49 30 1", "-12.5", "'-x", "'@SUM(A1)", "'\t=1", "a,\"b\"\n=c", "", "+7"]);
    let raw = stage.rows("postback-log?format=ndjson", &stage.token).await;
    assert_eq!(raw[0]["response_body"], "=1+1", "only where a spreadsheet would");
}

#[actix_web::test]
async fn the_formats_hold_the_same() {
    let stage = Stage::new().await;
    log_rows(&stage.databases.log, (0..500).map(|n| attempt(&format!("t{n}"), at(n)))).await;
    let rows = stage.rows("postback-log?format=ndjson", &stage.token).await;
    assert_eq!(rows.len(), 500);

    let url = stage.server.url("/api/v1/export/postback-log?format=ndjson");
    let request = stage.client.get(url).bearer_auth(&stage.token).header("accept-encoding", "br, gzip;q=0.5");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let mut plain = String::new();
    GzDecoder::new(&answer.bytes().await.unwrap()[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain.lines().count(), 500);
    assert_eq!(serde_json::from_str::<Value>(plain.lines().next().unwrap()).unwrap(), rows[0]);

    // ClickHouse reads the Parquet file back.
    let parquet = stage.ask("postback-log?format=parquet", &stage.token).await.bytes().await.unwrap();
    let log = stage.databases.log.client();
    let table = "CREATE TABLE read_back (txid String, started_at DateTime64(6, 'UTC'), amount Decimal(38, 6), \
                 total_us UInt64, attempt_id String, lead_id Nullable(String)) ENGINE = Memory";
    log.query(table).execute().await.unwrap();
    let mut insert = log
        .insert_formatted_with("INSERT INTO read_back FORMAT Parquet")
        .with_setting("input_format_skip_unknown_fields", "1");
    insert.send(parquet).await.unwrap();
    insert.end().await.unwrap();
    let same = "SELECT count() FROM read_back JOIN attempts ON read_back.attempt_id = toString(attempts.attempt_id) \
                WHERE read_back.started_at = attempts.started_at AND read_back.amount = attempts.amount \
                  AND read_back.txid = attempts.txid AND read_back.total_us = attempts.total_us \
                  AND read_back.lead_id = toString(attempts.lead_id)";
    assert_eq!(log.query(same).fetch_one::<u64>().await.unwrap(), 500);
}

#[actix_web::test]
async fn what_is_wrong_is_told_by_its_name() {
    let stage = Stage::new().await;
    let field = |field: &str, code: &str| vec![(field.to_owned(), code.to_owned())];
    let token = &stage.token;
    assert_eq!(
        stage.refusal("postback-log", "rt_nobody").await,
        (401, field("authorization", "unknown_token"))
    );
    assert_eq!(stage.refusal("everything", token).await, (404, field("dataset", "unknown_dataset")));
    assert_eq!(stage.refusal("clicks?txid=1", token).await, (400, field("txid", "unknown_parameter")));
    let (status, faults) =
        stage.refusal("postback-log?outcomes=paid&from=yesterday&offer_ids=1", token).await;
    let fields: Vec<_> = faults.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!((status, fields), (400, vec!["outcomes", "offer_ids", "from"]));
    let url = stage.server.url("/api/v1/export/clicks");
    assert_eq!(stage.client.post(url).bearer_auth(token).send().await.unwrap().status(), 405);
}

/// Rows made in ClickHouse itself, each of about this many bytes.
async fn fill(log: &EventLog, rows: usize, bytes: usize) {
    let statement = format!(
        "INSERT INTO attempts (attempt_id, owner, event, status, outcome, error_kind, txid, started_at, response_body) \
         SELECT generateUUIDv4(number), 'partner', 'sale', 'approved', 'delivered', 'none', toString(number), \
                toDateTime64('2026-03-01 12:00:00', 6, 'UTC') + INTERVAL number MILLISECOND, \
                substring(repeat(hex(cityHash64(number)), {}), 1, {bytes}) FROM numbers({rows})",
        bytes / 16 + 1
    );
    log.client().query(&statement).with_setting("max_block_size", "8192").execute().await.unwrap();
}

#[actix_web::test]
async fn a_file_of_any_size_takes_no_more_memory() {
    const ROWS: usize = 300_000;
    let stage = Stage::new().await;
    fill(&stage.databases.log, ROWS, 1_000).await;
    let read = async |query: &str| {
        let mut stream = stage.ask(&format!("postback-log?{query}"), &stage.token).await.bytes_stream();
        let (mut lines, mut bytes) = (0, 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            lines += chunk.iter().filter(|byte| **byte == b'\n').count();
            bytes += chunk.len();
        }
        (lines, bytes)
    };
    // What every export takes is there after a small one.
    read("format=ndjson&to=2026-03-01T12:00:05Z").await;
    let before = peak_memory(&stage.server);
    let (lines, bytes) = read("format=ndjson").await;
    assert_eq!(lines, ROWS);
    assert!(bytes > ROWS * 1_500, "{bytes}");
    let grown = peak_memory(&stage.server) - before;
    assert!(grown < 48 * 1024 * 1024, "a file of {bytes} bytes took {grown} more");
}

#[actix_web::test]
async fn a_file_that_breaks_off_never_ends_cleanly() {
    let stage = Stage::on(Databases::own().await, &[]).await;
    fill(&stage.databases.log, 200_000, 2_000).await;
    let begun = async || {
        let mut stream = stage.ask("postback-log?format=csv", &stage.token).await.bytes_stream();
        assert!(stream.next().await.unwrap().is_ok());
        stream
    };
    // ClickHouse says in the middle of its answer that it cannot go on.
    let mut stream = begun().await;
    let kill = "KILL QUERY WHERE query LIKE '%FROM attempts%' AND query NOT LIKE '%KILL QUERY%' ASYNC";
    stage.databases.log.client().query(kill).execute().await.unwrap();
    let mut ended = Ok(());
    while let Some(chunk) = stream.next().await {
        ended = chunk.map(|_| ());
    }
    assert!(ended.is_err(), "the file of a query that was killed ended cleanly");

    // ClickHouse dies.
    let mut stream = begun().await;
    stage.databases.pair.engines.kill_clickhouse().unwrap();
    let mut ended = Ok(());
    while let Some(chunk) = stream.next().await {
        ended = chunk.map(|_| ());
    }
    assert!(ended.is_err(), "the file of a dead ClickHouse ended cleanly");
    assert_eq!(stage.refusal("postback-log", &stage.token).await.0, 503);
}

#[actix_web::test]
async fn places_are_few_and_are_given_back_with_their_query() {
    let stage = Stage::on(Databases::own().await, &[("RICOCHET_EXPORTS", "1")]).await;
    fill(&stage.databases.log, 200_000, 2_000).await;
    let mut stream = stage.ask("postback-log", &stage.token).await.bytes_stream();
    assert!(stream.next().await.unwrap().is_ok());
    let answer = stage.ask("postback-log", &stage.token).await;
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (429, true));
    // The caller goes; its query ends long before its rows do.
    drop(stream);
    eventually("the place is free", || async {
        (stage.ask("clicks", &stage.token).await.status() == 200).then_some(())
    })
    .await;
    eventually("the query has ended", || async {
        let running = "SELECT count() FROM system.processes WHERE query LIKE '%FROM attempts%ORDER BY%' \
                       AND query NOT LIKE '%system.processes%'";
        let running: u64 = stage.databases.log.client().query(running).fetch_one().await.ok()?;
        (running == 0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn the_command_writes_a_whole_file_or_says_so() {
    let stage = Stage::on(Databases::own().await, &[]).await;
    log_rows(&stage.databases.log, (0..300).map(|n| attempt(&format!("t{n}"), Utc::now()))).await;
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ricochet"))
            .arg("export")
            .args(arguments)
            .env_clear()
            .env("RICOCHET_URL", stage.server.url(""))
            .env("RICOCHET_TOKEN", &stage.token)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = run(&["--output", "log.ndjson", "--outcome", "delivered"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("300 rows"), "{err}");
    assert_eq!(std::fs::read_to_string(folder.path().join("log.ndjson")).unwrap().lines().count(), 300);
    let (code, out, _) = run(&["inbound-log", "--output", "-", "--with", "verdicts=rejected"]);
    assert_eq!((code, out.lines().count()), (Some(0), 1));
    let (code, _, err) = run(&["clicks", "--output", "x.csv", "--txid", "1"]);
    assert!(code == Some(1) && err.contains("txid"), "{err}");
    assert!(!folder.path().join("x.csv").exists());

    fill(&stage.databases.log, 200_000, 2_000).await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_ricochet"))
        .args(["export", "--output", "whole.csv"])
        .env_clear()
        .env("RICOCHET_URL", stage.server.url(""))
        .env("RICOCHET_TOKEN", &stage.token)
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    let part = folder.path().join("whole.csv.part");
    eventually("it writes", || async {
        std::fs::metadata(&part).ok().filter(|file| file.len() > 1_000_000).map(|_| ())
    })
    .await;
    stage.databases.pair.engines.kill_clickhouse().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(part.exists() && !folder.path().join("whole.csv").exists());
}
