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

impl Device {
    pub fn of_user_agent(user_agent: &str) -> Self {
        let category = woothee::parser::Parser::new().parse(user_agent).map(|result| result.category);
        // woothee knows no tablets: an Android that does not call itself mobile is one.
        let tablet = user_agent.contains("iPad")
            || user_agent.contains("Tablet")
            || (user_agent.contains("Android") && !user_agent.contains("Mobile"));
        match category {
            Some("crawler") => Self::Bot,
            Some("smartphone" | "mobilephone" | "pc") if tablet => Self::Tablet,
            Some("smartphone" | "mobilephone") => Self::Mobile,
            Some("pc") => Self::Desktop,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_agents_are_told_apart() {
        for (agent, device) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                Device::Mobile,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                Device::Tablet,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-X900) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                Device::Tablet,
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Device::Bot),
            ("curl/8.0", Device::Other),
            ("", Device::Other),
        ] {
            assert_eq!(Device::of_user_agent(agent), device, "{agent}");
        }
    }
}
