//! The demo network: two advertisers, three partners, an offer of each payout model.

use anyhow::Context as _;
use deadpool_postgres::Pool;
use rust_decimal::Decimal;

use super::file::{DemoAction, DemoAdvertiser, DemoFile, DemoLink, DemoOffer, DemoPartner, DemoPostback};
use crate::domain::event::{ActionKind, Event};
use crate::domain::ids::{AdvertiserId, OfferId, PartnerId};
use crate::domain::money::Currency;
use crate::domain::payout::{PartnerPayout, PayoutModel};
use crate::domain::postback::{Owner, Scope};
use crate::graphql::scope::{Grant, Scope as TokenScope};
use crate::store::network::{
    NewAction, NewPostback, add_advertiser, add_api_key, add_link, add_offer, add_partner, add_postback,
};
use crate::store::tokens;

const ADVERTISERS: [&str; 2] = ["Borealis Shop", "Lucky Harbour"];
const PARTNERS: [&str; 3] = ["Northwind Media", "Blue Lynx Traffic", "Polar Star Ads"];

/// (name, its advertiser, payout model, actions with whether they may repeat)
type OfferPlan = (&'static str, usize, PayoutModel, &'static [(&'static str, ActionKind, bool)]);

const OFFERS: [OfferPlan; 3] = [
    (
        "Winter Boots",
        0,
        PayoutModel::Fixed,
        &[
            ("sale", ActionKind::Sale, true),
            ("lead", ActionKind::Lead, false),
            ("registration", ActionKind::Registration, false),
        ],
    ),
    (
        "Harbour Casino",
        1,
        PayoutModel::Percent,
        &[("deposit", ActionKind::Deposit, true), ("sale", ActionKind::Sale, true)],
    ),
    ("Harbour Club", 1, PayoutModel::Recurring, &[("subscription", ActionKind::Sale, true)]),
];

/// Which of a conversion's events each partner's tracker hears.
const PARTNER_EVENTS: [&[Event]; 3] = [
    &[Event::Hold, Event::Approve, Event::Reject],
    &[
        Event::Lead,
        Event::Registration,
        Event::Sale,
        Event::FirstDeposit,
        Event::Redeposit,
        Event::Rebill,
        Event::Reject,
    ],
    &[Event::Hold, Event::Approve, Event::Reject, Event::CustomerActivate, Event::CustomerDeactivate],
];
const ADVERTISER_EVENTS: &[Event] = &[Event::Hold, Event::Approve, Event::Reject];

const PARTNER_URL: &str = "/postback/ok?clickid={clickid}&status={status}&event={event}&payout={payout}\
                           &currency={currency}&txid={txid}&lead={lead_id}&sub1={sub1}";
const ADVERTISER_URL: &str =
    "/postback/ok?click={click_id}&status={status}&amount={amount}&txid={txid}&lead={lead_id}";

/// Makes the network in one transaction, with its keys and tokens.
pub async fn create(pool: &Pool, tracker_url: &str) -> anyhow::Result<DemoFile> {
    let mut file = DemoFile {
        base_url: String::new(),
        owner_token: String::new(),
        bi_token: String::new(),
        database_url: String::new(),
        clickhouse_url: String::new(),
        tracker_url: tracker_url.to_owned(),
        advertisers: Vec::new(),
        partners: Vec::new(),
        offers: Vec::new(),
        links: Vec::new(),
        postbacks: Vec::new(),
    };
    let mut client = pool.get().await.context("PostgreSQL cannot be reached")?;
    let network = client.transaction().await?;
    for name in ADVERTISERS {
        let id = add_advertiser(&network, name).await?;
        let api_key = add_api_key(&network, id).await?;
        file.advertisers.push(DemoAdvertiser { id: id.0, name: name.into(), api_key, token: String::new() });
    }
    for name in PARTNERS {
        let id = add_partner(&network, name).await?;
        file.partners.push(DemoPartner { id: id.0, name: name.into(), token: String::new() });
    }
    for (name, advertiser, payout_model, actions) in OFFERS {
        let advertiser_id = file.advertisers[advertiser].id;
        let landing_url = format!("{tracker_url}/landing?offer={{offer_id}}&click_id={{click_id}}");
        let plans: Vec<NewAction> = actions.iter().map(|action| plan_action(payout_model, action)).collect();
        let id = add_offer(&network, AdvertiserId(advertiser_id), name, &landing_url, &plans).await?;
        let actions = actions
            .iter()
            .map(|(name, kind, _)| DemoAction { name: (*name).into(), kind: kind.code().into() });
        file.offers.push(DemoOffer {
            id: id.0,
            name: name.into(),
            advertiser_id,
            payout_model: payout_model.code().into(),
            actions: actions.collect(),
        });
        for partner in &file.partners {
            let link = add_link(&network, OfferId(id.0), PartnerId(partner.id)).await?;
            file.links.push(DemoLink {
                id: link.0,
                url: String::new(),
                offer_id: id.0,
                partner_id: partner.id,
            });
        }
    }
    let owners = file
        .partners
        .iter()
        .zip(PARTNER_EVENTS)
        .map(|(partner, events)| (Owner::Partner(PartnerId(partner.id)), events, PARTNER_URL))
        .chain(file.advertisers.iter().map(|advertiser| {
            (Owner::Advertiser(AdvertiserId(advertiser.id)), ADVERTISER_EVENTS, ADVERTISER_URL)
        }));
    for (owner, events, path) in owners {
        let url = format!("{tracker_url}{path}");
        let postback = NewPostback {
            owner,
            scope: Scope::Global,
            events,
            url_template: &url,
            retry_schedule_ms: None,
            timeout_ms: 10_000,
            max_in_flight: 32,
        };
        let id = add_postback(&network, &postback).await?;
        let partner_id = if let Owner::Partner(id) = owner { Some(id.0) } else { None };
        let events = events.iter().map(|event| event.code().into()).collect();
        file.postbacks.push(DemoPostback { id: id.0, partner_id, url, events });
    }
    network.commit().await?;
    drop(client);
    give_tokens(pool, &mut file).await?;
    Ok(file)
}

fn plan_action(payout_model: PayoutModel, action: &(&'static str, ActionKind, bool)) -> NewAction<'static> {
    let (name, kind, repeatable) = *action;
    let is_share = payout_model == PayoutModel::Percent;
    NewAction {
        name,
        kind,
        payout_model,
        advertiser_rate: Decimal::from(if is_share { 30 } else { 50 }),
        commission_percent: Decimal::from(20),
        payout: match payout_model {
            PayoutModel::Percent => PartnerPayout::Percent(Decimal::from(24)),
            PayoutModel::Fixed | PayoutModel::Recurring => PartnerPayout::Amount(Decimal::from(40)),
        },
        currency: Currency::parse("USD").expect("USD is a currency"),
        repeatable,
    }
}

async fn give_tokens(pool: &Pool, file: &mut DemoFile) -> anyhow::Result<()> {
    let give = async |grant, label: &str| tokens::create(pool, grant, label).await.map(|token| token.secret);
    file.owner_token = give(Grant::Owner, "demo owner").await?;
    file.bi_token = give(Grant::Bi(TokenScope::Everything), "demo bi").await?;
    for advertiser in &mut file.advertisers {
        advertiser.token = give(Grant::Advertiser(AdvertiserId(advertiser.id)), &advertiser.name).await?;
    }
    for partner in &mut file.partners {
        partner.token = give(Grant::Partner(PartnerId(partner.id)), &partner.name).await?;
    }
    Ok(())
}

/// The network of an earlier start, its URLs moved to where the tracker is now. `None` where
/// the database does not know it: the file and the data are of different origins.
pub async fn revive(pool: &Pool, mut file: DemoFile, tracker_url: &str) -> anyhow::Result<Option<DemoFile>> {
    if tokens::find_live(pool, &file.owner_token).await?.is_none() {
        return Ok(None);
    }
    if file.tracker_url == tracker_url {
        return Ok(Some(file));
    }
    let former = std::mem::replace(&mut file.tracker_url, tracker_url.to_owned());
    let client = pool.get().await?;
    client
        .execute(
            "UPDATE postbacks SET url_template = replace(url_template, $1, $2)",
            &[&former, &tracker_url],
        )
        .await?;
    client
        .execute("UPDATE offers SET landing_url = replace(landing_url, $1, $2)", &[&former, &tracker_url])
        .await?;
    for postback in &mut file.postbacks {
        postback.url = postback.url.replace(&former, tracker_url);
    }
    Ok(Some(file))
}
