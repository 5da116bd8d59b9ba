//! The audit afterwards: what was accepted, what was sent, what was logged.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::TRIES;
use super::zoo::{Animal, BURST, Nature, RATE, SLOW_PLACES};
use crate::support::world::World;

/// One delivery's lines in the log.
#[derive(Default)]
struct Account {
    txid: String,
    url: String,
    /// Attempt number, outcome, error kind, reason.
    attempts: Vec<(u32, String, String, String)>,
}

pub struct Totals {
    conversions: usize,
    deliveries: usize,
    attempts: usize,
    interrupted: usize,
    /// Attempts whose answer came too late.
    late: usize,
    states: HashMap<String, usize>,
    duplicates: usize,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} conversions, {} deliveries {:?}, {} attempts ({} interrupted, {} too late), {} duplicates on the wire",
            self.conversions,
            self.deliveries,
            self.states,
            self.attempts,
            self.interrupted,
            self.late,
            self.duplicates
        )
    }
}

/// Waits until nothing is left to be delivered or shipped; as long as there is progress.
pub async fn until_settled(world: &World, patience: Duration) {
    let (mut left, mut since) = (i64::MAX, Instant::now());
    loop {
        let now = world
            .count("SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM log_batches)")
            .await;
        if now == 0 {
            return;
        }
        if now < left {
            (left, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < patience, "{now} deliveries and log batches are left, and stay");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// `held`: claims that nodes had when they were killed or stopped, over all of those times.
pub async fn audit(world: &World, zoo: &[Animal], accepted: usize, held: usize) -> Totals {
    assert_eq!(
        world.count("SELECT count(*) FROM conversions").await,
        i64::try_from(accepted).unwrap(),
        "conversions accepted and conversions kept"
    );
    let accounts = accounts(world).await;
    let finished = finished(world).await;
    assert_eq!(finished.len(), accepted * zoo.len(), "deliveries");
    assert_eq!(accounts.len(), finished.len(), "deliveries in the log");

    let mut states: HashMap<String, usize> = HashMap::new();
    let (mut attempts, mut interrupted, mut late) = (0, 0, 0);
    // Attempts, and those whose answer was lost, by destination and conversion.
    let mut told: HashMap<(usize, &str), (u32, u32)> = HashMap::new();
    let mut delivered: HashSet<(usize, &str)> = HashSet::new();
    for (delivery, (state, reason)) in &finished {
        let account =
            accounts.get(delivery).unwrap_or_else(|| panic!("delivery {delivery} is not in the log"));
        let numbers: Vec<u32> = account.attempts.iter().map(|attempt| attempt.0).collect();
        let expected: Vec<u32> = (1..=u32::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, expected, "attempts of delivery {delivery}: {:?}", account.attempts);
        let (_, outcome, _, last_reason) = account.attempts.last().unwrap();
        assert_eq!(outcome, state, "delivery {delivery} and its last attempt");
        assert!(
            state == "delivered" || !reason.is_empty(),
            "delivery {delivery} has {state} without a reason"
        );
        assert!(state == "delivered" || !last_reason.is_empty(), "the log gives no reason for {delivery}");
        *states.entry(state.clone()).or_default() += 1;
        attempts += numbers.len();
        let ended_by = |kind: &str| account.attempts.iter().filter(|attempt| attempt.2 == kind).count();
        interrupted += ended_by("interrupted");
        // On a busy machine an answer may come too late.
        late += ended_by("timeout");
        let lost = ended_by("interrupted") + ended_by("timeout");
        let place = zoo.iter().position(|animal| account.url.starts_with(&animal.url)).unwrap();
        match state.as_str() {
            "delivered" => drop(delivered.insert((place, &account.txid))),
            _ => assert!(
                zoo[place].nature == Nature::Redirecting || numbers.len() > TRIES,
                "delivery {delivery} to {:?} is given up after {} attempts: {last_reason}",
                zoo[place].nature,
                numbers.len()
            ),
        }
        let entry = told.entry((place, account.txid.as_str())).or_default();
        *entry = (entry.0 + u32::try_from(numbers.len()).unwrap(), entry.1 + u32::try_from(lost).unwrap());
    }

    let mut duplicates = 0usize;
    for (place, animal) in zoo.iter().enumerate() {
        for (txid, times) in animal.received() {
            let (attempts, lost) = told[&(place, txid.as_str())];
            assert!(
                times <= attempts,
                "{:?} got {txid} {times} times, the log tells {attempts}",
                animal.nature
            );
            // A steady tracker's repeats are all ours: others ask for them.
            if animal.nature == Nature::Steady {
                assert!(
                    times <= 1 + lost,
                    "{txid} was sent {times} times, {lost} of them lost by a kill or late"
                );
            }
        }
        for (txid, times) in animal.settled() {
            let (_, lost) = told[&(place, txid.as_str())];
            assert!(
                times <= 1 + lost,
                "{:?} had answered {txid} for good and got it {times} times, {lost} of them lost by a kill or late",
                animal.nature
            );
            duplicates += times as usize - 1;
        }
        // Nothing passes for delivered that its tracker has not taken, whatever else it answered. A bomb is
        // behind a 200, which counts by itself.
        let taken = animal.settled();
        for (_, txid) in delivered.iter().filter(|(at, _)| *at == place) {
            let is_taken = taken.contains_key(*txid) || animal.nature == Nature::Bombing;
            assert!(is_taken, "{:?} has not taken {txid}", animal.nature);
        }
        if animal.nature == Nature::Lying {
            let (received, true_answers): (u32, u32) =
                (animal.received().values().sum(), taken.values().sum());
            assert!(received > true_answers, "no lie was told");
            assert_eq!(taken.len(), accepted, "the liar has taken every conversion in the end");
        }
        // What a killed node had under way is answered while its heirs send already.
        if animal.nature == Nature::Slow {
            let most = 2 * usize::try_from(SLOW_PLACES).unwrap();
            assert!(animal.peak() <= most, "{} at once, where {SLOW_PLACES} are allowed", animal.peak());
        }
        if animal.nature == Nature::Rationed {
            // As docs/delivery.md says: the rate, a tenth more, the burst; and where nodes come and go,
            // for half a second one share more, which may be all of it.
            let most = 2 * (RATE + RATE / 10 + BURST);
            let found = animal.most_in_a_second();
            assert!(found <= most, "{found} in a second, where {RATE} are allowed");
            println!("chaos: {found} requests in the fullest second of the rationed tracker");
        }
        // Its limit is no reason to be left out.
        if matches!(animal.nature, Nature::Steady | Nature::Rationed) {
            assert_eq!(animal.received().len(), accepted, "{:?} hears of every conversion", animal.nature);
        }
    }
    // A node that lives is not taken for dead, whatever else is away: so no attempt is interrupted but
    // those that a node had in hand when it was killed or stopped.
    assert!(interrupted <= held, "{interrupted} attempts were interrupted, where dead nodes had {held}");
    assert!(
        duplicates <= held + late,
        "{duplicates} duplicates, where {held} sends were broken off and {late} late"
    );
    Totals {
        conversions: accepted,
        deliveries: finished.len(),
        attempts,
        interrupted,
        late,
        states,
        duplicates,
    }
}

async fn accounts(world: &World) -> HashMap<String, Account> {
    let rows: Vec<(String, String, String, u32, String, String, String)> = world
        .databases
        .log
        .client()
        .query(
            "SELECT toString(delivery_id), txid, url, toUInt32(attempt), toString(outcome), toString(error_kind), reason
             FROM attempts ORDER BY delivery_id, attempt",
        )
        .fetch_all()
        .await
        .unwrap();
    let mut accounts: HashMap<String, Account> = HashMap::new();
    for (delivery, txid, url, attempt, outcome, error_kind, reason) in rows {
        let account = accounts.entry(delivery).or_default();
        (account.txid, account.url) = (txid, url);
        account.attempts.push((attempt, outcome, error_kind, reason));
    }
    accounts
}

/// State and reason of every finished delivery.
async fn finished(world: &World) -> HashMap<String, (String, String)> {
    let db = world.databases.pool.get().await.unwrap();
    let rows =
        db.query("SELECT delivery_id::text, state, reason FROM deliveries_finished", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}
