//! The whole of a destination, over any history.

use proptest::prelude::*;

use super::rate::Rate;
use super::*;

const EMPTY_NODE: Crowd = Crowd { taken: 0, capacity: 1_000_000 };

fn at(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

fn places(max_in_flight: usize) -> Limits {
    Limits { max_in_flight, rate: None }
}

#[test]
fn what_it_asks_for_holds_it_back_and_no_longer() {
    let mut destination = Destination::default();
    let permit = destination.admit(places(4), EMPTY_NODE, at(0)).unwrap();
    let asked = Signal::Overloaded { hold: Some(Duration::from_secs(30)) };
    let change = destination.heard(permit, asked, at(0), at(10), 0.5);
    assert_eq!(change, Some(Change::Held { until: at(30_010) }));
    destination.give_back(permit, Use::Sent);
    assert_eq!(destination.admit(places(4), EMPTY_NODE, at(30_009)), Err(Wait::Parked(at(30_010))));
    assert_eq!(destination.parked_until(at(20_000)), Some(at(30_010)));
    assert_eq!(destination.admit(places(4), EMPTY_NODE, at(30_010)), Ok(Permit::Ordinary));
    // A shorter wish from before does not shorten it.
    let asked = Signal::Overloaded { hold: Some(Duration::from_secs(9)) };
    destination.heard(permit, asked, at(0), at(30_020), 0.5);
    let asked = Signal::Overloaded { hold: Some(Duration::from_secs(1)) };
    destination.heard(permit, asked, at(0), at(30_021), 0.5);
    assert_eq!(destination.parked_until(at(30_021)), Some(at(39_020)));
}

#[test]
fn refusals_of_single_requests_leave_it_closed() {
    let mut destination = Destination::default();
    for ms in 0..100 {
        let permit = destination.admit(places(1), EMPTY_NODE, at(ms)).unwrap();
        destination.heard(permit, Signal::Well, at(ms), at(ms), 0.5);
        destination.give_back(permit, Use::Sent);
    }
    assert_eq!(destination.snapshot(at(100)).state, State::Closed);
}

#[test]
fn a_permit_that_is_not_used_costs_nothing() {
    let limits = Limits { max_in_flight: 1, rate: Some(Rate { per_second: 1.0, burst: 1 }) };
    let mut destination = Destination::default();
    let permit = destination.admit(limits, EMPTY_NODE, at(0)).unwrap();
    assert_eq!(destination.admit(limits, EMPTY_NODE, at(0)), Err(Wait::Full));
    destination.give_back(permit, Use::Unused);
    let permit = destination.admit(limits, EMPTY_NODE, at(0)).unwrap();
    destination.give_back(permit, Use::Sent);
    assert_eq!(destination.admit(limits, EMPTY_NODE, at(0)), Err(Wait::Until(at(1_000))));
}

#[test]
fn a_probe_that_is_not_sent_leaves_its_turn_to_another() {
    let mut destination = Destination::default();
    for _ in 0..5 {
        let permit = destination.admit(places(9), EMPTY_NODE, at(0)).unwrap();
        destination.heard(permit, Signal::Failing, at(0), at(0), 0.0);
        destination.give_back(permit, Use::Sent);
    }
    assert_eq!(destination.admit(places(9), EMPTY_NODE, at(1)), Err(Wait::Parked(at(1_000))));
    let probe = destination.admit(places(9), EMPTY_NODE, at(1_000)).unwrap();
    assert_eq!(probe, Permit::Probe(1));
    assert_eq!(destination.admit(places(9), EMPTY_NODE, at(1_000)), Err(Wait::Full));
    destination.give_back(probe, Use::Unused);
    let probe = destination.admit(places(9), EMPTY_NODE, at(1_001)).unwrap();
    assert_eq!(destination.heard(probe, Signal::Well, at(1_001), at(1_002), 0.0), Some(Change::Closed));
    destination.give_back(probe, Use::Sent);
    assert_eq!(destination.snapshot(at(1_002)).concurrency, 1, "it catches up slowly");
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        3 => Just(Signal::Well),
        3 => Just(Signal::Failing),
        2 => (0u64..20_000).prop_map(|ms| Signal::Overloaded { hold: Some(Duration::from_millis(ms)) }),
        2 => Just(Signal::Overloaded { hold: None }),
        1 => Just(Signal::Gone),
        1 => Just(Signal::Nothing),
    ]
}

proptest! {
    /// Whatever is heard of it: never more under way than its places (beside probes), no place is
    /// ever lost, and left alone for a minute it may be sent something again.
    #[test]
    fn it_keeps_its_bounds_and_never_gives_up(
        most in 1usize..20,
        steps in prop::collection::vec((0u64..3_000, any::<bool>(), signal(), any::<bool>(), 0.0..1.0f64), 1..200),
    ) {
        let mut destination = Destination::default();
        let mut under_way: Vec<(Permit, Moment)> = Vec::new();
        let mut now = at(0);
        for (pause, asks, signal, uses, jitter) in steps {
            now = now + Duration::from_millis(pause);
            if asks {
                if let Ok(permit) = destination.admit(places(most), EMPTY_NODE, now) {
                    under_way.push((permit, now));
                }
            } else if let Some((permit, sent_at)) = under_way.pop() {
                if uses {
                    destination.heard(permit, signal, sent_at, now, jitter);
                }
                destination.give_back(permit, if uses { Use::Sent } else { Use::Unused });
            }
            prop_assert_eq!(destination.taken(), under_way.len());
            let ordinary = under_way.iter().filter(|(permit, _)| *permit == Permit::Ordinary).count();
            prop_assert!(ordinary <= most);
        }
        for (permit, _) in under_way.drain(..) {
            destination.give_back(permit, Use::Sent);
        }
        now = now + Duration::from_secs(61);
        prop_assert!(destination.admit(places(most), EMPTY_NODE, now).is_ok());
    }
}
