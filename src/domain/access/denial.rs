//! Why a request was not let in, and what its sender can do about it.

use std::net::IpAddr;

use super::signature::{SignatureFault, TOLERANCE_S};
use crate::domain::verdict::FieldError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// 401.
    Signature(SignatureFault),
    /// 403.
    Address { source: Option<IpAddr> },
    /// 429.
    TooManyRequests { limit: RateLimit, retry_after_s: u64, log: LogChoice },
    /// 408: the body did not come in time.
    SlowBody,
    /// 414.
    LongQuery { most_bytes: usize },
    /// 431.
    LargeHead { most_headers: usize, most_bytes: usize },
    /// 503: a secret of the advertiser cannot be decrypted, which is our fault.
    SecretsUnreadable,
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    Node,
    Source,
    Advertiser,
    /// Refused requests of one source.
    Refusals,
}

/// Whether the inbound log gets a row: a flood leaves one a second of each source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogChoice {
    Row,
    CountOnly,
}

impl Denial {
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Signature(_) => 401,
            Self::Address { .. } => 403,
            Self::SlowBody => 408,
            Self::LongQuery { .. } => 414,
            Self::TooManyRequests { .. } => 429,
            Self::LargeHead { .. } => 431,
            Self::SecretsUnreadable => 503,
        }
    }

    /// Seconds after which to come again, where that helps.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { retry_after_s, .. } => Some((*retry_after_s).max(1)),
            Self::SecretsUnreadable => Some(60),
            _ => None,
        }
    }

    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature(fault) => fault.code(),
            Self::Address { .. } => "ip_not_allowed",
            Self::TooManyRequests { .. } => "rate_limited",
            Self::SlowBody => "slow_body",
            Self::LongQuery { .. } => "query_too_long",
            Self::LargeHead { .. } => "headers_too_large",
            Self::SecretsUnreadable => "signature_unverifiable",
        }
    }

    pub fn error(&self) -> FieldError {
        FieldError::new(self.field(), self.code(), self.sentence())
    }

    fn field(&self) -> &'static str {
        match self {
            Self::Signature(_) | Self::SecretsUnreadable => "signature",
            Self::Address { .. } => "source_ip",
            Self::TooManyRequests { .. } => "",
            Self::SlowBody => "body",
            Self::LongQuery { .. } => "query",
            Self::LargeHead { .. } => "headers",
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Signature(fault) => fault.sentence(),
            Self::Address { source: Some(source) } => {
                format!("requests from {source} are not allowed; have the address added to the allowlist")
            }
            Self::Address { source: None } => "requests from an unknown address are not allowed".into(),
            Self::TooManyRequests { limit, .. } => {
                let what = match limit {
                    RateLimit::Node => "the server has more requests than it may take",
                    RateLimit::Source => "your address sends more requests than it may",
                    RateLimit::Advertiser => "this API key sends more requests than it may",
                    RateLimit::Refusals => "too many requests from your address were refused",
                };
                format!("{what}; send it again after the seconds that Retry-After says")
            }
            Self::SlowBody => "the body took too long to arrive; send it at once".into(),
            Self::LongQuery { most_bytes } => {
                format!("the query string has at most {most_bytes} bytes; send the parameters in a body")
            }
            Self::LargeHead { most_headers, most_bytes } => {
                format!("send at most {most_headers} headers of {most_bytes} bytes together")
            }
            Self::SecretsUnreadable => {
                "the signature cannot be checked because the server lacks a master key; send it again later"
                    .into()
            }
        }
    }
}

impl SignatureFault {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing_signature",
            Self::MissingTimestamp => "missing_timestamp",
            Self::UnsignedBody | Self::UnsignedQuery | Self::Unreadable(_) | Self::Wrong => "bad_signature",
            Self::Stale { .. } => "stale_signature",
            Self::Replayed => "replayed_request",
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Missing => "this advertiser's requests must be signed; send X-Ricochet-Signature, the webhook-* \
                              headers, or ts and sig in the query"
                .into(),
            Self::MissingTimestamp => {
                "add ts, the time of signing in Unix seconds, to the query before signing it".into()
            }
            Self::UnsignedBody => "sig covers only the query and this request has a body; sign the body with \
                                   X-Ricochet-Signature or the webhook-* headers"
                .into(),
            Self::UnsignedQuery => "a signature in the headers covers only the body and this request has a query; \
                                    move the parameters to the body, or sign the query with ts and sig as well"
                .into(),
            Self::Unreadable(remedy) => (*remedy).to_owned(),
            Self::Wrong => "the signature is not that of this request under any live secret; sign the bytes \
                            exactly as they are sent, with HMAC-SHA256 and the secret you were shown"
                .into(),
            Self::Stale { signed_at, now } => format!(
                "signed at {signed_at}, more than {TOLERANCE_S} seconds from the server's {now}; set your clock, and \
                 sign every attempt anew"
            ),
            Self::Replayed => "this very request was recorded before; to send it again, sign it again with the \
                               present time"
                .into(),
        }
    }
}
