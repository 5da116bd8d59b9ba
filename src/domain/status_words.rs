//! Status words that mean something of their own at one integration, offer or advertiser.
//!
//! The nearest place that knows a word decides: the integration it came by, then the offer,
//! then the advertiser, then the words everybody shares ([`StatusWord::read`]). So `2` can mean
//! "pending" at one network and "approved" at another, and `new` can be made to mean "approved"
//! where a sender sees it so.

use std::collections::HashMap;

use uuid::Uuid;

use super::ids::{AdvertiserId, IntegrationId, OfferId};
use super::status::{Meaning, StatusWord};

/// Where an override holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Integration(IntegrationId),
    Offer(OfferId),
    Advertiser(AdvertiserId),
}

impl Place {
    /// The id of whichever it is.
    pub fn id(self) -> Uuid {
        match self {
            Self::Integration(id) => id.0,
            Self::Offer(id) => id.0,
            Self::Advertiser(id) => id.0,
        }
    }
}

/// A word as it is kept and compared: case and surrounding blanks do not count.
pub fn normalized(word: &str) -> String {
    word.trim().to_lowercase()
}

/// All overrides of the network.
#[derive(Debug, Clone, Default)]
pub struct StatusWords(HashMap<Uuid, HashMap<String, Meaning>>);

impl StatusWords {
    pub fn insert(&mut self, place: Place, word: &str, meaning: Meaning) {
        self.0.entry(place.id()).or_default().insert(normalized(word), meaning);
    }

    /// What a word means at one place, and nowhere else.
    pub fn at(&self, place: Place, word: &str) -> Option<Meaning> {
        self.0.get(&place.id())?.get(&normalized(word)).copied()
    }

    pub fn read(
        &self,
        word: &str,
        integration: Option<IntegrationId>,
        offer: OfferId,
        advertiser: AdvertiserId,
    ) -> StatusWord {
        if self.0.is_empty() {
            return StatusWord::read(word);
        }
        let places = [integration.map(|id| id.0), Some(offer.0), Some(advertiser.0)];
        let key = normalized(word);
        let meaning =
            places.into_iter().flatten().find_map(|place| self.0.get(&place)?.get(key.as_str()).copied());
        meaning.map_or_else(|| StatusWord::read(word), StatusWord::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::status::Status;

    const INTEGRATION: IntegrationId = IntegrationId(Uuid::from_u128(1));
    const OFFER: OfferId = OfferId(Uuid::from_u128(2));
    const ADVERTISER: AdvertiserId = AdvertiserId(Uuid::from_u128(3));

    proptest! {
        /// Whichever places know a word, the nearest of them decides, however it is written.
        #[test]
        fn the_nearest_place_decides(
            word in "[a-zA-Z0-9а-я_]{1,12}",
            meanings in proptest::collection::vec(proptest::option::of(0usize..6), 3),
        ) {
            let places = [Place::Integration(INTEGRATION), Place::Offer(OFFER), Place::Advertiser(ADVERTISER)];
            let mut words = StatusWords::default();
            for (place, meaning) in places.iter().zip(&meanings) {
                if let Some(index) = meaning {
                    words.insert(*place, &word, Meaning::ALL[*index]);
                }
            }
            let nearest = |from: usize| meanings[from..].iter().flatten().next().map(|index| Meaning::ALL[*index]);
            let expected = |from| nearest(from).map_or_else(|| StatusWord::read(&word), StatusWord::from);
            let shouted = format!("  {} ", word.to_uppercase());
            prop_assert_eq!(words.read(&shouted, Some(INTEGRATION), OFFER, ADVERTISER), expected(0));
            prop_assert_eq!(words.read(&word, None, OFFER, ADVERTISER), expected(1));
        }
    }

    #[test]
    fn another_offers_words_mean_nothing_here() {
        let mut words = StatusWords::default();
        words.insert(Place::Offer(OFFER), "1", Meaning::Approved);
        assert_eq!(words.read("1", None, OFFER, ADVERTISER), StatusWord::Conversion(Status::Approved));
        assert_eq!(words.read("1", None, OfferId(Uuid::from_u128(9)), ADVERTISER), StatusWord::Unknown);
    }
}
