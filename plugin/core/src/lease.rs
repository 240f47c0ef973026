//! One maintenance operation at a time: a Lease in the cluster, a lock file where there is no apiserver.

mod file;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_operations::shell::CommandLine;
use etcd_operations::utc::to_the_second;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Error as KubeError};
use tokio::task::JoinHandle;

use crate::connection::{Connection, clock};
use crate::created::{Created, Object};
use crate::error::Error;
use crate::limits;
use crate::outcome::{Notice, NoticeSink, RunErrorKind};
use crate::owner::{Owner, Process};
use crate::runners::trouble::api_error;

/// Where the Lease is, whatever namespace Jobs run in: two who work in different ones must not work at the same time. It is in
/// every cluster.
const NAMESPACE: &str = "kube-system";
/// The Lease's name.
const NAME: &str = "kubectl-etcd";
/// What its holder does.
const DOING_ANNOTATION: &str = "kubectl-etcd/doing";
/// Held while something is done that nobody else may do at the same time. Dropping it gives it back.
#[must_use = "it is given back when it is dropped"]
pub struct LeaseGuard(Held);

enum Held {
    Lease {
        object: Object,
        created: Created,
        renewal: JoinHandle<()>,
        lost: Arc<AtomicBool>,
    },
    File(#[expect(dead_code, reason = "held for its lock")] File),
    /// etcd takes no writes, and that is just what is to be repaired.
    Nothing,
}

impl std::fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Held::Lease { .. } => "LeaseGuard(Lease)",
            Held::File(_) => "LeaseGuard(File)",
            Held::Nothing => "LeaseGuard(Nothing)",
        })
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        if let Held::Lease {
            object,
            created,
            renewal,
            ..
        } = &self.0
        {
            renewal.abort();
            // Outside of the runtime it stays registered, for `main` to remove.
            if tokio::runtime::Handle::try_current().is_ok() {
                created.remove_soon(object.clone());
            }
        }
    }
}

impl LeaseGuard {
    /// Gives it back at once, and waits for that.
    pub(crate) async fn give_back(mut self) {
        if let Held::Lease {
            object,
            created,
            renewal,
            ..
        } = std::mem::replace(&mut self.0, Held::Nothing)
        {
            renewal.abort();
            created.remove(&object).await;
        }
    }

    /// Whether somebody else has it by now: nothing more may be begun then.
    pub fn is_lost(&self) -> bool {
        matches!(&self.0, Held::Lease { lost, .. } if lost.load(Ordering::Relaxed))
    }
}

/// Who else is at work on this etcd, if that can be found out.
pub(crate) async fn at_work(connection: &Connection) -> Option<Error> {
    let leases = Api::<Lease>::namespaced(connection.control.clone(), NAMESPACE);
    let there = tokio::time::timeout(limits::LEASE_LOOK, leases.get_opt(NAME))
        .await
        .ok()?
        .ok()??;
    if is_ours(&there) {
        return None;
    }
    let ahead = clock::ahead(&connection.control).await.unwrap_or_default();
    held_by(&there, clock::now(ahead))
}

/// Takes the lock through the apiserver.
///
/// # Errors
/// When somebody else holds it: who, what for, since when, and what lifts it.
pub(crate) async fn lock_cluster(
    connection: &Connection,
    created: &Created,
    what: &str,
    notices: &NoticeSink,
) -> Result<LeaseGuard, Error> {
    match hold(connection, created, notices.clone(), what).await {
        Ok(guard) => Ok(guard),
        Err(Refusal::Held(error)) => Err(error),
        Err(Refusal::Api(error)) => {
            let error = api_error("taking the lock", error);
            match error.kind {
                RunErrorKind::WritesRefused
                | RunErrorKind::ApiserverLost
                | RunErrorKind::EtcdLost => {
                    notices(Notice::Warning(format!(
                        "no lock could be taken, so take care that nobody else works on this etcd now ({})",
                        error.message
                    )));
                    Ok(LeaseGuard(Held::Nothing))
                }
                _ => Err(crate::outcome::run_error("lock", &error)),
            }
        }
    }
}

/// Takes the lock of this host, where there is no apiserver.
///
/// # Errors
/// As [`lock_cluster`], and when others could reach the lock.
pub(crate) fn lock_host(what: &str) -> Result<LeaseGuard, Error> {
    file::lock(Path::new(file::FOLDER), what).map(|file| LeaseGuard(Held::File(file)))
}

/// Takes the Lease and renews it from now on.
pub async fn hold(
    connection: &Connection,
    created: &Created,
    notices: NoticeSink,
    what: &str,
) -> Result<LeaseGuard, Refusal> {
    let leases = Api::<Lease>::namespaced(connection.control.clone(), NAMESPACE);
    let object = Object::Lease {
        namespace: NAMESPACE,
        name: NAME.into(),
    };
    let mut registered = Registered {
        created,
        object: Some(object.clone()),
    };
    created.add(object.clone());
    let taken = take(&leases, &Owner::this(), what).await?;
    registered.object = None;
    let lost = Arc::new(AtomicBool::new(false));
    let renewal = renew(leases, taken, notices, Arc::clone(&lost));
    Ok(LeaseGuard(Held::Lease {
        object,
        created: created.clone(),
        renewal: tokio::spawn(renewal),
        lost,
    }))
}

/// What is registered as made while it is being made, and not if that fails or is given up: should it be there all the same,
/// it is nobody's after a minute.
struct Registered<'a> {
    created: &'a Created,
    object: Option<Object>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(object) = &self.object {
            self.created.forget(object);
        }
    }
}

/// Why the lock was not taken.
pub enum Refusal {
    /// Somebody else has it: the error says who.
    Held(Error),
    /// The apiserver does not take it.
    Api(KubeError),
}

/// The Lease, and by how much the clock its times are of is ahead of this host's.
struct Taken {
    lease: Lease,
    ahead: SignedDuration,
}

/// Creates the Lease, or takes one over whose holder is gone.
async fn take(leases: &Api<Lease>, owner: &Owner, what: &str) -> Result<Taken, Refusal> {
    let ahead = clock::ahead(&leases.clone().into_client()).await;
    let ahead = ahead.unwrap_or_default();
    let wanted = lease(owner, what, None, clock::now(ahead));
    match leases.create(&PostParams::default(), &wanted).await {
        Ok(lease) => return Ok(Taken { lease, ahead }),
        Err(KubeError::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(Refusal::Api(error)),
    }
    let there = leases.get(NAME).await.map_err(Refusal::Api)?;
    if let Some(error) = held_by(&there, clock::now(ahead)) {
        return Err(Refusal::Held(error));
    }
    // With the version that was seen: of two who find it free only one gets it.
    let version = there.metadata.resource_version;
    let wanted = lease(owner, what, version, clock::now(ahead));
    match leases.replace(NAME, &PostParams::default(), &wanted).await {
        Ok(lease) => Ok(Taken { lease, ahead }),
        Err(KubeError::Api(status)) if status.is_conflict() => Err(Refusal::Held(
            Error::refused("somebody else has just begun another maintenance operation")
                .hint("try again when that is done"),
        )),
        Err(error) => Err(Refusal::Api(error)),
    }
}

fn lease(owner: &Owner, what: &str, version: Option<String>, now: Timestamp) -> Lease {
    let now = MicroTime(now);
    let label = |key: &str| (key.to_owned(), NAME.to_owned());
    let doing = (DOING_ANNOTATION.to_owned(), what.to_owned());
    let annotations = owner.process_annotation().into_iter().chain([doing]);
    Lease {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            resource_version: version,
            labels: Some(
                [
                    label("app.kubernetes.io/name"),
                    label("app.kubernetes.io/managed-by"),
                ]
                .into(),
            ),
            annotations: Some(annotations.collect()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(owner.name.clone()),
            lease_duration_seconds: i32::try_from(limits::LEASE_VALID.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}

/// Who holds a Lease, as the error that says so; none when it is free. Whatever a Lease says of itself, it is believed for no
/// longer than one of ours lasts: who may create Leases must not stop all work on etcd for years.
fn held_by(lease: &Lease, now: Timestamp) -> Option<Error> {
    let spec = lease.spec.as_ref()?;
    let holder = spec
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())?;
    let longest = SignedDuration::try_from(limits::LEASE_VALID).unwrap_or(SignedDuration::MAX);
    let told = spec.renew_time.as_ref()?.0;
    let renewed = told.min(now);
    let valid = SignedDuration::from_secs(i64::from(spec.lease_duration_seconds?)).min(longest);
    let expires = renewed.checked_add(valid).ok()?;
    let annotations = lease.metadata.annotations.as_ref();
    let ended = Process::of(annotations).is_some_and(|process| process.has_ended());
    if expires <= now || ended {
        return None;
    }
    let doing = annotations.and_then(|all| all.get(DOING_ANNOTATION));
    let doing = doing.map_or("a maintenance operation", String::as_str);
    let since = spec.acquire_time.as_ref().map_or(renewed, |time| time.0);
    let remove = CommandLine::new("kubectl delete lease").option("-n", NAMESPACE);
    let remove = remove.operand(NAME);
    // One clock may be ahead of the other by a little. A time that is further ahead passes by itself at no time to wait for, and
    // only who looks can tell a wrong clock from a lie.
    let hint = match told.duration_since(now) > longest {
        true => format!(
            "it says that it was renewed at {}, which is yet to come; if nobody works on this etcd: {remove}",
            to_the_second(told)
        ),
        false => format!(
            "wait until it is done; if that process is gone, the lock ends by itself at {}, or at once by: {remove}",
            to_the_second(expires)
        ),
    };
    let message = format!(
        "{holder} is at work on this etcd: {doing}, since {}",
        to_the_second(since)
    );
    Some(Error::refused(message).hint(hint))
}

/// Renews the Lease until it is dropped, or somebody else has it.
async fn renew(leases: Api<Lease>, taken: Taken, notices: NoticeSink, lost: Arc<AtomicBool>) {
    let Taken { lease, ahead } = taken;
    let mut held = lease;
    loop {
        tokio::time::sleep(limits::LEASE_RENEW).await;
        if let Some(spec) = &mut held.spec {
            spec.renew_time = Some(MicroTime(clock::now(ahead)));
        }
        match leases.replace(NAME, &PostParams::default(), &held).await {
            Ok(renewed) => held = renewed,
            Err(KubeError::Api(status)) if status.is_conflict() || status.is_not_found() => {
                match leases.get_opt(NAME).await {
                    // An earlier try was done, and its answer got lost.
                    Ok(Some(now)) if is_ours(&now) => held = now,
                    Ok(_) => {
                        lost.store(true, Ordering::Relaxed);
                        notices(Notice::Warning(
                            "the lock was taken away: somebody else may work on this etcd now"
                                .into(),
                        ));
                        return;
                    }
                    Err(error) => tracing::debug!(%error, "whose the lock is was not told"),
                }
            }
            // It is valid for several tries more.
            Err(error) => tracing::debug!(%error, "the lock was not renewed"),
        }
    }
}

fn is_ours(lease: &Lease) -> bool {
    Process::of(lease.metadata.annotations.as_ref()).is_some_and(|holder| holder.is_this())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use crate::owner::PROCESS_ANNOTATION;

    #[test]
    fn a_lease_that_is_held_says_by_whom_and_until_when() {
        let mut held = lease(
            &Owner::named("jane@elsewhere/7"),
            "defrag",
            None,
            Timestamp::now(),
        );
        let since: Timestamp = "2026-11-21T15:00:00Z".parse().unwrap();
        let spec = held.spec.as_mut().unwrap();
        spec.acquire_time = Some(MicroTime(since));
        spec.renew_time = Some(MicroTime(since));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let error = held_by(&held, at("2026-11-21T15:00:59Z")).unwrap();
        assert_eq!(
            error.message,
            "jane@elsewhere/7 is at work on this etcd: defrag, since 2026-11-21T15:00:00Z"
        );
        assert!(
            error.hints[0]
                .written()
                .contains("by itself at 2026-11-21T15:01:00Z"),
            "{:?}",
            error.hints
        );
        assert_eq!(error.kind.exit_code(), 5);
        assert!(held_by(&held, at("2026-11-21T15:01:00Z")).is_none());
    }

    #[test]
    fn a_foreign_lease_is_believed_for_no_longer_than_one_of_ours_lasts() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut held = lease(&Owner::named("eve"), "defrag", None, Timestamp::now());
        let spec = held.spec.as_mut().unwrap();
        spec.lease_duration_seconds = Some(i32::MAX);
        spec.renew_time = Some(MicroTime(at("2026-11-21T15:00:00Z")));
        let error = held_by(&held, at("2026-11-21T15:00:59Z")).unwrap();
        assert!(
            error.hints[0]
                .written()
                .contains("by itself at 2026-11-21T15:01:00Z"),
            "{error:?}"
        );
        let remove = "kubectl delete lease -n kube-system kubectl-etcd";
        assert!(error.hints[0].written().ends_with(remove), "{error:?}");
        assert!(held_by(&held, at("2026-11-21T15:01:00Z")).is_none());
        // Nobody is told to wait for a time that does not come.
        let spec = held.spec.as_mut().unwrap();
        spec.renew_time = Some(MicroTime(at("2066-11-21T15:00:00Z")));
        let error = held_by(&held, at("2026-11-21T15:00:00Z")).unwrap();
        assert!(!error.hints[0].written().contains("by itself"), "{error:?}");
        assert!(error.hints[0].written().contains("2066"), "{error:?}");
        assert!(error.hints[0].written().ends_with(remove), "{error:?}");
    }

    #[test]
    fn a_holder_that_ended_on_this_machine_holds_nothing() {
        let mut held = lease(&Owner::this(), "defrag", None, Timestamp::now());
        assert!(held_by(&held, Timestamp::now()).is_some());
        let annotations = held.metadata.annotations.as_mut().unwrap();
        let own = annotations[PROCESS_ANNOTATION].clone();
        let mut dead: serde_json::Value = serde_json::from_str(&own).unwrap();
        (dead["token"], dead["pid"]) = ("other".into(), 4_194_999.into());
        annotations.insert(PROCESS_ANNOTATION.to_owned(), dead.to_string());
        assert!(held_by(&held, Timestamp::now()).is_none());
    }

    #[test]
    fn a_holder_elsewhere_of_this_hosts_name_holds_on() {
        let name = Owner::this().name;
        let (on, _) = name.rsplit_once('/').unwrap();
        // Its name alone says nothing, and neither does what an earlier release wrote.
        let mut held = lease(
            &Owner::named(&format!("{on}/4194999")),
            "defrag",
            None,
            Timestamp::now(),
        );
        assert!(held_by(&held, Timestamp::now()).is_some());
        let annotations = held.metadata.annotations.as_mut().unwrap();
        annotations.insert(PROCESS_ANNOTATION.to_owned(), "another-boot/1".to_owned());
        assert!(held_by(&held, Timestamp::now()).is_some());
    }

    #[test]
    fn who_may_not_take_the_lock_is_told_the_role() {
        let denied = "leases.coordination.k8s.io is forbidden: User \"jane\" cannot create resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"kube-system\"";
        let mut status = kube::core::Status::failure(denied, "Forbidden");
        status.code = 403;
        let error = api_error("taking the lock", KubeError::Api(status.boxed()));
        assert_eq!(error.kind, RunErrorKind::NoRights);
        assert!(error.message.contains("jane"), "{error}");
        let hint = error.hint.unwrap().written();
        assert!(hint.contains("kubectl-etcd-lock"), "{hint}");
    }

    #[tokio::test]
    async fn the_lock_is_in_one_namespace_whatever_jobs_run_in() {
        let own = lease(&Owner::this(), "defrag", None, Timestamp::now());
        let own = serde_json::to_string(&own).unwrap();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let server = fake::serve(move |target| {
            seen.lock().unwrap().push(target.to_owned());
            match target.contains("/leases") {
                true => fake::Reply::Json(200, own.clone()),
                false => fake::refused(403, "no"),
            }
        })
        .await;
        for namespace in ["kubectl-etcd", "another"] {
            let mut flags = fake::flags(server);
            flags.namespace = Some(namespace.to_owned());
            let connection = Connection::prepare(&flags).await.unwrap();
            assert_eq!(connection.namespace, namespace);
            let created = Created::default();
            created.bind(connection.control.clone(), connection.namespace.clone());
            let held = hold(&connection, &created, Arc::new(|_| {}), "defrag").await;
            held.ok().unwrap().give_back().await;
            assert!(created.is_idle());
        }
        let asked = asked.lock().unwrap();
        let leases: Vec<_> = asked.iter().filter(|one| one.contains("/leases")).collect();
        // Each made one, and looked at it before it was removed.
        assert_eq!(leases.len(), 6, "{asked:?}");
        let place = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
        assert!(leases.iter().all(|one| one.starts_with(place)), "{asked:?}");
    }

    #[tokio::test]
    async fn what_somebody_elses_work_makes_look_ill_is_put_down_to_it() {
        let owner = Owner::named("jane@elsewhere/7");
        let held = lease(&owner, "defrag", None, Timestamp::now());
        let held = serde_json::to_string(&held).unwrap();
        for expected in [true, false] {
            let held = held.clone();
            let server = fake::serve(move |_| match expected {
                true => fake::Reply::Json(200, held.clone()),
                false => fake::refused(404, "no such lease"),
            })
            .await;
            let connection = Connection::prepare(&fake::flags(server)).await.unwrap();
            let told = at_work(&connection).await;
            let told = told.map(|error| error.message).unwrap_or_default();
            assert_eq!(told.contains("jane@elsewhere/7"), expected, "{told}");
        }
    }
}
