//! Status words: what a word means at one integration, offer or advertiser.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::caller::{advertising, caller, change, pool};
use crate::domain::ids::{AdvertiserId, IntegrationId, OfferId};
use crate::domain::status_words::Place;
use crate::graphql::enums::Meaning;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::types::{LogConnection, connection};
use crate::store::setup::words;
use crate::store::status_words::StatusWordRecord;

/// What a word means at the one place that is not null.
#[derive(SimpleObject)]
pub struct StatusWord {
    status_word_id: ID,
    /// In lower case, without surrounding blanks.
    word: String,
    meaning: Meaning,
    integration_id: Option<ID>,
    offer_id: Option<ID>,
    /// The advertiser whose integration or offer it is, or itself.
    advertiser_id: ID,
    created_at: Time,
}

impl From<StatusWordRecord> for StatusWord {
    fn from(record: StatusWordRecord) -> Self {
        let (integration, offer) = match record.place {
            Place::Integration(id) => (Some(id.0.into()), None),
            Place::Offer(id) => (None, Some(id.0.into())),
            Place::Advertiser(_) => (None, None),
        };
        Self {
            status_word_id: record.status_word_id.0.into(),
            word: record.word,
            meaning: record.meaning.into(),
            integration_id: integration,
            offer_id: offer,
            advertiser_id: record.advertiser_id.0.into(),
            created_at: record.created_at.into(),
        }
    }
}

/// The words of one place; give one id at most.
#[derive(InputObject, Default)]
struct StatusWordsFilter {
    integration_id: Option<ID>,
    offer_id: Option<ID>,
    /// Words of the advertiser itself, not those of its offers and integrations.
    advertiser_id: Option<ID>,
}

/// The place is one id of the three.
#[derive(InputObject)]
struct SetStatusWordInput {
    integration_id: Option<ID>,
    offer_id: Option<ID>,
    advertiser_id: Option<ID>,
    /// As the sender writes it; case and surrounding blanks do not count.
    word: String,
    meaning: Meaning,
}

/// The place is one id of the three.
#[derive(InputObject)]
struct RemoveStatusWordInput {
    integration_id: Option<ID>,
    offer_id: Option<ID>,
    advertiser_id: Option<ID>,
    word: String,
}

/// The place of at most one id; `path` leads to their fields.
fn place(
    path: &str,
    integration: Option<&ID>,
    offer: Option<&ID>,
    advertiser: Option<&ID>,
) -> Result<Option<Place>, Failure> {
    let at = |name: &str| format!("{path}{name}");
    match (integration, offer, advertiser) {
        (None, None, None) => Ok(None),
        (Some(id), None, None) => {
            Ok(Some(Place::Integration(IntegrationId(uuid_at(&at("integrationId"), id)?))))
        }
        (None, Some(id), None) => Ok(Some(Place::Offer(OfferId(uuid_at(&at("offerId"), id)?)))),
        (None, None, Some(id)) => {
            Ok(Some(Place::Advertiser(AdvertiserId(uuid_at(&at("advertiserId"), id)?))))
        }
        (_, Some(_), _) => Err(Failure::bad_input(at("offerId"), ONE_PLACE)),
        (Some(_), None, Some(_)) => Err(Failure::bad_input(at("advertiserId"), ONE_PLACE)),
    }
}

const ONE_PLACE: &str = "a word holds at one place; give one of integrationId, offerId and advertiserId";

/// The place of exactly one id.
fn one_place(
    integration: Option<&ID>,
    offer: Option<&ID>,
    advertiser: Option<&ID>,
) -> Result<Place, Failure> {
    let place = place("input.", integration, offer, advertiser)?;
    place.ok_or_else(|| Failure::bad_input("input.advertiserId", ONE_PLACE))
}

#[derive(Default)]
pub struct WordQueries;

#[Object]
impl WordQueries {
    /// Words that mean something of their own somewhere, newest first: an advertiser sees its own, a
    /// partner none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn status_words(
        &self,
        ctx: &Context<'_>,
        filter: Option<StatusWordsFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<StatusWord>, Failure> {
        let request = page_request(ctx, List::StatusWords, first, after)?;
        let scope = caller(ctx)?.scope();
        let StatusWordsFilter { integration_id, offer_id, advertiser_id } = filter.unwrap_or_default();
        let place = place("", integration_id.as_ref(), offer_id.as_ref(), advertiser_id.as_ref())?;
        let page = read_store(words::page(pool(ctx), scope, place, &request)).await?;
        Ok(connection(List::StatusWords, &request, page))
    }
}

#[derive(Default)]
pub struct WordMutations;

#[Object]
impl WordMutations {
    /// Says what a word means at a place, or something else than before. Requests that wait in
    /// quarantine for the word are processed within seconds. Owners and the advertiser itself.
    async fn set_status_word(
        &self,
        ctx: &Context<'_>,
        input: SetStatusWordInput,
    ) -> Result<StatusWord, Failure> {
        let caller = advertising(ctx)?;
        let SetStatusWordInput { integration_id, offer_id, advertiser_id, word, meaning } = input;
        let place = one_place(integration_id.as_ref(), offer_id.as_ref(), advertiser_id.as_ref())?;
        let setting = words::set(pool(ctx), caller.into(), caller.scope(), place, &word, meaning.into());
        Ok(change(ctx, setting).await?.into())
    }

    /// Takes a word back: from now on the next wider place decides. Owners and the advertiser itself.
    async fn remove_status_word(
        &self,
        ctx: &Context<'_>,
        input: RemoveStatusWordInput,
    ) -> Result<bool, Failure> {
        let caller = advertising(ctx)?;
        let RemoveStatusWordInput { integration_id, offer_id, advertiser_id, word } = input;
        let place = one_place(integration_id.as_ref(), offer_id.as_ref(), advertiser_id.as_ref())?;
        change(ctx, words::remove(pool(ctx), caller.into(), caller.scope(), place, &word)).await?;
        Ok(true)
    }
}
