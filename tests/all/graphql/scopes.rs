//! What each role can see, on every path.

use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::event_log::rows::{AttemptRow, InboundRow};
use ricochet::graphql::scope::{Grant, Scope};

use super::rows::{StoredConversion, at, attempt, conversion, id, inbound, store};
use super::stage::Stage;

const EVERYTHING: [&str; 3] = ["", "", ""];

/// Rows of two advertisers and two partners, crosswise: a1p1, a1p2, a2p1, a2p2.
async fn crossed() -> Stage {
    let stage = Stage::set().await;
    let pairs = [(1, 1), (1, 2), (2, 1), (2, 2)];
    let label = |(advertiser, partner): (u128, u128)| format!("a{advertiser}p{partner}");
    let attempts =
        ["partner", "advertiser", "platform"].into_iter().enumerate().flat_map(|(place, owner)| {
            pairs.into_iter().enumerate().map(move |(number, pair)| AttemptRow {
                owner,
                advertiser_id: id(pair.0),
                partner_id: id(pair.1),
                lead_id: Some(id(100)),
                ..attempt(&format!("{owner} {}", label(pair)), at((place * 4 + number) as i64))
            })
        });
    stage.log_rows(attempts).await;
    let requests = pairs.into_iter().enumerate().map(|(number, pair)| InboundRow {
        advertiser_id: Some(id(pair.0)),
        partner_id: Some(id(pair.1)),
        ..inbound(&label(pair), at(number as i64))
    });
    let of_nobody = InboundRow { advertiser_id: None, partner_id: None, ..inbound("unknown key", at(9)) };
    stage.log_rows(requests.chain([of_nobody])).await;
    let conversions = pairs.into_iter().enumerate().map(|(number, pair)| StoredConversion {
        advertiser_id: id(pair.0),
        partner_id: id(pair.1),
        ..conversion(&label(pair), at(number as i64))
    });
    store(&stage.pool, conversions).await;
    stage
}

async fn assert_sees(stage: &Stage, grant: Grant, filters: [&str; 3], expected: [&[&str]; 3]) {
    let lists = [("postbackLog", "txid"), ("inboundLog", "requestId"), ("conversions", "requestId")];
    for (((list, field), filter), expected) in lists.into_iter().zip(filters).zip(expected) {
        // `found` also holds the total to the rows: no count betrays what is not shown.
        assert_eq!(stage.found(grant, list, filter, field).await, expected, "{grant:?} {list} {filter}");
    }
}

#[actix_web::test]
async fn the_owner_and_bi_see_everything() {
    let stage = crossed().await;
    for grant in [Grant::Owner, Grant::Bi(Scope::Everything)] {
        let attempts = stage.found(grant, "postbackLog", "", "txid").await;
        assert_eq!(attempts.len(), 12);
        assert_eq!(stage.found(grant, "inboundLog", "", "requestId").await.len(), 5);
        assert_eq!(stage.found(grant, "conversions", "", "requestId").await.len(), 4);
    }
}

#[actix_web::test]
async fn an_advertiser_sees_its_own_and_nothing_by_any_filter_beside_it() {
    let stage = crossed().await;
    let advertiser = AdvertiserId(id(1));
    let foreign = format!("advertiserIds: [\"{}\"]", id(2));
    let both = format!("advertiserIds: [\"{}\", \"{}\"]", id(1), id(2));
    for grant in [Grant::Advertiser(advertiser), Grant::Bi(Scope::Advertiser(advertiser))] {
        let own: [&[&str]; 3] =
            [&["advertiser a1p1", "advertiser a1p2"], &["a1p1", "a1p2"], &["a1p1", "a1p2"]];
        assert_sees(&stage, grant, EVERYTHING, own).await;
        assert_sees(&stage, grant, [&both; 3], own).await;
        assert_sees(&stage, grant, [&foreign; 3], [&[], &[], &[]]).await;
        let other_requests = ["requestId: \"a2p1\"", "requestId: \"unknown key\""];
        for filter in other_requests {
            assert!(stage.found(grant, "inboundLog", filter, "requestId").await.is_empty(), "{filter}");
            assert!(stage.found(grant, "conversions", filter, "requestId").await.is_empty(), "{filter}");
        }
        // The lead has attempts of all owners; the other owners' stay out of sight.
        let by_lead = format!("leadId: \"{}\", includeTests: true", id(100));
        assert_eq!(stage.found(grant, "postbackLog", &by_lead, "txid").await, own[0]);
    }
}

#[actix_web::test]
async fn a_partner_sees_its_own_postbacks_and_conversions_and_no_requests() {
    let stage = crossed().await;
    let partner = PartnerId(id(2));
    let foreign = format!("partnerIds: [\"{}\"]", id(1));
    for grant in [Grant::Partner(partner), Grant::Bi(Scope::Partner(partner))] {
        let own: [&[&str]; 3] = [&["partner a1p2", "partner a2p2"], &[], &["a1p2", "a2p2"]];
        assert_sees(&stage, grant, EVERYTHING, own).await;
        assert_sees(&stage, grant, [&foreign; 3], [&[], &[], &[]]).await;
        let by_txid = "txid: \"advertiser a1p2\"";
        assert!(stage.found(grant, "postbackLog", by_txid, "txid").await.is_empty());
    }
}

#[actix_web::test]
async fn a_cursor_opens_no_other_row() {
    let stage = crossed().await;
    let owners = stage.data(Grant::Owner, "{ postbackLog(first: 1) { pageInfo { endCursor } } }").await;
    let cursor = owners["postbackLog"]["pageInfo"]["endCursor"].as_str().unwrap();
    let query =
        format!("{{ postbackLog(after: \"{cursor}\") {{ edges {{ node {{ owner partnerId }} }} }} }}");
    let data = stage.data(Grant::Partner(PartnerId(id(1))), &query).await;
    let edges = data["postbackLog"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 2);
    assert!(
        edges
            .iter()
            .all(|edge| edge["node"]["owner"] == "partner" && edge["node"]["partnerId"] == id(1).to_string())
    );
}
