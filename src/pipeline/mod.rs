//! The path of a conversion, one actor a station.
//!
//! ```text
//! door ─► Intake ─► Validator ─► StatusMapper ─► Recorder ══ one PostgreSQL transaction a batch
//!         (a lane: these four; requests of one click      │ then: an answer to every caller,
//!          always take the same lane)                     ▼ claimed deliveries onwards
//!                                           DispatcherSupervisor ─► Dispatcher (one a destination)
//!                                                     ▲                  │ attempts
//!            Rescuer: abandoned and dropped claims, ──┘                  ▼
//!                     what is due                                 OutcomeRecorder ══ PostgreSQL
//!
//! Validator ─► WideGate ─► StatusMapper ─► Recorder: beside the lane, for what very many hear of
//! Ward: the thread from which a Dispatcher sends to a destination that is not known to be well
//! ClaimDesk ══ PostgreSQL: claims for such destinations, many at a time
//! LeaseKeeper ══ PostgreSQL: this node lives
//!
//! log batches in PostgreSQL ─► LogShipper ─► ClickHouse
//!
//! what a Dispatcher hears of its destination ─► DestinationExchange ◄─► those of other nodes
//! ```
//!
//! Messages between actors are hints that save time. Whatever one of them loses, PostgreSQL
//! still has, and the [`rescuer`] finds it.

pub mod batcher;
mod bound_request;
pub mod claim_desk;
pub mod claims_in_doubt;
pub mod click_news;
pub mod click_recorder;
pub mod destination_exchange;
pub mod destination_reporter;
pub mod dispatcher;
pub mod dispatcher_supervisor;
pub mod health_watch;
pub mod held;
pub mod inbound;
pub mod intake;
pub mod job_runner;
pub mod lanes;
pub mod lease_keeper;
pub mod log_shipper;
pub mod outcome_recorder;
pub mod periodic;
pub mod plan;
pub mod preview;
pub mod quarantine_releaser;
mod queue_floor;
pub mod queue_places;
mod queue_sweeps;
pub mod recorder;
mod rescue;
pub mod rescuer;
pub mod services;
pub mod slots;
pub mod status_mapper;
mod until_answered;
pub mod validator;
pub mod ward;
pub mod wide_gate;
