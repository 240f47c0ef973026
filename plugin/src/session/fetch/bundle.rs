//! A bundle of a whole cluster: the database and the files of one node, those of the others, and what describes it.

use std::io;
use std::path::Path;

use etcd_operations::kept::description::Description;
use etcd_operations::operation::Operation;
use etcd_operations::pack::segment::Segment;
use etcd_operations::pack::{BundleParts, Contents, MASTERS, Packing, SNAPSHOT};
use etcd_operations::report::{Packed, Report, SavedSnapshot, SnapshotReport};
use futures::future::join_all;

use super::sink::Sink;
use super::{HOLD, scratch};
use crate::error::Error;
use crate::session::{Cluster, Node, Session, unexpected};

/// The name of a node's files in its pod.
const FILES: &str = "files.tar.zst";

/// A node's files, packed.
struct Files {
    bytes: Vec<u8>,
    contents: Contents,
}

impl Session {
    /// Saves a bundle. A node whose files cannot be had does not keep the others' from being saved: it is noted.
    pub(super) async fn bring_bundle(
        &self,
        cluster: &Cluster,
        node: &Node,
        operation: &Operation,
        mut sink: Sink,
        path: &Path,
    ) -> Result<SavedSnapshot, Error> {
        let Operation::SnapshotSave {
            packing: Packing::Bundle { parts, .. },
            ..
        } = operation
        else {
            return Err(unexpected(&node.name, operation));
        };
        let others: Vec<&Node> = self
            .nodes()
            .iter()
            .filter(|other| other.name != node.name)
            .collect();
        let database = async {
            match self.bring(cluster, node, operation, &mut sink).await? {
                Report::Snapshot(saved) => Ok(saved),
                _ => Err(unexpected(&node.name, operation)),
            }
        };
        let files = async {
            let files = others
                .iter()
                .map(|other| self.files_of(cluster, other, parts));
            Ok(join_all(files).await)
        };
        let (saved, files) = futures::try_join!(database, files)?;
        let mut rest = Rest {
            contents: saved.contents.clone().unwrap_or_default(),
        };
        for (other, files) in others.iter().zip(files) {
            let written = rest.add(other, files, &mut sink);
            written.map_err(|error| sink.refused(error))?;
        }
        let saved = rest
            .finish(saved.snapshot, parts, &mut sink)
            .map_err(|error| sink.refused(error))?;
        let description = Description::new(&saved.snapshot, path);
        let description = description.with_contents(saved.contents.clone());
        sink.complete(&description).await?;
        Ok(super::at(saved, path.to_owned()))
    }

    async fn files_of(
        &self,
        cluster: &Cluster,
        node: &Node,
        parts: &BundleParts,
    ) -> Result<Files, Error> {
        let operation = Operation::NodeFiles {
            folder: scratch(),
            name: FILES.into(),
            parts: parts.clone(),
            hold_seconds: HOLD.as_secs(),
        };
        let mut sink = Sink::memory();
        match self.bring(cluster, node, &operation, &mut sink).await? {
            Report::NodeFiles(files) => Ok(Files {
                bytes: sink.into_memory(),
                contents: files.contents,
            }),
            _ => Err(unexpected(&node.name, &operation)),
        }
    }
}

/// What follows the first segment.
struct Rest {
    contents: Contents,
}

impl Rest {
    fn add(&mut self, node: &Node, files: Result<Files, Error>, sink: &mut Sink) -> io::Result<()> {
        match files {
            Ok(files) => {
                sink.write(&files.bytes)?;
                self.contents.append(files.contents);
            }
            Err(error) => {
                let path = format!("{MASTERS}/{}", node.name);
                self.contents.leave_out(path, error.chain());
            }
        }
        Ok(())
    }

    fn finish(
        self,
        first: SnapshotReport,
        parts: &BundleParts,
        sink: &mut Sink,
    ) -> io::Result<SavedSnapshot> {
        let packed = first.packed.clone().ok_or(io::ErrorKind::InvalidData)?;
        let inner = SnapshotReport {
            size_bytes: packed.size_bytes,
            sha256: packed.sha256.clone(),
            packed: None,
            ..first.clone()
        };
        let description = Description::new(&inner, Path::new(SNAPSHOT));
        let description = description
            .with_contents(Some(self.contents.clone()))
            .text()?;
        let segment = Segment::begin(Vec::new(), &parts.top, parts.level)?;
        sink.write(&segment.finish_bundle(&description)?)?;
        let whole = sink.whole().ok_or(io::ErrorKind::InvalidData)?;
        Ok(SavedSnapshot {
            snapshot: SnapshotReport {
                size_bytes: whole.size_bytes,
                sha256: whole.sha256,
                packed: Some(Packed {
                    bundle: Some(self.contents.summary()),
                    ..packed
                }),
                ..first
            },
            contents: Some(self.contents),
        })
    }
}
