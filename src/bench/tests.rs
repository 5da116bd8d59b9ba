//! The load and the sink against a small server that loses some postbacks and sends others
//! twice: a yardstick that cannot fail is none.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::http::{Connection, Server, ServerUrl};
use super::schedule::{Extent, Pace, Plan};
use super::*;

const RUN: &str = "0badcafe";

/// What the stand-in does with the conversion of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Deliver,
    DeliverTwice,
    Lose,
    Refuse,
    CallDuplicate,
    /// Delivers, but closes the connection without an answer.
    DeliverAndHangUp,
}

fn conduct(index: u64) -> Conduct {
    match index % 20 {
        3 => Conduct::Lose,
        5 | 6 => Conduct::DeliverTwice,
        8 => Conduct::Refuse,
        11 => Conduct::CallDuplicate,
        14 => Conduct::DeliverAndHangUp,
        _ => Conduct::Deliver,
    }
}

/// A server that has the conversion door only, and one postback.
struct StandIn {
    address: SocketAddr,
    deliveries: Arc<Mutex<JoinSet<()>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("hung up")]
struct HungUp;

impl StandIn {
    async fn start(sink: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deliveries = Arc::new(Mutex::new(JoinSet::new()));
        let spawned = deliveries.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (sink, deliveries) = (sink.clone(), spawned.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, &sink, &deliveries));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, deliveries }
    }

    /// Waits for every postback that will ever be sent.
    async fn delivered(&self) {
        let mut deliveries = std::mem::take(&mut *self.deliveries.lock().unwrap());
        while let Some(delivery) = deliveries.join_next().await {
            delivery.unwrap();
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    sink: &Server,
    deliveries: &Mutex<JoinSet<()>>,
) -> Result<Response<Full<Bytes>>, HungUp> {
    let query = request.uri().query().unwrap();
    assert!(request.uri().path() == "/key/s2s" && query.contains("action=sale&status=approved"), "{query}");
    let request_id = query.split('&').find_map(|pair| pair.strip_prefix("request_id=")).unwrap().to_owned();
    let conduct = conduct(request_id.strip_prefix(RUN).unwrap().strip_prefix('-').unwrap().parse().unwrap());
    let times = match conduct {
        Conduct::Deliver | Conduct::DeliverAndHangUp => 1,
        Conduct::DeliverTwice => 2,
        Conduct::Lose | Conduct::Refuse | Conduct::CallDuplicate => 0,
    };
    for _ in 0..times {
        deliveries.lock().unwrap().spawn(deliver(sink.clone(), request_id.clone()));
    }
    let is_duplicate = conduct == Conduct::CallDuplicate;
    let body = format!(
        r#"{{"status":"success","lead_id":"x","rejected_by_conflict":false,"duplicate":{is_duplicate}}}"#
    );
    match conduct {
        Conduct::DeliverAndHangUp => Err(HungUp),
        Conduct::Refuse => Ok(Response::builder().status(503).body(Full::default()).unwrap()),
        _ => Ok(Response::new(Full::from(body))),
    }
}

async fn deliver(sink: Server, request_id: String) {
    let uri: Uri = format!("/p/0?lead=x&tx={request_id}").parse().unwrap();
    Connection::new(sink).get(uri).await.unwrap();
}

async fn local(port: u16) -> Server {
    ServerUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap().resolve().await.unwrap()
}

async fn measure_stand_in(pace: Pace, conversions: u64) -> Report {
    let ledger = Arc::new(Ledger::new(1));
    let sink = Sink::start(RUN, ledger.clone(), Duration::ZERO).unwrap();
    let stand_in = StandIn::start(local(sink.port()).await).await;
    let clicks = ["c1".to_owned(), "c2".to_owned()];
    let target = Target::new(local(stand_in.address.port()).await, "key", &clicks, RUN);
    let plan = Plan { pace, extent: Extent::Conversions(conversions), warmup: Duration::ZERO };

    let summary = Load::start(target, plan, 4, ledger.clone()).unwrap().finish().await.unwrap();
    stand_in.delivered().await;
    sink.stop();
    assert_eq!(summary.taken, conversions);
    Report::new(&ledger, summary, Default::default(), Machine::default(), ServerMemory::default())
}

fn assert_tells_the_stand_ins_conduct(report: &Report, conversions: u64) {
    let count = |which: Conduct| (0..conversions).filter(|index| conduct(*index) == which).count() as u64;
    let totals = &report.totals;
    assert_eq!(totals.sent, conversions);
    assert_eq!(totals.lost, count(Conduct::Lose));
    assert_eq!(totals.duplicates, count(Conduct::DeliverTwice));
    assert_eq!(totals.delivered, count(Conduct::Deliver) + count(Conduct::DeliverTwice));
    assert_eq!(totals.accepted, totals.delivered + totals.lost);
    assert_eq!(totals.delivered_unaccepted, count(Conduct::DeliverAndHangUp));
    assert_eq!(totals.strays, 0);
    let errors = [
        ("503".to_owned(), count(Conduct::Refuse)),
        ("200, but not as new".to_owned(), count(Conduct::CallDuplicate)),
        ("connection broke".to_owned(), count(Conduct::DeliverAndHangUp)),
    ];
    assert_eq!(totals.errors, errors.into());
    assert_eq!(report.measured.accept.count, totals.accepted);
    assert_eq!(report.measured.accept_to_delivery.count, totals.delivered);
    assert!(!report.is_sound());
    assert!(report.to_string().contains(&format!("FAILED: {} postbacks did not arrive", totals.lost)));
}

#[tokio::test]
async fn the_closed_loop_reports_what_was_lost_and_what_came_twice() {
    let report = measure_stand_in(Pace::Closed, 200).await;
    assert_tells_the_stand_ins_conduct(&report, 200);
}

#[tokio::test]
async fn the_open_loop_reports_what_was_lost_and_what_came_twice() {
    let report = measure_stand_in(Pace::Open { rate_per_second: 2_000 }, 200).await;
    assert_tells_the_stand_ins_conduct(&report, 200);
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_and_no_report() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = local(free.local_addr().unwrap().port()).await;
    drop(free);
    let target = Target::new(server, "key", &["c".to_owned()], RUN);
    let plan = Plan { pace: Pace::Closed, extent: Extent::Conversions(1), warmup: Duration::ZERO };
    let load = Load::start(target, plan, 1, Arc::new(Ledger::new(1))).unwrap();
    let error = load.finish().await.unwrap_err().to_string();
    assert_eq!(error, "the server under test cannot be reached; is it running?");
}

#[tokio::test]
async fn the_wait_for_the_tail_ends_when_all_is_there() {
    let ledger = Ledger::new(1);
    ledger.sent(0, 1, 1);
    ledger.answered(0, 2, ledger::Outcome::Accepted);
    ledger.arrived(0, 0, 3);
    drain(&ledger, Duration::from_secs(3_600)).await;
}

#[test]
fn a_redirect_whose_click_is_not_in_the_database_is_a_loss() {
    let ledger = Ledger::new(0);
    for index in 0..3 {
        ledger.sent(index, 1, 1);
        ledger.answered(index, 2, ledger::Outcome::Accepted);
    }
    let summary = Summary { measured_from_ns: 1, taken: 3 };
    let settings = report::SettingsReport { door: Door::Clicks, ..Default::default() };
    let mut report = Report::new(&ledger, summary, settings, Machine::default(), Default::default());
    for (recorded, is_sound, last) in [
        (2, false, "FAILED: 1 clicks that were redirected are not in the database.\n"),
        (3, true, "Every redirect's click is in the database.\n"),
        (4, true, "Every redirect's click is in the database.\n"),
    ] {
        report.totals.recorded_clicks = Some(recorded);
        assert_eq!(report.is_sound(), is_sound, "{recorded}");
        assert!(report.to_string().ends_with(last), "{report}");
    }
}

#[test]
fn percentiles_count_from_where_they_say() {
    let ledger = Ledger::new(1);
    let ms = 1_000_000;
    // Due at 1 s, 2 s, … and sent 1 ms late; answered after another 10 ms; arrived 5 ms before
    // the answer (even) or 20 ms after it (odd). The first is warm-up.
    for index in 0..101 {
        let due_ns = (index + 1) * 1_000 * ms;
        let answered_ns = due_ns + 11 * ms;
        ledger.sent(index, due_ns, due_ns + ms);
        ledger.answered(index, answered_ns, ledger::Outcome::Accepted);
        ledger.arrived(0, index, if index % 2 == 0 { answered_ns - 5 * ms } else { answered_ns + 20 * ms });
    }
    let summary = Summary { measured_from_ns: 1_500 * ms, taken: 101 };
    let report = Report::new(&ledger, summary, Default::default(), Machine::default(), Default::default());
    let measured = &report.measured;
    assert_eq!((measured.sent, measured.accepted, measured.delivered), (100, 100, 100));
    assert_eq!((report.totals.accepted, report.totals.lost), (101, 0));
    let near = |latency: &report::Latency, p50_ms: u64, p99_ms: u64| {
        for (is, should_be) in [(latency.p50_us, p50_ms), (latency.p99_us, p99_ms), (latency.max_us, p99_ms)]
        {
            assert!(is.abs_diff(should_be * 1_000) <= should_be, "{latency:?}");
        }
    };
    near(&measured.accept, 11, 11);
    near(&measured.accept_from_send, 10, 10);
    near(&measured.send_delay, 1, 1);
    near(&measured.accept_to_delivery, 5, 30);
    near(&measured.answer_to_delivery, 0, 20);
    // 100 in the 99.511 s from the end of the warm-up to the last answer.
    assert!((measured.accepted_per_second - 100.0 / 99.511).abs() < 1e-6);
    assert!(report.is_sound());
    assert!(report.to_string().ends_with("Everything accepted was delivered.\n"), "{report}");
}
