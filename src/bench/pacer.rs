//! Hands tickets to the connections of the load, each when it is due.
//!
//! The open loop's tickets come from a thread of their own: a runtime's timers are a
//! millisecond coarse, which would be added to every latency, and a sleeping thread is not.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::ledger::Ledger;
use super::schedule::{Cursor, Pace, Plan, Ticket};

/// Tickets that are due and find no free connection wait here; when it is full the thread
/// waits too, and the tickets it then hands out are late. They keep the time they were due.
const QUEUE_TICKETS: usize = 1_024;
/// High rates are handed out in small bunches: each wake-up costs the machine that is shared
/// with the server.
const SHORTEST_NAP: Duration = Duration::from_micros(250);

pub enum Pacer {
    Open { due: Mutex<mpsc::Receiver<Ticket>>, thread: JoinHandle<u64> },
    Closed { cursor: RefCell<Cursor>, ledger: Arc<Ledger>, start_ns: u64 },
}

impl Pacer {
    /// `start_ns` is the load's start by the ledger's clock.
    pub fn start(plan: Plan, ledger: Arc<Ledger>, start_ns: u64) -> std::io::Result<Self> {
        let cursor = Cursor::new(plan, ledger.capacity());
        if plan.pace == Pace::Closed {
            return Ok(Self::Closed { cursor: RefCell::new(cursor), ledger, start_ns });
        }
        let (sender, due) = mpsc::channel(QUEUE_TICKETS);
        let thread = std::thread::Builder::new()
            .name("bench-pacer".into())
            .spawn(move || hand_out(cursor, &ledger, start_ns, &sender))?;
        Ok(Self::Open { due: Mutex::new(due), thread })
    }

    /// The next ticket, once it is due; `None` when the plan is fulfilled.
    pub async fn next(&self) -> Option<Ticket> {
        match self {
            Self::Open { due, .. } => due.lock().await.recv().await,
            Self::Closed { cursor, ledger, start_ns } => {
                cursor.borrow_mut().take(ledger.now_ns().saturating_sub(*start_ns))
            }
        }
    }

    /// How many tickets were taken, after `next` has answered `None`.
    pub fn taken(self) -> anyhow::Result<u64> {
        match self {
            Self::Open { thread, .. } => {
                thread.join().map_err(|_| anyhow::anyhow!("the pacer's thread panicked"))
            }
            Self::Closed { cursor, .. } => Ok(cursor.into_inner().taken()),
        }
    }
}

fn hand_out(mut cursor: Cursor, ledger: &Ledger, start_ns: u64, sender: &mpsc::Sender<Ticket>) -> u64 {
    while let Some(ticket) = cursor.take(0) {
        let due_ns = start_ns + ticket.due_ns.unwrap_or(0);
        let early = Duration::from_nanos(due_ns.saturating_sub(ledger.now_ns()));
        if !early.is_zero() {
            std::thread::sleep(early.max(SHORTEST_NAP));
        }
        if sender.blocking_send(ticket).is_err() {
            // The load was abandoned.
            break;
        }
    }
    cursor.taken()
}
