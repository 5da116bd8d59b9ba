//! What is to be known again in an answer, and who may see it.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use ricochet::graphql::scope::Grant;
use serde_json::Value;

/// Who may see a thing, besides the owner: roles such as `a1`, `p2`, and `bi` for who reads all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    roles: Vec<String>,
    /// Shown to those who may change things only, and to nobody who reads.
    to_hands: bool,
}

impl Audience {
    /// Roles one behind the other, such as `a1p2`, with a `!` where it is for hands only.
    fn of(roles: &str) -> Self {
        let each = roles.trim_end_matches('!').as_bytes().chunks(2);
        let each = each.map(|role| String::from_utf8(role.to_vec()).unwrap());
        Self { roles: each.collect(), to_hands: roles.ends_with('!') }
    }

    pub fn includes(&self, role: &str) -> bool {
        role == "bi" || self.roles.iter().any(|other| other == role)
    }

    /// What who only reads is not shown though it is in its scope.
    pub fn is_hidden_from(&self, grant: Grant) -> bool {
        self.to_hands && matches!(grant, Grant::Bi(_))
    }
}

/// Every marker is another. `roles` are always as in [`Audience::of`].
#[derive(Default)]
pub struct Markers(BTreeMap<String, Audience>);

impl Markers {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Audience)> {
        self.0.iter().map(|(marker, audience)| (marker.as_str(), audience))
    }

    /// Something that is a marker as it stands, such as an id.
    pub fn known(&mut self, marker: &str, roles: &str) {
        let before = self.0.insert(marker.to_owned(), Audience::of(roles));
        assert_eq!(before, None, "{marker} is a marker already");
    }

    /// A text.
    pub fn text(&mut self, name: &str, roles: &str) -> String {
        let marker = format!("mk{name}{}{}km", self.0.len(), roles.trim_end_matches('!'));
        self.known(&marker, roles);
        marker
    }

    /// A value that is a marker in the field of this name: a short text or number may stand anywhere.
    pub fn field(&mut self, field: &str, value: impl Into<Value>, roles: &str) {
        let value: Value = value.into();
        self.known(&format!("\"{field}\":{value}"), roles);
    }

    /// A number, to be put into the field of this name. It has three digits, and no other has it.
    pub fn number(&mut self, field: &str, roles: &str) -> i32 {
        let number = self.next();
        self.field(field, number, roles);
        number
    }

    /// The same with a half.
    pub fn rate(&mut self, field: &str, roles: &str) -> f64 {
        let rate = f64::from(self.next()) + 0.5;
        self.field(field, rate, roles);
        rate
    }

    /// An exact decimal of 1 to 100.
    pub fn fraction(&mut self, field: &str, roles: &str) -> String {
        let fraction = format!("31.{:04}", self.next());
        self.field(field, fraction.clone(), roles);
        fraction
    }

    /// A time that nothing else happens at.
    pub fn time(&mut self, roles: &str) -> DateTime<Utc> {
        let base: DateTime<Utc> = "2031-01-01T00:00:00Z".parse().unwrap();
        let time = base + Duration::seconds(self.next().into());
        self.known(&time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(), roles);
        time
    }

    pub fn next(&self) -> i32 {
        let next = 100 + i32::try_from(self.0.len()).unwrap();
        assert!(next < 1_000, "numbers are told apart by their three digits; widen them");
        next
    }
}
