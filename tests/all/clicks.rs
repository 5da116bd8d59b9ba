//! The universal link.

mod composites;
mod countries;
mod retention;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::Row;

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::world::World;

fn location(answer: &Response) -> String {
    assert_eq!(answer.status(), 302);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

async fn click_of(world: &World, click_id: &str) -> Row {
    let db = world.databases.pool.get().await.unwrap();
    db.query_one("SELECT * FROM clicks WHERE click_id = $1::text::uuid", &[&click_id]).await.unwrap()
}

/// Sends bytes that no client would, and reads the head of the answer.
async fn raw_request(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 1024];
    while !answer.contains("\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    answer
}

#[tokio::test]
async fn a_visitor_is_sent_on_with_a_click_id() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let (offer, link) = world.fixed;
    for path in [format!("/click/{link}?"), format!("/click?link={link}&")] {
        let url = server.url(&format!("{path}sub1=a%20b&utm_source=x%26y&clickid=theirs&zone=7"));
        let answer = world.client.get(url).header("user-agent", "Googlebot/2.1").send().await.unwrap();
        assert_eq!(answer.status(), 302);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let landing = answer.headers()["location"].to_str().unwrap();
        let (start, click_id) = landing.rsplit_once("click_id=").unwrap();
        assert_eq!(start, "https://shop.example/?sub=a%20b&src=x%26y&");

        let db = world.databases.pool.get().await.unwrap();
        let row =
            db.query_one("SELECT * FROM clicks WHERE click_id = $1::text::uuid", &[&click_id]).await.unwrap();
        let text = |column: &str| row.get::<_, String>(column);
        assert_eq!(row.get::<_, uuid::Uuid>("offer_id"), offer.0);
        assert_eq!((text("partner_clickid").as_str(), text("sub1").as_str()), ("theirs", "a b"));
        assert_eq!((text("device").as_str(), text("ip").as_str()), ("bot", "127.0.0.1"));
        let parameters: Value = row.get("parameters");
        assert_eq!(parameters, serde_json::json!({ "utm_source": "x&y", "zone": "7" }));
    }
}

#[tokio::test]
async fn without_a_partners_id_ours_stands_in() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click_id = world.click(&server, world.fixed.1).await;
    let same =
        world.count(&format!("SELECT count(*) FROM clicks WHERE partner_clickid = '{click_id}'")).await;
    assert_eq!(same, 1);
}

#[tokio::test]
async fn an_unknown_link_is_not_found_and_the_owner_sees_it() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let paths = [
        "/click/nonsense?sub1=a&token=hush",
        "/click",
        "/click/01a1fb48-2562-7302-884f-2de0731a24b5",
        "/click/%ff",
    ];
    for path in paths {
        let answer = world.client.get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["errors"][0]["code"], "unknown_link");
    }
    assert_eq!(world.count("SELECT count(*) FROM clicks").await, 0);

    world.until_settled().await;
    let query = "SELECT parameters FROM inbound_requests
                 WHERE door = 'click' AND verdict = 'rejected' AND http_status = 404
                   AND reason_code = 'unknown_link' AND method = 'GET' AND source_ip = '127.0.0.1'
                 ORDER BY received_at";
    let logged: Vec<String> = world.databases.log.client().query(query).fetch_all().await.unwrap();
    assert_eq!(logged[0], r#"[["link","nonsense"],["sub1","a"],["token","[redacted]"]]"#);
    assert_eq!(logged.len(), paths.len());
}

#[tokio::test]
async fn a_flood_of_unknown_links_fills_no_log() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let url = server.url("/click/nonsense");
    let asking = (0..400).map(|_| world.client.get(&url).send());
    for answer in futures_util::future::join_all(asking).await {
        assert_eq!(answer.unwrap().status(), 404);
    }
    world.until_settled().await;
    let query = "SELECT count() FROM inbound_requests WHERE reason_code = 'unknown_link'";
    let logged: u64 = world.databases.log.client().query(query).fetch_one().await.unwrap();
    let metrics = world.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let counted =
        metrics.lines().find_map(|line| line.strip_prefix("ricochet_unlogged_unknown_links_total "));
    assert!((100..400).contains(&logged), "{logged}");
    assert_eq!(counted.unwrap().parse::<u64>().unwrap() + logged, 400);
}

#[tokio::test]
async fn broken_encoding_loses_no_visitor() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let target = format!("/click/{}?sub1=%CF%F0&sub2=50%&utm_source=%zz&&=&format", world.fixed.1);
    let answer = raw_request(&server, &format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let (start, click_id) = location.rsplit_once("click_id=").unwrap();
    assert_eq!(start, "https://shop.example/?sub=%25CF%25F0&src=%25zz&");
    let click = click_of(&world, click_id).await;
    assert_eq!((click.get::<_, &str>("sub1"), click.get::<_, &str>("sub2")), ("%CF%F0", "50%"));
    assert_eq!(click.get::<_, Value>("parameters")["ricochet.encoding"], "invalid");
}

/// What the HTTP parser itself refuses never reaches the door; it ends in a clean 400.
#[tokio::test]
async fn raw_bytes_that_are_no_address_are_refused_by_the_parser() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    for raw in ["?sub1=\"a\"", "?sub1=<a>", "?sub1=ü"] {
        let target = format!("/click/{}{raw}", world.fixed.1);
        let answer = raw_request(&server, &format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{raw}: {answer}");
    }
    assert_eq!(world.count("SELECT count(*) FROM clicks").await, 0);
}

#[tokio::test]
async fn hostile_values_stay_values() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    for hostile in [
        "%0d%0aset-cookie:%20a=b",
        "javascript:alert(1)",
        "//evil.example/%5c@evil.example",
        "%00%e2%80%ae%f0%9f%92%a9",
    ] {
        let url = format!("/click/{}?sub1={hostile}&utm_source={hostile}&clickid={hostile}", world.fixed.1);
        let answer = world.client.get(server.url(&url)).send().await.unwrap();
        assert!(!answer.headers().contains_key("set-cookie"));
        let landing = location(&answer);
        assert!(landing.starts_with("https://shop.example/?sub="), "{landing}");
        let landing = url::Url::parse(&landing).unwrap();
        let names: Vec<String> = landing.query_pairs().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["sub", "src", "click_id"]);
    }
}

#[tokio::test]
async fn overlong_values_are_cut() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let ascii: String = (0..8_192).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    // Nothing that could be compressed: an index takes no long keys.
    let wide: String =
        (0..1_600).filter_map(|_| char::from_u32(rand::random_range(0x4e00..0x9fff))).collect();
    for name in ["sub1", "clickid", "zone"] {
        for value in [&ascii, &wide] {
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let url = format!("/click/{}?{name}={encoded}", world.fixed.1);
            let landing = location(&world.client.get(server.url(&url)).send().await.unwrap());
            let click = click_of(&world, landing.rsplit_once("click_id=").unwrap().1).await;
            let parameters: Value = click.get("parameters");
            let kept = match name {
                "sub1" => click.get("sub1"),
                "clickid" => click.get("partner_clickid"),
                _ => parameters[name].as_str().unwrap(),
            };
            let expected = match name {
                "clickid" => 1_498..=1_500,
                _ => value.len().min(2_000)..=value.len().min(6_000),
            };
            assert!(value.starts_with(kept) && expected.contains(&kept.len()), "{} of {name}", kept.len());
            assert_eq!(parameters["ricochet.clickid"] == "cut", name == "clickid");
        }
    }
}

#[tokio::test]
async fn only_a_visit_makes_a_click() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let url = server.url(&format!("/click/{}?sub1=a", world.fixed.1));
    let head = world.client.request(Method::HEAD, &url).send().await.unwrap();
    assert_eq!(location(&head), "https://shop.example/?sub=a&src=");
    for (name, value) in
        [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-moz", "prefetch")]
    {
        let ahead = world.client.get(&url).header(name, value).send().await.unwrap();
        assert_eq!(ahead.status(), 503, "{name}: {:?} {}", ahead.headers(), server.log());
        assert_eq!(ahead.headers()["cache-control"], "no-store");
    }
    assert_eq!(world.count("SELECT count(*) FROM clicks").await, 0);
    let unknown = world.client.request(Method::HEAD, server.url("/click/nonsense")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    world.click(&server, world.fixed.1).await;
    assert_eq!(world.count("SELECT count(*) FROM clicks").await, 1);
}

#[tokio::test]
async fn a_site_can_keep_the_id_itself() {
    let world = World::new().await;
    let db = world.databases.pool.get().await.unwrap();
    let template = "https://shop.example/{network_id}/{traffic_source}?x={fields.zone}";
    db.execute("UPDATE offers SET landing_url = $1, click_id_parameter = 'aff_sub'", &[&template])
        .await
        .unwrap();
    let server = Server::start_with(&world.databases, &[("RICOCHET_NETWORK_ID", "net 1")]).await;
    let url = server.url(&format!("/click/{}?format=json&traffic_source=fb&zone=7&zone=8", world.fixed.1));
    let answer = world.client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let answer: Value = answer.json().await.unwrap();
    let click_id = answer["click_id"].as_str().unwrap();
    assert_eq!(
        answer,
        json!({ "click_id": click_id, "url": format!("https://shop.example/net%201/fb?x=7&aff_sub={click_id}") })
    );
    let parameters: Value = click_of(&world, click_id).await.get("parameters");
    assert_eq!(parameters, json!({ "traffic_source": "fb", "zone": "7", "zone[2]": "8" }));
    eventually("the click is in the log", || async {
        let query = "SELECT parameters['zone[2]'] FROM clicks WHERE click_id = ?";
        let found = world.databases.log.client().query(query).bind(click_id).fetch_optional::<String>().await;
        found.unwrap().filter(|zone| zone == "8")
    })
    .await;
}
