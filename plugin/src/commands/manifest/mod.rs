//! `kubectl etcd manifest`

mod change;
pub mod diff;
pub mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use etcd_operations::kubelet::manifests_folder;
use etcd_operations::manifest::{Aside, Kept, Known, Selection};
use etcd_operations::state::ARCHIVE;

use super::Context;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::runners::local::as_root;

const EXAMPLES: &str = "\
Examples, as root on a control-plane node:
  # Which components run here, from which images, and is anything in the folder that should not be?
  kubectl etcd manifest show

  # etcd's flags
  kubectl etcd manifest show etcd

  # What was changed last?
  kubectl etcd manifest diff etcd

  # A larger quota, and etcd started with it
  kubectl etcd manifest set-flag etcd quota-backend-bytes=8589934592

No apiserver is needed.";

/// Look at the static pod manifests of this control-plane node, and change them safely
///
/// A component is proved stopped and proved started again. Every change can be undone: kubectl etcd plan undo.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ManifestArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
    SetFlag(change::SetFlagArgs),
    UnsetFlag(change::UnsetFlagArgs),
    SetImage(change::SetImageArgs),
    Stop(change::StopArgs),
    Start(change::StartArgs),
}

/// Where the manifests are looked for.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Where the file system of the node is, if it is not this host's own: a disk of another one, say
    #[arg(long, value_name = "DIR", default_value = "/", hide_short_help = true)]
    root: PathBuf,
}

/// Does what was typed.
///
/// # Errors
/// As the command does.
pub async fn manifest(context: &Context<'_>, args: ManifestArgs) -> Result<Verdict, Error> {
    match args.action {
        Action::Show(args) => show::show(context, &args),
        Action::Diff(args) => diff::diff(context, &args),
        Action::SetFlag(args) => change::set_flag(context, args).await,
        Action::UnsetFlag(args) => change::unset_flag(context, args).await,
        Action::SetImage(args) => change::set_image(context, args).await,
        Action::Stop(args) => change::stop(context, args).await,
        Action::Start(args) => change::start(context, args).await,
    }
}

/// What lies in the folder of the static pods, and what was put aside from it.
#[derive(Debug)]
struct Found {
    known: Known,
    aside: Aside,
}

impl Found {
    /// What was put aside, in the order of names.
    fn kept(&self) -> &[Kept] {
        self.known.archive.as_deref().unwrap_or_default()
    }
}

impl PlaceArgs {
    /// Reads it all.
    fn read(&self, selection: &Selection) -> Result<Found, Error> {
        let root = std::path::absolute(&self.root)
            .map_err(|cause| Error::usage("--root leads nowhere").caused_by(cause))?;
        let own = root == Path::new("/");
        if own {
            as_root()?;
        }
        let known = Known::read_below(&root, &manifests_folder(&root), selection);
        let known = known.map_err(Error::from)?;
        if let Err(unread) = &known.archive {
            return Err(unread.clone().into());
        }
        let aside = match own {
            true => Aside::of_host(),
            false => Aside::new(&root.join(ARCHIVE.trim_start_matches('/'))),
        };
        Ok(Found { known, aside })
    }
}
