//! What is done on a host when it is asked: in the job's program, in the one that was sent over ssh, and in the plugin's own
//! process on a control-plane node.
//!
//! What is asked and answered is in [`crate::wire`]. Work that must not stop when the connection does is done by a process of
//! its own, and asked for again it is followed ([`detached`]).

pub mod detached;
mod file;
mod plans;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use etcd_datadir::disk::if_there;

use crate::advice;
use crate::advice::Choice;
use crate::agree::agreement;
use crate::failure::Failure;
use crate::kubelet;
use crate::local;
use crate::logs;
use crate::look::{etcd_manifest, is_control_plane, look, since};
use crate::manifest::Selection;
use crate::plan::Plans;
use crate::report::Report;
use crate::run::run;
use crate::transfer::Whole;
use crate::wire::Ask;
use crate::wire::answer::{Hello, HostAnswer};
use crate::wire::ask::{self, HostRequest};
use crate::work::{Events, Flow, hash_file, work};

pub use file::{Impatient, copy, receive, send};

/// Does what is asked, in this process. Dropped, it ends at once and leaves nothing unfinished on the node, but etcd itself
/// does not stop a defragmentation that it has begun, and a step stays begun in the journal: resume or undo ends it.
///
/// # Errors
/// What was in the way.
pub async fn answer(ask: &Ask, events: &mut Events<'_>) -> Result<HostAnswer, Failure> {
    let (root, selection) = (Path::new("/"), &ask.selection);
    match &ask.request {
        HostRequest::Hello => hello(root, selection).map(HostAnswer::Hello),
        HostRequest::Digest(ask::Digest { path }) => {
            let file = digest(path, events).await?;
            Ok(HostAnswer::Digest { file })
        }
        HostRequest::Look(ask::Look { options }) => {
            let look = Box::pin(look(root, selection, options, events)).await;
            Ok(HostAnswer::Look {
                look: Box::new(look),
            })
        }
        HostRequest::Since(ask::Since { revision }) => {
            let found = Box::pin(since(root, selection, *revision, events)).await;
            found.map(HostAnswer::Since)
        }
        HostRequest::Operate(operate) => {
            let report = Box::pin(report(operate, selection, events)).await?;
            Ok(HostAnswer::Report {
                report: Box::new(report),
            })
        }
        HostRequest::Agreement => {
            let etcd = local::host(selection)?.etcd?.ok_or_else(no_etcd)?;
            let target = etcd
                .target
                .map_err(|error| Failure::refused(error.to_string()))?;
            agreement(&target).await.map(HostAnswer::Agreement)
        }
        HostRequest::Manifest(ask::Manifest { component }) => plans::manifest(component, selection),
        HostRequest::Logs(ask::Logs { query }) => Ok(HostAnswer::Logs {
            logs: logs::of_host(root, selection, query),
        }),
        HostRequest::BeginPlan(ask::BeginPlan { plan }) => {
            Plans::default().begin(plan)?;
            Ok(HostAnswer::Plain)
        }
        HostRequest::Step(step) => plans::step(step, events).await,
        HostRequest::EndPlan(ask::EndPlan { plan }) => {
            Plans::default().end(plan)?;
            Ok(HostAnswer::Plain)
        }
        HostRequest::Plans(ask::Plans { plan }) => plans::plans(plan.as_ref()),
    }
}

fn no_etcd() -> Failure {
    Failure::missing("no manifest here runs etcd")
}

async fn report(
    operate: &ask::Operate,
    selection: &Selection,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    let operation = &operate.operation;
    if let Some(target) = &operate.target {
        return run(operation, target, events).await;
    }
    if !operation.only_looks() {
        let message = format!("{} is not done in this way", operation.name());
        return Err(Failure::refused(message).hint(advice![
            "run it through the apiserver, or on the host with ",
            Choice::Via.with("local")
        ]));
    }
    let target = etcd_manifest(Path::new("/"), selection)?.target;
    run(operation, &target, events).await
}

fn hello(root: &Path, selection: &Selection) -> Result<Hello, Failure> {
    // A host without manifests answers as well: it says that it is none to work on.
    let found = etcd_manifest(root, selection);
    let host = local::host_at(root, selection).ok();
    let in_folder = host.is_some_and(|host| !matches!(host.etcd, Ok(None)));
    Ok(Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: kubelet::node_name(root)?,
        etcd: found.is_ok() || in_folder,
        control_plane: is_control_plane(root),
        no_target: found.as_ref().err().cloned(),
        target: found.ok().map(|found| Box::new(found.target)),
        uid: rustix::process::geteuid().as_raw(),
        architecture: std::env::consts::ARCH.to_owned(),
    })
}

/// What a file is: its size and its SHA-256; none: there is no such file.
///
/// # Errors
/// When it cannot be read.
pub async fn digest(path: &Path, events: &mut Events<'_>) -> Result<Option<Whole>, Failure> {
    let opened = if_there(File::open(path));
    let Some(file) = opened.map_err(|error| unreadable(path, &error))? else {
        return Ok(None);
    };
    let (path, flow) = (path.to_owned(), Arc::new(Flow::new("reading")));
    work(flow, events, move |flow| hash(file, &path, flow).map(Some)).await
}

fn hash(mut file: File, path: &Path, flow: &Flow) -> Result<Whole, Failure> {
    let unreadable = |error| unreadable(path, &error);
    flow.of(file.metadata().map_err(unreadable)?.len());
    hash_file(&mut file, flow, unreadable)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("could not read {}: {error}", path.display());
    Failure::missing(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;
    use crate::operation::Operation;

    #[test]
    fn a_host_says_who_it_is() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        assert_eq!(
            hello(root.path(), &Selection::default()).unwrap_err().kind,
            FailureKind::Missing
        );
        std::fs::write(root.path().join("proc/sys/kernel/hostname"), "CP-1\n").unwrap();
        let hello = hello(root.path(), &Selection::default()).unwrap();
        assert_eq!((hello.node.as_str(), hello.etcd), ("cp-1", false));
        assert_eq!(hello.architecture, std::env::consts::ARCH);
    }

    #[test]
    fn a_host_whose_etcd_was_stopped_is_one_to_work_on() {
        const ETCD: &str = include_str!("../tests/manifests/kubeadm-1.36-etcd.yaml");
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/hostname", "cp-1\n");
        write("etc/kubernetes/manifests/.keep", "");
        let none = hello(root.path(), &Selection::default()).unwrap();
        assert!(!none.etcd && !none.control_plane && none.target.is_none());
        write(
            "var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z.stopped",
            ETCD,
        );
        let stopped = hello(root.path(), &Selection::default()).unwrap();
        assert!(stopped.etcd && stopped.control_plane);
        assert_eq!(stopped.target.unwrap().pod, "etcd-cp-1");
    }

    #[tokio::test]
    async fn what_changes_something_is_not_done_on_request() {
        let request = HostRequest::Operate(ask::Operate {
            operation: Operation::Defrag,
            target: None,
        });
        let refused = answer(&Ask::new(request), &mut |_| ()).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(
            refused
                .hint
                .is_some_and(|hint| hint.written().contains("{+via=local}"))
        );
    }

    #[tokio::test]
    async fn a_file_is_told_by_size_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        assert_eq!(digest(&path, &mut |_| ()).await.unwrap(), None);
        std::fs::write(&path, "abc").unwrap();
        let file = digest(&path, &mut |_| ()).await.unwrap().unwrap();
        assert_eq!(file.size_bytes, 3);
        assert!(file.sha256.starts_with("ba7816bf8f01cfea"), "{file:?}");
    }
}
