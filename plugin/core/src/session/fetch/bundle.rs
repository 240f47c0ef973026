//! A bundle of a whole cluster: the database and the files of one node, those of the others, and what describes it.
//!
//! A node says of its own files alone. What it sends is read as strictly as a bundle is, and packed again from the files'
//! bytes; the segment of the node that the database comes from is read in the finished bundle, before that has its name.

use std::io;
use std::path::Path;

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use etcd_operations::operation;
use etcd_operations::pack::segment::Segment;
use etcd_operations::pack::unpack::segment::{self, Expected, is_below};
use etcd_operations::pack::unpack::{MOST_ENTRIES, MOST_TOGETHER};
use etcd_operations::pack::{BundleParts, KUBEADM_CONFIG, SNAPSHOT};
use etcd_operations::report::{
    Contents, LeftOut, MASTERS, NodeFiles, Packed, SavedSnapshot, SnapshotReport,
};
use etcd_operations::stored::description::Description;
use futures::future::join_all;

use super::fetched::Bring;
use super::scratch;
use super::sink::Sink;
use crate::clean::one_line;
use crate::error::Error;
use crate::limits;
use crate::outcome::{RunError, RunErrorKind, run_error};
use crate::session::{Node, Session};

/// The name of a node's files in its pod.
const FILES: &str = "files.tar.zst";

/// So much of what a node says of files that it leaves out is passed on: entries, and letters of each text.
const LEFT_OUT: usize = 200;
const LEFT_OUT_CHARS: usize = 400;

/// A node's files, packed here.
#[derive(Debug)]
struct Files {
    bytes: Vec<u8>,
    contents: Contents,
}

impl Session {
    /// Saves a bundle. A node whose files cannot be had, or are not as they have to be, does not keep the others' from being
    /// saved: it is noted.
    pub(super) async fn bring_bundle(
        &self,
        bring: &Bring<'_>,
        save: &operation::SnapshotSave,
        parts: &BundleParts,
        mut sink: Sink,
    ) -> Result<(SavedSnapshot, Sink), Error> {
        let node = bring.node;
        let others = self.nodes().iter().filter(|other| other.name != node.name);
        let others: Vec<&Node> = others.collect();
        let database = self.bring(bring, save, &mut sink);
        let files = async {
            let files = others
                .iter()
                .map(|other| self.files_of(bring, other, parts));
            Ok(join_all(files).await)
        };
        let (saved, files) = futures::try_join!(database, files)?;
        let mut rest = Rest {
            contents: own(saved.contents, &node.name)
                .map_err(|error| run_error(&node.name, &error))?,
        };
        for (other, files) in others.iter().zip(files) {
            let written = rest.add(other, files, &mut sink);
            written.map_err(|error| sink.refused(error))?;
            let settled = sink.settle().await;
            if let Err(error) = settled {
                let error = sink.fault(error);
                return Err(sink.error(&node.name, &error));
            }
        }
        let saved = rest
            .finish(saved.snapshot, parts, &mut sink)
            .map_err(|error| sink.refused(error))?;
        Ok((saved, sink))
    }

    async fn files_of(
        &self,
        bring: &Bring<'_>,
        node: &Node,
        parts: &BundleParts,
    ) -> Result<Files, Error> {
        let files = operation::NodeFiles {
            folder: scratch(),
            name: FILES.into(),
            parts: parts.clone(),
            hold_seconds: limits::HOLD.as_secs(),
        };
        let bring = Bring { node, ..*bring };
        let mut sink = Sink::memory();
        let told = self.bring(&bring, &files, &mut sink).await?;
        let (bytes, name, parts) = (sink.into_memory(), node.name.clone(), parts.clone());
        let work = move || packed_again(&bytes, &told, &name, &parts);
        let packed = tokio::task::spawn_blocking(work).await;
        let packed = packed.map_err(|error| Error::failed(error.to_string()))?;
        packed.map_err(|error| run_error(&node.name, &error))
    }
}

/// Reads a node's segment, and packs what is in it again.
fn packed_again(
    bytes: &[u8],
    told: &NodeFiles,
    node: &str,
    parts: &BundleParts,
) -> Result<Files, RunError> {
    let expected = Expected {
        top: &parts.top,
        node,
        contents: &told.contents,
    };
    let files = segment::read(bytes, &expected).map_err(|error| unfit(error.to_string()))?;
    let pack = || {
        let mut segment = Segment::begin(Vec::new(), &parts.top, parts.level)?;
        for file in &files {
            segment = segment.small(&file.path, &file.bytes, file.attributes)?;
        }
        for left in left_out(&told.contents.left_out, node) {
            segment.contents().leave_out(left.path, left.why);
        }
        segment.finish()
    };
    let (bytes, contents) = pack().map_err(|error: io::Error| unfit(error.to_string()))?;
    Ok(Files { bytes, contents })
}

fn unfit(what: String) -> RunError {
    RunError::new(RunErrorKind::Lost, what)
}

/// What a node says is in its own segment of a bundle, the first one.
fn own(contents: Option<Contents>, node: &str) -> Result<Contents, RunError> {
    let contents = contents.unwrap_or_default();
    let is_own = |path: &str| matches!(path, SNAPSHOT | KUBEADM_CONFIG) || is_below(path, node);
    if let Some(foreign) = contents.files.iter().find(|file| !is_own(&file.path)) {
        let path = &foreign.path;
        return Err(unfit(format!(
            "it puts {path:?} into the bundle, which is no file of its own"
        ))
        .hint(advice![
            "take the snapshot from another member: ",
            Choice::Node.with("NODE"),
            ", and look at that host"
        ]));
    }
    Ok(Contents {
        left_out: left_out(&contents.left_out, node),
        ..contents
    })
}

/// What a node says it has left out of its own, as much of it as anybody reads.
fn left_out(told: &[LeftOut], node: &str) -> Vec<LeftOut> {
    let all = format!("{MASTERS}/{node}");
    let own = |left: &LeftOut| {
        left.path == KUBEADM_CONFIG || left.path == all || is_below(&left.path, node)
    };
    let short = |text: &str| -> String { one_line(text).chars().take(LEFT_OUT_CHARS).collect() };
    let told = told.iter().filter(|left| own(left)).take(LEFT_OUT);
    told.map(|left| LeftOut {
        path: short(&left.path),
        why: short(&left.why),
    })
    .collect()
}

/// What follows the first segment.
struct Rest {
    contents: Contents,
}

impl Rest {
    fn add(&mut self, node: &Node, files: Result<Files, Error>, sink: &mut Sink) -> io::Result<()> {
        let files = files.map_err(|error| error.chain());
        match files.and_then(|files| self.with_room(files)) {
            Ok(files) => {
                sink.write(&files.bytes)?;
                self.contents.append(files.contents);
            }
            Err(why) => {
                let path = format!("{MASTERS}/{}", node.name);
                self.contents.leave_out(path, why);
            }
        }
        Ok(())
    }

    /// What no reader would take with the others is left out.
    fn with_room(&self, files: Files) -> Result<Files, String> {
        let beside = self
            .contents
            .files
            .iter()
            .filter(|file| file.path != SNAPSHOT);
        let beside = beside.chain(&files.contents.files);
        let bytes: u64 = beside.map(|file| file.size_bytes).sum();
        let entries = self.contents.files.len() + files.contents.files.len();
        // The description is one as well.
        if bytes > MOST_TOGETHER || entries + 1 > MOST_ENTRIES {
            return Err(format!(
                "with its files the bundle is too large: {entries} files, {bytes} bytes beside the snapshot"
            ));
        }
        Ok(files)
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

#[cfg(test)]
mod tests {
    use etcd_operations::pack::segment::Attributes;

    use super::*;

    fn parts() -> BundleParts {
        BundleParts {
            top: "b".into(),
            level: 1.try_into().unwrap(),
            pki: false,
            root: "/".into(),
        }
    }

    fn segment(paths: &[&str], mode: u32) -> (Vec<u8>, NodeFiles) {
        let mut segment = Segment::begin(Vec::new(), "b", parts().level).unwrap();
        let attributes = Attributes { mode, modified: 7 };
        for path in paths {
            segment = segment.small(path, b"kind: Pod", attributes).unwrap();
        }
        let (bytes, contents) = segment.finish().unwrap();
        let told = NodeFiles {
            size_bytes: bytes.len() as u64,
            sha256: String::new(),
            contents,
        };
        (bytes, told)
    }

    #[test]
    fn a_nodes_files_are_packed_here_from_their_bytes() {
        let path = "masters/m3/etc/kubernetes/manifests/etcd.yaml";
        let (bytes, told) = segment(&[path], 0o640);
        let files = packed_again(&bytes, &told, "m3", &parts()).unwrap();
        assert_eq!(files.contents.files[0].path, path);
        let again = NodeFiles {
            size_bytes: 0,
            sha256: String::new(),
            contents: files.contents.clone(),
        };
        assert!(packed_again(&files.bytes, &again, "m3", &parts()).is_ok());
    }

    #[test]
    fn a_node_that_sends_another_nodes_files_or_a_setuid_file_sends_nothing() {
        let foreign = "masters/m2/etc/kubernetes/manifests/kube-apiserver.yaml";
        for (path, mode) in [(foreign, 0o600), ("masters/m3/x", 0o4755)] {
            let (bytes, told) = segment(&[path], mode);
            let error = packed_again(&bytes, &told, "m3", &parts()).unwrap_err();
            assert!(error.message.contains("not a bundle"), "{error}");
        }
    }

    #[test]
    fn the_first_node_may_put_the_database_in_and_its_own_files_alone() {
        let of = |path: &str| {
            let mut contents = Contents::default();
            let file = serde_json::json!({"path": path, "sizeBytes": 1, "sha256": "x"});
            contents.files.push(serde_json::from_value(file).unwrap());
            own(Some(contents), "m1")
        };
        for path in [SNAPSHOT, KUBEADM_CONFIG, "masters/m1/etc/x"] {
            assert!(of(path).is_ok(), "{path}");
        }
        for path in ["masters/m2/etc/x", "masters/m1", "x", "masters/m11/x"] {
            assert!(of(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_a_node_says_it_leaves_out_is_its_own_and_short() {
        let left = |path: &str, why: String| LeftOut {
            path: path.to_owned(),
            why,
        };
        let mut told = vec![
            left("masters/m2/etc/x", "gone".into()),
            left("masters/m11/etc/x", "gone".into()),
            left("masters/m1/etc/a\u{1b}[2J", "y".repeat(9_000)),
        ];
        told.extend((0..5_000).map(|at| left(&format!("masters/m1/{at}"), String::new())));
        let kept = left_out(&told, "m1");
        assert_eq!(kept.len(), LEFT_OUT);
        assert_eq!(kept[0].path, "masters/m1/etc/a\u{fffd}[2J");
        assert_eq!(kept[0].why.len(), LEFT_OUT_CHARS);
    }
}
