//! The load: connections that report conversions or click, on a runtime and thread of their own.

use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use hyper::body::Bytes;
use hyper::{StatusCode, Uri};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::http::{Connection, HttpError, Server};
use super::ledger::{Ledger, Outcome};
use super::pacer::Pacer;
use super::schedule::Plan;

/// After this the request counts as lost and its connection is closed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that refuses connections is not asked again at once by a closed loop.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What to ask for, prepared so that a request is one copy and one number.
pub struct Target {
    server: Server,
    /// Path and query up to the number of the request, in turns.
    prefixes: Vec<Vec<u8>>,
    accepted: Acceptance,
}

/// What the server answers when all is well.
#[derive(Debug, Clone, Copy)]
enum Acceptance {
    NewConversion,
    Redirect,
}

impl Target {
    /// Conversions of `clicks`, in turns, under request ids `{run}-{index}`.
    pub fn new(server: Server, api_key: &str, clicks: &[String], run: &str) -> Self {
        let prefix = |click: &String| {
            format!("/{api_key}/s2s?action=sale&status=approved&click_id={click}&request_id={run}-")
                .into_bytes()
        };
        Self { server, prefixes: clicks.iter().map(prefix).collect(), accepted: Acceptance::NewConversion }
    }

    /// Clicks of a link, told apart by `sub1={run}-{index}`.
    pub fn clicks(server: Server, link: Uuid, run: &str) -> Self {
        let prefix = format!("/click/{link}?sub1={run}-").into_bytes();
        Self { server, prefixes: vec![prefix], accepted: Acceptance::Redirect }
    }

    fn uri(&self, index: u64) -> Result<Uri, http::uri::InvalidUri> {
        let click = usize::try_from(index).unwrap_or(0) % self.prefixes.len();
        let mut path = Vec::with_capacity(self.prefixes[click].len() + 20);
        path.extend_from_slice(&self.prefixes[click]);
        // Writing to a Vec does not fail.
        let _ = write!(path, "{index}");
        Uri::from_maybe_shared(Bytes::from(path))
    }
}

/// How the load went, beside what is in the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Where measuring began, by the ledger's clock.
    pub measured_from_ns: u64,
    /// Requests made, the warm-up included.
    pub taken: u64,
}

/// The running load. Dropping it abandons the requests under way.
pub struct Load {
    thread: JoinHandle<anyhow::Result<Option<Summary>>>,
    done: oneshot::Receiver<()>,
    /// Held so that the load sees when nobody waits for it any more.
    _keep_going: oneshot::Sender<()>,
}

impl Load {
    pub fn start(
        target: Target,
        plan: Plan,
        connections: usize,
        ledger: Arc<Ledger>,
    ) -> anyhow::Result<Self> {
        let (keep_going, abandoned) = oneshot::channel();
        let (done_sender, done) = oneshot::channel();
        let thread = std::thread::Builder::new().name("bench-load".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let outcome = LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    outcome = send_all(target, plan, connections, ledger) => outcome.map(Some),
                    _ = abandoned => Ok(None),
                }
            });
            // Dropped with `done_sender` where `finish` is not waiting.
            let _ = done_sender.send(());
            outcome
        })?;
        Ok(Self { thread, done, _keep_going: keep_going })
    }

    /// Waits until every request of the plan has its answer or has failed.
    pub async fn finish(self) -> anyhow::Result<Summary> {
        // An error means that the thread is ending by a panic, which `join` tells.
        let _ = self.done.await;
        let outcome = self.thread.join().map_err(|_| anyhow::anyhow!("the load's thread panicked"))?;
        outcome?.context("the load was abandoned before its end")
    }
}

async fn send_all(
    target: Target,
    plan: Plan,
    connections: usize,
    ledger: Arc<Ledger>,
) -> anyhow::Result<Summary> {
    let target = Rc::new(target);
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = Connection::new(target.server.clone());
        connection.open().await.context("the server under test cannot be reached; is it running?")?;
        opened.push(connection);
    }

    let start_ns = ledger.now_ns();
    let pacer = Rc::new(Pacer::start(plan, ledger.clone(), start_ns)?);
    let mut callers = JoinSet::new();
    for connection in opened {
        let caller = Caller {
            connection,
            target: target.clone(),
            ledger: ledger.clone(),
            pacer: pacer.clone(),
            start_ns,
        };
        callers.spawn_local(caller.call_until_done());
    }
    while let Some(ended) = callers.join_next().await {
        ended.context("a connection of the load panicked")?;
    }
    let warmup_ns = u64::try_from(plan.warmup.as_nanos()).unwrap_or(u64::MAX);
    let pacer = Rc::into_inner(pacer).context("a connection of the load is still at work")?;
    let taken = pacer.taken()?;
    Ok(Summary { measured_from_ns: start_ns.saturating_add(warmup_ns), taken })
}

/// One connection's share of the load: takes the next ticket when it is due, and sends.
struct Caller {
    connection: Connection,
    target: Rc<Target>,
    ledger: Arc<Ledger>,
    pacer: Rc<Pacer>,
    start_ns: u64,
}

impl Caller {
    async fn call_until_done(mut self) {
        while let Some(ticket) = self.pacer.next().await {
            let due_ns = ticket.due_ns.map(|due_ns| self.start_ns + due_ns);
            let sent_ns = self.ledger.now_ns();
            self.ledger.sent(ticket.index, due_ns.unwrap_or(sent_ns), sent_ns);
            let (outcome, pause) = self.call(ticket.index).await;
            self.ledger.answered(ticket.index, self.ledger.now_ns(), outcome);
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
    }

    async fn call(&mut self, index: u64) -> (Outcome, Option<Duration>) {
        let Ok(uri) = self.target.uri(index) else { return (Outcome::Broken, None) };
        match timeout(REQUEST_TIMEOUT, self.connection.get(uri)).await {
            Ok(Ok((status, body))) => (self.target.accepted.judge(status, body), None),
            Ok(Err(HttpError::Connect { .. } | HttpError::Closed)) => {
                (Outcome::Broken, Some(RECONNECT_PAUSE))
            }
            Ok(Err(HttpError::Broken(_) | HttpError::TooLarge)) => (Outcome::Broken, None),
            Err(_) => {
                self.connection.close();
                (Outcome::TimedOut, None)
            }
        }
    }
}

impl Acceptance {
    fn judge(self, status: StatusCode, body: &[u8]) -> Outcome {
        match (self, status) {
            (Self::NewConversion, StatusCode::OK) if is_newly_recorded(body) => Outcome::Accepted,
            (Self::NewConversion, StatusCode::OK) => Outcome::NotNew,
            (Self::Redirect, StatusCode::FOUND) => Outcome::Accepted,
            (_, status) => Outcome::Status(status.as_u16()),
        }
    }
}

/// The answer's form is contract, so its bytes are looked at without parsing them.
fn is_newly_recorded(body: &[u8]) -> bool {
    contains(body, br#""duplicate":false"#) && contains(body, br#""rejected_by_conflict":false"#)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_redirect_is_a_click() {
        let outcome = |status| Acceptance::Redirect.judge(status, b"");
        assert_eq!(outcome(StatusCode::FOUND), Outcome::Accepted);
        assert_eq!(outcome(StatusCode::OK), Outcome::Status(200));
        assert_eq!(outcome(StatusCode::SERVICE_UNAVAILABLE), Outcome::Status(503));
    }

    #[test]
    fn only_a_new_conversion_is_accepted() {
        let answer = |conflict: bool, duplicate: bool| {
            is_newly_recorded(
                format!(
                    r#"{{"status":"success","rejected_by_conflict":{conflict},"duplicate":{duplicate}}}"#
                )
                .as_bytes(),
            )
        };
        assert!(answer(false, false));
        assert!(!answer(true, false));
        assert!(!answer(false, true));
        assert!(!is_newly_recorded(b""));
    }
}
