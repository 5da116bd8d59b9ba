//! The same from the visitor's browser.

use super::*;

const BROWSER_ANSWERS: &[Answer] = &[
    answer("200", "Always, whatever the verdict in `x-ricochet-verdict` is.", Content::Gif),
    answer("503", "Nothing was recorded; the picture comes all the same.", Content::Gif),
];

pub const PIXEL: Door = Door {
    path: "/pixel/{offer}.gif",
    ways: &[Way {
        method: "GET",
        operation: "reportByPixel",
        group: Group::Browser,
        summary: "Report a hold from a browser, answered with a transparent GIF",
        description: "Needs no key, so it only ever makes a hold. docs/doors/pixel-and-iframe.md",
        takes: &[Takes::BrowserQuery],
        answers: BROWSER_ANSWERS,
    }],
};

pub const IFRAME: Door = Door {
    path: "/iframe/{offer}",
    ways: &[Way {
        method: "GET",
        operation: "reportByIframe",
        group: Group::Browser,
        summary: "Report a hold from a browser, answered with an empty page",
        description: "The pixel for sites that embed frames. docs/doors/pixel-and-iframe.md",
        takes: &[Takes::BrowserQuery],
        answers: &[
            answer("200", "Always, whatever the verdict in `x-ricochet-verdict` is.", Content::Html),
            answer("503", "Nothing was recorded; the page comes all the same.", Content::Html),
        ],
    }],
};

pub const SCRIPT: Door = Door {
    path: "/ricochet.js",
    ways: &[Way {
        method: "GET",
        operation: "clickScript",
        group: Group::Browser,
        summary: "The script that keeps the click id on the advertiser's site",
        description: "docs/doors/click-script.md",
        takes: &[Takes::IfNoneMatch],
        answers: &[
            answer("200", "The script, for an hour.", Content::Script),
            answer("304", "The script has not changed.", Content::None),
        ],
    }],
};

pub const VERSIONED_SCRIPT: Door = Door {
    path: "/js/ricochet-{hash}.js",
    ways: &[Way {
        method: "GET",
        operation: "versionedClickScript",
        group: Group::Browser,
        summary: "One version of the click script, to be kept for ever",
        description: "The hash is the start of the script's SHA-256 and stands in the ETag of /ricochet.js.",
        takes: &[Takes::IfNoneMatch],
        answers: &[
            answer("200", "The script.", Content::Script),
            answer("302", "Another version: the present one is at /ricochet.js.", Content::Redirect),
            answer("304", "The script has not changed.", Content::None),
        ],
    }],
};
