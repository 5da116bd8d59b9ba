//! Reads what the log's ids are called, for ClickHouse.

use deadpool_postgres::Pool;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;
use crate::event_log::names::{NameKind, NameRow, NameState, Names, host_of, postback_name};

/// All names and the version of the catalogue, as of one moment.
pub async fn read(pool: &Pool) -> Result<Names, StoreError> {
    let session = Session::checkout(pool).await?;
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let version: i64 = session.query_one("SELECT version FROM catalogue_version", &[]).await?.get(0);
    let partners = session.query("SELECT partner_id, name FROM partners", &[]).await?;
    let advertisers = session.query("SELECT advertiser_id, name FROM advertisers", &[]).await?;
    let offers = session.query("SELECT offer_id, name, advertiser_id FROM offers", &[]).await?;
    let postbacks = session
        .query(
            "SELECT postback_id, partner_id, advertiser_id, offer_id, url_template, events, is_paused,
                    deleted_at IS NOT NULL AS is_deleted
             FROM postbacks",
            &[],
        )
        .await?;
    session.commit().await?;
    session.give_back();

    let plain = |kind| move |row: &Row| NameRow::plain(kind, row.get(0), row.get(1));
    let mut rows = Vec::with_capacity(partners.len() + advertisers.len() + offers.len() + postbacks.len());
    rows.extend(partners.iter().map(plain(NameKind::Partner)));
    rows.extend(advertisers.iter().map(plain(NameKind::Advertiser)));
    rows.extend(
        offers.iter().map(|row| NameRow { advertiser_id: row.get(2), ..plain(NameKind::Offer)(row) }),
    );
    rows.extend(postbacks.iter().map(postback));
    Ok(Names { version, rows })
}

fn postback(row: &Row) -> NameRow {
    let partner_id: Option<Uuid> = row.get("partner_id");
    let advertiser_id: Option<Uuid> = row.get("advertiser_id");
    let destination = host_of(row.get("url_template"));
    let events: Vec<String> = row.get("events");
    NameRow {
        kind: NameKind::Postback,
        id: row.get("postback_id"),
        name: postback_name(&destination, &events),
        owner: match (partner_id, advertiser_id) {
            (Some(_), _) => "partner",
            (None, Some(_)) => "advertiser",
            (None, None) => "platform",
        },
        partner_id,
        advertiser_id,
        offer_id: row.get("offer_id"),
        destination,
        events,
        state: match (row.get("is_deleted"), row.get("is_paused")) {
            (true, _) => NameState::Deleted,
            (false, true) => NameState::Paused,
            (false, false) => NameState::Active,
        },
    }
}
