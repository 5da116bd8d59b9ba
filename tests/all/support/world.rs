//! A network with one of everything, and the four users' ways to it.

use std::collections::BTreeMap;

use reqwest::Client;
use ricochet::domain::event::{ActionKind, Event};
use ricochet::domain::ids::{LinkId, OfferId, PartnerId};
use ricochet::domain::money::Currency;
use ricochet::domain::payout::{PartnerPayout, PayoutModel};
use ricochet::domain::postback::{Owner, Scope};
use ricochet::graphql::scope::Grant;
use ricochet::store::network::{self, NewAction, NewPostback};
use ricochet::store::tokens;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::databases::Databases;
use super::eventually;
use super::server::{Server, client};

pub const LANDING: &str = "https://shop.example/?sub={sub1}&src={utm_source}";

/// One advertiser with an offer of each payout model, one partner with a link to each.
pub struct World {
    pub databases: Databases,
    pub client: Client,
    pub partner: PartnerId,
    pub api_key: String,
    pub owner_token: String,
    /// Actions: `sale` (repeatable), `lead` (once per click).
    pub fixed: (OfferId, LinkId),
    /// Action: `deposit` (repeatable), 25 %.
    pub percent: (OfferId, LinkId),
    /// Action: `subscription` (repeatable), 10 USD.
    pub recurring: (OfferId, LinkId),
}

impl World {
    pub async fn new() -> Self {
        Self::on(Databases::shared().await).await
    }

    pub async fn on(databases: Databases) -> Self {
        let db = databases.pool.get().await.unwrap();
        let advertiser = network::add_advertiser(&db, "Advertiser").await.unwrap();
        let api_key = network::add_api_key(&db, advertiser).await.unwrap();
        let partner = network::add_partner(&db, "Partner").await.unwrap();
        let amount = PartnerPayout::Amount(Decimal::TEN);
        let share = PartnerPayout::Percent(Decimal::from(25));
        let mut made = Vec::new();
        for actions in [
            vec![
                action("sale", ActionKind::Sale, PayoutModel::Fixed, amount, true),
                action("lead", ActionKind::Lead, PayoutModel::Fixed, amount, false),
            ],
            vec![action("deposit", ActionKind::Deposit, PayoutModel::Percent, share, true)],
            vec![action("subscription", ActionKind::Sale, PayoutModel::Recurring, amount, true)],
        ] {
            let offer = network::add_offer(&db, advertiser, "Offer", LANDING, &actions).await.unwrap();
            made.push((offer, network::add_link(&db, offer, partner).await.unwrap()));
        }
        let owner_token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
        let [fixed, percent, recurring] = made.try_into().unwrap();
        drop(db);
        Self { databases, client: client(), partner, api_key, owner_token, fixed, percent, recurring }
    }

    /// A postback of the partner's; made before the server starts, it needs no waiting for.
    pub async fn postback(&self, tracker_url: &str, events: &[Event]) {
        self.postback_with(tracker_url, events, &[200, 200, 200, 200, 200], 10_000).await;
    }

    pub async fn postback_with(
        &self,
        tracker_url: &str,
        events: &[Event],
        waits_ms: &[i64],
        timeout_ms: i32,
    ) {
        let url = format!(
            "{tracker_url}/p?cid={{clickid}}&lead={{lead_id}}&txid={{txid}}&status={{status}}&event={{event}}\
             &payout={{payout}}&currency={{currency}}&amount={{amount}}&zone={{fields.zone}}"
        );
        let postback = NewPostback {
            owner: Owner::Partner(self.partner),
            scope: Scope::Global,
            events,
            url_template: &url,
            retry_schedule_ms: Some(waits_ms.to_vec()),
            timeout_ms,
            max_in_flight: 32,
        };
        let db = self.databases.pool.get().await.unwrap();
        network::add_postback(&db, &postback).await.unwrap();
    }

    pub async fn click(&self, server: &Server, link: LinkId) -> String {
        let url = server.url(&format!("/click/{link}?format=json"));
        let click: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        click["click_id"].as_str().unwrap().to_owned()
    }

    /// A click on a link that the server may not have heard of yet.
    pub async fn click_once_known(&self, server: &Server, link: LinkId) -> String {
        let url = server.url(&format!("/click/{link}?format=json"));
        eventually("the link is known", || async {
            let click: Value = self.client.get(&url).send().await.unwrap().json().await.unwrap();
            click["click_id"].as_str().map(str::to_owned)
        })
        .await
    }

    /// Reports a conversion of the query string `parameters`; status and body of the answer.
    pub async fn report(&self, server: &Server, parameters: &str) -> (u16, Value) {
        let url = server.url(&format!("/{}/s2s?{parameters}", self.api_key));
        let answer = self.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn graphql(&self, server: &Server, token: &str, query: &str) -> Value {
        let request = self.client.post(server.url("/graphql")).bearer_auth(token);
        let answer: Value =
            request.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer.get("errors"), None, "{query}");
        answer["data"].clone()
    }

    /// What the owner is answered.
    pub async fn ask(&self, server: &Server, query: &str) -> Value {
        self.graphql(server, &self.owner_token, query).await
    }

    /// The code and the sentence of the only error of a request that must be refused.
    pub async fn refusal(&self, server: &Server, token: &str, query: &str) -> (String, String) {
        let request =
            self.client.post(server.url("/graphql")).bearer_auth(token).json(&json!({ "query": query }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let error = &answer["errors"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&error["extensions"]["code"]), text(&error["message"]))
    }

    pub async fn job(&self, server: &Server, job_id: &Value) -> Value {
        let query = format!(
            "{{ deliveryJobs(jobId: {job_id}) {{ edges {{ node {{ jobId kind state note expected matched made hastened
                 skipped {{ reason count }} }} }} }} }}"
        );
        self.ask(server, &query).await["deliveryJobs"]["edges"][0]["node"].clone()
    }

    pub async fn until_job(&self, server: &Server, job_id: &Value, state: &str) -> Value {
        eventually(&format!("job {job_id} is {state}"), || async {
            Some(self.job(server, job_id).await).filter(|job| job["state"] == state)
        })
        .await
    }

    /// All attempts in the log, oldest first, once there are at least `count` and nothing is
    /// left to be delivered or shipped.
    pub async fn attempts(&self, server: &Server, count: usize) -> Vec<BTreeMap<String, Value>> {
        self.until_settled().await;
        eventually(&format!("{count} attempts are in the log"), || async {
            let attempts = self.logged_attempts(server).await;
            Some(attempts).filter(|attempts| attempts.len() >= count)
        })
        .await
    }

    async fn logged_attempts(&self, server: &Server) -> Vec<BTreeMap<String, Value>> {
        let mut attempts = Vec::new();
        let mut after = String::new();
        loop {
            let query = format!(
                "{{ postbackLog(first: 1000 {after}) {{ pageInfo {{ hasNextPage endCursor }} edges {{ node {{
                    attemptId deliveryId leadId txid event status outcome reason errorKind attempt responseCode
                }} }} }} }}"
            );
            let log = self.graphql(server, &self.owner_token, &query).await["postbackLog"].clone();
            for edge in log["edges"].as_array().unwrap() {
                attempts.push(serde_json::from_value(edge["node"].clone()).unwrap());
            }
            if log["pageInfo"]["hasNextPage"] == false {
                attempts.reverse();
                return attempts;
            }
            after = format!(", after: {}", log["pageInfo"]["endCursor"]);
        }
    }

    /// Waits until every delivery is finished and every log row is in ClickHouse.
    pub async fn until_settled(&self) {
        eventually("all is delivered and logged", || async {
            let db = self.databases.pool.get().await.ok()?;
            let row = db
                .query_one(
                    "SELECT (SELECT count(*) FROM deliveries), (SELECT count(*) FROM log_batches)",
                    &[],
                )
                .await
                .ok()?;
            (row.get::<_, i64>(0) == 0 && row.get::<_, i64>(1) == 0).then_some(())
        })
        .await;
    }

    pub async fn count(&self, query: &str) -> i64 {
        self.databases.pool.get().await.unwrap().query_one(query, &[]).await.unwrap().get(0)
    }

    pub async fn in_sql(&self, statements: &str) {
        self.databases.pool.get().await.unwrap().batch_execute(statements).await.unwrap();
    }
}

fn action(
    name: &'static str,
    kind: ActionKind,
    payout_model: PayoutModel,
    payout: PartnerPayout,
    repeatable: bool,
) -> NewAction<'static> {
    NewAction {
        name,
        kind,
        payout_model,
        advertiser_rate: Decimal::from(30),
        commission_percent: Decimal::ZERO,
        payout,
        currency: Currency::parse("USD").unwrap(),
        repeatable,
    }
}
