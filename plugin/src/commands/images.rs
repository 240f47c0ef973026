//! `kubectl etcd images`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use etcd_operations::images::{ImageState, Images as Found, Logins, NamedImage};

use crate::args::{OfflineArgs, OutputArgs};
use crate::ui::Ui;
use crate::views::images::Images;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::format::and;
use kubectl_etcd_core::runners::local::as_root;

const EXAMPLES: &str = "\
Examples, as root on a control-plane node:
  # Does the container runtime have what the static pods name?
  kubectl etcd images list

  # Fetch what is missing, with the registry's login that `docker login` or `podman login` wrote
  kubectl etcd images pull --auth-file ~/.docker/config.json

No apiserver is needed.";

const LIST: &str = "\
Examples:
  kubectl etcd images list

  # The names of those that are missing, to bring them from elsewhere
  kubectl etcd images list -o json | jq -r '.images[] | select(.state == \"missing\").image'

Exit codes: 0 all are there, 3 some are missing.";

const PULL: &str = "\
Examples:
  # What would be fetched?
  kubectl etcd images pull --dry-run

  # What is missing, with kubelet's own logins if it has any
  kubectl etcd images pull

  # With a login from a file, for etcd alone
  kubectl etcd images pull --auth-file auth.json etcd

The file is what docker login and podman login write (config.json, auth.json), or the content of a \
kubernetes.io/dockerconfigjson secret. Without --auth-file it is kubelet's own, such as \
/var/lib/kubelet/config.json. The login for the image's registry and path is taken from it as \
kubelet does, and goes to the container runtime alone. Programs that keep logins (credHelpers, \
credsStore) are not asked.

kubelet notices by itself that the image is there and starts the pod.
Exit codes: 0 all are there, 1 one could not be fetched, 3 some would be fetched (--dry-run).";

/// Show the images that the static pods of this control-plane node name, and fetch the missing ones
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImagesArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    _offline: OfflineArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(ListArgs),
    Pull(PullArgs),
}

/// Show which images the static pods of this node name, and which of them the container runtime has
#[derive(Debug, Args)]
#[command(after_help = LIST)]
struct ListArgs {
    /// Only of these: etcd, kube-apiserver, …
    #[arg(value_name = "COMPONENT")]
    components: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Fetch the images that the static pods of this node name and the container runtime does not have
///
/// They come from their registries, through the container runtime. Nothing else is changed.
#[derive(Debug, Args)]
#[command(after_help = PULL)]
struct PullArgs {
    /// Only of these: etcd, kube-apiserver, …
    #[arg(value_name = "COMPONENT")]
    components: Vec<String>,
    /// File with the registries' logins, as docker and podman write it [default: kubelet's own]
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Those too that are there: a tag may mean another image by now
    #[arg(long)]
    all: bool,
    /// Only show what would be fetched
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Does what was typed.
///
/// # Errors
/// When this is no control-plane node, its runtime does not answer, or an image could not be fetched.
pub async fn images(ui: &Ui, args: ImagesArgs) -> Result<Verdict, Error> {
    match args.action {
        Action::List(args) => list(ui, &args).await,
        Action::Pull(args) => pull(ui, &args).await,
    }
}

async fn list(ui: &Ui, args: &ListArgs) -> Result<Verdict, Error> {
    as_root()?;
    let found = look(&args.components).await?;
    show(ui, &Images::new(&found), args.output)
}

async fn pull(ui: &Ui, args: &PullArgs) -> Result<Verdict, Error> {
    as_root()?;
    // Before anything else: who gives a file wants it used.
    let logins = match &args.auth_file {
        Some(file) => Logins::read(file),
        None => Logins::of_kubelet(),
    }?;
    let mut found = look(&args.components).await?;
    let wanted = |one: &NamedImage| args.all || one.state != ImageState::Present;
    if args.dry_run {
        found.named.retain(wanted);
        return show(ui, &Images::new(&found).pulled(&logins, true), args.output);
    }
    let mut meter = ui.meter("this host".to_owned());
    // Two components may name one.
    let mut images: Vec<String> = Vec::new();
    for one in found.named.iter().filter(|one| wanted(one)) {
        if !images.contains(&one.image) {
            images.push(one.image.clone());
        }
    }
    let mut failures = Vec::new();
    for image in images {
        meter(&format!("pulling {image}"), 0, 0);
        failures.extend(found.pull(&image, &logins).await.err());
    }
    ui.end_progress();
    show(ui, &Images::new(&found).pulled(&logins, false), args.output)?;
    // Whatever kept an image from coming: a registry that is not reached is no cluster that is not.
    let errors = failures.into_iter().map(|failure| Error {
        kind: ErrorKind::Failed,
        ..Error::from(failure)
    });
    Error::all(errors).map_or(Ok(Verdict::Healthy), Err)
}

/// The images that these components name, all when none is given, and what the runtime has of them.
async fn look(components: &[String]) -> Result<Found, Error> {
    let mut found = Found::of_host().await?;
    let mut there: Vec<&str> = found
        .named
        .iter()
        .map(|one| one.component.as_str())
        .collect();
    if let Some(missing) = components.iter().find(|one| !there.contains(&one.as_str())) {
        there.dedup();
        let error = Error::failed(format!("no manifest of this host runs {missing}"));
        return Err(error.hint(match there.is_empty() {
            true => "there is none at all".to_owned(),
            false => format!("there are: {}", and(&there)),
        }));
    }
    let wanted = |one: &NamedImage| components.is_empty() || components.contains(&one.component);
    found.named.retain(wanted);
    found.look().await;
    Ok(found)
}

fn show(ui: &Ui, view: &Images, output: OutputArgs) -> Result<Verdict, Error> {
    ui.show(view, output.output)?;
    Ok(Verdict::of(all_there(&view.images)))
}

/// Whether the runtime has all of them now.
fn all_there(images: &[NamedImage]) -> bool {
    let there = |one: &NamedImage| matches!(one.state, ImageState::Present | ImageState::Pulled);
    images.iter().all(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_missing_or_not_known_is_not_there() {
        let image = |state| NamedImage {
            component: "etcd".into(),
            pod: "etcd".into(),
            image: "registry.example/etcd:1".into(),
            taken_out: false,
            state,
            id: None,
            size_bytes: None,
            problem: None,
        };
        let there = [image(ImageState::Present), image(ImageState::Pulled)];
        assert!(all_there(&there));
        for state in [ImageState::Missing, ImageState::Unknown, ImageState::Failed] {
            assert!(!all_there(&[image(ImageState::Present), image(state)]));
        }
    }
}
