//! Files of advertisers: what is shown, that it is what is applied, and what a crash costs.

use std::fmt::Write as _;

use futures_util::StreamExt as _;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::world::World;

const PATH: &str = "/api/v1/reconciliations";

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn upload(world: &World, server: &Server, query: &str, file: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = world.client.post(server.url(&format!("{PATH}?{query}"))).bearer_auth(&world.api_key);
    request.header("content-type", "text/csv").body(file)
}

async fn apply(world: &World, server: &Server, plan: &Value) -> (u16, Value) {
    let url = server.url(&format!("{PATH}/{}/apply", plan.as_str().unwrap()));
    answer(world.client.post(url).bearer_auth(&world.api_key)).await
}

/// Line and result of every row that was shown.
fn results(shown: &Value) -> Vec<(u64, String)> {
    let rows = shown["rows"].as_array().unwrap().iter();
    rows.map(|row| (row["line"].as_u64().unwrap_or(0), row["result"].as_str().unwrap().to_owned())).collect()
}

#[actix_web::test]
async fn every_difference_is_shown_and_exactly_that_is_applied() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let other = world.click(&server, world.fixed.1).await;
    for (request, status) in [("same", "hold"), ("paid", "hold"), ("closed", "rejected"), ("absent", "hold")]
    {
        let report = format!("click_id={click}&request_id={request}&action=sale&status={status}");
        assert_eq!(world.report(&server, &report).await.0, 200);
    }
    let file = format!(
        "order_id;status;click_id;goal;sum\n\
         same;;;;\n\
         paid;approved;;;12.50\n\
         closed;approved;;;\n\
         fresh;hold;{other};sale;\n\
         strange;teleported;{other};sale;\n\
         broken;hold;;;\n\
         comma;hold;{other};sale;1,5\n\
         paid;rejected;;;\n"
    );
    let period = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    let (status, shown) = answer(upload(&world, &server, period, file.clone())).await;
    assert_eq!(status, 200, "{shown}");
    let expected = [
        (3, "change"),
        (4, "conflict"),
        (5, "new"),
        (6, "quarantine"),
        (7, "error"),
        (8, "error"),
        (9, "error"),
        (0, "absent"),
    ];
    assert_eq!(results(&shown), expected.map(|(line, result)| (line, result.to_owned())));
    assert_eq!(shown["totals"]["unchanged"], 1);
    let rows = &shown["rows"];
    assert_eq!(
        rows[0]["changes"],
        json!([{"field": "status", "from": "hold", "to": "approved"}, {"field": "price", "from": null, "to": "12.5"}])
    );
    assert_eq!(rows[1]["code"], "transition");
    let missing: Vec<_> = rows[4]["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert!(missing.contains(&&json!("click_id")) && missing.contains(&&json!("action")), "{rows}");
    assert_eq!(rows[5]["errors"][0]["code"], "decimal_comma");
    assert!(rows[6]["errors"][0]["message"].as_str().unwrap().contains("line 3"), "{rows}");
    assert_eq!(rows[7]["request_id"], "absent");
    assert_eq!(
        world.count("SELECT count(*) FROM conversions WHERE status = 'approved'").await,
        0,
        "only shown"
    );

    let plan = &shown["reconciliation_id"];
    let (status, applied) = apply(&world, &server, plan).await;
    assert_eq!(status, 200);
    assert_eq!(applied["applied"], json!({"accepted": 2, "quarantined": 1}));
    assert_eq!(applied["remaining"], 0);
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE status = 'approved'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 5);
    let changes = world.count("SELECT count(*) FROM conversion_history").await;

    // Applying again, and the same file again: nothing but what is the same already.
    assert_eq!(apply(&world, &server, plan).await.1["applied"], applied["applied"]);
    let (_, again) = answer(upload(&world, &server, "mode=apply", file)).await;
    assert_eq!(
        (&again["totals"]["unchanged"], &again["totals"]["change"]),
        (&json!(3), &json!(0)),
        "{again}"
    );
    assert_eq!(world.count("SELECT count(*) FROM conversion_history").await, changes);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE entity = 'reconciliation'").await, 2);
}

#[actix_web::test]
async fn a_row_that_would_do_something_else_by_now_is_left_alone() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = |status: &str| format!("click_id={click}&request_id=r&action=sale&status={status}");
    world.report(&server, &report("hold")).await;
    let (_, shown) = answer(upload(&world, &server, "", "request_id,status\nr,approved\n")).await;
    assert_eq!(results(&shown), [(2, "change".to_owned())]);
    world.report(&server, &report("rejected")).await;

    let (_, applied) = apply(&world, &server, &shown["reconciliation_id"]).await;
    assert_eq!((&applied["applied"], &applied["remaining"]), (&json!({"changed_since": 1}), &json!(0)));
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE status = 'rejected'").await, 1);
}

#[actix_web::test]
async fn what_a_crash_interrupts_goes_on() {
    let world = World::new().await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let mut file = "request_id,click_id,action,status\n".to_owned();
    for number in 0..3_000 {
        writeln!(file, "r{number},{click},sale,hold").unwrap();
    }
    let (_, shown) = answer(upload(&world, &server, "", file)).await;
    assert_eq!(shown["totals"]["new"], 3_000, "{shown}");
    let plan = shown["reconciliation_id"].clone();

    let url = server.url(&format!("{PATH}/{}/apply", plan.as_str().unwrap()));
    let applying = tokio::spawn(world.client.post(url).bearer_auth(&world.api_key).send());
    crate::support::eventually("the first batch is in", || async {
        (world.count("SELECT count(*) FROM conversions").await > 0).then_some(())
    })
    .await;
    server.kill();
    let _ = applying.await.unwrap();
    server.restart().await;
    let mut left = 1;
    while left > 0 {
        let (status, applied) = apply(&world, &server, &plan).await;
        assert_eq!(status, 200, "{applied}");
        left = applied["remaining"].as_u64().unwrap();
    }
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 3_000);
    assert_eq!(world.count("SELECT count(*) FROM conversion_history").await, 3_000, "each once");
}

/// The most memory a process has had so far, in bytes.
fn peak_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[actix_web::test]
async fn a_file_takes_no_more_memory_the_longer_it_is() {
    const ROWS: usize = 20_000;
    const ROW_BYTES: usize = 4 * 1024;
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let chunk = |from: usize| {
        let mut rows = String::new();
        for number in from..from + 100 {
            writeln!(rows, "r{number},hold,{}", "x".repeat(ROW_BYTES)).unwrap();
        }
        Ok::<_, std::io::Error>(rows)
    };
    let body = |chunks: usize| {
        let header = futures_util::stream::iter([Ok("request_id,status,comment\n".to_owned())]);
        let rows = futures_util::stream::iter((0..chunks).map(move |number| chunk(number * 100)));
        reqwest::Body::wrap_stream(header.chain(rows))
    };
    // What every upload takes, a few chunks of rows at their various stages, is there after the first.
    assert_eq!(answer(upload(&world, &server, "", body(50))).await.0, 200);
    let before = peak_memory(&server);
    let (status, shown) = answer(upload(&world, &server, "", body(ROWS / 100))).await;
    assert_eq!((status, &shown["totals"]["error"]), (200, &json!(ROWS)), "{}", shown["totals"]);
    let grown = peak_memory(&server) - before;
    assert!(grown < 32 * 1024 * 1024, "a file of {} bytes took {grown} more", ROWS * ROW_BYTES);
}

#[actix_web::test]
async fn a_form_other_encodings_and_absurd_files() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let form = "--b\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\nx\r\n--b\r\ncontent-disposition: \
                form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\nrequest_id,status\nr,hold\n\r\n--b--\r\n";
    let request = world.client.post(server.url(PATH)).bearer_auth(&world.api_key);
    let (status, shown) =
        answer(request.header("content-type", "multipart/form-data; boundary=b").body(form)).await;
    assert_eq!((status, &shown["totals"]["error"]), (200, &json!(1)), "{shown}");

    let cyrillic = b"request_id,comment\nr,\xe2\xee\xe7\xe2\xf0\xe0\xf2\n".to_vec();
    let (_, shown) = answer(upload(&world, &server, "", cyrillic.clone())).await;
    assert_eq!(shown["rows"][0]["errors"][0]["code"], "invalid_encoding");
    let (_, shown) = answer(upload(&world, &server, "encoding=windows-1251", cyrillic)).await;
    assert_ne!(shown["rows"][0]["errors"][0]["code"], "invalid_encoding");

    for (query, file, code, field) in [
        ("", "", 422, "file"),
        ("", "a,b\n1,2\n", 422, "request_id"),
        ("mode=now", "request_id\n", 400, "mode"),
        ("encoding=klingon", "request_id\n", 400, "encoding"),
        ("from=2025-01-01T00:00:00Z", "request_id\n", 400, "to"),
        ("from=yesterday&to=2025-01-01T00:00:00Z", "request_id\n", 400, "from"),
    ] {
        let (status, body) = answer(upload(&world, &server, query, file)).await;
        assert_eq!((status, &body["errors"][0]["field"]), (code, &json!(field)), "{query}: {body}");
    }
    let nul = "request_id,status,comment,x\0y\nr,hold,a,b\n";
    assert_eq!(answer(upload(&world, &server, "", nul)).await.0, 422);
    let (status, shown) =
        answer(upload(&world, &server, "", "request_id,status,comment\nr\0,hold,a\0b\n")).await;
    assert_eq!((status, &shown["totals"]["error"]), (200, &json!(1)), "{shown}");
    assert_eq!(world.count("SELECT count(*) FROM reconciliations WHERE state = 'reading'").await, 0);
}

#[actix_web::test]
async fn anothers_file_does_not_exist() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let (_, shown) = answer(upload(&world, &server, "", "request_id,status\nr,hold\n")).await;
    let url = server.url(&format!("{PATH}/{}", shown["reconciliation_id"].as_str().unwrap()));
    let ask = async |query: &str| world.graphql(&server, &world.owner_token, query).await;
    let other = ask(r#"mutation { createAdvertiser(input: {name: "Other"}) { advertiserId } }"#).await
        ["createAdvertiser"]["advertiserId"]
        .clone();
    let key =
        ask(&format!("mutation {{ createApiKey(input: {{advertiserId: {other}}}) {{ secret }} }}")).await;
    let key = key["createApiKey"]["secret"].as_str().unwrap();
    let token = ask(&format!(
        "mutation {{ createToken(input: {{role: PARTNER, partnerId: \"{}\"}}) {{ secret }} }}",
        world.partner
    ))
    .await;
    let partner = token["createToken"]["secret"].as_str().unwrap();

    let status = async |url: &str, secret: &str| answer(world.client.get(url).bearer_auth(secret)).await.0;
    assert_eq!(status(&url, &world.api_key).await, 200);
    assert_eq!(status(&url, key).await, 404);
    assert_eq!(status(&url, partner).await, 403);
    assert_eq!(status(&url, "rk_nobody").await, 401);
    assert_eq!(status(&url, &world.owner_token).await, 400, "an owner says whose");
    let advertiser = shown["advertiser_id"].as_str().unwrap();
    assert_eq!(status(&format!("{url}?advertiser_id={advertiser}"), &world.owner_token).await, 200);
    assert_eq!(
        status(&format!("{url}?advertiser_id={}", other.as_str().unwrap()), &world.owner_token).await,
        404
    );
}
