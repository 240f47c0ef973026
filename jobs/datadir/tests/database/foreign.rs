//! Databases of other programs, which use bbolt too.

use etcd_datadir::Error;
use etcd_datadir::datadir::{
    DatabaseState, InspectOptions, Verdict as DirVerdict, inspect as look_at,
};
use etcd_datadir::error::Damage;
use etcd_datadir::hash::hashkv;
use etcd_datadir::identity::identity;
use etcd_datadir::inspect::inspect;
use etcd_datadir::progress::ignore;
use etcd_datadir::restore::{
    NewMember, RawDatabase, RestoreError, RestoreOptions, RestoreTarget, restore_source,
};
use etcd_datadir::since::since;
use etcd_datadir::source::{FileSource, MemorySource};
use etcd_datadir::usage::{UsageOptions, usage};
use etcd_datadir::verify::{Verdict, VerifyOptions, verify};

use crate::support::bolt::{Shape, build, with_trailer};

/// A database with these buckets, each with a record.
fn with(buckets: &[&str]) -> Vec<u8> {
    let record = (b"k".to_vec(), b"v".to_vec());
    let buckets: Vec<_> = buckets
        .iter()
        .map(|name| ((*name).to_owned(), vec![record.clone()]))
        .collect();
    build(&buckets, &Shape::default())
}

fn words<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Damaged {
            damage: damage @ Damage::NotEtcd { .. },
            ..
        }) => damage.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_database_of_another_program_is_called_so_by_all_that_read_databases() {
    for (buckets, said) in [
        (&["v1"][..], "its only bucket is `v1`"),
        (&["conf", "logs"], "its buckets are `conf`, `logs`"),
        (&[], "it has no bucket at all"),
    ] {
        let source = MemorySource::new("x", with(buckets));
        let expected = format!(
            "a bbolt database, but not etcd's: it has no bucket `key` and none `meta`; {said}"
        );
        let options = UsageOptions::default();
        assert_eq!(words(usage(&source, &options, &mut ignore)), expected);
        assert_eq!(words(inspect(&source, "/registry", &mut ignore)), expected);
        assert_eq!(words(hashkv(&source, 0, &mut ignore)), expected);
        assert_eq!(words(identity(&source, "/registry", &mut ignore)), expected);
        assert_eq!(words(since(&source, "/registry", 0, &mut ignore)), expected);
        let found = verify(&source, &VerifyOptions::default(), None, &mut ignore).unwrap();
        assert_eq!(found.verdict, Verdict::Damaged);
        let findings: Vec<String> = found
            .findings
            .iter()
            .map(|one| one.damage.to_string())
            .collect();
        assert_eq!(findings, [expected]);
    }
}

#[test]
fn many_buckets_are_counted() {
    let names: Vec<String> = (0..23).map(|number| format!("b{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let source = MemorySource::new("x", with(&names));
    let said = words(inspect(&source, "/registry", &mut ignore));
    assert!(said.ends_with("`b09` and 13 more"), "{said}");
}

#[test]
fn a_database_without_one_of_etcds_buckets_is_etcds_and_damaged() {
    let source = MemorySource::new("x", with(&["key", "lease"]));
    let found = verify(&source, &VerifyOptions::default(), None, &mut ignore).unwrap();
    let missing = |one: &etcd_datadir::verify::Finding| {
        one.damage == Damage::MissingBucket { bucket: "meta" }
    };
    assert!(found.findings.iter().any(missing), "{:?}", found.findings);
}

#[test]
fn a_database_of_another_program_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raft.db");
    for bytes in [with(&["logs"]), with_trailer(with(&["logs"]))] {
        std::fs::write(&path, bytes).unwrap();
        let source = FileSource::open(&path).unwrap();
        let members = NewMember::parse_list("default=http://localhost:2380").unwrap();
        let options = RestoreOptions {
            raw: RawDatabase::Refuse,
            ..RestoreOptions::new(members)
        };
        let target = RestoreTarget::new("default", folder.path().join("restored"));
        match restore_source(&source, &[target], &options, &mut ignore) {
            Err(RestoreError::Files(error)) => assert!(words::<()>(Err(error)).contains("`logs`")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_directory_with_the_database_of_another_program_is_beyond_use() {
    let folder = tempfile::tempdir().unwrap();
    let snap = folder.path().join("member/snap");
    std::fs::create_dir_all(&snap).unwrap();
    std::fs::write(snap.join("db"), with(&["v1"])).unwrap();
    let found = look_at(folder.path(), &InspectOptions::default(), &mut ignore).unwrap();
    assert!(
        matches!(found.verdict, DirVerdict::BeyondUse(_)),
        "{:?}",
        found.verdict
    );
    match found.database {
        DatabaseState::Unreadable(error) => assert!(words::<()>(Err(error)).contains("`v1`")),
        other => panic!("{other:?}"),
    }
}
