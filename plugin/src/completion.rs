//! What `kubectl_complete-etcd` answers: kubectl runs it for completion behind `kubectl etcd`.
//!
//! kubectl hands over the words so far, the last being the one to complete (perhaps empty), and reads lines of
//! `value<TAB>help` and then a directive, as its own completion library (cobra) defines them.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;

use crate::cli::Cli;
use kubectl_etcd_core::clean::clean;
use kubectl_etcd_core::connection::ConnectionOptions;

/// How long the cluster may take to tell its nodes: somebody waits with a finger on the key.
const NODES_LIMIT: Duration = Duration::from_millis(1500);
/// cobra's `ShellCompDirectiveNoFileComp`: what is offered is all there is.
const NO_FILES: u8 = 4;
/// cobra's `ShellCompDirectiveDefault`: file names, when nothing is offered.
const FILES: u8 = 0;
/// The actions of `member` whose first word names one, mostly by its node.
const OF_MEMBERS: [&str; 4] = ["add", "remove", "promote", "move-leader"];

/// One thing to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    value: String,
    help: Option<String>,
}

/// Answers kubectl. Words are those behind the program's name.
pub fn answer(words: Vec<OsString>) {
    let text = match node_prefix(&words) {
        Some(prefix) => lines(&nodes(&words, &prefix), NO_FILES),
        None => {
            let offers = offers(words);
            let directive = if offers.is_empty() { FILES } else { NO_FILES };
            lines(&offers, directive)
        }
    };
    // A shell that does not listen any more needs no answer.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn lines(offers: &[Offer], directive: u8) -> String {
    let line = |offer: &Offer| match &offer.help {
        Some(help) => format!("{}\t{}\n", clean(&offer.value), clean(help)),
        None => format!("{}\n", clean(&offer.value)),
    };
    offers.iter().map(line).collect::<String>() + &format!(":{directive}\n")
}

/// Commands, flags and their values, as the command line itself defines them.
fn offers(words: Vec<OsString>) -> Vec<Offer> {
    let mut command = Cli::command();
    let mut all = vec![OsString::from("kubectl-etcd")];
    all.extend(words);
    let at = all.len() - 1;
    // Flags are offered to those who begin one, and by their long names, as kubectl's own completion does.
    let nothing_typed = all[at].is_empty();
    if all[at] == "-" {
        all[at] = OsString::from("--");
    }
    let found = clap_complete::engine::complete(&mut command, all, at, None).unwrap_or_default();
    found
        .into_iter()
        .filter(|candidate| !candidate.is_hide_set())
        .map(|candidate| Offer {
            value: candidate.get_value().to_string_lossy().into_owned(),
            help: candidate.get_help().map(|help| {
                help.to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            }),
        })
        .filter(|offer| !(nothing_typed && offer.value.starts_with('-')))
        .collect()
}

/// What is typed of a node's name, if one is to be completed: behind `--node`, within `--node=`, or as the member that a
/// command of `member` is about.
fn node_prefix(words: &[OsString]) -> Option<Prefix> {
    let last = words.last()?.to_string_lossy().into_owned();
    if let Some(typed) = last.strip_prefix("--node=") {
        return Some(Prefix::new("--node=", typed));
    }
    let before = |back: usize| {
        words
            .len()
            .checked_sub(back + 1)
            .and_then(|at| words.get(at))
    };
    let of_member = before(2).is_some_and(|word| word == "member")
        && before(1).is_some_and(|word| OF_MEMBERS.iter().any(|action| word == action))
        && !last.starts_with('-');
    let named = before(1)? == "--node";
    (named || of_member).then(|| Prefix::new("", &last))
}

/// `--node` takes several names with commas between: only the last one is completed.
#[derive(Debug, PartialEq, Eq)]
struct Prefix {
    kept: String,
    typed: String,
}

impl Prefix {
    fn new(flag: &str, typed: &str) -> Self {
        let (before, last) = match typed.rfind(',') {
            Some(comma) => typed.split_at(comma + 1),
            None => ("", typed),
        };
        Self {
            kept: format!("{flag}{before}"),
            typed: last.to_owned(),
        }
    }
}

/// The control-plane nodes whose names begin as typed; none when the cluster takes too long.
fn nodes(words: &[OsString], prefix: &Prefix) -> Vec<Offer> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return Vec::new();
    };
    let connection = connection(words);
    let asked = async {
        tokio::time::timeout(NODES_LIMIT, kubectl_etcd_core::names::of_nodes(&connection)).await
    };
    let Ok(Ok(names)) = runtime.block_on(asked) else {
        return Vec::new();
    };
    // Name lookups that hang must not hold the shell.
    runtime.shutdown_background();
    names
        .into_iter()
        .filter(|name| name.starts_with(&prefix.typed))
        .map(|name| Offer {
            value: format!("{}{name}", prefix.kept),
            help: Some("control-plane node".to_owned()),
        })
        .collect()
}

/// The connection flags among words that may be no complete command line.
fn connection(words: &[OsString]) -> ConnectionOptions {
    let mut args = ConnectionOptions::default();
    let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let mut value = || value.clone().or_else(|| words.next());
        match flag.as_str() {
            "--kubeconfig" => args.kubeconfig = value().map(PathBuf::from),
            "--context" => args.context = value(),
            "--cluster" => args.cluster = value(),
            "--user" => args.user = value(),
            "--server" | "-s" => args.server = value(),
            "--token" => args.token = value(),
            _ => {}
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<OsString> {
        text.iter().map(OsString::from).collect()
    }

    fn values(text: &[&str]) -> Vec<String> {
        offers(words(text))
            .into_iter()
            .map(|offer| offer.value)
            .collect()
    }

    #[test]
    fn commands_and_flags_are_offered_with_help() {
        let offered = offers(words(&["sta"]));
        assert_eq!(offered.len(), 1);
        assert_eq!(offered[0].value, "status");
        assert!(
            lines(&offered, NO_FILES).starts_with("status\tShow every member"),
            "{offered:?}"
        );
        assert!(values(&["snapshot", ""]).contains(&"verify".to_owned()));
        assert!(values(&["status", "--out"]).contains(&"--output".to_owned()));
        assert_eq!(values(&["status", "-o", "j"]), ["json"]);
        assert!(
            !values(&["snapshot", ""])
                .iter()
                .any(|value| value.starts_with('-'))
        );
        assert!(values(&["status", "-"]).contains(&"--watch".to_owned()));
    }

    #[test]
    fn lines_end_with_a_directive() {
        let offer = Offer {
            value: "cp-1".into(),
            help: None,
        };
        assert_eq!(lines(&[offer], NO_FILES), "cp-1\n:4\n");
        assert_eq!(lines(&[], FILES), ":0\n");
    }

    #[test]
    fn node_names_are_completed_where_a_node_is_meant() {
        assert_eq!(
            node_prefix(&words(&["status", "--node", "cp"])),
            Some(Prefix::new("", "cp"))
        );
        let listed = node_prefix(&words(&["status", "--node=cp-1,c"])).unwrap();
        assert_eq!(
            (listed.kept.as_str(), listed.typed.as_str()),
            ("--node=cp-1,", "c")
        );
        assert_eq!(
            node_prefix(&words(&["member", "remove", "cp"])),
            Some(Prefix::new("", "cp"))
        );
        assert_eq!(node_prefix(&words(&["member", "remove", "-"])), None);
        assert_eq!(node_prefix(&words(&["member", "list", ""])), None);
        assert_eq!(node_prefix(&words(&["status", "--no"])), None);
        assert_eq!(node_prefix(&words(&[])), None);
    }

    #[test]
    fn the_connection_is_the_one_being_typed() {
        let args = connection(&words(&[
            "--context",
            "prod",
            "status",
            "--kubeconfig=/x",
            "--node",
            "",
        ]));
        assert_eq!(args.context.as_deref(), Some("prod"));
        assert_eq!(args.kubeconfig, Some(PathBuf::from("/x")));
    }
}
