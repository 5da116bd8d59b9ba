//! What happened to each conversion of a run: one row an index, written by the load and the
//! sink at once without locks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Rows come in chunks, each made when its first index is sent: nobody has to guess how many
/// a closed loop will need. A chunk has about as many arrivals, however many a row has.
const CHUNK_ARRIVALS: usize = 16_384;
const CHUNKS: usize = 8_192;

/// What the server said to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// 200, newly recorded.
    Accepted,
    /// 200, but not as a new conversion: a duplicate or a conflict.
    NotNew,
    Status(u16),
    /// The connection failed before a whole answer was there.
    Broken,
    TimedOut,
    /// The run ended first.
    Unanswered,
}

impl Outcome {
    fn to_code(self) -> u16 {
        match self {
            Self::Unanswered => 0,
            Self::Accepted => 1,
            Self::NotNew => 2,
            Self::Broken => 3,
            Self::TimedOut => 4,
            Self::Status(status) => status,
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Unanswered,
            1 => Self::Accepted,
            2 => Self::NotNew,
            3 => Self::Broken,
            4 => Self::TimedOut,
            status => Self::Status(status),
        }
    }
}

/// Times are nanoseconds since the ledger was made; 0: not yet.
#[derive(Default)]
struct Row {
    due_ns: AtomicU64,
    sent_ns: AtomicU64,
    answered_ns: AtomicU64,
    outcome: AtomicU16,
}

#[derive(Default)]
struct Arrival {
    first_ns: AtomicU64,
    times: AtomicU32,
}

struct Chunk {
    rows: Box<[Row]>,
    /// Row by row, one for each postback.
    arrivals: Box<[Arrival]>,
}

pub struct Ledger {
    epoch: Instant,
    postbacks: usize,
    chunk_rows: usize,
    chunks: Box<[OnceLock<Chunk>]>,
    accepted: AtomicU64,
    /// (postback, conversion) pairs that have arrived at least once.
    arrived_pairs: AtomicU64,
    strays: AtomicU64,
}

/// One conversion, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub due_ns: u64,
    pub sent_ns: u64,
    pub answered_ns: u64,
    pub outcome: Outcome,
    /// For each postback: the first arrival, if there was one, and how many there were.
    pub arrivals: Vec<(Option<u64>, u32)>,
}

impl Ledger {
    pub fn new(postbacks: usize) -> Self {
        Self {
            epoch: Instant::now(),
            postbacks,
            chunk_rows: CHUNK_ARRIVALS.div_ceil(postbacks.max(1)),
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            accepted: AtomicU64::new(0),
            arrived_pairs: AtomicU64::new(0),
            strays: AtomicU64::new(0),
        }
    }

    /// Never 0, which means "not yet".
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    pub fn sent(&self, index: u64, due_ns: u64, sent_ns: u64) {
        let (chunk, row) = self.place(index);
        let Some(slot) = self.chunks.get(chunk) else { return };
        let row = &slot.get_or_init(|| Chunk::new(self.chunk_rows, self.postbacks)).rows[row];
        row.due_ns.store(due_ns, Relaxed);
        row.sent_ns.store(sent_ns, Relaxed);
    }

    pub fn answered(&self, index: u64, answered_ns: u64, outcome: Outcome) {
        let Some((chunk, row)) = self.row(index) else { return };
        chunk.rows[row].answered_ns.store(answered_ns, Relaxed);
        chunk.rows[row].outcome.store(outcome.to_code(), Relaxed);
        if outcome == Outcome::Accepted {
            self.accepted.fetch_add(1, Relaxed);
        }
    }

    /// A postback came. What was never sent, or is for no postback of ours, is a stray.
    pub fn arrived(&self, postback: usize, index: u64, at_ns: u64) {
        let ours = self.row(index).filter(|_| postback < self.postbacks);
        let Some((chunk, row)) = ours.filter(|(chunk, row)| chunk.rows[*row].sent_ns.load(Relaxed) > 0)
        else {
            self.stray();
            return;
        };
        let arrival = &chunk.arrivals[row * self.postbacks + postback];
        if arrival.times.fetch_add(1, Relaxed) == 0 {
            arrival.first_ns.store(at_ns, Relaxed);
            self.arrived_pairs.fetch_add(1, Relaxed);
        }
    }

    /// Something came to the sink that no request of this run has caused.
    pub fn stray(&self) {
        self.strays.fetch_add(1, Relaxed);
    }

    pub fn strays(&self) -> u64 {
        self.strays.load(Relaxed)
    }

    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    pub fn arrived_pairs(&self) -> u64 {
        self.arrived_pairs.load(Relaxed)
    }

    /// Whether everything accepted has arrived at every postback.
    pub fn is_complete(&self) -> bool {
        // The counters are cheap and settle it while much is missing; but they also count
        // arrivals of requests whose answer was lost, so the end is judged row by row.
        self.arrived_pairs() >= self.accepted() * self.postbacks as u64
            && self.entries().all(|entry| {
                entry.outcome != Outcome::Accepted || entry.arrivals.iter().all(|(first, _)| first.is_some())
            })
    }

    /// Every conversion sent, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.chunks
            .iter()
            .filter_map(OnceLock::get)
            .flat_map(move |chunk| (0..self.chunk_rows).map(move |row| chunk.entry(row, self.postbacks)))
            .filter(|entry| entry.sent_ns > 0)
    }

    fn row(&self, index: u64) -> Option<(&Chunk, usize)> {
        let (chunk, row) = self.place(index);
        Some((self.chunks.get(chunk)?.get()?, row))
    }

    fn place(&self, index: u64) -> (usize, usize) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        (index / self.chunk_rows, index % self.chunk_rows)
    }

    /// Most conversions of one run; the load ends there.
    pub fn capacity(&self) -> u64 {
        (self.chunk_rows * CHUNKS) as u64
    }
}

impl Chunk {
    fn new(chunk_rows: usize, postbacks: usize) -> Self {
        Self {
            rows: (0..chunk_rows).map(|_| Row::default()).collect(),
            arrivals: (0..chunk_rows * postbacks).map(|_| Arrival::default()).collect(),
        }
    }

    fn entry(&self, row: usize, postbacks: usize) -> Entry {
        let arrivals = &self.arrivals[row * postbacks..(row + 1) * postbacks];
        let row = &self.rows[row];
        Entry {
            due_ns: row.due_ns.load(Relaxed),
            sent_ns: row.sent_ns.load(Relaxed),
            answered_ns: row.answered_ns.load(Relaxed),
            outcome: Outcome::from_code(row.outcome.load(Relaxed)),
            arrivals: arrivals
                .iter()
                .map(|arrival| {
                    let first_ns = arrival.first_ns.load(Relaxed);
                    ((first_ns > 0).then_some(first_ns), arrival.times.load(Relaxed))
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complete_when_every_postback_has_every_accepted_conversion() {
        let ledger = Ledger::new(2);
        let of_second_chunk = ledger.chunk_rows as u64;
        for index in [0, of_second_chunk] {
            ledger.sent(index, 1, 2);
            ledger.answered(index, 3, Outcome::Accepted);
            ledger.arrived(0, index, 4);
        }
        assert!(!ledger.is_complete());
        ledger.arrived(1, 0, 5);
        ledger.arrived(1, 0, 6);
        assert!(!ledger.is_complete(), "a duplicate does not stand in for a loss");
        ledger.arrived(1, of_second_chunk, 7);
        assert!(ledger.is_complete());
        let first = ledger.entries().next().unwrap();
        assert_eq!(first.arrivals, [(Some(4), 1), (Some(5), 2)]);
    }

    #[test]
    fn the_delivery_of_a_refused_conversion_does_not_stand_in_for_a_loss() {
        let ledger = Ledger::new(1);
        ledger.sent(0, 1, 1);
        ledger.answered(0, 2, Outcome::Accepted);
        ledger.sent(1, 1, 1);
        ledger.answered(1, 2, Outcome::TimedOut);
        ledger.arrived(0, 1, 3);
        assert!(!ledger.is_complete());
    }

    #[test]
    fn what_was_never_sent_is_a_stray() {
        let ledger = Ledger::new(1);
        ledger.sent(5, 1, 1);
        ledger.arrived(0, 4, 2);
        ledger.arrived(1, 5, 2);
        ledger.arrived(0, ledger.capacity(), 2);
        ledger.arrived(0, u64::MAX, 2);
        assert_eq!((ledger.strays(), ledger.arrived_pairs()), (4, 0));
    }

    #[test]
    fn outcomes_survive_their_codes() {
        use Outcome::*;
        for outcome in [Accepted, NotNew, Status(503), Broken, TimedOut, Unanswered] {
            assert_eq!(Outcome::from_code(outcome.to_code()), outcome);
        }
    }
}
