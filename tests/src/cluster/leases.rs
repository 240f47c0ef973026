//! The leases by which the masters agree whose controller-manager and scheduler are at work.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::Cluster;
use crate::wait;

/// The components of which one in the cluster is at work.
pub(super) const COMPONENTS: [&str; 2] = [CONTROLLERS, "kube-scheduler"];

const CONTROLLERS: &str = "kube-controller-manager";

/// Who holds a lease renews it every 2 s. One that is not renewed for so long has lost its holder, or will in a moment.
const STALE_MS: i64 = 5000;

/// So long after it took the lease, a controller-manager's controllers have begun.
const BEGUN_MS: i64 = 4000;

impl Cluster {
    /// What stands in the Lease (its `spec`) of the controller-manager that is at work.
    ///
    /// # Errors
    /// When the apiserver does not tell.
    pub fn controllers_lease(&self) -> Result<Value> {
        let args = ["get", "lease", CONTROLLERS, "-n", "kube-system"];
        let json = ["-o", "json", "--request-timeout=5s"];
        let answer = self.kubectl(args.iter().chain(&json))?;
        let lease: Value =
            serde_json::from_str(&answer.stdout).with_context(|| answer.to_string())?;
        Ok(lease["spec"].clone())
    }

    /// Waits until a controller-manager is at work, and has been for long enough to have begun.
    ///
    /// # Errors
    /// When none is after the limit.
    pub fn wait_controllers(&self, limit: Duration) -> Result<()> {
        wait::until("a controller-manager at work", limit, || {
            let told = |error: anyhow::Error| format!("{error:#}");
            let lease = self.controllers_lease().map_err(told)?;
            let now = Timestamp::now();
            if is_stale(&lease, now) {
                self.delete_stale_leases().map_err(told)?;
            } else if since(&lease, "acquireTime", now).is_some_and(|held| held > BEGUN_MS) {
                return Ok(());
            }
            Err(lease.to_string())
        })
    }

    /// Deletes the leases of components whose holder is gone. Another one would wait 15 s for them from when it is started,
    /// again after each loss of power, and so would every test; how Kubernetes elects is not what they look at.
    ///
    /// A holder that was merely slow makes its lease anew.
    ///
    /// # Errors
    /// When the apiserver does not answer.
    pub(super) fn delete_stale_leases(&self) -> Result<()> {
        let args = ["get", "leases", "-n", "kube-system", "-o", "json"];
        let answer = self.kubectl(args.iter().chain(&["--request-timeout=5s"]))?;
        let list: Value =
            serde_json::from_str(&answer.stdout).with_context(|| answer.to_string())?;
        match stale(&list, Timestamp::now()).as_slice() {
            [] => Ok(()),
            names => self.delete_leases(names),
        }
    }

    pub(super) fn delete_leases(&self, names: &[&str]) -> Result<()> {
        let delete = ["delete", "lease", "-n", "kube-system", "--ignore-not-found"];
        self.kubectl(delete.iter().chain(names))?
            .success()
            .map(drop)
    }
}

/// Those of [`COMPONENTS`] whose lease in the list nobody renews.
fn stale(list: &Value, now: Timestamp) -> Vec<&str> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .filter(|item| is_stale(&item["spec"], now))
        .filter_map(|item| item["metadata"]["name"].as_str())
        .filter(|name| COMPONENTS.contains(name))
        .collect()
}

fn is_stale(lease: &Value, now: Timestamp) -> bool {
    since(lease, "renewTime", now).is_none_or(|renewed| renewed > STALE_MS)
}

/// How many milliseconds ago something was done with a lease, if ever.
fn since(lease: &Value, what: &str, now: Timestamp) -> Option<i64> {
    let time: Timestamp = lease[what].as_str()?.parse().ok()?;
    Some(now.as_millisecond() - time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_that_nobody_renews_is_told_from_the_others() {
        let now: Timestamp = "2026-11-30T12:00:10Z".parse().unwrap();
        let lease = |name: &str, renewed: &str| json!({"metadata": {"name": name}, "spec": {"renewTime": renewed}});
        let list = json!({"items": [
            lease("kube-controller-manager", "2026-11-30T12:00:04.900000Z"),
            lease("kube-scheduler", "2026-11-30T12:00:08.100000Z"),
            lease("apiserver-x", "2026-11-30T11:00:00.000000Z"),
        ]});
        assert_eq!(stale(&list, now), ["kube-controller-manager"]);
        let never = json!({"items": [{"metadata": {"name": "kube-scheduler"}, "spec": {}}]});
        assert_eq!(stale(&never, now), ["kube-scheduler"]);
    }
}
