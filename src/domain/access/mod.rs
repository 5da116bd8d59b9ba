//! Who may come in: signatures, addresses, proxies. Pure; `doors/access.rs` asks, this decides.

pub mod allowlist;
pub mod signature_policy;
