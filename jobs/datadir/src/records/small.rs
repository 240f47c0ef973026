//! Records of the small buckets: `lease`, `alarm`, `cluster`, `auth`, `authUsers`, `authRoles`.

use serde::Serialize;

use super::{BadRecord, meta};
use crate::ids::MemberId;
use crate::raft::wire::each_field;

/// A lease (`leasepb.Lease`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: i64,
    /// Its time to live in seconds, as granted.
    pub ttl_seconds: i64,
}

impl Lease {
    /// Decodes a record of `lease`.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, BadRecord> {
        let mut lease = Self {
            id: 0,
            ttl_seconds: 0,
        };
        each_field!(value, field, {
            1 => lease.id = field.varint()?.cast_signed(),
            2 => lease.ttl_seconds = field.varint()?.cast_signed(),
        });
        if key != lease.id.to_be_bytes() {
            return Err(BadRecord::Contradiction(
                "the lease's id is not the one it is stored under",
            ));
        }
        Ok(lease)
    }
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AlarmKind {
    /// The database has outgrown its quota: writes are refused.
    NoSpace,
    /// Members hold different data.
    Corrupt,
    /// One this crate does not know.
    Other(u64),
}

/// An alarm that is raised (`etcdserverpb.AlarmMember`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The member that raised it.
    pub member: MemberId,
    /// What it is about.
    pub kind: AlarmKind,
}

impl Alarm {
    /// Decodes a record of `alarm`: the message is the key.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, BadRecord> {
        let (mut member, mut kind) = (0, 0);
        each_field!(key, field, {
            1 => member = field.varint()?,
            2 => kind = field.varint()?,
        });
        if !value.is_empty() {
            return Err(BadRecord::Contradiction("an alarm with a value"));
        }
        let kind = match kind {
            1 => AlarmKind::NoSpace,
            2 => AlarmKind::Corrupt,
            other => AlarmKind::Other(other),
        };
        Ok(Self {
            member: MemberId(member),
            kind,
        })
    }
}

pub(super) fn check_cluster(key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
    match key {
        b"clusterVersion" => meta::version(value).map(drop),
        b"downgrade" => match serde_json::from_slice::<serde::de::IgnoredAny>(value) {
            Ok(_) => Ok(()),
            Err(_) => Err(BadRecord::Contradiction("its value is not JSON")),
        },
        _ => Ok(()),
    }
}

pub(super) fn check_auth(key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
    match (key, value.len()) {
        (b"authEnabled", 1) | (b"authRevision", 8) => Ok(()),
        (b"authEnabled" | b"authRevision", _) => {
            Err(BadRecord::Contradiction("its value has the wrong length"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_user(key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
    check_named(
        key,
        value,
        "the user's name is not the one it is stored under",
    )
}

pub(super) fn check_role(key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
    check_named(
        key,
        value,
        "the role's name is not the one it is stored under",
    )
}

/// A message whose first field is the name it is stored under, as users and roles are.
fn check_named(key: &[u8], value: &[u8], otherwise: &'static str) -> Result<(), BadRecord> {
    let mut name: &[u8] = &[];
    each_field!(value, field, { 1 => name = field.bytes()?, });
    if name == key {
        Ok(())
    } else {
        Err(BadRecord::Contradiction(otherwise))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_records_are_read_as_etcd_writes_them() {
        let lease = Lease::decode(&5i64.to_be_bytes(), &[8, 5, 16, 60]).unwrap();
        assert_eq!(
            lease,
            Lease {
                id: 5,
                ttl_seconds: 60
            }
        );
        assert!(Lease::decode(&6i64.to_be_bytes(), &[8, 5, 16, 60]).is_err());
        let alarm = Alarm::decode(&[8, 9, 16, 1], &[]).unwrap();
        assert_eq!(
            alarm,
            Alarm {
                member: MemberId(9),
                kind: AlarmKind::NoSpace
            }
        );
        assert!(check_user(b"root", &[10, 4, b'r', b'o', b'o', b't']).is_ok());
        assert!(check_user(b"toor", &[10, 4, b'r', b'o', b'o', b't']).is_err());
        assert!(check_auth(b"authEnabled", &[]).is_err());
    }
}
