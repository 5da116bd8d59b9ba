//! Everything that can go wrong, at random and again and again: nodes killed or stopped for longer than
//! their leases, all of them at once, PostgreSQL and ClickHouse away for a moment or for longer than a
//! lease, trackers at their worst, while conversions keep coming in. In the end every accepted event
//! must be delivered, failed or skipped with a reason, every attempt must be in the log exactly once,
//! and nothing may have been sent twice but what somebody had in hand when it was killed or stopped.
//!
//! `RICOCHET_CHAOS_KILLS` says how many such troubles, `RICOCHET_CHAOS_SEED` repeats a run (as far as the
//! machine's own timing allows). `make chaos` makes a long run, `make test` a short one.

mod books;
pub mod dice;
mod trouble;
mod zoo;

use std::io::Write;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use futures_util::FutureExt;
use futures_util::future::join_all;
use ricochet::domain::event::Event;
use serde_json::{Value, json};

use self::dice::Dice;
use self::zoo::{Animal, BURST, NATURES, Nature, RATE, REFUSED, SLOW_PLACES};
use crate::support::databases::Databases;
use crate::support::dns;
use crate::support::server::{Server, client};
use crate::support::world::World;

const NODES: usize = 2;
const CLIENTS: usize = 8;
/// Of the short run that `make test` makes.
const FEW_KILLS: usize = 6;
/// Between tries of attempts; there are [`TRIES`] of them.
const WAIT_MS: i64 = 150;
const TRIES: usize = 60;
const TIMEOUT_MS: i32 = 400;
/// Of the tracker that lies, which may do so for as long as the run lasts.
const LIAR_WAIT_MS: i64 = 5_000;
const LIAR_TRIES: usize = 1_000;

fn from_environment(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_every_event_is_accounted_for() {
    let kills = from_environment("RICOCHET_CHAOS_KILLS").map_or(FEW_KILLS, |kills| kills as usize);
    let seed = from_environment("RICOCHET_CHAOS_SEED").unwrap_or_else(rand::random);
    println!("chaos: {kills} kills, seed {seed} (RICOCHET_CHAOS_SEED={seed} repeats it)");
    if let Err(panic) = AssertUnwindSafe(break_whatever_can(kills, seed)).catch_unwind().await {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let why = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        // Not through `eprintln!`, which the test runner keeps to itself until all tests are over: what
        // fails one time in many is to be found in the log of any run, however little of it is kept.
        let _ = writeln!(std::io::stderr(), "chaos: failed with {kills} kills and seed {seed}: {why}");
        resume_unwind(panic);
    }
}

async fn break_whatever_can(kills: usize, seed: u64) {
    let mut dice = Dice::of(seed);

    let world = World::on(Databases::own().await).await;
    let mut zoo = Vec::new();
    for nature in NATURES {
        let animal = Animal::start(nature, dice.throw()).await;
        let mut waits_ms = vec![WAIT_MS; TRIES];
        if nature == Nature::Lying {
            waits_ms.extend([LIAR_WAIT_MS; LIAR_TRIES]);
        }
        world.postback_with(&animal.url, &[Event::Sale], &waits_ms, TIMEOUT_MS).await;
        match nature {
            Nature::Slow => limit(&world, &animal.url, &format!("max_in_flight = {SLOW_PLACES}")).await,
            Nature::Rationed => {
                limit(&world, &animal.url, &format!("rate_per_second = {RATE}, burst = {BURST}")).await;
            }
            Nature::Lying => {
                let rule = json!([{ "check": "not_contains", "text": REFUSED, "otherwise": "retry" }]);
                limit(&world, &animal.url, &format!("success_rules = '{rule}'")).await;
            }
            _ => {}
        }
        zoo.push(animal);
    }
    let nameless = zoo.iter().find(|animal| animal.nature == Nature::Nameless).unwrap().clone();
    let name_server = dns::start(move || nameless.name_reply()).await.to_string();
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let settings = [("RICOCHET_OUTBOUND_NAME_SERVERS", name_server.as_str())];
        nodes.push(Server::start_with(&world.databases, &settings).await);
    }
    let click = world.click(&nodes[0], world.fixed.1).await;
    let load = Load {
        urls: nodes.iter().map(|node| node.url(&format!("/{}/s2s", world.api_key))).collect(),
        query: format!("click_id={click}&action=sale&status=approved"),
        accepted: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    let servers: Vec<String> = nodes.iter().map(|node| node.url("")).collect();
    let trouble = async {
        let mut held = 0;
        for (number, trouble) in trouble::plan(&mut dice, kills).into_iter().enumerate() {
            let began = Instant::now();
            let broken_off = trouble::make(trouble, &mut dice, &mut nodes, &world).await;
            held += broken_off;
            let accepted = load.accepted.load(Ordering::Relaxed);
            println!(
                "chaos: {}. {trouble:?}, {broken_off} attempts broken off, {:.1} s, {accepted} conversions",
                number + 1,
                began.elapsed().as_secs_f32()
            );
        }
        load.is_over.store(true, Ordering::Release);
        held
    };
    let (pool, token) = (world.databases.pool.clone(), world.owner_token.clone());
    let owner = tokio::spawn(resume_whatever_pauses(pool, token, servers));
    let (held, _) = tokio::join!(trouble, join_all((0..CLIENTS).map(|client| load.post(client))));

    zoo.iter().for_each(Animal::calm);
    let accepted = load.accepted.load(Ordering::Relaxed);
    println!("chaos: over after {accepted} conversions; waiting for the rest to be delivered");
    books::until_settled(&world, Duration::from_secs(240)).await;
    owner.abort();
    let totals = books::audit(&world, &zoo, accepted, held).await;
    println!("chaos: {totals}");
}

async fn limit(world: &World, url: &str, limits: &str) {
    let db = world.databases.pool.get().await.unwrap();
    let set = format!("UPDATE postbacks SET {limits} WHERE starts_with(url_template, $1)");
    assert_eq!(db.execute(&set, &[&url]).await.unwrap(), 1);
}

/// An owner who looks again and again which postbacks were paused (by a 410), and resumes them at
/// whichever node answers.
async fn resume_whatever_pauses(pool: Pool, token: String, servers: Vec<String>) {
    let client = client();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // PostgreSQL may be away at the moment.
        let Ok(db) = pool.get().await else { continue };
        let Ok(rows) = db.query("SELECT postback_id::text FROM postbacks WHERE is_paused", &[]).await else {
            continue;
        };
        for row in rows {
            let id: String = row.get(0);
            let query = format!("mutation {{ resumePostback(postbackId: \"{id}\") {{ postbackId }} }}");
            for server in &servers {
                let asked = client.post(format!("{server}/graphql")).bearer_auth(&token);
                let asked = asked.timeout(Duration::from_secs(5)).json(&json!({ "query": query }));
                let Ok(answer) = asked.send().await else { continue };
                let Ok(answer) = answer.json::<Value>().await else { continue };
                if answer.get("errors").is_none() {
                    break;
                }
            }
        }
    }
}

/// Advertisers that repeat a request until it is answered 2xx, by any node.
struct Load {
    urls: Vec<String>,
    query: String,
    accepted: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    async fn post(&self, client_number: usize) {
        let client = client();
        let mut number = 0;
        while !self.is_over.load(Ordering::Acquire) {
            let mut tries = 0;
            let began = Instant::now();
            loop {
                let node = &self.urls[(client_number + number + tries) % self.urls.len()];
                let url = format!("{node}?{}&request_id={client_number}-{number}", self.query);
                let answer = client.get(&url).timeout(Duration::from_secs(5)).send().await;
                match answer.map(|answer| answer.status().as_u16()) {
                    Ok(200) => break,
                    // 408: the node stood still before it had read all of the request.
                    Ok(503 | 408) | Err(_) => {}
                    Ok(status) => panic!("a conversion was answered {status}"),
                }
                tries += 1;
                assert!(began.elapsed() < Duration::from_secs(120), "no node takes conversions any more");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.accepted.fetch_add(1, Ordering::Relaxed);
            number += 1;
            // The load must leave room for ten destinations a conversion on a small machine.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }
}
