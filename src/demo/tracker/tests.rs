//! The tracker over real HTTP, spoken by hand: the tests see what is on the wire.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn tracker(folder: &Path) -> TrackerHandle {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    start(anywhere, folder.join("received.jsonl")).await.unwrap()
}

/// `None`: the connection ended without an answer.
async fn exchange(tracker: &TrackerHandle, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(tracker.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A reset is an end like any other.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

async fn get(tracker: &TrackerHandle, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: tracker\r\nConnection: close\r\n\r\n");
    exchange(tracker, &request).await.expect("the tracker answers")
}

async fn received(tracker: &TrackerHandle, filter: &str) -> Vec<Received> {
    let answer = get(tracker, &format!("/received?{filter}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn what_is_received_is_kept_over_a_restart_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = tracker(folder.path()).await;
    assert_eq!(get(&first, "/postback?cid=a&status=approved&tx=t%201").await.body, "OK");
    let body = r#"{"x":1}"#;
    let post = format!(
        "POST /postback/keitaro?clickid=b HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(exchange(&first, &post).await.unwrap().status, 200);
    first.stop().await;

    let again = tracker(folder.path()).await;
    get(&again, "/postback?cid=a&status=rejected").await;
    let all = received(&again, "").await;
    let paths: Vec<&str> = all.iter().map(|received| received.path.as_str()).collect();
    assert_eq!(paths, ["/postback", "/postback/keitaro", "/postback"]);
    assert_eq!((all[1].method.as_str(), all[1].body.as_str()), ("POST", body));
    assert_eq!(received(&again, "clickid=a").await.len(), 2);
    assert_eq!(received(&again, "clickid=a&txid=t%201").await[0].query["status"], "approved");
    assert_eq!(received(&again, "status=rejected&limit=5").await.len(), 1);
    assert_eq!(received(&again, "limit=1").await, all[..1]);
    assert_eq!(received(&again, "clickid=nobody").await, []);
    assert_eq!(get(&again, "/received?limit=x").await.status, 400);
    again.stop().await;

    let log = std::fs::read_to_string(folder.path().join("received.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 3);
}

#[tokio::test]
async fn every_behaviour_behaves() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = tracker(folder.path()).await;
    for (path, status) in [
        ("/postback/ok", 200),
        ("/postback/slow?ms=1", 200),
        ("/postback/fail", 500),
        ("/postback/refuse", 403),
        ("/postback/redirect", 302),
        ("/elsewhere", 404),
    ] {
        assert_eq!(get(&tracker, path).await.status, status, "{path}");
    }
    assert!(get(&tracker, "/postback/redirect").await.head.contains("location: /postback/ok"));

    let mut flaky = Vec::new();
    for _ in 0..4 {
        flaky.push(get(&tracker, "/postback/flaky?cid=a&status=approved").await.status);
    }
    assert_eq!(flaky, [500, 500, 200, 200]);
    assert_eq!(get(&tracker, "/postback/flaky?cid=b&status=approved").await.status, 500);

    let reset = "GET /postback/reset?cid=r HTTP/1.1\r\nHost: t\r\n\r\n";
    assert!(exchange(&tracker, reset).await.is_none(), "no byte of an answer");
    assert_eq!(received(&tracker, "clickid=r").await.len(), 1, "it was received all the same");
    tracker.stop().await;
}

#[tokio::test]
async fn a_hanging_request_is_kept_and_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = tracker(folder.path()).await;
    let mut hanging = TcpStream::connect(tracker.addr).await.unwrap();
    hanging.write_all(b"GET /postback/hang?cid=h HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    while received(&tracker, "clickid=h").await.is_empty() {}
    tracker.stop().await;
    let mut rest = Vec::new();
    let _ = hanging.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "it never answered");
}

#[tokio::test]
async fn the_page_shows_and_escapes_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = tracker(folder.path()).await;
    assert!(get(&tracker, "/").await.body.contains("Nothing yet"));
    get(&tracker, "/postback?cid=%3Cscript%3E").await;
    let page = get(&tracker, "/").await;
    assert!(page.head.contains("text/html"));
    assert!(page.body.contains("&lt;script&gt;") && !page.body.contains("<script>"), "{}", page.body);
    tracker.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = tracker(folder.path()).await;
    let error = start(tracker.addr, folder.path().join("other.jsonl")).await.err().unwrap().to_string();
    assert!(error.contains(&tracker.addr.to_string()) && error.contains("another port"), "{error}");
    tracker.stop().await;
}

#[actix_web::test]
async fn it_starts_and_stops_inside_an_actix_system_too() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = tracker(folder.path()).await;
    assert_eq!(get(&tracker, "/postback").await.body, "OK");
    tracker.stop().await;
}
