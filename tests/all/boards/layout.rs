//! What a person would stumble over: links that lead nowhere, panels without words, panels on top
//! of each other.

use std::collections::BTreeSet;

use super::dashboards::{self, Dashboard};

#[test]
fn every_panel_has_words_a_unit_and_a_place_of_its_own() {
    let mut uids = BTreeSet::new();
    for dashboard in dashboards::all() {
        assert!(uids.insert(dashboard.uid().to_owned()), "{} is there twice", dashboard.uid());
        assert_eq!(dashboard.json["tags"][0], "ricochet", "{}", dashboard.file);
        assert_ne!(dashboard.json["description"].as_str().unwrap(), "", "{}", dashboard.file);
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        let mut titles = BTreeSet::new();
        for panel in dashboard.json["panels"].as_array().unwrap() {
            let place = dashboard.place(panel);
            assert!(ids.insert(panel["id"].as_i64().unwrap()), "{place}: its id is there twice");
            let side = |name: &str| panel["gridPos"][name].as_i64().unwrap();
            assert!(side("x") + side("w") <= 24, "{place}: wider than the page");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(cells.insert((x, y)), "{place}: on top of another");
                }
            }
        }
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            let title = panel["title"].as_str().unwrap();
            assert!(
                !title.is_empty() && titles.insert(title.to_owned()),
                "{place}: its title is there twice"
            );
            assert!(
                panel["description"].as_str().is_some_and(|text| text.len() > 10),
                "{place}: no description"
            );
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{place}: no unit");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{place}: asks nothing");
        }
    }
}

/// `/d/UID?var-NAME=…`: the dashboard and the variable.
fn links_of(dashboard: &Dashboard) -> Vec<(String, String)> {
    let text = dashboard.json.to_string();
    text.split("\"/d/")
        .skip(1)
        .map(|rest| {
            let (uid, rest) = rest.split_once("?var-").expect("a link sets a variable");
            (uid.to_owned(), rest.split('=').next().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn links_lead_to_dashboards_that_take_their_variable() {
    let dashboards = dashboards::all();
    let mut links = 0;
    for dashboard in &dashboards {
        for (uid, variable) in links_of(dashboard) {
            let target = dashboards.iter().find(|other| other.uid() == uid);
            let target = target.unwrap_or_else(|| panic!("{}: no dashboard is called {uid}", dashboard.file));
            let takes_it = target.variables().iter().any(|known| known["name"] == variable.as_str());
            assert!(takes_it, "{}: {uid} has no variable {variable}", dashboard.file);
            links += 1;
        }
    }
    assert!(links >= 5, "{links}");
}

#[test]
fn outcomes_statuses_and_verdicts_have_one_colour_everywhere() {
    let mut colours = std::collections::BTreeMap::new();
    for dashboard in dashboards::all() {
        for panel in dashboard.panels() {
            for rule in panel["fieldConfig"]["overrides"].as_array().unwrap() {
                for property in rule["properties"].as_array().unwrap() {
                    if property["id"] == "color" && property["value"]["mode"] == "fixed" {
                        let name = rule["matcher"]["options"].as_str().unwrap().to_owned();
                        let colour = property["value"]["fixedColor"].as_str().unwrap().to_owned();
                        let known = colours.entry(name.clone()).or_insert_with(|| colour.clone());
                        assert_eq!(*known, colour, "{}: {name}", dashboard.place(panel));
                    }
                }
            }
        }
    }
    for name in ["delivered", "retrying", "failed", "skipped", "hold", "approved", "rejected", "quarantined"]
    {
        assert!(colours.contains_key(name), "{name} has no colour");
    }
}
