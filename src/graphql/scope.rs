//! Who may see what.
//!
//! A token grants a role; the role comes down to a [`Scope`], and every function that reads the
//! log or the store takes one. What lies outside it is not refused but does not exist: a foreign
//! id in a filter finds nothing, as an id that nobody has would.

use uuid::Uuid;

use crate::domain::ids::{AdvertiserId, PartnerId};

/// The rows a caller can see at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Everything,
    /// An advertiser's own postbacks, requests and conversions.
    Advertiser(AdvertiserId),
    /// A partner's own postbacks, and the conversions of its clicks.
    Partner(PartnerId),
}

impl Scope {
    /// Whether it may know what partners get. An advertiser knows what it pays; what the network passes
    /// on is between network and partner.
    pub fn sees_payouts(self) -> bool {
        !matches!(self, Self::Advertiser(_))
    }

    /// Whether it may know who in the network changed something, and what they said to it.
    pub fn sees_hands(self) -> bool {
        matches!(self, Self::Everything)
    }
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    Owner,
    Advertiser(AdvertiserId),
    Partner(PartnerId),
    /// Read-only: the whole network, or what one advertiser or partner would see.
    Bi(Scope),
}

impl Grant {
    pub fn role(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Advertiser(_) => "advertiser",
            Self::Partner(_) => "partner",
            Self::Bi(_) => "bi",
        }
    }

    pub fn scope(self) -> Scope {
        match self {
            Self::Owner => Scope::Everything,
            Self::Advertiser(id) => Scope::Advertiser(id),
            Self::Partner(id) => Scope::Partner(id),
            Self::Bi(scope) => scope,
        }
    }

    /// Whether its bearer may make and revoke tokens of `other`: nobody grants more than they
    /// have, and who only reads grants nothing.
    pub fn may_grant(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Advertiser(_) | Self::Partner(_) => other == self || other == Self::Bi(self.scope()),
            Self::Bi(_) => false,
        }
    }

    /// Reads what the table `tokens` holds. `None` for what its constraint forbids: such a row
    /// grants nothing.
    pub fn from_columns(role: &str, advertiser_id: Option<Uuid>, partner_id: Option<Uuid>) -> Option<Self> {
        let narrowed = match (advertiser_id, partner_id) {
            (None, None) => Scope::Everything,
            (Some(id), None) => Scope::Advertiser(AdvertiserId(id)),
            (None, Some(id)) => Scope::Partner(PartnerId(id)),
            (Some(_), Some(_)) => return None,
        };
        match (role, narrowed) {
            ("owner", Scope::Everything) => Some(Self::Owner),
            ("advertiser", Scope::Advertiser(id)) => Some(Self::Advertiser(id)),
            ("partner", Scope::Partner(id)) => Some(Self::Partner(id)),
            ("bi", scope) => Some(Self::Bi(scope)),
            _ => None,
        }
    }
}

/// The caller of one request, known by its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    pub token_id: Uuid,
    pub grant: Grant,
}

impl Principal {
    pub fn scope(&self) -> Scope {
        self.grant.scope()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVERTISER: Uuid = Uuid::from_u128(1);
    const PARTNER: Uuid = Uuid::from_u128(2);

    #[test]
    fn each_role_has_its_scope() {
        let scope = |role, advertiser, partner| {
            Grant::from_columns(role, advertiser, partner).map(|grant| {
                assert_eq!(grant.role(), role);
                grant.scope()
            })
        };
        let of_advertiser = Some(Scope::Advertiser(AdvertiserId(ADVERTISER)));
        let of_partner = Some(Scope::Partner(PartnerId(PARTNER)));
        assert_eq!(scope("owner", None, None), Some(Scope::Everything));
        assert_eq!(scope("bi", None, None), Some(Scope::Everything));
        assert_eq!(scope("advertiser", Some(ADVERTISER), None), of_advertiser);
        assert_eq!(scope("bi", Some(ADVERTISER), None), of_advertiser);
        assert_eq!(scope("partner", None, Some(PARTNER)), of_partner);
        assert_eq!(scope("bi", None, Some(PARTNER)), of_partner);
    }

    #[test]
    fn a_row_that_makes_no_sense_grants_nothing() {
        for (role, advertiser, partner) in [
            ("owner", Some(ADVERTISER), None),
            ("advertiser", None, None),
            ("advertiser", None, Some(PARTNER)),
            ("partner", None, None),
            ("partner", Some(ADVERTISER), None),
            ("bi", Some(ADVERTISER), Some(PARTNER)),
            ("admin", None, None),
        ] {
            assert_eq!(Grant::from_columns(role, advertiser, partner), None, "{role}");
        }
    }
}
