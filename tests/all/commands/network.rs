use serde_json::json;

use super::{PATIENT, text, until};
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

#[actix_web::test]
async fn a_network_is_made_and_changed() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let advertiser = world.says(&["advertiser", "create", "Shop"]);
    let partner = world.says(&["partner", "create", "Media"]);
    let landing = "https://shop.example/?c={click_id}";
    let offer = ["offer", "create", "--advertiser", &advertiser, "--name", "Boots", "--landing-url", landing];
    let offer = world.says(&offer);
    let action =
        ["action", "create", "--offer", &offer, "--name", "sale", "--kind", "sale", "--payout", "24"];
    let action = world.tells(&[&action[..], &["--advertiser-rate", "30"]].concat());
    assert_eq!((&action["payout_amount"], &action["payout_model"]), (&json!("24"), &json!("fixed")));
    let action = text(&action["action_id"]);
    let link = world.says(&["link", "create", "--offer", &offer, "--partner", &partner]);

    world.says(&["advertiser", "update", &advertiser, "--attribution-window-hours", "720"]);
    world.says(&["advertiser", "update", &advertiser, "--name", "Shop Ltd"]);
    world.says(&["partner", "update", &partner, "--name", "Media Ltd"]);
    let changed = ["offer", "update", &offer, "--allows-refunds", "no", "--click-id-parameter", "cid"];
    assert_eq!(world.tells(&changed)["name"], "Boots");
    let terms = ["--payout", "26.50", "--hold-days", "14", "--default", "yes", "--repeatable", "yes"];
    world.says(&[&["action", "update", &action][..], &terms].concat());

    let query = "{ advertisers { edges { node { name attributionWindowHours } } }
                   partners { edges { node { name } } }
                   offers { edges { node { name allowsRefunds clickIdParameter
                       actions { name payoutAmount holdDays isDefault isRepeatable } } } }
                   links { edges { node { linkId } } } }";
    let seen = world.asks(&server, query).await;
    let newest = |list: &str| seen[list]["edges"][0]["node"].clone();
    assert_eq!(newest("advertisers"), json!({ "name": "Shop Ltd", "attributionWindowHours": 720 }));
    assert_eq!(newest("partners")["name"], "Media Ltd");
    assert_eq!(newest("links")["linkId"], json!(link));
    let expected = json!({
        "name": "Boots", "allowsRefunds": false, "clickIdParameter": "cid",
        "actions": [{ "name": "sale", "payoutAmount": "26.50", "holdDays": 14, "isDefault": true,
                      "isRepeatable": true }],
    });
    assert_eq!(newest("offers"), expected);
    world.says(&["advertiser", "update", &advertiser, "--attribution-window-hours", "none"]);
    let seen = world.asks(&server, query).await;
    assert!(seen["advertisers"]["edges"][0]["node"]["attributionWindowHours"].is_null());
    assert_eq!(world.audited(&server, "ADVERTISER").await, ["create", "update", "update", "update"]);
    assert_eq!(world.audited(&server, "ACTION").await, ["create", "update"]);

    // Lists are tables for people, and whole for scripts.
    let table = world.says(&["offer", "list", "--advertiser", &advertiser]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(
        lines[0].starts_with("OFFER ID ") && lines[1].contains("  Boots  https://shop.example/"),
        "{table}"
    );
    let listed = world.tells(&["offer", "list", "--advertiser", &advertiser]);
    assert_eq!(listed[0]["actions"][0]["payout_amount"], "26.50");
    assert_eq!(world.tells(&["action", "list", "--offer", &offer])[0]["action_id"], json!(action));
    assert_eq!(world.tells(&["link", "list", "--partner", &partner])[0]["link_id"], json!(link));
    assert_eq!(world.tells(&["partner", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(world.tells(&["advertiser", "list"])[0]["name"], "Shop Ltd");
}

#[actix_web::test]
async fn a_postback_is_paused_resumed_changed_and_deleted() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let partner = world.partner.to_string();
    let url = |path: &str| format!("{}/{path}?txid={{txid}}", tracker.url);
    let create = ["postback", "create", "--partner", &partner, "--events", "hold", "--url"];
    let postback = world.says(&[&create[..], &[url("first").as_str()]].concat());
    // Paused first: a server that knows of the events knows of the pause.
    world.says(&["postback", "pause", &postback]);
    world.says(&["postback", "update", &postback, "--events", "approve,reject", "--url", &url("second")]);
    let paused = "{ postbacks { edges { node { isPaused events } } } }";
    let node = world.asks(&server, paused).await["postbacks"]["edges"][0]["node"].clone();
    assert_eq!(node, json!({ "isPaused": true, "events": ["APPROVE", "REJECT"] }));

    let click = world.click(&server, world.fixed.1).await;
    let report = |request: &str| format!("click_id={click}&request_id={request}&action=sale&status=approved");
    until("the server knows of the postback", || async {
        let known = "SELECT count(*) FROM deliveries";
        let request = uuid::Uuid::now_v7().to_string();
        assert_eq!(world.report(&server, &report(&request)).await.0, 200);
        world.count(known).await > 0
    })
    .await;
    assert_eq!(tracker.received().len(), 0);
    assert!(world.says(&["postback", "list"]).contains("  yes  "));
    world.says(&["postback", "resume", &postback]);
    let received = tracker.until_received(1).await;
    assert!(received[0].parameter("txid").is_some());
    world.until_settled().await;

    assert_eq!(world.says(&["postback", "delete", &postback]), format!("Deleted {postback}."));
    let seen = world.asks(&server, paused).await;
    assert_eq!(seen["postbacks"]["edges"], json!([]));
    assert!(
        world.refuses(&["postback", "pause", &postback]).contains("POSTBACK_ID: there is no such postback")
    );
    let actions = ["create", "pause", "update", "resume", "delete"];
    assert_eq!(world.audited(&server, "POSTBACK").await, actions);
}

#[actix_web::test]
async fn a_link_reads_a_composite_parameter() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let link = world.fixed.1.to_string();
    world.says(&["link", "composite", &link, "--ready", "revshare"]);
    let query =
        "{ links { edges { node { linkId composite { ready parameter separator fields accountValue } } } } }";
    let composite = || async {
        let seen = world.asks(&server, query).await;
        let edges = seen["links"]["edges"].as_array().unwrap().clone();
        let found = edges.into_iter().find(|edge| edge["node"]["linkId"] == json!(link)).unwrap();
        found["node"]["composite"].clone()
    };
    assert_eq!(composite().await["ready"], "REVSHARE");
    let custom =
        ["--parameter", "track", "--separator", "-", "--fields", "account_id,sub1,clickid", "--end", "-end"];
    let account = ["--account-parameter", "id", "--account-value", "7"];
    world.says(&[&["link", "composite", &link][..], &custom, &account].concat());
    let expected = json!({ "ready": null, "parameter": "track", "separator": "-",
                           "fields": ["account_id", "sub1", "clickid"], "accountValue": "7" });
    assert_eq!(composite().await, expected);
    let listed = world.tells(&["link", "list", "--offer", &world.fixed.0.to_string()]);
    assert_eq!(listed[0]["composite"]["end"], "-end");

    // A visitor's click is taken apart by it.
    let url = server.url(&format!("/click/{link}?track=AFF-from-t1-end&id=7&format=json"));
    until("the server reads the parameter", || async {
        assert_eq!(world.client.get(&url).send().await.unwrap().status(), 200);
        world.count("SELECT count(*) FROM clicks WHERE sub1 = 'from' AND partner_clickid = 't1'").await > 0
    })
    .await;
    world.says(&["link", "composite", &link, "--none"]);
    assert!(composite().await.is_null());
    assert_eq!(world.audited(&server, "LINK").await, ["set_composite"; 3]);
}

#[actix_web::test]
async fn a_key_and_a_token_are_listed_and_end() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, PATIENT).await;
    let advertiser = world.advertiser_id().await;
    let made = world.tells(&["key", "create", "--advertiser", &advertiser, "--label", "second"]);
    let (key, id) = (text(&made["api_key"]), text(&made["api_key_id"]));
    let status = || async {
        world.client.get(server.url(&format!("/{key}/s2s"))).send().await.unwrap().status().as_u16()
    };
    until("the key is known", || async { status().await == 422 }).await;
    assert!(world.refuses(&["key", "create", "--advertiser", &advertiser]).contains("--advertiser: "));
    assert!(world.says(&["key", "list", "--advertiser", &advertiser]).contains("  second"));
    assert!(!world.says(&["key", "list", "--json"]).contains(&key));
    world.says(&["key", "revoke", &id]);
    until("the key is nobody's", || async { status().await == 401 }).await;

    let token = world.says(&["token", "create", "--role", "bi", "--label", "report"]);
    let listed = world.tells(&["token", "list"]);
    let report = listed.as_array().unwrap().iter().find(|one| one["label"] == "report").unwrap().clone();
    assert_eq!((&report["role"], &report["revoked_at"]), (&json!("bi"), &json!(null)));
    assert!(!listed.to_string().contains(&token));
    assert!(world.says(&["token", "list"]).contains("  bi  "));
}
