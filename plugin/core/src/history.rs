//! The history of a cluster's etcd: which revisions can still be read, and which of them are as old as asked for.
//!
//! etcd stores no times. The holders of Leases write the time with each renewal though, every two to ten seconds, and the
//! apiserver lists Leases as of any revision that is not compacted. A Lease written at revision R with the time T proves that
//! R was written at T, or as much later as a renewal may take. What cannot be proved to be old counts as new.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use kube::core::params::VersionMatch;

use crate::connection::{Connection, clock};
use crate::error::Error;
use crate::outcome::{RunError, run_error};
use crate::runners::trouble::api_error;

/// Where the control plane's own Leases are: a handful, renewed as long as it can write.
const NAMESPACE: &str = "kube-system";
/// So much later than the time it carries a renewal may be written: its holder gives up after ten seconds.
const RENEWAL: SignedDuration = SignedDuration::from_secs(15);
/// How far back the first look goes.
const FIRST_STEP: i64 = 1024;

/// A revision, and when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The revision.
    pub revision: i64,
    /// The time, by the clock of who wrote it.
    pub at: Timestamp,
}

/// The Leases as of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    revision: i64,
    renewals: Vec<Written>,
}

impl Look {
    fn newest(&self) -> Option<Written> {
        self.renewals.iter().copied().max_by_key(|one| one.at)
    }
}

/// Looks at a cluster as it was.
pub(crate) trait Past {
    /// As of a revision, or now; none: it is compacted.
    async fn look(&self, revision: Option<i64>) -> Result<Option<Look>, RunError>;
}

/// What can still be read of the past of an etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The current revision.
    pub current: i64,
    /// Now, by the apiserver's clock.
    pub now: Timestamp,
    /// The last revision that is proved to be older than asked for; none: there is no proof for any.
    pub older: Option<Written>,
}

/// Reads the history, and how much of it is older than this.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn history(
    connection: &Connection,
    older_than: Option<SignedDuration>,
) -> Result<History, Error> {
    let ahead = clock::ahead(&connection.control).await.unwrap_or_default();
    let leases = Api::<Lease>::namespaced(connection.control.clone(), NAMESPACE);
    let read = read(&leases, clock::now(ahead), older_than).await;
    read.map_err(|error| run_error("the history", &error))
}

async fn read(
    past: &impl Past,
    now: Timestamp,
    older_than: Option<SignedDuration>,
) -> Result<History, RunError> {
    let current = past.look(None).await?.map_or(1, |look| look.revision);
    let oldest = oldest(past, current).await?;
    let older = match older_than.and_then(|age| now.checked_sub(age).ok()) {
        Some(moment) => written_before(past, (oldest, current), moment).await?,
        None => None,
    };
    Ok(History {
        current,
        now,
        older,
    })
}

/// The oldest revision that can be read: in steps back that grow, and then halfway between.
async fn oldest(past: &impl Past, current: i64) -> Result<i64, RunError> {
    let (mut compacted, mut readable, mut step) = (0, current, FIRST_STEP);
    while compacted + 1 < readable {
        let asked = match compacted {
            0 => (current - step).max(1),
            _ => compacted + (readable - compacted) / 2,
        };
        step = step.saturating_mul(4);
        match past.look(Some(asked)).await? {
            Some(_) => readable = asked,
            None => compacted = asked,
        }
    }
    Ok(readable)
}

/// The last renewal that is proved to be written before a moment.
async fn written_before(
    past: &impl Past,
    (oldest, current): (i64, i64),
    moment: Timestamp,
) -> Result<Option<Written>, RunError> {
    let is_before = |one: &Written| one.at.checked_add(RENEWAL).is_ok_and(|at| at <= moment);
    let (mut before, mut after, mut found) = (oldest - 1, current + 1, None);
    while before + 1 < after {
        let asked = before + (after - before) / 2;
        let look = past.look(Some(asked)).await?;
        // Compacted meanwhile: it is old enough.
        let Some(look) = look else {
            before = asked;
            continue;
        };
        match look.newest() {
            Some(newest) if is_before(&newest) => {
                before = asked;
                let old = look.renewals.iter().filter(|one| is_before(one));
                found = old.copied().max_by_key(|one| one.revision);
            }
            Some(_) | None => after = asked,
        }
    }
    Ok(found)
}

impl Past for Api<Lease> {
    async fn look(&self, revision: Option<i64>) -> Result<Option<Look>, RunError> {
        let params = match revision {
            Some(revision) => ListParams::default()
                .at(&revision.to_string())
                .matching(VersionMatch::Exact),
            None => ListParams::default(),
        };
        let list = match self.list(&params).await {
            Ok(list) => list,
            Err(kube::Error::Api(status)) if status.code == 410 => return Ok(None),
            Err(error) => return Err(api_error("listing Leases", error)),
        };
        let number = |version: Option<String>| version.and_then(|version| version.parse().ok());
        let told = number(list.metadata.resource_version);
        let renewal = |lease: Lease| {
            Some(Written {
                revision: number(lease.metadata.resource_version)?,
                at: lease.spec?.renew_time?.0,
            })
        };
        Ok(Some(Look {
            revision: revision.or(told).unwrap_or_default(),
            renewals: list.items.into_iter().filter_map(renewal).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;
    use crate::fake::{self, Reply, flags};

    /// A cluster in which revision N was written N seconds after the beginning of time, each tenth by the holder of a Lease.
    struct Memory {
        compacted: i64,
        current: i64,
        /// Revisions between these were written without any renewal.
        silent: (i64, i64),
        looks: Cell<usize>,
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    impl Past for Memory {
        async fn look(&self, revision: Option<i64>) -> Result<Option<Look>, RunError> {
            self.looks.set(self.looks.get() + 1);
            let revision = revision.unwrap_or(self.current);
            let renewed = match revision {
                inside if inside > self.silent.0 && inside < self.silent.1 => self.silent.0,
                outside => outside,
            };
            let renewed = renewed / 10 * 10;
            let renewals = (renewed > 0).then(|| Written {
                revision: renewed,
                at: at(renewed),
            });
            Ok((revision >= self.compacted).then(|| Look {
                revision,
                renewals: renewals.into_iter().collect(),
            }))
        }
    }

    async fn found(memory: &Memory, age: i64) -> History {
        let age = SignedDuration::from_secs(age);
        read(memory, at(memory.current), Some(age)).await.unwrap()
    }

    fn memory(compacted: i64, current: i64) -> Memory {
        Memory {
            compacted,
            current,
            silent: (0, 0),
            looks: Cell::new(0),
        }
    }

    #[tokio::test]
    async fn the_oldest_revision_is_found_with_few_looks() {
        for (compacted, current) in [(1, 1), (1, 5), (7, 9), (4_000, 5_000), (77, 2_000_000)] {
            let memory = memory(compacted, current);
            assert_eq!(oldest(&memory, current).await.unwrap(), compacted);
            assert!(memory.looks.get() < 50, "{}", memory.looks.get());
        }
    }

    #[tokio::test]
    async fn what_is_compacted_is_proved_to_be_older_than_asked() {
        let memory = memory(1_000, 100_000);
        let older = found(&memory, 1_800).await.older.unwrap();
        assert_eq!((older.revision, older.at), (98_180, at(98_180)));
        assert!(memory.looks.get() < 60, "{}", memory.looks.get());
    }

    #[tokio::test]
    async fn nothing_is_old_where_the_history_is_shorter_or_tells_no_time() {
        assert_eq!(found(&memory(99_000, 100_000), 1_800).await.older, None);
        let no_leases = Memory {
            silent: (0, i64::MAX),
            ..memory(1, 100_000)
        };
        assert_eq!(found(&no_leases, 1_800).await.older, None);
    }

    #[tokio::test]
    async fn revisions_after_the_last_renewal_are_kept() {
        let stalled = Memory {
            silent: (50_000, 99_000),
            ..memory(1, 100_000)
        };
        let older = found(&stalled, 1_800).await.older.unwrap();
        assert_eq!(older.revision, 50_000, "the rest may be newer");
    }

    #[tokio::test]
    async fn an_expired_revision_is_compacted_and_others_carry_their_times() {
        let expired = |path: &str| {
            let asked = |revision: i64| {
                path.contains(&format!(
                    "resourceVersion={revision}&resourceVersionMatch=Exact"
                ))
            };
            (1..=5).any(asked)
        };
        let address = fake::serve(move |path| match path {
            path if expired(path) => {
                fake::refused(410, "The resourceVersion for the provided list is too old.")
            }
            _ => {
                let lease = json!({
                    "metadata": {"name": "kube-scheduler", "resourceVersion": "40"},
                    "spec": {"renewTime": "2020-11-21T10:00:00.000000Z"},
                });
                let list = json!({
                    "kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1",
                    "metadata": {"resourceVersion": "44"}, "items": [lease],
                });
                Reply::Json(200, list.to_string())
            }
        })
        .await;
        let connection = Connection::prepare(&flags(address)).await.unwrap();
        let leases = Api::<Lease>::namespaced(connection.control.clone(), NAMESPACE);
        assert_eq!(leases.look(Some(5)).await.unwrap(), None);
        let now = leases.look(None).await.unwrap().unwrap();
        assert_eq!((now.revision, now.renewals[0].revision), (44, 40));
        let history = history(&connection, Some(SignedDuration::from_hours(1)));
        let history = history.await.unwrap();
        assert_eq!(history.current, 44);
        assert_eq!(history.older.unwrap().revision, 40);
    }
}
