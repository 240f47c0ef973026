//! Databases made by hand, of every page size and shape, patched and walked.

use std::os::unix::fs::FileExt;

use super::*;
use crate::ids::MemberId;
use crate::progress::ignore;
use crate::raft::wire::{put_bytes, put_uint};
use crate::verify::{Verdict, Verification, VerifyOptions, verify};

/// How the bucket `key` lies in the pages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Inline,
    EmptyLeaf,
    OneLeaf,
    /// So many leaves of one record under so many levels of branches.
    Tree {
        leaves: u64,
        levels: usize,
    },
}

fn record(revision: u64) -> LeafItem {
    let mut value = Vec::new();
    put_bytes(
        &mut value,
        1,
        format!("/registry/pods/default/p{revision}").as_bytes(),
    );
    for (field, number) in [(2, revision), (3, revision), (4, 1)] {
        put_uint(&mut value, field, number);
    }
    put_bytes(&mut value, 5, b"value");
    LeafItem {
        is_bucket: false,
        key: Revision {
            main: revision,
            sub: 0,
        }
        .encode()
        .to_vec(),
        value,
    }
}

fn key_bucket(pages: &mut Appended, shape: Shape) -> (Vec<u8>, u64) {
    let header = |root| element(BucketHeader { root, sequence: 0 }, &[]);
    match shape {
        Shape::Inline => {
            let inline = inline_leaf(&[record(2)]).unwrap();
            (
                element(
                    BucketHeader {
                        root: 0,
                        sequence: 0,
                    },
                    &inline,
                ),
                2,
            )
        }
        Shape::EmptyLeaf => (header(pages.leaf(&[]).unwrap()), 0),
        Shape::OneLeaf => (
            header(pages.leaf(&[record(2), record(3), record(4)]).unwrap()),
            4,
        ),
        Shape::Tree { leaves, levels } => {
            let mut below: Vec<BranchItem> = (2..2 + leaves)
                .map(|revision| {
                    let item = record(revision);
                    BranchItem {
                        key: item.key.clone(),
                        child: pages.leaf(&[item]).unwrap(),
                    }
                })
                .collect();
            for _ in 0..levels {
                let half = below.len().div_ceil(2).max(1);
                let parts = if below.len() > 2 && levels > 1 {
                    below.chunks(half).collect()
                } else {
                    vec![&below[..]]
                };
                below = parts
                    .into_iter()
                    .map(|items| BranchItem {
                        key: items[0].key.clone(),
                        child: pages.branch(items).unwrap(),
                    })
                    .collect();
            }
            if below.len() > 1 {
                below = vec![BranchItem {
                    key: Vec::new(),
                    child: pages.branch(&below).unwrap(),
                }];
            }
            (header(below[0].child), 1 + leaves)
        }
    }
}

/// A database file of one old member, with a bucket etcd does not know.
fn database(path: &Path, page_size: u32, shape: Shape) -> (File, u64) {
    let mut pages = Appended::new(page_size, 3);
    let (key, revision) = key_bucket(&mut pages, shape);
    let inline = |key: &[u8], value: &[u8]| {
        let item = LeafItem {
            is_bucket: false,
            key: key.to_vec(),
            value: value.to_vec(),
        };
        element(
            BucketHeader {
                root: 0,
                sequence: 0,
            },
            &inline_leaf(&[item]).unwrap(),
        )
    };
    let buckets = [
        ("alien", inline(b"kept", b"as it is")),
        ("key", key),
        (
            "lease",
            element(
                BucketHeader {
                    root: 0,
                    sequence: 0,
                },
                &inline_leaf(&[]).unwrap(),
            ),
        ),
        (
            "members",
            inline(
                b"7",
                br#"{"id":7,"peerURLs":["http://old:1"],"name":"old"}"#,
            ),
        ),
        ("meta", inline(b"consistent_index", &77u64.to_be_bytes())),
    ];
    let items: Vec<LeafItem> = buckets
        .into_iter()
        .map(|(name, value)| LeafItem {
            is_bucket: true,
            key: name.as_bytes().to_vec(),
            value,
        })
        .collect();
    let root = pages.leaf(&items).unwrap();
    let old = Meta {
        page_size,
        flags: 0,
        root,
        sequence: 0,
        freelist: None,
        high_water: pages.end(),
        txid: 8,
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.set_len(old.database_size()).unwrap();
    for meta in [old, Meta { txid: 7, ..old }] {
        file.write_all_at(&meta.encode(), meta.txid % 2 * u64::from(page_size))
            .unwrap();
    }
    file.write_all_at(pages.bytes(), 3 * u64::from(page_size))
        .unwrap();
    (file, revision)
}

fn members(n: u64) -> Vec<Member> {
    let member = |id: u64| Member {
        id: MemberId(id << 40),
        name: format!("m{id}"),
        peer_urls: vec![format!("https://member-{id}.example.org:2380")],
        client_urls: Vec::new(),
        is_learner: false,
    };
    (1..=n).map(member).collect()
}

fn walk(path: &Path) -> Verification {
    let source = FileSource::open(path).unwrap();
    let options = VerifyOptions {
        sha256: false,
        records: true,
    };
    verify(&source, &options, None, &mut ignore).unwrap()
}

fn values(path: &Path, bucket: &str) -> Records {
    let source = FileSource::open(path).unwrap();
    let mut db = Database::open(&source).unwrap();
    let bucket = db.bucket(bucket).unwrap().unwrap();
    let mut found = Records::new();
    db.walk(&bucket, &mut |entry| {
        found.insert(entry.element.key.to_vec(), entry.element.value.to_vec());
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn databases_of_every_page_size_and_shape_are_whole_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    // 30 children fill a branch page of 1 KiB so far that one more needs a second page.
    let trees = [(2, 1), (30, 1), (29, 1), (40, 2), (60, 3)]
        .map(|(leaves, levels)| Shape::Tree { leaves, levels });
    let shapes = [
        &[Shape::Inline, Shape::EmptyLeaf, Shape::OneLeaf][..],
        &trees,
    ]
    .concat();
    for page_size in [1024, 4096, 16384, 65536] {
        for &shape in &shapes {
            for (n, bump) in [(1, None), (3, Some(1_000_000_000)), (40, Some(1))] {
                let (file, revision) = database(&path, page_size, shape);
                assert_eq!(walk(&path).findings, [], "before: {page_size} {shape:?}");
                let (members, position) = (members(n), LogPosition { term: 1, index: n });
                let patch = Patch {
                    members: &members,
                    position,
                    bump,
                    for_etcd: None,
                    storage: StoragePolicy::Keep,
                };
                let patched = patch.apply(&file, &path).unwrap();
                let case = format!("{page_size} {shape:?} {n} {bump:?}");
                let found = walk(&path);
                assert_eq!(
                    (found.findings, found.verdict),
                    (Vec::new(), Verdict::NoTrailer),
                    "{case}"
                );
                let after = revision + bump.unwrap_or(0);
                assert_eq!(
                    (patched.revision_before, patched.revision_after),
                    (revision, after),
                    "{case}"
                );
                assert_eq!(found.status.unwrap().revision, after, "{case}");
                assert_eq!(file.metadata().unwrap().len(), patched.size_bytes, "{case}");
                assert_eq!(values(&path, "members").len() as u64, n, "{case}");
                assert_eq!(values(&path, "alien")[&b"kept"[..]], b"as it is", "{case}");
                let meta = values(&path, "meta");
                assert_eq!(meta[&b"consistent_index"[..]], n.to_be_bytes(), "{case}");
                assert_eq!(
                    meta.contains_key(&b"scheduledCompactRev"[..]),
                    bump.is_some(),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn nothing_of_the_old_tree_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (file, _) = database(
        &path,
        4096,
        Shape::Tree {
            leaves: 20,
            levels: 2,
        },
    );
    let before = std::fs::read(&path).unwrap();
    let members = members(3);
    let position = LogPosition { term: 1, index: 3 };
    let patch = Patch {
        members: &members,
        position,
        bump: Some(5),
        for_etcd: None,
        storage: StoragePolicy::Keep,
    };
    patch.apply(&file, &path).unwrap();
    let after = std::fs::read(&path).unwrap();
    // One of the two meta pages is new; the other one still leads to the whole old tree.
    assert_eq!(before[2 * 4096..], after[2 * 4096..before.len()]);
    assert_eq!(
        [0, 1]
            .map(|p| before[p * 4096..][..4096] == after[p * 4096..][..4096])
            .iter()
            .filter(|e| **e)
            .count(),
        1
    );
}

#[test]
fn a_bump_beyond_all_revisions_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (file, _) = database(&path, 4096, Shape::OneLeaf);
    let (members, position) = (members(1), LogPosition { term: 1, index: 1 });
    let bump = Some(i64::MAX as u64 - 4);
    let patch = Patch {
        members: &members,
        position,
        bump,
        for_etcd: None,
        storage: StoragePolicy::Keep,
    };
    assert!(matches!(
        patch.apply(&file, &path),
        Err(RestoreError::BumpTooLarge { revision: 4, .. })
    ));
}
