//! What `kubectl_complete-etcd` answers: kubectl runs it for completion behind `kubectl etcd`.
//!
//! kubectl hands over the words so far, the last being the one to complete (perhaps empty), and reads lines of
//! `value<TAB>help` and then a directive, as its own completion library (cobra) defines them.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;

use etcd_operations::control_plane::ControlPlane;
use etcd_operations::manifest::flag_names;

use crate::cli::Cli;
use kubectl_etcd_core::clean::clean;
use kubectl_etcd_core::connection::ConnectionOptions;
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::names;

/// How long the cluster may take to tell its nodes: somebody waits with a finger on the key.
const NODES_LIMIT: Duration = Duration::from_millis(1500);
/// cobra's `ShellCompDirectiveNoFileComp`: what is offered is all there is.
const NO_FILES: u8 = 4;
/// cobra's `ShellCompDirectiveDefault`: file names, when nothing is offered.
const FILES: u8 = 0;
/// cobra's `ShellCompDirectiveNoSpace`: what is offered is only the beginning of a word.
const NO_SPACE: u8 = 2;
/// The actions of `member` whose first word names one, mostly by its node.
const OF_MEMBERS: [&str; 5] = ["add", "remove", "promote", "replace", "move-leader"];
/// The actions of `snapshot` that take a stored one, as `NODE/NAME`.
const OF_SNAPSHOTS: [&str; 3] = ["get", "verify", "delete"];

/// One thing to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    value: String,
    help: Option<String>,
}

/// What a word names that the command line itself does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Node,
    /// The node on which a snapshot is stored. Its name there takes a Job: that is not done for a key.
    NodeOfSnapshot,
    Context,
    Namespace,
    Component,
    EtcdFlag,
    /// The same with a value behind it.
    EtcdFlagAndValue,
}

/// Answers kubectl. Words are those behind the program's name.
pub fn answer(words: Vec<OsString>) {
    let text = match named(&words) {
        Some((what, prefix)) => {
            let offers = of_names(what, &words, &prefix);
            lines(&offers, what.directive(&offers))
        }
        None => {
            let offers = offers(words);
            let directive = if offers.is_empty() { FILES } else { NO_FILES };
            lines(&offers, directive)
        }
    };
    // A shell that does not listen any more needs no answer.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

impl Named {
    fn directive(self, offers: &[Offer]) -> u8 {
        match self {
            // A file is meant as well.
            Self::NodeOfSnapshot if offers.is_empty() => FILES,
            Self::NodeOfSnapshot | Self::EtcdFlagAndValue => NO_FILES | NO_SPACE,
            Self::Node | Self::Context | Self::Namespace | Self::Component | Self::EtcdFlag => {
                NO_FILES
            }
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Node => "control-plane node",
            Self::NodeOfSnapshot => "snapshots of this node",
            Self::Context => "context",
            Self::Namespace => "namespace",
            Self::Component => "component of the control plane",
            Self::EtcdFlag | Self::EtcdFlagAndValue => "flag of etcd",
        }
    }

    /// What stands behind each name.
    fn ending(self) -> &'static str {
        match self {
            Self::NodeOfSnapshot => "/",
            Self::EtcdFlagAndValue => "=",
            Self::Node | Self::Context | Self::Namespace | Self::Component | Self::EtcdFlag => "",
        }
    }
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

/// What the last word names, and how much of it is typed.
fn named(words: &[OsString]) -> Option<(Named, Prefix)> {
    let last = words.last()?.to_string_lossy().into_owned();
    for (flag, what) in [
        ("--node=", Named::Node),
        ("--context=", Named::Context),
        ("--namespace=", Named::Namespace),
    ] {
        if let Some(typed) = last.strip_prefix(flag) {
            return Some((what, Prefix::new(flag, typed)));
        }
    }
    let before = |back: usize| {
        let at = words.len().checked_sub(back + 1)?;
        words.get(at)?.to_str()
    };
    let what = match (before(3), before(2), before(1)?) {
        (_, _, "--node") => Named::Node,
        (_, _, "--context") => Named::Context,
        (_, _, "--namespace" | "-n") => Named::Namespace,
        _ if last.starts_with('-') => return None,
        (_, _, "logs") => Named::Node,
        (_, Some("member"), action) if OF_MEMBERS.contains(&action) => Named::Node,
        (_, Some("snapshot"), action) if OF_SNAPSHOTS.contains(&action) => Named::NodeOfSnapshot,
        (_, Some("manifest"), _) => Named::Component,
        (Some("manifest"), Some("set-flag"), "etcd") => Named::EtcdFlagAndValue,
        (Some("manifest"), Some("unset-flag"), "etcd") => Named::EtcdFlag,
        _ => return None,
    };
    Some((what, Prefix::new("", &last)))
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

/// The names that begin as typed; none when the cluster takes too long.
fn of_names(what: Named, words: &[OsString], prefix: &Prefix) -> Vec<Offer> {
    let connection = connection(words);
    let names: Vec<String> = match what {
        Named::Node | Named::NodeOfSnapshot => asked(names::of_nodes(&connection)),
        Named::Namespace => asked(names::of_namespaces(&connection)),
        Named::Context => names::of_contexts(&connection),
        Named::Component => {
            let all = ControlPlane::ALL.map(|component| component.name().to_owned());
            all.into()
        }
        Named::EtcdFlag | Named::EtcdFlagAndValue => flag_names().map(str::to_owned).collect(),
    };
    let typed = names
        .into_iter()
        .filter(|name| name.starts_with(&prefix.typed));
    let offer = |name| Offer {
        value: format!("{}{name}{}", prefix.kept, what.ending()),
        help: Some(what.help().to_owned()),
    };
    typed.map(offer).collect()
}

/// What the cluster says; nothing when it takes too long.
fn asked(names: impl Future<Output = Result<Vec<String>, Error>>) -> Vec<String> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return Vec::new();
    };
    let found = runtime.block_on(async { tokio::time::timeout(NODES_LIMIT, names).await });
    // Name lookups that hang must not hold the shell.
    runtime.shutdown_background();
    found.ok().and_then(Result::ok).unwrap_or_default()
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
    fn names_are_completed_where_they_are_meant() {
        let is = |text: &[&str]| named(&words(text)).map(|(what, _)| what);
        for words in [
            &["status", "--node", "cp"][..],
            &["member", "remove", "cp"],
            &["member", "replace", ""],
            &["logs", ""],
        ] {
            assert_eq!(is(words), Some(Named::Node), "{words:?}");
        }
        let listed = named(&words(&["status", "--node=cp-1,c"])).unwrap().1;
        assert_eq!(
            (listed.kept.as_str(), listed.typed.as_str()),
            ("--node=cp-1,", "c")
        );
        assert_eq!(is(&["--context", ""]), Some(Named::Context));
        assert_eq!(is(&["status", "-n", "kube"]), Some(Named::Namespace));
        for action in OF_SNAPSHOTS {
            assert_eq!(is(&["snapshot", action, "cp"]), Some(Named::NodeOfSnapshot));
        }
        assert_eq!(is(&["manifest", "set-flag", ""]), Some(Named::Component));
        for words in [
            &["member", "remove", "-"][..],
            &["member", "list", ""],
            &["status", "--no"],
            &["manifest", "set-flag", "kube-apiserver", ""],
            &[],
        ] {
            assert_eq!(is(words), None, "{words:?}");
        }
    }

    #[test]
    fn the_flags_that_etcd_knows_are_completed() {
        let line = words(&["manifest", "set-flag", "etcd", "quota"]);
        let (what, prefix) = named(&line).unwrap();
        let offered = of_names(what, &line, &prefix);
        assert_eq!(offered[0].value, "quota-backend-bytes=");
        assert_eq!(what.directive(&offered), 6);
        let line = words(&["manifest", "show", "kube-a"]);
        let (what, prefix) = named(&line).unwrap();
        assert_eq!(of_names(what, &line, &prefix)[0].value, "kube-apiserver");
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
