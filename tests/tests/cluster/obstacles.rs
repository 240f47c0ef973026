//! What keeps Jobs from running, or the plugin from reaching the cluster at all: a sentence and the right exit code.

use std::fs;

use anyhow::{Result, ensure};
use testbed::{Cluster, Workstation};

use crate::three;

/// A namespace for one test, with its service account.
fn with_namespace(
    cluster: &Cluster,
    name: &str,
    prepare: &[&str],
    test: impl FnOnce() -> Result<()>,
) -> Result<()> {
    cluster.kubectl(["create", "namespace", name])?.success()?;
    let mut done = cluster.kubectl(prepare)?.success().map(drop);
    if done.is_ok() {
        done = test();
    }
    cluster
        .kubectl(["delete", "namespace", name, "--wait=false"])?
        .success()?;
    done
}

#[test]
fn pod_security_that_refuses_the_jobs_is_named_with_what_lifts_it() {
    three(|cluster, me| {
        let restrict = [
            "label",
            "namespace",
            "strict",
            "pod-security.kubernetes.io/enforce=restricted",
        ];
        with_namespace(cluster, "strict", &restrict, || {
            let refused = me.etcd(["status", "-n", "strict", "--via", "job"])?;
            let refused = refused.says(&["violates PodSecurity", "-n kube-system"])?;
            ensure!(
                refused.output.code != 0 && refused.took.as_secs() <= 10,
                "{refused}"
            );
            me.etcd(["snapshot", "save", "s.db", "-n", "strict"])?
                .code(5)?
                .says(&["violates PodSecurity", "-n kube-system"])?;
            ensure!(me.files()?.is_empty(), "{:?}", me.files()?);
            // What etcdctl can do is done; a look begins with it and has no trouble.
            me.etcd(["status", "-n", "strict"])?
                .code(0)?
                .says_none_of(&["PodSecurity"])?;
            let defrag = ["defrag", "--yes", "--node", "m1", "-n", "strict"];
            me.etcd(defrag)?
                .code(0)?
                .says(&["via exec", "violates PodSecurity"])
                .map(drop)
        })
    });
}

#[test]
fn a_quota_that_admits_no_pod_is_named_with_what_lifts_it() {
    three(|cluster, me| {
        let none = ["create", "quota", "none", "-n", "tight", "--hard=pods=0"];
        with_namespace(cluster, "tight", &none, || {
            let refused = me.etcd(["usage", "-n", "tight"])?.code(1)?;
            let refused = refused.says(&["exceeded quota", "-n kube-system"])?;
            ensure!(refused.took.as_secs() <= 20, "{refused}");
            let defrag = ["defrag", "--yes", "--node", "m1", "-n", "tight"];
            me.etcd(defrag)?
                .code(0)?
                .says(&["via exec", "exceeded quota"])
                .map(drop)
        })
    });
}

#[test]
fn a_kubeconfig_that_is_missing_broken_or_does_not_fit_is_said() {
    three(|cluster, me| {
        me.etcd(["status", "--context", "nowhere"])?
            .code(2)?
            .says(&["nowhere"])?;
        me.etcd(["status", "--kubeconfig", "/no/such/file"])?
            .code(2)?
            .says(&["/no/such/file"])?;
        let broken = me.folder().join("broken");
        fs::write(&broken, "apiVersion: v1\nclusters: [")?;
        Workstation::with_kubeconfig(&broken)?
            .etcd(["status"])?
            .code(2)?
            .says(&["broken"])?;

        // Nothing listens there.
        let nobody = me
            .etcd(["status", "--server", "https://127.0.0.1:1"])?
            .code(6)?;
        let nobody = nobody.says(&["https://127.0.0.1:1", "refused", "--via local"])?;
        ensure!(nobody.took.as_secs() <= 5, "{nobody}");

        // Another cluster's authority; another's user.
        let own = fs::read_to_string(cluster.kubeconfig())?;
        let without_user = me.folder().join("without-user");
        let config: serde_json::Value = serde_yaml::from_str(&own)?;
        let mut stranger = config.clone();
        stranger["users"][0]["user"] = serde_json::json!({ "token": "not-a-token" });
        fs::write(&without_user, stranger.to_string())?;
        Workstation::with_kubeconfig(&without_user)?
            .etcd(["status"])?
            .code(1)?
            .says(&["Unauthorized"])?;
        let wrong_authority = me.folder().join("wrong-authority");
        let mut wrong = config;
        for cluster in wrong["clusters"].as_array_mut().into_iter().flatten() {
            if let Some(cluster) = cluster["cluster"].as_object_mut() {
                cluster.remove("certificate-authority-data");
            }
        }
        fs::write(&wrong_authority, wrong.to_string())?;
        Workstation::with_kubeconfig(&wrong_authority)?
            .etcd(["status"])?
            .code(1)?
            .says(&["certificate"])?;

        me.etcd(["status", "-o", "xml"])?.code(2)?;
        me.etcd(["status", "-n", "no-such-namespace", "--via", "job"])?
            .says(&["no-such-namespace"])
            .map(drop)
    });
}
