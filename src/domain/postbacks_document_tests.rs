//! `docs/postbacks.md` says what the code does.

use super::event::Event;
use super::facts::{EventMacros, POSTBACK_MACROS};
use super::postback::Owner;
use super::request_values::RequestValues;
use super::sample::{sample, sample_delivery, sample_names};
use super::template::brackets::{Setting, translate};
use super::template::filter::FILTERS;
use super::template::names::ALIASES;
use super::template::{JsonTemplate, TextTemplate, UrlTemplate};

const DOCUMENT: &str = include_str!("../../docs/postbacks.md");

fn section(heading: &str) -> &'static str {
    let mut sections = DOCUMENT.split("\n## ");
    sections.find(|section| section.starts_with(heading)).unwrap().split_once('\n').unwrap().1
}

/// The first cells of a section's last table.
fn first_cells(heading: &str) -> Vec<&'static str> {
    let rows = section(heading).lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row[2..].split(" | ").next().unwrap().trim_matches('`')).collect()
}

#[test]
fn every_macro_filter_and_alias_is_in_its_table() {
    let mut macros: Vec<String> = POSTBACK_MACROS.iter().map(|name| format!("{{{name}}}")).collect();
    macros.push("{fields.NAME}".into());
    assert_eq!(first_cells("Macros"), macros);
    let filters: Vec<String> =
        section("Filters").lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    let expected: Vec<String> =
        FILTERS.iter().map(|(written, what)| format!("| `{written}` | {what} |")).collect();
    assert_eq!(filters, expected);
    let aliases: Vec<&str> =
        section("Other systems").lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = ALIASES
        .iter()
        .map(|(ours, theirs)| {
            let theirs: Vec<String> = theirs.iter().map(|name| format!("`{name}`")).collect();
            format!("| `{{{ours}}}` | {} |", theirs.join(", "))
        })
        .collect();
    assert_eq!(aliases, expected);
}

/// The lines of all blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    DOCUMENT
        .split(fence.as_str())
        .skip(1)
        .flat_map(|rest| rest.split("\n```").next().unwrap().lines())
        .collect()
}

#[test]
fn every_example_comes_out_as_it_is_shown() {
    let facts = sample(Event::Approve);
    let values = RequestValues {
        delivery_id: sample_delivery(),
        macros: EventMacros {
            event: Event::Approve,
            facts: &facts,
            owner: Owner::Platform,
            names: &sample_names(),
        },
        composite: None,
        secret: None,
    };
    let render = |language: &str, template: &str| match language {
        "url" => UrlTemplate::parse(template, POSTBACK_MACROS).unwrap().render(&values),
        "json" => JsonTemplate::parse(template, POSTBACK_MACROS).unwrap().render(&values),
        "form" => TextTemplate::form(template, POSTBACK_MACROS).unwrap().render(&values),
        _ => TextTemplate::header(template, POSTBACK_MACROS).unwrap().render(&values),
    };
    let mut examples = 0;
    for language in ["url", "json", "form", "header"] {
        for pair in blocks(language).chunks(2) {
            let [template, shown] = pair else { panic!("{pair:?} is not a template and its result") };
            assert_eq!(render(language, template), shown.strip_prefix("→ ").unwrap());
            examples += 1;
        }
    }
    for line in blocks("brackets") {
        let (written, ours) = line.split_once(" → ").unwrap();
        assert_eq!(translate(written, POSTBACK_MACROS, Setting::Text).unwrap().text, ours);
        examples += 1;
    }
    assert!(examples >= 15, "{examples} examples");
}
