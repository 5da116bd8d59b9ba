use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use reqwest::RequestBuilder;
use ricochet::domain::access::signature_policy::SignaturePolicy;
use ricochet::store::advertiser_access;
use serde_json::Value;
use uuid::Uuid;

use super::stage::{Stage, WITH_MASTER_KEY, hmac, hmac_hex, told};
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::Server;

/// The ways to sign.
#[derive(Debug, Clone, Copy)]
enum Form {
    Header,
    StandardWebhooks,
    Query,
    SortedQuery,
}

const FORMS: [Form; 4] = [Form::Header, Form::StandardWebhooks, Form::Query, Form::SortedQuery];

/// A conversion as the advertiser signs it; `forged` is what a stranger makes of its status.
struct Signing<'a> {
    secret: &'a str,
    click: &'a str,
    request_id: &'a str,
    signed_at: i64,
    status: &'a str,
    forged: &'a str,
}

impl Form {
    fn request(self, stage: &Stage, server: &Server, signing: &Signing) -> RequestBuilder {
        let Signing { secret, click, request_id, signed_at, status, forged } = *signing;
        let client = &stage.world.client;
        let url = server.url(&stage.door());
        let json = |status: &str| {
            format!(
                r#"{{"click_id":"{click}","request_id":"{request_id}","action":"sale","status":"{status}"}}"#
            )
        };
        let post = |body: String| client.post(&url).header("content-type", "application/json").body(body);
        let query = |status: &str| {
            format!("status={status}&click_id={click}&request_id={request_id}&action=s%61le&ts={signed_at}")
        };
        match self {
            Self::Header => {
                let tag = hmac_hex(secret.as_bytes(), &format!("{signed_at}.{}", json(status)));
                post(json(forged)).header("x-ricochet-signature", format!("t={signed_at},v1={tag}"))
            }
            Self::StandardWebhooks => {
                let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
                let id = format!("msg_{request_id}");
                let tag = STANDARD.encode(hmac(&key, &format!("{id}.{signed_at}.{}", json(status))));
                post(json(forged))
                    .header("webhook-id", id)
                    .header("webhook-timestamp", signed_at)
                    .header("webhook-signature", format!("v1,{tag}"))
            }
            Self::Query => {
                let tag = hmac_hex(secret.as_bytes(), &query(status));
                client.get(format!("{url}?{}&sig={tag}", query(forged)))
            }
            Self::SortedQuery => {
                let query = |status| query(status).split('&').map(str::to_owned).collect::<Vec<_>>();
                let mut sorted = query(status);
                sorted.sort();
                let tag = hmac_hex(secret.as_bytes(), &sorted.join("&"));
                client.get(format!("{url}?sig={tag}&{}", query(forged).join("&")))
            }
        }
    }
}

fn fresh<'a>(secret: &'a str, click: &'a str, request_id: &'a str) -> Signing<'a> {
    let signed_at = Utc::now().timestamp();
    Signing { secret, click, request_id, signed_at, status: "approved", forged: "approved" }
}

#[tokio::test]
async fn each_form_is_taken_once_on_all_nodes_and_not_when_changed_or_old() {
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Required).await;
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let other_node = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;

    for form in FORMS {
        let request_id = format!("{form:?}");
        let right = fresh(&secret, &click, &request_id);
        let refused = |signing: Signing<'_>| {
            let request = form.request(&stage, &server, &signing);
            async move {
                let (status, code, body) = told(request).await;
                assert_eq!((status, &body["errors"][0]["field"]), (401, &Value::from("signature")));
                code.unwrap()
            }
        };
        let wrong_secret = fresh("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &click, &request_id);
        assert_eq!(refused(wrong_secret).await, "bad_signature", "{form:?}");
        let forged = Signing { forged: "hold", ..fresh(&secret, &click, &request_id) };
        assert_eq!(refused(forged).await, "bad_signature", "{form:?}");
        for minutes in [-6, 6] {
            let signed_at = Utc::now().timestamp() + minutes * 60;
            let stale = Signing { signed_at, ..fresh(&secret, &click, &request_id) };
            assert_eq!(refused(stale).await, "stale_signature", "{form:?} {minutes}");
        }

        let (status, _, body) = told(form.request(&stage, &server, &right)).await;
        assert_eq!((status, &body["duplicate"]), (200, &Value::from(false)), "{form:?}: {body}");
        for node in [&server, &other_node] {
            let (status, code, _) = told(form.request(&stage, node, &right)).await;
            assert_eq!((status, code.as_deref()), (401, Some("replayed_request")), "{form:?}");
        }
        let anew = Signing { signed_at: right.signed_at + 1, ..fresh(&secret, &click, &request_id) };
        let (status, _, body) = told(form.request(&stage, &other_node, &anew)).await;
        assert_eq!((status, &body["duplicate"]), (200, &Value::from(true)), "{form:?}: {body}");
    }

    let (status, body) = stage.world.report(&server, &format!("click_id={click}&status=hold")).await;
    assert_eq!((status, body["errors"][0]["code"].as_str()), (401, Some("missing_signature")));
    let kept = stage
        .world
        .count(
            "SELECT count(*) FROM conversions WHERE fields ? 'sig' OR fields ? 'ts' OR status <> 'approved'",
        )
        .await;
    assert_eq!(kept, 0, "a signature is no field, and nothing forged was recorded");
    assert_eq!(stage.world.count("SELECT count(*) FROM conversions").await, 4);
}

#[tokio::test]
async fn copies_that_race_are_one_request() {
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Required).await;
    let nodes = [
        Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await,
        Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await,
    ];
    let click = stage.world.click(&nodes[0], stage.world.fixed.1).await;
    let unmapped =
        Signing { status: "no-such-word", forged: "no-such-word", ..fresh(&secret, &click, "r-2") };
    for signing in [fresh(&secret, &click, "r-1"), unmapped] {
        let copies = (0..20).map(|copy| told(Form::Header.request(&stage, &nodes[copy % 2], &signing)));
        let answers = futures_util::future::join_all(copies).await;
        let taken = answers.iter().filter(|(status, _, _)| matches!(status, 200 | 202)).count();
        assert_eq!(taken, 1, "{answers:?}");
        let replayed = Some("replayed_request".to_owned());
        // The rest are replays, or past the rate of refusals.
        assert!(answers.iter().all(|(status, code, _)| *status < 300 || *code == replayed), "{answers:?}");
    }
}

#[tokio::test]
async fn two_secrets_are_live_while_one_replaces_the_other() {
    let stage = Stage::new().await;
    let old = stage.add_secret().await;
    stage.set_policy(SignaturePolicy::Required).await;
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;
    let new = stage.add_secret().await;
    let status_with = async |secret: &str, request_id: &str| {
        told(Form::Query.request(&stage, &server, &fresh(secret, &click, request_id))).await.0
    };
    eventually("the new secret is known", async || {
        (status_with(&new.secret, &Uuid::new_v4().to_string()).await == 200).then_some(())
    })
    .await;
    assert_eq!(status_with(&old.secret, "r-1").await, 200);

    let db = stage.world.databases.pool.get().await.unwrap();
    advertiser_access::retire_secret(&db, stage.advertiser, old.secret_id).await.unwrap();
    eventually("the old secret is forgotten", async || {
        (status_with(&old.secret, &Uuid::new_v4().to_string()).await == 401).then_some(())
    })
    .await;
    assert_eq!(status_with(&new.secret, "r-2").await, 200);
}

#[tokio::test]
async fn optional_signatures_may_be_left_out_but_not_be_wrong() {
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Optional).await;
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;
    let query = format!("click_id={click}&request_id=r-1&action=sale&status=hold");
    assert_eq!(stage.world.report(&server, &query).await.0, 200);
    let tag = hmac_hex(secret.as_bytes(), &query);
    for _ in 0..2 {
        let (status, body) = stage.world.report(&server, &format!("{query}&sig={tag}")).await;
        assert_eq!((status, &body["duplicate"]), (200, &Value::from(true)), "without ts it may be repeated");
    }
    let (status, body) = stage.world.report(&server, &format!("{query}&sig={}", tag.replace('a', "b"))).await;
    assert_eq!((status, body["errors"][0]["code"].as_str()), (401, Some("bad_signature")));
    let header = format!("t={},v1=00", Utc::now().timestamp());
    let url = server.url(&format!("{}?{query}", stage.door()));
    let (status, code, _) = told(stage.world.client.get(url).header("x-ricochet-signature", header)).await;
    assert_eq!((status, code.as_deref()), (401, Some("bad_signature")));
}

#[tokio::test]
async fn what_was_not_recorded_may_be_sent_again_as_it_is() {
    let stage = Stage::on(Databases::own().await).await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Required).await;
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;

    let unknown_click = fresh(&secret, "nobody's", "r-0");
    for _ in 0..2 {
        let (status, code, _) = told(Form::Header.request(&stage, &server, &unknown_click)).await;
        assert_eq!((status, code.as_deref()), (422, Some("unknown_click")));
    }

    let pair = stage.world.databases.pair.clone();
    tokio::task::spawn_blocking(move || pair.engines.kill_postgres().unwrap()).await.unwrap();
    let signing = fresh(&secret, &click, "r-1");
    let (status, _, _) = told(Form::Header.request(&stage, &server, &signing)).await;
    assert_eq!(status, 503);
    let pair = stage.world.databases.pair.clone();
    tokio::task::spawn_blocking(move || pair.engines.start_postgres().unwrap()).await.unwrap();
    let (status, body) = eventually("the very same request is taken", async || {
        let (status, _, body) = told(Form::Header.request(&stage, &server, &signing)).await;
        (status != 503).then_some((status, body))
    })
    .await;
    assert_eq!((status, &body["duplicate"]), (200, &Value::from(false)), "{body}");
}

/// The lines of `docs/signatures.md` as they stand.
#[tokio::test]
async fn the_documented_commands_sign_rightly() {
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    stage.set_policy(SignaturePolicy::Required).await;
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let click = stage.world.click(&server, stage.world.fixed.1).await;
    let document = include_str!("../../../docs/signatures.md");
    let (_, commands) = document.split_once("```sh\n").unwrap();
    let (commands, _) = commands.split_once("```").unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", commands])
        .env("RICOCHET", server.url(""))
        .env("API_KEY", &stage.world.api_key)
        .env("SECRET", &secret)
        .env("CLICK_ID", &click);
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{answers}{}", String::from_utf8_lossy(&output.stderr));
    let successes = answers.lines().filter(|line| line.contains(r#""status":"success""#)).count();
    assert_eq!(successes, 4, "{answers}");
    assert_eq!(stage.world.count("SELECT count(*) FROM conversions").await, 4);
}
