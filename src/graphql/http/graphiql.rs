//! The GraphiQL page. Its four files come from the folder of settings, so that the page works
//! where there is no internet, and nothing foreign is loaded where there is.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, web};
use uuid::Uuid;

use super::GraphqlDoor;

const PAGE: &str = include_str!("graphiql.html");

/// Name in the address, place below `node_modules`, type.
const ASSETS: [(&str, &str, &str); 4] = [
    ("react.production.min.js", "react/umd/react.production.min.js", "text/javascript; charset=utf-8"),
    (
        "react-dom.production.min.js",
        "react-dom/umd/react-dom.production.min.js",
        "text/javascript; charset=utf-8",
    ),
    ("graphiql.min.js", "graphiql/graphiql.min.js", "text/javascript; charset=utf-8"),
    ("graphiql.min.css", "graphiql/graphiql.min.css", "text/css; charset=utf-8"),
];

const NOT_CONFIGURED: &str = "GraphiQL is not installed here.\n\n\
    Set RICOCHET_GRAPHIQL_DIR to a node_modules folder with graphiql 3.9.0, react 18.3.1 and\n\
    react-dom 18.3.1 (npm ci in engines/graphiql makes one), and start again; `ricochet dev` does\n\
    so by itself.\n\n\
    The API itself is here: POST /graphql with the header Authorization: Bearer {token}.\n";

pub async fn page(door: web::Data<GraphqlDoor>) -> HttpResponse {
    if door.graphiql_dir.is_none() {
        return HttpResponse::Ok().content_type(ContentType::plaintext()).body(NOT_CONFIGURED);
    }
    // Only the script with this nonce runs. Styles are written by the editor as it goes.
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(PAGE.replace("{{nonce}}", &nonce))
}

pub async fn asset(door: web::Data<GraphqlDoor>, file: web::Path<String>) -> HttpResponse {
    let missing = |sentence: String| {
        HttpResponse::build(StatusCode::NOT_FOUND).content_type(ContentType::plaintext()).body(sentence)
    };
    let Some((_, place, content_type)) = ASSETS.iter().find(|(name, _, _)| *name == file.as_str()) else {
        return missing("there is no such file\n".into());
    };
    let Some(directory) = &door.graphiql_dir else { return missing(NOT_CONFIGURED.into()) };
    let path = directory.join(place);
    match web::block(move || std::fs::read(path)).await {
        Ok(Ok(content)) => HttpResponse::Ok()
            .content_type(*content_type)
            .insert_header((CACHE_CONTROL, "public, max-age=86400"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(content),
        _ => {
            tracing::warn!(file = place, "a file of GraphiQL cannot be read from RICOCHET_GRAPHIQL_DIR");
            missing(format!("RICOCHET_GRAPHIQL_DIR has no readable {place}; run npm ci there again\n"))
        }
    }
}
