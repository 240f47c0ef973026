//! Records of the bucket `key`: one for every change of a user's key.

use std::fmt;

use super::BadRecord;
use crate::raft::wire::each_field;

/// A revision of the store: `main` counts transactions, `sub` the changes within one, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Revision {
    /// The transaction.
    pub main: u64,
    /// The change within it.
    pub sub: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.main, self.sub)
    }
}

impl Revision {
    /// Reads the 17 bytes `main u64 BE, '_', sub u64 BE`.
    ///
    /// etcd's revisions are signed; negative ones are refused.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (main, rest) = bytes.split_first_chunk::<8>()?;
        let (separator, sub) = rest.split_first()?;
        let (main, sub) = (
            u64::from_be_bytes(*main),
            u64::from_be_bytes(sub.try_into().ok()?),
        );
        let positive = i64::try_from(main).is_ok() && i64::try_from(sub).is_ok();
        (*separator == b'_' && positive).then_some(Self { main, sub })
    }

    /// The 17 bytes.
    pub fn encode(&self) -> [u8; 17] {
        let mut bytes = [b'_'; 17];
        bytes[..8].copy_from_slice(&self.main.to_be_bytes());
        bytes[9..].copy_from_slice(&self.sub.to_be_bytes());
        bytes
    }
}

/// The key of a record in `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionKey {
    /// When the change happened.
    pub revision: Revision,
    /// Whether it was a deletion.
    pub deletion: bool,
}

impl RevisionKey {
    /// Reads 17 bytes, or 18 with a `t` (tombstone) at the end.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (revision, deletion) = match bytes {
            [revision @ .., b't'] if revision.len() == 17 => (revision, true),
            _ => (bytes, false),
        };
        Some(Self {
            revision: Revision::parse(revision)?,
            deletion,
        })
    }
}

/// `mvccpb.KeyValue`, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyValue<'a> {
    /// The user's key; empty only in the record a revision bump leaves.
    pub key: &'a [u8],
    /// Revision of the change that created the key.
    pub create_revision: i64,
    /// Revision of this change.
    pub mod_revision: i64,
    /// How many changes since creation, from 1.
    pub version: i64,
    /// The value. Never shown: it may be a Secret.
    pub value: &'a [u8],
    /// Lease the key hangs on; 0 for none.
    pub lease: i64,
}

impl fmt::Debug for KeyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeyValue({}, {} bytes)",
            self.key.escape_ascii(),
            self.value.len()
        )
    }
}

impl<'a> KeyValue<'a> {
    /// Decodes the message; unknown fields are skipped.
    ///
    /// # Errors
    /// [`BadRecord::Value`].
    pub fn decode(message: &'a [u8]) -> Result<Self, BadRecord> {
        let mut kv = Self::default();
        each_field!(message, field, {
            1 => kv.key = field.bytes()?,
            2 => kv.create_revision = field.varint()?.cast_signed(),
            3 => kv.mod_revision = field.varint()?.cast_signed(),
            4 => kv.version = field.varint()?.cast_signed(),
            5 => kv.value = field.bytes()?,
            6 => kv.lease = field.varint()?.cast_signed(),
        });
        Ok(kv)
    }
}

/// Decodes a record of `key` and checks that key and value speak of the same change.
///
/// # Errors
/// [`BadRecord`].
pub fn decode<'a>(key: &[u8], value: &'a [u8]) -> Result<(RevisionKey, KeyValue<'a>), BadRecord> {
    let at = RevisionKey::parse(key).ok_or(BadRecord::RevisionKey)?;
    let kv = KeyValue::decode(value)?;
    // `etcdutl snapshot restore --bump-revision` leaves one record with an empty value.
    if at.deletion || value.is_empty() {
        return Ok((at, kv));
    }
    if u64::try_from(kv.mod_revision) != Ok(at.revision.main) {
        return Err(BadRecord::Contradiction(
            "its modification revision is not the revision it is stored under",
        ));
    }
    if kv.create_revision < 1 || kv.create_revision > kv.mod_revision {
        return Err(BadRecord::Contradiction(
            "its creation revision is not between 1 and its modification revision",
        ));
    }
    if kv.version < 1 {
        return Err(BadRecord::Contradiction("its version is less than 1"));
    }
    Ok((at, kv))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn revision_keys_are_17_or_18_bytes() {
        let revision = Revision { main: 7, sub: 3 };
        let mut key = revision.encode().to_vec();
        assert_eq!(
            RevisionKey::parse(&key),
            Some(RevisionKey {
                revision,
                deletion: false
            })
        );
        key.push(b't');
        assert_eq!(
            RevisionKey::parse(&key),
            Some(RevisionKey {
                revision,
                deletion: true
            })
        );
        key.push(b't');
        assert_eq!(RevisionKey::parse(&key), None);
        key.truncate(16);
        assert_eq!(RevisionKey::parse(&key), None);
        assert_eq!(
            Revision::parse(b"\xff\0\0\0\0\0\0\0_\0\0\0\0\0\0\0\0"),
            None
        );
        assert_eq!(Revision::parse(b"\0\0\0\0\0\0\0\0-\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn records_that_contradict_their_key_are_refused() {
        // key "a", created at 2, modified at 3, version 2
        let value = [0x0a, 1, b'a', 0x10, 2, 0x18, 3, 0x20, 2];
        assert!(decode(&Revision { main: 3, sub: 0 }.encode(), &value).is_ok());
        assert!(decode(&Revision { main: 4, sub: 0 }.encode(), &value).is_err());
        let created_later = [0x0a, 1, b'a', 0x10, 4, 0x18, 3, 0x20, 2];
        assert!(decode(&Revision { main: 3, sub: 0 }.encode(), &created_later).is_err());
        assert!(
            decode(&Revision { main: 3, sub: 0 }.encode(), &[]).is_ok(),
            "what a bump leaves"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(key in proptest::collection::vec(any::<u8>(), 0..20),
                                            value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&key, &value);
        }
    }
}
