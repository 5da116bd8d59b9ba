//! Bodies as the doors read them: forms, JSON objects, JSON arrays.
#![no_main]

use actix_web::web::Bytes;
use libfuzzer_sys::fuzz_target;
use ricochet::doors::{conversions, request};

fuzz_target!(|body: &[u8]| {
    let _ = request::form(body, "body");
    let _ = request::flat_object(body);
    if let Ok(items) = conversions::array_items(&Bytes::copy_from_slice(body)) {
        // Every byte but brackets and commas is in one of the items.
        let kept: usize = items.iter().map(Bytes::len).sum();
        assert!(kept + items.len() < body.len() + 1);
        items.iter().for_each(|item| drop(request::flat_object(item)));
    }
});
