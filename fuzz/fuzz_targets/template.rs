//! Templates of partners and owners: landing URLs and the requests of postbacks, with the other
//! systems' notation they may be pasted in.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use ricochet::domain::click::LANDING_MACROS;
use ricochet::domain::facts::POSTBACK_MACROS;
use ricochet::domain::template::brackets::{Setting, translate};
use ricochet::domain::template::{JsonTemplate, MacroValues, TextTemplate, UrlTemplate};

/// Every macro is the text itself: as hostile as the template.
struct Always<'a>(&'a str);

impl MacroValues for Always<'_> {
    fn value(&self, _name: &str) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn secret(&self) -> Option<&[u8]> {
        Some(b"secret")
    }
}

fuzz_target!(|text: &str| {
    let _ = UrlTemplate::parse(text, LANDING_MACROS);
    let setting = if text.len() % 2 == 0 { Setting::Url } else { Setting::Text };
    let Ok(once) = translate(text, POSTBACK_MACROS, setting) else { return };
    let twice = translate(&once.text, POSTBACK_MACROS, setting).expect("what was translated is ours");
    assert_eq!(twice.text, once.text, "translating again changes nothing");
    let values = Always(text);
    if let Ok(template) = UrlTemplate::parse_with_secret(&once.text, POSTBACK_MACROS) {
        let fixed = once.text.split('{').next().unwrap_or_default();
        let host = url::Url::parse(fixed).ok().and_then(|url| url.host_str().map(str::to_owned));
        let url = url::Url::parse(&template.render(&values)).expect("the values leave it legal");
        assert_eq!(url.host_str().map(str::to_owned), host, "the values leave the host");
    }
    if let Ok(template) = JsonTemplate::parse(&once.text, POSTBACK_MACROS) {
        let body = template.render(&values);
        serde_json::from_str::<serde::de::IgnoredAny>(&body).expect("it is JSON whatever the values");
    }
    if !once.text.contains(char::is_control)
        && let Ok(template) = TextTemplate::header(&once.text, POSTBACK_MACROS)
    {
        assert!(!template.render(&values).contains(char::is_control));
    }
    let _ = TextTemplate::form(&once.text, POSTBACK_MACROS).map(|template| template.render(&values));
    let _ = TextTemplate::raw(&once.text, POSTBACK_MACROS).map(|template| template.render(&values));
});
