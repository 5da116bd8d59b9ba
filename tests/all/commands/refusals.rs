use super::NOBODY;
use crate::support::world::World;

const CHANGES: &str = "SELECT count(*) FROM audit_log";

/// Each with what the complaint must say: the argument, and what to write instead.
#[actix_web::test]
async fn a_wrong_argument_is_named_with_its_remedy() {
    let world = World::new().await;
    let before = world.count(CHANGES).await;
    let advertiser = world.advertiser_id().await;
    let (offer, link) = (world.fixed.0.to_string(), world.fixed.1.to_string());
    let (own, offer, link) = (advertiser.as_str(), offer.as_str(), link.as_str());
    let cases: &[(&[&str], &[&str])] = &[
        (&["advertiser", "update", "42", "--name", "x"], &["<ADVERTISER_ID>", "write an id such as"]),
        (&["advertiser", "update", NOBODY, "--name", "x"], &["ADVERTISER_ID: there is no such advertiser"]),
        (&["advertiser", "update", own], &["--name", "--attribution-window-hours"]),
        (
            &["advertiser", "update", own, "--attribution-window-hours", "0"],
            &["--attribution-window-hours", "write 1 to 87600 hours, or none"],
        ),
        (&["advertiser", "create", " "], &["NAME: write a name"]),
        (&["partner", "update", NOBODY, "--name", "x"], &["PARTNER_ID: there is no such partner"]),
        (&["offer", "update", offer, "--landing-url", "ftp://x"], &["--landing-url: "]),
        (&["offer", "update", offer, "--allows-refunds", "maybe"], &["--allows-refunds", "write yes or no"]),
        (&["action", "update", NOBODY, "--payout", "1"], &["ACTION_ID: there is no such action"]),
        (&["action", "update", NOBODY], &["--payout", "--hold-days"]),
        (&["link", "composite", link], &["--ready", "--parameter", "--none"]),
        (&["link", "composite", NOBODY, "--ready", "pps"], &["LINK_ID: there is no such link"]),
        (&["link", "composite", link, "--parameter", "t"], &["--separator", "--fields"]),
        (
            &["link", "composite", link, "--parameter", "t", "--separator", "x", "--fields", "sub1"],
            &["--separator: begin it with a sign"],
        ),
        (&["postback", "update", NOBODY, "--events", "never"], &["--events", "write one of", "approve"]),
        (&["postback", "resume", NOBODY], &["POSTBACK_ID: there is no such postback"]),
        (&["access", "signatures", own, "maybe"], &["<POLICY>", "write one of off, optional, required"]),
        (&["access", "rate-limit", own, "0"], &["<REQUESTS_PER_SECOND>", "or default"]),
        (&["access", "show", NOBODY], &["ADVERTISER_ID: there is no such advertiser"]),
        (&["allowlist", "set", "--advertiser", own], &["<NETWORK>..."]),
        (&["allowlist", "set", "--advertiser", own, "here"], &["NETWORK", "\"here\" is no network; write"]),
        (&["allowlist", "clear"], &["--advertiser", "--integration"]),
        (&["allowlist", "show", "--integration", NOBODY], &["--integration: there is no such integration"]),
        (&["secret", "retire", NOBODY, "--advertiser", own], &["SECRET_ID: there is no such live secret"]),
        (&["secret", "create", "--advertiser", NOBODY], &["--advertiser: there is no such advertiser"]),
        (
            &["secret", "create", "--advertiser", own, "--from-stdin"],
            &["the secret: the secret must have 24"],
        ),
        (&["word", "set", "x", "perhaps", "--advertiser", own], &["<MEANING>", "write one of hold"]),
        (&["word", "set", "x", "hold"], &["--advertiser", "--offer", "--integration"]),
        (&["word", "set", "x", "hold", "--offer", NOBODY], &["--offer: there is no such offer"]),
        (&["word", "set", "x", "hold", "--offer", offer, "--advertiser", own], &["cannot be used with"]),
        (
            &["integration", "create", "--advertiser", own, "--preset", "Nowhere"],
            &["--preset", "choose one of HOQU"],
        ),
        (&["integration", "create", "--advertiser", own], &["--name: write a name"]),
        (
            &["integration", "create", "--advertiser", own, "--name", "x", "--file", "/nowhere.toml"],
            &["--file: /nowhere.toml cannot be read"],
        ),
        (
            &["integration", "update", NOBODY, "--name", "x"],
            &["INTEGRATION_ID: there is no such integration"],
        ),
        (&["integration", "update", NOBODY, "--offer", "all"], &["--offer", "or none"]),
        (&["integration", "require-secret", NOBODY], &["INTEGRATION_ID: there is no such integration"]),
        (&["quarantine", "release", "--meaning", "hold"], &["<INBOUND_ID>..."]),
        (&["quarantine", "discard", NOBODY, "--reason", " "], &["--reason", "say why; it stays in the log"]),
        (&["conversion", "force-status", NOBODY, "paid", "--note", "x"], &["<STATUS>", "write one of hold"]),
        (
            &["conversion", "force-status", NOBODY, "hold", "--note", "x"],
            &["LEAD_ID: there is no such conversion"],
        ),
        (&["conversion", "force-status", NOBODY, "hold"], &["--note"]),
        (&["settle", "--from", "yesterday"], &["--from", "write a time such as 2026-11-01T00:00:00Z"]),
        (&["reprocess", NOBODY, "--clickhouse-url", "here"], &["--clickhouse-url"]),
    ];
    for (arguments, expected) in cases {
        let complaint = world.refuses(arguments);
        for part in *expected {
            assert!(complaint.contains(part), "{arguments:?}: {part:?} in {complaint}");
        }
    }
    assert_eq!(world.count(CHANGES).await, before, "nothing was changed");
}
