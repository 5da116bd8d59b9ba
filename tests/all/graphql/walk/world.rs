//! Two advertisers and two partners who do business crosswise, everything of theirs marked.

mod business;
mod deliveries;
mod jobs;
mod markers;
mod people;
mod postbacks;
mod quarantine;
mod settings;

use std::collections::BTreeMap;

use chrono::Utc;
use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::partitions::{self, Retention};
use serde_json::Value;
use uuid::Uuid;

use self::markers::Markers;
use self::postbacks::OwnPostback;
use crate::graphql::stage::Stage;

pub struct MarkedWorld {
    pub stage: Stage,
    pub markers: Markers,
    advertisers: Vec<Uuid>,
    partners: Vec<Uuid>,
    /// One of each advertiser.
    offers: Vec<Uuid>,
    integrations: Vec<Uuid>,
    /// By the places of advertiser and partner.
    links: BTreeMap<(usize, usize), Uuid>,
    postbacks: Vec<Uuid>,
    own_postbacks: Vec<OwnPostback>,
    leads: Vec<Uuid>,
}

/// All pairs of an advertiser and a partner.
const PAIRS: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

impl MarkedWorld {
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

    pub async fn build() -> Self {
        let mut world = Self {
            stage: Stage::set().await,
            markers: Markers::default(),
            advertisers: Vec::new(),
            partners: Vec::new(),
            offers: Vec::new(),
            integrations: Vec::new(),
            links: BTreeMap::new(),
            postbacks: Vec::new(),
            own_postbacks: Vec::new(),
            leads: Vec::new(),
        };
        partitions::keep(&world.stage.pool, Retention { clicks_days: 365, history_days: 365 }, Utc::now())
            .await
            .unwrap();
        world.add_people().await;
        world.add_network().await;
        world.add_settings().await;
        world.add_quarantine().await;
        world.add_jobs().await;
        world.add_postbacks().await;
        for pair in PAIRS {
            world.add_business(pair).await;
        }
        world
    }

    /// A new id that is a marker.
    fn id(&mut self, roles: &str) -> Uuid {
        let id = Uuid::now_v7();
        self.markers.known(&id.to_string(), roles);
        id
    }

    async fn owner(&self, mutation: &str) -> Value {
        self.stage.data(Grant::Owner, &format!("mutation {{ {mutation} }}")).await
    }

    async fn execute(&self, statement: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) {
        self.stage.pool.get().await.unwrap().execute(statement, values).await.unwrap();
    }
}

fn id_in(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}
