//! `kubectl etcd snapshot save`

use etcd_operations::advice;
use etcd_operations::advice::Task;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use etcd_operations::pack::{Level, Wanted};
use etcd_operations::report::MASTERS;
use etcd_operations::snapshot_name::prefix;
use etcd_operations::stored::FOLDER;
use etcd_operations::utc::of_time;
use jiff::Timestamp;

use crate::args::{FleetArgs, NamedOutputArgs, parse_duration};
use crate::commands::health::wait_for_health;
use crate::commands::snapshot::destination::{free_file, full_path};
use crate::commands::{Context, answered_survey, node_named};
use crate::views::Format;
use crate::views::snapshot::Snapshot;
use kubectl_etcd_core::assess::model::{Role, Row, Status};
use kubectl_etcd_core::assess::order::snapshot_sources;
use kubectl_etcd_core::assess::{LAG_ENTRIES, Standing};
use kubectl_etcd_core::discovery::Node;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::format::and;
use kubectl_etcd_core::session::{Checked, Compared, Destination, MemberOn, Session};
use kubectl_etcd_core::via::Via;

const EXAMPLES: &str = "\
Examples:
  # Into the current folder, as etcd-CONTEXT-TIME.db
  kubectl etcd snapshot save

  # Before an upgrade: wait for a healthy cluster, then all that a rebuild needs
  kubectl etcd snapshot save --wait-healthy --bundle /backup

  # The same with certificates and keys, encrypted before it touches a disk of this computer
  set -o pipefail
  kubectl etcd snapshot save --bundle --with-pki - | age -r age1... > etcd.tar.zst.age

  # Compressed, from a certain node's member
  kubectl etcd snapshot save --compress /backup/etcd.db.zst --node cp-2

  # Kept on the node: nothing passes through the apiserver
  kubectl etcd snapshot save --on-node
  kubectl etcd snapshot save --on-node=/var/backups/etcd

A snapshot comes from a voter that most of the others have as a member. What arrives is checked \
here, and its data is compared with that of a second member. \
A snapshot holds every Secret of the cluster: the file gets mode 0600. Beside it, FILE.json says \
what it is. A bundle opens with `tar --zstd -xf`: the snapshot, kubeadm's configuration, and of \
each control-plane node the static pod manifests and kubelet's configuration. Kept on the node it \
has that node's files only. What --with-pki adds, the key that encrypts Secrets among it, is \
needed for a rebuild too: keep it somewhere. What went to standard output counts only when this \
exits with 0 or 3: checking ends after the last byte.
Exit codes: 0 saved and checked, 3 the same but without a majority to confirm it, without some \
node's files, without room to look at its pages here, or without any of the other members to \
compare its data with, 4 what arrives is damaged, or another member has other data \
(FILE.mismatch), 5 the file is there already, the node named has no member of this cluster, or the \
cluster did not become healthy.";

/// For how long `--wait-healthy` waits.
const WAIT: &str = "10m";

/// Save a snapshot of the database, checked while it comes: sha256, size, every page
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SaveArgs {
    /// File or folder to save to; - for standard output
    #[arg(value_name = "FILE", conflicts_with = "on_node")]
    file: Option<PathBuf>,
    /// Keep it on the node, in this folder or in /var/lib/etcd-snapshots
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = FOLDER)]
    on_node: Option<PathBuf>,
    #[command(flatten)]
    packing: PackingArgs,
    /// First wait for every member to be healthy, for so long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = WAIT,
        value_parser = parse_duration)]
    wait_healthy: Option<Duration>,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// How snapshots are packed.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PackingArgs {
    /// Compress it on the node, with zstd at this level (1, the default, to 19)
    #[arg(long, value_name = "zstd[:LEVEL]", num_args = 0..=1, require_equals = true, default_missing_value = "zstd",
        value_parser = compression)]
    compress: Option<Level>,
    /// Put the nodes' static pod manifests and kubelet's and kubeadm's configuration beside it, as one .tar.zst
    #[arg(long)]
    bundle: bool,
    /// Put the nodes' certificates, private keys and kubeconfigs into the bundle: who has it has the cluster
    #[arg(long, requires = "bundle")]
    with_pki: bool,
}

impl PackingArgs {
    /// What was asked for.
    pub(super) fn wanted(self) -> Wanted {
        let level = self.compress.unwrap_or_default();
        match self.compress {
            _ if self.bundle => Wanted::Bundle {
                level,
                pki: self.with_pki,
            },
            Some(level) => Wanted::Zstd { level },
            None => Wanted::Plain,
        }
    }
}

fn compression(text: &str) -> Result<Level, String> {
    let (kind, level) = match text.split_once(':') {
        Some((kind, level)) => (kind, Some(level)),
        None => (text, None),
    };
    if kind != "zstd" {
        return Err(format!("{kind:?} is not known: zstd is"));
    }
    let Some(level) = level else {
        return Ok(Level::default());
    };
    let level: i32 = level
        .parse()
        .map_err(|_| format!("{level:?} is not a level between 1 and 19"))?;
    level.try_into()
}

/// Saves a snapshot from the best member.
///
/// # Errors
/// When the file is there already, no member can give one, or any check fails. Nothing that looks like a snapshot is
/// left behind then.
pub async fn save(context: &Context<'_>, args: SaveArgs) -> Result<Verdict, Error> {
    // Before anything is asked of the cluster.
    let wanted = args.packing.wanted();
    let destination = destination(&args, &default_name(context, wanted.ending()))?;
    refuse_partial(&args)?;
    // Whether all are healthy, and whether a node has a member of this cluster, is for every member to say.
    let everywhere = FleetArgs::everywhere(args.fleet.way.clone());
    if let Some(wait) = args.wait_healthy {
        wait_for_health(context, &everywhere, wait).await?;
    }
    let session = context.open(&everywhere).await?;
    let wanted_nodes = session.named(&args.fleet.node)?;
    let (_, status) = answered_survey(&session, &everywhere).await?;
    let (row, node) = source(&session, &status, &wanted_nodes)?;
    let confirmed = is_confirmed(context, &session, row, node);
    let member = member_of(&session, row)
        .ok_or_else(|| Error::failed(format!("{} did not say which member it has", node.name)))?;
    let others = others(&session, &status, row);
    let begun = Instant::now();
    let saved = session
        .save_snapshot(&member, &destination, wanted, &others)
        .await?;
    tell(context, &saved.checked, &saved.compared);
    let view = Snapshot::saved(&saved, &node.name, local(&destination), begun.elapsed());
    show(context, &view, &destination, args.output.output)?;
    let alone = args.packing.bundle && session.via() == Via::Local && status.rows.len() > 1;
    if alone {
        context
            .ui
            .warn("not in the bundle: the files of the other control-plane nodes, which only an apiserver leads to");
    }
    let lacks_nodes = view
        .left_out
        .iter()
        .any(|left| left.path.starts_with(MASTERS));
    let all_checked = is_all_checked(&saved.checked, &saved.compared);
    let lacks = lacks_nodes || alone || saved.saved.snapshot.is_empty();
    Ok(Verdict::of(confirmed && all_checked && !lacks))
}

/// Where it lies on this host.
fn local(destination: &Destination) -> Option<&Path> {
    match destination {
        Destination::File(path) => Some(path.as_path()),
        Destination::Stdout { .. } => Some(Path::new("-")),
        Destination::Node { .. } => None,
    }
}

fn show(
    context: &Context<'_>,
    view: &Snapshot,
    destination: &Destination,
    format: Format,
) -> Result<(), Error> {
    for left in &view.left_out {
        context
            .ui
            .warn(&format!("not in the bundle: {}: {}", left.path, left.why));
    }
    match destination {
        // Standard output has the snapshot.
        Destination::Stdout { .. } => context.ui.say(&view.in_words()),
        Destination::File(_) | Destination::Node { .. } => context.ui.show(view, format)?,
    }
    Ok(())
}

/// Whether enough members confirm what is saved; if not, that is said.
fn is_confirmed(context: &Context<'_>, session: &Session, row: &Row, node: &Node) -> bool {
    let name = &node.name;
    if row.role == Role::NoLeader {
        context.ui.warn(&format!(
            "the quorum is lost: {name} is saved as it is, and may lack what the others had confirmed"
        ));
        return false;
    }
    // On this host, whoever runs this knows which host it is.
    if row.standing != Standing::Untold || session.via() == Via::Local {
        return true;
    }
    context.ui.warn(&format!(
        "no majority of the voters confirms that {name} has a member of this cluster: only {name} itself says so"
    ));
    false
}

/// The member of a row that is about a node.
fn member_of<'s>(session: &'s Session, row: &Row) -> Option<MemberOn<'s>> {
    Some(MemberOn {
        node: node_named(session, row.node.as_deref()?)?,
        member_id: row.member_id.clone()?,
        cluster_id: row.cluster_id.clone()?,
    })
}

/// The voters of the majority on other nodes, best first.
fn others<'s>(session: &'s Session, status: &Status, source: &Row) -> Vec<MemberOn<'s>> {
    if source.standing != Standing::Voter {
        return Vec::new();
    }
    let others = snapshot_sources(status, LAG_ENTRIES).into_iter();
    let others = others.filter(|row| row.standing == Standing::Voter && row.node != source.node);
    others.filter_map(|row| member_of(session, row)).collect()
}

/// What was not found out.
fn tell(context: &Context<'_>, checked: &Checked, compared: &Compared) {
    if let Checked::HereButPages { why } = checked {
        context.ui.warn(&format!(
            "its pages were looked at on the node only, not here: {why}"
        ));
    }
    if let Compared::Not { why } = compared {
        let why = format!("its data was not compared with another member's: {why}");
        context.ui.warn(&why);
    }
}

/// Whether all was found out that could be: where there are other members, with one of them it was compared.
fn is_all_checked(checked: &Checked, compared: &Compared) -> bool {
    let pages = match checked {
        Checked::Here | Checked::WhereTaken => true,
        Checked::HereButPages { .. } => false,
    };
    let data = match compared {
        Compared::Same { .. } | Compared::NotAsked => true,
        Compared::Not { .. } => false,
    };
    pages && data
}

/// A bundle that is brought here has every control-plane node's files.
fn refuse_partial(args: &SaveArgs) -> Result<(), Error> {
    if !args.packing.bundle || args.on_node.is_some() || args.fleet.node.is_empty() {
        return Ok(());
    }
    Err(Error::usage(
        "a bundle has the files of every control-plane node, and --node leaves all but some out",
    )
    .hint("leave --node away, or keep it on that node: --on-node"))
}

/// The best member among those of the nodes that are wanted.
fn source<'a>(
    session: &'a Session,
    status: &'a Status,
    wanted: &[&Node],
) -> Result<(&'a Row, &'a Node), Error> {
    let is_wanted = |row: &&Row| {
        let mut wanted = wanted.iter();
        wanted.any(|node| row.node.as_ref() == Some(&node.name))
    };
    let mut sources = snapshot_sources(status, LAG_ENTRIES).into_iter();
    let best = sources.find(is_wanted);
    let best = best.and_then(|row| Some((row, node_named(session, row.node.as_deref()?)?)));
    let rows: Vec<&Row> = status.rows.iter().filter(is_wanted).collect();
    best.ok_or_else(|| no_source(status, &rows))
}

/// Why none of these can give a snapshot.
fn no_source(status: &Status, wanted: &[&Row]) -> Error {
    let outside = wanted.iter().filter_map(|row| match &row.standing {
        Standing::Outside(why) => Some(format!("{}: {why}", row.node.as_deref()?)),
        Standing::Voter | Standing::Untold => None,
    });
    let outside: Vec<String> = outside.collect();
    if !outside.is_empty() && outside.len() == wanted.len() {
        let sources = snapshot_sources(status, LAG_ENTRIES);
        let others: Vec<&str> = sources
            .iter()
            .filter_map(|row| row.node.as_deref())
            .collect();
        let error = Error::refused(format!(
            "this is no snapshot of the cluster: {}",
            outside.join("; ")
        ));
        let error = match others.is_empty() {
            true => error,
            false => error.hint(format!("leave --node out, or name one of {}", and(&others))),
        };
        return error.hint("to keep what it has all the same, as root on that node: kubectl etcd snapshot save FILE --via local");
    }
    let mut error = Error::new(
        ErrorKind::NothingReached,
        format!("no member can give a snapshot: {}", status.summary),
    );
    for row in wanted {
        if let (Some(node), Some(problem)) = (&row.node, &row.problem) {
            error
                .message
                .push_str(&format!("; {node}: {}", problem.detail));
        }
    }
    error.hint(advice![Task::ShowStatus, " shows why"])
}

fn destination(args: &SaveArgs, default_name: &str) -> Result<Destination, Error> {
    if args.file.as_deref() == Some(Path::new("-")) {
        if std::io::stdout().is_terminal() {
            return Err(Error::usage("a snapshot is not for a terminal").hint(
                "pipe it, as in: kubectl etcd snapshot save - | age -r age1... > etcd.db.age",
            ));
        }
        return Ok(Destination::Stdout {
            name: default_name.to_owned(),
        });
    }
    if let Some(folder) = &args.on_node {
        return Ok(Destination::Node {
            folder: full_path(folder, "--on-node")?,
            name: default_name.to_owned(),
        });
    }
    free_file(args.file.as_deref(), default_name).map(Destination::File)
}

/// `etcd-CONTEXT-TIME.db` and the like: names in kubeconfigs may be anything, file names should not.
fn default_name(context: &Context<'_>, ending: &str) -> String {
    let cluster = kubectl_etcd_core::names::of_cluster(context.connection).unwrap_or_default();
    of_time(&prefix(&cluster), Timestamp::now()) + ending
}

#[cfg(test)]
mod tests {
    use etcd_operations::ids::ClusterId;

    use super::*;
    use kubectl_etcd_core::assess::fixtures::Cluster;

    #[test]
    fn a_member_that_the_majority_does_not_have_is_refused_with_the_ways_out() {
        let mut cluster = Cluster::of(3);
        cluster.account(3).cluster_id = ClusterId(7);
        let status = cluster.assess();
        let rows: Vec<&Row> = status.rows.iter().skip(2).collect();
        let error = no_source(&status, &rows);
        assert_eq!(error.kind.exit_code(), 5);
        assert!(error.message.contains("cp-3: it is of cluster"), "{error}");
        assert!(
            crate::advice::hints(&error)[0].contains("cp-2 and cp-1"),
            "{:?}",
            error.hints
        );
        assert!(crate::advice::hints(&error)[1].contains("--via local"));
        // One that is only silent is no such case.
        let mut cluster = Cluster::of(3);
        cluster.accounts[2] = None;
        let status = cluster.assess();
        let rows: Vec<&Row> = status.rows.iter().skip(2).collect();
        assert_eq!(no_source(&status, &rows).kind.exit_code(), 6);
    }

    #[test]
    fn what_was_compared_with_no_other_member_is_not_all_checked() {
        let why = || "cp-2: no answer".to_owned();
        let same = Compared::Same {
            node: "cp-2".to_owned(),
            hash: 1,
        };
        assert!(is_all_checked(&Checked::Here, &same));
        assert!(is_all_checked(&Checked::Here, &Compared::NotAsked));
        let not = Compared::Not { why: why() };
        assert!(!is_all_checked(&Checked::Here, &not));
        let unseen = Checked::HereButPages { why: why() };
        assert!(!is_all_checked(&unseen, &same));
    }

    fn args(file: Option<&Path>) -> SaveArgs {
        SaveArgs {
            file: file.map(Path::to_owned),
            on_node: None,
            packing: PackingArgs::default(),
            wait_healthy: None,
            output: NamedOutputArgs {
                output: crate::views::Format::Table,
            },
            fleet: FleetArgs::default(),
        }
    }

    #[test]
    fn compression_is_typed_as_other_tools_take_it() {
        for good in ["zstd", "zstd:1", "zstd:19"] {
            assert!(compression(good).is_ok(), "{good}");
        }
        for bad in ["", "gzip", "zstd:", "zstd:0", "zstd:20", "zstd:x", "9"] {
            assert!(compression(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_refused_and_a_folder_gets_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        assert!(matches!(
            destination(&args(Some(&file)), "n.db"),
            Ok(Destination::File(_))
        ));
        let Ok(Destination::File(inside)) = destination(&args(Some(folder.path())), "n.db") else {
            panic!("a file")
        };
        assert_eq!(inside.file_name().unwrap(), "n.db");
        std::fs::write(&file, b"precious").unwrap();
        let error = destination(&args(Some(&file)), "n.db").err().unwrap();
        assert_eq!(error.kind, ErrorKind::Refused);
        // What describes another snapshot is not overwritten either.
        std::fs::write(folder.path().join("y.db.json"), b"{}").unwrap();
        let error = destination(&args(Some(&folder.path().join("y.db"))), "n.db")
            .err()
            .unwrap();
        assert_eq!(error.kind, ErrorKind::Refused);
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let error = destination(&args(Some(&folder.path().join("no/x.db"))), "n.db")
            .err()
            .unwrap();
        assert!(
            error.chain().contains("cannot be used"),
            "{}",
            error.chain()
        );
    }
}
