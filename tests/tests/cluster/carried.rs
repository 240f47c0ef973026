//! The program the plugin brings in: what of it is left in the cluster, and when.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::Cluster;

use crate::schema::checked;
use crate::three;

fn parts_in(cluster: &Cluster) -> Result<Vec<String>> {
    let label = "app.kubernetes.io/component=program";
    let list = cluster
        .kubectl([
            "get",
            "configmaps",
            "-n",
            "kubectl-etcd",
            "-l",
            label,
            "-o",
            "name",
        ])?
        .success()?;
    Ok(list
        .lines()
        .map(|name| name.trim_start_matches("configmap/").to_owned())
        .collect())
}

#[test]
fn the_program_stays_for_the_next_run_and_cleanup_removes_it_unless_something_needs_it() {
    three(|cluster, me| {
        me.etcd(["status", "--via", "job"])?.code(0)?;
        let parts = parts_in(cluster)?;
        ensure!(!parts.is_empty(), "no program in the cluster after a Job");

        // A CronJob as an administrator has one for scheduled snapshots.
        let cron_job = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "snapshots", "namespace": "kubectl-etcd"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}],
                "volumes": [{"name": "carried", "projected": {"sources": parts.iter().map(|name| json!({"configMap": {"name": name}})).collect::<Vec<_>>()}}],
            }}}}},
        });
        let file = me.folder().join("cron-job.json");
        fs::write(&file, cron_job.to_string())?;
        let apply = |verb: &str| {
            cluster
                .kubectl([verb.as_ref(), "-f".as_ref(), file.as_os_str()])?
                .success()
        };
        apply("create")?;
        let kept = me.etcd(["cleanup", "-o", "json"])?.code(0)?;
        ensure!(
            checked(&kept)?
                .pointer("/namespaces/0/programs")
                .and_then(Value::as_array)
                .is_some_and(Vec::is_empty),
            "{kept}"
        );
        ensure!(
            parts_in(cluster)? == parts,
            "a program was removed that a CronJob needs"
        );
        apply("delete")?;

        let shown = me.etcd(["cleanup", "--dry-run"])?.code(0)?;
        let shown = shown.says(&[&parts[0], "would be removed"])?;
        ensure!(parts_in(cluster)? == parts, "{shown}");
        me.etcd(["cleanup"])?
            .code(0)?
            .says(&[&parts[0], "removed"])?;
        ensure!(parts_in(cluster)?.is_empty(), "{:?}", parts_in(cluster)?);
        // And it comes back by itself.
        me.etcd(["health", "--via", "job"])?.code(0)?;
        let again = parts_in(cluster)?;
        ensure!(again.len() == parts.len(), "{again:?}");
        ensure!(
            again.iter().all(|name| !parts.contains(name)),
            "a name that was known before: {again:?}"
        );
        Ok(())
    });
}
