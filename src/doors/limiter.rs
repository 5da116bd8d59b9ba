//! How often requests may come: token buckets for the node, each source and each advertiser, and
//! one for what is refused.
//!
//! A bucket holds one second's worth. Buckets are each node's own: with two nodes an advertiser
//! may send twice its rate.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use crate::domain::access::denial::{Denial, LogChoice, RateLimit};
use crate::domain::access::rates::Rates;
use crate::domain::ids::AdvertiserId;

/// Rows that floods may leave in the inbound log, in a second.
const LOG_ROWS_PER_SOURCE: NonZeroU32 = NonZeroU32::MIN;
const LOG_ROWS: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");

pub struct Limiter {
    clock: DefaultClock,
    node: Option<DefaultDirectRateLimiter>,
    sources: Option<DefaultKeyedRateLimiter<IpAddr>>,
    refusals: Option<DefaultKeyedRateLimiter<IpAddr>>,
    advertiser_rate: Option<NonZeroU32>,
    /// Bounded by the number of advertisers.
    advertisers: RwLock<HashMap<AdvertiserId, (NonZeroU32, Arc<DefaultDirectRateLimiter>)>>,
    log_rows: DefaultDirectRateLimiter,
    log_rows_of_sources: DefaultKeyedRateLimiter<IpAddr>,
}

impl Limiter {
    pub fn new(rates: Rates) -> Self {
        let keyed = |rate: NonZeroU32| RateLimiter::keyed(Quota::per_second(rate));
        Self {
            clock: DefaultClock::default(),
            node: rates.node.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            sources: rates.source.map(keyed),
            refusals: rates.refusals.map(keyed),
            advertiser_rate: rates.advertiser,
            advertisers: RwLock::default(),
            log_rows: RateLimiter::direct(Quota::per_second(LOG_ROWS)),
            log_rows_of_sources: keyed(LOG_ROWS_PER_SOURCE),
        }
    }

    /// Takes a request of this source into account.
    pub fn check_source(&self, source: Option<IpAddr>) -> Result<(), Denial> {
        if let Some(sources) = &self.sources {
            sources
                .check_key(&bucket_of(source))
                .map_err(|not| self.deny(RateLimit::Source, source, &not))?;
        }
        let Some(node) = &self.node else { return Ok(()) };
        node.check().map_err(|not| self.deny(RateLimit::Node, source, &not))
    }

    /// Takes a request of this advertiser into account, whose own rate goes before that of all.
    pub fn check_advertiser(
        &self,
        advertiser: AdvertiserId,
        own_rate: Option<u32>,
        source: Option<IpAddr>,
    ) -> Result<(), Denial> {
        let Some(rate) = own_rate.and_then(NonZeroU32::new).or(self.advertiser_rate) else { return Ok(()) };
        let limiter = self.limiter_of(advertiser, rate);
        limiter.check().map_err(|not| self.deny(RateLimit::Advertiser, source, &not))
    }

    /// Takes a refused request of this source into account: a wrong key, address or signature.
    pub fn check_refusal(&self, source: Option<IpAddr>) -> Result<(), Denial> {
        let Some(refusals) = &self.refusals else { return Ok(()) };
        refusals.check_key(&bucket_of(source)).map_err(|not| self.deny(RateLimit::Refusals, source, &not))
    }

    /// Forgets sources whose buckets are full again, so that what is kept is bounded by the sources
    /// of the last seconds. Called every few seconds.
    pub fn sweep(&self) {
        for keyed in self.sources.iter().chain(&self.refusals).chain([&self.log_rows_of_sources]) {
            keyed.retain_recent();
            keyed.shrink_to_fit();
        }
    }

    fn limiter_of(&self, advertiser: AdvertiserId, rate: NonZeroU32) -> Arc<DefaultDirectRateLimiter> {
        let known = self.advertisers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((of_rate, limiter)) = known.get(&advertiser)
            && *of_rate == rate
        {
            return limiter.clone();
        }
        drop(known);
        let mut known = self.advertisers.write().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(advertiser);
        let new = || (rate, Arc::new(RateLimiter::direct(Quota::per_second(rate))));
        let (of_rate, limiter) = entry.or_insert_with(new);
        if *of_rate != rate {
            (*of_rate, *limiter) = new();
        }
        limiter.clone()
    }

    fn deny(
        &self,
        limit: RateLimit,
        source: Option<IpAddr>,
        not_until: &NotUntil<<DefaultClock as Clock>::Instant>,
    ) -> Denial {
        let wait = not_until.wait_time_from(self.clock.now());
        let is_first = self.log_rows_of_sources.check_key(&bucket_of(source)).is_ok();
        let log =
            if is_first && self.log_rows.check().is_ok() { LogChoice::Row } else { LogChoice::CountOnly };
        Denial::TooManyRequests { limit, retry_after_s: wait.as_millis().div_ceil(1_000).max(1) as u64, log }
    }
}

/// One bucket an IPv4 address and one an IPv6 network of 64 bits, which is what one customer gets.
fn bucket_of(source: Option<IpAddr>) -> IpAddr {
    match source.map(|source| source.to_canonical()) {
        Some(IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        Some(address) => address,
        None => Ipv4Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Rates so low that no second passes between two requests of a test.
    fn limiter(rates: Rates) -> Limiter {
        Limiter::new(rates)
    }

    fn refused_of(requests: usize, check: impl Fn() -> Result<(), Denial>) -> Vec<Denial> {
        (0..requests).filter_map(|_| check().err()).collect()
    }

    #[test]
    fn past_its_rate_a_source_waits_and_leaves_one_row() {
        let limiter = limiter(Rates { source: NonZeroU32::new(1), ..Rates::default() });
        let source: Option<IpAddr> = Some("203.0.113.1".parse().unwrap());
        let refused = refused_of(20, || limiter.check_source(source));
        // A slow machine may let one more in when a second has passed.
        assert!(refused.len() >= 15, "{}", refused.len());
        let rows = refused
            .iter()
            .filter(|denial| matches!(denial, Denial::TooManyRequests { log: LogChoice::Row, .. }))
            .count();
        assert!((1..=3).contains(&rows), "{rows}");
        assert_eq!(refused[0].retry_after_s(), Some(1));
        assert_eq!(limiter.check_source(Some("203.0.113.2".parse().unwrap())), Ok(()));
    }

    #[test]
    fn an_advertisers_own_rate_goes_first_and_may_change() {
        let limiter = limiter(Rates { advertiser: NonZeroU32::new(1), ..Rates::default() });
        let advertiser = AdvertiserId(Uuid::from_u128(1));
        assert!(refused_of(20, || limiter.check_advertiser(advertiser, None, None)).len() >= 15);
        assert!(refused_of(20, || limiter.check_advertiser(advertiser, Some(1_000), None)).is_empty());
        assert!(
            refused_of(20, || Limiter::new(Rates::default()).check_advertiser(advertiser, None, None))
                .is_empty()
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let bucket = |text: &str| bucket_of(Some(text.parse().unwrap()));
        assert_eq!(bucket("2001:db8:1:2:3::4"), bucket("2001:db8:1:2::9"));
        assert_ne!(bucket("2001:db8:1:3::9"), bucket("2001:db8:1:2::9"));
        assert_eq!(bucket("::ffff:203.0.113.1"), bucket("203.0.113.1"));
    }

    #[test]
    fn sources_are_forgotten_once_their_buckets_are_full() {
        let limiter = limiter(Rates { refusals: NonZeroU32::new(u32::MAX), ..Rates::default() });
        for last in 0..=255 {
            limiter.check_refusal(Some(Ipv4Addr::new(203, 0, 113, last).into())).unwrap();
        }
        // Full again within a nanosecond.
        limiter.sweep();
        assert!(limiter.refusals.as_ref().unwrap().len() < 256);
    }
}
