//! What a node may send as its files: anything.

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;
use crate::pack::Level;
use crate::pack::segment::Segment;

const OWN: Attributes = Attributes {
    mode: 0o600,
    modified: 1_700_000_000,
};

/// A segment of these files as this project packs it, and what it says of it.
fn segment(files: &[(&str, &[u8])]) -> (Vec<u8>, Contents) {
    let mut segment = Segment::begin(Vec::new(), "b", Level::default()).unwrap();
    for (path, bytes) in files {
        segment = segment.small(path, bytes, OWN).unwrap();
    }
    segment.finish().unwrap()
}

fn read_as(bytes: &[u8], contents: &Contents, node: &str) -> Result<Vec<NodeFile>, String> {
    let expected = Expected {
        top: "b",
        node,
        contents,
    };
    read(bytes, &expected).map_err(|error| error.to_string())
}

const FILES: [(&str, &[u8]); 2] = [
    (
        "masters/m3/etc/kubernetes/manifests/etcd.yaml",
        b"kind: Pod",
    ),
    ("masters/m3/var/lib/kubelet/config.yaml", &[7; 700]),
];

#[test]
fn a_nodes_own_files_are_read_with_their_modes() {
    let (bytes, contents) = segment(&FILES);
    let files = read_as(&bytes, &contents, "m3").unwrap();
    let found: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.bytes.as_slice()))
        .collect();
    assert_eq!(found, FILES);
    assert_eq!(files[0].attributes.mode, 0o600);
    assert!(
        read_as(&segment(&[]).0, &Contents::default(), "m3")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_size_that_no_sum_could_hold_is_refused() {
    let header = |path: &str, size| {
        let mut header = Header::new_ustar();
        header.set_path(format!("b/{path}")).unwrap();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        // One for which the octal digits have no room becomes a number of bits.
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let mut archive = header(FILES[0].0, 1);
    archive.resize(2 * BLOCK, 0);
    archive.extend(header(FILES[1].0, u64::MAX));
    let bytes = zstd::encode_all(&archive[..], 3).unwrap();
    let refused = read_as(&bytes, &Contents::default(), "m3").unwrap_err();
    assert!(refused.contains("too large"), "{refused}");
}

#[test]
fn the_files_of_another_node_are_refused() {
    for path in [
        "masters/m2/etc/kubernetes/manifests/kube-apiserver.yaml",
        "masters/m33/x",
        "masters/m3",
        "masters/x",
        "snapshot.db",
        "description.json",
        "kubeadm-config.yaml",
    ] {
        let (bytes, contents) = segment(&[FILES[0], (path, b"x")]);
        let why = read_as(&bytes, &contents, "m3").unwrap_err();
        assert!(why.contains("is no file of that node"), "{path}: {why}");
    }
}

/// An archive made by hand, packed, with an honest description of what is a file in it.
fn by_hand(entries: &[(&str, EntryType, u32, &[u8])], then: &[u8]) -> (Vec<u8>, Contents) {
    let mut archive = Vec::new();
    let mut contents = Contents::default();
    for (path, kind, mode, bytes) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if *kind == EntryType::Symlink {
            header.as_old_mut().linkname[..4].copy_from_slice(b"/etc");
        }
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        contents.files.push(crate::report::BundledFile {
            path: path.strip_prefix("b/").unwrap_or(path).to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        });
    }
    archive.extend_from_slice(then);
    (zstd::encode_all(&archive[..], 1).unwrap(), contents)
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let path = "b/masters/m3/x";
    for (kind, named) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::Directory, "folder"),
        (EntryType::XHeader, "extended header"),
        (EntryType::GNULongName, "long name"),
    ] {
        let (bytes, contents) = by_hand(&[(path, kind, 0o600, b"")], b"");
        let why = read_as(&bytes, &contents, "m3").unwrap_err();
        assert!(why.contains(named), "{why}");
    }
    for mode in [0o4755, 0o2755, 0o1777, 0o7777] {
        let (bytes, contents) = by_hand(&[(path, EntryType::Regular, mode, b"x")], b"");
        let why = read_as(&bytes, &contents, "m3").unwrap_err();
        assert!(why.contains("setuid"), "{why}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for path in [
        "/etc/passwd",
        "b/masters/m3/../m2/x",
        "b/masters/m3/./x",
        "b/masters/m3//x",
        "b/masters/m3/",
        "b/masters/m3/a\nb",
        "b/masters/m3/\u{1b}[2J",
        "other/masters/m3/x",
        "x",
    ] {
        let (bytes, contents) = by_hand(&[(path, EntryType::Regular, 0o600, b"x")], b"");
        assert!(read_as(&bytes, &contents, "m3").is_err(), "{path}");
    }
}

#[test]
fn an_end_a_cut_and_a_second_file_of_one_name_are_refused() {
    let one = ("b/masters/m3/x", EntryType::Regular, 0o600, b"x".as_slice());
    for (then, what) in [
        (vec![0; 2 * BLOCK], "the archive's end"),
        (vec![0; BLOCK], "the archive's end"),
        (vec![0; 10], "it was cut"),
        (vec![7; BLOCK], "checksum"),
    ] {
        let (bytes, contents) = by_hand(&[one], &then);
        let why = read_as(&bytes, &contents, "m3").unwrap_err();
        assert!(why.contains(what), "{what}: {why}");
    }
    let (bytes, contents) = by_hand(&[one, one], b"");
    let why = read_as(&bytes, &contents, "m3").unwrap_err();
    assert!(why.contains("twice"), "{why}");
}

#[test]
fn what_the_node_does_not_say_is_in_it_is_refused() {
    let (bytes, contents) = segment(&FILES);
    let mut less = contents.clone();
    less.files.pop();
    assert!(
        read_as(&bytes, &less, "m3")
            .unwrap_err()
            .contains("does not say so")
    );
    let mut other = contents;
    other.files[0].sha256 = hex(&Sha256::digest(b"other"));
    assert!(
        read_as(&bytes, &other, "m3")
            .unwrap_err()
            .contains("sha256")
    );
}

#[test]
fn what_unpacks_without_end_is_stopped_at_its_first_header() {
    let zeros = vec![0; usize::try_from(LARGEST).unwrap() + 1];
    let bomb = (
        "b/masters/m3/x",
        EntryType::Regular,
        0o600,
        zeros.as_slice(),
    );
    let (bytes, contents) = by_hand(&[bomb], b"");
    assert!(bytes.len() < 10_000);
    assert!(
        read_as(&bytes, &contents, "m3")
            .unwrap_err()
            .contains("too large")
    );
    let full = vec![0; usize::try_from(LARGEST).unwrap()];
    let paths: Vec<String> = (0..60).map(|at| format!("b/masters/m3/{at}")).collect();
    let many: Vec<_> = paths
        .iter()
        .map(|path| (path.as_str(), EntryType::Regular, 0o600, full.as_slice()))
        .collect();
    let (bytes, contents) = by_hand(&many, b"");
    assert!(
        read_as(&bytes, &contents, "m3")
            .unwrap_err()
            .contains("too large")
    );
}

/// Entries of every kind, mostly almost right.
fn entry() -> impl Strategy<Value = (String, u8, u32, Vec<u8>)> {
    let path = prop_oneof![
        4 => "b/masters/m3/[a-z]{1,3}(/[a-z]{1,3})?",
        1 => "b/masters/m[1-4]/[a-z/.]{1,6}",
        1 => "[a-z/.]{1,20}",
    ];
    let kind = prop_oneof![6 => Just(b'0'), 1 => b'0'..=b'7', 1 => any::<u8>()];
    let mode = prop_oneof![4 => Just(0o600u32), 1 => 0u32..0o10000];
    (
        path,
        kind,
        mode,
        prop::collection::vec(any::<u8>(), 0..1200),
    )
}

proptest! {
    /// Whatever a node packs: what is taken of it are plain files of that node, each once, with nothing but permissions.
    #[test]
    fn nothing_but_the_nodes_own_plain_files_comes_through(
        entries in prop::collection::vec(entry(), 0..5),
        then in prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(any::<u8>(), 0..1100)],
    ) {
        let made: Vec<_> = entries
            .iter()
            .map(|(path, kind, mode, bytes)| (path.as_str(), EntryType::new(*kind), *mode, bytes.as_slice()))
            .collect();
        let (bytes, contents) = by_hand(&made, &then);
        if let Ok(files) = read_as(&bytes, &contents, "m3") {
            let mut seen = std::collections::BTreeSet::new();
            for file in &files {
                prop_assert!(is_below(&file.path, "m3"), "{:?}", file.path);
                let mut parts = file.path.split('/');
                prop_assert!(parts.all(|part| !part.is_empty() && part != "." && part != ".."));
                prop_assert_eq!(file.attributes.mode & !0o777, 0);
                prop_assert!(seen.insert(&file.path));
            }
            prop_assert_eq!(files.len(), entries.len());
        }
    }

    #[test]
    fn a_changed_segment_is_refused_or_the_same(at: prop::sample::Index, bit in 0u8..8, cut: bool) {
        let (good, contents) = segment(&FILES);
        let mut bytes = good;
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        if let Ok(files) = read_as(&bytes, &contents, "m3") {
            let found: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())).collect();
            prop_assert_eq!(found, FILES);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_as(&bytes, &Contents::default(), "m3");
        let packed = zstd::encode_all(&bytes[..], 1).unwrap();
        let _ = read_as(&packed, &Contents::default(), "m3");
    }
}
