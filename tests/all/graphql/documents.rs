//! Every GraphQL text of the documentation and of `graphql/examples/`, on a running server.

use std::fs;
use std::path::{Path, PathBuf};

use ricochet::domain::event::Event;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;
use crate::tail::socket::Socket;

/// The files of a folder of the source, and of those in it, by their ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Page and text of each GraphQL block.
fn documented() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for path in files("docs", "md") {
        let page = fs::read_to_string(&path).unwrap();
        let blocks = page.split("```graphql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        texts.extend(blocks.map(|block| (path.display().to_string(), block.to_owned())));
    }
    for path in files("graphql/examples", "graphql") {
        texts.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
    }
    texts
}

/// A value that suits each variable an example may have.
fn variables(lead: &str) -> Value {
    json!({ "leadId": lead, "after": null, "cursor": null })
}

#[tokio::test]
async fn every_documented_text_does_what_it_says() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, &[("RICOCHET_MASTER_KEY", &"07".repeat(32))]).await;
    let ask = async |text: &str| world.graphql(&server, &world.owner_token, text).await;
    let advertiser = ask("{ advertisers { edges { node { advertiserId } } } }").await;
    let advertiser = advertiser["advertisers"]["edges"][0]["node"]["advertiserId"].clone();
    let create = format!(
        r#"mutation {{ createIntegration(input: {{advertiserId: {advertiser}, name: "x"}})
        {{ integration {{ integrationId }} }} }}"#
    );
    let integration = ask(&create).await["createIntegration"]["integration"]["integrationId"].clone();
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Payout]).await;
    let db = world.databases.pool.get().await.unwrap();
    let postback: String = db.query_one("SELECT postback_id::text FROM postbacks", &[]).await.unwrap().get(0);
    drop(db);
    let click = world.click(&server, world.fixed.1).await;
    let report =
        |id: &str, status: &str| format!("click_id={click}&request_id={id}&action=sale&status={status}");
    let (_, body) = world.report(&server, &report("r", "hold")).await;
    let lead = body["lead_id"].as_str().unwrap();

    assert_eq!(world.report(&server, "click_id=nobody&request_id=u&action=sale&status=hold").await.0, 422);
    world.until_settled().await;
    let query = "SELECT toString(inbound_id) FROM inbound_requests WHERE reason_code = 'unknown_click'";
    let refused: String = world.databases.log.client().query(query).fetch_one().await.unwrap();

    let texts = documented();
    assert!(texts.len() >= 15, "{}", texts.len());
    for (page, text) in texts {
        // What a text acts upon is there before it, and a new one each time.
        let mut inbound = String::new();
        if text.contains("inboundIds") {
            let id = uuid::Uuid::new_v4().to_string();
            assert_eq!(world.report(&server, &report(&id, "odd")).await.0, 202);
            let newest = "SELECT inbound_id::text FROM quarantine ORDER BY inbound_id DESC LIMIT 1";
            let db = world.databases.pool.get().await.unwrap();
            inbound = db.query_one(newest, &[]).await.unwrap().get(0);
        }
        if text.contains("reprocess") {
            inbound.clone_from(&refused);
        }
        let partner = world.partner.to_string();
        let mut text = text
            .replace("0198d5f0-0000-7000-8000-000000000001", advertiser.as_str().unwrap())
            .replace("0198d5f0-0000-7000-8000-000000000002", &world.fixed.0.to_string())
            .replace("0198d5f0-0000-4000-8000-000000000003", integration.as_str().unwrap())
            .replace("0198d5f0-0000-7000-8000-000000000004", &world.fixed.1.to_string())
            .replace("0198d5f0-0000-7000-8000-000000000007", lead)
            .replace("0198d5f0-0000-7000-8000-000000000008", &postback);
        for (argument, id) in [
            ("inboundIds: [", inbound.as_str()),
            ("leadId: ", lead),
            ("partnerIds: [", &partner),
            ("postbackId: ", &postback),
        ] {
            text = text.replace(&format!("{argument}\"…\""), &format!("{argument}\"{id}\""));
        }
        if text.contains("subscription ") {
            let mut socket = Socket::of(&server, &world.owner_token).await;
            for (id, query) in [("text", text.as_str()), ("end", "{ __typename }")] {
                let subscribe = json!({ "id": id, "type": "subscribe", "payload": { "query": query } });
                socket.say(subscribe).await;
            }
            loop {
                let heard = socket.hear().await.unwrap();
                assert_eq!(heard["payload"].get("errors"), None, "{page}: {heard}");
                if (&heard["id"], &heard["type"]) == (&json!("end"), &json!("complete")) {
                    break;
                }
            }
            continue;
        }
        let request = world.client.post(server.url("/graphql")).bearer_auth(&world.owner_token);
        let request = request.json(&json!({ "query": text, "variables": variables(lead) }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer.get("errors"), None, "{page}: {text}");
    }
}
