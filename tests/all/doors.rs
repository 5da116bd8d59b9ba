//! The doors beside `s2s`, and what all doors have in common.

mod api;
mod batches;
mod browser;
mod documents;
mod hostile;
mod manners;
mod script;

use serde_json::Value;

use crate::support::server::Server;
use crate::support::world::World;

/// `(field, code)` of every error of an answer.
fn codes(body: &Value) -> Vec<(&str, &str)> {
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {body}"));
    errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

/// Posts to the Conversions API; status and body of the answer.
async fn post(
    world: &World,
    server: &Server,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> (u16, String) {
    let request = world.client.post(server.url("/api/v1/conversions")).bearer_auth(&world.api_key);
    let answer = request.header("content-type", content_type).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn post_json(world: &World, server: &Server, body: &Value) -> (u16, Value) {
    let (status, answer) = post(world, server, "application/json", body.to_string()).await;
    (status, serde_json::from_str(&answer).unwrap())
}
