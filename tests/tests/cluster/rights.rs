//! People with exactly the rights that are shipped, and somebody with none.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::Workstation;

use crate::people::{person, with_operators, with_viewers};
use crate::three;

const LOOKING: [&[&str]; 5] = [
    &["status"],
    &["members"],
    &["health"],
    &["alarm", "list"],
    &["snapshot", "list"],
];

#[test]
fn viewers_look_operators_do_everything_and_refusals_name_what_is_missing() {
    three(|cluster, me| {
        with_operators(cluster, || {
            let operator = person(cluster, me, "otto", "kubectl-etcd:operators")?;
            let viewer = person(cluster, me, "vera", "kubectl-etcd:viewers")?;

            // Without the policy nobody has the role.
            viewer
                .etcd(["status"])?
                .code(1)?
                .says(&["cannot list resource"])?;
            for command in LOOKING {
                operator.etcd(command)?.code(0)?;
            }
            let set = ["snapshot", "schedule", "set", "--cron", "0 3 * * *"];
            operator.etcd(set)?.code(0)?;
            with_viewers(cluster, me, &[], || looks_and_no_more(&viewer))?;

            let remove = ["snapshot", "schedule", "remove", "--yes"];
            operator.etcd(remove)?.code(0)?.says(&["removed"])?;
            operator.etcd(["alarm", "disarm", "--yes"])?.code(0)?;
            operator
                .etcd(["defrag", "--all", "--yes", "--node", "m2"])?
                .code(0)?;
            operator.etcd(["snapshot", "save", "o.db"])?.code(0)?;
            operator.etcd(["usage"])?.code(0)?;
            operator.etcd(["status", "--via", "exec"])?.code(0)?;
            operator.etcd(["status", "--via", "pod"])?.code(0)?;
            operator.etcd(["cleanup"])?.code(0)?;
            Ok(())
        })
    });
}

fn looks_and_no_more(viewer: &Workstation) -> Result<()> {
    for command in LOOKING {
        let seen = viewer.etcd(command)?.code(0)?;
        // That its Jobs are not the viewer's to remove is no news: the cluster removes them.
        ensure!(!seen.output.stderr.contains("cleanup"), "{seen}");
    }
    let lock = "cannot create resource \"leases\"";
    refused(viewer, &["defrag", "--all", "--yes"], lock)?;
    refused(viewer, &["alarm", "disarm", "--yes"], lock)?;
    for more in [
        &["snapshot", "save", "v.db"][..],
        &["snapshot", "save", "--on-node"],
        &["usage"],
    ] {
        refused(viewer, more, "operators may run the rest")?;
    }
    refused(viewer, &["members", "--via", "exec"], "pods/exec")?;
    ensure!(viewer.files()?.is_empty(), "{:?}", viewer.files()?);
    let schedule = ["snapshot", "schedule"];
    let shown = viewer
        .etcd([&schedule[..], &["show"]].concat())?
        .code(0)?
        .says(&["etcd-snapshot", "0 3 * * *"])?;
    let mut words = shown.output.stdout.split_whitespace();
    ensure!(words.any(|word| word == "any"), "{shown}");
    let remove = [&schedule[..], &["remove", "--yes"]].concat();
    refused(viewer, &remove, "cannot delete resource \"cronjobs\"")
}

fn refused(person: &Workstation, command: &[&str], why: &str) -> Result<()> {
    let answer = person.etcd(command)?.says(&[why])?;
    ensure!(matches!(answer.output.code, 1 | 5), "{answer}");
    Ok(())
}

#[test]
fn somebody_without_rights_is_told_which_are_missing_and_what_grants_them() {
    three(|cluster, me| {
        let nina = person(cluster, me, "nina", "strangers")?;
        let refused = nina
            .etcd(["status"])?
            .code(1)?
            .within(Duration::from_secs(10))?;
        let refused = refused.says(&["cannot list resource", "\"nina\"", "manifests/"])?;

        // What the hint says is done, and it helps.
        with_operators(cluster, || {
            let hint = refused
                .output
                .stderr
                .lines()
                .find(|line| line.contains("kubectl-etcd:"))
                .context("no hint that names a group")?;
            let group = hint
                .split(['`', ' ', '"', ',', '(', ')'])
                .find(|word| word.starts_with("kubectl-etcd:"))
                .context("no group")?;
            let nina = person(cluster, me, "nina", group)?;
            let look = || nina.etcd(["status"])?.code(0).map(drop);
            if group == "kubectl-etcd:viewers" {
                return with_viewers(cluster, me, &[], look);
            }
            look()
        })
    });
}
