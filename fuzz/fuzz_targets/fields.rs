//! Parameters of a conversion, at every completion: no panic, no NUL in what is kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ricochet::domain::completion::Completion;
use ricochet::domain::fields;
use ricochet::domain::ids::OfferId;

fuzz_target!(|text: &str| {
    let parameters: Vec<(String, String)> = text
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let hold = Completion::HoldOf(OfferId("00000000-0000-0000-0000-000000000000".parse().unwrap()));
    for completion in [Completion::AsSent, Completion::Defaults, hold] {
        let read = fields::read(&parameters, completion);
        let kept = read.request.fields.iter().flat_map(|(name, value)| [name, value]);
        assert!(kept.chain([&read.request.click_ref, &read.request.comment]).all(|text| !text.contains('\0')));
        assert!(read.errors.iter().all(|error| !error.code.is_empty() && !error.message.is_empty()));
    }
});
