//! Two of three control-plane nodes are off: no quorum, and an apiserver that hangs at first and then refuses everybody.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Cluster, Component, Node, Workstation, wait};

use crate::agrees_with_etcdutl;
use crate::on_node::on;
use crate::schema::checked;
use crate::{doctor, row, three};

#[test]
fn without_quorum_everything_one_member_knows_is_told_and_nobody_is_said_to_lack_rights() {
    three(|cluster, me| {
        let m1 = cluster.node("m1")?;
        m1.install(me.plugin(), "kubectl-etcd")?;
        for node in ["m2", "m3"] {
            cluster.node(node)?.power_off()?;
        }
        recognised(me, m1, "while its apiserver hangs", &[&["status"], SAVE])?;
        doctor::told_without_quorum(m1)?;
        on_the_survivor(cluster, m1)?;

        // Liveness would replace the apiserver after 100 s; the new one refuses everybody.
        m1.kill(Component::Apiserver)?;
        wait::until("a false Forbidden", Duration::from_secs(60), || {
            let refused = cluster
                .kubectl(["get", "nodes", "--request-timeout=2s"])
                .map_err(|error| format!("{error:#}"))?;
            if refused.stderr.contains("Forbidden") {
                Ok(())
            } else {
                Err(refused.to_string())
            }
        })?;
        let commands: [&[&str]; 4] = [&["status"], SAVE, &["health"], &["alarm", "list"]];
        recognised(me, m1, "while its apiserver refuses everybody", &commands)?;
        doctor::told_since_its_start(m1)?;

        cluster.power_on_all()?;
        cluster.wait_ready()?;
        // What was asked for when the quorum went may be done when it is back; that run has said what removes it.
        me.etcd(["cleanup"])?.code(0).map(drop)
    });
}

const SAVE: &[&str] = &["snapshot", "save", "x.db"];

/// From the workstation it is said where to go, and on the node it is done there. While the apiserver hangs each command waits for
/// answers that do not come, and all find their cluster in the same way: two are enough then.
fn recognised(me: &Workstation, m1: &Node, when: &str, commands: &[&[&str]]) -> Result<()> {
    let rights = ["rights", "forbidden", "rbac", "clusterrole"];
    for command in commands {
        let answer = me
            .etcd(*command)?
            .code(4)?
            .within(Duration::from_secs(6))?
            .says_none_of(&rights)?;
        let answer = answer.says(&[
            "the quorum is lost",
            "one is enough",
            "--via local",
            &m1.ip().to_string(),
        ])?;
        eprintln!(
            "{command:?} from a workstation {when}: {:.1} s",
            answer.took.as_secs_f64()
        );
    }
    ensure!(me.files()?.is_empty(), "{:?}", me.files()?);
    let here = on(m1, &["status"])?
        .code(4)?
        .within(Duration::from_secs(25))?;
    here.says(&["via local", "quorum lost"])?
        .says_none_of(&rights)
        .map(drop)
}

fn on_the_survivor(cluster: &Cluster, m1: &Node) -> Result<()> {
    let status = on(m1, &["status", "--via", "local", "-o", "json"])?
        .code(4)?
        .within(Duration::from_secs(15))?;
    let told = checked(&status)?;
    ensure!(
        told["verdict"] == "quorum-lost" && told["quorum"]["voters"] == 3,
        "{status}"
    );
    let own = row(&told, "rows", "m1")?;
    ensure!(
        own["role"] == "no-leader" && own["dbSizeBytes"].is_u64() && own["revision"].is_u64(),
        "{status}"
    );
    status.says(&["what each knows itself"])?;

    let members = on(m1, &["members", "--via", "local"])?.code(4)?;
    members.says(&["m1's own list, which may be out of date", "m2", "m3"])?;
    on(m1, &["health", "--via", "local"])?
        .code(4)?
        .says(&["no quorum"])?;
    let alarms = on(m1, &["alarm", "list", "--via", "local"])?
        .code(4)?
        .within(Duration::from_secs(20))?;
    alarms.says(&["majority"])?;
    let disarm =
        on(m1, &["alarm", "disarm", "--yes", "--via", "local"])?.within(Duration::from_secs(30))?;
    disarm.code(4)?;

    let saved = on(
        m1,
        &["snapshot", "save", "/var/tmp/alone.db", "--via", "local"],
    )?
    .code(3)?;
    saved.says(&["the quorum is lost"])?;
    agrees_with_etcdutl(cluster, &m1.path("/var/tmp/alone.db"))?;
    on(m1, &["usage", "--via", "local"])?.code(0)?;
    on(m1, &["defrag", "--yes", "--via", "local", "--allow-stall"])?.says(&["m1"])?;
    Ok(())
}
