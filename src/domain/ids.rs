//! Identifiers: one type a thing, so that an offer never stands where a partner should.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

identifiers! {
    AdvertiserId,
    OfferId,
    ActionId,
    PartnerId,
    LinkId,
    PostbackId,
    /// A foreign system's way of reporting. It stands in the URL, so it is a random UUIDv4.
    IntegrationId,
    StatusWordId,
    /// UUIDv7: sorts, and is partitioned, by the time of the click.
    ClickId,
    /// UUIDv5 of (advertiser, action, request id): the same request gets the same lead.
    LeadId,
    /// One change of a conversion's or customer's state: UUIDv7.
    ChangeId,
    /// One event for one postback; see [`DeliveryId::of`].
    DeliveryId,
    /// One try of one delivery: UUIDv7.
    AttemptId,
    /// One request received: UUIDv7.
    InboundId,
    /// One run of one server process: UUIDv7.
    NodeId,
    /// One wish for many deliveries: a resend, or late postbacks.
    JobId,
}

/// The namespace of lead ids. Changing it would change every lead id ever answered.
const LEAD_NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_3b52_7a41_4c1e_9d0a_2f6b_8e13_c7d4);

impl LeadId {
    pub fn of(advertiser: AdvertiserId, action: ActionId, request_id: &str) -> Self {
        let mut name = Vec::with_capacity(32 + request_id.len());
        name.extend_from_slice(advertiser.0.as_bytes());
        name.extend_from_slice(action.0.as_bytes());
        name.extend_from_slice(request_id.as_bytes());
        Self(Uuid::new_v5(&LEAD_NAMESPACE, &name))
    }

    /// The lead of a test: another than the real one, so that a test never makes the real
    /// conversion of the same request id a duplicate. No request id holds a NUL.
    pub fn of_test(advertiser: AdvertiserId, action: ActionId, request_id: &str) -> Self {
        Self::of(advertiser, action, &format!("{request_id}\0test"))
    }
}

impl DeliveryId {
    /// A UUIDv7 whose time is the change's own and whose other bits are a hash of (change,
    /// postback, event): whoever works it out again, on any node, gets the same delivery,
    /// and rows still sort by time.
    pub fn of(change: ChangeId, postback: PostbackId, event: &str) -> Self {
        let digest =
            Sha256::new().chain_update(change.0).chain_update(postback.0).chain_update(event).finalize();
        Self(hashed_at(change.0, &digest))
    }

    /// The delivery that a job makes of `first`, the first delivery of an event to a postback:
    /// the same however often the job is asked for, interrupted and taken up again. It has the
    /// time of the event too, so it lives and goes with its history.
    pub fn of_resend(first: Self, job: JobId) -> Self {
        let digest = Sha256::new().chain_update(first.0).chain_update(job.0).finalize();
        Self(hashed_at(first.0, &digest))
    }
}

/// A UUIDv7 with the time of another and the bits of a digest.
fn hashed_at(time: Uuid, digest: &[u8]) -> Uuid {
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("SHA-256 is longer than a UUID");
    bytes[..6].copy_from_slice(&time.as_bytes()[..6]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_is_the_same_lead_and_another_is_not() {
        let advertiser = AdvertiserId(Uuid::from_u128(1));
        let action = ActionId(Uuid::from_u128(2));
        assert_eq!(LeadId::of(advertiser, action, "r-1"), LeadId::of(advertiser, action, "r-1"));
        assert_ne!(LeadId::of(advertiser, action, "r-1"), LeadId::of(advertiser, action, "r-2"));
        assert_ne!(LeadId::of(advertiser, action, "r-1"), LeadId::of(AdvertiserId(action.0), action, "r-1"));
        assert_eq!(LeadId::of(advertiser, action, "r-1").0.get_version_num(), 5);
    }

    #[test]
    fn a_delivery_id_keeps_the_time_of_its_change() {
        let change = ChangeId(Uuid::now_v7());
        let postback = PostbackId(Uuid::from_u128(3));
        let id = DeliveryId::of(change, postback, "sale");
        assert_eq!(id, DeliveryId::of(change, postback, "sale"));
        assert_ne!(id, DeliveryId::of(change, postback, "approve"));
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_timestamp(), change.0.get_timestamp());

        let job = JobId(Uuid::from_u128(4));
        let again = DeliveryId::of_resend(id, job);
        assert_eq!(again, DeliveryId::of_resend(id, job));
        assert_ne!(again, DeliveryId::of_resend(id, JobId(Uuid::from_u128(5))));
        assert_eq!(again.0.get_timestamp(), change.0.get_timestamp());
    }
}
