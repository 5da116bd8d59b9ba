//! The device class, read from the user agent.

use super::coded::coded_enum;

coded_enum! {
    Device {
        Desktop = "desktop",
        Mobile = "mobile",
        Tablet = "tablet",
        Bot = "bot",
        Other = "other",
    }
}

/// What programs call themselves, in lower case: crawlers and previews that woothee does not
/// know, HTTP libraries, and browsers that nobody looks at.
const BOTS: &[&str] = &[
    "bot/",
    "bot;",
    "bot)",
    "-bot",
    "adsbot",
    "aiohttp",
    "apache-httpclient",
    "axios/",
    "bytespider",
    "crawl",
    "curl/",
    "dart:io",
    "facebookexternalhit",
    "facebot",
    "feedfetcher",
    "go-http-client",
    "google-inspectiontool",
    "google-read-aloud",
    "gptbot",
    "guzzlehttp",
    "headlesschrome",
    "http-client",
    "httpclient",
    "java/",
    "lighthouse",
    "libwww-perl",
    "mediapartners",
    "meta-externalagent",
    "monitor",
    "node-fetch",
    "okhttp",
    "phantomjs",
    "pinterest/0",
    "postmanruntime",
    "python-requests",
    "python-urllib",
    "python/",
    "reqwest",
    "scrapy",
    "selenium",
    "skypeuripreview",
    "slurp",
    "snapchat ads",
    "spider",
    "telegrambot",
    "twitterbot",
    "undici",
    "validator",
    "vkshare",
    "wget/",
    "whatsapp/",
    "yandexbot",
];

const TABLETS: &[&str] =
    &["ipad", "tablet", "kindle", "silk/", "playbook", "nexus 7", "nexus 9", "nexus 10", "sm-t", "sm-x"];

const TELEVISIONS: &[&str] = &[
    "smart-tv",
    "smarttv",
    "googletv",
    "android tv",
    "appletv",
    "hbbtv",
    "aft",
    "bravia",
    "roku",
    "web0s",
    "webos.tv",
];

impl Device {
    /// A user agent says what it likes, so this is a help for statistics, not a defence.
    pub fn of_user_agent(user_agent: &str) -> Self {
        // Cubot makes telephones.
        let agent = user_agent.to_lowercase().replace("cubot", "");
        let says = |words: &[&str]| words.iter().any(|word| agent.contains(word));
        let category = woothee::parser::Parser::new().parse(user_agent).map(|result| result.category);
        if category == Some("crawler") || says(BOTS) {
            return Self::Bot;
        }
        if is_word(&agent, TELEVISIONS) {
            return Self::Other;
        }
        // woothee knows no tablets: an Android that does not call itself mobile is one.
        let is_tablet = is_word(&agent, TABLETS) || (says(&["android"]) && !says(&["mobile"]));
        match category {
            Some("smartphone" | "mobilephone" | "pc") if is_tablet => Self::Tablet,
            Some("smartphone" | "mobilephone") => Self::Mobile,
            Some("pc") => Self::Desktop,
            _ => Self::Other,
        }
    }
}

/// Whether one of the words stands in the agent, not as the end of a longer one (`aft` in
/// `Minecraft`).
fn is_word(agent: &str, words: &[&str]) -> bool {
    words.iter().any(|word| {
        agent
            .match_indices(word)
            .any(|(at, _)| !agent[..at].ends_with(|before: char| before.is_alphanumeric()))
    })
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
