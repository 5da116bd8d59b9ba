//! The lanes: each a chain Intake → Validator → StatusMapper → Recorder, and beside it a WideGate →
//! StatusMapper → Recorder for what very many destinations hear of.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, RwLock};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::dispatcher_supervisor::DispatcherSupervisor;
use super::inbound::{Asked, InboundRecord, NotDurable, Origin, Submission};
use super::intake::{Intake, Submit};
use super::recorder::{self, Recorder};
use super::services::Services;
use super::status_mapper::StatusMapper;
use super::validator::Validator;
use super::wide_gate::WideGate;
use crate::domain::verdict::Verdict;
use crate::store::Pool;

/// A verdict that comes once it is durable; an error where its lane died.
pub type PendingVerdict = oneshot::Receiver<Result<Verdict, NotDurable>>;

/// Sizes of the lanes together.
#[derive(Debug, Clone, Copy)]
pub struct LaneSizes {
    pub lanes: usize,
    /// Submissions that may wait, over all lanes.
    pub queue_requests: usize,
    pub batch_requests: usize,
}

struct Lane {
    intake: Addr<Intake>,
    validator: Addr<Validator>,
    mapper: Addr<StatusMapper>,
    recorder: Addr<Recorder>,
    wide: Wide,
}

/// What goes beside the lane.
struct Wide {
    gate: Addr<WideGate>,
    mapper: Addr<StatusMapper>,
    recorder: Addr<Recorder>,
}

impl Lane {
    fn is_whole(&self) -> bool {
        self.intake.connected()
            && self.validator.connected()
            && self.mapper.connected()
            && self.recorder.connected()
            && self.wide.gate.connected()
            && self.wide.mapper.connected()
            && self.wide.recorder.connected()
    }
}

/// The way in for every door.
pub struct Lanes {
    services: Arc<Services>,
    supervisor: Addr<DispatcherSupervisor>,
    sizes: LaneSizes,
    threads: Threads,
    lanes: Vec<RwLock<Lane>>,
}

/// Where lanes run, and where what goes beside them.
#[derive(Clone)]
pub struct Threads {
    pub lanes: ArbiterHandle,
    pub beside: ArbiterHandle,
}

impl Lanes {
    pub fn start(
        services: Arc<Services>,
        supervisor: Addr<DispatcherSupervisor>,
        sizes: LaneSizes,
        threads: Threads,
    ) -> Self {
        let lane = || RwLock::new(start_lane(&services, &supervisor, sizes, &threads));
        let lanes = (0..sizes.lanes).map(|_| lane()).collect();
        Self { services, supervisor, sizes, threads, lanes }
    }

    /// Has a request judged and recorded. The answer comes after the commit.
    pub async fn submit(&self, inbound: InboundRecord, asked: Asked) -> Result<Verdict, NotDurable> {
        if let Asked::Refused(verdict) = &asked
            && !verdict.is_logged()
        {
            recorder::count(verdict);
            return Ok(verdict.clone());
        }
        self.enqueue(inbound, asked).await
    }

    /// The same in two steps, for whoever has many requests: when this returns, the request has
    /// its place in its lane, before all that come later; the future is its answer.
    pub fn enqueue(
        &self,
        inbound: InboundRecord,
        asked: Asked,
    ) -> impl Future<Output = Result<Verdict, NotDurable>> + use<> {
        let placed = self.place(inbound, asked, Origin::default());
        // A lane that died took the reply with it.
        async move { placed?.await.unwrap_or(Err(NotDurable::StoreAway)) }
    }

    /// [`Lanes::enqueue`], for a request that is not simply what an advertiser's door took; and
    /// it says at once whether there was a place.
    pub fn place(
        &self,
        inbound: InboundRecord,
        asked: Asked,
        origin: Origin,
    ) -> Result<PendingVerdict, NotDurable> {
        let lane = self.lane_of(&inbound, &asked);
        let intake = lane.read().unwrap_or_else(|poisoned| poisoned.into_inner()).intake.clone();
        let (reply, verdict) = oneshot::channel();
        let submission = Submission { inbound, asked, origin, reply };
        intake.try_send(Submit(submission)).map_err(|_| NotDurable::QueueFull)?;
        Ok(verdict)
    }

    /// The same click always takes the same lane, so requests about it keep their order.
    fn lane_of(&self, inbound: &InboundRecord, asked: &Asked) -> &RwLock<Lane> {
        let mut hasher = DefaultHasher::new();
        match asked {
            Asked::Conversion(read) => read.request.click_ref.hash(&mut hasher),
            Asked::Refused(_) => inbound.inbound_id.hash(&mut hasher),
        }
        let index = hasher.finish() % self.lanes.len() as u64;
        &self.lanes[index as usize]
    }

    /// Replaces lanes that lost an actor (a panic ends its actor). Called once a second.
    pub fn mend(&self) {
        for (number, lane) in self.lanes.iter().enumerate() {
            let is_whole = lane.read().unwrap_or_else(|poisoned| poisoned.into_inner()).is_whole();
            if !is_whole {
                tracing::error!(lane = number, "a lane lost an actor and is started again");
                let new = start_lane(&self.services, &self.supervisor, self.sizes, &self.threads);
                *lane.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = new;
            }
        }
    }
}

/// Built from its end, as every station knows the next one.
fn start_lane(
    services: &Arc<Services>,
    supervisor: &Addr<DispatcherSupervisor>,
    sizes: LaneSizes,
    threads: &Threads,
) -> Lane {
    let bound = sizes.queue_requests.div_ceil(sizes.lanes);
    let arbiter = &threads.lanes;
    let start_end = |arbiter: &ArbiterHandle, pool: &Pool| {
        let recorder = Recorder::start_in_arbiter(arbiter, {
            let (services, supervisor, pool) = (services.clone(), supervisor.clone(), pool.clone());
            move |_| Recorder::new(services, supervisor, pool)
        });
        let mapper = StatusMapper::start_in_arbiter(arbiter, {
            let recorder = recorder.clone();
            move |_| StatusMapper::new(recorder)
        });
        (mapper, recorder)
    };
    let (wide_mapper, wide_recorder) = start_end(&threads.beside, &services.pool);
    let gate = WideGate::start_in_arbiter(&threads.beside, {
        let mapper = wide_mapper.clone();
        move |_| WideGate::new(mapper, bound)
    });
    let (mapper, recorder) = start_end(arbiter, &services.lane_pool);
    let validator = Validator::start_in_arbiter(arbiter, {
        let (services, mapper, gate) = (services.clone(), mapper.clone(), gate.clone());
        move |_| Validator::new(services, mapper, gate)
    });
    let intake = Intake::start_in_arbiter(arbiter, {
        let validator = validator.clone();
        move |_| Intake::new(validator, bound, sizes.batch_requests)
    });
    Lane {
        intake,
        validator,
        mapper,
        recorder,
        wide: Wide { gate, mapper: wide_mapper, recorder: wide_recorder },
    }
}
