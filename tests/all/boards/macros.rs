//! Expands a panel's SQL as grafana-clickhouse-datasource does.
//!
//! | in the panel | becomes |
//! |---|---|
//! | `$__timeFilter(c)` | `c >= toDateTime(FROM) AND c <= toDateTime(TO)`, Unix seconds of the chosen time |
//! | `$__fromTime`, `$__toTime` | `toDateTime(FROM)`, `toDateTime(TO)` |
//! | `$__timeInterval(c)` | `toStartOfInterval(toDateTime(c), INTERVAL N second)`, N of the panel's width |
//! | `$__interval_s` | N |
//! | `$__conditionalAll(condition, $v)` | `1=1` where all of `$v` is chosen, else the condition |
//! | `${v:singlequote}`, `${v}` | the chosen values, quoted and with commas between them, or bare |
//!
//! The first four are the plugin's server part, the fifth its browser part, the last Grafana. A name
//! that is none of these is an error here, where the plugin would leave it standing.

use std::collections::BTreeMap;

/// What the dashboard is set to.
pub struct Choice {
    /// Unix seconds.
    pub from: i64,
    pub to: i64,
    pub interval_s: u32,
    /// `None`: all values.
    pub variables: BTreeMap<String, Option<Vec<String>>>,
}

pub fn expand(sql: &str, choice: &Choice) -> String {
    let sql = expand_conditions(sql, choice);
    let sql = expand_variables(&sql, choice);
    let sql = expand_times(&sql, choice);
    assert!(!sql.contains('$'), "something is left: {sql}");
    sql
}

/// From the last to the first, as one may stand in another.
fn expand_conditions(sql: &str, choice: &Choice) -> String {
    const NAME: &str = "$__conditionalAll";
    let mut sql = sql.to_owned();
    while let Some(begin) = sql.rfind(NAME) {
        let (arguments, length) = arguments(&sql[begin + NAME.len()..]);
        let [condition, variable] = arguments.as_slice() else { panic!("two arguments: {sql}") };
        let name = variable.trim().trim_start_matches('$').trim_matches(['{', '}']);
        let is_all = chosen(choice, name).is_none();
        let replacement = if is_all { "1=1".to_owned() } else { condition.clone() };
        sql.replace_range(begin..begin + NAME.len() + length, &replacement);
    }
    sql
}

fn chosen<'a>(choice: &'a Choice, name: &str) -> Option<&'a Vec<String>> {
    choice.variables.get(name).unwrap_or_else(|| panic!("no variable is called {name}")).as_ref()
}

fn expand_variables(sql: &str, choice: &Choice) -> String {
    let mut expanded = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').unwrap();
        let (name, format) = name.split_once(':').unwrap_or((name, ""));
        let values =
            chosen(choice, name).unwrap_or_else(|| panic!("{name} is used where all of it is chosen: {sql}"));
        let values: Vec<String> = match format {
            "singlequote" => values.iter().map(|value| format!("'{}'", value.replace('\'', "\\'"))).collect(),
            "" => values.clone(),
            other => panic!("a format that is not expanded here: {other}"),
        };
        expanded.push_str(before);
        expanded.push_str(&values.join(","));
        rest = after;
    }
    expanded + rest
}

fn expand_times(sql: &str, choice: &Choice) -> String {
    let Choice { from, to, interval_s, .. } = choice;
    let mut expanded = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("$__") {
        expanded.push_str(before);
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let (arguments, length) = if name.starts_with("time") { arguments(after) } else { (Vec::new(), 0) };
        let text = match (name, arguments.as_slice()) {
            ("timeFilter", [column]) => {
                format!("{column} >= toDateTime({from}) AND {column} <= toDateTime({to})")
            }
            ("timeInterval", [column]) => {
                format!("toStartOfInterval(toDateTime({column}), INTERVAL {interval_s} second)")
            }
            ("fromTime", []) => format!("toDateTime({from})"),
            ("toTime", []) => format!("toDateTime({to})"),
            ("interval_s", []) => interval_s.to_string(),
            _ => panic!("no macro is called {name} with {} arguments", arguments.len()),
        };
        expanded.push_str(&text);
        rest = &after[length..];
    }
    expanded + rest
}

/// The arguments of a call whose bracket opens the text, and how long they are with their brackets.
fn arguments(text: &str) -> (Vec<String>, usize) {
    assert!(text.starts_with('('), "a macro without its brackets: {text}");
    let mut depth = 0;
    let mut arguments = vec![String::new()];
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        match (character, depth) {
            ('(', 1) => {}
            (_, 0) => return (arguments, index + 1),
            (',', 1) => arguments.push(String::new()),
            _ => arguments.last_mut().unwrap().push(character),
        }
    }
    panic!("a bracket is not closed: {text}")
}

#[test]
fn macros_become_what_the_plugin_makes_of_them() {
    let of = |values: Option<Vec<String>>| Choice {
        from: 10,
        to: 20,
        interval_s: 60,
        variables: BTreeMap::from([("partner".to_owned(), values)]),
    };
    let sql = "SELECT $__timeInterval(a) WHERE $__timeFilter(a) AND \
               $__conditionalAll(lower(p) IN (${partner:singlequote}), $partner) AND b < $__toTime STEP $__interval_s";
    assert_eq!(
        expand(sql, &of(None)),
        "SELECT toStartOfInterval(toDateTime(a), INTERVAL 60 second) WHERE a >= toDateTime(10) AND \
         a <= toDateTime(20) AND 1=1 AND b < toDateTime(20) STEP 60"
    );
    let two = expand(sql, &of(Some(vec!["x".into(), "O'y".into()])));
    assert!(two.contains(r"AND lower(p) IN ('x','O\'y') AND"), "{two}");
}
