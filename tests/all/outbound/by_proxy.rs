//! `RICOCHET_OUTBOUND_PROXY`: everything goes through it, and nowhere else than it would go without.

use super::{logged, stored};
use crate::support::dns::{self, Reply};
use crate::support::forward_proxy::ForwardProxy;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// A node that sends by the proxy, as `user` with this password (percent-encoded).
async fn node(world: &World, proxy: &ForwardProxy, password: &str) -> Server {
    let name_server = dns::start(|| Reply::Address).await.to_string();
    let url = format!("http://user:{password}@{}", proxy.address);
    let settings = [
        ("RICOCHET_OUTBOUND_PROXY", url.as_str()),
        ("RICOCHET_OUTBOUND_NAME_SERVERS", name_server.as_str()),
        // What HTTP clients heed elsewhere; nobody listens there.
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("NO_PROXY", "*"),
    ];
    Server::start_with(&world.databases, &settings).await
}

async fn sale(world: &World, server: &Server) {
    let click = world.click(server, world.fixed.1).await;
    let sale = format!("click_id={click}&request_id=r&action=sale&status=new");
    assert_eq!(world.report(server, &sale).await.0, 200);
}

#[tokio::test]
async fn postbacks_go_through_the_proxy_to_addresses_that_were_looked_up_here() {
    let world = World::new().await;
    let (tracker, proxy) = (Tracker::start(OK).await, ForwardProxy::start().await);
    stored(&world, &tracker.url.replace("127.0.0.1", "tracker.ricochet.example")).await;
    let server = node(&world, &proxy, "p%40ss").await;
    sale(&world, &server).await;
    let attempts = logged(&world, &server, 1).await;
    assert_eq!((attempts.len(), &attempts[0]["outcome"]), (1, &"DELIVERED".into()), "{attempts:?}");
    let received = tracker.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].header("host").unwrap().starts_with("tracker.ricochet.example:"));
    assert_eq!(received[0].header("proxy-authorization"), None, "the password is the proxy's only");
    let address = tracker.url.strip_prefix("http://").unwrap();
    assert_eq!(proxy.asked(), [address], "it hears an address, and no name");
}

#[tokio::test]
async fn what_may_not_be_called_is_not_asked_of_the_proxy_either() {
    let world = World::new().await;
    let proxy = ForwardProxy::start().await;
    stored(&world, "http://10.0.0.1/p").await;
    let server = node(&world, &proxy, "p%40ss").await;
    sale(&world, &server).await;
    let attempts = logged(&world, &server, 1).await;
    assert_eq!(attempts[0]["errorKind"], "BLOCKED", "{attempts:?}");
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_its_password_is_not() {
    let world = World::new().await;
    let (tracker, proxy) = (Tracker::start(OK).await, ForwardProxy::start().await);
    stored(&world, &tracker.url).await;
    let server = node(&world, &proxy, "s3same").await;
    sale(&world, &server).await;
    let attempts = logged(&world, &server, 4).await;
    for attempt in &attempts {
        assert_eq!(attempt["errorKind"], "CONNECT", "{attempts:?}");
        let reason = attempt["reason"].as_str().unwrap();
        assert!(reason.contains(&proxy.address) && reason.contains("RICOCHET_OUTBOUND_PROXY"), "{reason}");
        assert!(!reason.contains("s3same"), "{reason}");
    }
    assert_eq!((tracker.received().len(), proxy.asked().len()), (0, attempts.len()));
    assert!(!server.log().contains("s3same"));
}
