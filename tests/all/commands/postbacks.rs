//! A postback's whole request by flags: previewed and delivered; and the commands of
//! docs/postbacks.md, as they stand there.

use std::path::Path;
use std::process::Command;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{NOBODY, text};
use crate::support::server::Server;
use crate::support::tracker::{Manner, Tracker};
use crate::support::world::World;

const TAKEN: Manner = Manner::Json(r#"{"status": "ok"}"#);

// The tracker answers while the command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_request_is_made_previewed_and_delivered() {
    let world = World::new().await;
    let tracker = Tracker::start(TAKEN).await;
    let partner = world.partner.to_string();
    let create = ["postback", "create", "--partner", &partner, "--events", "hold,sale"];
    let url = format!("{}/conversions/[clickid]", tracker.url);
    let body = r#"{"id": "{{txid}}", "sum": {payout|round:2}, "who": {fields.user}, "api_key": "k3y"}"#;
    let request = ["--method", "POST", "--url", &url, "--body-kind", "json", "--body", body];
    let rest = ["--header", "X-Source: {sub1|default:none}", "--header", "X-Api-Key: k3y"];
    let rules = ["--required", "txid,fields.user", "--success", "fail:json_equals:/status=ok"];
    let whole = [&create[..], &request, &rest, &rules].concat();
    let said = world.ricochet(&whole, "");
    assert!(said.is_success, "{}", said.err);
    assert!(said.err.contains("Read [clickid] as {clickid}.\n"), "{}", said.err);
    let postback = said.out.trim();

    let shown = world.tells(&["postback", "preview", postback]);
    let filled = format!("{}/conversions/sample-click-1", tracker.url);
    assert_eq!((&shown["method"], &shown["url"]), (&json!("POST"), &json!(filled)));
    assert_eq!(shown["skip_reasons"], json!(["the required macro {fields.user} is empty"]));
    assert_eq!(shown["empty_macros"], json!(["fields.user"]));
    let changed = ["postback", "preview", postback, "--required", "", "--body", r#"{"at": {status}}"#];
    let changed = world.tells(&changed);
    assert_eq!((&changed["skip_reasons"], &changed["body"]), (&json!([]), &json!(r#"{"at": "approved"}"#)));
    let people = world.ricochet(&["postback", "preview", postback, "--event", "reject"], "");
    assert!(people.err.contains("It would not be sent: the required macro {fields.user} is empty.\n"));
    let headers = "content-type: application/json\nX-Source: sub-1\nX-Api-Key: [redacted]\n";
    let expected = format!(
        "POST {filled}\n{headers}\n{}\n",
        r#"{"id":"sample-order-1","sum":10.5,"who":null,"api_key":"[redacted]"}"#
    );
    assert_eq!(
        people.out.replace(": ", ":").replace(", ", ","),
        expected.replace(": ", ":").replace(", ", ",")
    );
    assert_eq!(tracker.received().len(), 0, "a preview sends nothing");

    // Made before the server starts, so known to it from the first request on.
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r-1&action=sale&status=new&user=7");
    let (_, answer) = world.report(&server, &report).await;
    let lead = text(&answer["lead_id"]);
    let delivered = tracker.until_received(2).await;
    for received in &delivered {
        assert_eq!(
            (received.method.as_str(), received.target.as_str()),
            ("POST", format!("/conversions/{click}").as_str())
        );
        assert_eq!(received.header("x-source").as_deref(), Some("none"));
        assert_eq!(received.header("x-api-key").as_deref(), Some("k3y"));
        let body: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(body, json!({ "id": "r-1", "sum": 10.0, "who": 7, "api_key": "k3y" }));
    }
    let outcomes: Vec<Value> =
        world.attempts(&server, 2).await.iter().map(|attempt| attempt["outcome"].clone()).collect();
    assert_eq!(outcomes, ["DELIVERED", "DELIVERED"]);

    // A test goes out once more, filled with the conversion, and is shown as it went over the line.
    let (address, token) = (server.url(""), world.owner_token.clone());
    let door = ["--url", &address, "--token", &token];
    let test = [&["postback", "test", postback, "--lead", &lead, "--event", "sale"][..], &door].concat();
    let tested = world.tells(&test);
    assert_eq!((&tested["outcome"], &tested["event"]), (&json!("DELIVERED"), &json!("SALE")));
    assert_eq!(tested["responseBody"], r#"{"status": "ok"}"#);
    assert!(tested["totalUs"].as_u64() >= tested["firstByteUs"].as_u64() && tested["totalUs"] != 0);
    let received = tracker.until_received(3).await;
    let body: Value = serde_json::from_str(&received[2].body).unwrap();
    assert_eq!(body, json!({ "id": "r-1", "sum": 10.0, "who": 7, "api_key": "k3y" }));
    let said = world.says(&test);
    for line in ["X-Api-Key: [redacted]", "answered 200", r#"{"status": "ok"}"#, "delivered"] {
        assert!(said.lines().any(|one| one == line), "{line}\n{said}");
    }
    assert!(!said.contains("k3y"), "{said}");

    // What was refused is told, and a script learns of it.
    tracker.behave(Manner::Json(r#"{"status": "unknown"}"#));
    let refused = world.ricochet(&test, "");
    assert!(!refused.is_success);
    assert!(refused.out.contains("failed: answered success, but "), "{}", refused.out);
    assert_eq!(refused.err, "ricochet: it was not delivered\n");
}

#[actix_web::test]
async fn the_documented_commands_make_preview_and_test_a_postback() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/postbacks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```bash\n").skip(1).map(|block| block.split("```").next().unwrap());
    let blocks: Vec<&str> = blocks.collect();
    assert_eq!(blocks.len(), 3, "the commands of docs/postbacks.md");

    let world = World::new().await;
    let tracker = Tracker::start(TAKEN).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r-1&action=sale&status=approved");
    let (_, answer) = world.report(&server, &report).await;
    let program = Path::new(env!("CARGO_BIN_EXE_ricochet")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let commands = format!("set -eu -o pipefail\n{}", blocks.join("\n"));
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(commands.replace("https://tracker.example", &tracker.url)).env("PATH", path);
    bash.env("DATABASE_URL", &world.databases.database_url).env("no_proxy", "127.0.0.1");
    bash.env("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8,::1");
    bash.env("RICOCHET_URL", server.url("")).env("RICOCHET_TOKEN", &world.owner_token);
    bash.env("PARTNER", world.partner.to_string()).env("LEAD", text(&answer["lead_id"]));
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        format!("POST {}/conversions/{click}\n", tracker.url),
        r#"{"id": "r-1", "sum": 10.00, "state": "approved"}"#.into(),
        "X-Source: sub-2\n".into(),
        format!("GET {}/postback?cid=sample-click-1&sum=10.50\n", tracker.url),
        "answered 200\n".into(),
        r#""outcome": "DELIVERED""#.into(),
    ] {
        assert!(said.contains(&expected), "{expected}\n{said}");
    }
    let received = tracker.received();
    assert_eq!(received.len(), 2, "two tests, and nothing else: {said}");
    assert_eq!(received[0].target, format!("/conversions/{click}"));
    assert!(received[1].body.contains(r#""state": "rejected""#), "{}", received[1].body);
}

#[actix_web::test]
async fn a_client_certificate_is_set_and_taken_away() {
    let world = World::new().await;
    let partner = world.partner.to_string();
    let create = ["postback", "create", "--partner", &partner, "--events", "sale"];
    let postback = world.says(&[&create[..], &["--url", "https://tracker.example/p?c={clickid}"]].concat());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issued = rcgen::generate_simple_self_signed(["tracker.example".to_owned()]).unwrap();
    let certificate = file("certificate.pem", &issued.cert.pem());
    let key = file("key.pem", &issued.signing_key.serialize_pem());
    let nonsense = file("nonsense.pem", "nonsense");
    let set = |certificate: &str, key: &str| {
        let told = ["postback", "set-certificate", &postback, "--certificate", certificate, "--key", key];
        world.ricochet(&told, "")
    };

    for (certificate, key, flag) in [
        (nonsense.as_str(), key.as_str(), "ricochet: --certificate: "),
        (&certificate, &nonsense, "ricochet: --key: "),
        (&certificate, "/nowhere/key.pem", "ricochet: --key: /nowhere/key.pem cannot be read"),
    ] {
        let refused = set(certificate, key);
        assert!(!refused.is_success && refused.err.starts_with(flag), "{}", refused.err);
    }
    let stored = "SELECT count(*) FROM postback_certificates";
    assert_eq!(world.count(stored).await, 0);
    let said = set(&certificate, &key);
    assert_eq!(said.out, format!("{postback} shows the certificate.\n"), "{}", said.err);
    assert_eq!(world.count(stored).await, 1);
    let removed = world.says(&["postback", "remove-certificate", &postback]);
    assert_eq!(removed, format!("{postback} shows no certificate."));
    assert_eq!(world.count(stored).await, 0);
    let again = world.refuses(&["postback", "remove-certificate", NOBODY]);
    assert!(again.starts_with("ricochet: POSTBACK_ID: there is no such postback"), "{again}");
}

/// A template may sign with the postback's secret; a preview does it as the server would, or says that
/// it cannot.
#[tokio::test]
async fn a_preview_signs_with_the_postbacks_secret() {
    let world = World::new().await;
    let partner = world.partner.to_string();
    let url = "https://tracker.example/p?tx={txid}&mac={txid|hmac}";
    let create = ["postback", "create", "--partner", &partner, "--events", "sale", "--url", url, "--paused"];
    let postback = world.says(&create);
    let listed = world.tells(&["postback", "list"]);
    assert_eq!(listed[0]["is_paused"], true, "{listed}");
    let without = world.tells(&["postback", "preview", &postback]);
    assert_eq!(
        without["skip_reasons"],
        json!(["the filter hmac needs a secret of the postback, and it has none"])
    );

    let secret = world.says(&["postback", "secret", "create", &postback]);
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update("sample-order-1");
    let shown = world.tells(&["postback", "preview", &postback]);
    assert_eq!(shown["skip_reasons"], json!([]));
    let mac = hex::encode(mac.finalize().into_bytes());
    assert_eq!(shown["url"], format!("https://tracker.example/p?tx=sample-order-1&mac={mac}"));

    let keyless = Command::new(env!("CARGO_BIN_EXE_ricochet"))
        .args(["postback", "preview", &postback])
        .env_clear()
        .env("DATABASE_URL", &world.databases.database_url)
        .output()
        .unwrap();
    let said = String::from_utf8(keyless.stderr).unwrap();
    assert!(keyless.status.success(), "{said}");
    assert!(said.contains("the secret cannot be read: RICOCHET_MASTER_KEY does not hold"), "{said}");
    assert!(!said.contains("It would not be sent"), "{said}");
}
