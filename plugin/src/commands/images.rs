//! `kubectl etcd images`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use etcd_operations::failure::{Answer, Failure};
use etcd_operations::images::{Images as Found, Logins};
use etcd_operations::runtime::Image;

use crate::args::OutputArgs;
use crate::ui::Ui;
use crate::views::images::{ImageRow, ImageState, Images};
use kubectl_etcd_core::error::{Error, Verdict};
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

The file is what docker login and podman login write (config.json, auth.json), or the content of a
kubernetes.io/dockerconfigjson secret. Without --auth-file it is kubelet's own, such as
/var/lib/kubelet/config.json. The login for the image's registry and path is taken from it as kubelet
does, and goes to the container runtime alone. Programs that keep logins (credHelpers, credsStore)
are not asked.

kubelet notices by itself that the image is there and starts the pod.
Exit codes: 0 all are there, 1 one could not be fetched, 3 some would be fetched (--dry-run).";

/// Show the images that the static pods of this control-plane node name, and fetch the missing ones
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImagesArgs {
    #[command(subcommand)]
    action: Action,
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
    let (_, view) = look(&args.components).await?;
    ui.show(&view, args.output.output)?;
    Ok(verdict(&view))
}

async fn pull(ui: &Ui, args: &PullArgs) -> Result<Verdict, Error> {
    as_root()?;
    // Before anything else: who gives a file wants it used.
    let logins = match &args.auth_file {
        Some(file) => Logins::read(file),
        None => Logins::of_kubelet(),
    };
    let logins = logins.map_err(Error::from)?;
    let (found, mut view) = look(&args.components).await?;
    view.dry_run = args.dry_run;
    view.logins = logins.file.as_ref().map(|file| file.display().to_string());
    let wanted = |row: &ImageRow| args.all || row.state != ImageState::Present;
    if args.dry_run {
        view.images.retain(wanted);
        ui.show(&view, args.output.output)?;
        return Ok(verdict(&view));
    }
    let mut meter = ui.meter("this host".to_owned());
    let mut pulled: BTreeMap<String, Result<Image, Failure>> = BTreeMap::new();
    for row in view.images.iter_mut().filter(|row| wanted(row)) {
        // Two components may name one.
        if !pulled.contains_key(&row.image) {
            meter(&format!("pulling {}", row.image), 0, 0);
            let result = found.pull(&row.image, &logins).await;
            pulled.insert(row.image.clone(), result);
        }
        match pulled.get(&row.image) {
            Some(Ok(image)) => row.has(ImageState::Pulled, image),
            Some(Err(failure)) => row.fails(ImageState::Failed, &failure.message),
            None => {}
        }
    }
    ui.end_progress();
    ui.show(&view, args.output.output)?;
    let failures: Vec<Failure> = pulled.into_values().filter_map(Result::err).collect();
    failed(failures).map_or(Ok(Verdict::Healthy), Err)
}

/// All that failed as one error, each hint once.
fn failed(failures: Vec<Failure>) -> Option<Error> {
    let mut errors = failures.into_iter().map(Error::from);
    let mut first = errors.next()?;
    for error in errors {
        first.message.push_str("; ");
        first.message.push_str(&error.message);
        for hint in error.hints {
            if !first.hints.contains(&hint) {
                first.hints.push(hint);
            }
        }
    }
    Some(first)
}

/// What these components name, all when none is given, and what the runtime has of it.
async fn look(components: &[String]) -> Result<(Found, Images), Error> {
    let mut found = Found::of_host().await.map_err(Error::from)?;
    for component in components {
        if !found
            .named
            .iter()
            .any(|named| named.component == *component)
        {
            let mut there: Vec<&str> = found
                .named
                .iter()
                .map(|named| named.component.as_str())
                .collect();
            there.dedup();
            let error = Error::failed(format!("no manifest of this host runs {component}"));
            return Err(error.hint(match there.is_empty() {
                true => "there is none at all".to_owned(),
                false => format!("there are: {}", and(&there)),
            }));
        }
    }
    let wanted = |component: &String| components.is_empty() || components.contains(component);
    found.named.retain(|named| wanted(&named.component));
    let present: Vec<Answer<Option<Image>>> = found.present().await;
    let mut view = Images::new(found.runtime.socket());
    let rows = found.named.iter().zip(&present);
    view.images = rows
        .map(|(named, present)| ImageRow::new(named, present))
        .collect();
    Ok((found, view))
}

fn verdict(view: &Images) -> Verdict {
    match view.all_there() {
        true => Verdict::Healthy,
        false => Verdict::Degraded,
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::failure::FailureKind;

    use super::*;

    #[test]
    fn all_that_failed_is_told_and_each_hint_once() {
        assert!(failed(Vec::new()).is_none());
        let failure = |what: &str, hint: &str| Failure::new(FailureKind::Missing, what).hint(hint);
        let error = failed(vec![
            failure("a", "x"),
            failure("b", "x"),
            failure("c", "y"),
        ]);
        let error = error.expect("an error");
        assert_eq!(
            (error.message.as_str(), error.hints),
            ("a; b; c", vec!["x".to_owned(), "y".to_owned()])
        );
    }
}
