//! Components stopped while etcd goes on: an apiserver, every controller-manager.

use std::time::Duration;

use anyhow::ensure;
use testbed::Component;

use crate::agrees_with_etcdutl;
use crate::on_node::on;
use crate::schema::checked;
use crate::three;

#[test]
fn without_an_apiserver_a_master_does_everything_itself_and_others_are_told_where() {
    three(|cluster, me| {
        let m1 = cluster.node("m1")?;
        m1.install(me.plugin(), "kubectl-etcd")?;
        m1.stop(Component::Apiserver)?;

        let elsewhere = me
            .etcd(["status"])?
            .code(6)?
            .within(Duration::from_secs(6))?;
        elsewhere.says(&["refused", "--via local", &m1.ip().to_string()])?;
        // Not root, not a control-plane node.
        me.etcd(["status", "--via", "local"])?
            .code(2)?
            .says(&["not a control-plane node"])?;

        let status = on(m1, &["status", "-o", "json"])?
            .code(0)?
            .says(&["via local"])?;
        let told: serde_json::Value = serde_json::from_str(&status.output.stdout)?;
        ensure!(
            told["quorum"]["healthyVoters"] == 3
                && crate::row(&told, "rows", "m1")?["via"] == "local",
            "{status}"
        );
        on(m1, &["status"])?
            .code(0)?
            .says(&["m1", "m2", "m3", "healthy: 3 of 3 members"])?;
        on(m1, &["members"])?.code(0)?.says(&["m2"])?;
        let health = on(m1, &["health", "-o", "json"])?.code(0)?;
        checked(&health)?;
        on(m1, &["alarm", "list"])?.code(0)?;
        on(m1, &["alarm", "disarm", "--yes"])?.code(0)?;
        on(m1, &["snapshot", "save", "/var/tmp/local.db"])?.code(0)?;
        agrees_with_etcdutl(cluster, &m1.path("/var/tmp/local.db"))?;
        on(m1, &["snapshot", "save", "/var/tmp/local.db"])?.code(5)?;
        on(m1, &["usage"])?.code(0)?.says(&["leases"])?;
        on(m1, &["version"])?.code(0)?;
        let defrag = on(m1, &["defrag", "--all", "--yes", "-o", "json"])?;
        ensure!(matches!(defrag.output.code, 0 | 3), "{defrag}");
        ensure!(
            crate::column(&defrag.json()?, "members", "state").contains(&"done"),
            "{defrag}"
        );

        m1.start(Component::Apiserver)?;
        cluster.wait_ready()
    });
}

#[test]
fn without_controllers_bare_pods_do_it_and_one_line_says_so() {
    three(|cluster, me| {
        // Pods of a removed Job go by the controller manager: those of the test before would stay without it.
        cluster.wait_nothing_left(crate::GONE)?;
        cluster.at_once(|node| node.stop(Component::ControllerManager))?;
        // A look needs no Pod.
        let status = me
            .etcd(["status", "-o", "json"])?
            .code(0)?
            .within(Duration::from_secs(20))?;
        ensure!(
            crate::column(&checked(&status)?, "rows", "via") == ["exec"; 3]
                && status.output.stderr.is_empty(),
            "{status}"
        );
        let usage = me
            .etcd(["usage"])?
            .code(0)?
            .within(Duration::from_secs(30))?;
        let lines: Vec<&str> = usage.output.stderr.lines().collect();
        ensure!(
            lines.len() == 1 && lines[0].starts_with("via pod: no Pod appeared for the Job"),
            "{usage}"
        );
        me.etcd(["snapshot", "save", "bare.db"])?
            .code(0)?
            .says(&["via pod"])?;
        agrees_with_etcdutl(cluster, &me.folder().join("bare.db"))?;
        // Told beforehand, it does not wait for a Pod.
        me.etcd(["health", "--via", "pod"])?
            .code(0)?
            .within(Duration::from_secs(6))?;
        cluster.wait_nothing_left(crate::GONE)?;
        cluster.at_once(|node| node.start(Component::ControllerManager))
    });
}
