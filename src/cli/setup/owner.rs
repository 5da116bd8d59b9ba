//! Whose a postback is, and which conversions it hears of.

use clap::Args;

use super::flags::Id;
use crate::domain::ids::{AdvertiserId, LinkId, OfferId, PartnerId};
use crate::domain::postback::{Owner, Scope};

#[derive(Debug, Args)]
pub struct OwnerFlags {
    /// Id of the partner whose postback it is.
    #[arg(long, value_name = "ID", conflicts_with = "advertiser")]
    pub partner: Option<Id>,
    /// Id of the advertiser whose postback it is.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Id>,
    /// Only for this offer.
    #[arg(long, value_name = "ID", conflicts_with = "link")]
    offer: Option<Id>,
    /// Only for this link.
    #[arg(long, value_name = "ID")]
    pub link: Option<Id>,
}

impl OwnerFlags {
    pub fn owner(&self) -> Owner {
        match (self.partner, self.advertiser) {
            (Some(id), _) => Owner::Partner(PartnerId(id.0)),
            (None, Some(id)) => Owner::Advertiser(AdvertiserId(id.0)),
            (None, None) => Owner::Platform,
        }
    }

    pub fn scope(&self) -> Scope {
        match (self.offer, self.link) {
            (Some(id), _) => Scope::Offer(OfferId(id.0)),
            (None, Some(id)) => Scope::Link(LinkId(id.0)),
            (None, None) => Scope::Global,
        }
    }
}
