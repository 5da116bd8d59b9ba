//! What breaks, in which order, and what it breaks off.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tokio::time::sleep;

use super::dice::Dice;
use crate::support::databases::EnginePair;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A node is killed.
    Kill,
    /// A node ends as an operator would end it.
    Stop,
    /// No node is left.
    KillAll,
    /// A node does nothing for longer than its lease (SIGSTOP), and goes on as if nothing had been.
    Freeze,
    /// A node is killed, and PostgreSQL as well.
    KillWithPostgres,
    /// A node is killed, and PostgreSQL ends politely.
    KillAndStopPostgres,
    /// A node is killed, and ClickHouse as well.
    KillWithClickhouse,
    /// PostgreSQL is away for longer than the leases of the nodes, which live.
    PostgresAway,
}

/// What no run is without.
const ALWAYS: [Trouble; 4] =
    [Trouble::KillWithPostgres, Trouble::KillWithClickhouse, Trouble::KillAll, Trouble::Kill];
/// What takes its time: a short run has one of them, a longer one all.
const LONG: [Trouble; 2] = [Trouble::Freeze, Trouble::PostgresAway];
const SHORT_RUN: usize = 10;

/// Longer than a node's lease (6 s) and the round in which others see that it has lapsed.
const LONGER_THAN_A_LEASE_MS: std::ops::Range<u64> = 7_000..8_500;

pub fn plan(dice: &mut Dice, count: usize) -> Vec<Trouble> {
    let mut plan = ALWAYS.to_vec();
    match count {
        ..=SHORT_RUN => plan.push(LONG[dice.within(0..2) as usize]),
        _ => plan.extend(LONG),
    }
    while plan.len() < count {
        plan.push(match dice.within(0..48) {
            0..4 => Trouble::Stop,
            4..7 => Trouble::KillAll,
            7..9 => Trouble::Freeze,
            9 => Trouble::PostgresAway,
            10..13 => Trouble::KillWithPostgres,
            13..16 => Trouble::KillAndStopPostgres,
            16..19 => Trouble::KillWithClickhouse,
            _ => Trouble::Kill,
        });
    }
    for place in (1..plan.len()).rev() {
        plan.swap(place, dice.within(0..place as u64 + 1) as usize);
    }
    plan
}

/// Makes it, mends it, and says how many claims were in the hands of who was killed or stopped.
pub async fn make(trouble: Trouble, dice: &mut Dice, nodes: &mut [Server], world: &World) -> usize {
    sleep(Duration::from_millis(dice.within(0..400))).await;
    let chosen = dice.within(0..nodes.len() as u64) as usize;
    let pair = world.databases.pair.clone();
    let moment = Duration::from_millis(dice.within(0..500));
    let long = Duration::from_millis(dice.within(LONGER_THAN_A_LEASE_MS));
    let held = match trouble {
        Trouble::PostgresAway => {
            postgres_away(pair, dice.within(0..2) == 0, long).await;
            return 0;
        }
        Trouble::Freeze => {
            let pid = nodes[chosen].pid();
            kill(pid, Signal::SIGSTOP).unwrap();
            let held = held_by(world, &nodes[chosen].node_id()).await;
            sleep(long).await;
            kill(pid, Signal::SIGCONT).unwrap();
            return held;
        }
        Trouble::KillAll => {
            let mut held = 0;
            for node in nodes.iter_mut() {
                let id = node.node_id();
                node.kill();
                held += held_by(world, &id).await;
            }
            for node in nodes.iter_mut() {
                node.restart().await;
            }
            return held;
        }
        Trouble::Stop => {
            let id = nodes[chosen].node_id();
            assert!(nodes[chosen].stop().success(), "SIGTERM: {}", nodes[chosen].log());
            held_by(world, &id).await
        }
        Trouble::Kill
        | Trouble::KillWithPostgres
        | Trouble::KillAndStopPostgres
        | Trouble::KillWithClickhouse => {
            let id = nodes[chosen].node_id();
            nodes[chosen].kill();
            held_by(world, &id).await
        }
    };
    match trouble {
        Trouble::KillWithPostgres => postgres_away(pair, false, moment).await,
        Trouble::KillAndStopPostgres => postgres_away(pair, true, moment).await,
        Trouble::KillWithClickhouse => {
            let restart = move || {
                pair.engines.kill_clickhouse().unwrap();
                std::thread::sleep(moment * 4);
                pair.engines.start_clickhouse().unwrap();
            };
            tokio::task::spawn_blocking(restart).await.unwrap();
        }
        _ => {}
    }
    nodes[chosen].restart().await;
    held
}

async fn postgres_away(pair: Arc<EnginePair>, politely: bool, outage: Duration) {
    let restart = move || {
        if politely { pair.engines.stop_postgres() } else { pair.engines.kill_postgres() }.unwrap();
        std::thread::sleep(outage);
        pair.engines.start_postgres().unwrap();
    };
    tokio::task::spawn_blocking(restart).await.unwrap();
}

/// The claims of a node that does nothing any more, once PostgreSQL is through with what it had asked for.
async fn held_by(world: &World, node_id: &str) -> usize {
    let claims = format!("SELECT count(*) FROM deliveries WHERE claimed_by = '{node_id}'");
    let last = std::cell::Cell::new((-1, 0));
    eventually("the claims of a dead node stand still", || async {
        // The pool may have connections that PostgreSQL's end has broken.
        let row = world.databases.pool.get().await.ok()?.query_one(&claims, &[]).await.ok()?;
        let (now, (before, times)) = (row.get::<_, i64>(0), last.get());
        last.set((now, if now == before { times + 1 } else { 0 }));
        (last.get().1 >= 4).then_some(usize::try_from(now).unwrap())
    })
    .await
}
