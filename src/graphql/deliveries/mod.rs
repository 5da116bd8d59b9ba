//! Deliveries as they stand, and what is done to them by hand: sent again, sent late, cancelled.

mod cancel;
mod job;
mod list;
mod resend;
mod send_past;

use async_graphql::{ID, MergedObject};
use uuid::Uuid;

pub use self::list::Delivery;
use super::failure::Failure;
use super::filter::uuid_at;
use crate::domain::ids::{DeliveryId, JobId};

#[derive(MergedObject, Default)]
pub struct DeliveryQueries(
    list::ListQuery,
    job::JobQueries,
    resend::ResendQuery,
    send_past::SendPastQuery,
    cancel::CancelQuery,
);

#[derive(MergedObject, Default)]
pub struct DeliveryMutations(
    resend::ResendMutations,
    send_past::SendPastMutation,
    job::JobMutations,
    cancel::CancelMutations,
);

/// Most deliveries that one mutation names.
const MAX_IDS: usize = 1_000;
/// Deliveries a second of a job that does not say.
const RATE_PER_SECOND: i32 = 50;
const MAX_RATE_PER_SECOND: i32 = 10_000;

fn delivery_ids(ids: &[ID]) -> Result<Vec<DeliveryId>, Failure> {
    if ids.is_empty() || ids.len() > MAX_IDS {
        let message = format!("{} ids; name 1 to {MAX_IDS} deliveries, or use a filter for more", ids.len());
        return Err(Failure::bad_input("deliveryIds", message));
    }
    let mut read =
        ids.iter().map(|id| uuid_at("deliveryIds", id).map(DeliveryId)).collect::<Result<Vec<_>, _>>()?;
    read.sort_unstable();
    read.dedup();
    Ok(read)
}

/// The id that a caller chose for its job, or a new one.
fn job_id(field: &str, id: Option<&ID>) -> Result<JobId, Failure> {
    id.map_or_else(|| Ok(JobId(Uuid::now_v7())), |id| uuid_at(field, id).map(JobId))
}

fn rate(field: &str, rate: Option<i32>) -> Result<u32, Failure> {
    let rate = rate.unwrap_or(RATE_PER_SECOND);
    if !(1..=MAX_RATE_PER_SECOND).contains(&rate) {
        let message = format!("write 1 to {MAX_RATE_PER_SECOND} deliveries a second");
        return Err(Failure::bad_input(field, message));
    }
    Ok(rate.unsigned_abs())
}
