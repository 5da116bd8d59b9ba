use super::stage::{Stage, told};
use crate::support::server::Server;

const BEHIND_PROXY: &[(&str, &str)] = &[("RICOCHET_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")];

async fn status(stage: &Stage, server: &Server, forwarded_for: &[&str]) -> (u16, Option<String>) {
    let mut request = stage.world.client.get(server.url(&stage.door()));
    for line in forwarded_for {
        request = request.header("x-forwarded-for", *line);
    }
    let (status, code, _) = told(request).await;
    (status, code)
}

#[tokio::test]
async fn only_allowed_addresses_come_in_and_none_can_pretend() {
    let stage = Stage::new().await;
    stage.allow_only("203.0.113.0/24, 2001:db8::/32").await;
    let direct = Server::start(&stage.world.databases).await;
    let refused = (403, Some("ip_not_allowed".to_owned()));
    // Let in: what is wrong is what the request says.
    let let_in = (422, Some("missing".to_owned()));

    for forwarded_for in [&[][..], &["203.0.113.5"], &["203.0.113.5, 127.0.0.1"]] {
        assert_eq!(status(&stage, &direct, forwarded_for).await, refused, "{forwarded_for:?}");
    }

    let behind_proxy = Server::start_with(&stage.world.databases, BEHIND_PROXY).await;
    for allowed in [
        &["203.0.113.5"][..],
        &["198.51.100.1, 203.0.113.5"],
        &["198.51.100.1", "203.0.113.5, 10.1.2.3"],
        &["::ffff:203.0.113.5"],
        &["[2001:db8::7]:4711"],
    ] {
        assert_eq!(status(&stage, &behind_proxy, allowed).await, let_in, "{allowed:?}");
    }
    for forged in
        [&[][..], &["203.0.113.5, 198.51.100.1"], &["203.0.113.5", "198.51.100.1"], &["203.0.113.5, x"]]
    {
        assert_eq!(status(&stage, &behind_proxy, forged).await, refused, "{forged:?}");
    }
}

#[tokio::test]
async fn a_click_bears_the_visitors_address() {
    let stage = Stage::new().await;
    let server = Server::start_with(&stage.world.databases, BEHIND_PROXY).await;
    let url = server.url(&format!("/click/{}?format=json", stage.world.fixed.1));
    let request = stage.world.client.get(url).header("x-forwarded-for", "1.1.1.1, 203.0.113.9");
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(stage.world.count("SELECT count(*) FROM clicks WHERE ip = '203.0.113.9'").await, 1);
}
