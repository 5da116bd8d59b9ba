//! `deliveries`: what each filter finds, who finds it, and pages that stay true while they are read.

use chrono::{DateTime, Duration, Utc};
use ricochet::domain::event::Event;
use ricochet::domain::facts::EventFacts;
use ricochet::domain::ids::{
    AdvertiserId, ChangeId, ClickId, DeliveryId, LeadId, LinkId, OfferId, PartnerId, PostbackId,
};
use ricochet::domain::sample::sample;
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::partitions::{self, Retention};
use uuid::{Builder, Uuid};

use super::pages::{assert_each_once, read_all};
use super::rows::{StoredConversion, conversion, id, store, store_network};
use super::stage::{Stage, refusal};

/// Postbacks 1 to 3: of partner 1, of advertiser 1, of the platform.
async fn network() -> Stage {
    let stage = Stage::set().await;
    partitions::keep(&stage.pool, Retention { clicks_days: 365, history_days: 365 }, Utc::now())
        .await
        .unwrap();
    store_network(&stage.pool).await;
    for (number, partner, advertiser) in [(1, Some(id(1)), None), (2, None, Some(id(1))), (3, None, None)] {
        execute(
            &stage,
            "INSERT INTO postbacks (postback_id, partner_id, advertiser_id, events, url_template, timeout_ms,
                 max_in_flight)
             VALUES ($1, $2, $3, '{approve}', 'http://tracker.example/', 1000, 1)",
            &[&id(number), &partner, &advertiser],
        )
        .await;
    }
    stage
}

async fn execute(stage: &Stage, statement: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) {
    stage.pool.get().await.unwrap().execute(statement, values).await.unwrap();
}

/// A delivery that tells of a conversion of its own, known by its request.
#[derive(Clone, Copy)]
struct Told {
    /// The number of the offer, partner and advertiser.
    party: u128,
    postback: u128,
    event: Event,
    /// `None`: it is in the queue.
    finished: Option<&'static str>,
    attempts: i32,
    is_claimed: bool,
    job: Option<Uuid>,
    resent_from: Option<Uuid>,
    is_test: bool,
    at: DateTime<Utc>,
}

struct Stored {
    delivery: Uuid,
    lead: Uuid,
    click: Uuid,
}

impl Told {
    fn waiting(at: DateTime<Utc>) -> Self {
        Self {
            party: 1,
            postback: 1,
            event: Event::Approve,
            finished: None,
            attempts: 0,
            is_claimed: false,
            job: None,
            resent_from: None,
            is_test: false,
            at,
        }
    }

    fn finished(state: &'static str, at: DateTime<Utc>) -> Self {
        Self { finished: Some(state), attempts: 1, ..Self::waiting(at) }
    }

    async fn store(self, stage: &Stage, request_id: &str) -> Stored {
        let millis = u64::try_from(self.at.timestamp_millis()).unwrap();
        let change = Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let (lead, click) = (Uuid::new_v4(), Uuid::new_v4());
        let row = StoredConversion {
            lead_id: lead,
            click_id: click,
            advertiser_id: id(self.party),
            offer_id: id(self.party),
            partner_id: id(self.party),
            is_test: self.is_test,
            ..conversion(request_id, self.at)
        };
        store(&stage.pool, [row]).await;
        let facts = EventFacts {
            change_id: ChangeId(change),
            lead_id: Some(LeadId(lead)),
            click_id: ClickId(click),
            advertiser_id: AdvertiserId(id(self.party)),
            offer_id: OfferId(id(self.party)),
            partner_id: PartnerId(id(self.party)),
            link_id: LinkId(id(self.party)),
            request_id: request_id.to_owned(),
            is_test: self.is_test,
            ..sample(self.event)
        };
        let event = self.event.code();
        execute(
            stage,
            "INSERT INTO conversion_history (change_id, lead_id, status_to, events, facts, cause)
             VALUES ($1, $2, 'approved', ARRAY[$3::text], $4, 'request')",
            &[&change, &lead, &event, &serde_json::to_value(&facts).unwrap()],
        )
        .await;
        let postback = id(self.postback);
        let delivery = DeliveryId::of(ChangeId(change), PostbackId(postback), event).0;
        match self.finished {
            Some(state) => {
                execute(
                    stage,
                    "INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state,
                         reason, attempts, created_at, finished_at, job_id, resent_from)
                     VALUES ($1, $2, $3, $4, $5, $6, '', $7, now(), now(), $8, $9)",
                    &[
                        &delivery, &postback, &change, &event, &lead, &state, &self.attempts, &self.job,
                        &self.resent_from,
                    ],
                )
                .await;
            }
            None => {
                let claim = self.is_claimed.then(|| id(1));
                execute(
                    stage,
                    "INSERT INTO deliveries (delivery_id, postback_id, change_id, event, lead_id, attempt,
                         next_attempt_at, fence, created_at, claimed_by, lease_until, job_id, resent_from)
                     VALUES ($1, $2, $3, $4, $5, $6, now(), 0, now(), $7,
                         CASE WHEN $7::uuid IS NULL THEN NULL ELSE now() END, $8, $9)",
                    &[
                        &delivery,
                        &postback,
                        &change,
                        &event,
                        &lead,
                        &self.attempts,
                        &claim,
                        &self.job,
                        &self.resent_from,
                    ],
                )
                .await;
            }
        }
        Stored { delivery, lead, click }
    }
}

#[actix_web::test]
async fn deliveries_are_found_by_every_filter() {
    let stage = network().await;
    let hour_ago = Utc::now() - Duration::hours(1);
    let at = |seconds| hour_ago + Duration::seconds(seconds);
    let waiting = Told::waiting(at(0)).store(&stage, "waiting").await;
    let retrying = Told { attempts: 3, event: Event::Sale, ..Told::waiting(at(1)) };
    let retrying = retrying.store(&stage, "retrying").await;
    Told { is_claimed: true, attempts: 1, ..Told::waiting(at(2)) }.store(&stage, "sending").await;
    let delivered = Told { postback: 2, job: Some(id(50)), ..Told::finished("delivered", at(3)) };
    delivered.store(&stage, "delivered").await;
    let failed = Told { party: 2, postback: 3, attempts: 11, ..Told::finished("failed", at(4)) };
    let failed = failed.store(&stage, "failed").await;
    let skipped = Told { postback: 2, resent_from: Some(id(60)), ..Told::finished("skipped", at(5)) };
    skipped.store(&stage, "skipped").await;
    let cancelled = Told { attempts: 0, is_test: true, ..Told::finished("cancelled", at(6)) };
    cancelled.store(&stage, "cancelled").await;

    let all = ["waiting", "retrying", "sending", "delivered", "failed", "skipped", "cancelled"];
    let written = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let cases: Vec<(String, Vec<&str>)> = vec![
        ("".into(), all.to_vec()),
        ("states: [], events: [], offerIds: [], search: null".into(), all.to_vec()),
        ("states: [WAITING]".into(), vec!["waiting"]),
        ("states: [RETRYING, SENDING]".into(), vec!["retrying", "sending"]),
        ("states: [DELIVERED, CANCELLED]".into(), vec!["delivered", "cancelled"]),
        ("states: [FAILED, WAITING]".into(), vec!["waiting", "failed"]),
        ("states: [SKIPPED]".into(), vec!["skipped"]),
        (
            format!("deliveryIds: [\"{}\", \"{}\"]", waiting.delivery, failed.delivery),
            vec!["waiting", "failed"],
        ),
        (format!("postbackIds: [\"{}\"]", id(2)), vec!["delivered", "skipped"]),
        (format!("offerIds: [\"{}\"]", id(2)), vec!["failed"]),
        (format!("partnerIds: [\"{}\", \"{}\"]", id(2), id(9)), vec!["failed"]),
        (format!("advertiserIds: [\"{}\"]", id(2)), vec!["failed"]),
        (format!("advertiserIds: [\"{}\"], partnerIds: [\"{}\"]", id(1), id(2)), vec![]),
        ("events: [SALE]".into(), vec!["retrying"]),
        ("events: [HOLD]".into(), vec![]),
        (format!("jobId: \"{}\"", id(50)), vec!["delivered"]),
        (format!("resentFrom: \"{}\"", id(60)), vec!["skipped"]),
        ("attemptsAtLeast: 3".into(), vec!["retrying", "failed"]),
        ("attemptsAtLeast: 1, states: [DELIVERED, SENDING]".into(), vec!["sending", "delivered"]),
        ("isTest: true".into(), vec!["cancelled"]),
        ("isTest: false".into(), all[..6].to_vec()),
        (format!("leadId: \"{}\"", retrying.lead), vec!["retrying"]),
        // Any id at hand, of what waits and of what is finished.
        ("search: \"waiting\"".into(), vec!["waiting"]),
        ("search: \" failed \"".into(), vec!["failed"]),
        ("search: \"fail\"".into(), vec![]),
        (format!("search: \"{}\"", failed.lead), vec!["failed"]),
        (format!("search: \"{}\"", retrying.click.to_string().to_uppercase()), vec!["retrying"]),
        (format!("search: \"{}\"", Uuid::new_v4()), vec![]),
        (r#"search: "' OR 1=1 --""#.into(), vec![]),
        ("search: \"failed\", states: [WAITING]".into(), vec![]),
        (format!("from: \"{}\"", written(at(5))), vec!["skipped", "cancelled"]),
        (format!("from: \"{}\", to: \"{}\"", written(at(1)), written(at(3))), vec!["retrying", "sending"]),
        (
            format!("isTest: false, from: \"{}\", postbackIds: [\"{}\"]", written(at(1)), id(1)),
            vec!["retrying", "sending"],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(stage.found(Grant::Owner, "deliveries", &filter, "txid").await, expected, "{filter}");
    }

    let (partner, advertiser) = (PartnerId(id(1)), AdvertiserId(id(1)));
    let of_partner = ["waiting", "retrying", "sending", "cancelled"].as_slice();
    let of_advertiser = ["delivered", "skipped"].as_slice();
    for (grant, own) in [
        (Grant::Partner(partner), of_partner),
        (Grant::Bi(Scope::Partner(partner)), of_partner),
        (Grant::Advertiser(advertiser), of_advertiser),
        (Grant::Partner(PartnerId(id(2))), &[]),
    ] {
        assert_eq!(stage.found(grant, "deliveries", "", "txid").await, own, "{grant:?}");
        for sought in all {
            let found = stage.found(grant, "deliveries", &format!("search: \"{sought}\""), "txid").await;
            let expected: Vec<&str> = own.iter().copied().filter(|one| *one == sought).collect();
            assert_eq!(found, expected, "{grant:?} {sought}");
        }
    }

    for (filter, field) in [
        ("search: \" \"", "filter.search"),
        ("jobId: \"7\"", "filter.jobId"),
        ("deliveryIds: [\"\"]", "filter.deliveryIds"),
        ("from: \"soon\"", "filter.from"),
    ] {
        let query = format!("{{ deliveries(filter: {{ {filter} }}) {{ totalCount }} }}");
        let response = stage.execute(Grant::Owner, &query).await;
        assert_eq!(refusal(&response), ("BAD_INPUT".into(), field.into()), "{filter}");
    }
}

#[actix_web::test]
async fn deliveries_are_given_each_once_while_they_grow_and_are_finished() {
    let stage = network().await;
    let hour_ago = Utc::now() - Duration::hours(1);
    // Few different times, so that most neighbours differ by the rest of their ids alone.
    for number in 0..60 {
        let at = hour_ago + Duration::seconds(number % 3);
        let told = if number % 2 == 0 { Told::waiting(at) } else { Told::finished("delivered", at) };
        told.store(&stage, &format!("row {number}")).await;
    }
    // Meanwhile one is made, and one that waits is finished.
    let grow = async |number: usize| {
        Told::waiting(Utc::now()).store(&stage, &format!("new {number}")).await;
        execute(
            &stage,
            "WITH gone AS (
                 DELETE FROM deliveries
                 WHERE delivery_id = (SELECT delivery_id FROM deliveries ORDER BY delivery_id LIMIT 1) RETURNING *
             )
             INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason,
                 attempts, created_at, finished_at)
             SELECT delivery_id, postback_id, change_id, event, lead_id, 'delivered', '', 1, created_at, now()
             FROM gone",
            &[],
        )
        .await;
    };
    for first in [7, 50] {
        let labels = read_all(&stage, "deliveries", "txid", first, grow).await;
        let old: Vec<String> = labels.into_iter().filter(|label| !label.starts_with("new")).collect();
        assert_each_once(&old, 60);
    }
}
