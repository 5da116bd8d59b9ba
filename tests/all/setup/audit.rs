//! Every change leaves an entry, without secrets, and nobody edits the past.

use ricochet::domain::ids::PartnerId;
use ricochet::graphql::scope::{Grant, Principal};
use ricochet::store::tokens;
use serde_json::Value;

use super::mutations::{Network, OWNER, network, text};
use crate::graphql::stage::{Stage, refusal};

async fn entries(stage: &Stage, filter: &str) -> Vec<Value> {
    let query = format!(
        "{{ auditLog(filter: {{ {filter} }}) {{ edges {{ node {{ actorTokenId actorRole actorLabel entity entityId \
         action before after happenedAt }} }} }} }}"
    );
    let data = stage.data(OWNER, &query).await;
    let edges = data["auditLog"]["edges"].as_array().unwrap().clone();
    edges.into_iter().rev().map(|edge| edge["node"].clone()).collect()
}

#[actix_web::test]
async fn a_change_tells_who_when_and_from_what_to_what() {
    let stage = Stage::set().await;
    let owner = tokens::create(&stage.pool, Grant::Owner, "Olga").await.unwrap();
    let Network { action, partner, .. } = network(&stage).await;
    let principal = Principal { token_id: owner.token.token_id, grant: Grant::Owner };
    let update = format!(
        r#"mutation {{ updateAction(input: {{actionId: "{action}", payoutAmount: "25.10"}}) {{ name }} }}"#
    );
    let response = stage.schema.execute(async_graphql::Request::new(update).data(principal)).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);

    let of_action = entries(&stage, &format!(r#"entityId: "{action}""#)).await;
    let actions: Vec<_> = of_action.iter().map(|entry| text(&entry["action"])).collect();
    assert_eq!(actions, ["create", "update"]);
    assert_eq!(of_action[0]["before"], Value::Null);
    let update = &of_action[1];
    assert_eq!(update["actorTokenId"], owner.token.token_id.to_string());
    assert_eq!((&update["actorRole"], &update["actorLabel"]), (&"owner".into(), &"Olga".into()));
    // Exact amounts, as texts.
    assert_eq!(update["before"]["payout_amount"], "10.50");
    assert_eq!(update["after"]["payout_amount"], "25.10");

    // A refused change leaves none.
    let before = entries(&stage, "").await.len();
    let wrong =
        format!(r#"mutation {{ updateAction(input: {{actionId: "{action}", currency: "?"}}) {{ name }} }}"#);
    refusal(&stage.execute(OWNER, &wrong).await);
    assert_eq!(entries(&stage, "").await.len(), before);

    let by_partner = Grant::Partner(PartnerId(partner.parse().unwrap()));
    assert_eq!(refusal(&stage.execute(by_partner, "{ auditLog { totalCount } }").await).0, "FORBIDDEN");
}

#[actix_web::test]
async fn secrets_stay_out_of_it() {
    let stage = Stage::set().await;
    let Network { advertiser, partner, .. } = network(&stage).await;
    let made = stage
        .data(
            OWNER,
            &format!(
                r#"mutation {{
                     createApiKey(input: {{advertiserId: "{advertiser}"}}) {{ secret }}
                     createToken(input: {{role: OWNER}}) {{ secret }}
                     createPostback(input: {{partnerId: "{partner}", events: [APPROVE],
                       urlTemplate: "https://t.example/p?cid={{clickid}}&password=hunter2&token=s3cret"}}) {{ postbackId }} }}"#
            ),
        )
        .await;
    let log = serde_json::to_string(&entries(&stage, "").await).unwrap();
    for secret in [&text(&made["createApiKey"]["secret"]), &text(&made["createToken"]["secret"])] {
        assert!(!log.contains(secret.as_str()));
    }
    for secret in ["hunter2", "s3cret", "\\\\x"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    assert!(log.contains("[redacted]"));
}

#[actix_web::test]
async fn entries_are_found_by_kind_and_the_past_cannot_be_edited() {
    let stage = Stage::set().await;
    network(&stage).await;
    let found = entries(&stage, "entities: [OFFER, PARTNER], actions: [\"create\"]").await;
    let kinds: Vec<_> = found.iter().map(|entry| text(&entry["entity"])).collect();
    assert_eq!(kinds, ["partner", "offer"]);
    let db = stage.pool.get().await.unwrap();
    for edit in ["DELETE FROM audit_log", "UPDATE audit_log SET action = 'x'", "TRUNCATE audit_log"] {
        let error = db.batch_execute(edit).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("append-only"), "{edit}");
    }
}
