//! A postback made and changed through the API, and conversions for it.

use ricochet::domain::event::Event;
use serde_json::Value;

use crate::support::server::Server;
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

pub async fn ask(world: &World, server: &Server, query: &str) -> Value {
    world.graphql(server, &world.owner_token, query).await
}
