//! The help of each command: it has examples, its options stand where they belong, and nothing is shown that has no meaning
//! there.

use std::collections::BTreeMap;

use clap::{Arg, Command, CommandFactory};
use kubectl_etcd::cli::Cli;

/// The commands that ask no cluster.
const OFFLINE: [&str; 9] = [
    "kubectl-etcd snapshot inspect",
    "kubectl-etcd snapshot usage",
    "kubectl-etcd snapshot restore",
    "kubectl-etcd datadir",
    "kubectl-etcd datadir inspect",
    "kubectl-etcd images",
    "kubectl-etcd images pull",
    "kubectl-etcd completion",
    "kubectl-etcd completion bash",
];

fn walk(command: &Command, name: &str, found: &mut BTreeMap<String, Command>) {
    found.insert(name.to_owned(), command.clone());
    for one in command
        .get_subcommands()
        .filter(|one| one.get_name() != "help")
    {
        walk(one, &format!("{name} {}", one.get_name()), found);
    }
}

fn all() -> BTreeMap<String, Command> {
    let mut root = Cli::command();
    root.build();
    let mut found = BTreeMap::new();
    walk(&root, "kubectl-etcd", &mut found);
    found
}

fn after(command: &Command) -> String {
    command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn is_shown(arg: &&Arg) -> bool {
    !arg.is_hide_set()
}

#[test]
fn every_help_has_examples() {
    for (name, command) in all() {
        assert!(
            after(&command).starts_with("Examples"),
            "{name} has no examples"
        );
    }
}

#[test]
fn options_stand_below_the_heading_they_belong_to() {
    for (name, command) in all() {
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            let of_ssh = ["ssh", "master", "ssh_user", "ssh_identity", "ssh_config"].contains(&id);
            let under_ssh = arg
                .get_help_heading()
                .is_some_and(|heading| heading.contains("ssh"));
            assert_eq!(of_ssh, under_ssh, "{name}: {id}");
            let usual = [
                "dry_run",
                "yes",
                "output",
                "file",
                "without",
                "accept_outage",
            ];
            let headed = usual.contains(&id) && arg.get_help_heading().is_some();
            assert!(
                !headed,
                "{name}: {id} stands below {:?}",
                arg.get_help_heading()
            );
        }
    }
}

#[test]
fn commands_that_ask_no_cluster_show_no_connection_flags_and_take_them() {
    let all = all();
    for name in OFFLINE {
        let mut shown = all[name].get_arguments().filter(is_shown);
        assert!(
            shown.all(|arg| !["context", "namespace"].contains(&arg.get_id().as_str())),
            "{name}"
        );
    }
    let status = all["kubectl-etcd status"].get_arguments().filter(is_shown);
    assert_eq!(status.filter(|arg| arg.get_id() == "context").count(), 1);
    let typed = [
        "kubectl-etcd",
        "snapshot",
        "inspect",
        "x.db",
        "--context",
        "prod",
    ];
    let typed = Cli::command().try_get_matches_from(typed).unwrap();
    assert_eq!(typed.get_one::<String>("context").unwrap(), "prod");
}

/// The terminal breaks lines where it ends; a break of ours would be a second one.
#[test]
fn paragraphs_are_not_broken_by_hand() {
    for (name, command) in all() {
        let text = after(&command);
        let lines: Vec<&str> = text.lines().collect();
        for two in lines.windows(2) {
            let cut = !two[0].is_empty()
                && !two[0].starts_with(' ')
                && !two[0].ends_with([':', '.'])
                && two[1].starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit());
            assert!(!cut, "{name}: {:?} goes on in {:?}", two[0], two[1]);
        }
    }
}

#[test]
fn flags_of_examples_are_in_the_short_help() {
    for (name, command) in all() {
        let short = command.clone().render_help().to_string();
        let own = format!("kubectl etcd {} ", name.trim_start_matches("kubectl-etcd "));
        for line in after(&command)
            .lines()
            .filter(|line| line.trim().starts_with(&own))
        {
            let flags = line
                .split([' ', '=', '['])
                .filter(|word| word.starts_with("--"));
            for flag in flags.filter(|flag| flag.len() > 2) {
                assert!(
                    short.contains(flag),
                    "{name} -h has an example with {flag}, and no word of it"
                );
            }
        }
    }
}
