//! Questions by the dice, and the answer to each by going through the rows.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Duration, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use ricochet::graphql::scope::Grant;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::rows::id;
use super::super::stage::Stage;
use crate::chaos::dice::Dice;

/// Zones with and without summer time, of whole hours and of others; in the range of the tests the
/// clocks of the first two are changed, Lord Howe's by half an hour.
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/New_York",
    "Asia/Kathmandu",
    "UTC",
    "America/Sao_Paulo",
];

const BUCKETS: [&str; 6] = ["MINUTE", "FIVE_MINUTES", "HOUR", "DAY", "WEEK", "MONTH"];

/// The range of all rows.
pub const FROM: &str = "2026-03-25T00:00:00Z";
const RANGE_DAYS: u64 = 14;

pub fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
    println!("SEED={seed}");
    seed
}

pub fn time(dice: &mut Dice) -> DateTime<Utc> {
    let from: DateTime<Utc> = FROM.parse().unwrap();
    // Some right on a boundary.
    let micros = match dice.within(0..4) {
        0 => dice.within(0..RANGE_DAYS * 24 * 12) * 300_000_000,
        _ => dice.within(0..RANGE_DAYS * 86_400_000_000),
    };
    from + Duration::microseconds(i64::try_from(micros).unwrap())
}

pub fn one_of<T: Copy>(dice: &mut Dice, choices: &[T]) -> T {
    choices[usize::try_from(dice.within(0..choices.len() as u64)).unwrap()]
}

pub fn some_id(dice: &mut Dice, most: u64) -> Uuid {
    id(u128::from(dice.within(1..most + 1)))
}

/// A dimension: its name, the field of the answer, and its value in a row.
pub type Dimension<R> = (&'static str, &'static str, fn(&R) -> Value);

/// A code as the API shows it.
pub fn code(code: &str) -> Value {
    if code.is_empty() { Value::Null } else { json!(code.to_uppercase()) }
}

pub fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// A part of the filter: how it is written, and what it lets through.
pub struct Condition<R> {
    pub written: String,
    pub lets_through: Box<dyn Fn(&R) -> bool>,
}

pub struct Question<R: 'static> {
    pub dimensions: Vec<Dimension<R>>,
    pub by_hour: bool,
    pub bucket: Option<&'static str>,
    pub zone: &'static str,
    pub conditions: Vec<Condition<R>>,
}

impl<R> Question<R> {
    pub fn throw(
        dice: &mut Dice,
        dimensions: &[Dimension<R>],
        time_of: fn(&R) -> DateTime<Utc>,
        mut conditions: Vec<Condition<R>>,
    ) -> Self {
        let most = dice.within(0..4);
        let mut chosen: Vec<Dimension<R>> = Vec::new();
        for _ in 0..most {
            let dimension = one_of(dice, dimensions);
            if chosen.iter().all(|(name, ..)| *name != dimension.0) {
                chosen.push(dimension);
            }
        }
        let bucket = (dice.within(0..3) > 0).then(|| one_of(dice, &BUCKETS));
        let (one, other) = (time(dice), time(dice));
        let (from, to) = (one.min(other), one.max(other) + TimeDelta::microseconds(1));
        if bucket.is_some() || dice.within(0..2) == 0 {
            let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            conditions.push(Condition {
                written: format!("from: {:?}, to: {:?}", shown(from), shown(to)),
                lets_through: Box::new(move |row| (from..to).contains(&time_of(row))),
            });
        }
        Self {
            dimensions: chosen,
            by_hour: dice.within(0..4) == 0,
            bucket,
            zone: one_of(dice, &ZONES),
            conditions,
        }
    }

    /// The arguments; more may follow.
    pub fn written(&self) -> String {
        let filter: Vec<&str> = self.conditions.iter().map(|condition| condition.written.as_str()).collect();
        let mut names: Vec<&str> = self.dimensions.iter().map(|(name, ..)| *name).collect();
        names.extend(self.by_hour.then_some("HOUR_OF_DAY"));
        let bucket = self.bucket.map(|bucket| format!("bucket: {bucket}, ")).unwrap_or_default();
        format!(
            "filter: {{ {} }}, groupBy: [{}], {bucket}timeZone: {:?}",
            filter.join(", "),
            names.join(", "),
            self.zone
        )
    }

    pub fn fields(&self) -> String {
        let fields: Vec<&str> = self.dimensions.iter().map(|(_, field, _)| *field).collect();
        format!("{} hourOfDay bucketLocal", fields.join(" "))
    }

    /// The key of a row of the answer.
    pub fn key_of_answer(&self, row: &Value) -> String {
        let mut key: Vec<Value> = self.dimensions.iter().map(|(_, field, _)| row[field].clone()).collect();
        key.extend([row["hourOfDay"].clone(), row["bucketLocal"].clone()]);
        Value::from(key).to_string()
    }

    /// The rows of each group and bucket.
    pub fn groups<'a>(
        &self,
        rows: &'a [R],
        time_of: fn(&R) -> DateTime<Utc>,
    ) -> BTreeMap<String, Vec<&'a R>> {
        let mut groups: BTreeMap<String, Vec<&R>> = BTreeMap::new();
        if self.dimensions.is_empty() && !self.by_hour && self.bucket.is_none() {
            // All is one group, also where nothing is found.
            groups.insert(Value::from(vec![Value::Null, Value::Null]).to_string(), Vec::new());
        }
        for row in self.found(rows) {
            let clock = time_of(row).with_timezone(&self.zone.parse::<Tz>().unwrap());
            let mut key: Vec<Value> = self.dimensions.iter().map(|(_, _, value)| value(row)).collect();
            key.push(if self.by_hour { json!(clock.hour()) } else { Value::Null });
            key.push(self.bucket.map_or(Value::Null, |bucket| json!(bucket_of(bucket, clock))));
            groups.entry(Value::from(key).to_string()).or_default().push(row);
        }
        groups
    }

    pub fn found<'a>(&self, rows: &'a [R]) -> impl Iterator<Item = &'a R> {
        rows.iter().filter(|row| self.conditions.iter().all(|condition| (condition.lets_through)(row)))
    }
}

/// When the bucket of a moment begins, as its clock shows it: by the fields of the clock alone.
fn bucket_of(bucket: &str, clock: DateTime<Tz>) -> String {
    let day = clock.date_naive();
    let midnight = |day: chrono::NaiveDate| {
        let start = day.and_hms_opt(0, 0, 0).unwrap().and_local_timezone(clock.timezone());
        start.earliest().unwrap().to_rfc3339()
    };
    match bucket {
        "DAY" => midnight(day),
        "WEEK" => midnight(day - Duration::days(day.weekday().num_days_from_monday().into())),
        "MONTH" => midnight(day.with_day(1).unwrap()),
        _ => {
            let minutes = match bucket {
                "MINUTE" => 1,
                "FIVE_MINUTES" => 5,
                _ => 60,
            };
            let into = Duration::minutes((clock.minute() % minutes).into());
            let start = clock
                - into
                - Duration::seconds(clock.second().into())
                - Duration::nanoseconds(clock.nanosecond().into());
            // Lord Howe's clocks go back by half an hour within one: what is shown after that is
            // another bucket, from the change on.
            let start = match start.offset() == clock.offset() {
                true => start,
                false => start + into_the_change(start, clock),
            };
            start.to_rfc3339()
        }
    }
}

/// From `start` to the change of the clocks before `clock`.
fn into_the_change(start: DateTime<Tz>, clock: DateTime<Tz>) -> Duration {
    let minutes = (clock - start).num_minutes();
    let changed =
        (0..=minutes).find(|minute| (start + Duration::minutes(*minute)).offset() == clock.offset());
    Duration::minutes(changed.unwrap())
}

/// Sums by currency, as the API shows them.
pub fn sums<'a>(amounts: impl Iterator<Item = (&'a str, Option<Decimal>)>) -> Value {
    let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
    for (currency, amount) in amounts {
        if let Some(amount) = amount {
            *sums.entry(currency).or_default() += amount;
        }
    }
    let shown = sums.into_iter().filter(|(_, sum)| !sum.is_zero());
    Value::from(
        shown
            .map(|(currency, sum)| json!({ "currency": currency, "amount": sum.normalize().to_string() }))
            .collect::<Vec<_>>(),
    )
}

/// Amounts without the zeros behind them, wherever they stand.
pub fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            let plain_field = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("amount", Value::String(amount)) => {
                    (name.clone(), json!(amount.parse::<Decimal>().unwrap().normalize().to_string()))
                }
                _ => (name.clone(), plain(value)),
            };
            Value::Object(fields.iter().map(plain_field).collect())
        }
        other => other.clone(),
    }
}

/// Asks a question and holds every row, and the total, to what is counted here.
#[allow(clippy::too_many_arguments)]
pub async fn hold<R: 'static>(
    stage: &Stage,
    query: &str,
    arguments: &str,
    question: &Question<R>,
    rows: &[R],
    time_of: fn(&R) -> DateTime<Utc>,
    figures: &str,
    count: impl Fn(&[&R]) -> Value,
) {
    let (written, fields) = (question.written(), question.fields());
    let asked = format!(
        "{{ stats: {query}({written}{arguments}) {{ isCut groupCount total {{ {figures} }}
           rows {{ {fields} {figures} }} }} }}"
    );
    let answer = stage.data(Grant::Owner, &asked).await["stats"].clone();
    let expected = question.groups(rows, time_of);
    let mut seen = 0;
    for row in answer["rows"].as_array().unwrap() {
        let key = question.key_of_answer(row);
        let group = expected.get(&key).unwrap_or_else(|| panic!("{key} is nowhere: {asked}"));
        let mut found = plain(row);
        for (_, field, _) in &question.dimensions {
            found.as_object_mut().unwrap().shift_remove(*field);
        }
        for field in ["hourOfDay", "bucketLocal"] {
            found.as_object_mut().unwrap().shift_remove(field);
        }
        assert_same(&found, &count(group), &format!("{key}: {asked}"));
        seen += 1;
    }
    if answer["isCut"] == false {
        assert_eq!(seen, expected.len(), "{asked}");
    }
    let all: Vec<&R> = question.found(rows).collect();
    assert_same(&plain(&answer["total"]), &count(&all), &format!("total: {asked}"));
}

/// Equal; quantiles, which are given as a range, within it.
fn assert_same(found: &Value, expected: &Value, what: &str) {
    if let (Some(within), Some(number)) = (expected.get("within"), found.as_f64()) {
        let bound = |place: usize| within[place].as_f64().unwrap();
        assert!((bound(0)..=bound(1)).contains(&number), "{number} is not within {within}: {what}");
        return;
    }
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
            for (name, value) in found {
                assert_same(value, &expected[name], &format!("{name} of {what}"));
            }
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}
