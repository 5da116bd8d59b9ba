//! `demo.json`: where the demo is and what opens its doors.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoFile {
    pub base_url: String,
    pub owner_token: String,
    pub bi_token: String,
    pub database_url: String,
    pub clickhouse_url: String,
    pub tracker_url: String,
    pub advertisers: Vec<DemoAdvertiser>,
    pub partners: Vec<DemoPartner>,
    pub offers: Vec<DemoOffer>,
    pub links: Vec<DemoLink>,
    pub postbacks: Vec<DemoPostback>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoAdvertiser {
    pub id: Uuid,
    pub name: String,
    pub api_key: String,
    pub token: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoPartner {
    pub id: Uuid,
    pub name: String,
    pub token: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoOffer {
    pub id: Uuid,
    pub name: String,
    pub advertiser_id: Uuid,
    pub payout_model: String,
    pub actions: Vec<DemoAction>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoAction {
    pub name: String,
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoLink {
    pub id: Uuid,
    pub url: String,
    pub offer_id: Uuid,
    pub partner_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoPostback {
    pub id: Uuid,
    /// `None`: an advertiser's.
    pub partner_id: Option<Uuid>,
    pub url: String,
    pub events: Vec<String>,
}

impl DemoFile {
    /// The file of an earlier start; `None` where there is none.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("{} cannot be read", path.display()))?,
        };
        let file = serde_json::from_str(&text).with_context(|| {
            format!("{} is not what a former start wrote; remove it to have it made again", path.display())
        })?;
        Ok(Some(file))
    }

    /// Writes the file whole or not at all, readable by its owner only: it holds keys.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let draft = path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            std::fs::rename(&draft, path)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Sets where the server is now.
    pub fn move_to(&mut self, base_url: &str) {
        self.base_url = base_url.to_owned();
        for link in &mut self.links {
            link.url = format!("{base_url}/click/{}", link.id);
        }
    }
}
