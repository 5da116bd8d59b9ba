//! What is one node's of a destination's limits.
//!
//! Nodes do not talk to each other: each knows who is alive, and works out the same shares. Where
//! there are fewer places than nodes, only as many nodes send as there are places, and which ones is
//! decided by rendezvous hashing: every node draws a number for (node, postback), the highest win.
//! A node that comes or goes moves nothing but its own.

use uuid::Uuid;

use super::rate::Rate;
use crate::domain::ids::{NodeId, PostbackId};

/// How much a destination is sent; of all nodes, or of one as its share.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Requests under way at once. 0, as a share: this node does not send.
    pub max_in_flight: usize,
    pub rate: Option<Rate>,
}

/// What one node has of a destination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub limits: Limits,
    /// While its breaker is open, this node probes it, and no other.
    pub is_prober: bool,
}

impl Limits {
    /// What is `node`'s of them, while `alive` are the nodes. One that is not among them, whose
    /// lease has just lapsed, counts as well: it may still be sending.
    pub fn share(self, node: NodeId, alive: &[NodeId], postback: PostbackId) -> Share {
        let others = alive.iter().filter(|other| **other != node);
        let own = draw(node, postback);
        let rank = others.clone().filter(|other| (draw(**other, postback), **other) > (own, node)).count();
        let places = self.max_in_flight.min(self.rate.map_or(usize::MAX, |rate| rate.burst as usize));
        let senders = (others.count() + 1).min(places);
        if rank >= senders {
            return Share { limits: Self { max_in_flight: 0, rate: self.rate }, is_prober: false };
        }
        let limits = Self {
            max_in_flight: part(self.max_in_flight, senders, rank),
            rate: self.rate.map(|rate| Rate {
                per_second: rate.per_second / senders as f64,
                // Not truncated: a part is no more than the whole.
                burst: part(rate.burst as usize, senders, rank) as u32,
            }),
        };
        Share { limits, is_prober: rank == 0 }
    }
}

/// The parts of all ranks add up to the whole.
fn part(whole: usize, parts: usize, rank: usize) -> usize {
    whole / parts + usize::from(rank < whole % parts)
}

/// The same on every node and in every version: nodes of two versions share a destination too.
fn draw(node: NodeId, postback: PostbackId) -> u64 {
    let halves = |id: Uuid| id.as_u64_pair();
    let ((a, b), (c, d)) = (halves(node.0), halves(postback.0));
    [a, b, c, d].into_iter().fold(0x9e37_79b9_7f4a_7c15, |state, word| mix(state ^ word))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(number: u128) -> NodeId {
        NodeId(Uuid::from_u128(number))
    }

    #[test]
    fn alone_a_node_has_it_all() {
        let limits = Limits { max_in_flight: 16, rate: Some(Rate::new(5.0, None)) };
        let all = Share { limits, is_prober: true };
        assert_eq!(limits.share(node(1), &[], PostbackId(Uuid::nil())), all);
        assert_eq!(limits.share(node(1), &[node(1)], PostbackId(Uuid::nil())), all);
    }

    #[test]
    fn few_places_are_spread_over_the_nodes() {
        let alive: Vec<NodeId> = (1..=4).map(node).collect();
        let limits = Limits { max_in_flight: 1, rate: None };
        let mut senders = [0; 4];
        for postback in 0..400u128 {
            for (index, one) in alive.iter().enumerate() {
                senders[index] +=
                    limits.share(*one, &alive, PostbackId(Uuid::from_u128(postback))).limits.max_in_flight;
            }
        }
        assert_eq!(senders.iter().sum::<usize>(), 400);
        assert!(senders.iter().all(|share| (60..140).contains(share)), "{senders:?}");
    }

    proptest! {
        /// All shares together are the limits, never more and never less.
        #[test]
        fn shares_add_up(
            nodes in prop::collection::btree_set(any::<u128>(), 1..12),
            postback in any::<u128>(),
            max_in_flight in 1usize..200,
            per_second in prop::option::of(0.1..1_000.0f64),
            burst in 1u32..40,
        ) {
            let alive: Vec<NodeId> = nodes.into_iter().map(node).collect();
            let postback = PostbackId(Uuid::from_u128(postback));
            let rate = per_second.map(|per_second| Rate { per_second, burst });
            let limits = Limits { max_in_flight, rate };
            let shares: Vec<Share> = alive.iter().map(|one| limits.share(*one, &alive, postback)).collect();
            prop_assert_eq!(shares.iter().filter(|share| share.is_prober).count(), 1);
            prop_assert!(shares.iter().all(|share| !share.is_prober || share.limits.max_in_flight > 0));
            let senders: Vec<Limits> = shares
                .iter()
                .map(|share| share.limits)
                .filter(|share| share.max_in_flight > 0)
                .collect();
            prop_assert!(!senders.is_empty());
            prop_assert_eq!(senders.iter().map(|share| share.max_in_flight).sum::<usize>(), max_in_flight);
            if let Some(rate) = rate {
                let together: f64 = senders.iter().map(|share| share.rate.unwrap().per_second).sum();
                prop_assert!((together - rate.per_second).abs() < 1e-6 * rate.per_second);
                prop_assert_eq!(senders.iter().map(|share| share.rate.unwrap().burst).sum::<u32>(), burst);
                prop_assert!(senders.iter().all(|share| share.rate.unwrap().burst > 0));
            }
        }
    }
}
