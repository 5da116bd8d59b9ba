//! Conversions as lines of a file, in the shape that ClickHouse gives to the lines of the logs.

use actix_web::web::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::event_log::reader::export::{Column, Dataset, ExportFormat, Kind};
use crate::graphql::scope::Scope;
use crate::store::conversion_search::ConversionRecord;

/// What writes the lines.
pub struct Lines {
    columns: Vec<Column>,
    format: ExportFormat,
}

impl Lines {
    /// Of what `scope` sees.
    pub fn of(scope: Scope, format: ExportFormat) -> Self {
        let columns = Dataset::Conversions.columns().iter().filter(|column| column.is_for(scope));
        Self { columns: columns.copied().collect(), format }
    }

    /// What stands before the first line.
    pub fn beginning(&self) -> Bytes {
        match self.format {
            ExportFormat::Csv => csv_line(self.columns.iter().map(|column| column.name)).into(),
            ExportFormat::Ndjson | ExportFormat::Parquet => Bytes::new(),
        }
    }

    pub fn of_rows(&self, rows: &[ConversionRecord]) -> Bytes {
        let mut lines = Vec::new();
        for row in rows {
            match self.format {
                ExportFormat::Csv => {
                    lines.extend(csv_line(self.columns.iter().map(|column| in_csv(column, row))));
                }
                ExportFormat::Ndjson | ExportFormat::Parquet => {
                    let values =
                        self.columns.iter().map(|column| (column.name.to_owned(), value(column, row)));
                    let object = Value::Object(values.collect::<Map<_, _>>());
                    lines.extend(object.to_string().into_bytes());
                    lines.push(b'\n');
                }
            }
        }
        lines.into()
    }
}

fn csv_line<F: AsRef<[u8]>>(fields: impl Iterator<Item = F>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).expect("a Vec can always be written to");
    writer.into_inner().expect("a Vec can always be written to")
}

fn value(column: &Column, row: &ConversionRecord) -> Value {
    let time = |time: DateTime<Utc>| Value::from(time.to_rfc3339_opts(SecondsFormat::Micros, true));
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map_or(Value::Null, Value::from);
    let amount =
        |amount: Option<Decimal>| amount.map_or(Value::Null, |amount| amount.normalize().to_string().into());
    match column.name {
        "lead_id" => row.lead_id.to_string().into(),
        "advertiser_id" => row.advertiser_id.to_string().into(),
        "offer_id" => row.offer_id.to_string().into(),
        "partner_id" => row.partner_id.to_string().into(),
        "link_id" => row.link_id.to_string().into(),
        "click_id" => row.click_id.to_string().into(),
        "request_id" => text(Some(&row.request_id)),
        "customer_id" => text(row.customer_id.as_deref()),
        "action" => text(Some(&row.action)),
        "status" => row.status.code().into(),
        "amount" => amount(row.amount),
        "currency" => text(row.currency.as_deref()),
        "payout" => amount(row.payout),
        "payout_currency" => text(row.payout_currency.as_deref()),
        "comment" => text(Some(&row.comment)),
        "is_test" => row.is_test.into(),
        "created_at" => time(row.created_at),
        "updated_at" => time(row.updated_at),
        other => unreachable!("{other} is no column of conversions"),
    }
}

/// Text as a spreadsheet will not run it, as in the files of the logs.
fn in_csv(column: &Column, row: &ConversionRecord) -> String {
    let text = match value(column, row) {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    if column.kind == Kind::Text
        && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
        && !is_number(&text)
    {
        return format!("'{text}");
    }
    text
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && part.is_none_or(is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status::Status;
    use uuid::Uuid;

    fn row(comment: &str) -> ConversionRecord {
        let id = Uuid::nil();
        ConversionRecord {
            lead_id: id,
            advertiser_id: id,
            offer_id: id,
            partner_id: id,
            link_id: id,
            click_id: id,
            request_id: "r".into(),
            customer_id: None,
            action: "sale".into(),
            status: Status::Hold,
            amount: Some(Decimal::new(2500, 2)),
            currency: Some("USD".into()),
            payout: None,
            payout_currency: None,
            comment: comment.into(),
            is_test: false,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn every_column_has_a_value_and_no_spreadsheet_runs_it() {
        for format in [ExportFormat::Csv, ExportFormat::Ndjson] {
            assert!(!Lines::of(Scope::Everything, format).of_rows(&[row("x")]).is_empty());
        }
        for (comment, shown) in
            [("=1+1", "'=1+1"), ("-12.5", "-12.5"), ("-x", "'-x"), ("a,b", "\"a,b\""), ("+", "'+")]
        {
            let lines = Lines::of(Scope::Everything, ExportFormat::Csv).of_rows(&[row(comment)]);
            let text = String::from_utf8(lines.to_vec()).unwrap();
            assert!(text.contains(&format!(",USD,,,{shown},false,1970-01-01T00:00:00.000000Z,")), "{text}");
        }
    }
}
