//! HTTP in. A door reads the request, hands it to the pipeline and translates the verdict;
//! nothing is decided here.

pub mod access;

use actix_web::web::{self, ServiceConfig};

pub mod answer;
pub mod browser;
pub mod click;
pub mod click_script;
pub mod conversions;
pub mod country;
pub mod exports;
mod flatten;
pub mod integration;
pub mod limiter;
pub mod limits;
pub mod openapi;
pub mod operations;
pub mod reconciliations;
pub mod request;
pub mod s2s;
pub mod table;
mod trickle;

use answer::resource;

/// Registers every door but GraphQL's, which has its own.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource(&table::HEALTHZ).route(web::get().to(operations::healthz)))
        .service(resource(&table::READYZ).route(web::get().to(operations::readyz)))
        .service(resource(&table::METRICS).route(web::get().to(operations::metrics)))
        .service(resource(&table::OPENAPI).route(web::get().to(openapi::document)))
        .service(
            resource(&table::CLICK_BY_QUERY)
                .route(web::get().to(click::by_query))
                .route(web::head().to(click::by_query)),
        )
        .service(
            resource(&table::CLICK_BY_PATH)
                .route(web::get().to(click::by_path))
                .route(web::head().to(click::by_path)),
        )
        .service(resource(&table::CONVERSIONS).route(web::post().to(conversions::receive)))
        .service(resource(&table::S2S).route(web::get().to(s2s::receive)).route(web::post().to(s2s::receive)))
        .service(
            resource(&table::INTEGRATION)
                .route(web::get().to(integration::receive_mapped))
                .route(web::post().to(integration::receive_mapped)),
        )
        .service(
            resource(&table::CHATTERFY)
                .route(web::get().to(integration::receive_chatterfy))
                .route(web::post().to(integration::receive_chatterfy)),
        )
        .service(resource(&table::PIXEL).route(web::get().to(browser::pixel)))
        .service(resource(&table::IFRAME).route(web::get().to(browser::iframe)))
        .service(resource(&table::SCRIPT).route(web::get().to(click_script::latest)))
        .service(resource(&table::VERSIONED_SCRIPT).route(web::get().to(click_script::versioned)))
        .service(resource(&table::RECONCILIATIONS).route(web::post().to(reconciliations::take_in)))
        .service(resource(&table::RECONCILIATION).route(web::get().to(reconciliations::show)))
        .service(resource(&table::RECONCILIATION_ROWS).route(web::get().to(reconciliations::show_rows)))
        .service(resource(&table::RECONCILIATION_APPLY).route(web::post().to(reconciliations::apply_more)))
        .service(resource(&table::EXPORT).route(web::get().to(exports::download)))
        .default_service(web::to(answer::unknown_door));
}
