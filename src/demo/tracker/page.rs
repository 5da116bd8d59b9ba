//! The tracker's page, for people.

use std::fmt::Write;

use super::journal::Received;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>Ricochet demo tracker</title>
<style>
  :root { color-scheme: light dark }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8884 }
  td { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere }
  td:first-child, td:nth-child(2) { white-space: nowrap }
  .name { opacity: .6 }
</style>
</head>
<body>
<h1>Received postbacks</h1>
"#;

/// Where the demo's links lead: a shop would keep the click id for its report.
pub fn landing(click_id: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Demo landing page</title>\n\
         <h1>The advertiser's landing page</h1>\n<p>This visitor's click id is <code>{}</code>. The advertiser's \
         server sends it back with every conversion.</p>\n</html>\n",
        escape(click_id)
    )
}

/// `newest` first.
pub fn render(newest: &[Received]) -> String {
    let mut page = String::from(HEAD);
    if newest.is_empty() {
        page.push_str("<p>Nothing yet. This page refreshes itself.</p>\n</body>\n</html>\n");
        return page;
    }
    page.push_str(
        "<table>\n<thead><tr><th>received (UTC)</th><th>method</th><th>path</th><th>parameters</th></tr></thead>\n\
         <tbody>\n",
    );
    for received in newest {
        let mut parameters = String::new();
        for (name, value) in &received.query {
            let _ = write!(parameters, "<span class=\"name\">{}=</span>{} ", escape(name), escape(value));
        }
        if !received.body.is_empty() {
            let _ = write!(parameters, "<br><span class=\"name\">body</span> {}", escape(&received.body));
        }
        // Writing to a String does not fail.
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&received.received_at),
            escape(&received.method),
            escape(&received.path),
            parameters.trim_end()
        );
    }
    page.push_str("</tbody>\n</table>\n</body>\n</html>\n");
    page
}

/// Whoever can send a postback must not be able to write the page.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
