//! `kubectl etcd manifest show`

use clap::Args;
use etcd_operations::manifest::{Found as Meant, Kept, Known, Manifest, ManifestFile};

use super::{Found, PlaceArgs};
use crate::args::OutputArgs;
use crate::commands::Context;
use crate::views::manifests::{Component, KeptManifest, Manifests, OtherEtcd, Stray};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::format::and;

const EXAMPLES: &str = "\
Examples:
  # All components, and what should not be in the folder
  sudo kubectl etcd manifest show

  # One of them with its flags, and what was kept of it
  sudo kubectl etcd manifest show etcd

  # The quota
  sudo kubectl etcd manifest show etcd -o json | \\
    jq -r '.components[].flags[] | select(.name == \"quota-backend-bytes\").value'

Exit codes: 0 every file in the folder is one pod's own, 3 something is in the folder that should \
not be, a component was taken out, or there is no manifest of etcd.";

/// Show the static pods of this control-plane node: files, images, flags, strays, and archived manifests
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// Only this one, with its flags: etcd, kube-apiserver, …
    component: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Shows the manifests.
///
/// # Errors
/// When the folder cannot be read, or there is no such component.
pub fn show(context: &Context<'_>, args: &ShowArgs) -> Result<Verdict, Error> {
    let found = args.place.read(&context.connection.selection())?;
    let mut view = view(&found);
    if let Some(name) = &args.component {
        let meant = found.known.of(name).map_err(Error::from)?;
        view = only(view, name, meant)?;
    }
    context.ui.show(&view, args.output.output)?;
    let all_in = view.components.iter().all(|one| one.file.is_some());
    Ok(Verdict::of(
        view.strays.is_empty() && all_in && !view.etcd_missing,
    ))
}

fn view(found: &Found) -> Manifests {
    let (folder, aside) = (&found.known.folder, found.aside.folder());
    let mut view = Manifests::new(&folder.path, aside);
    let in_folder = folder.pods.iter();
    view.components.extend(in_folder.flat_map(|file| {
        let kept = kept_of(found.kept(), file);
        of_manifest(&file.manifest, Some(file), &kept)
    }));
    for (manifest, kept) in taken_out(found) {
        view.components.extend(of_manifest(&manifest, None, &kept));
    }
    view.strays = folder.strays.iter().map(Stray::new).collect();
    view.etcd_missing = lacks_etcd(&found.known);
    let others = found.known.other_etcds().into_iter();
    view.other_etcds = others.map(OtherEtcd::new).collect();
    let twice = folder.pods.iter().filter_map(ManifestFile::key_twice);
    view.keys_twice = twice.collect();
    let unfinished = folder.unfinished.iter();
    view.unfinished = unfinished.map(|path| path.display().to_string()).collect();
    view
}

/// Whether the apiserver of this host uses an etcd of this host that has no manifest, nor one to be brought back.
fn lacks_etcd(known: &Known) -> bool {
    let has_apiserver = matches!(known.of("kube-apiserver"), Ok(Some(_)));
    let has_etcd = !matches!(known.of("etcd"), Ok(None));
    has_apiserver && !has_etcd && !known.etcd_is_external() && !known.etcd_is_no_pod()
}

fn of_manifest(
    manifest: &Manifest,
    file: Option<&ManifestFile>,
    kept: &[KeptManifest],
) -> Vec<Component> {
    let components = manifest.components().into_iter();
    components
        .map(|component| Component::new(&manifest.pod(), &component, file, kept))
        .collect()
}

/// What was kept of a file, the newest first.
fn kept_of(kept: &[Kept], file: &ManifestFile) -> Vec<KeptManifest> {
    let name = file.path.file_name().and_then(|name| name.to_str());
    let same = kept.iter().filter(|one| Some(one.name.as_str()) == name);
    same.rev().map(KeptManifest::new).collect()
}

/// The pods that were stopped and are not in the folder, by the newest of their manifests.
fn taken_out(found: &Found) -> Vec<(Manifest, Vec<KeptManifest>)> {
    let with_kept = found.known.stopped().map(|(file, newest)| {
        let same = found.kept().iter().filter(|one| one.name == newest.name);
        (
            file.manifest.clone(),
            same.rev().map(KeptManifest::new).collect(),
        )
    });
    with_kept.collect()
}

/// The component of this name, of the manifest that is meant by it.
fn only(mut view: Manifests, name: &str, meant: Option<Meant<'_>>) -> Result<Manifests, Error> {
    let names: Vec<String> = view
        .components
        .iter()
        .map(|one| one.component.clone())
        .collect();
    let meant = meant.and_then(|meant| {
        let manifest = &meant.file.manifest;
        let container = manifest.component(name).ok()?.name().to_owned();
        Some((manifest.pod().to_string(), container))
    });
    match meant {
        Some((pod, container)) => view
            .components
            .retain(|one| one.pod == pod && one.component == container),
        None => view.components.retain(|one| one.component == name),
    }
    if view.components.is_empty() {
        let message = format!("no manifest in {} runs {name}", view.folder);
        return Err(
            Error::new(ErrorKind::Failed, message).hint(match names.is_empty() {
                true => "there is none at all".to_owned(),
                false => format!("there are: {}", and(&names)),
            }),
        );
    }
    view.one = true;
    Ok(view)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use etcd_operations::manifest::Selection;

    use super::*;

    #[test]
    fn an_apiserver_without_its_etcd_is_told_of() {
        let lacking = |servers: &str| {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("etc/kubernetes/manifests");
            fs::create_dir_all(&folder).unwrap();
            let pod = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: kube-apiserver, namespace: kube-system}}\nspec:\n  containers:\n  - \
                 name: kube-apiserver\n    image: a\n    command: [kube-apiserver, '--etcd-servers={servers}']\n"
            );
            fs::write(folder.join("kube-apiserver.yaml"), pod).unwrap();
            let manifests = Path::new("/etc/kubernetes/manifests");
            let known = Known::read_below(root.path(), manifests, &Selection::default()).unwrap();
            lacks_etcd(&known)
        };
        assert!(lacking("https://127.0.0.1:2379"));
        assert!(!lacking("https://etcd-1.example:2379"));
    }
}
