//! The history is kept for as long as a delivery waits that is filled with it.

use chrono::{Months, Utc};
use ricochet::domain::event::Event;
use ricochet::store::partitions::{self, Retention};

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

#[actix_web::test]
async fn a_month_stays_while_a_delivery_of_it_waits() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let postback = world.only_postback().await;
    let pause = format!("mutation {{ pausePostback(postbackId: \"{postback}\") {{ isPaused }} }}");
    world.ask(&server, &pause).await;
    world.sales(&server, &click, 1).await;
    server.stop();
    let db = world.databases.pool.get().await.unwrap();
    let month: String =
        db.query_one("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')", &[]).await.unwrap().get(0);
    let retention = Retention { clicks_days: 1, history_days: 1 };
    let later = Utc::now() + Months::new(3);
    let history = format!("conversion_history_{month}");
    let dropped = partitions::keep(&world.databases.pool, retention, later).await.unwrap();
    assert!(dropped.contains(&format!("clicks_{month}")), "{dropped:?}");
    assert!(!dropped.contains(&history), "{dropped:?}");
    db.execute("DELETE FROM deliveries", &[]).await.unwrap();
    let dropped = partitions::keep(&world.databases.pool, retention, later).await.unwrap();
    assert!(dropped.contains(&history), "{dropped:?}");
    assert!(dropped.contains(&format!("deliveries_finished_{month}")), "{dropped:?}");
}
