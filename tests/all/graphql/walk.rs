//! What each role may see, of everything there is to ask: the schema is walked, every field of it
//! selected, and every answer searched for what belongs to somebody else.
//!
//! Two advertisers and two partners do business crosswise. Whatever belongs to them bears a marker
//! that says who may see it. The owner must see every marker, or the walk is blind to a place; each
//! role must see all of its markers and none of the others. A query that needs an argument, or a
//! field that is null in all of this world, fails the test until it is covered here.

mod schema;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::Request;
use ricochet::graphql::scope::{Grant, Principal, Scope};
use serde_json::Value;
use uuid::Uuid;

use self::schema::{SchemaWalk, field_values};
use self::world::MarkedWorld;

/// Queries that say nothing of their own accord: what to ask them. `ID_OF_POSTBACK`, `ID_OF_ADVERTISER` and
/// `ID_OF_LEAD` stand for each of their ids in turn.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("postbackLog", &["(filter: {includeTests: true}, first: 30)"]),
    ("inboundLog", &["(first: 500)"]),
    ("clicks", &["(first: 500)"]),
    ("conversions", &["(first: 10)"]),
    ("deliveries", &["(first: 30)"]),
    (
        "postbackStats",
        &[
            "(groupBy: [ACTION, POSTBACK, LINK, OFFER, PARTNER, ADVERTISER], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(groupBy: [STATUS, OUTCOME, OWNER, EVENT, CURRENCY, COUNTRY, DEVICE], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(groupBy: [ERROR_KIND, RESPONSE_CODE, METHOD, ATTEMPT, HOUR_OF_DAY], filter: {from: \"2026-03-01T00:00:00Z\"}, bucket: MONTH)",
        ],
    ),
    (
        "timings",
        &[
            "(groupBy: [ACTION, POSTBACK, LINK, OFFER, PARTNER, ADVERTISER], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(groupBy: [STATUS, OUTCOME, OWNER, EVENT, CURRENCY, COUNTRY, DEVICE], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(groupBy: [ERROR_KIND, RESPONSE_CODE, METHOD, ATTEMPT, HOUR_OF_DAY], filter: {from: \"2026-03-01T00:00:00Z\"}, bucket: MONTH)",
        ],
    ),
    (
        "conversionStats",
        &[
            "(groupBy: [ACTION, LINK, OFFER, PARTNER, ADVERTISER], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(groupBy: [COUNTRY, DEVICE, CURRENCY, STATUS], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(groupBy: [EVENT], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(withClicks: true, groupBy: [LINK, HOUR_OF_DAY], filter: {from: \"2026-03-01T00:00:00Z\"}, bucket: MONTH)",
        ],
    ),
    (
        "inboundStats",
        &[
            "(groupBy: [REASON_CODE, OFFER, PARTNER, ADVERTISER, DOOR, INTEGRATION], filter: {from: \"2026-03-01T00:00:00Z\"})",
            "(groupBy: [VERDICT, METHOD, HTTP_STATUS, HOUR_OF_DAY], filter: {from: \"2026-03-01T00:00:00Z\"}, bucket: MONTH)",
        ],
    ),
    ("resendPreview", &["(filter: {includeTests: true})"]),
    ("sendPastPreview", &["(input: {postbackId: ID_OF_POSTBACK})"]),
    ("cancelPreview", &["(filter: {from: \"2020-01-01T00:00:00Z\"})"]),
    ("explainPostback", &["(postbackId: ID_OF_POSTBACK, leadId: ID_OF_LEAD, event: APPROVE)"]),
    (
        "previewPostback",
        &[
            "(input: {postbackId: ID_OF_POSTBACK, leadId: ID_OF_LEAD})",
            "(input: {postbackId: ID_OF_POSTBACK, leadId: ID_OF_LEAD, urlTemplate: \"https://t.example/?c=${clickid}&s={amount}&u={currency}\"})",
        ],
    ),
    ("postback", &["(id: ID_OF_POSTBACK)"]),
    ("postbackSigning", &["(postbackId: ID_OF_POSTBACK)"]),
    ("advertiserAccess", &["(advertiserId: ID_OF_ADVERTISER)"]),
    ("settlementPreview", &["(filter: {})"]),
];

fn asked(walk: &SchemaWalk, world: &MarkedWorld) -> Vec<String> {
    let listed: BTreeMap<&str, &[&str]> = ARGUMENTS.iter().copied().collect();
    for name in listed.keys() {
        assert!(walk.queries().any(|query| query == *name), "{name} is no query any more");
    }
    let mut asked = Vec::new();
    for query in walk.queries() {
        let arguments = match listed.get(query) {
            Some(arguments) => arguments.to_vec(),
            None => {
                assert!(!walk.needs_arguments(query), "say in ARGUMENTS what to ask {query}");
                vec![""]
            }
        };
        for arguments in arguments {
            for arguments in world.with_ids(arguments) {
                asked.push(format!("{{ {query}{arguments} {} }}", walk.selection_of(query)));
            }
        }
    }
    asked
}

/// Answer by answer, what a role is told: data and errors.
async fn told(world: &MarkedWorld, grant: Grant, asked: &[String]) -> Vec<(String, Value)> {
    let mut told = Vec::new();
    for query in asked {
        let principal = Principal { token_id: Uuid::nil(), grant };
        let response = world.stage.schema.execute(Request::new(query).data(principal)).await;
        if grant == Grant::Owner {
            let message = response.errors.first().map(|error| error.message.clone()).unwrap_or_default();
            assert!(!message.contains("complex") && !message.contains("deep"), "{message}: {query}");
        }
        told.push((query.clone(), serde_json::to_value(&response).unwrap()));
    }
    told
}

#[actix_web::test]
async fn every_role_sees_its_own_on_every_path_and_nothing_else() {
    let world = MarkedWorld::build().await;
    let walk = SchemaWalk::of(&world.stage).await;
    let asked = asked(&walk, &world);
    // All of them are told at once.
    let mut faults: Vec<String> = Vec::new();

    let owners = told(&world, Grant::Owner, &asked).await;
    let refused = owners.iter().filter(|(_, answer)| answer.get("errors").is_some());
    faults.extend(refused.map(|(query, answer)| format!("{}: {query}", answer["errors"])));
    let text: String = owners.iter().map(|(_, answer)| answer.to_string()).collect();
    let unseen = world.markers.iter().filter(|(marker, _)| !text.contains(*marker));
    faults.extend(unseen.map(|(marker, _)| format!("even the owner does not see {marker}")));
    let mut shown: BTreeSet<String> =
        owners.iter().flat_map(|(query, answer)| field_values(&walk, query, answer)).collect();

    for (role, scope) in world.scopes() {
        let grants = match scope {
            Scope::Everything => vec![Grant::Bi(scope)],
            Scope::Advertiser(id) => vec![Grant::Advertiser(id), Grant::Bi(scope)],
            Scope::Partner(id) => vec![Grant::Partner(id), Grant::Bi(scope)],
        };
        for grant in grants {
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            for (query, answer) in told(&world, grant, &asked).await {
                shown.extend(field_values(&walk, &query, &answer));
                let text = answer.to_string();
                for (marker, audience) in world.markers.iter().filter(|(marker, _)| text.contains(*marker)) {
                    let may_see = audience.includes(role) && !audience.is_hidden_from(grant);
                    // What was asked for may come back in a message; that is no news.
                    if !may_see && !query.contains(marker) {
                        let query: String = query.chars().take(60).collect();
                        faults.push(format!("{grant:?} is told {marker}, for {audience:?}, by {query}"));
                    }
                    seen.insert(marker);
                }
            }
            for (marker, audience) in world.markers.iter() {
                if audience.includes(role) && !seen.contains(marker) && !audience.is_hidden_from(grant) {
                    faults.push(format!("{grant:?} does not see its own {marker}"));
                }
            }
        }
    }

    let never: Vec<&str> = walk.fields().filter(|field| !shown.contains(*field)).collect();
    let known: BTreeSet<&str> = NOWHERE.iter().map(|(field, _)| *field).collect();
    let surprising = never.iter().filter(|field| !known.contains(*field));
    faults.extend(surprising.map(|field| format!("nothing in this world has {field}; add what has it")));
    let outdated = known.iter().filter(|field| !never.contains(field));
    faults.extend(outdated.map(|field| format!("{field} is there after all")));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Fields of the schema that no query can have a value for in a world of this size, and why.
const NOWHERE: &[(&str, &str)] = &[
    ("Postback.translated", "told in the answer to the change that was translated, and never again"),
    ("PresetPostback.headers", "no system that there is a preset for asks for one"),
    ("PresetPostback.successRules", "no system that there is a preset for asks for one"),
    ("Postback.warnings", "told in the answer to the change that is warned of, and never again"),
    ("PresetPostback.postbackId", "told in the answer to setUpPreset, which has made it"),
    ("SendPastPreview.countedUntil", "only of a past that is counted for longer than eight seconds"),
];
