//! Clicks: written in batches, found by our id or the partner's.

use std::collections::HashMap;
use std::sync::Arc;

use deadpool_postgres::{Client, Pool};
use tokio_postgres::Row;
use uuid::Uuid;

use super::deliveries::{self, NewDelivery};
use super::error::StoreError;
use super::log_batches;
use super::recording::{self, ChangeRow};
use super::resend::scope_columns;
use super::search::read_only;
use super::session::Session;
use super::skipped::{self, SkippedDelivery};
use crate::domain::click::Click;
use crate::domain::ids::{AdvertiserId, ClickId, LinkId, NodeId, OfferId, PartnerId};
use crate::event_log::rows::{ClickRow, encode};
use crate::graphql::scope::Scope;

/// What is written beside clicks for those who want to hear of them.
#[derive(Debug, Default)]
pub struct ClickNews {
    pub changes: Vec<ChangeRow>,
    pub deliveries: Vec<NewDelivery>,
    pub skipped: Vec<SkippedDelivery>,
}

/// Writes clicks, their log rows and what is to be told of them in one transaction.
pub async fn insert(pool: &Pool, node: NodeId, clicks: &[Click], news: &ClickNews) -> Result<(), StoreError> {
    macro_rules! column {
        ($($field:tt)+) => { clicks.iter().map(|click| click.$($field)+).collect::<Vec<_>>() };
    }
    macro_rules! text_column {
        ($($field:tt)+) => { clicks.iter().map(|click| click.$($field)+.as_str()).collect::<Vec<&str>>() };
    }
    let parameters: Vec<String> = clicks
        .iter()
        .map(|click| serde_json::to_string(&click.parameters).expect("a map of texts is JSON"))
        .collect();
    let log_batch = encode(clicks.iter().map(ClickRow::from));

    let session = Session::checkout(pool).await?;
    let insert = session.prepare_cached(include_str!("queries/insert_clicks.sql")).await?;
    let log = log_batches::prepare_insert(&session).await?;
    let changes = recording::prepare_changes(&session).await?;
    let deliveries = deliveries::prepare_insert(&session).await?;
    let skipped = skipped::prepare_insert(&session).await?;
    let skipped_log = skipped::log_batch(&news.skipped);
    let now = clicks.last().map_or_else(chrono::Utc::now, |click| click.clicked_at);
    tokio::try_join!(
        biased;
        async { Ok(session.batch_execute("BEGIN").await?) },
        async {
            session
                .execute(
                    &insert,
                    &[
                        &column!(click_id.0),
                        &column!(link_id.0),
                        &column!(offer_id.0),
                        &column!(partner_id.0),
                        &column!(advertiser_id.0),
                        &text_column!(partner_clickid),
                        &text_column!(subs[0]),
                        &text_column!(subs[1]),
                        &text_column!(subs[2]),
                        &text_column!(subs[3]),
                        &text_column!(subs[4]),
                        &text_column!(ip),
                        &text_column!(user_agent),
                        &text_column!(referrer),
                        &text_column!(country),
                        &text_column!(device),
                        &parameters,
                        &column!(clicked_at),
                        &text_column!(tracker),
                    ],
                )
                .await?;
            Ok(())
        },
        recording::write_changes(&session, &changes, now, &news.changes),
        deliveries::insert(&session, &deliveries, node, now, &news.deliveries),
        skipped::insert(&session, &skipped, now, &news.skipped),
        log_batches::insert(&session, &log, log_batch.as_slice()),
        log_batches::insert(&session, &log, skipped_log.as_slice()),
        async { Ok::<_, StoreError>(session.commit().await?) },
    )?;
    session.give_back();
    Ok(())
}

/// What a click reference leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Click(Arc<Click>),
    Unknown,
    /// The partner's id stands on this many clicks, none of which is ours by id.
    Ambiguous {
        candidates: usize,
    },
}

/// Finds the clicks of `references` (advertiser and click id as sent). Our id wins over a
/// partner's; a click of another advertiser does not exist.
pub async fn find(
    pool: &Pool,
    references: &[(AdvertiserId, String)],
) -> Result<HashMap<(AdvertiserId, String), Found>, StoreError> {
    type Reference = (AdvertiserId, String);
    let (like_ours, others): (Vec<&Reference>, Vec<&Reference>) =
        references.iter().partition(|(_, text)| Uuid::try_parse(text).is_ok());
    let ours: Vec<Uuid> = like_ours.iter().filter_map(|(_, text)| text.parse().ok()).collect();

    let client = pool.get().await?;
    let (of_id, mut of_partner) =
        tokio::try_join!(biased; by_our_id(&client, &ours), by_partner_id(&client, &others))?;
    let is_found = |(advertiser, text): &Reference| {
        let click: Option<&Arc<Click>> = text.parse().ok().and_then(|id: Uuid| of_id.get(&id));
        click.is_some_and(|click| click.advertiser_id == *advertiser)
    };
    // A partner's tracker may use UUIDs as well.
    let unknown: Vec<&Reference> = like_ours.into_iter().filter(|reference| !is_found(reference)).collect();
    of_partner.extend(by_partner_id(&client, &unknown).await?);

    let found = references.iter().map(|key| {
        let by_our_id = key.1.parse().ok().and_then(|id: Uuid| of_id.get(&id));
        let found = match (by_our_id.filter(|click| click.advertiser_id == key.0), of_partner.get(key)) {
            (Some(click), _) => Found::Click(click.clone()),
            (None, Some(clicks)) if clicks.len() == 1 => Found::Click(clicks[0].clone()),
            (None, Some(clicks)) => Found::Ambiguous { candidates: clicks.len() },
            (None, None) => Found::Unknown,
        };
        (key.clone(), found)
    });
    Ok(found.collect())
}

async fn by_our_id(client: &Client, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<Click>>, StoreError> {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else {
        return Ok(HashMap::new());
    };
    // The bounds leave out the partitions of other months, which a list of ids does not.
    let statement = client
        .prepare_cached("SELECT * FROM clicks WHERE click_id = ANY($1) AND click_id BETWEEN $2 AND $3")
        .await?;
    let mut found = HashMap::new();
    for row in client.query(&statement, &[&ids, first, last]).await? {
        let click = read(&row)?;
        found.insert(click.click_id.0, Arc::new(click));
    }
    Ok(found)
}

async fn by_partner_id(
    client: &Client,
    references: &[&(AdvertiserId, String)],
) -> Result<HashMap<(AdvertiserId, String), Vec<Arc<Click>>>, StoreError> {
    let mut found: HashMap<(AdvertiserId, String), Vec<Arc<Click>>> = HashMap::new();
    if references.is_empty() {
        return Ok(found);
    }
    let (advertisers, texts): (Vec<Uuid>, Vec<&str>) =
        references.iter().map(|(advertiser, text)| (advertiser.0, text.as_str())).unzip();
    let statement = client
        .prepare_cached(
            "SELECT click.* FROM unnest($1::uuid[], $2::text[]) AS wanted(advertiser_id, partner_clickid)
             CROSS JOIN LATERAL (
                 SELECT * FROM clicks
                 WHERE clicks.advertiser_id = wanted.advertiser_id
                   AND clicks.partner_clickid = wanted.partner_clickid
                 LIMIT 10
             ) AS click",
        )
        .await?;
    for row in client.query(&statement, &[&advertisers, &texts]).await? {
        let click = read(&row)?;
        let clicks = found.entry((click.advertiser_id, click.partner_clickid.clone())).or_default();
        // The same reference twice in one batch finds its click twice.
        if !clicks.iter().any(|known| known.click_id == click.click_id) {
            clicks.push(Arc::new(click));
        }
    }
    Ok(found)
}

/// Those of `ids` that are in scope: an advertiser's are those to its offers, a partner's those
/// through its links.
pub async fn by_ids(pool: &Pool, scope: Scope, ids: &[Uuid]) -> Result<Vec<Click>, StoreError> {
    let (advertiser, partner) = scope_columns(scope);
    let statement = "SELECT * FROM clicks WHERE click_id = ANY($1)
         AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)";
    read_only(pool, statement, &[&ids, &advertiser, &partner]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Click, StoreError> {
    let parameters: serde_json::Value = row.get("parameters");
    Ok(Click {
        click_id: ClickId(row.get("click_id")),
        link_id: LinkId(row.get("link_id")),
        offer_id: OfferId(row.get("offer_id")),
        partner_id: PartnerId(row.get("partner_id")),
        advertiser_id: AdvertiserId(row.get("advertiser_id")),
        partner_clickid: row.get("partner_clickid"),
        subs: ["sub1", "sub2", "sub3", "sub4", "sub5"].map(|column| row.get(column)),
        ip: row.get("ip"),
        user_agent: row.get("user_agent"),
        referrer: row.get("referrer"),
        country: row.get("country"),
        device: row.get("device"),
        parameters: serde_json::from_value(parameters)
            .map_err(|error| StoreError::Unreadable(format!("clicks.parameters: {error}")))?,
        tracker: row.get("tracker"),
        clicked_at: row.get("clicked_at"),
    })
}
