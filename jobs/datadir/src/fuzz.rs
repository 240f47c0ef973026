//! What the fuzz targets and the property tests call for the database half: any bytes in, no panic out.

use crate::hash::hashkv;
use crate::inspect::inspect;
use crate::kubernetes::{EncryptionKey, config_map_entry, creation_time, object_name, uid};
use crate::page::{META_LEN, Meta};
use crate::progress::ignore;
use crate::records::Kind;
use crate::since::since;
use crate::source::MemorySource;
use crate::stream::SnapshotChecker;
use crate::usage::{UsageOptions, UsageStream, usage};
use crate::verify::{Verdict, VerifyOptions, verify};

/// Smallest page size there is: most pages from few bytes.
const PAGE: usize = 1024;
const HEAD: usize = crate::page::HEADER_LEN + META_LEN;

/// Reads any bytes as a database file, as they are.
pub fn file(bytes: &[u8]) {
    read(bytes.to_vec());
}

/// Reads any bytes as the pages of a database whose meta pages, page numbers and trailer are right, so that what is
/// read is the tree and not only its guards. The first byte says where the root is, the second what stays wrong.
pub fn tree(bytes: &[u8]) {
    let [root, flaws, pages @ ..] = bytes else {
        return;
    };
    let mut database = vec![0; 2 * PAGE];
    database.extend_from_slice(pages);
    database.resize(database.len().next_multiple_of(PAGE).max(4 * PAGE), 0);
    let count = database.len() / PAGE;
    for number in 2..count {
        if usize::from(*flaws) != number {
            database[number * PAGE..][..8].copy_from_slice(&(number as u64).to_le_bytes());
        }
    }
    let high_water = count as u64;
    for txid in [8, 7] {
        let meta = Meta {
            page_size: 1024,
            flags: 0,
            root: 2 + u64::from(*root) % (high_water - 2),
            sequence: 0,
            freelist: (*flaws == 255).then_some(high_water - 1),
            high_water,
            txid,
        };
        let at = if txid % 2 == 0 { 0 } else { PAGE };
        database[at..at + HEAD].copy_from_slice(&meta.encode());
    }
    let sha = <sha2::Sha256 as sha2::Digest>::digest(&database);
    database.extend_from_slice(&sha);
    read(database);
}

/// Reads any bytes as a record of every bucket, and as a key and a value of the apiserver's.
pub fn record(bytes: &[u8]) {
    let Some((split, rest)) = bytes.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(usize::from(*split).min(rest.len()));
    for bucket in [
        "key",
        "lease",
        "alarm",
        "meta",
        "members",
        "members_removed",
        "cluster",
        "auth",
        "authUsers",
        "authRoles",
    ] {
        let _ = Kind::of(bucket.as_bytes()).check(key, value);
    }
    for prefix in ["/registry", ""] {
        let _ = object_name(key, prefix);
    }
    let _ = (EncryptionKey::of(value), creation_time(value));
    let _ = (uid(value), config_map_entry(value, "ca.crt"));
}

fn read(bytes: Vec<u8>) {
    let options = UsageOptions::default();
    let (mut checker, mut stream) = (SnapshotChecker::new("fuzz"), UsageStream::new("fuzz"));
    let whole = bytes.chunks(700).try_for_each(|piece| {
        checker.push(piece)?;
        stream.push(piece)
    });
    let streamed = whole.and_then(|()| stream.finish(&options));
    let received = checker.finish();

    let source = MemorySource::new("fuzz", bytes);
    let _ = hashkv(&source, 0, &mut ignore);
    let _ = inspect(&source, "/registry", &mut ignore);
    let _ = since(&source, "/registry", 1, &mut ignore);
    let by_file = usage(&source, &options, &mut ignore);
    let (all, unhashed) = (
        VerifyOptions::default(),
        VerifyOptions {
            sha256: false,
            records: true,
        },
    );
    let verified = verify(&source, &all, None, &mut ignore);
    let by_halves = verify(&source, &unhashed, None, &mut ignore);

    let reliable = verified
        .as_ref()
        .is_ok_and(|found| found.verdict == Verdict::Reliable);
    if !reliable {
        return;
    }
    // What is reliable for one reader is so for all, and they say the same of it.
    assert!(received.is_ok(), "verified, but not received: {received:?}");
    let status = |found: Result<crate::verify::Verification, crate::Error>| {
        found.ok().and_then(|found| found.status)
    };
    assert_eq!(
        status(verified),
        status(by_halves),
        "two ways to the same status"
    );
    match (by_file, streamed) {
        (Ok(by_file), Ok((streamed, _))) => {
            assert_eq!(by_file, streamed, "two ways to the same usage");
        }
        other => panic!("verified, but not measured: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
            super::file(&bytes);
            super::tree(&bytes);
            super::record(&bytes);
        }
    }
}
