//! Arrays and streams at `POST /api/v1/conversions`.

use std::io::ErrorKind;

use futures_util::{StreamExt, stream};
use ricochet::doors::conversions::ARRAY_ITEMS;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{codes, post, post_json};
use crate::support::databases::Databases;
use crate::support::server::Server;
use crate::support::world::World;

fn hold(click: &str, number: usize) -> Value {
    json!({ "click_id": click, "request_id": format!("r-{number}"), "action": "sale", "status": "hold" })
}

fn read_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_array_answers_every_item_in_order() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let body = format!(
        r#"[{},{{"a":tru}},{{"click_id":"nobody","request_id":"1","action":"sale","status":"hold"}},7,
           {{"click_id":"{click}","request_id":"r-2","action":"sale","status":"strange"}},{},[{{}}],{}]"#,
        hold(&click, 0),
        hold(&click, 0),
        hold(&click, 1)
    );
    let (status, answer) = post(&world, &server, "application/json", body).await;
    let results: Vec<Value> = serde_json::from_str(&answer).unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["http_status"].as_u64().unwrap()).collect();
    assert_eq!((status, statuses), (200, vec![200, 400, 422, 400, 202, 200, 400, 200]), "{answer}");
    assert_eq!(codes(&results[1]), [("body", "invalid_json")]);
    assert_eq!(codes(&results[2]), [("click_id", "unknown_click")]);
    assert_eq!(results[4]["status"], "quarantined");
    assert_eq!((&results[5]["lead_id"], &results[5]["duplicate"]), (&results[0]["lead_id"], &json!(true)));
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 2);
    assert_eq!(post_json(&world, &server, &json!([])).await, (200, json!([])));

    // A byte that is not UTF-8 is its item's fault alone.
    let mut body = format!("[{},{{\"comment\":\"", hold(&click, 7)).into_bytes();
    body.extend_from_slice(b"\xff\"},");
    body.extend_from_slice(format!("{}]", hold(&click, 8)).as_bytes());
    let (_, answer) = post(&world, &server, "application/json", body).await;
    let results: Vec<Value> = serde_json::from_str(&answer).unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["http_status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 400, 200]);
}

#[tokio::test]
async fn ten_thousand_items_go_at_once_and_those_of_one_click_in_order() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let mut clicks = Vec::new();
    for _ in 0..50 {
        clicks.push(world.click(&server, world.fixed.1).await);
    }
    // Each conversion twice, hold before approved: were an approved one decided first, its hold
    // would be a conflict.
    let items: Vec<Value> = (0..10_000)
        .map(|number| {
            let mut item = hold(&clicks[(number / 2) % 50], number / 2);
            item["status"] = json!(["hold", "approved"][number % 2]);
            item
        })
        .collect();
    let (status, answer) = post_json(&world, &server, &json!(items)).await;
    let results = answer.as_array().unwrap();
    assert_eq!((status, results.len()), (200, 10_000));
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result["http_status"], 200, "{number}: {result}");
        assert_eq!(result["rejected_by_conflict"], false, "{number}: {result}");
        assert_eq!(result["duplicate"], false, "{number}: {result}");
        assert_eq!(result["lead_id"], results[number / 2 * 2]["lead_id"], "{number}");
    }
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE status = 'approved'").await, 5_000);
    let (_, again) = post_json(&world, &server, &json!(items[9_000..])).await;
    assert!(again.as_array().unwrap().iter().skip(1).step_by(2).all(|result| result["duplicate"] == true));
}

#[tokio::test]
async fn the_query_counts_for_every_item() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let items = json!([hold(&click, 0), hold(&click, 1)]);
    let request = world.client.post(server.url("/api/v1/conversions?test=1")).bearer_auth(&world.api_key);
    assert_eq!(request.json(&items).send().await.unwrap().status(), 200);
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE is_test").await, 2);
}

#[tokio::test]
async fn a_stream_is_answered_while_it_is_sent() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let (lines, sent) = mpsc::channel::<String>(1);
    let body =
        stream::unfold(sent, |mut sent| async { Some((Ok::<_, std::io::Error>(sent.recv().await?), sent)) });
    let request = world
        .client
        .post(server.url("/api/v1/conversions"))
        .bearer_auth(&world.api_key)
        .header("content-type", "application/x-ndjson")
        .body(reqwest::Body::wrap_stream(body));
    // Half a line, then the rest: the answer to the first comes before the second is sent.
    let answering = tokio::spawn(request.send());
    let first = hold(&click, 0).to_string();
    lines.send(first[..20].to_owned()).await.unwrap();
    lines.send(format!("{}\n", &first[20..])).await.unwrap();
    let mut answers = answering.await.unwrap().unwrap().bytes_stream();
    let line = answers.next().await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap()["http_status"], 200);
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 1, "answered before it was durable");

    lines.send(format!("{}\n", hold(&click, 1))).await.unwrap();
    let line = answers.next().await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap()["status"], "success");
    drop(lines);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_bad_line_is_one_error_and_the_rest_is_taken() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let body = format!(
        "{}\r\n\n{{\"comment\":\"{}\"}}\n[1]\n\u{0}\n  {}  \nnull\n{}",
        hold(&click, 0),
        "x".repeat(300_000),
        hold(&click, 1),
        hold(&click, 2),
    );
    let (status, answer) = post(&world, &server, "application/x-ndjson", body).await;
    let results = read_lines(&answer);
    let statuses: Vec<_> = results.iter().map(|result| result["http_status"].as_u64().unwrap()).collect();
    assert_eq!((status, statuses), (200, vec![200, 400, 400, 400, 200, 400, 200]), "{answer}");
    assert_eq!(codes(&results[1]), [("line", "too_large")]);
    assert_eq!(post(&world, &server, "application/x-ndjson", "\n\n").await, (200, String::new()));
}

/// A connection that sends one line over and over.
struct Sender<'a> {
    connection: TcpStream,
    line: &'a [u8],
    sent_bytes: usize,
}

impl Sender<'_> {
    /// Writes until the socket takes no more; says how many bytes it took.
    fn fill(&mut self) -> usize {
        let before = self.sent_bytes;
        loop {
            match self.connection.try_write(&self.line[self.sent_bytes % self.line.len()..]) {
                Ok(taken) => self.sent_bytes += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.sent_bytes - before,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

async fn results_waiting(world: &World, server: &Server) -> f64 {
    let metrics = world.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("ricochet_batch_results_waiting "));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn a_reader_who_waits_holds_up_the_sender_and_nobody_else() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    // Faulty lines are cheap, and their answers are long.
    let line = b"{\"price\":\"x\",\"currency\":\"x\",\"datetime\":\"x\",\"test\":\"x\"}\n";
    let connection = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/v1/conversions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: 1000000000\r\n\r\n",
        world.api_key
    );
    connection.writable().await.unwrap();
    assert_eq!(connection.try_write(head.as_bytes()).unwrap(), head.len());

    let mut sender = Sender { connection, line, sent_bytes: 0 };

    // Nobody reads. Once as many results wait as may, no further line is taken; what the socket
    // does not take then stays with the sender.
    loop {
        sender.fill();
        if results_waiting(&world, &server).await >= ARRAY_ITEMS as f64 && sender.fill() == 0 {
            break;
        }
    }
    assert!(sender.sent_bytes / line.len() < 1_000_000, "{} bytes were taken in unread", sender.sent_bytes);

    // Others are served as ever.
    let (status, _) = post_json(&world, &server, &hold(&click, 0)).await;
    assert_eq!(status, 200);
    let (status, _) = post_json(&world, &server, &json!(vec![hold(&click, 1); 600])).await;
    assert_eq!(status, 200);
    assert!(results_waiting(&world, &server).await >= ARRAY_ITEMS as f64, "nobody has read one");
    sender.fill();
    assert!(sender.sent_bytes / line.len() < 1_000_000, "{} bytes were taken in unread", sender.sent_bytes);

    // And the stream goes on where it stopped, as soon as its answers are read.
    let mut piece = vec![0; 64 * 1024];
    while sender.fill() == 0 {
        sender.connection.readable().await.unwrap();
        match sender.connection.try_read(&mut piece) {
            Ok(read) => assert_ne!(read, 0, "the answer ended"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[tokio::test]
async fn what_is_not_durable_is_never_a_200() {
    let world = World::on(Databases::own().await).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let items = json!([hold(&click, 0), hold(&click, 1)]);
    let lines = format!("{}\n{}\n", hold(&click, 2), hold(&click, 3));
    let pair = world.databases.pair.clone();
    tokio::task::spawn_blocking(move || pair.engines.kill_postgres().unwrap()).await.unwrap();

    let (status, results) = post_json(&world, &server, &items).await;
    assert_eq!((status, results.as_array().unwrap().len()), (503, 2));
    assert_eq!(codes(&results[1]), [("", "store_unavailable")]);
    let (status, answer) = post(&world, &server, "application/x-ndjson", lines.clone()).await;
    assert_eq!(status, 503);
    assert!(read_lines(&answer).iter().all(|result| result["http_status"] == 503), "{answer}");
    let pixel =
        server.url(&format!("/pixel/{}.gif?click_id={click}&action=sale&request_id=9", world.fixed.0));
    let answer = world.client.get(pixel).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (503, &"image/gif".parse().unwrap())
    );

    // Sent again when it is back, everything is taken.
    let pair = world.databases.pair.clone();
    tokio::task::spawn_blocking(move || pair.engines.start_postgres().unwrap()).await.unwrap();
    crate::support::eventually("the array is taken", || async {
        (post_json(&world, &server, &items).await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(post(&world, &server, "application/x-ndjson", lines).await.0, 200);
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 4);
}
