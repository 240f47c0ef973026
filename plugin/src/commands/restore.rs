//! `kubectl etcd restore`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use etcd_datadir::identity::identity;
use etcd_datadir::inspect::inspect;
use etcd_datadir::progress::OnProgress;
use etcd_datadir::source::{FileSource, Source};
use etcd_datadir::status::Status;
use etcd_datadir::verify::{Sha256State, VerifyOptions, verify};
use etcd_operations::look::{ClusterIdentity, ETCD_PREFIX, LookOptions};
use etcd_operations::pack::unpack::{Found, Opened};
use etcd_operations::plan::Plan;
use etcd_operations::plan::make::{
    Compared, HostView, Restoring, SnapshotFacts, Taken, TakenBy, restore as plan, revisions,
};
use etcd_operations::report::NO_OBJECTS;
use etcd_operations::stored::description::Description;
use etcd_operations::transfer::hex;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::Context;
use super::life::carry_out;
use super::making::Making;
use super::planned::{Accepted, PlanArgs, Planned, WhoArgs};
use crate::files;
use crate::input::{self, Input};
use crate::ui::Ui;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::executor::Hosts;
use kubectl_etcd_core::executor::gather::alive_elsewhere;
use kubectl_etcd_core::executor::run::Bring;
use kubectl_etcd_core::runners::host::Host;
use kubectl_etcd_core::spool::spool_folder;

const EXAMPLES: &str = "\
Examples:
  # What would be done and what would be lost?
  kubectl etcd restore etcd.db --ssh --dry-run

  # On a control-plane node, with the others over ssh: all members anew from one snapshot
  kubectl etcd restore etcd.tar.zst --ssh

  # A cluster with one control-plane node
  kubectl etcd restore etcd.db

  # Two of three control-plane nodes are gone for good: what is left becomes the cluster
  kubectl etcd restore etcd.db --without cp-2,cp-3

  # No ssh: on this control-plane node alone. What to run on each of the others is in the plan
  kubectl etcd restore etcd.db --this-node-only --dry-run

Run it as root on a control-plane node, or with --ssh from anywhere. The old data is moved aside, \
never deleted; kubectl etcd plan undo brings it back.
Exit codes: 0 done and checked, 1 a step failed, 4 the snapshot is damaged, 5 refused or not \
confirmed, 6 nothing could be reached.";

/// Make the cluster anew from a snapshot: every member, then the apiservers, and what watched the old past
///
/// The restored members get a cluster id of their own, so that no old member can mix with them, and a revision above any
/// that was seen, so that no client goes on from before.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    /// Snapshot: a file, plain or compressed, alone in a tar or zip archive, a bundle, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Control-plane nodes that are gone for good and get no member
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    without: Vec<String>,
    /// Restore although the snapshot is of another cluster, by its namespace kube-system, its CA or its members
    #[arg(long)]
    another_cluster: bool,
    /// Agree to the loss of what was written after the snapshot; needed with --yes
    #[arg(long)]
    accept_data_loss: bool,
    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

/// A snapshot as it is sent to hosts.
pub(crate) struct Snapshot {
    file: NamedTempFile,
    /// Whether an object of Kubernetes is in it, events aside.
    has_objects: bool,
    /// What is planned with.
    pub(crate) facts: SnapshotFacts,
}

impl Bring for Snapshot {
    async fn snapshot(&self, host: &Host, plan: &Plan) -> Result<(), Error> {
        let to = etcd_operations::plan::Plans::default().snapshot_of(&plan.id);
        host.put(self.file.path(), &to, self.facts.bytes).await
    }
}

/// Plans, asks, and makes the cluster anew.
///
/// # Errors
/// When the snapshot is no good, a safety check refuses, or a step fails.
pub async fn restore(context: &Context<'_>, args: RestoreArgs) -> Result<Verdict, Error> {
    let snapshot = read(context.ui, &args.file).await?;
    if !snapshot.has_objects && !args.another_cluster {
        return Err(Error::refused(format!(
            "{}: {NO_OBJECTS}",
            Input::parse(&args.file)?.name()
        ))
        .hint(
            "kubectl etcd snapshot list shows others; --another-cluster restores it all the same",
        ));
    }
    let hosts = args.who.gather(context).await?.hosts;
    let plan_of = async |now| {
        let looked = hosts.look(LookOptions::WITHOUT_DATABASES).await?;
        let what = Restoring {
            identity: identify(context.ui, &snapshot, &looked).await?,
            databases: compare(&hosts, &looked, snapshot.facts.revision).await?,
            another_cluster: args.another_cluster,
            snapshot: snapshot.facts.clone(),
            name: Input::parse(&args.file)?.name(),
            token: token(),
            without: args.without.iter().cloned().collect(),
            alive_elsewhere: alive_elsewhere(&looked).await,
            taking_part: args.who.taking_part(),
        };
        let made = plan(&looked, &what, now);
        Planned::new(looked, made, &args.who.manifest)
    };
    let making = Making {
        hosts: &hosts,
        accepted: Accepted::data_loss(args.accept_data_loss),
        bring: &snapshot,
        surroundings: context.apiservers(args.who.this_node_only),
        now: Timestamp::now(),
        plan_of,
    };
    carry_out(&making, context.ui, args.plan.consent()).await
}

/// A name that no cluster had before.
pub(crate) fn token() -> String {
    let now = Timestamp::now();
    format!(
        "kubectl-etcd-{}-{}",
        now.as_nanosecond(),
        std::process::id()
    )
}

/// Reads all of a snapshot, checks it, and has it unpacked in a file of its own.
pub(crate) async fn read(ui: &Ui, file: &Path) -> Result<Snapshot, Error> {
    let input = Input::parse(file)?;
    let path = match &input {
        Input::File(path) => Some(path.clone()),
        Input::Stdin => None,
    };
    input::work(ui, input, "checking", move |opened, on_progress| {
        let source = &opened.source;
        let found = verify(source, &VerifyOptions::default(), None, on_progress)
            .map_err(Error::from)?;
        if let Some(fatal) = found.findings.iter().find(|finding| finding.fatal) {
            return Err(Error::new(
                kubectl_etcd_core::error::ErrorKind::QuorumLostOrDamaged,
                format!("the snapshot is damaged: {}", fatal.damage),
            )
            .hint("kubectl etcd snapshot list shows others"));
        }
        if !matches!(found.sha256, Sha256State::Good { .. }) {
            return Err(Error::refused(
                "it has no sha256 trailer: it is a database file and not a snapshot, and nothing proves that it is whole",
            )
            .hint("take a snapshot, or use kubectl etcd recover on the host whose database it is"));
        }
        let known = inspect(source, ETCD_PREFIX, on_progress).map_err(Error::from)?;
        let youngest = known.kubernetes.newest_object;
        let taken = described(opened, path.as_deref(), found.status.as_ref())
            .or_else(|| dated(path.as_deref()?))
            .or_else(|| of_youngest(youngest?));
        let (file, sha256, bytes) = copied(source)?;
        Ok(Snapshot {
            facts: SnapshotFacts {
                sha256,
                bytes,
                revision: known.revision,
                members: known.members.iter().map(|member| member.name.clone()).collect(),
                peer_urls: known
                    .members
                    .iter()
                    .flat_map(|member| member.peer_urls.clone())
                    .collect(),
                taken,
            },
            has_objects: found.status.as_ref().is_some_and(|status| status.has_objects),
            file,
        })
    })
    .await?
}

/// A copy with a name, for root alone, which is gone with this process unless that is killed.
fn copied(source: &FileSource) -> Result<(NamedTempFile, String, u64), Error> {
    let folder = spool_folder();
    let failed = |error: std::io::Error| {
        Error::failed(format!(
            "no copy of the snapshot can be made in {}",
            folder.display()
        ))
        .hint("set TMPDIR to a folder with more room")
        .caused_by(error)
    };
    let mut file = NamedTempFile::with_prefix_in("kubectl-etcd-", &folder).map_err(failed)?;
    let (mut digest, mut at, mut buffer) = (Sha256::new(), 0_u64, vec![0; 1 << 20]);
    let size = source.size();
    while at < size {
        let want = usize::try_from((size - at).min(buffer.len() as u64)).unwrap_or(buffer.len());
        let part = &mut buffer[..want];
        source.read_exact_at(part, at).map_err(Error::from)?;
        digest.update(&*part);
        file.write_all(part).map_err(failed)?;
        at += want as u64;
    }
    file.flush().map_err(failed)?;
    Ok((file, hex(&digest.finalize()), size))
}

/// When a snapshot was taken, by what was written about it then: in its bundle, or in the file beside it.
fn described(opened: &Opened, path: Option<&Path>, status: Option<&Status>) -> Option<Taken> {
    let description = match &opened.found {
        Found::Bundle(description) => (**description).clone(),
        Found::Plain | Found::Zstd | Found::Foreign(_) => Description::beside(path?).ok()??,
    };
    description.snapshot.is_of(status?).then_some(Taken {
        at: description.snapshot.taken_at,
        by: TakenBy::Description,
    })
}

fn dated(path: &Path) -> Option<Taken> {
    let modified = path.metadata().ok()?.modified().ok()?;
    Some(Taken {
        at: modified.try_into().ok()?,
        by: TakenBy::File,
    })
}

fn of_youngest(seconds: i64) -> Option<Taken> {
    Some(Taken {
        at: Timestamp::from_second(seconds).ok()?,
        by: TakenBy::YoungestObject,
    })
}

/// Which cluster a snapshot is of, by its objects under the prefix that the apiservers here have.
async fn identify(
    ui: &Ui,
    snapshot: &Snapshot,
    hosts: &[HostView],
) -> Result<ClusterIdentity, Error> {
    let mut apiservers = hosts.iter().filter_map(|host| host.look.apiserver.ok());
    let prefix = apiservers.find_map(|one| one.etcd_prefix.clone());
    let prefix = prefix.unwrap_or_else(|| ETCD_PREFIX.to_owned());
    let path = snapshot.file.path().to_owned();
    let job = move |on_progress: OnProgress<'_>| {
        let source = FileSource::open(&path)?;
        identity(&source, &prefix, on_progress)
    };
    let found = files::work(ui, "the snapshot", "looking whose it is", job).await?;
    found.map(ClusterIdentity::from).map_err(Error::from)
}

/// Asks the hosts what their databases have beyond the snapshot, the one with the newest first, until one answers.
async fn compare(
    hosts: &Hosts,
    looked: &[HostView],
    revision: u64,
) -> Result<Vec<Compared>, Error> {
    let mut databases = Vec::new();
    for newest in revisions(looked) {
        let since = hosts.of(&newest.node)?.since(revision).await;
        let answered = since.ok().is_some();
        let node = newest.node;
        databases.push(Compared { node, since });
        if answered {
            break;
        }
    }
    Ok(databases)
}
