//! The dashboards as files: what is in them, without their looks.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

pub struct Dashboard {
    pub file: String,
    pub json: Value,
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clickhouse/grafana/dashboards")
}

/// All of them, by file name.
pub fn all() -> Vec<Dashboard> {
    let mut dashboards: Vec<Dashboard> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let json = serde_json::from_slice(&fs::read(&path).unwrap());
            Dashboard { json: json.unwrap_or_else(|error| panic!("{file}: {error}")), file }
        })
        .collect();
    dashboards.sort_by(|one, other| one.file.cmp(&other.file));
    assert_eq!(dashboards.len(), 5);
    dashboards
}

impl Dashboard {
    pub fn uid(&self) -> &str {
        self.json["uid"].as_str().unwrap()
    }

    /// Panels that show something, not rows.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.json["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
    }

    /// Panel and target, of those asked by a kind of data source.
    pub fn targets(&self, data_source: &str) -> Vec<(&Value, &Value)> {
        self.panels()
            .flat_map(|panel| panel["targets"].as_array().unwrap().iter().map(move |target| (panel, target)))
            .filter(|(_, target)| target["datasource"]["type"] == data_source)
            .collect()
    }

    pub fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().unwrap()
    }

    /// `file: panel`, for messages.
    pub fn place(&self, panel: &Value) -> String {
        format!("{}: {}", self.file, panel["title"])
    }
}
