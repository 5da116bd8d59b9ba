//! The bench's own little network in the server's database: an advertiser with a key, a
//! partner with a link and postbacks, an offer with one repeatable action.

use std::time::Duration;

use anyhow::{Context, bail};
use hyper::{StatusCode, Uri};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::domain::catalogue::hash_key;

use super::args::Leftovers;
use super::http::{Connection, Server};
use super::sink::postback_url;

/// Longest wait until the server has read the new rows into its catalogue.
const CATALOGUE_WAIT: Duration = Duration::from_secs(30);
const CATALOGUE_CHECK: Duration = Duration::from_millis(50);
/// Enough that the destination is never what is measured, unless the sink is slow on purpose.
const MAX_IN_FLIGHT: i32 = 64;

pub struct Network {
    name: String,
    api_key: String,
    advertiser_id: Uuid,
    partner_id: Uuid,
    offer_id: Uuid,
    link_id: Uuid,
    postbacks: Vec<Postback>,
}

struct Postback {
    postback_id: Uuid,
    url_template: String,
}

#[derive(Deserialize)]
struct ClickAnswer {
    click_id: String,
}

impl Network {
    pub fn plan(run: &str, sink_port: u16, postbacks: usize) -> Self {
        Self {
            name: format!("bench {run}"),
            api_key: format!("bench_{:032x}", rand::random::<u128>()),
            advertiser_id: Uuid::now_v7(),
            partner_id: Uuid::now_v7(),
            offer_id: Uuid::now_v7(),
            link_id: Uuid::now_v7(),
            postbacks: (0..postbacks)
                .map(|postback| Postback {
                    postback_id: Uuid::now_v7(),
                    url_template: postback_url(sink_port, postback),
                })
                .collect(),
        }
    }

    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    pub fn link(&self) -> Uuid {
        self.link_id
    }

    /// Clicks of the bench's link that are durable.
    pub async fn recorded_clicks(&self, database_url: &str) -> anyhow::Result<u64> {
        let client = connect(database_url).await?;
        let count = "SELECT count(*) FROM clicks WHERE link_id = $1";
        let count: i64 = client.query_one(count, &[&self.link_id]).await?.get(0);
        Ok(count.unsigned_abs())
    }

    /// Writes all of it in one transaction, so that a server that knows the link knows the rest.
    pub async fn create(&self, database_url: &str) -> anyhow::Result<()> {
        let mut client = connect(database_url).await?;
        let transaction = client.transaction().await?;
        transaction
            .execute(
                "INSERT INTO advertisers (advertiser_id, name) VALUES ($1, $2)",
                &[&self.advertiser_id, &self.name],
            )
            .await
            .context("the bench's advertiser cannot be written; has `ricochet migrate` been run?")?;
        let key_hash = hash_key(&self.api_key);
        transaction
            .execute(
                "INSERT INTO api_keys (api_key_id, advertiser_id, key_hash) VALUES ($1, $2, $3)",
                &[&Uuid::now_v7(), &self.advertiser_id, &key_hash.as_slice()],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO partners (partner_id, name) VALUES ($1, $2)",
                &[&self.partner_id, &self.name],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO offers (offer_id, advertiser_id, name, landing_url)
                 VALUES ($1, $2, $3, 'https://bench.example/landing?click_id={click_id}')",
                &[&self.offer_id, &self.advertiser_id, &self.name],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO actions (action_id, offer_id, name, kind, payout_model, advertiser_rate,
                                      commission_percent, payout_amount, currency, is_repeatable)
                 VALUES ($1, $2, 'sale', 'sale', 'fixed', 10, 20, 8, 'USD', true)",
                &[&Uuid::now_v7(), &self.offer_id],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO links (link_id, offer_id, partner_id) VALUES ($1, $2, $3)",
                &[&self.link_id, &self.offer_id, &self.partner_id],
            )
            .await?;
        let ids = self.postback_ids();
        let urls: Vec<&str> = self.postbacks.iter().map(|postback| postback.url_template.as_str()).collect();
        transaction
            .execute(
                "INSERT INTO postbacks (postback_id, partner_id, events, url_template, max_in_flight)
                 SELECT postback_id, $3, '{sale}', url_template, $4
                 FROM unnest($1::uuid[], $2::text[]) AS new (postback_id, url_template)",
                &[&ids, &urls, &self.partner_id, &MAX_IN_FLIGHT],
            )
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Makes `count` clicks at the server's own door, once it knows the link.
    pub async fn click(&self, server: &Server, count: u32) -> anyhow::Result<Vec<String>> {
        let mut connection = Connection::new(server.clone());
        let uri: Uri = format!("/click/{}?format=json", self.link_id).parse()?;
        let deadline = Instant::now() + CATALOGUE_WAIT;
        let mut clicks = Vec::new();
        while clicks.len() < usize::try_from(count)? {
            let (status, body) = connection.get(uri.clone()).await.with_context(|| {
                format!("no click can be made at {}; is the server running?", server.address)
            })?;
            match status {
                StatusCode::OK => {
                    let answer: ClickAnswer =
                        serde_json::from_slice(body).context("the click door's answer is not understood")?;
                    clicks.push(answer.click_id);
                }
                StatusCode::NOT_FOUND if Instant::now() < deadline => sleep(CATALOGUE_CHECK).await,
                StatusCode::NOT_FOUND => bail!(
                    "the server does not know the bench's link after {} s; do --url and --database-url \
                     belong to the same server?",
                    CATALOGUE_WAIT.as_secs()
                ),
                status => bail!("the click door answered {status}; its log says why"),
            }
        }
        Ok(clicks)
    }

    /// Revokes the key and deletes the postbacks; what they caused stays, but for deliveries that
    /// are to be withdrawn.
    pub async fn retire(&self, database_url: &str, leftovers: Leftovers) -> anyhow::Result<()> {
        let work = async {
            // A new connection: the first one may not have lived through the measurement.
            let client = connect(database_url).await?;
            client
                .execute(
                    "UPDATE postbacks SET deleted_at = now() WHERE postback_id = ANY($1) AND deleted_at IS NULL",
                    &[&self.postback_ids()],
                )
                .await?;
            client
                .execute(
                    "UPDATE api_keys SET revoked_at = now() WHERE advertiser_id = $1 AND revoked_at IS NULL",
                    &[&self.advertiser_id],
                )
                .await?;
            if leftovers == Leftovers::Withdrawn {
                client
                    .execute(
                        "DELETE FROM deliveries WHERE postback_id = ANY($1) AND claimed_by IS NULL",
                        &[&self.postback_ids()],
                    )
                    .await?;
            }
            anyhow::Ok(())
        };
        work.await.with_context(|| {
            format!(
                "the bench could not clean up; revoke the key and delete the postbacks of advertiser and \
                 partner {:?} by hand",
                self.name
            )
        })
    }

    fn postback_ids(&self) -> Vec<Uuid> {
        self.postbacks.iter().map(|postback| postback.postback_id).collect()
    }
}

async fn connect(database_url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls)
        .await
        .context("PostgreSQL cannot be reached with the database URL (the bench connects without TLS)")?;
    tokio::spawn(async move {
        // Whoever waits for a result on it hears of the failure.
        let _ = connection.await;
    });
    Ok(client)
}
