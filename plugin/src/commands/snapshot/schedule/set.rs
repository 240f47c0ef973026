//! `kubectl etcd snapshot schedule set`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{EnumValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use etcd_operations::snapshot_name::SnapshotName;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::Api;
use kube::api::ListParams;

use super::{ground, listed, name, trouble};
use crate::args::{FleetArgs, NamedOutputArgs, WayArgs};
use crate::commands::Context;
use crate::commands::snapshot::save::PackingArgs;
use crate::commands::snapshot::stored::{FolderArgs, prune::RuleArgs};
use crate::views::Format;
use crate::views::schedule::{Change, ScheduleChange, manifests};
use kubectl_etcd_core::connection::OWN_NAMESPACE;
use kubectl_etcd_core::discovery::named_volumes;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::format::and;
use kubectl_etcd_core::outcome::run_error;
use kubectl_etcd_core::runners::program::Program;
use kubectl_etcd_core::schedule::{
    Applied, Masters, NamedPaths, Place, Schedule, apply, due_after, is_kubernetes_own, places,
    remove, render,
};
use kubectl_etcd_core::session::Session;

const EXAMPLES: &str = "\
Examples:
  # Every night at three, on a node that is up; what no rule keeps is removed afterwards
  kubectl etcd snapshot schedule set --cron '0 3 * * *' --keep-last 7 --keep-weekly 8

  # On every control-plane node, with its manifests and the kubeadm configuration, every six hours
  kubectl etcd snapshot schedule set --cron '0 */6 * * *' --on all --bundle --keep-within 168h

  # As YAML, for GitOps
  kubectl etcd snapshot schedule set --cron '0 3 * * *' --image ghcr.io/…@sha256:… --dry-run -o yaml

The same command again changes the schedule; what is not given has its default. Snapshots hold every \
Secret of the cluster; they stay on the control-plane nodes, in a folder that only root may read. \
A bundle holds the files of the one node it is taken on; with --with-pki its certificates and \
private keys too.
Exit codes: 0 set, 2 not a schedule (the apiserver says what is wrong).";

/// What `--on` takes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// On one that is up, which the scheduler picks
    One,
    /// On each of them
    All,
}

impl From<Which> for Masters {
    fn from(which: Which) -> Self {
        match which {
            Which::One => Self::One,
            Which::All => Self::All,
        }
    }
}

/// Set the schedule: create its CronJobs, or change them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SetArgs {
    /// When to take snapshots, as cron writes it: minute, hour, day, month, day of the week
    #[arg(long, value_name = "EXPRESSION")]
    cron: String,
    /// On which control-plane nodes each run takes one
    #[arg(long = "on", alias = "masters", value_name = "WHICH", value_parser = EnumValueParser::<Which>::new().map(Masters::from), default_value = "one")]
    masters: Masters,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    packing: PackingArgs,
    /// Time zone of the schedule, such as Europe/Berlin
    #[arg(long, value_name = "NAME", default_value = "Etc/UTC")]
    time_zone: String,
    /// What the snapshots' names begin with
    #[arg(long, value_name = "TEXT", default_value = "etcd")]
    prefix: Prefix,
    /// Only show what would be done; with -o yaml or json: the manifests
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    kept: FolderArgs,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// What names begin with: it makes names that are safe.
#[derive(Debug, Clone)]
struct Prefix(String);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Room for the time and the ending.
        if text.len() > 100 || format!("{text}-").parse::<SnapshotName>().is_err() {
            return Err("letters, digits, `.`, `_` and `-`, at most 100 of them".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl SetArgs {
    /// What was typed, decided.
    fn schedule(&self) -> Result<Schedule, Error> {
        Ok(Schedule {
            cron: self.cron.trim().to_owned(),
            time_zone: self.time_zone.clone(),
            masters: self.masters,
            folder: free_folder(self.kept.folder()?)?,
            prefix: self.prefix.0.clone(),
            packing: self.packing.wanted(),
            rules: Some(self.rules.rules()).filter(|rules| !rules.are_none()),
            image: self.way.image.clone(),
            image_pull_secrets: self.way.image_pull_secret.clone(),
            taints: Vec::new(),
            timeout_seconds: self.way.timeout.map(|limit| limit.as_secs()),
        })
    }

    /// Whether the manifests are wanted and nothing else.
    fn manifests_only(&self) -> bool {
        self.dry_run && matches!(self.output.output, Format::Yaml | Format::Json)
    }
}

/// What to say of an image's name that may stand for another image tomorrow: each run of the schedule pulls it anew on a
/// node that lacks it, and starts it as root.
fn changeable(reference: &str) -> Option<String> {
    let is_digest = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
    if is_digest(digest) {
        return None;
    }
    // A colon before the last slash is a port's.
    let tag = name.rfind(':').filter(|at| !name[*at..].contains('/'));
    let name = tag.map_or(name, |at| &name[..at]);
    Some(format!(
        "the image is named by a tag, which can change; name it by digest: {name}@sha256:…"
    ))
}

/// Refuses a folder whose mount would hide what the pod itself needs.
fn free_folder(folder: PathBuf) -> Result<PathBuf, Error> {
    const TAKEN: [&str; 5] = ["/host", "/carried", "/proc", "/sys", "/dev"];
    let taken = TAKEN.iter().any(|taken| folder.starts_with(taken));
    if taken || folder == Path::new("/") {
        let shown = folder.display();
        return Err(Error::usage(format!("snapshots cannot be kept in {shown}"))
            .hint("name another folder with --folder"));
    }
    Ok(folder)
}

/// Sets the schedule.
///
/// # Errors
/// When the apiserver refuses it; when the program cannot be uploaded.
pub async fn set(context: &Context<'_>, args: SetArgs) -> Result<Verdict, Error> {
    let mut schedule = args.schedule()?;
    if let Some(warning) = schedule.image.as_deref().and_then(changeable) {
        context.ui.warn(&warning);
    }
    if let (true, Masters::One, Some(reference)) =
        (args.manifests_only(), args.masters, &schedule.image)
    {
        // Nothing of a cluster stands in it, so none has to be there.
        let rendered = without_cluster(context, &schedule, reference);
        return print(context, &args, &[rendered]);
    }
    let session = context
        .open(&FleetArgs::everywhere(args.way.clone()))
        .await?;
    if args.masters == Masters::One {
        schedule.taints = own_taints(&session).await?;
    }
    let cluster = session.cluster()?;
    let program = &if args.dry_run {
        cluster.program_preview()
    } else {
        let program = cluster.program().await;
        let program = program.map_err(|error| run_error("schedule", &error))?;
        program.clone()
    };
    let namespace = &cluster.connection.namespace;
    let places = mounted_places(&session, &args, &schedule).await?;
    if matches!(program, Program::Carried(_)) {
        check_images(context, &session, &places);
    }
    let wanted: Vec<CronJob> = places
        .iter()
        .map(|place| render(&schedule, place, program, namespace))
        .collect();
    if args.manifests_only() {
        if matches!(program, Program::Carried(_)) {
            context.ui.warn(
                "these mount the ConfigMaps of the carried program, which are not among them: to apply them elsewhere, use --image",
            );
        }
        return print(context, &args, &wanted);
    }
    let mut view = ScheduleChange::new(args.dry_run, namespace.clone());
    change(&session, &wanted, args.dry_run, &mut view).await?;
    view.next = due_after(&schedule.cron, &schedule.time_zone, Timestamp::now());
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}

/// A CronJob that names nothing of the cluster it is for.
fn without_cluster(context: &Context<'_>, schedule: &Schedule, reference: &str) -> CronJob {
    let program = Program::Image {
        reference: reference.to_owned(),
        pull_secrets: schedule.image_pull_secrets.clone(),
    };
    let namespace = context.connection.namespace.as_deref();
    let namespace = namespace.unwrap_or(OWN_NAMESPACE);
    render(schedule, &Place::of_kubeadm(), &program, namespace)
}

fn print(context: &Context<'_>, args: &SetArgs, wanted: &[CronJob]) -> Result<Verdict, Error> {
    context.ui.print(&manifests(wanted, args.output.output)?)?;
    Ok(Verdict::Healthy)
}

/// What the runs mount, which each of them has to find at the same path.
async fn mounted_places(
    session: &Session,
    args: &SetArgs,
    schedule: &Schedule,
) -> Result<Vec<Place>, Error> {
    let named = if schedule.packing.has_keys() {
        let named = named_volumes(&session.cluster()?.connection.control).await;
        named.map_err(|error| trouble("listing the static pods", error))?
    } else {
        NamedPaths::new()
    };
    let places = places(args.masters, session.nodes(), &named);
    if places.iter().all(Place::is_uniform) {
        return Ok(places);
    }
    Err(Error::refused(
        "etcd's certificates do not lie at the same paths on all control-plane nodes, and a run mounts them by path",
    )
    .hint("--on all makes one CronJob for each node, with its own paths"))
}

/// First everything is tried, so that a refusal leaves all as it was.
async fn change(
    session: &Session,
    wanted: &[CronJob],
    dry_run: bool,
    view: &mut ScheduleChange,
) -> Result<(), Error> {
    let (client, namespace) = ground(session)?;
    let before = listed(session).await?;
    let mut tried = Vec::new();
    for one in wanted {
        let applied = apply(client, namespace, one, &before, true).await;
        tried.push(applied.map_err(|error| trouble("trying the CronJob", error))?);
    }
    let gone = before.iter().filter(|one| {
        let mut stay = wanted.iter().map(name);
        !stay.any(|stays| stays == name(one))
    });
    for (one, tried) in wanted.iter().zip(tried) {
        let applied = if dry_run {
            tried
        } else {
            let applied = apply(client, namespace, one, &before, false).await;
            applied.map_err(|error| trouble("setting the CronJob", error))?
        };
        view.add(
            name(one),
            match applied {
                Applied::Created => Change::Created,
                Applied::Updated => Change::Updated,
                Applied::Unchanged => Change::Unchanged,
            },
        );
    }
    for one in gone {
        if !dry_run {
            let removed = remove(client, namespace, name(one)).await;
            removed.map_err(|error| trouble("removing a CronJob", error))?;
        }
        view.add(name(one), Change::Removed);
    }
    Ok(())
}

/// The keys of the control-plane nodes' taints that Kubernetes does not give by itself: a run has to tolerate them.
async fn own_taints(session: &Session) -> Result<Vec<String>, Error> {
    let (client, _) = ground(session)?;
    let nodes = Api::<k8s_openapi::api::core::v1::Node>::all(client.clone());
    let all = nodes.list(&ListParams::default().match_any()).await;
    let all = all.map_err(|error| trouble("listing the nodes", error))?;
    let masters = all.items.into_iter().filter(|node| {
        let name = node.metadata.name.as_deref();
        session
            .nodes()
            .iter()
            .any(|one| Some(one.name.as_str()) == name)
    });
    let taints = masters.flat_map(|node| node.spec.unwrap_or_default().taints.unwrap_or_default());
    let keys: BTreeSet<String> = taints.map(|taint| taint.key).collect();
    Ok(keys
        .into_iter()
        .filter(|key| !is_kubernetes_own(key))
        .collect())
}

/// The carried program is started in the image of etcd, which no pod pulls.
fn check_images(context: &Context<'_>, session: &Session, places: &[Place]) {
    let mut images: Vec<&str> = session
        .nodes()
        .iter()
        .filter_map(|node| node.target()?.image.as_deref())
        .collect();
    images.sort_unstable();
    images.dedup();
    let [any] = places else { return };
    let (None, Some(image)) = (&any.node, any.image()) else {
        return;
    };
    if images.len() > 1 {
        context.ui.warn(&format!(
            "the control-plane nodes run different etcd images ({}): a run on one that lacks {image} fails, and is tried again",
            and(&images)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_makes_names() {
        for good in ["etcd", "prod.eu-1"] {
            assert!(good.parse::<Prefix>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "a/b", "..", &"x".repeat(101)] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_without_a_digest_is_warned_of() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in [
            format!("r.example:5000/a/b@{digest}"),
            format!("a:v1@{digest}"),
        ] {
            assert_eq!(changeable(&good), None, "{good}");
        }
        for (bad, name) in [
            ("a", "a"),
            ("a:v1", "a"),
            ("r.example:5000/a", "r.example:5000/a"),
            ("r.example:5000/a/b:v1", "r.example:5000/a/b"),
            ("a:v1@sha256:0a", "a"),
            ("a@", "a"),
        ] {
            let said = changeable(bad).unwrap();
            assert!(
                said.ends_with(&format!("by digest: {name}@sha256:…")),
                "{said}"
            );
        }
    }

    #[test]
    fn a_folder_hides_nothing_of_the_pod() {
        for bad in ["/", "/host", "/host/x", "/carried/x", "/dev/shm"] {
            assert!(free_folder(bad.into()).is_err(), "{bad}");
        }
        for good in ["/var/lib/etcd-snapshots", "/hosts", "/backup"] {
            assert!(free_folder(good.into()).is_ok(), "{good}");
        }
    }
}
