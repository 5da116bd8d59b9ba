use ricochet::domain::status::Meaning;
use ricochet::domain::status_words::Place;
use ricochet::graphql::scope::Scope;
use ricochet::store::status_words::{self, SetWordError};
use uuid::Uuid;

use super::{events_of, reported, status_of};
use crate::support::server::Server;
use crate::support::world::World;

#[tokio::test]
async fn the_nearest_place_says_what_a_word_means() {
    let world = World::new().await;
    let advertiser = Place::Advertiser(world.advertiser().await);
    let offer = Place::Offer(world.fixed.0);
    let db = world.databases.pool.get().await.unwrap();
    for (place, word, meaning) in [
        (advertiser, "1", Meaning::Approved),
        (advertiser, " NEW ", Meaning::Approved),
        (offer, "1", Meaning::Rejected),
        (offer, "junk", Meaning::Ignore),
        (advertiser, "subscribe", Meaning::Activate),
        (advertiser, "unsubscribe", Meaning::Deactivate),
    ] {
        status_words::set(&db, Scope::Everything, place, word, meaning).await.unwrap();
    }
    let stranger = Scope::Advertiser(ricochet::domain::ids::AdvertiserId(Uuid::from_u128(9)));
    let refused = status_words::set(&db, stranger, offer, "2", Meaning::Hold).await;
    assert!(matches!(refused, Err(SetWordError::UnknownPlace)));
    assert_eq!(status_words::list(&db, stranger, None).await.unwrap().len(), 0);
    assert_eq!(status_words::list(&db, Scope::Everything, Some(offer)).await.unwrap().len(), 2);

    let server = Server::start(&world.databases).await;
    let of_offer = world.click(&server, world.fixed.1).await;
    reported(&world, &server, &format!("click_id={of_offer}&request_id=a&action=sale&status=1")).await;
    assert_eq!(status_of(&world, "a").await, "rejected");
    reported(&world, &server, &format!("click_id={of_offer}&request_id=b&action=sale&status=new")).await;
    assert_eq!(status_of(&world, "b").await, "approved");
    let other = world.click(&server, world.percent.1).await;
    reported(&world, &server, &format!("click_id={other}&request_id=c&action=deposit&status=1&price=8"))
        .await;
    assert_eq!(status_of(&world, "c").await, "approved");

    let ignored =
        reported(&world, &server, &format!("click_id={of_offer}&request_id=d&action=sale&status=Junk")).await;
    assert_eq!((ignored["ignored"] == true, status_of(&world, "d").await.as_str()), (true, ""));
    assert_eq!(world.logged("verdict = 'accepted' AND reason_code = 'ignored'").await, 1);

    // Recurring customers in foreign words need no request id.
    let recurring = world.click(&server, world.recurring.1).await;
    let customer = |word: &str| format!("click_id={recurring}&customer_id=7&status={word}");
    assert_eq!(reported(&world, &server, &customer("subscribe")).await["active"], true);
    let lead = format!("click_id={recurring}&customer_id=7&request_id=e&action=subscription&status=1");
    reported(&world, &server, &lead).await;
    assert_eq!(events_of(&world, "e").await, ["sale+approve"]);
    assert_eq!(reported(&world, &server, &customer("unsubscribe")).await["active"], false);
}
