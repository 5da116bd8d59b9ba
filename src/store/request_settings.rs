//! The request of a postback as it stands in the table `postbacks`.

use deadpool_postgres::GenericClient;
use serde_json::{Map, Value};
use tokio_postgres::Row;

use super::error::StoreError;
use crate::domain::ids::PostbackId;
use crate::domain::request::Method;
use crate::domain::request_settings::{BodyKind, Fault, HeaderSetting, RequestSettings};

pub fn read(row: &Row) -> Result<RequestSettings, StoreError> {
    let method: String = row.try_get("method")?;
    let body_kind: String = row.try_get("body_kind")?;
    let headers: Vec<Map<String, Value>> = json(row, "headers")?;
    let header = |(name, value): (String, Value)| match value {
        Value::String(value) => Ok(HeaderSetting { name, value }),
        other => Err(StoreError::Unreadable(format!("postbacks.headers: {other}"))),
    };
    Ok(RequestSettings {
        method: Method::from_code(&method)
            .ok_or_else(|| StoreError::Unreadable(format!("postbacks.method: {method}")))?,
        url_template: row.try_get("url_template")?,
        headers: headers.into_iter().flatten().map(header).collect::<Result<_, _>>()?,
        body_kind: BodyKind::from_code(&body_kind)
            .ok_or_else(|| StoreError::Unreadable(format!("postbacks.body_kind: {body_kind}")))?,
        body_template: row.try_get("body_template")?,
        content_type: row.try_get("content_type")?,
        required_macros: row.try_get("required_macros")?,
        success_rules: json(row, "success_rules")?,
    })
}

/// Writes the request inside the caller's transaction; it has been compiled before.
pub async fn write(
    client: &impl GenericClient,
    id: PostbackId,
    settings: &RequestSettings,
) -> Result<(), StoreError> {
    let header = |HeaderSetting { name, value }: &HeaderSetting| {
        Map::from_iter([(name.clone(), value.clone().into())])
    };
    let headers: Vec<Map<String, Value>> = settings.headers.iter().map(header).collect();
    let headers = serde_json::to_value(headers).expect("texts are JSON");
    let rules = serde_json::to_value(&settings.success_rules).expect("rules are JSON");
    client
        .execute(
            "UPDATE postbacks SET method = $2, url_template = $3, headers = $4, body_kind = $5, body_template = $6,
                                  content_type = $7, required_macros = $8, success_rules = $9
             WHERE postback_id = $1",
            &[
                &id.0,
                &settings.method.code(),
                &settings.url_template,
                &headers,
                &settings.body_kind.code(),
                &settings.body_template,
                &settings.content_type,
                &settings.required_macros,
                &rules,
            ],
        )
        .await?;
    Ok(())
}

/// A stored request that this version cannot use.
pub fn unreadable(faults: &[Fault]) -> StoreError {
    let fault =
        faults.first().map_or_else(String::new, |fault| format!("{}: {}", fault.field, fault.message));
    StoreError::Unreadable(format!("postbacks.{fault}"))
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T, StoreError> {
    serde_json::from_value(row.try_get(column)?)
        .map_err(|error| StoreError::Unreadable(format!("postbacks.{column}: {error}")))
}
