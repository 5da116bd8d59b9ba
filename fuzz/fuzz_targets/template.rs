//! URL templates of partners and owners.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ricochet::domain::click::LANDING_MACROS;
use ricochet::domain::facts::POSTBACK_MACROS;
use ricochet::domain::template::UrlTemplate;

fuzz_target!(|text: &str| {
    let _ = UrlTemplate::parse(text, POSTBACK_MACROS);
    let _ = UrlTemplate::parse(text, LANDING_MACROS);
});
