//! What stands beside the database in a bundle: kubeadm's configuration from etcd, and the node's files.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use etcd_datadir::kubernetes::config_map_entry;

use crate::client::{Endpoint, OWN_LIMIT};
use crate::disk::files::trouble;
use crate::failure::Failure;
use crate::local;
use crate::manifest::Selection;
use crate::operation;
use crate::pack::segment::{Attributes, Hashed, Segment};
use crate::pack::{BundleParts, KUBEADM_CONFIG, node};
use crate::report::{NodeFiles, Report};
use crate::stored::part::{Part, make_room};
use crate::target::Target;
use crate::work::{Events, Flow, work};

/// Room for a node's files: manifests and certificates have some hundred KiB.
const ROOM: u64 = 64 << 20;

/// What a bundle's first segment has beside the database.
#[derive(Debug)]
pub(super) struct Beside {
    node: String,
    parts: BundleParts,
    /// What kubeadm keeps in the cluster, or why it is not there.
    kubeadm: Result<String, String>,
}

/// Gathers what has to be asked of etcd.
pub(super) async fn beside(endpoint: &Endpoint, target: &Target, parts: &BundleParts) -> Beside {
    Beside {
        node: target.node.clone(),
        parts: parts.clone(),
        kubeadm: kubeadm(endpoint, &parts.root).await,
    }
}

async fn kubeadm(endpoint: &Endpoint, root: &Path) -> Result<String, String> {
    let host = local::host_at(root, &Selection::default()).ok();
    let prefix = host.and_then(|host| host.etcd_prefix);
    let prefix = prefix.as_deref().unwrap_or("/registry");
    let key = format!("{prefix}/configmaps/kube-system/kubeadm-config");
    let value = endpoint.value(&key, OWN_LIMIT).await;
    let value = value.map_err(|failure| failure.message)?;
    let value = value.ok_or("the cluster has none: kubeadm did not make it")?;
    config_map_entry(&value, "ClusterConfiguration")
        .ok_or_else(|| "what is stored cannot be read: it may be encrypted".to_owned())
}

impl Beside {
    /// The folder that all of the bundle is in.
    pub(super) fn parts(&self) -> &BundleParts {
        &self.parts
    }

    /// Writes it.
    pub(super) fn pack<W: Write>(&self, segment: Segment<W>) -> io::Result<Segment<W>> {
        let mut segment = segment;
        match &self.kubeadm {
            Ok(text) => {
                segment = segment.small(KUBEADM_CONFIG, text.as_bytes(), Attributes::now())?;
            }
            Err(why) => segment.contents().leave_out(KUBEADM_CONFIG, why),
        }
        node::pack(segment, &self.node, &self.parts)
    }
}

/// Packs the node's files into a segment of their own.
pub(in crate::run) async fn node_files(
    target: &Target,
    files: &operation::NodeFiles,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    make_room(&files.folder, ROOM)?;
    let part = Part::create(&files.folder.join(&files.name))?;
    // The process may end before the thread that packs sees that it is stopped, and these files are secret.
    let _removed = part.removal();
    let (node, parts) = (target.node.clone(), files.parts.clone());
    let job = move |flow: &Flow| {
        let path = part.current_path().to_owned();
        let failed = |error: io::Error| trouble("write", &path, &error);
        let segment = Segment::begin(Hashed::new(part.file()), &parts.top, parts.level);
        let segment = segment.map_err(failed)?;
        let segment = node::pack(segment, &node, &parts).map_err(failed)?;
        let (out, contents) = segment.finish().map_err(failed)?;
        let (_, size_bytes, sha256) = out.finish();
        flow.check_stopped()?;
        part.complete(None)?;
        Ok(Report::NodeFiles(NodeFiles {
            size_bytes,
            sha256,
            contents,
        }))
    };
    work(Arc::new(Flow::new("packing")), events, job).await
}
