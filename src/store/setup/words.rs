//! Status words: what a word means at one integration, offer or advertiser.

use deadpool_postgres::{GenericClient, Pool};
use uuid::Uuid;

use super::{ChangeError, Position, Positioned};
use crate::domain::status::Meaning;
use crate::domain::status_words::{Place, normalized};
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::search::{self, Columns, Search};
use crate::store::status_words::{self, SetWordError, StatusWordRecord};

impl Positioned for StatusWordRecord {
    fn position(&self) -> Position {
        Position { time: self.created_at, id: self.status_word_id.0 }
    }
}

/// Says what a word means at a place in scope. Requests that wait for it are processed within
/// seconds.
pub async fn set(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    place: Place,
    word: &str,
    meaning: Meaning,
) -> Result<StatusWordRecord, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = match find(&transaction, place, word).await? {
        Some(id) => audit::snapshot(&transaction, Entity::StatusWord, id).await?,
        None => None,
    };
    let action = if before.is_some() { "update" } else { "create" };
    let id = status_words::set(&transaction, scope, place, word, meaning)
        .await
        .map_err(|error| refused(place, error))?;
    audit::record(&transaction, actor, Entity::StatusWord, id.0, action, before).await?;
    let words = status_words::list(&transaction, scope, Some(place)).await?;
    transaction.commit().await?;
    let set = words.into_iter().find(|record| record.status_word_id == id);
    set.ok_or_else(|| StoreError::Unreadable("status_words: a word vanished while it was set".into()).into())
}

/// Takes a word back: from now on the next wider place decides.
pub async fn remove(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    place: Place,
    word: &str,
) -> Result<(), ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let nothing = ChangeError::NotFound { field: "word", what: "word at this place" };
    if !status_words::is_within(scope, status_words::advertiser_of(&transaction, place).await?) {
        return Err(refused(place, SetWordError::UnknownPlace));
    }
    let Some(id) = find(&transaction, place, word).await? else { return Err(nothing) };
    let before = audit::snapshot(&transaction, Entity::StatusWord, id).await?;
    if !status_words::remove(&transaction, scope, place, word).await? {
        return Err(nothing);
    }
    audit::record(&transaction, actor, Entity::StatusWord, id, "delete", before).await?;
    transaction.commit().await?;
    Ok(())
}

/// The words in scope, or those of one place.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    place: Option<Place>,
) -> Result<Vec<StatusWordRecord>, StoreError> {
    status_words::list(&pool.get().await?, scope, place).await
}

/// The words in scope, or those of one place, newest first. A partner sees none: they are the
/// advertiser's.
pub async fn page(
    pool: &Pool,
    scope: Scope,
    place: Option<Place>,
    request: &PageRequest,
) -> Result<Page<StatusWordRecord>, StoreError> {
    const COLUMNS: Columns =
        Columns { selected: "*", from: status_words::WITH_OWNERS, time: "created_at", id: "status_word_id" };
    let mut search = Search::default();
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.compare("owner_id =", Some(id.0)),
        Scope::Partner(_) => return Ok(Page::empty()),
    }
    search.compare("coalesce(integration_id, offer_id, advertiser_id) =", place.map(Place::id));
    search::page(pool, COLUMNS, search, request, status_words::read).await
}

async fn find(client: &impl GenericClient, place: Place, word: &str) -> Result<Option<Uuid>, ChangeError> {
    let word = normalized(word);
    if word.contains('\0') {
        return Err(refused(place, SetWordError::Word));
    }
    let known = "SELECT status_word_id FROM status_words
                 WHERE coalesce(integration_id, offer_id, advertiser_id) = $1 AND word = $2";
    Ok(client.query_opt(known, &[&place.id(), &word]).await?.map(|row| row.get(0)))
}

fn refused(place: Place, error: SetWordError) -> ChangeError {
    match error {
        SetWordError::Word => ChangeError::bad("word", "a status word has 1 to 255 characters"),
        SetWordError::UnknownPlace => match place {
            Place::Integration(_) => ChangeError::NotFound { field: "integration_id", what: "integration" },
            Place::Offer(_) => ChangeError::NotFound { field: "offer_id", what: "offer" },
            Place::Advertiser(_) => ChangeError::NotFound { field: "advertiser_id", what: "advertiser" },
        },
        SetWordError::Store(error) => error.into(),
    }
}
