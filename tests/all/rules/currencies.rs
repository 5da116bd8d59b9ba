//! A sale in one currency, paid out in another: who is told which.

use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;
use serde_json::{Value, json};

use super::reported;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const SUMS: &str = "sum={amount}&of={amount_currency}&cur={currency}";

impl World {
    /// A postback with `path` and `rest` as its input, as the answer to `createPostback` shows it.
    async fn hearer(&self, server: &Server, tracker: &Tracker, path: &str, rest: &str) -> Value {
        let query = format!(
            r#"mutation {{ createPostback(input: {{ events: [SALE], urlTemplate: "{}/{path}", {rest} }}) {{
                 postbackId warnings {{ field message }} }} }}"#,
            tracker.url
        );
        self.graphql(server, &self.owner_token, &query).await["createPostback"].clone()
    }

    async fn euro_sale(&self, server: &Server, request_id: &str) -> String {
        let click = self.click(server, self.fixed.1).await;
        let report = format!(
            "click_id={click}&request_id={request_id}&action=sale&status=new&price=79.90&currency=EUR"
        );
        reported(self, server, &report).await["lead_id"].as_str().unwrap().to_owned()
    }
}

fn targets(tracker: &Tracker) -> Vec<String> {
    let mut targets: Vec<_> = tracker.received().iter().map(|one| one.target.clone()).collect();
    targets.sort();
    targets
}

#[tokio::test]
async fn every_sum_can_be_told_with_its_own_currency() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let partner = format!("partnerId: \"{}\"", world.partner);
    let advertiser = format!("advertiserId: \"{}\"", world.advertiser().await);
    let all = format!("partner?{SUMS}&pay={{payout}}&in={{payout_currency}}");
    let made = world.hearer(&server, &tracker, &all, &partner).await;
    assert_eq!(made["warnings"][0]["field"], "urlTemplate");
    let message = made["warnings"][0]["message"].as_str().unwrap();
    assert!(message.contains("{amount_currency}"), "{message}");
    let own = world
        .hearer(&server, &tracker, "own?pay={payout}&cur={currency}&of={amount_currency}", &partner)
        .await;
    assert_eq!(own["warnings"], json!([]), "a payout in its currency is what it says");
    let theirs = world.hearer(&server, &tracker, &format!("advertiser?{SUMS}"), &advertiser).await;
    assert_eq!(theirs["warnings"], json!([]), "an advertiser's currency is its price's");
    for (name, owner) in [("partner", &partner), ("advertiser", &advertiser)] {
        for (what, condition) in [
            ("price", r#"amount_currency == \"EUR\" && amount > 79"#),
            ("payout", r#"payout_currency == \"USD\" && payout == 10"#),
            ("currency-usd", r#"currency == \"USD\""#),
            ("currency-eur", r#"currency == \"EUR\""#),
        ] {
            let rest = format!(r#"{owner}, condition: "{condition}""#);
            world.hearer(&server, &tracker, &format!("{name}-{what}"), &rest).await;
        }
    }
    world.euro_sale(&server, "r-1").await;
    world.until_settled().await;
    assert_eq!(
        targets(&tracker),
        [
            "/advertiser-currency-eur",
            "/advertiser-payout",
            "/advertiser-price",
            "/advertiser?sum=79.90&of=EUR&cur=EUR",
            "/own?pay=10.00&cur=USD&of=EUR",
            "/partner-currency-usd",
            "/partner-payout",
            "/partner-price",
            "/partner?sum=79.90&of=EUR&cur=USD&pay=10.00&in=USD",
        ]
    );
}

/// The network may let an advertiser's postback depend on what the partner gets; what that is, no
/// reason tells the advertiser.
#[tokio::test]
async fn no_reason_tells_an_advertiser_what_the_partner_gets() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let advertiser = world.advertiser().await;
    let rest =
        format!(r#"advertiserId: "{advertiser}", condition: "payout > 11 && payout_currency == \"USD\"""#);
    let made = world.hearer(&server, &tracker, "p", &rest).await;
    let lead = world.euro_sale(&server, "r-1").await;
    world.attempts(&server, 1).await;
    let token =
        tokens::create(&world.databases.pool, Grant::Advertiser(advertiser), "").await.unwrap().secret;
    let query = format!(
        r#"{{ postbackLog {{ nodes {{ reason }} }} deliveries {{ nodes {{ reason }} }}
              explainPostback(postbackId: {}, leadId: "{lead}", event: SALE) {{
                  message checks {{ message }} delivery {{ reason }} }} }}"#,
        made["postbackId"]
    );
    let seen = world.graphql(&server, &token, &query).await;
    let reason = seen["postbackLog"]["nodes"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("condition not met: payout > 11 (payout = "), "{reason}");
    for place in [&seen["deliveries"]["nodes"][0], &seen["explainPostback"]["delivery"]] {
        assert_eq!(place["reason"], reason);
    }
    assert_eq!(seen["explainPostback"]["message"], reason);
    let export = server.url("/api/v1/export/postback-log?format=csv");
    let export = world.client.get(export).bearer_auth(&token).send().await.unwrap();
    assert_eq!(export.status(), 200);
    let export = export.text().await.unwrap();
    assert!(export.contains("payout > 11"), "{export}");
    for said in [seen.to_string(), export] {
        assert!(!said.contains("payout = 10"), "{said}");
    }
    assert_eq!(tracker.received().len(), 0);
}
