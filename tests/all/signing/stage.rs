//! A world with a postback of the partner's that can be signed.

use ricochet::domain::event::Event;
use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;
use serde_json::Value;

use crate::access::stage::WITH_MASTER_KEY;
use crate::support::server::Server;
use crate::support::tracker::Tracker;
use crate::support::world::World;

pub struct Stage {
    pub world: World,
    pub server: Server,
    pub postback_id: String,
    pub partner_token: String,
    pub click: String,
}

impl Stage {
    pub async fn on(tracker: &Tracker) -> Self {
        let world = World::new().await;
        world.postback(&tracker.url, &[Event::Sale]).await;
        let row = world.databases.pool.get().await.unwrap();
        let row = row.query_one("SELECT postback_id::text FROM postbacks", &[]).await.unwrap();
        let grant = Grant::Partner(world.partner);
        let partner_token = tokens::create(&world.databases.pool, grant, "").await.unwrap().secret;
        let server = Server::start_with(&world.databases, WITH_MASTER_KEY).await;
        let click = world.click(&server, world.fixed.1).await;
        Self { world, server, postback_id: row.get(0), partner_token, click }
    }

    /// As the postback's own partner.
    pub async fn ask(&self, query: &str) -> Value {
        self.world.graphql(&self.server, &self.partner_token, query).await
    }

    /// The text and the id of a new secret.
    pub async fn create_secret(&self, overlap: &str) -> (String, String) {
        let id = &self.postback_id;
        let made = self
            .ask(&format!(
                r#"mutation {{ createPostbackSecret(input: {{postbackId: "{id}" {overlap}}}) {{ secret secretId }} }}"#
            ))
            .await;
        let text = |name: &str| made["createPostbackSecret"][name].as_str().unwrap().to_owned();
        (text("secret"), text("secretId"))
    }

    pub async fn sign(&self, form: &str) {
        let id = &self.postback_id;
        self.ask(&format!(
            r#"mutation {{ setPostbackSigning(input: {{postbackId: "{id}", form: {form}}}) {{ form }} }}"#
        ))
        .await;
    }

    /// Makes a conversion, which the postback hears of.
    pub async fn convert(&self, request_id: &str) {
        let report = format!("click_id={}&request_id={request_id}&action=sale&status=new", self.click);
        assert_eq!(self.world.report(&self.server, &report).await.0, 200);
    }
}
