use futures_util::future::join_all;
use ricochet::domain::access::signature_policy::SignaturePolicy;
use ricochet::store::advertiser_access;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stage::{Stage, WITH_MASTER_KEY, told};
use crate::support::eventually;
use crate::support::server::Server;

/// How many rows of the inbound log have this reason, once it is all in ClickHouse.
async fn logged(stage: &Stage, reason_code: &str) -> u64 {
    stage.world.until_settled().await;
    let query = "SELECT count() FROM inbound_requests WHERE reason_code = ?";
    stage.world.databases.log.client().query(query).bind(reason_code).fetch_one().await.unwrap()
}

#[tokio::test]
async fn guessing_keys_is_slowed_down_and_does_not_fill_the_log() {
    let stage = Stage::new().await;
    let settings = [("RICOCHET_REFUSALS_PER_SECOND", "2")];
    let server = Server::start_with(&stage.world.databases, &settings).await;
    let mut too_many = 0;
    // Many at once, and until it has said so often enough: on a busy machine one after another may be
    // slower than what is allowed.
    for round in 0..200 {
        let guesses = (0..25).map(|guess| {
            let url = server.url(&format!("/rk_{round}_{guess}/s2s?click_id=x"));
            stage.world.client.get(url).send()
        });
        for answer in join_all(guesses).await {
            let answer = answer.unwrap();
            match answer.status().as_u16() {
                401 => {}
                429 => {
                    too_many += 1;
                    let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                    assert!((1..=60).contains(&seconds));
                    let body: Value = answer.json().await.unwrap();
                    assert_eq!(body["errors"][0]["code"], "rate_limited");
                }
                other => panic!("{other}"),
            }
        }
        if too_many > 100 {
            break;
        }
    }
    assert!(too_many > 100, "{too_many}");
    let (status, _, _) = told(stage.world.client.get(server.url(&stage.door()))).await;
    assert_eq!(status, 422, "a good key is not locked out");
    let rows = logged(&stage, "rate_limited").await;
    assert!(rows >= 1 && rows < too_many, "{rows} of {too_many}");
    let counted = stage.world.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let is_count = |line: &&str| {
        line.starts_with("ricochet_inbound_requests_total{") && line.contains(r#"reason="rate_limited""#)
    };
    let line = counted.lines().find(is_count).unwrap();
    assert!(line.ends_with(&format!(" {too_many}")), "{line}");
}

#[tokio::test]
async fn an_advertisers_own_rate_is_kept() {
    let stage = Stage::new().await;
    let db = stage.world.databases.pool.get().await.unwrap();
    advertiser_access::set_rate_limit(&db, stage.advertiser, Some(1)).await.unwrap();
    let server = Server::start(&stage.world.databases).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;
    let mut too_many = 0;
    for number in 0..50 {
        let parameters = format!("click_id={click}&request_id=r-{number}&action=sale&status=hold");
        let (status, body) = stage.world.report(&server, &parameters).await;
        match status {
            200 => {}
            429 => too_many += 1,
            other => panic!("{other}: {body}"),
        }
    }
    assert!(too_many >= 20, "{too_many}");
    advertiser_access::set_rate_limit(&db, stage.advertiser, None).await.unwrap();
    eventually("the new rate is known", async || {
        for number in 0..20 {
            let parameters = format!("click_id={click}&request_id=s-{number}&action=sale&status=hold");
            if stage.world.report(&server, &parameters).await.0 != 200 {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn the_node_and_each_source_have_a_rate() {
    let stage = Stage::new().await;
    for setting in ["RICOCHET_REQUESTS_PER_SECOND", "RICOCHET_SOURCE_REQUESTS_PER_SECOND"] {
        let server = Server::start_with(&stage.world.databases, &[(setting, "1")]).await;
        for path in [format!("/click/{}?format=json", stage.world.fixed.1), stage.door()] {
            let mut statuses = Vec::new();
            for _ in 0..20 {
                let answer = stage.world.client.get(server.url(&path)).send().await.unwrap();
                assert_eq!(answer.status() == 429, answer.headers().contains_key("retry-after"));
                statuses.push(answer.status().as_u16());
            }
            assert!(statuses.contains(&429), "{setting} {path}: {statuses:?}");
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_told_in_our_words() {
    let stage = Stage::new().await;
    let server = Server::start(&stage.world.databases).await;
    let url = server.url(&stage.door());
    let client = &stage.world.client;
    let refused = async |request| {
        let (status, code, _) = told(request).await;
        (status, code.unwrap())
    };
    for bytes in [64 * 1024 + 1, 900 * 1024] {
        let body = format!("comment={}", "x".repeat(bytes));
        assert_eq!(refused(client.post(&url).body(body)).await, (413, "too_large".into()));
    }
    let long = format!("{url}?comment={}", "x".repeat(17 * 1024));
    assert_eq!(refused(client.get(long)).await, (414, "query_too_long".into()));
    let mut many = client.get(&url);
    for number in 0..81 {
        many = many.header(format!("x-{number}"), "1");
    }
    assert_eq!(refused(many).await, (431, "headers_too_large".into()));
    let large = client.get(&url).header("x-large", "x".repeat(33 * 1024));
    assert_eq!(refused(large).await, (431, "headers_too_large".into()));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let json = client.post(&url).header("content-type", "application/json").body(deep);
    assert_eq!(refused(json).await, (400, "nested_value".into()));
    assert_eq!(logged(&stage, "too_large").await, 2);
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down_and_locks_nobody_out() {
    let stage = Stage::new().await;
    let settings = [("RICOCHET_REFUSALS_PER_SECOND", "2")];
    let server = Server::start_with(&stage.world.databases, &settings).await;
    let ask = |path: &str, token: &str| {
        let request = stage.world.client.post(server.url(path)).bearer_auth(token);
        request.json(&serde_json::json!({ "query": "{ __typename }" })).send()
    };
    for path in ["/graphql", "/api/v1/reconciliations"] {
        let mut too_many = 0;
        for guess in 0..100 {
            let answer = ask(path, &format!("rt_{guess}")).await.unwrap();
            match answer.status().as_u16() {
                401 => {}
                429 => {
                    too_many += 1;
                    let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                    assert!((1..=60).contains(&seconds));
                    let body = answer.text().await.unwrap();
                    assert!(body.to_lowercase().contains("rate_limited"), "{body}");
                }
                other => panic!("{other}"),
            }
        }
        assert!(too_many > 50, "{path}: {too_many}");
    }
    let good = ask("/graphql", &stage.world.owner_token).await.unwrap();
    assert_eq!(good.status(), 200, "a good token is not locked out");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let stage = Stage::new().await;
    let settings = [("RICOCHET_BODY_TIMEOUT_S", "1")];
    let server = Server::start_with(&stage.world.databases, &settings).await;
    let token = &stage.world.owner_token;
    for (path, code) in [(stage.door(), "slow_body"), ("/graphql".to_owned(), "took too long")] {
        let connection = TcpStream::connect(server.address).await.unwrap();
        let (mut answer, mut request) = connection.into_split();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 60000\r\n\r\n"
        );
        request.write_all(head.as_bytes()).await.unwrap();
        let trickling = tokio::spawn(async move {
            // Never idle for long, and never through in time.
            while request.write_all(b" ").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        let mut told = String::new();
        let mut piece = [0; 4096];
        while !told.contains(code) {
            let read = answer.read(&mut piece).await.unwrap();
            assert_ne!(read, 0, "{told}");
            told += std::str::from_utf8(&piece[..read]).unwrap();
        }
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
        trickling.abort();
    }
    assert_eq!(logged(&stage, "slow_body").await, 1);
}

#[tokio::test]
async fn keys_and_secrets_reach_no_log() {
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Optional).await;
    let settings = [WITH_MASTER_KEY[0], ("RICOCHET_LOG", "trace"), ("RICOCHET_REFUSALS_PER_SECOND", "0")];
    let server = Server::start_with(&stage.world.databases, &settings).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;
    let key = stage.world.api_key.clone();
    let unknown = key.replace("rk_", "rk_f00d");
    let client = &stage.world.client;

    let mut bodies = String::new();
    for key in [&key, &unknown] {
        let door = server.url(&format!("/{key}/s2s"));
        let good = format!("click_id={click}&request_id=r&action=sale&status=hold&key={key}&token={secret}");
        for request in [
            client.get(format!("{door}?{good}")),
            client.get(format!("{door}?{good}&sig=00")),
            client.get(format!("{door}?status=%ff")),
            client.get(format!("{door}?click_id=nobody")),
            client.get(format!("{door}?comment={}", "x".repeat(17 * 1024))),
            client.post(&door).body("x".repeat(100_000)),
            client.post(&door).header("content-type", "text/csv").body("x"),
            client.post(&door).header("x-ricochet-signature", "t=1,v1=00").body("x"),
            client.put(&door),
            client.get(server.url(&format!("/{key}"))),
            client.get(server.url(&format!("/{key}/s2s/more"))),
            client.get(server.url(&format!("/click/{key}"))),
            client.get(server.url(&format!("/{key}%ff/s2s"))),
            client.get(server.url(&format!("/nowhere?api_key={key}"))),
        ] {
            let answer = request.send().await.unwrap();
            assert!(answer.status().as_u16() < 500, "{}", answer.status());
            bodies += &answer.text().await.unwrap();
        }
    }
    stage.world.until_settled().await;
    bodies += &client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let rows: Vec<String> = stage
        .world
        .databases
        .log
        .client()
        .query("SELECT toString(tuple(*)) FROM inbound_requests")
        .fetch_all()
        .await
        .unwrap();
    assert!(rows.len() >= 15, "{}", rows.len());
    let log = server.log();
    assert!(log.contains("TRACE"), "everything is logged");
    for (place, text) in [("log", &log), ("answers", &bodies), ("inbound log", &rows.join("\n"))] {
        for (name, value) in [("key", &key), ("unknown key", &unknown), ("secret", &secret)] {
            let line = text.lines().find(|line| line.contains(value.as_str()));
            assert_eq!(line, None, "the {name} is in the {place}");
        }
    }
}
