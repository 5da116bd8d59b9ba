//! What every station needs: the store, the log, and the catalogue in force.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use super::claims_in_doubt::ClaimsInDoubt;
use super::destination_exchange::DestinationExchange;
use super::health_watch::HealthNotes;
use super::held::DroppedClaims;
use super::lease_keeper::NodeLease;
use super::queue_places::QueuePlaces;
use super::slots::Slots;
use crate::domain::address_policy::Policy;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::NodeId;
use crate::event_log::EventLog;
use crate::store::pool::Pools;
use crate::store::secrets::Keyring;
use crate::store::{Pool, StoreError, catalogue};

pub struct Services {
    pub node: NodeId,
    pub pool: Pool,
    /// See [`Pools`].
    pub lane_pool: Pool,
    pub outcome_pool: Pool,
    pub lease_pool: Pool,
    pub log: EventLog,
    pub keyring: Keyring,
    pub outbound_policy: Policy,
    pub lease: Arc<NodeLease>,
    pub slots: Slots,
    pub queues: QueuePlaces,
    pub exchange: DestinationExchange,
    pub doubts: ClaimsInDoubt,
    pub dropped: DroppedClaims,
    pub health: HealthNotes,
    pub log_is_reachable: AtomicBool,
    catalogue: ArcSwap<Catalogue>,
    /// Held while the catalogue is loaded: an older one read meanwhile never replaces a newer.
    refreshing: Mutex<()>,
}

impl Services {
    /// Loads the catalogue. `capacity`: most requests to destinations under way at once.
    pub async fn new(
        node: NodeId,
        pools: &Pools,
        log: EventLog,
        keyring: Keyring,
        outbound_policy: Policy,
        capacity: usize,
    ) -> Result<Self, StoreError> {
        let lease = Arc::new(NodeLease::default());
        let nothing = Catalogue::default();
        let catalogue = catalogue::load_after(&nothing, &pools.common, &keyring).await?;
        Ok(Self {
            node,
            pool: pools.common.clone(),
            lane_pool: pools.lanes.clone(),
            outcome_pool: pools.outcomes.clone(),
            lease_pool: pools.leases.clone(),
            log,
            keyring,
            outbound_policy,
            slots: Slots::new(node, lease.clone(), capacity),
            lease,
            queues: QueuePlaces::default(),
            exchange: DestinationExchange::default(),
            doubts: ClaimsInDoubt::default(),
            dropped: DroppedClaims::default(),
            health: HealthNotes::default(),
            log_is_reachable: AtomicBool::new(false),
            catalogue: ArcSwap::from_pointee(catalogue),
            refreshing: Mutex::default(),
        })
    }

    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
    }

    /// Loads the catalogue again if it has changed. Called once a second, and by whoever has
    /// just changed it.
    pub async fn refresh_catalogue(&self) -> Result<(), StoreError> {
        let _alone = self.refreshing.lock().await;
        let last = self.catalogue();
        if catalogue::version(&self.pool).await? != last.version {
            let catalogue = catalogue::load_after(&last, &self.pool, &self.keyring).await?;
            self.catalogue.store(Arc::new(catalogue));
        }
        Ok(())
    }

    pub fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
