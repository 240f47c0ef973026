//! The lead is moved, and a member comes and goes.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::Workstation;

use crate::schema::checked;
use crate::{column, three};

/// An address at which nobody is: the member that is to be there is never started.
const NOWHERE: &str = "https://10.99.0.9:2380";

/// The node whose member leads, and one whose member follows.
fn roles(me: &Workstation) -> Result<(String, String)> {
    let status = checked(&me.etcd(["status", "-o", "json"])?.code(0)?)?;
    let of = |role: &str| -> Result<String> {
        let rows = status["rows"].as_array().context("no rows")?;
        let row = rows.iter().find(|row| row["role"] == role);
        let node = row.and_then(|row| row["node"].as_str());
        Ok(node
            .with_context(|| format!("no {role}: {status}"))?
            .to_owned())
    };
    Ok((of("leader")?, of("follower")?))
}

fn member<'a>(change: &'a Value, id: &str) -> Option<&'a Value> {
    let members = change["members"].as_array()?;
    members.iter().find(|member| member["id"] == id)
}

#[test]
fn the_lead_is_moved_to_who_is_named_and_asking_twice_changes_nothing() {
    three(|_, me| {
        let (leader, follower) = roles(me)?;
        let planned = me
            .etcd(["member", "move-leader", "--dry-run", "-o", "json"])?
            .code(0)?;
        let plan = checked(&planned)?;
        ensure!(
            plan["changed"] == false && column(&plan, "steps", "node") == [leader.as_str()],
            "{planned}"
        );
        me.etcd(["member", "move-leader", &follower])?
            .code(5)?
            .says(&["--yes"])?;

        for (to, via) in [(&follower, "job"), (&leader, "exec")] {
            let words = [
                "member",
                "move-leader",
                to,
                "--yes",
                "-o",
                "json",
                "--via",
                via,
            ];
            let answer = me.etcd(words)?.code(0)?;
            let change = checked(&answer)?;
            ensure!(
                change["changed"] == true && change["leader"] == to.as_str(),
                "{answer}"
            );
            eprintln!(
                "the lead was moved {via}: {:.1} s",
                answer.took.as_secs_f64()
            );
            if via == "job" {
                let again = me.etcd(words)?.code(0)?;
                ensure!(checked(&again)?["changed"] == false, "{again}");
            }
        }
        ensure!(roles(me)?.0 == leader, "the lead is where it was");
        Ok(())
    });
}

#[test]
fn a_learner_that_is_never_started_comes_and_goes() {
    three(|_, me| {
        for via in ["job", "exec"] {
            let add = [
                "member",
                "add",
                "m9",
                "--peer-url",
                NOWHERE,
                "--yes",
                "--via",
                via,
                "-o",
                "json",
            ];
            let answer = me.etcd(add)?.code(0)?;
            let change = checked(&answer)?;
            let id = change["memberId"].as_str().context("no id")?;
            let added = member(&change, id).context("it is not listed")?;
            ensure!(
                change["changed"] == true && added["learner"] == true && added["started"] == false,
                "{answer}"
            );
            ensure!(
                change["after"]["voters"] == 3 && answer.output.stdout.contains(",m9=https://"),
                "{answer}"
            );
            if via == "job" {
                twice_and_refused(me, &add, id)?;
            }

            let remove = ["member", "remove", id, "--yes", "--via", via, "-o", "json"];
            let answer = me.etcd(remove)?.code(0)?;
            let change = checked(&answer)?;
            ensure!(
                change["changed"] == true && member(&change, id).is_none(),
                "{answer}"
            );
            if via == "job" {
                let again = me.etcd(remove)?.code(0)?;
                ensure!(checked(&again)?["changed"] == false, "{again}");
            }
        }
        me.etcd(["member", "remove", "m8", "--yes"])?
            .code(2)?
            .says(&["no node, member or id is called m8"])?;
        me.etcd(["health"])?.code(0).map(drop)
    });
}

/// A learner that was added and never started: adding it once more changes nothing, and it does not become a voter.
fn twice_and_refused(me: &Workstation, add: &[&str], id: &str) -> Result<()> {
    let again = me.etcd(add)?.code(0)?;
    let told = checked(&again)?;
    ensure!(
        told["changed"] == false && told["memberId"] == id,
        "{again}"
    );
    me.etcd(["member", "list"])?
        .code(0)?
        .says(&["learner", "never", NOWHERE])?;
    me.etcd(["member", "promote", id, "--yes"])?
        .code(5)?
        .says(&["has never started"])?;
    Ok(())
}
