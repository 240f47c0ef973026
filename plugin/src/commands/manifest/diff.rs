//! `kubectl etcd manifest diff`

use std::path::PathBuf;

use clap::Args;
use etcd_operations::manifest::ManifestFile;

use super::{Found, PlaceArgs};
use crate::args::OutputArgs;
use crate::commands::Context;
use crate::views::manifest_diff::ManifestDiff;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # What is other than in the newest copy that was kept?
  sudo kubectl etcd manifest diff etcd

  # Than in this one? (`manifest show etcd` lists them)
  sudo kubectl etcd manifest diff etcd etcd.yaml-2026-11-20T210000Z.changed

Exit codes: 0 whether they differ or not.";

/// Show what differs between a component's manifest and a copy of it that was kept
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DiffArgs {
    /// Whose manifest: etcd, kube-apiserver, …
    component: String,
    /// Which copy, by its name or path [default: the newest]
    kept: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Compares two manifests.
///
/// # Errors
/// When one of them is not there or is no manifest.
pub fn diff(context: &Context<'_>, args: &DiffArgs) -> Result<Verdict, Error> {
    let found = args.place.read(&context.connection.selection())?;
    let component = &args.component;
    let folder = &found.known.folder;
    let file = folder.of_component(component).map_err(Error::from)?;
    let file = file.ok_or_else(|| {
        Error::from(folder.lacks(component))
            .hint("kubectl etcd manifest show says what there is, and what was taken out")
    })?;
    let path = kept(&found, file, args.kept.as_ref())?;
    let old = ManifestFile::read(&path).map_err(Error::from)?;
    let view = ManifestDiff::new(component, &old, file);
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}

/// The copy that is meant.
fn kept(found: &Found, file: &ManifestFile, named: Option<&PathBuf>) -> Result<PathBuf, Error> {
    if let Some(named) = named {
        // A bare name is one of the folder's; all else is a path as it stands.
        let bare = named
            .parent()
            .is_some_and(|parent| parent.as_os_str().is_empty());
        return Ok(match bare {
            true => found.aside.folder().join(named),
            false => named.clone(),
        });
    }
    let name = file.path.file_name().and_then(|name| name.to_str());
    let mut newest = found.kept().iter().rev();
    let newest = newest.find(|kept| Some(kept.name.as_str()) == name);
    newest.map(|kept| kept.path.clone()).ok_or_else(|| {
        let aside = found.aside.folder().display();
        let file = file.path.display();
        Error::failed(format!("no copy of {file} was kept in {aside}"))
            .hint("name the file to compare it with")
    })
}
