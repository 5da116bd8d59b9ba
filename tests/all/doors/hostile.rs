//! Thousands of requests nobody should send, from a seed: every answer is ours, none is a 5xx,
//! and a good item among bad ones is always taken.

use std::fmt::Write as _;

use futures_util::{StreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use reqwest::Response;
use ricochet::domain::fields::NAMES;
use serde_json::{Value, json};

use super::post;
use crate::support::server::Server;
use crate::support::world::World;

const SEED: u64 = 20_261_121;
const ROUNDS_PER_DOOR: usize = 400;

/// Values that have brought somebody down before.
const NASTY: &[&str] = &[
    "",
    " ",
    "0",
    "-0",
    "-1",
    "1e309",
    "1E400",
    "NaN",
    "Infinity",
    "0x10",
    "1,000.00",
    "٢٥",
    "99999999999999999999999999999999999999999999",
    "0.0000000000000000000000000000000000000001",
    "null",
    "true",
    "[]",
    "{}",
    "{clickid}",
    "{{tracker.event}}",
    "%00",
    "\0",
    "a\0b",
    "\r\nx-injected: 1",
    "'; DROP TABLE conversions; --",
    "\\",
    "\"",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "Ωμέγα-кириллица-漢字-العربية",
    "а\u{0301}\u{202e}\u{200b}\u{feff}",
    "👩‍👩‍👧‍👦",
    "\u{fffd}\u{fffe}\u{10ffff}",
    "0000-00-00T00:00:00Z",
    "2025-02-30T25:61:61Z",
    "9223372036854775808",
    "activate",
    "deactivate",
    "approved",
    "hold",
    "USD",
    "XXX",
];

struct Fuzz {
    random: StdRng,
    click: String,
}

impl Fuzz {
    fn name(&mut self) -> String {
        let known: Vec<&str> = NAMES
            .iter()
            .flat_map(|(name, aliases)| [*name].into_iter().chain(aliases.iter().copied()))
            .collect();
        match self.random.random_range(0..10) {
            0 => (*NASTY.choose(&mut self.random).unwrap()).to_owned(),
            1 => "n".repeat(self.random.random_range(1..200)),
            2 => "strict".to_owned(),
            3 => "fields".to_owned(),
            _ => (*known.choose(&mut self.random).unwrap()).to_owned(),
        }
    }

    fn text(&mut self) -> String {
        match self.random.random_range(0..10) {
            0 => "x".repeat(self.random.random_range(0..5_000)),
            1 => (0..self.random.random_range(0..40)).map(|_| self.random.random::<char>()).collect(),
            2 => self.click.clone(),
            _ => (*NASTY.choose(&mut self.random).unwrap()).to_owned(),
        }
    }

    /// Percent-encoded, though not always, and not always UTF-8.
    fn query(&mut self) -> String {
        let mut query = String::new();
        for _ in 0..self.random.random_range(0..14) {
            let (name, value) = (self.name(), self.text());
            let encode = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
            let _ = match self.random.random_range(0..12) {
                0 => write!(query, "&{}=%ff%fe", encode(&name)),
                1 => write!(query, "&&=&{}", encode(&name)),
                2 => write!(query, "&{}=%", encode(&name)),
                3 => write!(query, "&{0}=1&{0}=2", encode(&name)),
                4 => write!(query, "&%zz=+%2"),
                _ => write!(query, "&{}={}", encode(&name), encode(&value)),
            };
        }
        query
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.random.random_range(0..9) {
            0 => Value::Null,
            1 => json!(self.random.random::<bool>()),
            2 => json!(self.random.random::<i64>()),
            3 => json!(self.random.random::<f64>() * 1e300),
            4 if depth < 6 => (0..self.random.random_range(0..4)).map(|_| self.json(depth + 1)).collect(),
            5 if depth < 6 => self.object(depth + 1),
            _ => json!(self.text()),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        let members = self.random.random_range(0..8);
        Value::Object((0..members).map(|_| (self.name(), self.json(depth))).collect())
    }

    /// An item for an array: whatever is wrong with it, its brackets and quotes are whole.
    fn item(&mut self) -> Vec<u8> {
        match self.random.random_range(0..8) {
            0 => b"tru".to_vec(),
            1 => b"{\"a\":}".to_vec(),
            2 => b"{\"click_id\":\"\xff\xc0\xaf\"}".to_vec(),
            3 => b"\x00\x01\xfe".to_vec(),
            4 => [vec![b'['; 500], vec![b']'; 500]].concat(),
            5 => format!("{}1{}", "{\"fields\":".repeat(300), "}".repeat(300)).into_bytes(),
            _ => self.json(0).to_string().into_bytes(),
        }
    }

    /// A body: an object, then damaged more often than not.
    fn body(&mut self) -> Vec<u8> {
        let mut body = match self.random.random_range(0..10) {
            0 => self.query().into_bytes(),
            1 => self.item(),
            2 => "[".repeat(30_000).into_bytes(),
            3 => format!("{{\"click_id\":{}}}", "9".repeat(20_000)).into_bytes(),
            4 => b"{\"click_id\":\"a\",\"click_id\":\"b\",\"price\":1e999,\"x\":\"\\ud800\"}".to_vec(),
            _ => self.object(0).to_string().into_bytes(),
        };
        for _ in 0..self.random.random_range(0..3) {
            if body.is_empty() {
                break;
            }
            let at = self.random.random_range(0..body.len());
            match self.random.random_range(0..3) {
                0 => body[at] = self.random.random(),
                1 => body.truncate(at),
                _ => body.insert(at, self.random.random()),
            }
        }
        body
    }
}

async fn must_be_ours(what: &str, answer: Response) {
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    assert!((200..500).contains(&status), "{status} {body} to {what}");
    let Ok(body) = serde_json::from_str::<Value>(&body) else { panic!("{status} {body:?} to {what}") };
    // An array, if the damage made one, has a result per item.
    for result in body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]) {
        must_be_a_result(what, status, &result);
    }
}

fn must_be_a_result(what: &str, status: u16, result: &Value) {
    let status = result.get("http_status").map_or(u64::from(status), |status| status.as_u64().unwrap());
    assert!((200..500).contains(&status), "{result} to {what}");
    if status < 400 || result["status"] == "success" {
        assert!(result["status"].is_string(), "{result} to {what}");
        return;
    }
    let errors = result["errors"].as_array().unwrap_or_else(|| panic!("{result} to {what}"));
    assert!(!errors.is_empty(), "{what}");
    for error in errors {
        assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{result} to {what}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{result} to {what}");
        assert!(error["field"].is_string(), "{result} to {what}");
    }
}

#[tokio::test]
async fn no_request_brings_a_door_down() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, &[("RICOCHET_REFUSALS_PER_SECOND", "0")]).await;
    let click = world.click(&server, world.fixed.1).await;
    let mut fuzz = Fuzz { random: StdRng::seed_from_u64(SEED), click };
    let content_types =
        ["application/json", "application/x-www-form-urlencoded", "text/plain", "APPLICATION/JSON ;x"];

    let mut requests = Vec::new();
    for _ in 0..ROUNDS_PER_DOOR {
        let s2s = server.url(&format!("/{}/s2s", world.api_key));
        let api = server.url("/api/v1/conversions");
        let query = fuzz.query();
        requests.push((format!("s2s?{query}"), world.client.get(format!("{s2s}?{query}"))));
        let content_type = *content_types.choose(&mut fuzz.random).unwrap();
        let body = fuzz.body();
        let what =
            |door: &str, body: &[u8]| format!("{door} {content_type} {}", String::from_utf8_lossy(body));
        let shown = what("s2s", &body);
        requests.push((shown, world.client.post(s2s).header("content-type", content_type).body(body)));
        let body = fuzz.body();
        let shown = what("api", &body);
        let request =
            world.client.post(&api).bearer_auth(&world.api_key).header("content-type", content_type);
        requests.push((shown, request.body(body)));
        let mut head = vec![0_u8; fuzz.random.random_range(1..60)];
        fuzz.random.fill_bytes(&mut head);
        let path = percent_encode(&head, NON_ALPHANUMERIC).to_string();
        requests.push((path.clone(), world.client.post(server.url(&format!("/{path}/s2s")))));
    }
    let count = requests.len();
    let answered = stream::iter(requests)
        .map(|(what, request)| async move {
            let answer = request.send().await.unwrap_or_else(|error| panic!("{error:?}: {what}"));
            must_be_ours(&what, answer).await;
        })
        .buffer_unordered(16)
        .count()
        .await;
    assert_eq!(answered, count);

    let pictures = (0..ROUNDS_PER_DOOR).map(|number| {
        let query = fuzz.query();
        let door = ["pixel/{}.gif", "iframe/{}"][number % 2].replace("{}", &world.fixed.0.to_string());
        (number, format!("/{door}?{query}"))
    });
    let pictures: Vec<_> = pictures.collect();
    stream::iter(pictures)
        .for_each_concurrent(16, |(number, path)| {
            let request = world.client.get(server.url(&path));
            async move {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200, "{path}");
                assert!(answer.headers().contains_key("x-ricochet-verdict"), "{path}");
                let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
                assert_eq!(content_type, ["image/gif", "text/html; charset=utf-8"][number % 2], "{path}");
            }
        })
        .await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(world.client.get(server.url("/readyz")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_good_item_is_never_lost_among_bad_ones() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let mut fuzz = Fuzz { random: StdRng::seed_from_u64(SEED + 1), click: "nobodys".into() };
    let mut good = 0;
    for round in 0..60 {
        let mut items: Vec<Vec<u8>> = Vec::new();
        let mut good_at = Vec::new();
        for _ in 0..fuzz.random.random_range(1..60) {
            if fuzz.random.random_range(0..4) == 0 {
                good += 1;
                good_at.push(items.len());
                let item =
                    json!({ "click_id": click, "request_id": good, "action": "sale", "status": "new" });
                items.push(item.to_string().into_bytes());
            } else {
                items.push(fuzz.item());
            }
        }
        let is_array = round % 2 == 0;
        let count = items.len();
        let results: Vec<Value> = if is_array {
            let body = [b"[".to_vec(), items.join(&b','), b"]".to_vec()].concat();
            let (status, answer) = post(&world, &server, "application/json", body).await;
            assert_eq!(status, 200, "{answer}");
            serde_json::from_str(&answer).unwrap()
        } else {
            let (status, answer) = post(&world, &server, "application/x-ndjson", items.join(&b'\n')).await;
            assert_eq!(status, 200, "{answer}");
            answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        assert_eq!(results.len(), count);
        for (at, result) in results.iter().enumerate() {
            must_be_a_result("an item", 0, result);
            if good_at.contains(&at) {
                assert_eq!(result["status"], "success", "{result}");
                assert_eq!(result["duplicate"], false, "{result}");
            }
        }
    }
    assert!(good > 200);
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, good);
}
