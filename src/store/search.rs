//! Lists for people: conditions, keyset pages, totals.

use deadpool_postgres::{Object, Pool, Transaction};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use super::error::StoreError;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};

/// A transaction that only reads, all of it as of one moment; PostgreSQL stops before callers do.
async fn snapshot(client: &mut Object) -> Result<Transaction<'_>, StoreError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    transaction.batch_execute("SET LOCAL statement_timeout = '15s'").await?;
    Ok(transaction)
}

/// The rows of one statement, of which there are few different ones: it stays prepared.
pub(super) async fn read_only(
    pool: &Pool,
    statement: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let mut client = pool.get().await?;
    let transaction = snapshot(&mut client).await?;
    let statement = transaction.prepare_cached(statement).await?;
    let rows = transaction.query(&statement, values).await?;
    transaction.commit().await?;
    Ok(rows)
}

/// What a list is read from, and by what it is ordered.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    pub selected: &'static str,
    pub from: &'static str,
    pub time: &'static str,
    pub id: &'static str,
}

/// One page, newest first, with the total where it is asked for.
pub async fn page<R: Positioned>(
    pool: &Pool,
    columns: Columns,
    mut search: Search,
    request: &PageRequest,
    read: fn(&Row) -> Result<R, StoreError>,
) -> Result<Page<R>, StoreError> {
    let Columns { selected, from, time, id } = columns;
    let mut client = pool.get().await?;
    // One snapshot, so that the total fits the page.
    let transaction = snapshot(&mut client).await?;
    let total = if request.with_total {
        let statement = format!("SELECT count(*) FROM {from}{}", search.where_clause());
        let count: i64 = transaction.query_one(&statement, &search.values()).await?.try_get(0)?;
        Some(count.unsigned_abs())
    } else {
        None
    };
    search.go_on_after(time, id, request.after);
    let limit = search.value(i64::try_from(request.rows + 1).unwrap_or(i64::MAX));
    let statement = format!(
        "SELECT {selected} FROM {from}{} ORDER BY {time} DESC, {id} DESC LIMIT ${limit}",
        search.where_clause()
    );
    let rows = transaction.query(&statement, &search.values()).await?;
    transaction.commit().await?;
    let rows = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::of_surplus(rows, request, total))
}

/// Conditions, and the values that stand in them as `$1`, `$2`, …
#[derive(Default)]
pub struct Search {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Search {
    /// Adds a value and says which number it has.
    pub fn value(&mut self, value: impl ToSql + Sync + Send + 'static) -> usize {
        self.values.push(Box::new(value));
        self.values.len()
    }

    pub fn condition(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    pub fn compare(&mut self, comparison: &'static str, value: Option<impl ToSql + Sync + Send + 'static>) {
        if let Some(value) = value {
            let number = self.value(value);
            self.conditions.push(format!("{comparison} ${number}"));
        }
    }

    fn compare_to(&mut self, column: &str, sign: &str, value: Option<impl ToSql + Sync + Send + 'static>) {
        if let Some(value) = value {
            let number = self.value(value);
            self.conditions.push(format!("{column} {sign} ${number}"));
        }
    }

    pub fn one_of(&mut self, column: &'static str, values: Vec<impl ToSql + Sync + Send + 'static>) {
        // One alone is compared by `=`: only then does an index also give the order of the page.
        if values.len() == 1 {
            self.compare_to(column, "=", values.into_iter().next());
        } else if !values.is_empty() {
            let number = self.value(values);
            self.conditions.push(format!("{column} = ANY(${number})"));
        }
    }

    pub(super) fn go_on_after(&mut self, time: &str, id: &str, after: Option<Position>) {
        if let Some(after) = after {
            let (time_number, id_number) = (self.value(after.time), self.value(after.id));
            self.conditions.push(format!("({time}, {id}) < (${time_number}, ${id_number})"));
        }
    }

    pub fn where_clause(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        }
    }

    pub fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}
