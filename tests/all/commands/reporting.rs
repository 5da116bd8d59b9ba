use serde_json::{Value, json};

use super::{PATIENT, text, until};
use crate::support::server::Server;
use crate::support::world::World;

async fn get(world: &World, url: &str) -> (u16, String) {
    let answer = world.client.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn until_answers(world: &World, url: &str, status: u16) {
    until(&format!("{status} of {url}"), || async { get(world, url).await.0 == status }).await;
}

#[actix_web::test]
async fn a_preset_is_applied_with_the_urls_its_system_reports_to() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, PATIENT).await;
    let (base, link) = (server.url(""), world.percent.1.to_string());
    let apply = ["preset", "apply", "1win", "--registration-link", &link, "--base-url", &base];
    let program = ["--program-url", "https://1win.example/?p=abc"];
    let tried = world.tells(&[&apply[..], &program, &["--dry-run"]].concat());
    assert_eq!(tried["integration_id"], json!(null));
    let stand_in = server.url("/in/{integration_id}?sub1={sub1}");
    assert!(text(&tried["inbound_urls"]["First Deposit"]).starts_with(&stand_in), "{tried}");
    assert_eq!(world.count("SELECT count(*) FROM integrations").await, 0);

    let made = world.tells(&[&apply[..], &program].concat());
    assert_eq!(made["program_link"], "https://1win.example/?p=abc&sub1={click_id}");
    assert_eq!(made["registration_link"], json!(server.url(&format!("/click/{link}"))));
    let click = world.click(&server, world.percent.1).await;
    let macros = [("{sub1}", click.as_str()), ("{amount}", "30"), ("{event_id}", "w2"), ("{user_id}", "5")];
    let url = text(&made["inbound_urls"]["First Deposit"]);
    let filled = macros.iter().fold(url, |url, (name, value)| url.replace(name, value));
    until_answers(&world, &filled, 200).await;
    let seen = world.asks(&server, "{ conversions { edges { node { requestId action } } } }").await;
    let expected = json!({ "requestId": "w2", "action": "deposit" });
    assert_eq!(seen["conversions"]["edges"][0]["node"], expected);
}

#[actix_web::test]
async fn an_integration_of_a_preset_reports_by_the_url_it_shows() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, PATIENT).await;
    let advertiser = world.advertiser_id().await;
    let click = world.click(&server, world.fixed.1).await;
    let presets = world.tells(&["integration", "presets"]);
    assert!(presets.as_array().unwrap().iter().any(|preset| preset["system"] == "Affise"));
    let create = ["integration", "create", "--advertiser", &advertiser, "--preset", "affise", "--server"];
    let made = world.tells(&[&create[..], &[server.url("").as_str()]].concat());
    let id = text(&made["integration_id"]);
    let url = text(&made["urls"]["All events"]);
    let address = server.url("/");
    let again = ["integration", "show", &id, "--preset", "Affise", "--server", &address];
    assert_eq!(world.tells(&again)["urls"], made["urls"]);
    let plain = world.tells(&["integration", "show", &id]);
    let expected = format!("http://127.0.0.1:8080/api/postbacks/{id}/tracker-postback");
    assert_eq!(plain["urls"]["in Chatterfy's format"], json!(expected));

    let macros = [("{sub1}", click.as_str()), ("{sum}", "7"), ("{status}", "2"), ("{goal}", "sale")];
    let more = [("{transactionid}", "af"), ("{offerid}", "1"), ("{geo}", "DE")];
    let filled = macros.iter().chain(&more).fold(url, |url, (name, value)| url.replace(name, value));
    until_answers(&world, &filled, 200).await;
    let seen = world.asks(&server, "{ conversions { edges { node { requestId status } } } }").await;
    assert_eq!(seen["conversions"]["edges"][0]["node"], json!({ "requestId": "af_sale", "status": "HOLD" }));

    // Its words are its own: the preset's can be changed at it.
    let words = world.tells(&["word", "list", "--integration", &id]);
    let of_two = words.as_array().unwrap().iter().find(|word| word["word"] == "2").unwrap();
    assert_eq!((&of_two["meaning"], &of_two["place"]), (&json!("hold"), &json!("integration")));
    world.says(&["word", "set", "2", "approved", "--integration", &id]);
    world.says(&["integration", "update", &id, "--name", "Affise of theirs", "--active", "no"]);
    until_answers(&world, &filled, 403).await;
    let listed = world.tells(&["integration", "list", "--advertiser", &advertiser]);
    assert_eq!((&listed[0]["name"], &listed[0]["is_active"]), (&json!("Affise of theirs"), &json!(false)));
    assert!(world.says(&["integration", "list"]).contains("  no "));
    world.says(&["integration", "update", &id, "--active", "yes"]);
    until("the word means something else", || async {
        get(&world, &filled).await;
        let seen = world.asks(&server, "{ conversions { edges { node { status } } } }").await;
        seen["conversions"]["edges"][0]["node"]["status"] == "APPROVED"
    })
    .await;
}

const FILE: &str = r#"
name = "Shop"
[field_map]
click_id = ["{c}"]
request_id = ["{order}"]
action = ["sale"]
status = ["{state}"]
[words]
done = "approved"
[answers]
success_code = 202
success_body = "OK"
"#;

#[actix_web::test]
async fn an_integration_of_a_file_is_guarded_and_changed() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, PATIENT).await;
    let advertiser = world.advertiser_id().await;
    let click = world.click(&server, world.fixed.1).await;
    let made = world.ricochet(&["integration", "create", "--advertiser", &advertiser, "--file", "-"], FILE);
    assert!(made.is_success, "{}", made.err);
    let id = made.out.trim();
    assert!(made.err.contains(&format!("by the field map: http://127.0.0.1:8080/in/{id}\n")), "{}", made.err);
    let url = server.url(&format!("/in/{id}?c={click}&state=DONE&order="));
    until("the answer is the file's", || async {
        get(&world, &format!("{url}1")).await == (202, "OK".into())
    })
    .await;

    let secret = world.says(&["integration", "require-secret", id]);
    until_answers(&world, &format!("{url}2"), 401).await;
    assert_eq!(get(&world, &format!("{url}2&secret={secret}")).await.0, 202);
    assert_eq!(world.says(&["integration", "lift-secret", id]), format!("{id} needs no secret."));
    until_answers(&world, &format!("{url}3"), 202).await;

    let whose = ["--integration", id];
    world.says(&[&["allowlist", "set"][..], &whose, &["203.0.113.0/24"]].concat());
    until_answers(&world, &format!("{url}4"), 403).await;
    assert_eq!(world.says(&[&["allowlist", "show"][..], &whose].concat()), "203.0.113.0/24");
    let seen = world
        .asks(&server, "{ integrations { edges { node { allowedNetworks hasSecret offerId answers { successBody } } } } }")
        .await;
    let expected = json!({ "allowedNetworks": ["203.0.113.0/24"], "hasSecret": false, "offerId": null,
                           "answers": { "successBody": "OK" } });
    assert_eq!(seen["integrations"]["edges"][0]["node"], expected);
    world.says(&[&["allowlist", "clear"][..], &whose].concat());
    let offer = world.fixed.0.to_string();
    world.says(&["integration", "update", id, "--offer", &offer, "--default-answers"]);
    until("it answers as every door", || async {
        let (status, body) = get(&world, &format!("{url}5")).await;
        status == 200 && serde_json::from_str::<Value>(&body).is_ok()
    })
    .await;
    let seen = world.asks(&server, "{ integrations { edges { node { offerId } } } }").await;
    assert_eq!(seen["integrations"]["edges"][0]["node"]["offerId"], json!(offer));
    assert!(world.tells(&["integration", "update", id, "--offer", "none"])["offer_id"].is_null());

    let words = world.ricochet(&["integration", "update", id, "--file", "-"], FILE);
    assert!(words.err.contains("--file: words are set when an integration is made"), "{}", words.err);
    let map = "[field_map]\nclick = [\"{c}\"]\n";
    let wrong = world.ricochet(&["integration", "update", id, "--file", "-"], map);
    assert!(!wrong.is_success && wrong.err.contains("--file: field_map: "), "{}", wrong.err);
    let wrong = world.ricochet(&["integration", "update", id, "--file", "-"], "feld_map = 1");
    assert!(!wrong.is_success && wrong.err.contains("unknown field `feld_map`"), "{}", wrong.err);
}

#[actix_web::test]
async fn words_are_set_listed_and_taken_back() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, PATIENT).await;
    let advertiser = world.advertiser_id().await;
    let offer = world.fixed.0.to_string();
    world.says(&["word", "set", " In Arbeit ", "hold", "--advertiser", &advertiser]);
    world.says(&["word", "set", "in arbeit", "rejected", "--offer", &offer]);
    let query = "{ statusWords { edges { node { word meaning offerId } } } }";
    let both = json!([{ "node": { "word": "in arbeit", "meaning": "REJECTED", "offerId": offer } },
                      { "node": { "word": "in arbeit", "meaning": "HOLD", "offerId": null } }]);
    assert_eq!(world.asks(&server, query).await["statusWords"]["edges"], both);
    let click = world.click(&server, world.fixed.1).await;
    let report =
        |request: u32| format!("click_id={click}&request_id={request}&action=sale&status=in%20arbeit");
    let becomes = async |number: u32| {
        assert!([200, 202].contains(&world.report(&server, &report(number)).await.0));
        let seen = world.asks(&server, "{ conversions { edges { node { requestId status } } } }").await;
        let edges = seen["conversions"]["edges"].as_array().unwrap();
        let request_id = number.to_string();
        let found = edges.iter().find(|edge| edge["node"]["requestId"] == request_id);
        found.map_or(Value::Null, |edge| edge["node"]["status"].clone())
    };
    until("the offer's word holds", || async { becomes(another()).await == "REJECTED" }).await;
    assert_eq!(world.says(&["word", "remove", "IN ARBEIT", "--offer", &offer]), "Removed \"IN ARBEIT\".");
    until("the advertiser's word holds", || async { becomes(another()).await == "HOLD" }).await;
    assert!(world.says(&["word", "list"]).contains("in arbeit  hold     advertiser"));
    let gone = world.refuses(&["word", "remove", "in arbeit", "--offer", &offer]);
    assert!(gone.contains("WORD: there is no such word at this place"), "{gone}");
    assert_eq!(world.audited(&server, "STATUS_WORD").await, ["create", "create", "delete"]);
}

/// Another request each time: a word holds for new ones.
fn another() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
