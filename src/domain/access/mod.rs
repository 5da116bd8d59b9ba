//! Who may come in: signatures, addresses, proxies. Pure: `doors/access.rs` asks, this decides.

pub mod allowlist;
pub mod denial;
pub mod forwarded;
pub mod rates;
pub mod replay;
pub mod signature;
pub mod signature_policy;
pub mod signed_query;

use allowlist::Allowlist;
use signature::SharedSecret;
use signature_policy::SignaturePolicy;

/// What one advertiser's requests must fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertiserAccess {
    pub policy: SignaturePolicy,
    /// The live ones; two while one replaces the other.
    pub secrets: Vec<SharedSecret>,
    /// Whether a live secret could not be decrypted, for want of its master key.
    pub has_unreadable_secret: bool,
    pub allowlist: Allowlist,
    /// `None`: as the node's settings say.
    pub requests_per_second: Option<u32>,
}
