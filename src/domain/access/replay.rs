//! Signed requests are recorded once: whoever sends the very same bytes again is refused.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::signature::{TOLERANCE_S, UsedSignature};

/// The signatures a request came with. They are used up by the transaction that records it, and by
/// no other: whatever was not recorded may be sent again as it is.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// One HTTP request; all that it asks for bears the same signatures.
    pub exchange_id: Uuid,
    pub signatures: Arc<[UsedSignature]>,
}

/// How long a signature is remembered past its own time, in seconds: until it is stale on a node
/// whose clock is as late as a sender's may be.
pub const REMEMBERED_S: i64 = 2 * TOLERANCE_S;

/// What is known of the signatures that a batch of requests came with.
#[derive(Debug, Default)]
pub struct SignatureLedger {
    used: HashMap<[u8; 32], Uuid>,
    newly_used: Vec<NewlyUsed>,
}

/// A signature to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewlyUsed {
    pub digest: [u8; 32],
    pub exchange_id: Uuid,
    /// In Unix seconds.
    pub expires_at: i64,
}

impl SignatureLedger {
    /// Enters a signature that an earlier transaction used up.
    pub fn remember(&mut self, digest: [u8; 32], exchange_id: Uuid) {
        self.used.insert(digest, exchange_id);
    }

    /// Whether another HTTP request with one of these signatures was recorded before.
    pub fn is_replay(&self, proof: &Proof) -> bool {
        let is_of_another = |exchange_id: &Uuid| *exchange_id != proof.exchange_id;
        proof.signatures.iter().any(|signature| self.used.get(&signature.digest).is_some_and(is_of_another))
    }

    pub fn use_up(&mut self, proof: &Proof) {
        for signature in proof.signatures.iter() {
            if self.used.insert(signature.digest, proof.exchange_id).is_none() {
                self.newly_used.push(NewlyUsed {
                    digest: signature.digest,
                    exchange_id: proof.exchange_id,
                    expires_at: signature.signed_at.saturating_add(REMEMBERED_S),
                });
            }
        }
    }

    pub fn into_newly_used(self) -> Vec<NewlyUsed> {
        self.newly_used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(exchange: u128, digests: &[u8]) -> Proof {
        let signature = |digest: &u8| UsedSignature { digest: [*digest; 32], signed_at: 1_000 };
        Proof { exchange_id: Uuid::from_u128(exchange), signatures: digests.iter().map(signature).collect() }
    }

    #[test]
    fn the_items_of_one_request_share_a_signature_and_another_request_may_not() {
        let mut ledger = SignatureLedger::default();
        ledger.remember([9; 32], Uuid::from_u128(1));
        for _ in 0..2 {
            assert!(!ledger.is_replay(&proof(1, &[7, 9])));
            ledger.use_up(&proof(1, &[7, 9]));
        }
        assert!(ledger.is_replay(&proof(2, &[7])));
        assert!(ledger.is_replay(&proof(2, &[8, 9])), "one of two signatures is enough");
        assert!(!ledger.is_replay(&proof(2, &[])));
        let new = ledger.into_newly_used();
        assert_eq!(new, [NewlyUsed { digest: [7; 32], exchange_id: Uuid::from_u128(1), expires_at: 1_600 }]);
    }
}
