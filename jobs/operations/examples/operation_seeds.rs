//! Makes seeds for the fuzz targets out of the samples that the tests have: `operation_seeds CORPUS_DIR`.

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use etcd_operations::pack::Level;
use etcd_operations::pack::segment::{Attributes, Segment};
use etcd_operations::report::API_VERSION;
use etcd_operations::stored::description::Description;
use etcd_operations::transfer::FrameWriter;
use serde_json::{Value, json};

const FLAGS: &str = "ETCD_NAME=a\n\n/usr/local/bin/etcd\n--name=$(ETCD_NAME)\n--data-dir\n/var/lib/etcd\n\
    -listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379\n--force-new-cluster\n--max-txn-ops\n-1\n$$(A)";
const UNITS: &str = "[Service]\nExecStart=/usr/bin/kubelet\n---\n[Service]\nEnvironment=\"A=--config=/c --v=2\"\n\
    EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nExecStart=\nExecStart=/usr/bin/kubelet $A ${B} \\\n '--x=$$' 100%%\n\
    ===\nB=\"--node-labels='a=b'\"\n";
const LOG: &str = "d of one that was cut\n2026-11-22T08:00:00.1Z stderr P sec\n2026-11-22T08:00:00.2Z stderr F ond\n\
    2026-11-22T08:00:00.3Z stdout F:x {\"level\":\"fatal\",\"msg\":\"x\"}\u{1b}[0m\n";

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = std::env::args()
        .nth(1)
        .ok_or("usage: operation_seeds CORPUS_DIR")?;
    let seed = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&corpus).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (name, bytes) in files(&tests.join("manifests"))? {
        for edit in 0..7_u8 {
            let which = edit << 1 | u8::from(name.contains("apiserver"));
            let bytes = [&[which], bytes.as_slice()].concat();
            seed("manifest", &format!("{name}-{edit}"), &bytes)?;
        }
    }
    for (name, bytes) in files(&tests.join("samples/v1"))? {
        let documents = match serde_json::from_slice(&bytes)? {
            Value::Array(all) => all,
            one => vec![one],
        };
        for (number, document) in documents.iter().enumerate() {
            let text = document.to_string();
            seed("documents", &format!("{name}-{number}"), text.as_bytes())?;
        }
    }
    let (archive, description) = bundle()?;
    seed("documents", "description", &description)?;
    seed("packed", "bundle", &archive)?;
    let plain = zstd::decode_all(archive.as_slice())?;
    seed("packed", "tar", &plain)?;
    seed("bundle", "tar", &plain)?;
    seed("frames", "stream", &[&[40], stream()?.as_slice()].concat())?;
    // As the target puts frames together: a kind and a length before each of them.
    let zeros = zstd::bulk::compress(&[0; 9000], 1)?;
    let length = u8::try_from(zeros.len())?;
    let parts = [&[9, 0, 3, 7, 8, 9, 3, length], zeros.as_slice(), &[1, 32]];
    seed("frames", "parts", &[&parts.concat()[..], &[7; 32]].concat())?;
    seed("flags", "etcd", FLAGS.as_bytes())?;
    seed("units", "kubelet", UNITS.as_bytes())?;
    seed("log", "log", LOG.as_bytes())?;
    Ok(())
}

/// A small bundle, and its description.
fn bundle() -> io::Result<(Vec<u8>, Vec<u8>)> {
    let snapshot = json!({
        "apiVersion": API_VERSION, "kind": "SnapshotDescription",
        "path": "snapshot.db", "sizeBytes": 3, "sha256": "ab", "clusterId": "92bbc138e773f1e",
        "memberId": "4a0a71693beabc9c", "revision": 10, "raftTerm": 2, "etcdVersion": "3.6.16", "hash": 1,
        "totalKeys": 4, "takenAt": "2026-11-21T15:40:15Z", "tookMs": 31,
    });
    let description = Description::parse(snapshot.to_string().as_bytes())
        .map_err(|what| io::Error::new(ErrorKind::InvalidData, what))?;
    let mut segment = Segment::begin(Vec::new(), "b", Level::default())?;
    for (path, bytes) in [
        ("snapshot.db", "not looked at here"),
        ("kubeadm-config.yaml", "kind: ClusterConfiguration"),
        ("masters/cp-1/etc/kubernetes/pki/ca.crt", "ca"),
    ] {
        segment = segment.small(path, bytes.as_bytes(), Attributes::now())?;
    }
    let (out, contents) = segment.finish()?;
    let text = description.with_contents(Some(contents)).text()?;
    let last = Segment::begin(out, "b", Level::default())?;
    Ok((last.finish_bundle(&text)?, text))
}

fn stream() -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut frames = FrameWriter::new(&mut out, 0)?;
    frames.data(b"some")?;
    frames.data(&[])?;
    frames.data(&[b'x'; 5000])?;
    frames.end(&[7; 32])?;
    Ok(out)
}

/// The files of a folder, by name.
fn files(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        found.push((name.into_owned(), fs::read(&path)?));
    }
    Ok(found)
}
