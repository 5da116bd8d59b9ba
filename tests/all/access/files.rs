//! Files at the reconciliation doors: whose they are, and that they are what was signed.

use std::process::Command;

use chrono::Utc;
use reqwest::RequestBuilder;
use ricochet::domain::access::signature_policy::SignaturePolicy;
use ricochet::domain::ids::AdvertiserId;
use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;

use super::stage::{Stage, WITH_MASTER_KEY, hmac_hex, told};
use crate::support::eventually;
use crate::support::server::Server;

const PATH: &str = "/api/v1/reconciliations";

fn upload(stage: &Stage, server: &Server, query: &str, file: &str) -> RequestBuilder {
    let url = server.url(&format!("{PATH}{query}"));
    let request = stage.world.client.post(url).bearer_auth(&stage.world.api_key);
    request.header("content-type", "text/csv").body(file.to_owned())
}

fn signature(secret: &str, signed_at: i64, file: &str) -> String {
    format!("t={signed_at},v1={}", hmac_hex(secret.as_bytes(), &format!("{signed_at}.{file}")))
}

#[tokio::test]
async fn a_file_that_must_be_signed_is_taken_once_and_only_as_it_was_signed() {
    const HEADER: &str = "x-ricochet-signature";
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Required).await;
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;
    // Longer than any piece in which it may arrive.
    let rows: String = (0..3_000).map(|number| format!("r-{number},{click},sale,hold\n")).collect();
    let file = format!("request_id,click_id,action,status\n{rows}");
    let forged = file.replacen("hold", "paid", 1);
    let now = Utc::now().timestamp();
    let right = signature(&secret, now, &file);

    for (request, code) in [
        (upload(&stage, &server, "", &file), "missing_signature"),
        (upload(&stage, &server, "", &forged).header(HEADER, &right), "bad_signature"),
        (upload(&stage, &server, "?mode=apply", &file).header(HEADER, &right), "bad_signature"),
        (upload(&stage, &server, "", &file).header(HEADER, signature("other", now, &file)), "bad_signature"),
        (
            upload(&stage, &server, "", &file).header(HEADER, signature(&secret, now - 400, &file)),
            "stale_signature",
        ),
    ] {
        let (status, told, body) = told(request).await;
        assert_eq!((status, told.as_deref()), (401, Some(code)), "{body}");
    }
    let form = format!(
        "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n{file}\r\n--b--\r\n"
    );
    let request = stage.world.client.post(server.url(PATH)).bearer_auth(&stage.world.api_key);
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    let (status, _, body) = told(request.header(HEADER, signature(&secret, now, &form)).body(form)).await;
    assert_eq!(status, 401, "{body}");
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("text/csv"), "{body}");
    assert_eq!(stage.world.count("SELECT count(*) FROM reconciliations").await, 0, "nothing refused is kept");

    let (status, _, shown) = told(upload(&stage, &server, "", &file).header(HEADER, &right)).await;
    assert_eq!((status, &shown["totals"]["new"]), (200, &3_000.into()), "{shown}");
    let (status, code, _) = told(upload(&stage, &server, "", &file).header(HEADER, &right)).await;
    assert_eq!((status, code.as_deref()), (401, Some("replayed_request")));

    // Both ways: the query by its own signature.
    let query = format!("mode=apply&ts={now}");
    let sig = hmac_hex(secret.as_bytes(), &query);
    let anew = signature(&secret, now + 1, &file);
    let request = upload(&stage, &server, &format!("?{query}&sig={sig}"), &file).header(HEADER, anew);
    let (status, _, applied) = told(request).await;
    assert_eq!((status, &applied["applied"]["accepted"]), (200, &3_000.into()), "{applied}");

    // Without a body there is nothing to sign: a token does it.
    let plan = format!("{PATH}/{}", shown["reconciliation_id"].as_str().unwrap());
    let get = |path: &str, secret: &str| told(stage.world.client.get(server.url(path)).bearer_auth(secret));
    let (status, code, body) = get(&plan, &stage.world.api_key).await;
    assert_eq!((status, code.as_deref()), (401, Some("signature_not_possible")), "{body}");
    let grant = Grant::Advertiser(AdvertiserId(stage.advertiser.0));
    let token = tokens::create(&stage.world.databases.pool, grant, "").await.unwrap().secret;
    assert_eq!(get(&plan, &token).await.0, 200);
    let apply = stage.world.client.post(server.url(&format!("{plan}/apply")));
    assert_eq!(told(apply.bearer_auth(&token)).await.0, 200);
    assert_eq!(stage.world.count("SELECT count(*) FROM conversion_history").await, 3_000, "each once");
}

#[tokio::test]
async fn a_key_is_held_to_its_allowlist_here_too() {
    let stage = Stage::new().await;
    let server = Server::start(&stage.world.databases).await;
    let file = "request_id,status\nr,hold\n";
    assert_eq!(told(upload(&stage, &server, "", file)).await.0, 200);
    stage.allow_only("192.0.2.0/24").await;
    let (status, code) = eventually("the allowlist is known", async || {
        let (status, code, _) = told(upload(&stage, &server, "", file)).await;
        (status != 200).then_some((status, code))
    })
    .await;
    assert_eq!((status, code.as_deref()), (403, Some("ip_not_allowed")));
}

/// Programs of `docs/signatures.md` in the languages that are at hand.
#[tokio::test]
async fn the_documented_programs_sign_rightly() {
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Required).await;
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;
    let document = include_str!("../../../docs/signatures.md");
    let folder = tempfile::tempdir().unwrap();
    for (language, program, file) in
        [("python", "python3", "sign.py"), ("js", "node", "sign.mjs"), ("php", "php", "sign.php")]
    {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("not run: there is no {program} on this machine");
            continue;
        }
        let (_, code) = document.split_once(&format!("```{language}\n")).unwrap();
        let (code, _) = code.split_once("```").unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, code).unwrap();
        let mut command = Command::new(program);
        command
            .arg(&path)
            .env("RICOCHET", server.url(""))
            .env("API_KEY", &stage.world.api_key)
            .env("SECRET", &secret)
            .env("CLICK_ID", &click)
            .env("no_proxy", "127.0.0.1");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let answers = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{program}: {answers}{}", String::from_utf8_lossy(&output.stderr));
        let successes = answers.matches(r#""status":"success""#).count();
        assert_eq!(successes, 3, "{program}: {answers}");
    }
}
