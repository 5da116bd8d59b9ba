//! What conversions and answers look like: the components of the document.

use serde_json::{Map, Value, json};

use crate::domain::fields::NAMES;
use crate::domain::reconciliation::RowResult;
use crate::domain::status::Status;

pub fn about_field(name: &str, aliases: &[&str]) -> String {
    let about = match name {
        "click_id" => "Our click id or the partner's own",
        "request_id" => "Your id of the conversion; the same id is the same conversion",
        "action" => "Name of the offer's action",
        "status" => "hold, approved, rejected or another known word; activate and deactivate for customers",
        "price" => "Full sum before commission, such as 25.00",
        "currency" => "ISO 4217",
        "customer_id" => "Your id of a recurring payer",
        "comment" => "Free text",
        "datetime" => "When it happened: RFC 3339 or Unix seconds",
        "test" => "1 makes a test conversion",
        _ => "Free text, where the click has none of its own",
    };
    match aliases {
        [] => about.to_owned(),
        aliases => format!("{about}. Also: {}", aliases.join(", ")),
    }
}

pub fn field_schema(name: &str) -> Value {
    match name {
        "price" => json!({ "type": ["string", "number"], "examples": ["25.00"] }),
        "test" => json!({ "enum": ["0", "1", "false", "true", 0, 1, true, false] }),
        "datetime" => json!({ "type": ["string", "integer"], "examples": ["2025-08-04T12:00:00Z"] }),
        "currency" => json!({ "type": "string", "examples": ["USD"] }),
        _ => json!({ "type": ["string", "number"] }),
    }
}

pub fn security_schemes() -> Value {
    json!({
        "apiKey": { "type": "http", "scheme": "bearer", "description": "API key of an advertiser" },
        "token": { "type": "http", "scheme": "bearer", "description": "Token of the GraphQL API" },
    })
}

pub fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let mut fields = Map::new();
    for (name, aliases) in NAMES {
        let mut schema = field_schema(name);
        schema["description"] = about_field(name, aliases).into();
        fields.insert((*name).to_owned(), schema);
        for alias in *aliases {
            fields.insert((*alias).to_owned(), field_schema(name));
        }
    }
    fields.insert(
        "fields".into(),
        json!({ "type": "object", "description": "Custom fields, usable as {fields.NAME} in postbacks" }),
    );
    let statuses: Vec<&str> = Status::ALL.into_iter().map(Status::code).collect();
    let success = json!({
        "type": "object",
        "required": ["status", "lead_id", "rejected_by_conflict", "duplicate"],
        "properties": {
            "status": { "const": "success" },
            "lead_id": { "type": ["string", "null"], "format": "uuid" },
            "rejected_by_conflict": { "type": "boolean", "description": "The request changed nothing" },
            "duplicate": { "type": "boolean", "description": "The same request came before" },
            "conflict": { "type": "object", "properties": { "code": text, "message": text } },
            "customer_id": text,
            "active": { "type": "boolean" },
        },
    });
    let quarantined = json!({
        "type": "object",
        "required": ["status", "word", "message"],
        "properties": { "status": { "const": "quarantined" }, "word": text, "message": text },
    });
    let error = json!({
        "type": "object",
        "required": ["status", "errors"],
        "properties": {
            "status": { "const": "error" },
            "errors": { "type": "array", "items": {
                "type": "object", "required": ["field", "code", "message"],
                "properties": { "field": text, "code": text, "message": text },
            } },
        },
    });
    let of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let uuid = json!({ "type": "string", "format": "uuid" });
    let value = json!({ "type": ["string", "null"] });
    let next =
        json!({ "type": ["integer", "null"], "description": "`after` of the next page; null on the last" });
    let counts = |about: &str| json!({ "type": "object", "description": about, "additionalProperties": { "type": "integer" } });
    let results: Vec<&str> = RowResult::ALL.iter().map(|result| result.code()).collect();
    json!({
        "Conversion": {
            "type": "object",
            "description": format!(
                "Names are read in any case; what has another name is a custom field. Statuses: {}.",
                statuses.join(", ")
            ),
            "properties": fields,
            "additionalProperties": true,
        },
        "Success": success,
        "Quarantined": quarantined,
        "Error": error,
        "ItemResult": {
            "description": "The answer the item would have got by itself, with its status",
            "type": "object",
            "required": ["http_status", "status"],
            "properties": { "http_status": { "type": "integer" } },
            "anyOf": [of("Success"), of("Quarantined"), of("Error")],
        },
        "Click": {
            "type": "object",
            "required": ["click_id", "url"],
            "properties": { "click_id": { "type": "string", "format": "uuid" }, "url": text },
        },
        "Reconciliation": {
            "type": "object",
            "required": ["status", "reconciliation_id", "advertiser_id", "state", "created_at", "applied_at",
                         "totals", "applied", "remaining"],
            "properties": {
                "status": { "const": "success" },
                "reconciliation_id": uuid, "advertiser_id": uuid,
                "state": { "enum": ["shown", "applied"] },
                "created_at": { "type": "string", "format": "date-time" },
                "applied_at": { "type": ["string", "null"], "format": "date-time" },
                "totals": counts("Rows by what they come to"),
                "applied": counts("Rows that were applied, by what became of them"),
                "remaining": { "type": "integer", "description": "Rows that are still to be applied" },
                "rows": { "type": "array", "items": of("ReconciliationRow") },
                "next_after": next,
            },
        },
        "ReconciliationRows": {
            "type": "object",
            "required": ["rows", "next_after"],
            "properties": { "rows": { "type": "array", "items": of("ReconciliationRow") }, "next_after": next },
        },
        "ReconciliationRow": {
            "description": "Further members by result: changes, errors, code, message, word",
            "type": "object",
            "required": ["position", "line", "request_id", "lead_id", "result"],
            "properties": {
                "position": { "type": "integer" },
                "line": { "type": ["integer", "null"], "description": "null where the file has no such row" },
                "request_id": text,
                "lead_id": { "type": ["string", "null"], "format": "uuid" },
                "result": { "enum": results },
                "changes": { "type": "array", "items": {
                    "type": "object", "required": ["field", "from", "to"],
                    "properties": { "field": text, "from": value, "to": value },
                } },
                "applied": { "type": "string", "description": "What became of it" },
                "applied_details": { "type": ["object", "null"] },
            },
            "additionalProperties": true,
        },
        "Health": { "type": "object", "required": ["status"], "properties": { "status": text } },
        "GraphqlResult": { "type": ["object", "array"] },
        "OpenApi": { "type": "object" },
    })
}
