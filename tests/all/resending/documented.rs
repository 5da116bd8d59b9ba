//! The commands of docs/resending.md, as they stand there.

use std::path::Path;
use std::process::Command;

use ricochet::domain::event::Event;

use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

fn script() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/resending.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> =
        text.split("```bash\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "docs/resending.md has few commands");
    blocks.join("\n")
}

#[actix_web::test]
async fn the_documented_commands_resend_send_late_and_cancel() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("404 Not Found")).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 3).await;
    world.attempts(&server, 3).await;
    let postback = world.only_postback().await;
    tracker.behave(OK);

    let program = Path::new(env!("CARGO_BIN_EXE_ricochet")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let commands = format!("set -eu -o pipefail\n{}", script());
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(commands.replace("https://tracker.example", &tracker.url)).env("PATH", path);
    bash.env("DATABASE_URL", &world.databases.database_url).env("no_proxy", "127.0.0.1");
    bash.env("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8");
    bash.env("RICOCHET_URL", server.url("")).env("RICOCHET_TOKEN", &world.owner_token);
    bash.env("POSTBACK", postback).env("PARTNER", world.partner.to_string());
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "3 deliveries would be sent again",
        "done, 3 made, 0 hastened, of 3 looked at",
        "sent again as",
        "late postbacks would be sent",
        "done, 3 made",
        "cancelled",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    world.until_settled().await;
    // Refused, resent, one resent as it was, and each told late to the new postback.
    assert_eq!(tracker.received().len(), 3 + 3 + 1 + 3, "{said}");
}
