//! The documents show the command line as it is. `docs/commands.md` is generated from its definition, and `UPDATE_COMMANDS=1`
//! writes it anew; each command in the other documents exists, with its flags.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory};
use kubectl_etcd::cli::Cli;

const HEAD: &str = "\
# Command reference

Generated from the program's own definition of its command line; a test compares them. The help of each command has the same
text: `-h` the short one, `--help` all of it.
";

/// How many commands have to have a flag for it to be described only once.
const SHARED_BY: usize = 6;

/// All commands below one, with their full names, in the order of the help.
fn commands(of: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    for command in of
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let name = format!("{name} {}", command.get_name());
        found.push((name.clone(), command.clone()));
        commands(command, &name, found);
    }
}

fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

/// An argument as it is typed: `-n, --namespace <NAME>`.
fn typed(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}, "));
    format!("`{}{arg}`", short.unwrap_or_default())
}

/// An argument as one item of a list.
fn described(arg: &Arg) -> String {
    let mut text = format!("- {}: {}", typed(arg), help_of(arg));
    let takes = arg.get_action().takes_values();
    let words = |values: Vec<String>| values.join(", ");
    let values = arg.get_possible_values();
    let values = values.iter().filter(|value| takes && !value.is_hide_set());
    let values: Vec<String> = values
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let defaults = arg.get_default_values().iter().filter(|_| takes);
    let defaults: Vec<String> = defaults
        .map(|value| format!("`{}`", value.display()))
        .collect();
    if !values.is_empty() {
        let _ = write!(text, "; one of {}", words(values));
    }
    if !defaults.is_empty() {
        let _ = write!(text, "; default {}", words(defaults));
    }
    if let Some(name) = arg.get_env() {
        let _ = write!(text, "; also from `${}`", name.display());
    }
    text.push('\n');
    text
}

fn help_of(arg: &Arg) -> String {
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}

/// The flags that are described once for all commands, by their headings: the global ones, and those of many commands.
fn shared(root: &Command, all: &[(String, Command)]) -> BTreeMap<String, Vec<Arg>> {
    let mut seen: BTreeMap<(String, String, String), (usize, Arg)> = BTreeMap::new();
    for arg in all.iter().flat_map(|(_, command)| command.get_arguments()) {
        if let Some(heading) = arg.get_help_heading().filter(|_| is_shown(arg)) {
            let key = (heading.to_owned(), typed(arg), described(arg));
            seen.entry(key).or_insert((0, arg.clone())).0 += 1;
        }
    }
    let mut shared: BTreeMap<String, Vec<Arg>> = BTreeMap::new();
    for ((heading, ..), (count, arg)) in seen {
        let is_early = root.get_arguments().any(|own| own.get_id() == arg.get_id());
        if count >= SHARED_BY || is_early {
            shared.entry(heading).or_default().push(arg);
        }
    }
    shared
}

fn section(name: &str, command: &mut Command, shared: &BTreeMap<String, Vec<Arg>>) -> String {
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage: ");
    let mut text = format!("\n## {name}\n\n{about}\n\n```\n{usage}\n```\n");
    let (mut own, mut others) = (String::new(), Vec::new());
    for arg in command.get_arguments().filter(|arg| is_shown(arg)) {
        let is_shared = |known: &&Arg| described(known) == described(arg);
        match shared.values().flatten().any(|known| is_shared(&known)) {
            true if arg.is_global_set() => {}
            true => others.push(typed(arg)),
            false => own.push_str(&described(arg)),
        }
    }
    if !own.is_empty() {
        let _ = write!(text, "\n{own}");
    }
    if !others.is_empty() {
        let _ = write!(
            text,
            "\n[Shared flags](#shared-flags): {}\n",
            others.join(", ")
        );
    }
    if let Some(after) = command.get_after_help() {
        let _ = write!(text, "\n```text\n{}\n```\n", after.to_string().trim_end());
    }
    text
}

fn reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut all = Vec::new();
    commands(&root, "kubectl etcd", &mut all);
    let shared = shared(&root, &all);
    let mut text = HEAD.to_owned();
    text.push_str("\n## Shared flags\n");
    for (heading, args) in &shared {
        let _ = write!(text, "\n{heading}:\n\n");
        args.iter().for_each(|arg| text.push_str(&described(arg)));
    }
    for (name, command) in &mut all {
        text.push_str(&section(name, command, &shared));
    }
    text
}

#[test]
fn the_command_reference_is_what_the_command_line_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let now = reference();
    if std::env::var_os("UPDATE_COMMANDS").is_some() {
        std::fs::write(&path, &now).expect("the reference can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == now,
        "{} is not what the command line says; UPDATE_COMMANDS=1 writes it anew",
        path.display()
    );
}

/// The commands of this program in a document: in blocks of code behind `$` or `#`, and alone between backticks.
fn shown(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        let line = line.trim_start();
        let typed = line.strip_prefix("$ ").or(line.strip_prefix("# "));
        match typed {
            Some(typed) => found.push(typed),
            None if is_code => {}
            None => found.extend(line.split('`').skip(1).step_by(2)),
        }
    }
    let parts = found
        .into_iter()
        .flat_map(|typed| typed.split([';', '|', '>']));
    let parts = parts.flat_map(|part| part.split("&&"));
    let ours = parts.filter(|typed| typed.trim().starts_with("kubectl etcd "));
    // What stands behind two spaces and a `#` is a comment; what is left out cannot be tried.
    let bare = ours.map(|typed| {
        typed
            .split("  #")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    });
    bare.filter(|typed| !typed.contains('…')).collect()
}

/// The words of a command line as a shell sees them, as far as documents need that: words, and texts in single quotes.
fn words(typed: &str) -> Vec<String> {
    let parts = typed.split('\'').enumerate();
    parts
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Whether the command line takes it. That an argument is missing is fine where a text only names a command.
fn is_taken(typed: &str) -> bool {
    match Cli::command().try_get_matches_from(words(typed).into_iter().skip(1)) {
        Ok(_) => true,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelp
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        ),
    }
}

#[test]
fn every_command_in_the_documents_exists_with_its_flags() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut wrong, mut count) = (Vec::new(), 0);
    for folder in [plugin.join(".."), plugin.join("docs")] {
        let documents = std::fs::read_dir(folder).expect("a folder of documents can be read");
        let documents = documents.map(|entry| entry.expect("a folder can be read").path());
        for document in
            documents.filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        {
            let text = std::fs::read_to_string(&document).expect("a document can be read");
            let all = shown(&text);
            count += all.len();
            let refused = all.into_iter().filter(|typed| !is_taken(typed));
            wrong.extend(refused.map(|typed| format!("{}: {typed}", document.display())));
        }
    }
    assert!(wrong.is_empty(), "no such command:\n{}", wrong.join("\n"));
    assert!(count > 100, "only {count} commands were found");
}

#[test]
fn commands_are_found_in_documents() {
    let text = "```\n$ kubectl etcd status --ssh   # why\nkubectl etcd no\n```\nSee `kubectl etcd health` and\n\n    # kubectl etcd usage \\\n --top 3 && ls\n";
    let all = [
        "kubectl etcd status --ssh",
        "kubectl etcd health",
        "kubectl etcd usage   --top 3",
    ];
    assert_eq!(shown(text), all);
    assert!(is_taken(
        "kubectl etcd snapshot schedule set --cron '0 3 * * *'"
    ));
    assert!(is_taken("kubectl etcd member remove"));
    assert!(!is_taken("kubectl etcd status --node-names"));
    assert!(!is_taken("kubectl etcd statuss"));
}
