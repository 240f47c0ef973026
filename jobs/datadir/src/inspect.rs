//! What is in a snapshot, told without telling any value.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::Error;
use crate::changes::{Change, Changes};
use crate::error::Damage;
use crate::hash::read_meta_bucket;
use crate::ids::{ClusterId, MemberId};
use crate::kubernetes::{EncryptionKey, creation_time, object_name};
use crate::latest::LatestChanges;
use crate::progress::OnProgress;
use crate::records::members::{Member, removed_id};
use crate::records::meta::MetaBucket;
use crate::records::small::{Alarm, AlarmKind, Lease};
use crate::source::Source;
use crate::tree::{Database, Entry};

/// What is in a database or snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The members, as the bucket `members` has them. Up to etcd 3.5 that is a copy etcd does not rely on.
    pub members: Vec<Member>,
    /// Ids of members that were removed; etcd never lets them in again.
    pub removed_members: Vec<MemberId>,
    /// The cluster's id if the members are those it was founded with. No snapshot holds the id itself; a member that
    /// was added later changes what is computed here, but not the cluster's id.
    pub cluster_id_if_founders: ClusterId,
    /// What the cluster's members agreed to speak ("3.6.0"); `None` where it is not stored.
    pub cluster_version: Option<String>,
    /// The downgrade under way, as etcd stores it.
    pub downgrade: Option<String>,
    /// Raft position, compactions and storage version.
    pub meta: MetaBucket,
    /// The revision of the last change.
    pub revision: u64,
    /// Alarms that are raised. A restored cluster has them as well.
    pub alarms: Vec<RaisedAlarm>,
    /// How many leases there are.
    pub leases: u64,
    /// Users and roles.
    pub auth: Auth,
    /// Keys that are not deleted.
    pub keys: u64,
    /// What the keys are to Kubernetes.
    pub kubernetes: Kubernetes,
}

/// An alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RaisedAlarm {
    /// The member that raised it.
    pub member: MemberId,
    /// What it is about.
    pub kind: AlarmKind,
}

/// Users and roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Auth {
    /// Whether clients must be users.
    pub enabled: bool,
    /// Users there are.
    pub users: u64,
    /// Roles there are.
    pub roles: u64,
}

/// What the keys are to Kubernetes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Kubernetes {
    /// Objects by resource, as kubectl names it.
    pub resources: BTreeMap<String, Objects>,
    /// Keys outside of the apiserver's prefix.
    pub other_keys: u64,
    /// The keys that values are encrypted with, and how many values. Without the same keys in its encryption
    /// configuration an apiserver cannot read what is restored.
    pub encryption: Vec<EncryptionUse>,
    /// When the youngest object was created whose value tells, in seconds since 1970: a lower bound of the snapshot's
    /// own time.
    pub newest_object: Option<i64>,
}

/// Objects of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Objects {
    /// How many there are.
    pub objects: u64,
    /// How many of them are encrypted.
    pub encrypted: u64,
}

/// Use of one encryption key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EncryptionUse {
    /// Which.
    pub key: EncryptionKey,
    /// Values encrypted with it.
    pub objects: u64,
}

/// Looks into a database or snapshot; `prefix` is the apiserver's `--etcd-prefix`, usually `/registry`.
///
/// Reads all of the bucket `key` once. Memory: about 45 bytes for each key and up to as many for free places, 40 for
/// each leaf page. The SHA-256 is not checked: [`crate::verify`] does.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`], [`Error::Cancelled`].
pub fn inspect(
    source: &dyn Source,
    prefix: &str,
    on_progress: OnProgress<'_>,
) -> Result<Inspection, Error> {
    let mut db = Database::open_etcd(source)?;
    let mut small = Small::default();
    for bucket in db.buckets()? {
        let name = bucket.printable_name();
        if matches!(name.as_str(), "key" | "meta") {
            continue;
        }
        db.walk(&bucket, &mut |entry| small.take(&name, &entry))?;
    }
    let meta = read_meta_bucket(&mut db)?;
    let mut tally = Tally::new(prefix);
    Changes::new(&mut db)?.each(&db, &mut |change| tally.change(&change), on_progress)?;
    let ids: Vec<MemberId> = small.members.iter().map(|member| member.id).collect();
    Ok(Inspection {
        cluster_id_if_founders: ClusterId::of_new_cluster(&ids),
        members: small.members,
        removed_members: small.removed_members,
        cluster_version: small.cluster_version,
        downgrade: small.downgrade,
        meta,
        revision: tally.revision,
        alarms: small.alarms,
        leases: small.leases,
        auth: small.auth,
        keys: tally.latest.live().count() as u64,
        kubernetes: tally.finish(),
    })
}

/// The small buckets.
#[derive(Default)]
struct Small {
    members: Vec<Member>,
    removed_members: Vec<MemberId>,
    cluster_version: Option<String>,
    downgrade: Option<String>,
    alarms: Vec<RaisedAlarm>,
    leases: u64,
    auth: Auth,
}

impl Small {
    fn take(&mut self, bucket: &str, entry: &Entry<'_>) -> Result<(), Error> {
        let bad = |bad: crate::records::BadRecord| entry.bad_record(bucket, bad.to_string());
        let (key, value) = (entry.element.key, entry.element.value);
        if entry.element.is_bucket {
            let (page, index, bucket) = (entry.page, entry.index, bucket.to_owned());
            let what = "a bucket within a bucket, which etcd never makes";
            return Err(Error::damaged(
                entry.file,
                Damage::Bucket {
                    page,
                    index,
                    bucket,
                    what,
                },
            ));
        }
        match (bucket, key) {
            ("members", _) => self.members.push(Member::decode(key, value).map_err(bad)?),
            ("members_removed", _) => self.removed_members.push(removed_id(key).map_err(bad)?),
            ("cluster", b"clusterVersion") => {
                self.cluster_version = Some(value.escape_ascii().to_string());
            }
            ("cluster", b"downgrade") => {
                self.downgrade = Some(String::from_utf8_lossy(value).into_owned());
            }
            ("alarm", _) => {
                let Alarm { member, kind } = Alarm::decode(key, value).map_err(bad)?;
                self.alarms.push(RaisedAlarm { member, kind });
            }
            ("lease", _) => {
                Lease::decode(key, value).map_err(bad)?;
                self.leases += 1;
            }
            ("auth", b"authEnabled") => self.auth.enabled = value == [1],
            ("authUsers", _) => self.auth.users += 1,
            ("authRoles", _) => self.auth.roles += 1,
            _ => {}
        }
        Ok(())
    }
}

/// The bucket `key`, counted.
struct Tally<'p> {
    prefix: &'p str,
    resources: Numbered<String>,
    encryption: Numbered<EncryptionKey>,
    latest: LatestChanges<Facts>,
    revision: u64,
}

/// What is remembered of a key's latest value.
#[derive(Clone, Copy)]
struct Facts {
    /// Number of its resource; `NONE` for a key outside of the prefix.
    resource: u32,
    /// Number of its encryption key, or `NONE`.
    encryption: u32,
    created: Option<i64>,
}

const NONE: u32 = u32::MAX;

/// Things numbered in the order they were first seen.
struct Numbered<T> {
    numbers: HashMap<T, u32>,
    things: Vec<T>,
}

impl<T: Clone + Eq + std::hash::Hash> Numbered<T> {
    fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            things: Vec::new(),
        }
    }

    fn number(&mut self, thing: T) -> u32 {
        let next = u32::try_from(self.things.len()).unwrap_or(NONE);
        *self.numbers.entry(thing).or_insert_with_key(|thing| {
            self.things.push(thing.clone());
            next
        })
    }
}

impl<'p> Tally<'p> {
    fn new(prefix: &'p str) -> Self {
        Self {
            prefix,
            resources: Numbered::new(),
            encryption: Numbered::new(),
            latest: LatestChanges::new(RandomState::new()),
            revision: 0,
        }
    }

    fn change(&mut self, change: &Change<'_>) {
        self.revision = self.revision.max(change.at.revision.main);
        let Self {
            prefix,
            resources,
            encryption,
            latest,
            ..
        } = self;
        latest.change(change.kv.key, change.at, || {
            if change.at.deletion {
                return Facts {
                    resource: NONE,
                    encryption: NONE,
                    created: None,
                };
            }
            let name = object_name(change.kv.key, prefix);
            let key = EncryptionKey::of(change.kv.value);
            Facts {
                resource: name.map_or(NONE, |name| resources.number(name.resource.into_owned())),
                encryption: key.map_or(NONE, |key| encryption.number(key)),
                created: creation_time(change.kv.value),
            }
        });
    }

    fn finish(&self) -> Kubernetes {
        let mut kubernetes = Kubernetes::default();
        let mut uses = vec![0; self.encryption.things.len()];
        let mut objects = vec![Objects::default(); self.resources.things.len()];
        for facts in self.latest.live() {
            kubernetes.newest_object = kubernetes.newest_object.max(facts.created);
            let encrypted = uses
                .get_mut(facts.encryption as usize)
                .map(|uses| *uses += 1)
                .is_some();
            match objects.get_mut(facts.resource as usize) {
                Some(objects) => {
                    objects.objects += 1;
                    objects.encrypted += u64::from(encrypted);
                }
                None => kubernetes.other_keys += 1,
            }
        }
        let named = self.resources.things.iter().cloned().zip(objects);
        kubernetes.resources = named.filter(|(_, objects)| objects.objects > 0).collect();
        let used = self.encryption.things.iter().cloned().zip(uses);
        kubernetes.encryption = used
            .filter(|(_, objects)| *objects > 0)
            .map(|(key, objects)| EncryptionUse { key, objects })
            .collect();
        kubernetes
    }
}
