//! What offers, partners and advertisers are called: who is told, by which name, and who never is.

use ricochet::domain::event::Event;
use ricochet::domain::postback::{Owner, Scope};
use ricochet::graphql::scope::Grant;
use ricochet::store::network::{self, NewPostback};
use ricochet::store::tokens;
use serde_json::{Value, json};

use super::reported;
use crate::support::server::Server;
use crate::support::tracker::{OK, Received, Tracker};
use crate::support::world::World;

impl World {
    async fn owner_asks(&self, server: &Server, query: &str) -> Value {
        self.graphql(server, &self.owner_token, query).await
    }

    /// The code and the faults' fields and messages of a request that must be refused.
    async fn faults(&self, server: &Server, token: &str, query: &str) -> Vec<(String, String)> {
        let request =
            self.client.post(server.url("/graphql")).bearer_auth(token).json(&json!({ "query": query }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let told = &answer["errors"][0]["extensions"];
        assert_eq!(told["code"], "BAD_INPUT", "{query}: {answer}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = told["faults"].as_array().unwrap_or_else(|| panic!("{answer}"));
        list.iter().map(|fault| (text(&fault["field"]), text(&fault["message"]))).collect()
    }

    async fn sale(&self, server: &Server, request_id: &str) -> String {
        let click = self.click(server, self.fixed.1).await;
        let report = format!("click_id={click}&request_id={request_id}&action=sale&status=new");
        reported(self, server, &report).await["lead_id"].as_str().unwrap().to_owned()
    }

    /// Renames the offer and the partner; the server knows when this returns.
    async fn rename(&self, server: &Server, postback: &Value, offer: &str, partner: &str) {
        let rename = format!(
            "mutation {{ updateOffer(input: {{ offerId: \"{}\", name: {} }}) {{ name }}
                         updatePartner(input: {{ partnerId: \"{}\", name: {} }}) {{ name }} }}",
            self.fixed.0,
            Value::from(offer),
            self.partner,
            Value::from(partner)
        );
        self.owner_asks(server, &rename).await;
        // A test is sent by the catalogue of its own moment.
        let test = format!("mutation {{ testPostback(input: {{ postbackId: {postback} }}) {{ url }} }}");
        self.owner_asks(server, &test).await;
    }
}

fn create(fields: &str) -> String {
    format!("mutation {{ createPostback(input: {{ events: [SALE], {fields} }}) {{ postbackId }} }}")
}

fn sent_to<'a>(received: &'a [Received], path: &str) -> Vec<&'a Received> {
    received.iter().filter(|one| one.url.path() == path).collect()
}

#[tokio::test]
async fn everybody_is_told_the_names_it_may_know_as_they_are_today() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let advertiser = world.advertiser().await;
    let url = |path: &str| format!("{}/{path}", tracker.url);
    let partners = format!(
        r#"partnerId: "{}", urlTemplate: "{}?o={{offer_name}}&p=[affiliate_name]&id={{txid}}", method: POST,
           headers: [{{ name: "X-Offer", value: "{{offer_name|upper}}" }}], bodyKind: JSON,
           bodyTemplate: "{{\"who\": {{partner_name}}, \"what\": \"{{offer_name}}\"}}", requiredMacros: ["partner_name"]"#,
        world.partner,
        url("partner")
    );
    let made = world.owner_asks(&server, &create(&partners)).await["createPostback"]["postbackId"].clone();
    let theirs = format!(
        r#"advertiserId: "{advertiser}", urlTemplate: "{}?o={{offer_name}}&a={{advertiser_name}}""#,
        url("advertiser")
    );
    world.owner_asks(&server, &create(&theirs)).await;
    let ours = format!(
        r#"urlTemplate: "{}?o={{offer_name}}&p={{partner_name}}&a={{advertiser_name}}",
           condition: "partner_name == \"Partner\" && advertiser_name.startsWith(\"Adv\") && offer_name != \"\"""#,
        url("platform")
    );
    world.owner_asks(&server, &create(&ours)).await;

    world.sale(&server, "r-1").await;
    world.until_settled().await;
    let received = tracker.received();
    let of = |path: &str| sent_to(&received, path)[0].target.clone();
    assert_eq!(of("/partner"), "/partner?o=Offer&p=Partner&id=r-1");
    assert_eq!(of("/advertiser"), "/advertiser?o=Offer&a=Advertiser");
    assert_eq!(of("/platform"), "/platform?o=Offer&p=Partner&a=Advertiser");
    let first = sent_to(&received, "/partner")[0];
    assert_eq!(first.header("x-offer").as_deref(), Some("OFFER"));
    assert_eq!(first.body, r#"{"who": "Partner", "what": "Offer"}"#);

    world.rename(&server, &made, "Best \"offer\" & more", "Päivi").await;
    world.sale(&server, "r-2").await;
    world.until_settled().await;
    let received = tracker.received();
    let renamed = sent_to(&received, "/partner");
    // The test is told of the sample, by the names of its place.
    let test = renamed.iter().find(|one| one.parameter("id").as_deref() == Some("sample-order-1")).unwrap();
    assert_eq!(test.parameter("p").as_deref(), Some("Päivi"));
    let second = renamed.iter().find(|one| one.parameter("id").as_deref() == Some("r-2")).unwrap();
    assert_eq!(second.target, "/partner?o=Best%20%22offer%22%20%26%20more&p=P%C3%A4ivi&id=r-2");
    let body: Value = serde_json::from_str(&second.body).unwrap();
    assert_eq!(body, json!({ "who": "Päivi", "what": "Best \"offer\" & more" }));
    assert_eq!(sent_to(&received, "/platform").len(), 1, "its condition asks for the partner's name of then");
    let log = "{ postbackLog(filter: { outcomes: [SKIPPED] }) { nodes { reason } } }";
    world.attempts(&server, 6).await;
    let reason = world.owner_asks(&server, log).await["postbackLog"]["nodes"][0]["reason"].clone();
    assert_eq!(reason, "condition not met: partner_name == \"Partner\" (partner_name = \"Päivi\")");
}

#[tokio::test]
async fn what_is_sent_again_as_it_was_has_the_names_of_then() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let fields = format!(
        r#"partnerId: "{}", urlTemplate: "{}/p?o={{offer_name}}&p={{partner_name}}""#,
        world.partner, tracker.url
    );
    let made = world.owner_asks(&server, &create(&fields)).await["createPostback"]["postbackId"].clone();
    world.sale(&server, "r-1").await;
    world.until_settled().await;
    world.rename(&server, &made, "New offer", "New partner").await;

    let newest = "{ deliveries(first: 10) { nodes { deliveryId resendNumber } } }";
    let number = async |number: u64| {
        let list = world.owner_asks(&server, newest).await["deliveries"]["nodes"].as_array().unwrap().clone();
        list.iter().find(|one| one["resendNumber"] == number).unwrap()["deliveryId"].clone()
    };
    let resend = async |delivery: Value, request: &str| {
        let count = tracker.received().len();
        let wish = format!(
            "mutation {{ resendDeliveries(deliveryIds: [{delivery}], request: {request}) {{ job {{ made }} }} }}"
        );
        let answer = world.owner_asks(&server, &wish).await;
        assert_eq!(answer["resendDeliveries"]["job"]["made"], 1);
        let sent = tracker.until_received(count + 1).await.pop().unwrap().target;
        world.until_settled().await;
        sent
    };
    let (then, today) = ("/p?o=Offer&p=Partner", "/p?o=New%20offer&p=New%20partner");
    assert_eq!(resend(number(0).await, "ORIGINAL").await, then);
    assert_eq!(resend(number(0).await, "CURRENT").await, today);
    // What is sent again of these is what each of them was.
    assert_eq!(resend(number(1).await, "ORIGINAL").await, then);
    assert_eq!(resend(number(2).await, "ORIGINAL").await, today);

    // Also where the request of today is another.
    let update = format!(
        r#"mutation {{ updatePostback(input: {{ postbackId: {made}, urlTemplate: "{}/q" }}) {{ postbackId }} }}"#,
        tracker.url
    );
    world.owner_asks(&server, &update).await;
    assert_eq!(resend(number(0).await, "ORIGINAL").await, then);
    assert_eq!(resend(number(0).await, "CURRENT").await, "/q");
}

/// The past of a postback is judged by the names of today, by whoever looks at it.
#[tokio::test]
async fn conditions_on_the_past_go_by_the_names_of_today() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let lead = world.sale(&server, "r-1").await;
    let fields = format!(
        r#"urlTemplate: "{}/p?o={{offer_name}}", condition: "offer_name == \"New offer\"""#,
        tracker.url
    );
    let made = world.owner_asks(&server, &create(&fields)).await["createPostback"]["postbackId"].clone();
    let past = format!(
        "{{ sendPastPreview(input: {{ postbackId: {made} }}) {{ deliveries keptBack keptBackReasons {{ reason }} }}
            explainPostback(postbackId: {made}, leadId: \"{lead}\", event: SALE) {{ message }} }}"
    );
    let seen = world.owner_asks(&server, &past).await;
    let reason = "condition not met: offer_name == \"New offer\" (offer_name = \"Offer\")";
    assert_eq!(
        seen["sendPastPreview"],
        json!({ "deliveries": 0, "keptBack": 1, "keptBackReasons": [{ "reason": reason }] })
    );
    assert_eq!(seen["explainPostback"]["message"], reason);
    // Kept back, its delivery is over, and can be sent again.
    world.sale(&server, "r-2").await;
    world.attempts(&server, 1).await;
    let list = world.owner_asks(&server, "{ deliveries { nodes { deliveryId } } }").await;
    let delivery = list["deliveries"]["nodes"][0]["deliveryId"].clone();
    let resend =
        format!("mutation {{ resendDeliveries(deliveryIds: [{delivery}]) {{ deliveries {{ skipped }} }} }}");
    let answer = world.owner_asks(&server, &resend).await;
    assert_eq!(answer["resendDeliveries"]["deliveries"][0]["skipped"], "CONDITION_UNMET");

    world.rename(&server, &made, "New offer", "Partner").await;
    let tested = tracker.received().len();
    let seen = world.owner_asks(&server, &past).await;
    assert_eq!(
        (&seen["sendPastPreview"]["deliveries"], &seen["sendPastPreview"]["keptBack"]),
        (&json!(1), &json!(0))
    );
    world.owner_asks(&server, &resend).await;
    world.until_settled().await;
    let received = tracker.received();
    assert_eq!(received.len(), tested + 1);
    assert_eq!(received.last().unwrap().target, "/p?o=New%20offer");
}

/// Neither at its own wish nor at the network's.
#[tokio::test]
async fn nobody_is_told_the_name_of_whom_it_cannot_list() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let advertiser = world.advertiser().await;
    let db = &world.databases.pool;
    let of_partner = tokens::create(db, Grant::Partner(world.partner), "").await.unwrap().secret;
    let of_advertiser = tokens::create(db, Grant::Advertiser(advertiser), "").await.unwrap().secret;
    for (owner, token, hidden, other, word) in [
        (
            format!("partnerId: \"{}\"", world.partner),
            &of_partner,
            "advertiser_name",
            "partner_name",
            "partners",
        ),
        (
            format!("advertiserId: \"{advertiser}\""),
            &of_advertiser,
            "partner_name",
            "advertiser_name",
            "advertisers",
        ),
    ] {
        let url = format!(r#"urlTemplate: "{}/{hidden}""#, tracker.url);
        let made = create(&format!("{owner}, {url}"));
        let postback = world.graphql(&server, token, &made).await["createPostback"]["postbackId"].clone();
        for (field, fields) in [
            ("urlTemplate", format!(r#"urlTemplate: "{}/?n=##{hidden}##""#, tracker.url)),
            ("headers[0].value", format!(r#"headers: [{{ name: "X-N", value: "{{{hidden}|sha256}}" }}]"#)),
            ("bodyTemplate", format!(r#"method: POST, bodyKind: FORM, bodyTemplate: "n={{{hidden}}}""#)),
            ("requiredMacros[0]", format!(r#"requiredMacros: ["{hidden}"]"#)),
            ("condition", format!(r#"condition: "{hidden}.startsWith(\"A\")""#)),
        ] {
            let draft = if field == "urlTemplate" { fields.clone() } else { format!("{url}, {fields}") };
            let (create, update) = (
                create(&format!("{owner}, allowDuplicate: true, {draft}")),
                format!(
                    "mutation {{ updatePostback(input: {{ postbackId: {postback}, {fields} }}) {{ postbackId }} }}"
                ),
            );
            for (token, query) in [
                (token, &create),
                (&world.owner_token, &create),
                (token, &update),
                (&world.owner_token, &update),
            ] {
                let faults = world.faults(&server, token, query).await;
                assert_eq!(faults.len(), 1, "{query}: {faults:?}");
                assert_eq!(faults[0].0, format!("input.{field}"), "{query}");
                assert!(faults[0].1.starts_with(&format!("{word} are not told what")), "{faults:?}");
            }
            if field != "condition" {
                let preview =
                    format!("{{ previewPostback(input: {{ postbackId: {postback}, {fields} }}) {{ url }} }}");
                let faults = world.faults(&server, token, &preview).await;
                assert_eq!(faults[0].0, format!("input.{field}"), "{preview}");
            }
        }
        // What it may know, and what only looks like a name, is taken.
        let fields = format!(
            r#"{owner}, urlTemplate: "{}/own?n={{{other}}}&f={{fields.{hidden}}}", condition: "action != \"{hidden}\"""#,
            tracker.url
        );
        world.graphql(&server, token, &create(&fields)).await;
    }

    // Nor where such a template has found its way into the database.
    for owner in [Owner::Partner(world.partner), Owner::Advertiser(advertiser)] {
        let url = format!("{}/{}?p={{partner_name}}&a={{advertiser_name}}", tracker.url, owner.kind());
        let postback = NewPostback {
            owner,
            scope: Scope::Global,
            events: &[Event::Sale],
            url_template: &url,
            retry_schedule_ms: None,
            timeout_ms: 10_000,
            max_in_flight: 4,
        };
        network::add_postback(&db.get().await.unwrap(), &postback).await.unwrap();
    }
    let server = Server::start(&world.databases).await;
    world.sale(&server, "r-1").await;
    world.until_settled().await;
    let received = tracker.received();
    assert_eq!(sent_to(&received, "/partner")[0].target, "/partner?p=Partner&a=");
    assert_eq!(sent_to(&received, "/advertiser")[0].target, "/advertiser?p=&a=Advertiser");
}
