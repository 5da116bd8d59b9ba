//! The filter of the attempts log, asked of one row: what the live tail goes by. A test holds it to
//! what ClickHouse finds by the same filter.

use uuid::Uuid;

use super::TestRows;
use super::attempts::{AttemptFilter, AttemptRecord};
use crate::graphql::scope::Scope;

/// Whether a row is in scope and the filter finds it.
pub fn is_match(scope: Scope, filter: &AttemptFilter, row: &AttemptRecord) -> bool {
    is_in_scope(scope, row) && is_found(filter, row)
}

fn is_in_scope(scope: Scope, row: &AttemptRecord) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::Advertiser(id) => row.owner == "advertiser" && row.advertiser_id == id.0,
        Scope::Partner(id) => row.owner == "partner" && row.partner_id == id.0,
    }
}

fn is_found(filter: &AttemptFilter, row: &AttemptRecord) -> bool {
    // Every field by name: one that is added to the filter does not compile until it is asked here.
    let AttemptFilter {
        statuses,
        outcomes,
        events,
        error_kinds,
        response_codes,
        offer_ids,
        partner_ids,
        advertiser_ids,
        postback_ids,
        delivery_id,
        lead_id,
        click_id,
        txid,
        attempt_at_least,
        attempt_at_most,
        total_us_at_least,
        total_us_at_most,
        link_ids,
        actions,
        countries,
        devices,
        search,
        from,
        to,
        tests,
    } = filter;
    (statuses.is_empty() || row.status.is_some_and(|status| statuses.contains(&status)))
        && one_of(outcomes, &row.outcome)
        && one_of(events, &row.event)
        && one_of(error_kinds, &row.error_kind)
        && one_of(response_codes, &row.response_code)
        && one_of(offer_ids, &row.offer_id)
        && one_of(partner_ids, &row.partner_id)
        && one_of(advertiser_ids, &row.advertiser_id)
        && one_of(postback_ids, &row.postback_id)
        && delivery_id.is_none_or(|id| row.delivery_id == id)
        && lead_id.is_none_or(|id| row.lead_id == Some(id))
        && click_id.is_none_or(|id| row.click_id == id)
        && txid.as_ref().is_none_or(|txid| row.txid == *txid)
        && attempt_at_least.is_none_or(|attempt| u64::from(row.attempt) >= attempt)
        && total_us_at_least.is_none_or(|us| row.total_us >= us)
        && attempt_at_most.is_none_or(|attempt| u64::from(row.attempt) <= attempt)
        && total_us_at_most.is_none_or(|us| row.total_us <= us)
        && one_of(link_ids, &row.link_id)
        && one_of(actions, &row.action)
        && one_of(countries, &row.country)
        && (devices.is_empty() || devices.iter().any(|device| device.code() == row.device))
        && search.as_ref().is_none_or(|sought| bears(row, sought))
        && from.is_none_or(|from| row.started_at >= from)
        && to.is_none_or(|to| row.started_at < to)
        && match tests {
            TestRows::Included => true,
            TestRows::LeftOut => !row.is_test,
            TestRows::Only => row.is_test,
        }
}

/// Whether one of the row's ids is this one.
fn bears(row: &AttemptRecord, sought: &str) -> bool {
    let ids = [row.lead_id, Some(row.click_id), Some(row.delivery_id), Some(row.attempt_id)];
    row.txid == sought || Uuid::try_parse(sought).is_ok_and(|id| ids.contains(&Some(id)))
}

/// An empty list restricts nothing.
fn one_of<T: PartialEq>(list: &[T], value: &T) -> bool {
    list.is_empty() || list.contains(value)
}
