//! Commands that are written down somewhere are commands.

use std::fs;
use std::path::Path;

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

const ID: &str = "0198d5f0-0000-7000-8000-000000000000";

/// The arguments of every `ricochet …` of a shell script, with values for its variables.
fn commands(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    let mut commands = Vec::new();
    for line in script.lines() {
        let line = line.trim();
        let start =
            if line.starts_with("ricochet ") { Some(0) } else { line.find("$(ricochet ").map(|at| at + 2) };
        if let Some(start) = start {
            commands.push(words(&line[start..]));
        }
    }
    commands
}

/// Words as a shell parts them, up to what ends the command.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word = None::<String>;
    let mut quote = None;
    for char in command.chars() {
        match (quote, char) {
            (Some(open), char) if open == char => quote = None,
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, ')' | '|' | '<' | ';' | '#') => break,
            (None, ' ') => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words.iter().map(|word| if word.starts_with('$') { value(word) } else { word.clone() }).collect()
}

fn value(variable: &str) -> String {
    if variable.contains("URL") { "http://127.0.0.1:8080".to_owned() } else { ID.to_owned() }
}

/// Complains of every command that clap does not take.
fn check(source: &str, script: &str) -> usize {
    let commands = commands(script);
    for command in &commands {
        let full = command.iter().cloned().chain(databases(command));
        if let Err(error) = Cli::try_parse_from(full) {
            panic!("{source}: {}\n{error}", command.join(" "));
        }
    }
    commands.len()
}

/// What the environment says otherwise.
fn databases(command: &[String]) -> Vec<String> {
    let takes = |flag: &str| {
        let mut at = Cli::command();
        for word in &command[1..] {
            match at.find_subcommand(word) {
                Some(inner) => at = inner.clone(),
                None => break,
            }
        }
        at.get_arguments().any(|argument| argument.get_long() == Some(flag))
    };
    let urls =
        [("database-url", "postgres://x"), ("clickhouse-url", "http://x"), ("api-key", "x"), ("token", "x")];
    let missing = urls.into_iter().filter(|(flag, _)| takes(flag) && !command.contains(&format!("--{flag}")));
    missing.flat_map(|(flag, url)| [format!("--{flag}"), url.to_owned()]).collect()
}

#[test]
fn the_commands_of_the_documents_are_commands() {
    for document in ["docs/setup.md", "docs/reconciliation.md", "docs/resending.md", "docs/postbacks.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
        let blocks = text.split("```").skip(1).step_by(2);
        let scripts = blocks.filter_map(|block| block.strip_prefix("sh\n").or(block.strip_prefix("bash\n")));
        let checked: usize = scripts.map(|script| check(document, script)).sum();
        assert!(checked > 0, "{document} has no commands");
    }
}

#[test]
fn the_examples_of_the_help_are_commands() {
    let mut checked = 0;
    for command in Cli::command().get_subcommands() {
        if let Some(examples) = command.get_after_help() {
            let count = check(command.get_name(), &examples.to_string());
            assert!(count > 0, "{} has no examples", command.get_name());
            checked += count;
        }
    }
    assert!(checked >= 30, "{checked}");
}

#[test]
fn every_command_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_shell_parts_words_as_here() {
    let script = "A=$(ricochet offer create --name 'Winter Boots' \\\n  --landing-url \"https://x?a={b}\" --offer \"$A\")\ncurl x\n";
    let expected = [
        "ricochet",
        "offer",
        "create",
        "--name",
        "Winter Boots",
        "--landing-url",
        "https://x?a={b}",
        "--offer",
        ID,
    ];
    assert_eq!(commands(script), [expected]);
}
