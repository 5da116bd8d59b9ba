//! Fields that a partner writes into the click link: `…/click/L?fields.userid=501`.

use serde_json::{Value, json};

use super::reported;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

impl World {
    async fn click_with(&self, server: &Server, parameters: &str) -> Value {
        let url = server.url(&format!("/click/{}?format=json&{parameters}", self.fixed.1));
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn a_field_of_the_click_link_reaches_landing_page_postback_and_condition() {
    let world = World::new().await;
    world
        .execute("UPDATE offers SET landing_url = 'https://shop.example/{fields.userid}?s={fields.sub1}'")
        .await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    for (path, condition) in [("all", "\"\""), ("mine", r#""fields.userid == \"501\"""#)] {
        let create = format!(
            r#"mutation {{ createPostback(input: {{ partnerId: "{}", events: [SALE], condition: {condition},
                 urlTemplate: "{}/{path}?u={{fields.userid}}&second={{fields.sub1}}&sub={{sub1}}" }}) {{ postbackId }} }}"#,
            world.partner, tracker.url
        );
        world.graphql(&server, &world.owner_token, &create).await;
    }

    // The prefix comes before the bare name, and says that no sub of the link is meant.
    let click = world.click_with(&server, "userid=1&fields.userid=501&sub1=s&fields.sub1=f").await;
    let id = click["click_id"].as_str().unwrap();
    assert_eq!(click["url"], format!("https://shop.example/501?s=f&click_id={id}"));
    reported(&world, &server, &format!("click_id={id}&request_id=r-1&action=sale&status=new")).await;
    let mut told: Vec<String> =
        tracker.until_received(2).await.iter().map(|one| one.target.clone()).collect();
    told.sort();
    assert_eq!(told, ["/all?u=501&second=f&sub=s", "/mine?u=501&second=f&sub=s"]);

    // The conversion's own field has the last word, by either of its names.
    for (number, field) in ["userid=7", "fields.userid=7"].into_iter().enumerate() {
        let report = format!("click_id={id}&request_id=own-{number}&action=sale&status=new&{field}");
        reported(&world, &server, &report).await;
        let received = tracker.until_received(3 + number).await;
        assert_eq!(received[2 + number].target, "/all?u=7&second=f&sub=s");
    }

    // Whoever looks at the click sees the field by its name, too.
    world.until_settled().await;
    let query = "{ clicks(first: 1) { edges { node { sub1 parameters { name value } } } } }";
    let seen = world.graphql(&server, &world.owner_token, query).await;
    let parameter = |name: &str, value: &str| json!({ "name": name, "value": value });
    assert_eq!(
        seen["clicks"]["edges"][0]["node"],
        json!({ "sub1": "s", "parameters": [
            parameter("sub1", "f"), parameter("userid", "501"), parameter("userid[2]", "1"),
        ] })
    );
}
