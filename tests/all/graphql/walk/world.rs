//! Two advertisers and two partners who do business crosswise, everything of theirs marked.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ricochet::domain::event::Event;
use ricochet::domain::facts::EventFacts;
use ricochet::domain::fields::ConversionRequest;
use ricochet::domain::ids::{
    AdvertiserId, ChangeId, ClickId, DeliveryId, LeadId, LinkId, OfferId, PartnerId, PostbackId,
};
use ricochet::domain::sample::sample;
use ricochet::event_log::rows::{AttemptRow, ClickRow, ConversionEventRow, InboundRow};
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::partitions::{self, Retention};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::graphql::rows::{StoredConversion, at, attempt, conversion, inbound, store};
use crate::graphql::stage::Stage;

/// Who may see a thing, besides the owner: roles such as `a1`, `p2`, and `bi` for who reads all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    roles: Vec<String>,
    /// Shown to those who may change things only, and to nobody who reads.
    to_hands: bool,
}

impl Audience {
    pub fn includes(&self, role: &str) -> bool {
        role == "bi" || self.roles.iter().any(|other| other == role)
    }

    /// What who only reads is not shown though it is in its scope.
    pub fn is_hidden_from(&self, grant: Grant) -> bool {
        self.to_hands && matches!(grant, Grant::Bi(_))
    }
}

pub struct MarkedWorld {
    pub stage: Stage,
    audiences: BTreeMap<String, Audience>,
    advertisers: Vec<Uuid>,
    partners: Vec<Uuid>,
    postbacks: Vec<Uuid>,
    leads: Vec<Uuid>,
}

/// All pairs of an advertiser and a partner.
const PAIRS: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

impl MarkedWorld {
    pub fn markers(&self) -> impl Iterator<Item = &str> {
        self.audiences.keys().map(String::as_str)
    }

    pub fn audience(&self, marker: &str) -> &Audience {
        &self.audiences[marker]
    }

    pub fn scopes(&self) -> Vec<(&'static str, Scope)> {
        let advertiser = |place: usize| Scope::Advertiser(AdvertiserId(self.advertisers[place]));
        let partner = |place: usize| Scope::Partner(PartnerId(self.partners[place]));
        vec![
            ("bi", Scope::Everything),
            ("a1", advertiser(0)),
            ("a2", advertiser(1)),
            ("p1", partner(0)),
            ("p2", partner(1)),
        ]
    }

    /// Arguments with every id in the place that is for one.
    pub fn with_ids(&self, arguments: &str) -> Vec<String> {
        let mut written = vec![arguments.to_owned()];
        for (place, ids) in [
            ("ID_OF_POSTBACK", &self.postbacks),
            ("ID_OF_ADVERTISER", &self.advertisers),
            ("ID_OF_LEAD", &self.leads),
        ] {
            if arguments.contains(place) {
                let with = |text: &String| {
                    let text = text.clone();
                    ids.iter().map(move |id| text.replace(place, &format!("\"{id}\"")))
                };
                written = written.iter().flat_map(with).collect();
            }
        }
        written
    }

    /// A marker for `roles`, such as `"a1p2"`.
    fn mark(&mut self, name: &str, roles: &str) -> String {
        let marker = format!("mk{name}{}{roles}km", self.audiences.len());
        self.known(&marker, roles);
        marker
    }

    /// Something that is a marker as it stands, such as an id.
    fn known(&mut self, marker: &str, roles: &str) {
        let roles = roles.as_bytes().chunks(2).map(|role| String::from_utf8(role.to_vec()).unwrap());
        let audience = Audience { roles: roles.collect(), to_hands: false };
        self.audiences.insert(marker.to_owned(), audience);
    }

    fn known_to_hands(&mut self, marker: &str, roles: &str) {
        self.known(marker, roles);
        self.audiences.get_mut(marker).unwrap().to_hands = true;
    }

    async fn owner(&self, mutation: &str) -> Value {
        self.stage.data(Grant::Owner, &format!("mutation {{ {mutation} }}")).await
    }

    pub async fn build() -> Self {
        let mut world = Self {
            stage: Stage::set().await,
            audiences: BTreeMap::new(),
            advertisers: Vec::new(),
            partners: Vec::new(),
            postbacks: Vec::new(),
            leads: Vec::new(),
        };
        partitions::keep(&world.stage.pool, Retention { clicks_days: 365, history_days: 365 }, Utc::now())
            .await
            .unwrap();
        world.add_people().await;
        let (offers, links) = world.add_network().await;
        world.add_settings().await;
        let postbacks = world.add_postbacks().await;
        for pair in PAIRS {
            world.add_business(pair, offers[pair.0], links[&pair], &postbacks).await;
        }
        world
    }

    async fn add_people(&mut self) {
        for number in [1, 2] {
            let name = self.mark("advertiser", &format!("a{number}"));
            let made = self
                .owner(&format!(r#"createAdvertiser(input: {{name: "{name}"}}) {{ advertiserId }}"#))
                .await;
            self.advertisers.push(id_in(&made["createAdvertiser"]["advertiserId"]));
            let name = self.mark("partner", &format!("p{number}"));
            let made =
                self.owner(&format!(r#"createPartner(input: {{name: "{name}"}}) {{ partnerId }}"#)).await;
            self.partners.push(id_in(&made["createPartner"]["partnerId"]));
        }
    }

    /// An offer of each advertiser, and a link of each partner to each.
    async fn add_network(&mut self) -> (Vec<Uuid>, BTreeMap<(usize, usize), Uuid>) {
        let (mut offers, mut links) = (Vec::new(), BTreeMap::new());
        for (place, advertiser) in self.advertisers.clone().into_iter().enumerate() {
            // Partners choose among all offers.
            let audience = format!("a{}p1p2", place + 1);
            let (name, landing) = (self.mark("offer", &audience), self.mark("landing", &audience));
            let made = self
                .owner(&format!(
                    r#"createOffer(input: {{advertiserId: "{advertiser}", name: "{name}",
                         landingUrl: "https://shop.example/{landing}"}}) {{ offerId }}"#
                ))
                .await;
            let offer = id_in(&made["createOffer"]["offerId"]);
            let action = self.mark("action", &audience);
            // What the advertiser pays is its own affair, what partners get is theirs.
            let (rate, payout) = (format!("8{place}99.31"), format!("7{place}99.31"));
            self.known(&rate, &audience[..2]);
            self.known(&payout, &audience[2..]);
            self.owner(&format!(
                r#"createAction(input: {{offerId: "{offer}", name: "{action}", kind: SALE, payoutModel: FIXED,
                     advertiserRate: "{rate}", commissionPercent: "20", payoutAmount: "{payout}", currency: "USD"}})
                   {{ actionId }}"#
            ))
            .await;
            for (other, partner) in self.partners.clone().into_iter().enumerate() {
                let made = self
                    .owner(&format!(
                        r#"createLink(input: {{offerId: "{offer}", partnerId: "{partner}"}}) {{ linkId }}"#
                    ))
                    .await;
                let link = id_in(&made["createLink"]["linkId"]);
                links.insert((place, other), link);
            }
            offers.push(offer);
        }
        (offers, links)
    }

    async fn add_settings(&mut self) {
        for (place, advertiser) in self.advertisers.clone().into_iter().enumerate() {
            let own = format!("a{}", place + 1);
            let label = self.mark("key", &own);
            self.owner(&format!(
                r#"createApiKey(input: {{advertiserId: "{advertiser}", label: "{label}"}}) {{ secret }}"#
            ))
            .await;
            let label = self.mark("token", &own);
            self.known_to_hands(&label, &own);
            self.owner(&format!(
                r#"createToken(input: {{role: ADVERTISER, advertiserId: "{advertiser}", label: "{label}"}}) {{ secret }}"#
            ))
            .await;
            let word = self.mark("word", &own);
            self.owner(&format!(
                r#"setStatusWord(input: {{advertiserId: "{advertiser}", word: "{word}", meaning: HOLD}}) {{ word }}"#
            ))
            .await;
            let name = self.mark("integration", &own);
            self.owner(&format!(
                r#"createIntegration(input: {{advertiserId: "{advertiser}", name: "{name}"}}) {{ urls {{ path }} }}"#
            ))
            .await;
            let network = format!("198.51.100.{}/32", place + 77);
            self.known(&network, &own);
            self.owner(&format!(
                r#"setAllowlist(input: {{advertiserId: "{advertiser}", networks: ["{network}"]}}) {{ advertiserId }}"#
            ))
            .await;
            let (word, parameter) = (self.mark("quarantined", &own), self.mark("parameter", &own));
            let request = ConversionRequest { status_word: word.clone(), ..ConversionRequest::default() };
            let request = serde_json::to_value(request).unwrap();
            self.execute(
                "INSERT INTO quarantine (inbound_id, advertiser_id, word, request, received_at, occurred_at, parameters)
                 VALUES ($1, $2, $3, $4, now(), now(), $5)",
                &[&Uuid::now_v7(), &advertiser, &word, &request, &json!([["status", parameter]])],
            )
            .await;
            let note = self.mark("job", &own);
            self.known_to_hands(&note, &own);
            self.add_job(Some(advertiser), None, &note).await;
        }
        for (place, partner) in self.partners.clone().into_iter().enumerate() {
            let own = format!("p{}", place + 1);
            let label = self.mark("token", &own);
            self.known_to_hands(&label, &own);
            self.owner(&format!(
                r#"createToken(input: {{role: PARTNER, partnerId: "{partner}", label: "{label}"}}) {{ secret }}"#
            ))
            .await;
            let note = self.mark("job", &own);
            self.known_to_hands(&note, &own);
            self.add_job(None, Some(partner), &note).await;
        }
        let note = self.mark("job", "");
        self.known_to_hands(&note, "");
        self.add_job(None, None, &note).await;
    }

    async fn add_job(&self, advertiser: Option<Uuid>, partner: Option<Uuid>, note: &str) {
        self.execute(
            "INSERT INTO delivery_jobs (job_id, kind, state, selection, request, rate_per_second, advertiser_id,
                 partner_id, actor_role, created_at, paced_until, note)
             VALUES ($1, 'resend', 'done', '{\"deliveries\": []}', 'original', 5, $2, $3, 'owner', now(), now(), $4)",
            &[&Uuid::now_v7(), &advertiser, &partner, &note],
        )
        .await;
    }

    /// Postbacks of each: by the name of the owner, with the roles that may see them.
    async fn add_postbacks(&mut self) -> Vec<(Uuid, &'static str, Option<usize>)> {
        let mut made = Vec::new();
        let owners = [
            ("advertiser", Some(0)),
            ("advertiser", Some(1)),
            ("partner", Some(0)),
            ("partner", Some(1)),
            ("platform", None),
        ];
        for (owner, place) in owners {
            let roles = place.map(|place| format!("{}{}", &owner[..1], place + 1)).unwrap_or_default();
            let url = self.mark("url", &roles);
            let of = match (owner, place) {
                ("advertiser", Some(place)) => format!("advertiserId: \"{}\",", self.advertisers[place]),
                ("partner", Some(place)) => format!("partnerId: \"{}\",", self.partners[place]),
                _ => String::new(),
            };
            let answer = self
                .owner(&format!(
                    r#"createPostback(input: {{{of} events: [APPROVE], urlTemplate: "https://{url}.example/{url}?c={{click_id}}"}})
                       {{ postbackId }}"#
                ))
                .await;
            let postback = id_in(&answer["createPostback"]["postbackId"]);
            self.known(&postback.to_string(), &roles);
            self.postbacks.push(postback);
            made.push((postback, owner, place));
        }
        made
    }

    /// A click and what came of it, with what every log says of that.
    async fn add_business(
        &mut self,
        pair: (usize, usize),
        offer: Uuid,
        link: Uuid,
        postbacks: &[(Uuid, &'static str, Option<usize>)],
    ) {
        let (a, p) = (format!("a{}", pair.0 + 1), format!("p{}", pair.1 + 1));
        let both = format!("{a}{p}");
        let (advertiser, partner) = (self.advertisers[pair.0], self.partners[pair.1]);
        let (lead, click, when) = (Uuid::now_v7(), Uuid::now_v7(), at(10));
        self.leads.push(lead);

        let agent = self.mark("agent", &both);
        let [own_id, sub, referrer, parameter] =
            ["clickid", "sub", "referrer", "utm"].map(|name| self.mark(name, &p));
        let subs: [String; 5] = std::array::from_fn(|_| sub.clone());
        let parameters = BTreeMap::from([("utm_source".to_owned(), parameter)]);
        self.stage
            .log_rows([ClickRow {
                click_id: click,
                clicked_at: when,
                link_id: link,
                offer_id: offer,
                partner_id: partner,
                advertiser_id: advertiser,
                partner_clickid: &own_id,
                subs: &subs,
                ip: "203.0.113.7",
                user_agent: &agent,
                referrer: &referrer,
                country: "DE",
                device: "mobile",
                parameters: &parameters,
            }])
            .await;

        let request = self.mark("request", &both);
        self.known(&lead.to_string(), &both);
        // What the partner gets, the advertiser does not know.
        let payout = Decimal::new(700_000 + i64::try_from(10 * pair.0 + pair.1).unwrap() * 1_000 + 31, 2);
        self.known(&payout.to_string(), &p);
        let row = StoredConversion {
            lead_id: lead,
            advertiser_id: advertiser,
            offer_id: offer,
            partner_id: partner,
            click_id: click,
            customer_id: Some(format!("c{}{}", pair.0, pair.1)),
            status: "approved",
            payout,
            ..conversion(&request, when)
        };
        store(&self.stage.pool, [row]).await;
        self.keep_click([click, link, offer, partner, advertiser], &agent, &own_id, when).await;
        let facts = EventFacts {
            change_id: ChangeId(Uuid::now_v7()),
            offer_id: OfferId(offer),
            partner_id: PartnerId(partner),
            advertiser_id: AdvertiserId(advertiser),
            link_id: LinkId(link),
            click_id: ClickId(click),
            lead_id: Some(LeadId(lead)),
            request_id: request.clone(),
            payout: Some(payout),
            comment: self.mark("comment", &both),
            is_test: false,
            ..sample(Event::Approve)
        };
        self.add_history(&facts).await;
        let facts = facts.change_id.0;

        let (action, events) = (self.mark("sold", &both), ["sale", "approve"]);
        let event = |event| ConversionEventRow {
            change_id: facts,
            event,
            recorded_at: when,
            occurred_at: when,
            lead_id: Some(lead),
            customer_id: "",
            request_id: &request,
            click_id: click,
            advertiser_id: advertiser,
            offer_id: offer,
            partner_id: partner,
            link_id: link,
            action: &action,
            status_from: "",
            status: "approved",
            amount: Some(25.into()),
            currency: "USD",
            payout: Some(payout),
            payout_currency: "USD",
            country: "DE",
            device: "mobile",
            is_test: false,
        };
        let refund = ConversionEventRow {
            change_id: Uuid::now_v7(),
            status_from: "approved",
            status: "rejected",
            ..event("reject")
        };
        let settled =
            ConversionEventRow { change_id: Uuid::now_v7(), status_from: "approved", ..event("payout") };
        self.stage.log_rows(events.map(event).into_iter().chain([refund, settled])).await;

        let (sent, reason) = (self.mark("sent", &a), self.mark("reason", &a));
        self.stage
            .log_rows([InboundRow {
                advertiser_id: Some(advertiser),
                partner_id: Some(partner),
                offer_id: Some(offer),
                lead_id: Some(lead),
                verdict: "rejected",
                reason_code: "unknown_click",
                integration_id: Some(Uuid::now_v7()),
                reason,
                ..inbound(&sent, when)
            }])
            .await;

        for (postback, owner, place) in postbacks {
            let roles = match (*owner, place) {
                ("advertiser", Some(place)) if *place == pair.0 => a.clone(),
                ("partner", Some(place)) if *place == pair.1 => p.clone(),
                ("platform", _) => String::new(),
                _ => continue,
            };
            let [txid, url, body] = ["txid", "called", "answer"].map(|name| self.mark(name, &roles));
            // What it told of has a name that only its readers read.
            let told = self.mark("told", &roles);
            let delivery = DeliveryId::of(ChangeId(facts), PostbackId(*postback), "approve").0;
            let row = AttemptRow {
                postback_id: *postback,
                delivery_id: delivery,
                owner,
                partner_id: partner,
                advertiser_id: advertiser,
                offer_id: offer,
                link_id: link,
                lead_id: Some(lead),
                click_id: click,
                action: told,
                payout: Some(payout),
                url,
                response_body: body,
                // No attempt is older than its delivery.
                ..attempt(&txid, Utc::now())
            };
            self.stage.log_rows([row]).await;
            self.add_delivery(delivery, *postback, facts, lead, &roles).await;
        }
    }

    /// A change that somebody made by hand.
    async fn add_history(&mut self, facts: &EventFacts) {
        let (actor, note) = (self.mark("actor", ""), self.mark("note", ""));
        let told = serde_json::to_value(facts).unwrap();
        let lead = facts.lead_id.map(|lead| lead.0);
        self.execute(
            "INSERT INTO conversion_history (change_id, lead_id, status_from, status_to, events, facts, cause, actor,
                 note)
             VALUES ($1, $2, 'hold', 'approved', '{sale,approve}', $3, 'owner', $4, $5)",
            &[&facts.change_id.0, &lead, &told, &actor, &note],
        )
        .await;
    }

    /// The click as PostgreSQL keeps it: `ids` are those of click, link, offer, partner and advertiser.
    async fn keep_click(&self, ids: [Uuid; 5], agent: &str, own_id: &str, when: DateTime<Utc>) {
        let [click, link, offer, partner, advertiser] = ids;
        self.execute(
            "INSERT INTO clicks (click_id, link_id, offer_id, partner_id, advertiser_id, partner_clickid, sub1, sub2,
                 sub3, sub4, sub5, ip, user_agent, referrer, country, device, parameters, clicked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $6, $6, $6, $6, '203.0.113.7', $7, $6, 'DE', 'mobile',
                 jsonb_build_object('utm_source', $6::text), $8)",
            &[&click, &link, &offer, &partner, &advertiser, &own_id, &agent, &when],
        )
        .await;
    }

    /// One that is finished and one that waits.
    async fn add_delivery(&mut self, id: Uuid, postback: Uuid, change: Uuid, lead: Uuid, roles: &str) {
        let reason = self.mark("failed", roles);
        let now: DateTime<Utc> = Utc::now();
        self.execute(
            "INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason,
                 attempts, created_at, finished_at)
             VALUES ($1, $2, $3, 'approve', $4, 'failed', $5, 2, $6, $6)",
            &[&id, &postback, &change, &lead, &reason, &now],
        )
        .await;
        let waiting = DeliveryId::of(ChangeId(change), PostbackId(postback), "sale").0;
        self.known(&waiting.to_string(), roles);
        self.execute(
            "INSERT INTO deliveries (delivery_id, postback_id, change_id, event, lead_id, attempt, next_attempt_at,
                 fence, created_at)
             VALUES ($1, $2, $3, 'approve', $4, 1, $5, 0, $5)",
            &[&waiting, &postback, &change, &lead, &now],
        )
        .await;
    }

    async fn execute(&self, statement: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) {
        self.stage.pool.get().await.unwrap().execute(statement, values).await.unwrap();
    }
}

fn id_in(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}
