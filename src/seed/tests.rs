use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::dice::Dice;
use super::moment;
use super::network::{Network, Sizes};
use super::portion::{Portion, Tables};
use super::story::{End, Story, Teller};
use crate::event_log::rows::Log;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn stories(seed: u64, clicks: u64) -> Vec<Story> {
    let mut dice = Dice::seeded(seed);
    let sizes = Sizes { partners: 12, advertisers: 3, offers: 6 };
    let network = Arc::new(Network::plan(&mut dice, sizes));
    let mut teller = Teller::new(network, dice, noon());
    let from = noon() - TimeDelta::days(10);
    (0..clicks).map(|number| teller.tell(moment(number, clicks, from, noon()))).collect()
}

#[test]
fn the_same_dice_tell_the_same_stories() {
    let told = |seed| {
        let mut portion = Portion::new(Tables::LogAndState);
        stories(seed, 300).iter().for_each(|story| portion.add(story));
        (Log::ALL.map(|log| portion.lines(log).to_vec()), portion.copies().clone())
    };
    assert_eq!(told(5), told(5));
    assert_ne!(told(5).0, told(6).0);
}

#[test]
fn a_story_agrees_with_itself() {
    let stories = stories(1, 5_000);
    let converted = stories.iter().filter(|story| story.conversion.is_some()).count();
    assert!((1_000..2_500).contains(&converted), "{converted}");
    for story in &stories {
        assert_eq!(story.conversion.is_none(), story.changes.is_empty());
        if let (Some(conversion), Some(last)) = (&story.conversion, story.changes.last()) {
            assert_eq!(conversion.facts, last.facts);
            assert!(conversion.created_at >= story.click.clicked_at);
        }
        let attempts: usize = story.deliveries.iter().map(|delivery| usize::from(delivery.attempts)).sum();
        assert_eq!(attempts, story.attempts.len());
        for attempt in &story.attempts {
            assert!(attempt.started_at <= noon() && attempt.started_at >= story.click.clicked_at);
            assert_eq!(attempt.click_id, story.click.click_id.0);
            assert!(attempt.url.is_empty() || attempt.url.contains(".invalid/"), "{}", attempt.url);
        }
        for delivery in &story.deliveries {
            if let End::Finished { state, .. } = &delivery.end {
                let last =
                    story.attempts.iter().rfind(|row| row.delivery_id == delivery.delivery_id).unwrap();
                assert_eq!(*state, last.outcome);
            }
        }
    }
    let outcomes = ["delivered", "retrying", "failed", "skipped"];
    for outcome in outcomes {
        assert!(
            stories.iter().flat_map(|story| &story.attempts).any(|row| row.outcome == outcome),
            "{outcome}"
        );
    }
}

#[test]
fn clicks_come_in_order_and_most_by_day() {
    let from = noon() - TimeDelta::days(10);
    let moments: Vec<DateTime<Utc>> =
        (0..10_000).map(|number| moment(number, 10_000, from, noon())).collect();
    assert!(moments.is_sorted());
    let by_night = moments.iter().filter(|time| !(6..18).contains(&chrono::Timelike::hour(*time))).count();
    assert!((2_000..4_000).contains(&by_night), "{by_night}");
}
