//! Walks the schema: every mutation says which roles may use it, and refuses all others.

use std::collections::BTreeSet;

use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::graphql::scope::{Grant, Scope};

use super::mutations::{OWNER, network};
use crate::graphql::stage::{Stage, refusal};

const ID: &str = "0198d5f0-0000-7000-8000-000000000000";

/// A mutation, a use of it that only its role can be wrong with or its ids, and the roles
/// besides the owner's that may use it.
const MUTATIONS: &[(&str, &str, &[&str])] = &[
    ("createAdvertiser", r#"(input: {name: ""}) { name }"#, &[]),
    ("updateAdvertiser", r#"(input: {advertiserId: "ID", name: "x"}) { name }"#, &[]),
    ("createPartner", r#"(input: {name: ""}) { name }"#, &[]),
    ("updatePartner", r#"(input: {partnerId: "ID", name: "x"}) { name }"#, &[]),
    (
        "createOffer",
        r#"(input: {advertiserId: "ID", name: "x", landingUrl: "https://a.example/"}) { name }"#,
        &[],
    ),
    ("updateOffer", r#"(input: {offerId: "ID"}) { name }"#, &[]),
    (
        "createAction",
        r#"(input: {offerId: "ID", name: "x", kind: SALE, payoutModel: FIXED, advertiserRate: "1",
             payoutAmount: "1", currency: "USD"}) { name }"#,
        &[],
    ),
    ("updateAction", r#"(input: {actionId: "ID"}) { name }"#, &[]),
    ("createLink", r#"(input: {offerId: "ID"}) { linkId }"#, &["partner"]),
    (
        "createPostback",
        r#"(input: {events: [], urlTemplate: "x"}) { postbackId }"#,
        &["advertiser", "partner"],
    ),
    ("setUpPreset", r#"(input: {system: "none"}) { system }"#, &["partner"]),
    ("updatePostback", r#"(input: {postbackId: "ID"}) { postbackId }"#, &["advertiser", "partner"]),
    ("testPostback", r#"(input: {postbackId: "ID"}) { attemptId }"#, &["advertiser", "partner"]),
    ("pausePostback", r#"(postbackId: "ID") { postbackId }"#, &["advertiser", "partner"]),
    ("resumePostback", r#"(postbackId: "ID") { postbackId }"#, &["advertiser", "partner"]),
    ("deletePostback", r#"(postbackId: "ID")"#, &["advertiser", "partner"]),
    (
        "setPostbackCertificate",
        r#"(input: {postbackId: "ID", certificatePem: "x", privateKeyPem: "x"})"#,
        &["advertiser", "partner"],
    ),
    ("removePostbackCertificate", r#"(postbackId: "ID")"#, &["advertiser", "partner"]),
    ("setPostbackSigning", r#"(input: {postbackId: "ID", form: URL}) { form }"#, &["advertiser", "partner"]),
    ("createPostbackSecret", r#"(input: {postbackId: "ID"}) { secret }"#, &["advertiser", "partner"]),
    ("retirePostbackSecret", r#"(secretId: "ID") { form }"#, &["advertiser", "partner"]),
    ("createApiKey", r#"(input: {advertiserId: "ID"}) { secret }"#, &["advertiser"]),
    ("revokeApiKey", r#"(apiKeyId: "ID") { apiKeyId }"#, &["advertiser"]),
    ("createToken", r#"(input: {role: PARTNER}) { secret }"#, &["advertiser", "partner"]),
    ("revokeToken", r#"(tokenId: "ID")"#, &["advertiser", "partner"]),
    ("setSignaturePolicy", r#"(input: {advertiserId: "ID", policy: OFF}) { advertiserId }"#, &["advertiser"]),
    ("setAllowlist", r#"(input: {advertiserId: "ID", networks: []}) { advertiserId }"#, &["advertiser"]),
    ("setRateLimit", r#"(input: {advertiserId: "ID", requestsPerSecond: 5}) { advertiserId }"#, &[]),
    ("createAdvertiserSecret", r#"(input: {advertiserId: "ID"}) { secret }"#, &["advertiser"]),
    (
        "retireAdvertiserSecret",
        r#"(input: {advertiserId: "ID", secretId: "ID"}) { advertiserId }"#,
        &["advertiser"],
    ),
    (
        "setStatusWord",
        r#"(input: {offerId: "ID", word: "won", meaning: APPROVED}) { word }"#,
        &["advertiser"],
    ),
    ("removeStatusWord", r#"(input: {offerId: "ID", word: "won"})"#, &["advertiser"]),
    ("createIntegration", r#"(input: {advertiserId: "ID", name: "x"}) { urls { path } }"#, &["advertiser"]),
    ("updateIntegration", r#"(input: {integrationId: "ID"}) { name }"#, &["advertiser"]),
    ("setIntegrationSecret", r#"(input: {integrationId: "ID", rule: REQUIRED}) { secret }"#, &["advertiser"]),
    ("setLinkComposite", r#"(input: {linkId: "ID", composite: {ready: PPS}}) { linkId }"#, &[]),
    ("releaseQuarantine", r#"(input: {inboundIds: ["ID"], meaning: APPROVED})"#, &["advertiser"]),
    ("discardQuarantine", r#"(input: {inboundIds: ["ID"], reason: "x"})"#, &["advertiser"]),
    ("forceStatus", r#"(input: {leadId: "ID", status: HOLD, note: "x"}) { status }"#, &[]),
    ("reprocess", r#"(inboundIds: ["ID"]) { asked }"#, &["advertiser"]),
    ("resendDeliveries", r#"(deliveryIds: ["ID"]) { job { state } }"#, &["advertiser", "partner"]),
    ("startResend", r#"(input: {filter: {}, ratePerSecond: 0}) { state }"#, &["advertiser", "partner"]),
    ("sendPast", r#"(input: {postbackId: "ID"}) { job { state } }"#, &["advertiser", "partner"]),
    ("pauseJob", r#"(jobId: "ID") { state }"#, &["advertiser", "partner"]),
    ("resumeJob", r#"(jobId: "ID") { state }"#, &["advertiser", "partner"]),
    ("cancelJob", r#"(jobId: "ID") { state }"#, &["advertiser", "partner"]),
    ("cancelDeliveries", r#"(deliveryIds: []) { cancelled }"#, &["advertiser", "partner"]),
    ("cancelWaiting", r#"(filter: {leadId: "x"}) { cancelled }"#, &["advertiser", "partner"]),
    ("settle", r#"(filter: {leadIds: ["x"]}) { conversions }"#, &[]),
];

#[actix_web::test]
async fn every_mutation_refuses_every_role_that_may_not_use_it() {
    let stage = Stage::set().await;
    let schema = stage.data(OWNER, "{ __schema { mutationType { fields { name } } } }").await;
    let fields = schema["__schema"]["mutationType"]["fields"].as_array().unwrap();
    let in_schema: BTreeSet<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    let listed: BTreeSet<&str> = MUTATIONS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(in_schema, listed, "say above who may use the mutation");

    let made = network(&stage).await;
    let advertiser = AdvertiserId(made.advertiser.parse().unwrap());
    let partner = PartnerId(made.partner.parse().unwrap());
    let roles = [
        Grant::Owner,
        Grant::Advertiser(advertiser),
        Grant::Partner(partner),
        Grant::Bi(Scope::Everything),
        Grant::Bi(Scope::Advertiser(advertiser)),
        Grant::Bi(Scope::Partner(partner)),
    ];
    for (name, arguments, others) in MUTATIONS {
        let mutation = format!("mutation {{ {name}{} }}", arguments.replace("\"ID\"", &format!("{ID:?}")));
        let anonymous = stage.schema.execute(mutation.as_str()).await;
        assert_eq!(refusal(&anonymous).0, "UNAUTHENTICATED", "{name}");
        for grant in roles {
            let response = stage.execute(grant, &mutation).await;
            let (code, _) = refusal(&response);
            let may = grant == OWNER || others.contains(&grant.role());
            // Whoever may use it gets as far as the wrong input.
            let expected: &[&str] = if may { &["BAD_INPUT", "NOT_FOUND"] } else { &["FORBIDDEN"] };
            assert!(expected.contains(&code.as_str()), "{name} as {grant:?}: {:?}", response.errors);
        }
    }
}
