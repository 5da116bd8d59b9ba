//! Presets by command, and postbacks as the command line lists and shows them.

use serde_json::json;

use super::text;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_is_listed_shown_and_set_up() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let listed = world.tells(&["preset", "list"]);
    let keitaro = listed.as_array().unwrap().iter().find(|row| row["system"] == "Keitaro").unwrap();
    assert_eq!((&keitaro["direction"], &keitaro["verified"]), (&json!("told"), &json!("verified")));
    assert!(text(&keitaro["source"]).contains("https://"), "{keitaro}");
    let table = world.says(&["preset", "list"]);
    assert!(table.starts_with("SYSTEM") && table.contains("\nVoluum  "), "{table}");

    let shown = world.tells(&["preset", "show", "keitaro"]);
    assert_eq!(shown["system"], "Keitaro");
    let values: Vec<String> =
        shown["values"].as_array().unwrap().iter().map(|value| text(&value["name"])).collect();
    assert_eq!(&values[..2], ["domain", "key"]);
    assert_eq!((values.last().unwrap().as_str(), values.len()), ("sub_id_15", 19));
    let read = world.says(&["preset", "show", "Chatterfy"]);
    for part in [
        "--set uuid=…",
        "First Deposit on approve if kind_event == \"ftd\", without <click_name> skipped",
        "Its click id {{tracker.clickid}} goes into the parameter sub4.",
        "Recurring Deposit is reported to\n  /api/postbacks/{integration_id}/tracker-postback?tracker.event=resale",
        "Source: Chatterfy",
    ] {
        assert!(read.contains(part), "{part}: {read}");
    }
    assert!(world.refuses(&["preset", "show", "Keitro"]).contains("choose one of Keitaro"));

    let (partner, link) = (world.partner.to_string(), world.fixed.1.to_string());
    let domain = format!("domain={}", tracker.url);
    let apply =
        ["preset", "apply", "Keitaro", "--partner", &partner, "--registration-link", &link, "--base-url"];
    let apply = [&apply[..], &["https://go.example", "--set", &domain, "--set", "key=k1"]].concat();
    let dry = world.tells(&[&apply[..], &["--dry-run"]].concat());
    assert_eq!((dry["postbacks"].as_array().unwrap().len(), &dry["postback_ids"]), (2, &json!([])));
    assert_eq!(dry["postbacks"][0]["required_macros"], json!(["clickid"]));
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 0);
    assert!(world.refuses(&apply[..apply.len() - 2]).contains("--set key: "));

    let made = world.says(&apply);
    assert!(made.ends_with(&format!("registration link: https://go.example/click/{link}?clickid={{subid}}")));
    let twice = world.refuses(&apply);
    assert!(twice.contains("--allow-duplicate: postback ") && twice.contains("(Keitaro: Status)"), "{twice}");
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 2);

    // They are found by what they are, and tell what they should.
    let rows = world.tells(&["postback", "list", "--preset", "keitaro", "--text", "keitaro: STATUS"]);
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["name"]), (1, &json!("Keitaro: Status")));
    let id = text(&rows[0]["postback_id"]);
    assert!(world.says(&["postback", "list", "--partner", &partner]).contains("Keitaro: Rebill"));
    for nothing in [["--owner", "platform"], ["--paused", "yes"], ["--scope", "link"], ["--failing", "yes"]] {
        let listed = world.tells(&[&["postback", "list"][..], &nothing].concat());
        assert_eq!(listed, json!([]), "{nothing:?}");
    }
    let shown = world.tells(&["postback", "show", &id]);
    assert_eq!((&shown["preset"], &shown["partner_id"]), (&json!("Keitaro"), &json!(partner)));
    world.says(&["postback", "update", &id, "--name", "Main tracker"]);
    assert_eq!(world.tells(&["postback", "show", &id])["name"], "Main tracker");
    let create = ["postback", "create", "--partner", &partner, "--events", "hold", "--url"];
    let create = [&create[..], &[shown["url_template"].as_str().unwrap()]].concat();
    let condition = ["--condition", shown["condition"].as_str().unwrap()];
    assert!(world.refuses(&[&create[..], &condition].concat()).contains("(Main tracker)"));
    world.says(&[&create[..], &condition, &["--allow-duplicate", "--name", "Twin"]].concat());
    world.says(&[
        "postback",
        "delete",
        &text(&world.tells(&["postback", "list", "--text", "twin"])[0]["postback_id"]),
    ]);

    let server = Server::start(&world.databases).await;
    let url = server.url(&format!("/click/{link}?clickid=k-1"));
    assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);
    let (status, answer) =
        world.report(&server, "click_id=k-1&request_id=r-1&action=sale&status=approved").await;
    assert_eq!(status, 200, "{answer}");
    let heard = tracker.until_received(1).await;
    assert_eq!(heard[0].url.query(), Some("subid=k-1&status=sale&payout=10.00&tid=r-1&currency=USD"));
}
