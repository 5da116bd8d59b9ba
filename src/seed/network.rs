//! Who is in the seeded network, what is paid for, who wants to know.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::dice::Dice;
use crate::domain::event::{ActionKind, Event};
use crate::domain::ids::{ActionId, AdvertiserId, LinkId, OfferId, PartnerId, PostbackId};
use crate::domain::postback::Owner;

/// What the names of seeded advertisers begin with; by it a seeded network is known again.
pub const NAME_PREFIX: &str = "Seeded ";

/// How many there are of each; postbacks follow from them.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub partners: usize,
    pub advertisers: usize,
    pub offers: usize,
}

pub struct Advertiser {
    pub id: AdvertiserId,
    pub postbacks: Vec<usize>,
}

pub struct Action {
    pub id: ActionId,
    pub name: &'static str,
    pub kind: ActionKind,
    pub payout: Decimal,
    pub is_repeatable: bool,
}

pub struct Offer {
    pub id: OfferId,
    /// Its place among the advertisers.
    pub advertiser: usize,
    pub actions: Vec<Action>,
}

pub struct Link {
    pub id: LinkId,
    /// Its place among the offers.
    pub offer: usize,
}

pub struct Partner {
    pub id: PartnerId,
    pub links: Vec<Link>,
    pub postbacks: Vec<usize>,
}

pub struct Postback {
    pub id: PostbackId,
    pub owner: Owner,
    pub events: &'static [Event],
    /// Host of its tracker; no resolver knows it.
    pub host: String,
    /// How long its tracker takes, in microseconds.
    pub median_us: f64,
    /// How often an attempt fails there.
    pub failing: f64,
}

pub struct Network {
    pub advertisers: Vec<Advertiser>,
    pub offers: Vec<Offer>,
    pub partners: Vec<Partner>,
    pub postbacks: Vec<Postback>,
    /// Those of the platform.
    pub platform: Vec<usize>,
}

const STATUS_EVENTS: &[Event] = &[Event::Hold, Event::Approve, Event::Reject];
const KIND_EVENTS: &[Event] = &[
    Event::Lead,
    Event::Registration,
    Event::Trial,
    Event::Sale,
    Event::FirstDeposit,
    Event::Redeposit,
    Event::Rebill,
];
const ALL_EVENTS: &[Event] = &[
    Event::Lead,
    Event::Registration,
    Event::Trial,
    Event::Sale,
    Event::FirstDeposit,
    Event::Hold,
    Event::Approve,
    Event::Reject,
];

/// The sets of actions an offer may have.
const GOALS: [&[(&str, ActionKind)]; 3] = [
    &[("sale", ActionKind::Sale)],
    &[("registration", ActionKind::Registration), ("deposit", ActionKind::Deposit)],
    &[("lead", ActionKind::Lead), ("trial", ActionKind::Trial)],
];

const LINES: [&str; 10] =
    ["Shop", "Casino", "Bank", "Games", "Travel", "Dating", "Insurance", "Sweeps", "Crypto", "Nutra"];

/// What a postback asks for; the story fills it the same way.
const URL_PATH: &str = "/postback?cid={clickid}&status={status}&event={event}&payout={payout}&txid={txid}";

impl Network {
    pub fn plan(dice: &mut Dice, sizes: Sizes) -> Self {
        let mut id = || Uuid::from_u128(dice_id(dice));
        let mut advertisers: Vec<Advertiser> = (0..sizes.advertisers)
            .map(|_| Advertiser { id: AdvertiserId(id()), postbacks: Vec::new() })
            .collect();
        let offers: Vec<Offer> = (0..sizes.offers)
            .map(|number| Offer {
                id: OfferId(id()),
                advertiser: number % sizes.advertisers,
                actions: GOALS[number % GOALS.len()]
                    .iter()
                    .map(|(name, kind)| Action {
                        id: ActionId(id()),
                        name,
                        kind: *kind,
                        payout: Decimal::from(5 + number % 40),
                        is_repeatable: *kind == ActionKind::Sale,
                    })
                    .collect(),
            })
            .collect();
        let mut partners: Vec<Partner> = (0..sizes.partners)
            .map(|number| Partner {
                id: PartnerId(id()),
                links: (0..3 + number % 8)
                    .map(|link| Link { id: LinkId(id()), offer: (number * 7 + link * link) % sizes.offers })
                    .collect(),
                postbacks: Vec::new(),
            })
            .collect();
        let mut postbacks = Vec::new();
        let mut add = |owner, events, host: String| {
            let number = postbacks.len();
            postbacks.push(Postback {
                id: PostbackId(id()),
                owner,
                events,
                host,
                // Some trackers are near and some far; one in twenty is in a bad way.
                median_us: 15_000.0 + (number * 7_919 % 250) as f64 * 1_000.0,
                failing: if number % 20 == 7 { 0.15 } else { 0.015 },
            });
            number
        };
        for (number, partner) in partners.iter_mut().enumerate() {
            for (place, events) in [STATUS_EVENTS, KIND_EVENTS, ALL_EVENTS].into_iter().enumerate() {
                if place == 0 || (number + place) % 2 == 0 {
                    let host = format!("t{place}.partner{number}.invalid");
                    partner.postbacks.push(add(Owner::Partner(partner.id), events, host));
                }
            }
        }
        for (number, advertiser) in advertisers.iter_mut().enumerate() {
            let host = format!("crm.advertiser{number}.invalid");
            advertiser.postbacks.push(add(Owner::Advertiser(advertiser.id), STATUS_EVENTS, host));
        }
        let platform = vec![add(Owner::Platform, ALL_EVENTS, "events.platform.invalid".into())];
        Self { advertisers, offers, partners, postbacks, platform }
    }

    /// Writes all of it in one transaction, as if made when the days begin.
    pub async fn write(&self, pool: &Pool, created_at: DateTime<Utc>) -> anyhow::Result<()> {
        let mut client = pool.get().await?;
        let network = client.transaction().await?;
        let ids: Vec<Uuid> = self.advertisers.iter().map(|advertiser| advertiser.id.0).collect();
        let names =
            numbered(ids.len(), |number| format!("{NAME_PREFIX}{} {number}", LINES[number % LINES.len()]));
        network
            .execute(
                "INSERT INTO advertisers (advertiser_id, name, created_at)
                 SELECT id, name, $3 FROM unnest($1::uuid[], $2::text[]) AS new (id, name)",
                &[&ids, &names, &created_at],
            )
            .await?;
        let ids: Vec<Uuid> = self.partners.iter().map(|partner| partner.id.0).collect();
        let names = numbered(ids.len(), |number| format!("{NAME_PREFIX}Partner {number}"));
        network
            .execute(
                "INSERT INTO partners (partner_id, name, created_at)
                 SELECT id, name, $3 FROM unnest($1::uuid[], $2::text[]) AS new (id, name)",
                &[&ids, &names, &created_at],
            )
            .await?;
        for (number, offer) in self.offers.iter().enumerate() {
            let name = format!("{NAME_PREFIX}{} offer {number}", LINES[offer.advertiser % LINES.len()]);
            let landing = format!("https://offer{number}.invalid/?click_id={{click_id}}");
            network
                .execute(
                    "INSERT INTO offers (offer_id, advertiser_id, name, landing_url, created_at)
                     VALUES ($1, $2, $3, $4, $5)",
                    &[&offer.id.0, &self.advertisers[offer.advertiser].id.0, &name, &landing, &created_at],
                )
                .await?;
            for action in &offer.actions {
                network
                    .execute(
                        "INSERT INTO actions (action_id, offer_id, name, kind, payout_model, advertiser_rate,
                                              commission_percent, payout_amount, currency, is_repeatable)
                         VALUES ($1, $2, $3, $4, 'fixed', $5 * 1.25, 20, $5, 'USD', $6)",
                        &[
                            &action.id.0,
                            &offer.id.0,
                            &action.name,
                            &action.kind.code(),
                            &action.payout,
                            &action.is_repeatable,
                        ],
                    )
                    .await?;
            }
        }
        let links =
            self.partners.iter().flat_map(|partner| partner.links.iter().map(move |link| (partner, link)));
        let (mut ids, mut offers, mut partners) = (Vec::new(), Vec::new(), Vec::new());
        for (partner, link) in links {
            ids.push(link.id.0);
            offers.push(self.offers[link.offer].id.0);
            partners.push(partner.id.0);
        }
        network
            .execute(
                "INSERT INTO links (link_id, offer_id, partner_id, created_at)
                 SELECT link_id, offer_id, partner_id, $4
                 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS new (link_id, offer_id, partner_id)",
                &[&ids, &offers, &partners, &created_at],
            )
            .await?;
        for postback in &self.postbacks {
            let (partner, advertiser) = match postback.owner {
                Owner::Partner(id) => (Some(id.0), None),
                Owner::Advertiser(id) => (None, Some(id.0)),
                Owner::Platform => (None, None),
            };
            let events: Vec<&str> = postback.events.iter().map(|event| event.code()).collect();
            let url = format!("https://{}{URL_PATH}", postback.host);
            network
                .execute(
                    "INSERT INTO postbacks (postback_id, partner_id, advertiser_id, events, url_template, is_paused,
                                            created_at)
                     VALUES ($1, $2, $3, $4, $5, true, $6)",
                    &[&postback.id.0, &partner, &advertiser, &events, &url, &created_at],
                )
                .await?;
        }
        network.commit().await?;
        Ok(())
    }
}

fn numbered(count: usize, name: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(name).collect()
}

/// A UUIDv4's worth of bits, with version and variant set.
fn dice_id(dice: &mut Dice) -> u128 {
    let random = (u128::from(dice.roll()) << 64) | u128::from(dice.roll());
    uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().as_u128()
}
