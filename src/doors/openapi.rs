//! `GET /openapi.json`: the table of doors as an OpenAPI 3.1 document.

mod schemas;

use actix_web::HttpResponse;
use serde_json::{Map, Value, json};

use self::schemas::{about_field, field_schema, schemas, security_schemes};
use super::exports;
use super::reconciliations::{PAGE_ROWS, SHOWN_ROWS};
use super::table::{Answer, Content, DOORS, Door, Group, Takes, Way};
use crate::domain::fields::NAMES;
use crate::event_log::reader::export::{Dataset, ExportFormat};

pub async fn document() -> HttpResponse {
    HttpResponse::Ok().json(openapi())
}

/// The document, as it also stands in `docs/openapi.json`.
pub fn openapi() -> Value {
    let paths: Map<String, Value> =
        DOORS.iter().map(|door| (door.path.to_owned(), path_item(door))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ricochet",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Server-to-server postback hub: clicks and conversions in, postbacks out.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": tag(Group::Conversions), "description": "An advertiser's server reports what happened." },
            { "name": tag(Group::Reconciliations), "description": "An advertiser's file is compared and applied." },
            { "name": tag(Group::Browser), "description": "The same from the visitor's browser." },
            { "name": tag(Group::Clicks), "description": "A partner's visitor arrives." },
            { "name": tag(Group::Exports), "description": "Logs as files." },
            { "name": tag(Group::Graphql), "description": "Everything that can be read and set." },
            { "name": tag(Group::Operations), "description": "For whoever keeps the server running." },
        ],
        "paths": paths,
        "components": { "securitySchemes": security_schemes(), "schemas": schemas() },
    })
}

/// As `docs/openapi.json` and `ricochet openapi` write it.
pub fn openapi_text() -> String {
    format!("{:#}\n", openapi())
}

fn tag(group: Group) -> &'static str {
    match group {
        Group::Conversions => "conversions",
        Group::Reconciliations => "reconciliations",
        Group::Browser => "browser",
        Group::Clicks => "clicks",
        Group::Exports => "exports",
        Group::Graphql => "graphql",
        Group::Operations => "operations",
    }
}

fn path_item(door: &Door) -> Value {
    let mut item = Map::new();
    let in_path: Vec<Value> = door
        .path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| parameter(name, "path", about_path_parameter(name), json!({ "type": "string" })))
        .collect();
    if !in_path.is_empty() {
        item.insert("parameters".into(), in_path.into());
    }
    for way in door.ways {
        item.insert(way.method.to_lowercase(), operation(way));
    }
    item.into()
}

fn about_path_parameter(name: &str) -> &'static str {
    match name {
        "api_key" => "API key of the advertiser; it never reaches a log",
        "integration_id" => "Id of the integration; whoever knows it can report, so keep it secret",
        "offer" => "Offer id",
        "link" => "Link id: one partner's way to one offer",
        "reconciliation_id" => "Id of the reconciliation, as the upload answered it",
        "dataset" => "postback-log, inbound-log, clicks or conversion-events",
        "hash" => "Hash of the script, as in its ETag",
        _ => "",
    }
}

fn operation(way: &Way) -> Value {
    let mut operation = json!({
        "operationId": way.operation, "tags": [tag(way.group)], "summary": way.summary,
    });
    if !way.description.is_empty() {
        operation["description"] = way.description.into();
    }
    let parameters: Vec<Value> = way.takes.iter().flat_map(|takes| parameters_of(*takes)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    for takes in way.takes {
        if let Some(body) = body_of(*takes) {
            operation["requestBody"] = body;
        }
        match takes {
            Takes::ApiKey => operation["security"] = json!([{ "apiKey": [] }]),
            Takes::Token => operation["security"] = json!([{ "token": [] }]),
            Takes::ApiKeyOrToken => operation["security"] = json!([{ "apiKey": [] }, { "token": [] }]),
            _ => {}
        }
    }
    let mut answers: Map<String, Value> = at_the_gate(way)
        .into_iter()
        .map(|(status, description)| (status.to_owned(), refusal(description)))
        .collect();
    answers.extend(way.answers.iter().map(|answer| (answer.status.to_owned(), response(answer))));
    answers.sort_keys();
    operation["responses"] = answers.into();
    operation
}

/// What [`super::access`] and [`super::limits`] may answer before the door is asked.
fn at_the_gate(way: &Way) -> Vec<(&'static str, &'static str)> {
    let bounds = [
        ("408", "The body did not come in time."),
        ("414", "The query string is too long."),
        ("431", "The headers are too many or too long."),
    ];
    match way.group {
        Group::Conversions => bounds.to_vec(),
        Group::Clicks => vec![bounds[1], bounds[2], ("429", "Too many requests of this address.")],
        Group::Exports => vec![bounds[1], bounds[2]],
        Group::Reconciliations | Group::Browser | Group::Graphql | Group::Operations => Vec::new(),
    }
}

fn refusal(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}

fn parameter(name: &str, place: &str, description: &str, schema: Value) -> Value {
    let mut parameter = json!({ "name": name, "in": place, "required": place == "path", "schema": schema });
    if !description.is_empty() {
        parameter["description"] = description.into();
    }
    parameter
}

fn parameters_of(takes: Takes) -> Vec<Value> {
    let query =
        |name: &str, description: &str| parameter(name, "query", description, json!({ "type": "string" }));
    match takes {
        Takes::ConversionQuery | Takes::BrowserQuery => NAMES
            .iter()
            .map(|(name, aliases)| {
                let mut one = parameter(name, "query", &about_field(name, aliases), field_schema(name));
                one["required"] = (takes == Takes::BrowserQuery && matches!(*name, "action" | "request_id")
                    || takes == Takes::ConversionQuery && matches!(*name, "click_id" | "status"))
                .into();
                one
            })
            .collect(),
        Takes::Strict => vec![
            parameter("strict", "query", "1: a conflict is answered with 409", json!({ "enum": ["0", "1"] })),
            parameter(
                "Prefer",
                "header",
                "handling=strict does the same (RFC 7240)",
                json!({ "type": "string", "examples": ["handling=strict"] }),
            ),
        ],
        Takes::Link => {
            let mut link = query("link", "Link id");
            link["required"] = true.into();
            vec![link]
        }
        Takes::Click => vec![
            query("clickid", "The partner's own click id; ours stands in where it is missing"),
            query("sub1", ""),
            query("sub2", ""),
            query("sub3", ""),
            query("sub4", ""),
            query("sub5", ""),
            parameter("format", "query", "json: answer instead of redirecting", json!({ "enum": ["json"] })),
        ],
        Takes::Secret => {
            vec![query("secret", "The integration's secret, where it has one; the body may bring it")]
        }
        Takes::ForeignQuery => vec![json!({
            "name": "parameters", "in": "query", "required": false, "style": "form", "explode": true,
            "description": "Whatever the foreign system sends, under its own names",
            "schema": { "type": "object", "additionalProperties": { "type": "string" } },
        })],
        Takes::ChatterfyQuery => vec![
            query("tracker.event", "registration, sale or resale"),
            query("clickid", "Our click id or the partner's own"),
            query("tracker.cost", "Sum of the deposit"),
            query("tracker.currency", "ISO 4217"),
            query("tracker.tid", "Id of the deposit; without it one of each event and cost is taken a click"),
        ],
        Takes::AdvertiserId => vec![query("advertiser_id", "Whose file it is; an owner's token must say so")],
        Takes::File => vec![
            parameter(
                "mode",
                "query",
                "Show what would change, or apply it at once",
                json!({ "enum": ["dry-run", "apply"], "default": "dry-run" }),
            ),
            query("encoding", "Encoding of the file, such as windows-1251; UTF-8 where none is named"),
            query("from", "With `to`: name what we have in this period and the file has not (RFC 3339)"),
            query("to", "The end of the period, exclusive"),
        ],
        Takes::RowPage => vec![
            query("results", "Results to show, separated by commas; none: all but unchanged"),
            parameter(
                "after",
                "query",
                "The `next_after` of the page before",
                json!({ "type": "integer", "default": 0 }),
            ),
            parameter(
                "limit",
                "query",
                "Most rows of the page",
                json!({ "type": "integer", "minimum": 1, "maximum": PAGE_ROWS, "default": SHOWN_ROWS }),
            ),
        ],
        Takes::ExportFilter => export_parameters(),
        Takes::IfNoneMatch => {
            vec![parameter("If-None-Match", "header", "The ETag one has", json!({ "type": "string" }))]
        }
        Takes::ApiKey
        | Takes::Token
        | Takes::ApiKeyOrToken
        | Takes::ForeignBody
        | Takes::ConversionBody
        | Takes::ConversionItems
        | Takes::GraphqlBody => Vec::new(),
    }
}

fn export_parameters() -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for dataset in Dataset::ALL {
        for name in exports::parameters(*dataset) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
        .into_iter()
        .map(|name| {
            let of: Vec<_> = Dataset::ALL
                .iter()
                .filter(|dataset| exports::parameters(**dataset).contains(&name))
                .map(|dataset| dataset.code())
                .collect();
            let mut about = exports::about_parameter(name).to_owned();
            if of.len() < Dataset::ALL.len() {
                about = format!("{about} (only {})", of.join(", "));
            }
            let schema = match name {
                "format" => json!({
                    "enum": ExportFormat::ALL.iter().map(|format| format.code()).collect::<Vec<_>>(),
                    "default": ExportFormat::Csv.code(),
                }),
                _ => json!({ "type": "string" }),
            };
            parameter(name, "query", &about, schema)
        })
        .collect()
}

fn body_of(takes: Takes) -> Option<Value> {
    let conversion = json!({ "schema": { "$ref": "#/components/schemas/Conversion" } });
    let content = match takes {
        Takes::ConversionBody => json!({
            "application/json": conversion, "application/x-www-form-urlencoded": conversion,
        }),
        Takes::ConversionItems => json!({
            "application/json": {
                "schema": { "oneOf": [
                    { "$ref": "#/components/schemas/Conversion" },
                    { "type": "array", "maxItems": super::conversions::ARRAY_ITEMS,
                      "items": { "$ref": "#/components/schemas/Conversion" } },
                ] },
                "examples": { "one": { "value": example() }, "many": { "value": [example()] } },
            },
            "application/x-ndjson": {
                "schema": { "type": "string", "description": "One conversion a line, any number of lines" },
            },
        }),
        Takes::ForeignBody => {
            let foreign = json!({ "schema": { "type": "object", "additionalProperties": true } });
            let content =
                json!({ "application/json": foreign, "application/x-www-form-urlencoded": foreign });
            // All of it may stand in the query string.
            return Some(json!({ "content": content }));
        }
        Takes::File => json!({
            "text/csv": { "schema": { "type": "string" } },
            "multipart/form-data": { "schema": {
                "type": "object", "required": ["file"],
                "properties": { "file": { "type": "string", "contentMediaType": "text/csv" } },
            } },
        }),
        Takes::GraphqlBody => json!({ "application/json": { "schema": {
            "type": "object", "required": ["query"],
            "properties": {
                "query": { "type": "string" }, "operationName": { "type": ["string", "null"] },
                "variables": { "type": ["object", "null"] },
            },
        } } }),
        _ => return None,
    };
    Some(json!({ "required": true, "content": content }))
}

/// The body of the first user, to the letter.
fn example() -> Value {
    json!({
        "clickid": "abc123", "status": "approved", "amount": "25.00", "currency": "USD", "sub1": "tiktok",
        "datetime": "2025-08-04T12:00:00Z",
    })
}

fn response(answer: &Answer) -> Value {
    let mut response = json!({ "description": answer.description });
    let text = |media_type: &str| json!({ media_type: { "schema": { "type": "string" } } });
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let content = match answer.content {
        Content::None | Content::Redirect => None,
        Content::Json(name) => Some(json!({ "application/json": { "schema": schema(name) } })),
        Content::Click => Some(json!({ "application/json": { "schema": schema("Click") } })),
        Content::Results => Some(json!({
            "application/json": { "schema": { "oneOf": [
                schema("Success"), schema("Error"), { "type": "array", "items": schema("ItemResult") },
            ] } },
            "application/x-ndjson": {
                "schema": { "type": "string", "description": "One ItemResult a line, in the order of the items" },
            },
        })),
        Content::File => Some(json!({
            "text/csv": { "schema": { "type": "string" } },
            "application/x-ndjson": { "schema": { "type": "string", "description": "One object a line" } },
            "application/vnd.apache.parquet": { "schema": { "type": "string", "format": "binary" } },
        })),
        Content::Gif => Some(text("image/gif")),
        Content::Html => Some(text("text/html")),
        Content::Script => Some(text("text/javascript")),
        Content::Text => Some(text("text/plain")),
    };
    if let Some(content) = content {
        response["content"] = content;
    }
    let header = |name: &str| json!({ name: { "schema": { "type": "string" } } });
    match answer.content {
        Content::Redirect => response["headers"] = header("Location"),
        Content::Gif => response["headers"] = header("x-ricochet-verdict"),
        _ if answer.status == "503" && answer.content != Content::Json("Health") => {
            response["headers"] = header("Retry-After");
        }
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_in_the_repository_is_the_real_one() {
        let written = include_str!("../../docs/openapi.json");
        assert!(written == openapi_text(), "it has changed; run `cargo run -- openapi > docs/openapi.json`");
    }

    #[test]
    fn every_reference_leads_somewhere_and_names_are_unique() {
        let document = openapi();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let mut names: Vec<_> = DOORS.iter().flat_map(|door| door.ways).map(|way| way.operation).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
