//! The whole of a destination, over any history.

use proptest::prelude::*;

use super::news::{BreakerNews, HoldNews, Told};
use super::rate::Rate;
use super::*;

const EMPTY_NODE: Crowd = Crowd { taken: 0, capacity: 1_000_000 };

fn at(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

fn places(max_in_flight: usize) -> Share {
    Share { limits: Limits { max_in_flight, rate: None }, is_prober: true }
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
fn what_has_never_answered_gets_few_places() {
    let mut destination = Destination::default();
    assert!(destination.is_untried());
    let permits: Vec<_> = (0..FIRST_PLACES)
        .map(|_| destination.admit(places(16), EMPTY_NODE, at(0)).expect("a first place"))
        .collect();
    assert_eq!(destination.admit(places(16), EMPTY_NODE, at(0)), Err(Wait::Full));
    assert_eq!(destination.snapshot(at(0)).concurrency, FIRST_PLACES);
    assert!(!destination.is_untried());
    destination.heard(permits[0], Signal::Failing, at(0), at(10), 0.5);
    destination.give_back(permits[0], Use::Sent);
    let another = destination.admit(places(16), EMPTY_NODE, at(10)).expect("a failure gives back its place");
    assert_eq!(destination.admit(places(16), EMPTY_NODE, at(10)), Err(Wait::Full), "and is no answer");
    destination.heard(another, Signal::Well, at(10), at(20), 0.5);
    let more = (0..16).take_while(|_| destination.admit(places(16), EMPTY_NODE, at(20)).is_ok()).count();
    assert_eq!(more, 16 - FIRST_PLACES, "its answer gives it all of them");
}

#[test]
fn a_permit_that_is_not_used_costs_nothing() {
    let limits = Limits { max_in_flight: 1, rate: Some(Rate { per_second: 1.0, burst: 1 }) };
    let limits = Share { limits, is_prober: true };
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

fn told(version: i64, hold: Option<u64>, breaker: Option<BreakerNews>) -> Told {
    let hold = hold.map_or(HoldNews::Nothing, |ms| HoldNews::For(Duration::from_millis(ms)));
    Told { version, hold, breaker }
}

fn open_for(ms: u64) -> Option<BreakerNews> {
    Some(BreakerNews::Open { probe_in: Duration::from_millis(ms), openings: 3 })
}

#[test]
fn what_one_node_hears_another_heeds() {
    let (mut first, mut second) = (Destination::default(), Destination::default());
    let permit = first.admit(places(4), EMPTY_NODE, at(0)).unwrap();
    let asked = Signal::Overloaded { hold: Some(Duration::from_secs(30)) };
    first.heard(permit, asked, at(0), at(10), 0.5);
    let telling = first.tell(at(1_010)).unwrap();
    assert_eq!((telling.hold, telling.breaker), (Some(Duration::from_secs(29)), None));
    assert_eq!(first.tell(at(1_010)), None, "it is told once");
    // The other node's clock is another.
    let news = told(1, Some(29_000), None);
    assert_eq!(second.hear_told(news, at(500_000)), [Change::Held { until: at(529_000) }]);
    assert_eq!(second.admit(places(4), EMPTY_NODE, at(528_999)), Err(Wait::Parked(at(529_000))));
    assert_eq!(second.tell(at(500_000)), None, "what it was told it does not tell");
    second.lift_hold();
    assert_eq!(second.hear_told(news, at(500_100)), [], "no news");
    assert!(second.admit(places(4), EMPTY_NODE, at(500_100)).is_ok());
    // Somebody wants it sent to all the same.
    assert_eq!(second.hear_told(told(2, Some(40_000), None), at(500_200)).len(), 1);
    assert!(second.admit(places(4), EMPTY_NODE, at(500_300)).is_err());
    let lifted = Told { hold: HoldNews::Lifted, ..told(3, None, None) };
    assert_eq!(second.hear_told(lifted, at(500_400)), []);
    assert!(second.admit(places(4), EMPTY_NODE, at(500_400)).is_ok());
    // Its own news comes back to the one that told it.
    assert_eq!(first.hear_told(told(1, Some(29_000), None), at(1_020)), []);
}

#[test]
fn one_node_probes_for_all() {
    let other = Share { is_prober: false, ..places(4) };
    let mut destination = Destination::default();
    let opened = destination.hear_told(told(7, None, open_for(2_000)), at(0));
    assert_eq!(opened, [Change::Opened { probe_in: Duration::from_secs(2), failures: 0 }]);
    assert_eq!(destination.admit(other, EMPTY_NODE, at(1_999)), Err(Wait::Parked(at(2_000))));
    assert_eq!(destination.admit(other, EMPTY_NODE, at(2_000)), Err(Wait::Elsewhere));
    assert_eq!(destination.hear_told(told(8, None, open_for(4_000)), at(3_000)), []);
    assert_eq!(destination.admit(other, EMPTY_NODE, at(6_999)), Err(Wait::Parked(at(7_000))));
    // Nothing is heard of the one that should probe.
    let late = at(7_000) + STAND_IN;
    assert_eq!(destination.admit(other, EMPTY_NODE, late), Ok(Permit::Probe(1)));
    assert_eq!(destination.hear_told(told(9, None, open_for(60_000)), late), []);
    assert_eq!(destination.admit(other, EMPTY_NODE, late), Err(Wait::Full), "its own probe is under way");
    assert_eq!(destination.hear_told(told(10, None, Some(BreakerNews::Closed)), late), [Change::Closed]);
    assert_eq!(destination.admit(other, EMPTY_NODE, late), Err(Wait::Full), "it catches up slowly");
    destination.give_back(Permit::Probe(1), Use::Unused);
    assert_eq!(destination.admit(other, EMPTY_NODE, late), Ok(Permit::Ordinary));
}

#[test]
fn what_it_has_to_tell_comes_after_what_it_is_told() {
    let mut destination = Destination::default();
    for _ in 0..5 {
        let permit = destination.admit(places(9), EMPTY_NODE, at(0)).unwrap();
        destination.heard(permit, Signal::Failing, at(0), at(0), 0.0);
        destination.give_back(permit, Use::Sent);
    }
    let closed = told(3, None, Some(BreakerNews::Closed));
    assert_eq!(destination.hear_told(closed, at(10)), []);
    let telling = destination.tell(at(200)).unwrap();
    let open = BreakerNews::Open { probe_in: Duration::from_millis(800), openings: 1 };
    assert_eq!(telling.breaker, Some(open));
    destination.tell_again(telling);
    assert_eq!(destination.hear_told(closed, at(210)), [], "telling has failed");
    assert_eq!(destination.tell(at(300)).unwrap().breaker, destination_news(700));
    assert_eq!(destination.hear_told(told(4, None, open_for(700)), at(310)), [], "its own");
    assert_eq!(destination.snapshot(at(310)).state, State::Open);
}

fn destination_news(ms: u64) -> Option<BreakerNews> {
    Some(BreakerNews::Open { probe_in: Duration::from_millis(ms), openings: 1 })
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

type News = Option<(Option<u64>, Option<BreakerNews>)>;

fn news() -> impl Strategy<Value = News> {
    let breaker =
        prop_oneof![Just(None), Just(Some(BreakerNews::Closed)), (0u64..60_000).prop_map(open_for),];
    prop_oneof![5 => Just(None), 1 => (prop::option::of(0u64..20_000), breaker).prop_map(Some)]
}

proptest! {
    /// Whatever is heard of it: never more under way than its places (beside probes), no place is
    /// ever lost, and left alone for a minute it may be sent something again; by a node that does
    /// not probe it, after another one.
    #[test]
    fn it_keeps_its_bounds_and_never_gives_up(
        most in 1usize..20,
        steps in prop::collection::vec(
            (0u64..3_000, any::<bool>(), signal(), any::<bool>(), 0.0..1.0f64, news()), 1..200,
        ),
        is_prober: bool,
    ) {
        let share = Share { is_prober, ..places(most) };
        let mut version = 0;
        let mut destination = Destination::default();
        let mut under_way: Vec<(Permit, Moment)> = Vec::new();
        let mut now = at(0);
        for (pause, asks, signal, uses, jitter, news) in steps {
            now = now + Duration::from_millis(pause);
            if let Some((hold, breaker)) = news {
                destination.tell(now);
                version += 1;
                destination.hear_told(told(version, hold, breaker), now);
            }
            if asks {
                if let Ok(permit) = destination.admit(share, EMPTY_NODE, now) {
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
        now = now + Duration::from_secs(61) + if is_prober { Duration::ZERO } else { STAND_IN };
        prop_assert!(destination.admit(share, EMPTY_NODE, now).is_ok());
    }
}
