//! A postback made and changed through the API, and conversions for it.

use ricochet::domain::event::Event;

use crate::support::eventually;
use crate::support::server::{Server, client};
use crate::support::tracker::Tracker;
use crate::support::world::World;

/// The id of the partner's only postback, which tells `tracker` of sales, with further settings
/// in GraphQL's words.
pub async fn postback(world: &World, server: &Server, tracker: &Tracker, settings: &str) -> String {
    let partner = world.partner;
    let url = format!("{}/p?txid={{txid}}", tracker.url);
    let made = world
        .graphql(
            server,
            &world.owner_token,
            &format!(
                r#"mutation {{ createPostback(input: {{
                    partnerId: "{partner}", events: [{}], urlTemplate: "{url}", {settings}
                }}) {{ postbackId }} }}"#,
                Event::Sale.code().to_uppercase()
            ),
        )
        .await;
    made["createPostback"]["postbackId"].as_str().unwrap().to_owned()
}

/// Reports sales `numbers`, each of which must be taken.
pub async fn report(world: &World, server: &Server, click: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let report = format!("click_id={click}&request_id={number}&action=sale&status=new");
        assert_eq!(world.report(server, &report).await.0, 200);
    }
}

/// Claims are held up until the lock is let go, which the session that says this holds.
pub const HOLD_UP_CLAIMS: &str = "
    CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$;
    SELECT pg_advisory_lock(42);
    CREATE TRIGGER hold_up BEFORE UPDATE ON deliveries FOR EACH ROW
    WHEN (OLD.claimed_by IS NULL AND NEW.claimed_by IS NOT NULL) EXECUTE FUNCTION hold_up();";

/// Waits until each node knows of all the others.
pub async fn until_acquainted(nodes: &[Server]) {
    for node in nodes {
        eventually("a node knows of all", || async {
            (metric(node, "ricochet_live_nodes").await >= nodes.len() as f64).then_some(())
        })
        .await;
    }
}

/// Waits until each node has looked for what is due twice more: the first look may have begun before.
pub async fn until_looked_again(nodes: &[Server]) {
    for node in nodes {
        let before = metric(node, "ricochet_rescue_rounds_total").await;
        eventually("a node looks again", || async {
            (metric(node, "ricochet_rescue_rounds_total").await >= before + 2.0).then_some(())
        })
        .await;
    }
}

/// The value of a metric without labels; 0 where there is none yet.
pub async fn metric(node: &Server, name: &str) -> f64 {
    let text = client().get(node.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}
