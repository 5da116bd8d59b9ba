//! `ricochet word`: what status words mean at one advertiser, offer or integration.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::flags::{Id, flagged, meaning};
use super::{ACTOR, Common};
use crate::domain::ids::{AdvertiserId, IntegrationId, OfferId};
use crate::domain::status::Meaning;
use crate::domain::status_words::Place;
use crate::graphql::scope::Scope;
use crate::store::setup::words;
use crate::store::status_words::StatusWordRecord;

pub const EXAMPLES: &str = "\
Examples:
  ricochet word set 'in Bearbeitung' hold --advertiser \"$ADVERTISER\"
  ricochet word set 2 approved --integration \"$INTEGRATION\"
  ricochet word list --integration \"$INTEGRATION\"
  ricochet word remove 2 --integration \"$INTEGRATION\"

The narrowest place decides: the integration, then the offer, then the advertiser, then the words
that everybody shares (docs/conversions.md).";

#[derive(Debug, Subcommand)]
pub enum WordCommand {
    /// List the words of all places, or of one.
    List {
        #[command(flatten)]
        place: PlaceFlags,
        #[command(flatten)]
        common: Common,
    },
    /// Say what a word means at a place, or something else than before. Requests that wait in
    /// quarantine for the word are processed within seconds.
    Set(SetWord),
    /// Take a word back: from now on the next wider place decides.
    Remove(RemoveWord),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("place").required(true).args(["advertiser", "offer", "integration"]))]
pub struct SetWord {
    /// As the sender writes it; case and surrounding blanks do not count.
    word: String,
    /// hold, approved, rejected, activate, deactivate (a recurring customer) or ignore.
    #[arg(value_parser = meaning)]
    meaning: Meaning,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("place").required(true).args(["advertiser", "offer", "integration"]))]
pub struct RemoveWord {
    /// As the sender writes it; case and surrounding blanks do not count.
    word: String,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct PlaceFlags {
    /// At this advertiser itself.
    #[arg(long, value_name = "ID", conflicts_with_all = ["offer", "integration"])]
    advertiser: Option<Id>,
    /// At this offer.
    #[arg(long, value_name = "ID", conflicts_with = "integration")]
    offer: Option<Id>,
    /// At this integration.
    #[arg(long, value_name = "ID")]
    integration: Option<Id>,
}

impl PlaceFlags {
    fn place(&self) -> Option<Place> {
        let advertiser = self.advertiser.map(|id| Place::Advertiser(AdvertiserId(id.0)));
        let offer = self.offer.map(|id| Place::Offer(OfferId(id.0)));
        let integration = self.integration.map(|id| Place::Integration(IntegrationId(id.0)));
        integration.or(offer).or(advertiser)
    }

    fn one_place(&self) -> anyhow::Result<Place> {
        self.place().ok_or_else(|| anyhow::anyhow!("name --advertiser, --offer or --integration"))
    }
}

const SPELLED: &[(&str, &str)] = &[("word", "WORD")];

pub async fn run(command: &WordCommand) -> anyhow::Result<()> {
    match command {
        WordCommand::List { place, common } => {
            let words = words::list(&common.pool()?, Scope::Everything, place.place()).await?;
            let rows: Vec<Value> = words.iter().map(shown).collect();
            common.output.rows(&rows, &["word", "meaning", "place", "place_id"])
        }
        WordCommand::Set(SetWord { word, meaning, place, common }) => {
            let (pool, place) = (common.pool()?, place.one_place()?);
            let set = words::set(&pool, ACTOR, Scope::Everything, place, word, *meaning).await;
            common.output.row(&shown(&set.map_err(|error| flagged(error, SPELLED))?))
        }
        WordCommand::Remove(RemoveWord { word, place, common }) => {
            let (pool, place) = (common.pool()?, place.one_place()?);
            let removed = words::remove(&pool, ACTOR, Scope::Everything, place, word).await;
            removed.map_err(|error| flagged(error, SPELLED))?;
            common.output.done(&format!("Removed {word:?}."), &json!({ "word": word }))
        }
    }
}

fn shown(record: &StatusWordRecord) -> Value {
    let (place, id) = match record.place {
        Place::Integration(id) => ("integration", id.0),
        Place::Offer(id) => ("offer", id.0),
        Place::Advertiser(id) => ("advertiser", id.0),
    };
    json!({
        "word": record.word,
        "meaning": record.meaning,
        "place": place,
        "place_id": id,
        "advertiser_id": record.advertiser_id,
        "created_at": record.created_at,
    })
}
