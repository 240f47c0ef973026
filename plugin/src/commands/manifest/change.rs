//! `kubectl etcd manifest set-flag`, `unset-flag`, `set-image`, `stop`, `start`

use std::path::PathBuf;

use clap::Args;
use etcd_operations::look::LookOptions;
use etcd_operations::manifest::{
    Component, Edit, FlagName, FlagProblem, FlagValue, ImageName, Manifest,
};
use etcd_operations::plan::make::{ManifestChange, manifest};
use jiff::Timestamp;

use crate::commands::Context;
use crate::commands::life::carry_out;
use crate::commands::making::Making;
use crate::commands::planned::{Accepted, Nothing, PlanArgs, Planned, name_manifests};
use crate::views::manifest_diff::ManifestDiff;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::executor::Hosts;

const SET_FLAG: &str = "\
Examples:
  # A larger quota for this node's etcd
  kubectl etcd manifest set-flag etcd quota-backend-bytes=8589934592

  # Several flags at once, one of them a switch
  kubectl etcd manifest set-flag etcd election-timeout=5000 heartbeat-interval=500 enable-pprof

Run it on the control-plane node itself, as root, on one after another.
Exit codes: 0 done and ready again, 1 failed, 2 etcd would not take the flag or its value, \
5 refused or not confirmed.";

const UNSET_FLAG: &str = "\
Examples:
  # What somebody forgot after a recovery by hand
  kubectl etcd manifest unset-flag etcd force-new-cluster

Exit codes: 0 done and ready again, 1 failed, 5 refused or not confirmed.";

const SET_IMAGE: &str = "\
Examples:
  kubectl etcd manifest set-image etcd registry.k8s.io/etcd:3.6.6-0

Exit codes: 0 done and ready again, 1 failed, 2 the manifest has flags that this etcd does not have, \
5 refused or not confirmed.";

const STOP: &str = "\
Examples:
  # The apiserver of this node, until it is started again
  kubectl etcd manifest stop kube-apiserver

Its manifest is moved out of kubelet's folder; nothing is deleted. It is proved gone: no container, \
no process, its ports free, and of etcd the lock on its data.
Exit codes: 0 stopped, 1 failed, 5 refused or not confirmed.";

const START: &str = "\
Examples:
  kubectl etcd manifest start kube-apiserver

Exit codes: 0 it is ready, 1 failed, 5 refused or not confirmed.";

/// Set flags of a component in its manifest, and start it with them
///
/// Nothing else in the manifest changes: comments, order, quotes and indentation stay. What was there before is kept.
#[derive(Debug, Args)]
#[command(after_help = SET_FLAG)]
pub(super) struct SetFlagArgs {
    /// Component, such as etcd or kube-apiserver
    #[arg(value_name = "COMPONENT")]
    component: String,
    /// Flags as FLAG=VALUE, or FLAG for a switch that is on
    #[arg(value_name = "FLAG=VALUE", required = true, value_parser = flag)]
    flags: Vec<Edit>,
    /// Set flags of etcd that this version of kubectl etcd does not know: etcd does not start if it does not know them either
    #[arg(long)]
    accept_unknown_flags: bool,
    #[command(flatten)]
    how: HowArgs,
}

/// Remove flags of a component from its manifest, and start it without them
#[derive(Debug, Args)]
#[command(after_help = UNSET_FLAG)]
pub(super) struct UnsetFlagArgs {
    /// Component, such as etcd or kube-apiserver
    #[arg(value_name = "COMPONENT")]
    component: String,
    /// Flags
    #[arg(value_name = "FLAG", required = true)]
    flags: Vec<FlagName>,
    #[command(flatten)]
    how: HowArgs,
}

/// Set the image of a component in its manifest, and start it with that
#[derive(Debug, Args)]
#[command(after_help = SET_IMAGE)]
pub(super) struct SetImageArgs {
    /// Component, such as etcd or kube-apiserver
    #[arg(value_name = "COMPONENT")]
    component: String,
    /// Image
    #[arg(value_name = "IMAGE")]
    image: ImageName,
    /// Set it although the manifest has flags that etcd does not have in this version, as far as kubectl etcd knows
    #[arg(long)]
    accept_unknown_flags: bool,
    #[command(flatten)]
    how: HowArgs,
}

/// Stop a component of this node and keep it stopped
#[derive(Debug, Args)]
#[command(after_help = STOP)]
pub(super) struct StopArgs {
    /// Component, such as etcd or kube-apiserver
    #[arg(value_name = "COMPONENT")]
    component: String,
    #[command(flatten)]
    how: HowArgs,
}

/// Start a component of this node that was stopped
#[derive(Debug, Args)]
#[command(after_help = START)]
pub(super) struct StartArgs {
    /// Component, such as etcd or kube-apiserver
    #[arg(value_name = "COMPONENT")]
    component: String,
    /// Manifest to start it from: an archived copy, or a file of your own [default: the last that was taken out]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
struct HowArgs {
    /// Go on although the cluster loses its quorum while this node's etcd is down
    #[arg(long)]
    accept_outage: bool,
    #[command(flatten)]
    plan: PlanArgs,
}

fn flag(text: &str) -> Result<Edit, String> {
    let (flag, value) = match text.split_once('=') {
        Some((flag, value)) => (flag, Some(value)),
        None => (text, None),
    };
    let value = value.map(str::parse::<FlagValue>).transpose();
    Ok(Edit::SetFlag {
        flag: flag
            .trim_start_matches('-')
            .parse()
            .map_err(|error: <FlagName as std::str::FromStr>::Err| error.to_string())?,
        value: value.map_err(|error| error.to_string())?,
    })
}

pub(super) async fn set_flag(context: &Context<'_>, args: SetFlagArgs) -> Result<Verdict, Error> {
    let unknown = Unknown::of(args.accept_unknown_flags);
    changed(context, &args.component, args.flags, unknown, &args.how).await
}

pub(super) async fn unset_flag(
    context: &Context<'_>,
    args: UnsetFlagArgs,
) -> Result<Verdict, Error> {
    let edits = args.flags.into_iter().map(|flag| Edit::UnsetFlag { flag });
    let edits = edits.collect();
    changed(
        context,
        &args.component,
        edits,
        Unknown::Accepted,
        &args.how,
    )
    .await
}

pub(super) async fn set_image(context: &Context<'_>, args: SetImageArgs) -> Result<Verdict, Error> {
    let edit = Edit::SetImage { image: args.image };
    let edits = vec![edit];
    let unknown = Unknown::of(args.accept_unknown_flags);
    changed(context, &args.component, edits, unknown, &args.how).await
}

pub(super) async fn stop(context: &Context<'_>, args: StopArgs) -> Result<Verdict, Error> {
    done(
        context,
        &args.component,
        ManifestChange::Stopped,
        &[],
        &args.how,
    )
    .await
}

pub(super) async fn start(context: &Context<'_>, args: StartArgs) -> Result<Verdict, Error> {
    let named: Vec<PathBuf> = args.manifest.into_iter().collect();
    let wanted = ManifestChange::Started;
    done(context, &args.component, wanted, &named, &args.how).await
}

/// What becomes of flags that are not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Accepted,
    Refused,
}

impl Unknown {
    fn of(accepted: bool) -> Self {
        match accepted {
            true => Self::Accepted,
            false => Self::Refused,
        }
    }
}

/// Whether etcd would start with these flags, as far as they are known here: a typing error must not stop the control plane.
fn would_start(component: &Component, edits: &[Edit], unknown: Unknown) -> Result<(), Error> {
    let mut problems = component.flag_problems(edits);
    problems.retain(|one| unknown == Unknown::Refused || !one.is_about_the_name());
    if problems.is_empty() {
        return Ok(());
    }
    let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let hints = problems.iter().filter_map(FlagProblem::hint);
    let error = hints.fold(Error::usage(messages.join("; ")), Error::hint);
    let mut of_names = problems.iter().filter(|one| one.is_about_the_name());
    Err(match of_names.next() {
        Some(FlagProblem::Given { .. }) => {
            error.hint("if this etcd has it all the same: --accept-unknown-flags")
        }
        Some(_) => error.hint("a flag of a newer etcd: --accept-unknown-flags"),
        None => error,
    })
}

/// Changes the manifest, unless it is as it should be: then nothing is stopped for it.
async fn changed(
    context: &Context<'_>,
    component: &str,
    edits: Vec<Edit>,
    unknown: Unknown,
    how: &HowArgs,
) -> Result<Verdict, Error> {
    let host = context.this_host()?;
    let text = host.manifest(component).await?;
    let before = Manifest::parse(text.as_bytes())?;
    let found = before.component(component)?;
    would_start(&found, &edits, unknown)?;
    let mut after = before.clone();
    for edit in &edits {
        let edited = after.edit(component, edit)?;
        for note in edited.notes {
            context.ui.warn(&note.to_string());
        }
        after = edited.manifest;
    }
    if after.bytes() == before.bytes() {
        context
            .ui
            .say(&format!("{component} is already as asked: nothing changed"));
        return Ok(Verdict::Healthy);
    }
    if how.plan.dry_run || !how.plan.yes {
        let names = ("the manifest".to_owned(), "the changed manifest".to_owned());
        let view = ManifestDiff::of(component, names, (&before, &after));
        context.ui.tell(&view);
    }
    done(context, component, ManifestChange::Changed(edits), &[], how).await
}

async fn done(
    context: &Context<'_>,
    component: &str,
    wanted: ManifestChange,
    named: &[PathBuf],
    how: &HowArgs,
) -> Result<Verdict, Error> {
    let mut hosts = Hosts::here(context.this_host()?);
    name_manifests(&mut hosts, named)?;
    let plan_of = async |now| {
        let looked = hosts.look(LookOptions::WITHOUT_DATABASES).await?;
        let Some(host) = looked.first() else {
            return Err(Error::failed("no host was looked at"));
        };
        let made = manifest(host, component, &wanted, now);
        Planned::new(looked, made, named)
    };
    let making = Making {
        hosts: &hosts,
        accepted: Accepted {
            outage: how.accept_outage,
            ..Accepted::default()
        },
        bring: &Nothing,
        surroundings: context.apiservers(true),
        now: Timestamp::now(),
        plan_of,
    };
    carry_out(&making, context.ui, how.plan.consent()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubectl_etcd_core::error::ErrorKind;

    #[test]
    fn flags_are_given_as_on_a_command_line_or_without_dashes() {
        for (text, shown) in [
            ("quota-backend-bytes=1", "--quota-backend-bytes=1"),
            ("--quota-backend-bytes=1", "--quota-backend-bytes=1"),
            ("enable-pprof", "--enable-pprof"),
            ("initial-cluster=a=b", "--initial-cluster=a=b"),
        ] {
            assert_eq!(flag(text).unwrap().to_string(), shown);
        }
        assert!(flag("=x").is_err() && flag("").is_err());
    }

    #[test]
    fn what_etcd_would_not_start_with_is_a_usage_error() {
        let text = "kind: Pod\nspec: {containers: [{name: etcd, image: 'e/etcd:3.6.6-0', command: [etcd]}]}\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let component = manifest.component("etcd").unwrap();
        let started =
            |text: &str, unknown| would_start(&component, &[flag(text).unwrap()], unknown);
        let typo = started("qouta-backend-bytes=1", Unknown::Refused).unwrap_err();
        assert_eq!(typo.kind, ErrorKind::Usage);
        assert_eq!(
            crate::advice::hints(&typo),
            [
                "did you mean quota-backend-bytes?",
                "a flag of a newer etcd: --accept-unknown-flags"
            ]
        );
        assert!(started("qouta-backend-bytes=1", Unknown::Accepted).is_ok());
        for unknown in [Unknown::Refused, Unknown::Accepted] {
            let unit = started("quota-backend-bytes=8Gi", unknown).unwrap_err();
            assert_eq!(unit.kind, ErrorKind::Usage);
            assert_eq!(
                crate::advice::hints(&unit),
                ["quota-backend-bytes=8589934592"]
            );
            assert!(started("heartbeat-interval=abc", unknown).is_err());
            assert!(started("auto-compaction-retention=8x", unknown).is_err());
            assert!(started("quota-backend-bytes=8589934592", unknown).is_ok());
        }
    }

    #[test]
    fn an_image_without_flags_of_the_manifest_is_a_usage_error_that_names_each() {
        let text = "kind: Pod\nspec: {containers: [{name: etcd, image: 'e/etcd:3.6.6-0', command: [etcd, \
            --experimental-initial-corrupt-check=true, --experimental-memory-mlock]}]}\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let component = manifest.component("etcd").unwrap();
        let edits = [Edit::SetImage {
            image: "e/etcd:3.7.0-0".parse().unwrap(),
        }];
        let refused = would_start(&component, &edits, Unknown::Refused).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Usage);
        for flag in ["initial-corrupt-check", "memory-mlock"] {
            let flag = format!("--experimental-{flag}, ");
            assert!(refused.message.contains(&flag), "{}", refused.message);
        }
        assert!(
            crate::advice::hints(&refused)[0].ends_with("feature-gates=InitialCorruptCheck=true")
        );
        assert!(crate::advice::hints(&refused)[1].ends_with("there is memory-mlock"));
        assert!(crate::advice::hints(&refused)[2].ends_with("--accept-unknown-flags"));
        assert!(would_start(&component, &edits, Unknown::Accepted).is_ok());
    }
}
