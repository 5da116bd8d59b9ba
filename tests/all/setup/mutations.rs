//! What an owner sets up, and what is said where an input is wrong.

use ricochet::domain::ids::{AdvertiserId, LinkId, PartnerId};
use ricochet::graphql::scope::Grant;
use serde_json::Value;

use crate::graphql::stage::{Stage, refusal};
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

pub const OWNER: Grant = Grant::Owner;

/// A network made through mutations alone.
pub struct Network {
    pub advertiser: String,
    pub partner: String,
    pub offer: String,
    pub action: String,
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub async fn network(stage: &Stage) -> Network {
    let made = stage
        .data(
            OWNER,
            r#"mutation { createAdvertiser(input: {name: " Acme "}) { advertiserId name }
                          createPartner(input: {name: "Traffic"}) { partnerId } }"#,
        )
        .await;
    assert_eq!(made["createAdvertiser"]["name"], "Acme");
    let advertiser = text(&made["createAdvertiser"]["advertiserId"]);
    let offer = create_offer(stage, &advertiser, "https://shop.example/?c={click_id}").await;
    let action = stage
        .data(
            OWNER,
            &format!(
                r#"mutation {{ createAction(input: {{offerId: "{offer}", name: "sale", kind: SALE,
                     payoutModel: FIXED, advertiserRate: "30", commissionPercent: "20", payoutAmount: "10.50",
                     currency: "usd"}}) {{ actionId payoutAmount currency }} }}"#
            ),
        )
        .await;
    assert_eq!(action["createAction"]["payoutAmount"], "10.50");
    assert_eq!(action["createAction"]["currency"], "USD");
    Network {
        partner: text(&made["createPartner"]["partnerId"]),
        advertiser,
        offer,
        action: text(&action["createAction"]["actionId"]),
    }
}

pub async fn create_offer(stage: &Stage, advertiser: &str, landing_url: &str) -> String {
    let query = format!(
        r#"mutation {{ createOffer(input: {{advertiserId: "{advertiser}", name: "Boots",
             landingUrl: "{landing_url}"}}) {{ offerId }} }}"#
    );
    text(&stage.data(OWNER, &query).await["createOffer"]["offerId"])
}

pub async fn refused(stage: &Stage, grant: Grant, mutation: &str) -> (String, String, String) {
    let response = stage.execute(grant, &format!("mutation {{ {mutation} }}")).await;
    let (code, field) = refusal(&response);
    (code, field, response.errors[0].message.clone())
}

#[actix_web::test]
async fn every_wrong_input_names_its_field_and_the_remedy() {
    let stage = Stage::set().await;
    let Network { advertiser, partner, offer, action } = network(&stage).await;
    let nobody = "0198d5f0-0000-7000-8000-000000000000";
    let create_action = |terms: &str| {
        format!(
            r#"createAction(input: {{offerId: "{offer}", name: "x", kind: SALE, currency: "USD", {terms}}}) {{ actionId }}"#
        )
    };
    let cases = [
        (r#"createAdvertiser(input: {name: "  "}) { name }"#.into(), "BAD_INPUT", "input.name", "write a name"),
        (format!(r#"updateAdvertiser(input: {{advertiserId: "{nobody}", name: "x"}}) {{ name }}"#), "NOT_FOUND", "input.advertiserId", "no such advertiser"),
        (format!(r#"createOffer(input: {{advertiserId: "{nobody}", name: "x", landingUrl: "https://a.example/"}}) {{ name }}"#), "NOT_FOUND", "input.advertiserId", "no such advertiser"),
        (r#"createOffer(input: {advertiserId: "42", name: "x", landingUrl: "https://a.example/"}) { name }"#.into(), "BAD_INPUT", "input.advertiserId", "UUID"),
        (format!(r#"createOffer(input: {{advertiserId: "{advertiser}", name: "x", landingUrl: "https://a.example/?c={{clik_id}}"}}) {{ name }}"#), "BAD_INPUT", "input.landingUrl", "did you mean {click_id}?"),
        (format!(r#"updateOffer(input: {{offerId: "{offer}", landingUrl: "shop.example"}}) {{ name }}"#), "BAD_INPUT", "input.landingUrl", "http://"),
        (format!(r#"updateOffer(input: {{offerId: "{offer}", clickIdParameter: "a b"}}) {{ name }}"#), "BAD_INPUT", "input.clickIdParameter", "query parameter"),
        (create_action(r#"payoutModel: FIXED, advertiserRate: "1", payoutPercent: "5""#), "BAD_INPUT", "input.payoutPercent", "fixed action"),
        (create_action(r#"payoutModel: PERCENT, advertiserRate: "1", payoutAmount: "5""#), "BAD_INPUT", "input.payoutAmount", "share"),
        (create_action(r#"payoutModel: FIXED, advertiserRate: "1,5", payoutAmount: "5""#), "BAD_INPUT", "input.advertiserRate", "with a point"),
        (create_action(r#"payoutModel: FIXED, advertiserRate: "1", payoutAmount: "5", currency: "XYZ1""#).replace(r#"currency: "USD", "#, ""), "BAD_INPUT", "input.currency", "ISO 4217"),
        (create_action(r#"payoutModel: FIXED, advertiserRate: "1", payoutAmount: "5""#).replace(r#""x""#, r#""SALE""#), "BAD_INPUT", "input.name", "names differ"),
        (format!(r#"updateAction(input: {{actionId: "{action}", payoutPercent: "5"}}) {{ name }}"#), "BAD_INPUT", "input.payoutPercent", "fixed action"),
        (format!(r#"createLink(input: {{offerId: "{offer}"}}) {{ linkId }}"#), "BAD_INPUT", "input.partnerId", "whose link"),
        (format!(r#"createLink(input: {{offerId: "{nobody}", partnerId: "{partner}"}}) {{ linkId }}"#), "NOT_FOUND", "input.offerId", "no such offer"),
        (format!(r#"createPostback(input: {{partnerId: "{partner}", events: [APPROVE], urlTemplate: "https://t.example/?p={{payot}}"}}) {{ postbackId }}"#), "BAD_INPUT", "input.urlTemplate", "did you mean {payout}?"),
        (format!(r#"createPostback(input: {{partnerId: "{partner}", events: [], urlTemplate: "https://t.example/"}}) {{ postbackId }}"#), "BAD_INPUT", "input.events", "at least one event"),
        (format!(r#"createPostback(input: {{partnerId: "{partner}", events: [APPROVE], timeoutMs: 5, urlTemplate: "https://t.example/"}}) {{ postbackId }}"#), "BAD_INPUT", "input.timeoutMs", "100 to 60000"),
        (format!(r#"createPostback(input: {{partnerId: "{partner}", advertiserId: "{advertiser}", events: [APPROVE], urlTemplate: "https://t.example/"}}) {{ postbackId }}"#), "BAD_INPUT", "input.advertiserId", "leave one"),
        (format!(r#"pausePostback(postbackId: "{nobody}") {{ postbackId }}"#), "NOT_FOUND", "input.postbackId", "no such postback"),
        (r#"createToken(input: {role: PARTNER}) { secret }"#.into(), "BAD_INPUT", "input.role", "partnerId alone"),
        (format!(r#"createToken(input: {{role: PARTNER, partnerId: "{nobody}"}}) {{ secret }}"#), "NOT_FOUND", "input.partnerId", "no such partner"),
        (format!(r#"setAllowlist(input: {{advertiserId: "{advertiser}", networks: ["10.0.0.0/99"]}}) {{ advertiserId }}"#), "BAD_INPUT", "input.networks", "network"),
        (format!(r#"setSignaturePolicy(input: {{advertiserId: "{advertiser}", policy: REQUIRED}}) {{ advertiserId }}"#), "BAD_INPUT", "input.policy", "add one first"),
    ];
    for (mutation, code, field, remedy) in cases {
        let said = refused(&stage, OWNER, &mutation).await;
        assert_eq!((said.0.as_str(), said.1.as_str()), (code, field), "{mutation}: {}", said.2);
        assert!(said.2.contains(remedy), "{mutation}: {}", said.2);
    }
}

#[actix_web::test]
async fn a_third_live_key_is_refused_until_one_is_revoked() {
    let stage = Stage::set().await;
    let advertiser = network(&stage).await.advertiser;
    let create = format!(
        r#"mutation {{ createApiKey(input: {{advertiserId: "{advertiser}", label: "main"}}) {{ secret apiKey {{ apiKeyId label }} }} }}"#
    );
    let first = stage.data(OWNER, &create).await["createApiKey"].clone();
    assert!(text(&first["secret"]).starts_with("rk_"));
    assert_eq!(first["apiKey"]["label"], "main");
    stage.data(OWNER, &create).await;
    let (code, field) = refusal(&stage.execute(OWNER, &create).await);
    assert_eq!((code.as_str(), field.as_str()), ("BAD_INPUT", "input.advertiserId"));
    let revoke =
        format!(r#"mutation {{ revokeApiKey(apiKeyId: {}) {{ revokedAt }} }}"#, first["apiKey"]["apiKeyId"]);
    let revoked = stage.data(OWNER, &revoke).await;
    assert_eq!(stage.data(OWNER, &revoke).await, revoked, "a repeat changes nothing");
    stage.data(OWNER, &create).await;
    let listed = stage.data(OWNER, "{ apiKeys { totalCount edges { node { revokedAt } } } }").await;
    assert_eq!(listed["apiKeys"]["totalCount"], 3);
}

#[actix_web::test]
async fn the_default_mark_moves_and_the_rest_of_an_action_stays() {
    let stage = Stage::set().await;
    let Network { offer, action, .. } = network(&stage).await;
    let mark = format!(
        r#"mutation {{ updateAction(input: {{actionId: "{action}", isDefault: true, payoutAmount: "12"}}) {{ isDefault payoutAmount advertiserRate }} }}"#
    );
    let marked = stage.data(OWNER, &mark).await["updateAction"].clone();
    assert_eq!(
        (&marked["isDefault"], &marked["payoutAmount"], &marked["advertiserRate"]),
        (&true.into(), &"12".into(), &"30".into())
    );
    let second = format!(
        r#"mutation {{ createAction(input: {{offerId: "{offer}", name: "lead", kind: LEAD, payoutModel: FIXED,
             advertiserRate: "1", payoutAmount: "1", currency: "EUR", isDefault: true}}) {{ isDefault }} }}"#
    );
    stage.data(OWNER, &second).await;
    let offers = stage.data(OWNER, "{ offers { edges { node { actions { name isDefault } } } } }").await;
    let actions = &offers["offers"]["edges"][0]["node"]["actions"];
    assert_eq!(
        actions,
        &serde_json::json!([{"name": "lead", "isDefault": true}, {"name": "sale", "isDefault": false}])
    );
}

#[actix_web::test]
async fn roles_see_and_change_their_own_alone() {
    let stage = Stage::set().await;
    let Network { advertiser, partner, offer, .. } = network(&stage).await;
    let other = network(&stage).await;
    let as_advertiser = Grant::Advertiser(AdvertiserId(advertiser.parse().unwrap()));
    let as_partner = Grant::Partner(PartnerId(partner.parse().unwrap()));

    let seen = "{ advertisers { totalCount } partners { totalCount } apiKeys { totalCount } tokens { totalCount }
                  offers { totalCount edges { node { actions { advertiserRate commissionPercent } } } } viewer { role } }";
    let data = stage.data(as_advertiser, seen).await;
    assert_eq!((&data["advertisers"]["totalCount"], &data["partners"]["totalCount"]), (&1.into(), &0.into()));
    assert_eq!(data["offers"]["totalCount"], 1);
    let rates = &data["offers"]["edges"][0]["node"]["actions"][0];
    assert_eq!((&rates["advertiserRate"], &rates["commissionPercent"]), (&"30".into(), &Value::Null));
    let data = stage.data(as_partner, seen).await;
    assert_eq!((&data["advertisers"]["totalCount"], &data["partners"]["totalCount"]), (&0.into(), &1.into()));
    assert_eq!(data["offers"]["totalCount"], 2, "a partner chooses among all offers");
    assert_eq!(data["offers"]["edges"][0]["node"]["actions"][0]["advertiserRate"], Value::Null);

    // Links: a partner makes its own, and no other's.
    let link =
        format!(r#"mutation {{ createLink(input: {{offerId: "{offer}"}}) {{ partnerId clickPath }} }}"#);
    assert_eq!(stage.data(as_partner, &link).await["createLink"]["partnerId"], partner.as_str());
    let foreign =
        format!(r#"createLink(input: {{offerId: "{offer}", partnerId: "{}"}}) {{ linkId }}"#, other.partner);
    assert_eq!(refused(&stage, as_partner, &foreign).await.0, "NOT_FOUND");

    // Postbacks: a partner or advertiser makes its own; another's does not exist.
    let create = |owner: &str| {
        format!(
            r#"createPostback(input: {{{owner}, events: [APPROVE], urlTemplate: "https://t.example/"}}) {{ postbackId }}"#
        )
    };
    let own = create(&format!(r#"partnerId: "{partner}""#));
    let own = stage.data(as_partner, &format!("mutation {{ {own} }}")).await["createPostback"]["postbackId"]
        .clone();
    let foreigner = create(&format!(r#"partnerId: "{}""#, other.partner));
    let (code, field, _) = refused(&stage, as_partner, &foreigner).await;
    assert_eq!((code.as_str(), field.as_str()), ("NOT_FOUND", "input.partnerId"));
    assert_eq!(refused(&stage, as_advertiser, &foreigner).await.0, "NOT_FOUND");
    let for_advertiser = create(&format!(r#"advertiserId: "{advertiser}""#));
    assert_eq!(refused(&stage, as_partner, &for_advertiser).await.0, "NOT_FOUND");
    // Of an offer it has a link to, and of no other; with no id it is its own.
    let of_offer =
        create(&format!(r#"offerId: "{offer}""#)).replace("postbackId }", "postbackId partnerId }");
    let made = stage.data(as_partner, &format!("mutation {{ {of_offer} }}")).await["createPostback"].clone();
    assert_eq!(made["partnerId"], partner.as_str());
    let made = made["postbackId"].clone();
    stage.data(as_partner, &format!("mutation {{ deletePostback(postbackId: {made}) }}")).await;
    let stranger = create(&format!(r#"offerId: "{}""#, other.offer));
    assert_eq!(refused(&stage, as_partner, &stranger).await.0, "NOT_FOUND");
    let update = |id: &Value, url: &str| {
        format!(r#"updatePostback(input: {{postbackId: {id}, urlTemplate: "{url}"}}) {{ urlTemplate }}"#)
    };
    let moved = update(&own, "https://u.example/?c={clickid}");
    let moved = stage.data(as_partner, &format!("mutation {{ {moved} }}")).await;
    assert_eq!(moved["updatePostback"]["urlTemplate"], "https://u.example/?c={clickid}");
    // Nobody, not even the owner, saves what would not be called.
    for grant in [as_partner, OWNER] {
        for url in
            ["http://169.254.169.254/", "http://127.1/", "http://localhost:8080/", "http://a@t.example/"]
        {
            let (code, field, message) = refused(&stage, grant, &update(&own, url)).await;
            assert_eq!(
                (code.as_str(), field.as_str()),
                ("BAD_INPUT", "input.urlTemplate"),
                "{url}: {message}"
            );
        }
    }
    let foreign = create(&format!(r#"partnerId: "{}""#, other.partner));
    let foreign =
        stage.data(OWNER, &format!("mutation {{ {foreign} }}")).await["createPostback"]["postbackId"].clone();
    let pause = |id: &Value| format!("pausePostback(postbackId: {id}) {{ isPaused }}");
    let paused = stage.data(as_partner, &format!("mutation {{ {} }}", pause(&own))).await;
    assert_eq!(paused["pausePostback"]["isPaused"], true);
    assert_eq!(refused(&stage, as_partner, &pause(&foreign)).await.0, "NOT_FOUND");
    let listed = stage.data(as_partner, "{ postbacks { totalCount } }").await;
    assert_eq!(listed["postbacks"]["totalCount"], 1);
    stage.data(as_partner, &format!("mutation {{ deletePostback(postbackId: {own}) }}")).await;
    assert_eq!(refused(&stage, OWNER, &pause(&own)).await.0, "NOT_FOUND");

    // Keys and access: an advertiser's own.
    stage.data(as_advertiser, "mutation { createApiKey(input: {}) { secret } }").await;
    let foreign = format!(r#"createApiKey(input: {{advertiserId: "{}"}}) {{ secret }}"#, other.advertiser);
    assert_eq!(refused(&stage, as_advertiser, &foreign).await.0, "NOT_FOUND");
    let allow = |id: &str| {
        format!(
            r#"setAllowlist(input: {{advertiserId: "{id}", networks: ["203.0.113.7"]}}) {{ allowedNetworks }}"#
        )
    };
    let allowed = stage.data(as_advertiser, &format!("mutation {{ {} }}", allow(&advertiser))).await;
    assert_eq!(allowed["setAllowlist"]["allowedNetworks"][0], "203.0.113.7/32");
    assert_eq!(refused(&stage, as_advertiser, &allow(&other.advertiser)).await.0, "NOT_FOUND");
}

#[actix_web::test]
async fn nobody_grants_more_than_they_have() {
    let stage = Stage::set().await;
    let Network { advertiser, partner, .. } = network(&stage).await;
    let as_partner = Grant::Partner(PartnerId(partner.parse().unwrap()));
    let create =
        |input: &str| format!("createToken(input: {{{input}}}) {{ secret token {{ tokenId role }} }}");
    let own = format!(r#"partnerId: "{partner}""#);
    for more in [
        "role: OWNER",
        "role: BI",
        &format!(r#"role: ADVERTISER, advertiserId: "{advertiser}""#),
        &format!(r#"role: BI, advertiserId: "{advertiser}""#),
    ] {
        assert_eq!(refused(&stage, as_partner, &create(more)).await.0, "FORBIDDEN", "{more}");
    }
    let owners = stage.data(OWNER, &format!("mutation {{ {} }}", create("role: OWNER"))).await;
    let revoke_owner = format!("revokeToken(tokenId: {})", owners["createToken"]["token"]["tokenId"]);
    assert_eq!(refused(&stage, as_partner, &revoke_owner).await.0, "NOT_FOUND");
    for role in ["PARTNER", "BI"] {
        let made = stage
            .data(as_partner, &format!("mutation {{ {} }}", create(&format!("role: {role}, {own}"))))
            .await;
        assert_eq!(made["createToken"]["token"]["role"], role);
        let revoke =
            format!("mutation {{ revokeToken(tokenId: {}) }}", made["createToken"]["token"]["tokenId"]);
        stage.data(as_partner, &revoke).await;
    }
    let tokens = stage.data(as_partner, "{ tokens { totalCount } }").await;
    assert_eq!(tokens["tokens"]["totalCount"], 2, "its own and no other");
}

#[actix_web::test]
async fn the_next_request_sees_the_change() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let ask = async |query: String| world.graphql(&server, &world.owner_token, &query).await;
    let made = ask(r#"mutation { createAdvertiser(input: {name: "New"}) { advertiserId } createPartner(input: {name: "New"}) { partnerId } }"#.into()).await;
    let advertiser = &made["createAdvertiser"]["advertiserId"];
    let partner = &made["createPartner"]["partnerId"];
    let offer = ask(format!(r#"mutation {{ createOffer(input: {{advertiserId: {advertiser}, name: "O", landingUrl: "https://shop.example/"}}) {{ offerId }} }}"#)).await["createOffer"]["offerId"].clone();
    ask(format!(r#"mutation {{ createAction(input: {{offerId: {offer}, name: "sale", kind: SALE, payoutModel: PERCENT, advertiserRate: "30", payoutPercent: "20", currency: "USD"}}) {{ actionId }} }}"#)).await;
    let key = text(
        &ask(format!("mutation {{ createApiKey(input: {{advertiserId: {advertiser}}}) {{ secret }} }}"))
            .await["createApiKey"]["secret"],
    );
    let url = format!("{}/p?cid={{clickid}}&payout={{payout}}", tracker.url);
    ask(format!(r#"mutation {{ createPostback(input: {{partnerId: {partner}, events: [APPROVE], urlTemplate: "{url}"}}) {{ postbackId }} }}"#)).await;
    let link = ask(format!(
        "mutation {{ createLink(input: {{offerId: {offer}, partnerId: {partner}}}) {{ clickPath }} }}"
    ))
    .await;

    // Nothing is waited for: the click and the conversion follow at once.
    let click = server.url(&format!("{}?format=json&clickid=c-1", text(&link["createLink"]["clickPath"])));
    let click: Value = world.client.get(click).send().await.unwrap().json().await.unwrap();
    let report = server.url(&format!(
        "/{key}/s2s?click_id={}&request_id=r&action=sale&status=paid&price=50",
        text(&click["click_id"])
    ));
    assert_eq!(world.client.get(report).send().await.unwrap().status(), 200);
    let received = tracker.until_received(1).await;
    assert_eq!(received[0].parameter("payout").as_deref(), Some("10.00"));
    assert_eq!(received[0].parameter("cid").as_deref(), Some("c-1"));
}

#[tokio::test]
async fn what_was_answered_is_in_force_whatever_else_changes() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let (offer, partner) = (world.fixed.0, world.partner);
    let create = format!(
        r#"mutation {{ createLink(input: {{offerId: "{offer}", partnerId: "{partner}"}}) {{ linkId }} }}"#
    );
    for _ in 0..20 {
        let created_and_clicked = (0..8).map(|_| async {
            let made = world.graphql(&server, &world.owner_token, &create).await;
            let link: LinkId = made["createLink"]["linkId"].as_str().unwrap().parse().unwrap();
            world.click(&server, link).await
        });
        futures_util::future::join_all(created_and_clicked).await;
    }
}
