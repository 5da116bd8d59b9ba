//! What status words mean at one integration, offer or advertiser.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::ids::{AdvertiserId, IntegrationId, OfferId, StatusWordId};
use crate::domain::status::Meaning;
use crate::domain::status_words::{Place, normalized};
use crate::graphql::scope::Scope;

#[derive(Debug, Clone)]
pub struct StatusWordRecord {
    pub status_word_id: StatusWordId,
    pub place: Place,
    /// The advertiser whose integration or offer it is, or itself.
    pub advertiser_id: AdvertiserId,
    /// In lower case, without surrounding blanks.
    pub word: String,
    pub meaning: Meaning,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum SetWordError {
    #[error("word: a status word has 1 to 255 characters")]
    Word,
    #[error("place: there is no such integration, offer or advertiser")]
    UnknownPlace,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Longest word, in characters: as long as a request may send one.
const WORD_CHARS: usize = 255;

/// Says what a word means at a place, or something else than before. Requests waiting in
/// quarantine for the word are processed within seconds.
///
/// `scope` is the caller's: a place outside it does not exist.
pub async fn set(
    client: &impl GenericClient,
    scope: Scope,
    place: Place,
    word: &str,
    meaning: Meaning,
) -> Result<StatusWordId, SetWordError> {
    let word = normalized(word);
    if word.is_empty() || word.chars().count() > WORD_CHARS || word.contains('\0') {
        return Err(SetWordError::Word);
    }
    if !is_within(scope, advertiser_of(client, place).await?) {
        return Err(SetWordError::UnknownPlace);
    }
    let (integration, offer, advertiser) = columns(place);
    let row = client
        .query_one(
            "INSERT INTO status_words (status_word_id, integration_id, offer_id, advertiser_id, word, meaning)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (coalesce(integration_id, offer_id, advertiser_id), word)
             DO UPDATE SET meaning = excluded.meaning
             RETURNING status_word_id",
            &[&Uuid::now_v7(), &integration, &offer, &advertiser, &word, &meaning.code()],
        )
        .await
        .map_err(StoreError::from)?;
    Ok(StatusWordId(row.get(0)))
}

/// Takes a word back: from now on the next wider place decides. Says whether there was one.
pub async fn remove(
    client: &impl GenericClient,
    scope: Scope,
    place: Place,
    word: &str,
) -> Result<bool, StoreError> {
    if !is_within(scope, advertiser_of(client, place).await?) {
        return Ok(false);
    }
    let (integration, offer, advertiser) = columns(place);
    let removed = client
        .execute(
            "DELETE FROM status_words
             WHERE coalesce(integration_id, offer_id, advertiser_id)
                 = coalesce($1::uuid, $2::uuid, $3::uuid) AND word = $4",
            &[&integration, &offer, &advertiser, &normalized(word)],
        )
        .await?;
    Ok(removed > 0)
}

/// The words, each with the advertiser whose integration or offer it is at.
pub(super) const WITH_OWNERS: &str = "(
    SELECT status_words.*,
           coalesce(status_words.advertiser_id, offers.advertiser_id, integrations.advertiser_id) AS owner_id
    FROM status_words LEFT JOIN offers USING (offer_id) LEFT JOIN integrations USING (integration_id)
) AS words";

/// All words in scope, or those of one place. A partner sees none: they are the advertiser's.
pub async fn list(
    client: &impl GenericClient,
    scope: Scope,
    place: Option<Place>,
) -> Result<Vec<StatusWordRecord>, StoreError> {
    let of_advertiser = match scope {
        Scope::Everything => None,
        Scope::Advertiser(id) => Some(id.0),
        Scope::Partner(_) => return Ok(Vec::new()),
    };
    let rows = client
        .query(
            &format!(
                "SELECT * FROM {WITH_OWNERS}
                 WHERE ($1::uuid IS NULL OR owner_id = $1)
                   AND ($2::uuid IS NULL OR coalesce(integration_id, offer_id, advertiser_id) = $2)
                 ORDER BY owner_id, offer_id, integration_id, word"
            ),
            &[&of_advertiser, &place.map(Place::id)],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The advertiser a place belongs to; `None` where there is no such place.
pub async fn advertiser_of(
    client: &impl GenericClient,
    place: Place,
) -> Result<Option<AdvertiserId>, StoreError> {
    let (query, id) = match place {
        Place::Integration(id) => ("SELECT advertiser_id FROM integrations WHERE integration_id = $1", id.0),
        Place::Offer(id) => ("SELECT advertiser_id FROM offers WHERE offer_id = $1", id.0),
        Place::Advertiser(id) => ("SELECT advertiser_id FROM advertisers WHERE advertiser_id = $1", id.0),
    };
    Ok(client.query_opt(query, &[&id]).await?.map(|row| AdvertiserId(row.get(0))))
}

/// Whether something of this advertiser's exists for the caller.
pub(in crate::store) fn is_within(scope: Scope, advertiser: Option<AdvertiserId>) -> bool {
    match (scope, advertiser) {
        (Scope::Everything, Some(_)) => true,
        (Scope::Advertiser(own), Some(advertiser)) => own == advertiser,
        (Scope::Partner(_), _) | (_, None) => false,
    }
}

fn columns(place: Place) -> (Option<Uuid>, Option<Uuid>, Option<Uuid>) {
    match place {
        Place::Integration(id) => (Some(id.0), None, None),
        Place::Offer(id) => (None, Some(id.0), None),
        Place::Advertiser(id) => (None, None, Some(id.0)),
    }
}

/// Reads `integration_id`, `offer_id`, `advertiser_id` and `meaning` of a row.
pub(super) fn place_and_meaning(row: &Row) -> Result<(Place, Meaning), StoreError> {
    Ok((place(row)?, meaning(row)?))
}

pub(super) fn place(row: &Row) -> Result<Place, StoreError> {
    let ids: [Option<Uuid>; 3] = [row.get("integration_id"), row.get("offer_id"), row.get("advertiser_id")];
    match ids {
        [Some(id), ..] => Ok(Place::Integration(IntegrationId(id))),
        [None, Some(id), _] => Ok(Place::Offer(OfferId(id))),
        [None, None, Some(id)] => Ok(Place::Advertiser(AdvertiserId(id))),
        [None, None, None] => Err(StoreError::Unreadable("status_words: no place".into())),
    }
}

pub(super) fn meaning(row: &Row) -> Result<Meaning, StoreError> {
    let meaning: &str = row.get("meaning");
    Meaning::from_code(meaning)
        .ok_or_else(|| StoreError::Unreadable(format!("status_words.meaning: {meaning}")))
}

pub(super) fn read(row: &Row) -> Result<StatusWordRecord, StoreError> {
    let (place, meaning) = place_and_meaning(row)?;
    Ok(StatusWordRecord {
        status_word_id: StatusWordId(row.get("status_word_id")),
        place,
        advertiser_id: AdvertiserId(row.get("owner_id")),
        word: row.get("word"),
        meaning,
        created_at: row.get("created_at"),
    })
}
