//! Groups, their order, and the buckets of each: the SQL around the figures.

use std::collections::HashMap;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use clickhouse::error::Error;
use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::Dimension;
use crate::domain::time_bucket::Buckets;
use crate::domain::zone::Zone;
use crate::event_log::EventLog;
use crate::event_log::reader::fetch::{fetch_all, fetch_one};
use crate::event_log::reader::search::{Search, where_clause};

/// By how much a quantile may be off, of its own value.
pub const QUANTILE_ERROR: f64 = 0.01;

/// Into what the rows are put.
#[derive(Debug, Clone)]
pub struct Grouping {
    pub dimensions: Vec<Dimension>,
    pub buckets: Option<Buckets>,
    /// Whose clocks tell the hour of day.
    pub zone: Zone,
    /// The range that is asked for: where it lies, the zone's clocks are looked up.
    pub from: Option<DateTime<Utc>>,
    pub to: DateTime<Utc>,
    /// Most groups, whatever buckets each has.
    pub limit: usize,
}

/// By which expression of the figures groups are ordered.
#[derive(Debug, Clone)]
pub struct Order {
    pub by: &'static str,
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// A row of the answer, whatever its figures.
pub trait GroupRow: Row + RowOwned + RowRead + Default + Send + 'static {
    /// The values of the dimensions, as texts, in the order they were asked for.
    fn keys(&self) -> &[String];
    /// When its bucket begins, in seconds since 1970; 0 without buckets.
    fn bucket_start(&self) -> i64;
    /// A row of a group and bucket in which there is nothing.
    fn empty(keys: Vec<String>, bucket_start: i64) -> Self;
}

macro_rules! group_row {
    ($row:ident) => {
        impl GroupRow for $row {
            fn keys(&self) -> &[String] {
                &self.group_keys
            }

            fn bucket_start(&self) -> i64 {
                self.bucket_start
            }

            fn empty(group_keys: Vec<String>, bucket_start: i64) -> Self {
                Self { group_keys, bucket_start, ..Self::default() }
            }
        }
    };
}
pub(super) use group_row;

/// What was found, ordered by group, and within a group by time.
#[derive(Debug)]
pub struct Grouped<R> {
    pub rows: Vec<R>,
    /// The groups in their order, without what lies past the limit.
    pub groups: Vec<Vec<String>>,
    /// Whether there are more groups than the limit lets through.
    pub is_cut: bool,
}

impl<R: GroupRow> Grouped<R> {
    /// With a row for every bucket of every group, also where there is nothing in it.
    pub fn without_gaps(self, buckets: &Buckets) -> Self {
        let mut rows = Vec::with_capacity(self.groups.len() * buckets.starts().len());
        let mut found = self.rows.into_iter().peekable();
        for keys in &self.groups {
            for start in buckets.starts() {
                let start = start.timestamp();
                let row = found.next_if(|row| row.keys() == keys && row.bucket_start() == start);
                rows.push(row.unwrap_or_else(|| R::empty(keys.clone(), start)));
            }
        }
        Self { rows, ..self }
    }
}

/// One reading of one table: what is read, and which figures are made of it.
#[derive(Debug, Clone)]
pub struct Aggregation {
    /// A table, or a statement in brackets.
    pub table: String,
    pub conditions: Vec<String>,
    /// The expression of a row's time, in seconds since 1970.
    pub seconds: &'static str,
    /// Name and expression of each.
    pub figures: Vec<(&'static str, String)>,
}

/// Readings whose figures add up, group by group; mostly there is one.
#[derive(Debug, Clone)]
pub struct Question {
    pub search: Search,
    pub parts: Vec<Aggregation>,
    /// How the figures of several parts are added, by the figure's name.
    pub added: fn(&str) -> String,
}

/// A question with the grouping of its answer.
#[derive(Debug, Clone)]
pub struct Stats<R> {
    question: Question,
    /// The same question without groups, where it is read in another way.
    ungrouped: Option<Question>,
    grouping: Grouping,
    row: PhantomData<R>,
}

impl<R: GroupRow> Stats<R> {
    pub(super) fn of(question: Question, grouping: Grouping) -> Self {
        Self { question, ungrouped: None, grouping, row: PhantomData }
    }

    pub(super) fn with_ungrouped(self, ungrouped: Question) -> Self {
        Self { ungrouped: Some(ungrouped), ..self }
    }

    pub fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// The groups with their figures, the first `limit` of them.
    pub async fn rows(&self, log: &EventLog, order: &Order) -> Result<Grouped<R>, Error> {
        self.question.groups(log, &self.grouping, order).await
    }

    /// The figures of everything that is found, the limit aside.
    pub async fn total(&self, log: &EventLog) -> Result<R, Error> {
        self.ungrouped.as_ref().unwrap_or(&self.question).total(log, &self.grouping).await
    }

    /// How many groups there are, the limit aside.
    pub async fn group_count(&self, log: &EventLog) -> Result<u64, Error> {
        self.question.count(log, &self.grouping).await
    }
}

#[derive(Debug, Row, Deserialize)]
struct GroupKeys {
    group_keys: Vec<String>,
}

impl Question {
    async fn groups<R: GroupRow>(
        &self,
        log: &EventLog,
        grouping: &Grouping,
        order: &Order,
    ) -> Result<Grouped<R>, Error> {
        if grouping.buckets.is_some() {
            return self.series(log, grouping, order).await;
        }
        let statement = self.ranked("?fields", grouping, order, grouping.limit + 1);
        let mut rows = fetch_all::<R>(self.search.bind(log.client().query(&statement))).await?;
        let is_cut = rows.len() > grouping.limit;
        rows.truncate(grouping.limit);
        let groups = rows.iter().map(|row| row.keys().to_vec()).collect();
        Ok(Grouped { rows, groups, is_cut })
    }

    /// The first groups, and all buckets of each.
    async fn series<R: GroupRow>(
        &self,
        log: &EventLog,
        grouping: &Grouping,
        order: &Order,
    ) -> Result<Grouped<R>, Error> {
        let (groups, is_cut) = if grouping.dimensions.is_empty() {
            (vec![Vec::new()], false)
        } else {
            let statement = self.ranked("?fields", grouping, order, grouping.limit + 1);
            let found = fetch_all::<GroupKeys>(self.search.bind(log.client().query(&statement))).await?;
            let is_cut = found.len() > grouping.limit;
            let groups = found.into_iter().take(grouping.limit).map(|group| group.group_keys);
            (groups.collect::<Vec<_>>(), is_cut)
        };
        let only = is_cut.then(|| {
            let ranked = self.ranked("group_keys", grouping, order, grouping.limit);
            format!(" WHERE group_keys IN ({ranked})")
        });
        let inner = self.inner(grouping, grouping.buckets.as_ref());
        let statement =
            format!("SELECT ?fields FROM ({inner}){} ORDER BY bucket_start", only.unwrap_or_default());
        let mut rows = fetch_all::<R>(self.search.bind(log.client().query(&statement))).await?;
        let places: HashMap<&[String], usize> =
            groups.iter().enumerate().map(|(place, keys)| (keys.as_slice(), place)).collect();
        // A group that came in between the two statements has no place yet.
        rows.retain(|row| places.contains_key(row.keys()));
        rows.sort_by_key(|row| places[row.keys()]);
        Ok(Grouped { rows, groups, is_cut })
    }

    async fn count(&self, log: &EventLog, grouping: &Grouping) -> Result<u64, Error> {
        let statement = format!("SELECT count() FROM ({})", self.inner(grouping, None));
        fetch_one::<u64>(self.search.bind(log.client().query(&statement))).await
    }

    async fn total<R: GroupRow>(&self, log: &EventLog, grouping: &Grouping) -> Result<R, Error> {
        let all = Grouping { dimensions: Vec::new(), buckets: None, ..grouping.clone() };
        let statement = format!("SELECT ?fields FROM ({})", self.inner(&all, None));
        fetch_one::<R>(self.search.bind(log.client().query(&statement))).await
    }

    /// The groups without their buckets, in order.
    fn ranked(&self, select: &str, grouping: &Grouping, order: &Order, limit: usize) -> String {
        let direction = match order.direction {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        };
        format!(
            "SELECT {select} FROM ({}) ORDER BY {} {direction} NULLS LAST, group_keys LIMIT {limit}",
            self.inner(grouping, None),
            order.by
        )
    }

    fn inner(&self, grouping: &Grouping, buckets: Option<&Buckets>) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| part.sql(grouping, buckets)).collect();
        let [first, ..] = self.parts.as_slice() else { unreachable!("a question reads something") };
        if let [part] = parts.as_slice() {
            return part.clone();
        }
        let added: Vec<String> =
            first.figures.iter().map(|(name, _)| format!("{} AS {name}", (self.added)(name))).collect();
        // The parts' figures are renamed: an aggregate of its own name would be one of itself.
        let renamed: Vec<String> =
            first.figures.iter().map(|(name, _)| format!("{name} AS part_{name}")).collect();
        let parts: Vec<String> = parts
            .iter()
            .map(|part| format!("SELECT group_keys, bucket_start, {} FROM ({part})", renamed.join(", ")))
            .collect();
        format!(
            "SELECT group_keys, bucket_start, {} FROM ({}) GROUP BY group_keys, bucket_start",
            added.join(", "),
            parts.join(" UNION ALL ")
        )
    }
}

impl Aggregation {
    fn sql(&self, grouping: &Grouping, buckets: Option<&Buckets>) -> String {
        let dimensions: Vec<String> =
            grouping.dimensions.iter().map(|dimension| self.dimension(*dimension, grouping)).collect();
        let keys: Vec<String> = grouping
            .dimensions
            .iter()
            .zip(&dimensions)
            .map(|(dimension, sql)| match dimension {
                dimension if dimension.is_id() => {
                    format!("if({sql} = toUUID('{NOBODY}'), '', toString({sql}))")
                }
                _ => format!("CAST(toString({sql}), 'String')"),
            })
            .collect();
        let bucket =
            buckets.map_or_else(|| "toInt64(0)".into(), |buckets| bucket_start(buckets, self.seconds));
        let figures: Vec<String> =
            self.figures.iter().map(|(name, figure)| format!("{figure} AS {name}")).collect();
        let grouped: Vec<String> = dimensions.into_iter().chain(buckets.map(|_| bucket.clone())).collect();
        let group_by =
            if grouped.is_empty() { String::new() } else { format!(" GROUP BY {}", grouped.join(", ")) };
        format!(
            "SELECT CAST([{}], 'Array(String)') AS group_keys, {bucket} AS bucket_start, {} FROM {}{}{group_by}",
            keys.join(", "),
            figures.join(", "),
            self.table,
            where_clause(&self.conditions),
        )
    }

    fn dimension(&self, dimension: Dimension, grouping: &Grouping) -> String {
        match dimension.column() {
            // An id may be missing; a group of its own is what misses it.
            Some(column) if dimension.is_id() => format!("ifNull({column}, toUUID('{NOBODY}'))"),
            Some(column) => column.to_owned(),
            None => hour_of_day(grouping, self.seconds),
        }
    }
}

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// When the bucket of a row begins, in seconds since 1970.
fn bucket_start(buckets: &Buckets, seconds: &str) -> String {
    let starts: Vec<i64> = buckets.starts().iter().map(DateTime::timestamp).collect();
    match (buckets.even_s(), starts.as_slice()) {
        (Some(length), [first, ..]) => {
            format!("toInt64({first} + intDiv(toInt64({seconds}) - {first}, {length}) * {length})")
        }
        _ => {
            let starts: Vec<String> = starts.iter().map(i64::to_string).collect();
            format!("toInt64(roundDown(toInt64({seconds}), [{}]))", starts.join(", "))
        }
    }
}

/// The hour that the zone's clocks show.
fn hour_of_day(grouping: &Grouping, seconds: &str) -> String {
    let zone = grouping.zone;
    // Nothing was logged before this.
    let from = grouping.from.unwrap_or(DateTime::UNIX_EPOCH).max(DateTime::UNIX_EPOCH);
    let changes = zone.changes(from, grouping.to);
    let mut offsets = Vec::new();
    let mut offset = zone.offset_s(from);
    for change in changes {
        offsets.push(format!("{seconds} < {}, {offset}", change.timestamp()));
        offset = zone.offset_s(change);
    }
    let offset = match offsets.is_empty() {
        true => offset.to_string(),
        false => format!("multiIf({}, {offset})", offsets.join(", ")),
    };
    format!("intDiv(positiveModulo(toInt64({seconds}) + ({offset}), 86400), 3600)")
}
