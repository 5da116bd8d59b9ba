//! One search of one table: conditions with named, typed parameters.
//!
//! Values reach ClickHouse beside the statement (`{name:Type}`), never inside it.

use chrono::{DateTime, Utc};
use clickhouse::query::Query;
use clickhouse::{Row, RowOwned, RowRead};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::fetch::{fetch_all, fetch_one};
use super::{TestRows, total};
use crate::event_log::EventLog;
use crate::graphql::paging::{Page, PageRequest};

/// What ClickHouse is told to stop after; callers wait a little longer.
const MAX_EXECUTION_SECONDS: &str = "15";
/// From so many rows on, they are read by several threads: a row of figures holds states, which take
/// long to read. ClickHouse's own measure is a hundred times this.
const ROWS_PER_THREAD: &str = "2048";

/// An id is made and its row written at the same time, by the clock of one node.
const NEAR_S: i64 = 60;

/// More pairs than this are not looked up one by one.
const MOST_PAIRS: usize = 16;

/// The table of a search, and the columns its rows are ordered by.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub name: &'static str,
    pub time_column: &'static str,
    pub id_column: &'static str,
}

#[derive(Debug, Clone)]
enum Parameter {
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<u16>),
    Number(u64),
    Micros(i64),
}

impl Serialize for Parameter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Texts(texts) => texts.serialize(serializer),
            Self::Numbers(numbers) => numbers.serialize(serializer),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Micros(micros) => serializer.serialize_i64(*micros),
        }
    }
}

/// What a search asks of its rows. Conditions on the time are written last, for whichever table is
/// read in the end.
#[derive(Debug, Clone)]
pub struct Search {
    table: Table,
    conditions: Vec<String>,
    parameters: Vec<(String, Parameter)>,
    /// Comparisons of the time column: sign and parameter.
    times: Vec<(&'static str, &'static str)>,
    /// The columns that conditions stand on, besides the time.
    columns: Vec<&'static str>,
    /// Conditions that say nothing new, and let ClickHouse skip rows by an index.
    hints: Vec<String>,
}

/// An SQL expression for a time given as a parameter in microseconds since 1970.
fn time_parameter(name: &str) -> String {
    format!("fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')")
}

impl Search {
    pub fn of(table: Table) -> Self {
        Self {
            table,
            conditions: Vec::new(),
            parameters: Vec::new(),
            times: Vec::new(),
            columns: Vec::new(),
            hints: Vec::new(),
        }
    }

    fn require(
        &mut self,
        column: &'static str,
        condition: String,
        name: impl Into<String>,
        value: Parameter,
    ) {
        self.columns.push(column);
        self.conditions.push(condition);
        self.parameters.push((name.into(), value));
    }

    /// A condition on a column, without parameters.
    pub fn where_is(&mut self, column: &'static str, condition: &'static str) {
        self.columns.push(column);
        self.conditions.push(condition.to_owned());
    }

    /// The columns that conditions stand on, besides the time.
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// One of these ids; none restricts nothing.
    pub fn id_in(&mut self, column: &'static str, ids: &[Uuid]) {
        if !ids.is_empty() {
            let ids = ids.iter().map(Uuid::to_string).collect();
            self.require(
                column,
                format!("{column} IN {{{column}:Array(UUID)}}"),
                column,
                Parameter::Texts(ids),
            );
        }
    }

    pub fn id_is(&mut self, column: &'static str, id: Option<Uuid>) {
        if let Some(id) = id {
            self.require(
                column,
                format!("{column} = {{{column}:UUID}}"),
                column,
                Parameter::Text(id.to_string()),
            );
        }
    }

    /// The id that the caller's scope demands, beside whatever a filter asks of the same column.
    pub fn scope_id_is(&mut self, column: &'static str, id: Uuid) {
        let name = format!("scope_{column}");
        self.require(column, format!("{column} = {{{name}:UUID}}"), name, Parameter::Text(id.to_string()));
    }

    /// What is asked for is of one of these partners and one of these offers, as conditions say
    /// already. Both may be everywhere in the log and their pairs nowhere.
    pub fn hint_at_pairs(&mut self, partners: &[Uuid], offers: &[Uuid]) {
        let pairs = partners.len() * offers.len();
        if pairs == 0 || pairs > MOST_PAIRS {
            return;
        }
        let mut terms = Vec::new();
        for (partner, offer) in
            partners.iter().flat_map(|partner| offers.iter().map(move |offer| (partner, offer)))
        {
            let names = ["partner", "offer"].map(|of| format!("pair_{of}_{}", terms.len()));
            terms.push(format!("sipHash64({{{}:UUID}}, {{{}:UUID}})", names[0], names[1]));
            let values = [partner, offer].map(|id| Parameter::Text(id.to_string()));
            self.parameters.extend(names.into_iter().zip(values));
        }
        self.hints.push(format!("sipHash64(partner_id, offer_id) IN ({})", terms.join(", ")));
    }

    pub fn code_in(&mut self, column: &'static str, codes: impl IntoIterator<Item = &'static str>) {
        let codes: Vec<String> = codes.into_iter().map(str::to_owned).collect();
        if !codes.is_empty() {
            self.require(
                column,
                format!("{column} IN {{{column}:Array(String)}}"),
                column,
                Parameter::Texts(codes),
            );
        }
    }

    pub fn number_in(&mut self, column: &'static str, numbers: &[u16]) {
        if !numbers.is_empty() {
            let numbers = Parameter::Numbers(numbers.to_vec());
            self.require(column, format!("{column} IN {{{column}:Array(UInt16)}}"), column, numbers);
        }
    }

    pub fn text_is(&mut self, column: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.require(
                column,
                format!("{column} = {{{column}:String}}"),
                column,
                Parameter::Text(text.to_owned()),
            );
        }
    }

    /// An item of a list, by its place from 1.
    pub fn item_is(&mut self, column: &'static str, place: usize, text: Option<&str>) {
        if let Some(text) = text {
            let name = format!("{column}_{place}");
            let condition = format!("{column}[{place}] = {{{name}:String}}");
            self.require(column, condition, name, Parameter::Text(text.to_owned()));
        }
    }

    /// Only rows of about the time in a UUIDv7: what cannot hold it is not read.
    pub fn near(&mut self, id: Uuid) {
        let Some(time) = id.get_timestamp() else { return };
        let seconds = i64::try_from(time.to_unix().0).unwrap_or(i64::MAX / 2_000_000);
        for (name, sign, seconds) in
            [("near_from", ">=", seconds - NEAR_S), ("near_to", "<=", seconds + NEAR_S)]
        {
            self.times.push((sign, name));
            self.parameters.push((name.into(), Parameter::Micros(seconds * 1_000_000)));
        }
    }

    /// One of these texts; none restricts nothing.
    pub fn text_in(&mut self, column: &'static str, texts: &[String]) {
        if !texts.is_empty() {
            let texts = Parameter::Texts(texts.to_vec());
            self.require(column, format!("{column} IN {{{column}:Array(String)}}"), column, texts);
        }
    }

    pub fn at_least(&mut self, column: &'static str, number: Option<u64>) {
        self.bounded(column, ">=", format!("{column}_least"), number);
    }

    pub fn at_most(&mut self, column: &'static str, number: Option<u64>) {
        self.bounded(column, "<=", format!("{column}_most"), number);
    }

    fn bounded(&mut self, column: &'static str, sign: &str, name: String, number: Option<u64>) {
        if let Some(number) = number {
            let condition = format!("{column} {sign} {{{name}:UInt64}}");
            self.require(column, condition, name, Parameter::Number(number));
        }
    }

    /// What people have at hand of a row: an id that stands in one of `ids`, or a text that stands in
    /// one of `texts`.
    pub fn finds(&mut self, ids: &[&'static str], texts: &[&'static str], sought: Option<&str>) {
        let Some(sought) = sought else { return };
        let is_id = Uuid::try_parse(sought).is_ok();
        let of_ids =
            ids.iter().filter(|_| is_id).map(|column| format!("{column} = toUUID({{sought:String}})"));
        let of_texts = texts.iter().map(|column| format!("{column} = {{sought:String}}"));
        let condition = of_ids.chain(of_texts).collect::<Vec<_>>().join(" OR ");
        self.columns.extend(ids.iter().chain(texts));
        self.conditions.push(format!("({})", if condition.is_empty() { "false" } else { &condition }));
        self.parameters.push(("sought".into(), Parameter::Text(sought.to_owned())));
    }

    /// From `from` on and before `to`.
    pub fn between(&mut self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) {
        for (name, sign, time) in [("time_from", ">=", from), ("time_to", "<", to)] {
            if let Some(time) = time {
                self.times.push((sign, name));
                self.parameters.push((name.to_owned(), Parameter::Micros(time.timestamp_micros())));
            }
        }
    }

    pub fn tests(&mut self, tests: TestRows) {
        match tests {
            TestRows::Included => {}
            TestRows::LeftOut => self.where_is("is_test", "NOT is_test"),
            TestRows::Only => self.where_is("is_test", "is_test"),
        }
    }

    /// The page, newest first, and the total where it is asked for.
    pub async fn page<R>(
        self,
        log: &EventLog,
        request: &PageRequest,
    ) -> Result<Page<R>, clickhouse::error::Error>
    where
        R: Row + RowOwned + RowRead,
    {
        let rows = fetch_all::<R>(self.rows(log, request));
        if request.with_total {
            let total = fetch_one::<u64>(self.total(log));
            let (rows, total) = tokio::try_join!(rows, total)?;
            Ok(Page::of_surplus(rows, request, Some(total)))
        } else {
            Ok(Page::of_surplus(rows.await?, request, None))
        }
    }

    fn rows(&self, log: &EventLog, request: &PageRequest) -> Query {
        let Table { name, time_column, id_column } = self.table;
        let mut conditions = self.conditions();
        conditions.extend(self.hints.iter().cloned());
        if request.after.is_some() {
            let time = time_parameter("after_time");
            // The second says nothing new, but lets ClickHouse skip what is newer by its index.
            conditions.push(format!("({time_column}, {id_column}) < ({time}, {{after_id:UUID}})"));
            conditions.push(format!("{time_column} <= {time}"));
        }
        let statement = format!(
            "SELECT ?fields FROM {name}{} ORDER BY {time_column} DESC, {id_column} DESC LIMIT {{row_limit:UInt64}}",
            where_clause(&conditions)
        );
        let mut query = self.bind(log.client().query(&statement)).param("row_limit", request.rows + 1);
        if let Some(after) = request.after {
            query = query
                .param("after_time", after.time.timestamp_micros())
                .param("after_id", after.id.to_string());
        }
        query
    }

    /// A statement of the caller's own over the rows that are searched for: `select` is what stands
    /// before `FROM`, `rest` what follows the conditions.
    pub fn statement(&self, log: &EventLog, select: &str, rest: &str) -> Query {
        self.bind(log.client().query(&format!("{select} FROM {}{rest}", self.from())))
    }

    /// The table with the conditions: what stands after `FROM`.
    pub fn from(&self) -> String {
        format!("{}{}", self.table.name, where_clause(&self.conditions()))
    }

    pub fn table(&self) -> Table {
        self.table
    }

    /// All conditions, those on the time included.
    pub fn conditions(&self) -> Vec<String> {
        let column = self.table.time_column;
        let times = self.times.iter().map(|(sign, name)| format!("{column} {sign} {}", time_parameter(name)));
        self.conditions.iter().cloned().chain(times).collect()
    }

    /// Conditions on everything but the time.
    pub fn conditions_beside_time(&self) -> Vec<String> {
        self.conditions.clone()
    }

    /// The times that the column is compared with by this sign, as expressions; within what a
    /// `DateTime` can hold, so that days and minutes can be made of them.
    pub fn bounds(&self, sign: &str) -> Vec<String> {
        let compared = self.times.iter().filter(|(with, _)| *with == sign);
        let end = |day: &str| format!("toDateTime64('{day} 00:00:00', 6, 'UTC')");
        compared
            .map(|(_, name)| {
                let time = time_parameter(name);
                format!("least(greatest({time}, {}), {})", end("1970-01-01"), end("2105-01-01"))
            })
            .collect()
    }

    /// Only what was logged at this time or later; the filter's own times stand beside it.
    pub fn not_before(&mut self, time: DateTime<Utc>) {
        self.times.push((">=", "not_before"));
        self.parameters.push(("not_before".into(), Parameter::Micros(time.timestamp_micros())));
    }

    /// An id past this one, in the order of their texts: ClickHouse's own order of UUIDs is not
    /// that of their time.
    pub fn id_past(&mut self, column: &'static str, id: Uuid) {
        let name = format!("past_{column}");
        self.require(
            column,
            format!("toString({column}) > {{{name}:String}}"),
            name,
            Parameter::Text(id.to_string()),
        );
    }

    fn total(&self, log: &EventLog) -> Query {
        self.bind(log.client().query(&total::statement(self)))
    }

    /// Gives a statement the values of the conditions.
    pub fn bind(&self, query: Query) -> Query {
        let query = query
            .with_setting("max_execution_time", MAX_EXECUTION_SECONDS)
            .with_setting("merge_tree_min_rows_for_concurrent_read", ROWS_PER_THREAD)
            .with_setting("merge_tree_min_bytes_for_concurrent_read", "1");
        self.parameters.iter().fold(query, |query, (name, value)| query.param(name, value))
    }
}

pub fn where_clause(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// Reads a code column into its enum. A code that this version does not know fails the query:
/// a newer node has written it.
pub fn code<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    from_code: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    from_code(&text)
        .ok_or_else(|| D::Error::custom(format!("the log holds the code {text:?}, unknown to this version")))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::graphql::paging::Position;

    const TABLE: Table = Table { name: "attempts", time_column: "started_at", id_column: "attempt_id" };

    fn log() -> EventLog {
        EventLog::new(&Url::parse("http://localhost:1/x").unwrap())
    }

    fn statement(search: &Search, after: Option<Position>) -> String {
        let request = PageRequest { rows: 50, after, with_total: false };
        search.rows(&log(), &request).sql_display().to_string()
    }

    #[test]
    fn nothing_asked_restricts_nothing() {
        let mut search = Search::of(TABLE);
        search.id_in("offer_id", &[]);
        search.code_in("outcome", []);
        search.number_in("response_code", &[]);
        search.id_is("lead_id", None);
        search.text_is("txid", None);
        search.between(None, None);
        search.tests(TestRows::Included);
        let expected =
            "SELECT ?fields FROM attempts ORDER BY started_at DESC, attempt_id DESC LIMIT {row_limit:UInt64}";
        assert_eq!(statement(&search, None), expected);
    }

    #[test]
    fn values_stay_out_of_the_statement() {
        let mut search = Search::of(TABLE);
        search.text_is("txid", Some("' OR 1 = 1 --?"));
        search.scope_id_is("partner_id", Uuid::from_u128(1));
        search.id_in("partner_id", &[Uuid::from_u128(2)]);
        let position = Position { time: DateTime::UNIX_EPOCH, id: Uuid::nil() };
        let expected = "SELECT ?fields FROM attempts WHERE txid = {txid:String} \
             AND partner_id = {scope_partner_id:UUID} AND partner_id IN {partner_id:Array(UUID)} \
             AND (started_at, attempt_id) < (fromUnixTimestamp64Micro({after_time:Int64}, 'UTC'), {after_id:UUID}) \
             AND started_at <= fromUnixTimestamp64Micro({after_time:Int64}, 'UTC') \
             ORDER BY started_at DESC, attempt_id DESC LIMIT {row_limit:UInt64}";
        assert_eq!(statement(&search, Some(position)), expected);
    }
}
