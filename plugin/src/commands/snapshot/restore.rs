//! `kubectl etcd snapshot restore`

use std::num::NonZeroU64;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use etcd_datadir::restore::{
    EtcdVersion, NewMember, RawDatabase, RestoreError, RestoreOptions, RestoreTarget,
    StoragePolicy, Token, check_request, restore_source,
};

use crate::args::{OfflineArgs, OutputArgs};
use crate::input::{self, Input};
use crate::ui::Ui;
use crate::views::restore::Restored;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};

const EXAMPLES: &str = "\
Examples:
  # One member of its own, for a look
  kubectl etcd snapshot restore etcd.db --data-dir ./restored

  # The same from a bundle; nothing of it but the database is restored
  kubectl etcd snapshot restore etcd.tar.zst --data-dir ./restored

  # The member of cp-1, in a new cluster of two; the same on cp-2 with its name
  kubectl etcd snapshot restore etcd.db --data-dir /var/lib/etcd-new --name cp-1 \\
    --initial-cluster cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380 \\
    --initial-cluster-token after-outage-7 --bump-revision 1000000000

  # All members at once, below one folder
  kubectl etcd snapshot restore etcd.db --data-dir ./restored --all-members --initial-cluster …

Members restored one by one need the same --initial-cluster-token: without it each run makes a \
cluster of its own.
Exit codes: 0 restored, 4 the snapshot is damaged, 5 refused: the directory is there already, or \
no sha256 trailer.";

/// Make new data directories from a snapshot, for one member or for all of a new cluster
///
/// Everything is checked while it is written and read back before a directory gets its name. Nothing is ever restored
/// over a directory that is there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    /// Snapshot to restore: a file, plain or compressed, alone in a tar or zip archive, a bundle, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Data directory to make; with --all-members the folder that gets one for each
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Directory to make for the WAL, outside of the data directory
    #[arg(long, value_name = "DIR", conflicts_with = "all_members")]
    wal_dir: Option<PathBuf>,
    /// The member's name
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// All members of the new cluster, as name=peerURL,…
    #[arg(long, value_name = "LIST")]
    initial_cluster: Option<String>,
    /// Peer URLs of the one member, when no --initial-cluster is given
    #[arg(
        long,
        value_name = "URLS",
        default_value = "http://localhost:2380",
        conflicts_with = "initial_cluster"
    )]
    initial_advertise_peer_urls: String,
    /// Token of the new cluster; a fresh one unless given
    #[arg(long, value_name = "TOKEN")]
    initial_cluster_token: Option<String>,
    /// Restore every member of --initial-cluster, into DIR/NAME
    #[arg(long, requires = "initial_cluster", conflicts_with = "name")]
    all_members: bool,
    /// Raise the revision by so much and mark all before compacted, so that no watch goes on from before
    #[arg(long, value_name = "N")]
    bump_revision: Option<NonZeroU64>,
    /// As with etcdutl; always done with --bump-revision
    #[arg(long, requires = "bump_revision")]
    mark_compacted: bool,
    /// The version of etcd that is to run on it, such as 3.6: refused if that would not start
    #[arg(long, value_name = "VERSION", value_parser = etcd_version)]
    for_etcd: Option<EtcdVersion>,
    /// Lower the storage version for that etcd instead of refusing
    #[arg(long, requires = "for_etcd")]
    lower_storage_version: bool,
    /// Take a file without sha256 trailer, whose values nobody can prove to be what etcd wrote
    #[arg(long)]
    accept_unproven_data: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    _offline: OfflineArgs,
}

fn etcd_version(text: &str) -> Result<EtcdVersion, String> {
    EtcdVersion::parse(text).ok_or_else(|| format!("`{text}` is not a version of etcd such as 3.6"))
}

/// Restores one member or all.
///
/// # Errors
/// When the options contradict each other, the snapshot is damaged, or a directory is there already.
pub async fn restore(ui: &Ui, args: RestoreArgs) -> Result<Verdict, Error> {
    let (options, targets) = meaning(&args)?;
    let input = Input::parse(&args.file)?;
    let name = input.name();
    // Before a large file is unpacked for nothing.
    check_request(&targets, &options).map_err(refusal)?;
    let report = input::work(ui, input, "restoring", move |opened, on_progress| {
        restore_source(&opened.source, &targets, &options, on_progress)
    })
    .await?
    .map_err(refusal)?;
    let initial_cluster = args.initial_cluster.as_deref();
    ui.show(
        &Restored::new(name, &report, initial_cluster),
        args.output.output,
    )?;
    Ok(Verdict::Healthy)
}

fn meaning(args: &RestoreArgs) -> Result<(RestoreOptions, Vec<RestoreTarget>), Error> {
    let list = match &args.initial_cluster {
        Some(list) => list.clone(),
        None => {
            let urls = args
                .initial_advertise_peer_urls
                .split(',')
                .map(|url| format!("{}={url}", args.name));
            urls.collect::<Vec<_>>().join(",")
        }
    };
    let members = NewMember::parse_list(&list).map_err(|cause| Error::usage(cause.to_string()))?;
    let target = |name: &str, dir: PathBuf| RestoreTarget {
        wal_dir: args.wal_dir.clone(),
        ..RestoreTarget::new(name, dir)
    };
    let targets = if args.all_members {
        let own = |member: &NewMember| {
            let dir = folder_of(&args.data_dir, &member.name)?;
            Ok(target(&member.name, dir))
        };
        members.iter().map(own).collect::<Result<_, Error>>()?
    } else {
        vec![target(&args.name, args.data_dir.clone())]
    };
    let options = RestoreOptions {
        token: args
            .initial_cluster_token
            .clone()
            .map_or(Token::Fresh, Token::Given),
        bump_revision: args.bump_revision,
        raw: if args.accept_unproven_data {
            RawDatabase::AcceptAfterCheck
        } else {
            RawDatabase::Refuse
        },
        for_etcd: args.for_etcd,
        storage: if args.lower_storage_version {
            StoragePolicy::Lower
        } else {
            StoragePolicy::Keep
        },
        ..RestoreOptions::new(members)
    };
    Ok((options, targets))
}

/// DIR/NAME, and nowhere else: etcd takes any text for a name.
fn folder_of(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(dir.join(only)),
        _ => Err(Error::usage(format!(
            "no directory can be named {name:?} as that member is: restore it without --all-members"
        ))),
    }
}

fn refusal(error: RestoreError) -> Error {
    let message = error.to_string();
    match error {
        RestoreError::Options(_) => Error::usage(message),
        RestoreError::Files(cause) => Error::from(cause),
        RestoreError::Exists(_) => Error::refused(message),
        RestoreError::Raw { .. } => Error::refused(message)
            .hint("--accept-unproven-data takes it after every page and record was read; a changed value goes unnoticed"),
        RestoreError::InUse { .. } => Error::refused(message).hint("take a snapshot of it: kubectl etcd snapshot save"),
        RestoreError::StorageVersion { .. } | RestoreError::ClusterVersion { .. } => {
            Error::refused(message).hint("--lower-storage-version lowers it in the restored directory")
        }
        RestoreError::UnknownStorageVersion { .. } | RestoreError::BumpTooLarge { .. } => Error::failed(message),
        RestoreError::ReadBack { .. } => Error::new(ErrorKind::Failed, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_name_names_a_folder_in_the_one_given_or_none() {
        let dir = Path::new("/restored");
        assert_eq!(folder_of(dir, "cp-1").unwrap(), Path::new("/restored/cp-1"));
        for name in ["", ".", "..", "../x", "/etc", "a/b", "a/"] {
            assert!(folder_of(dir, name).is_err(), "{name:?}");
        }
    }
}
