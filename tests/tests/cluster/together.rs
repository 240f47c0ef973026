//! Several people at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Answer, Workstation, wait};

use crate::three;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn of_two_who_defragment_the_second_is_told_who_is_at_work() {
    three(|cluster, me| {
        let mut first = me.start(["defrag", "--all", "--yes"])?;
        let lease = [
            "get",
            "lease",
            "kubectl-etcd",
            "-n",
            "kube-system",
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ];
        first.until("Lease", Duration::from_secs(30), || {
            Ok(cluster.kubectl(lease)?.ok())
        })?;
        let holder = format!("/{}", first.pid());
        let second = answered(me, &["defrag", "--all", "--yes"], 5)?;
        let second = second.says(&["tester@", &holder, "defrag", "since"])?;
        // The lock is for what changes something.
        let seen = answered(me, &["alarm", "list"], 0)?;
        let first = first.wait(LIMIT)?.code(0)?;
        ensure!(
            !cluster.kubectl(lease)?.ok(),
            "the lock is still there after\n{first}\n{second}\n{seen}"
        );
        me.etcd(["defrag", "--all", "--yes", "--node", "m1"])?
            .code(0)
            .map(drop)
    });
}

/// The answer with this exit code. On a busy machine the stall of the apiserver's own etcd may last longer than is waited for
/// it: that answer, and no other, is asked for again.
fn answered(me: &Workstation, words: &[&str], code: i32) -> Result<Answer> {
    wait::until("an answer", Duration::from_secs(60), || {
        let answer = me.etcd(words).map_err(|error| format!("{error:#}"))?;
        match answer.output.code {
            6 => {
                eprintln!("asked again: {answer}");
                Err(answer.to_string())
            }
            _ => Ok(answer),
        }
    })?
    .code(code)
}

#[test]
fn many_may_look_at_the_same_time() {
    three(|cluster, me| {
        // None of them finds the program there.
        me.etcd(["cleanup"])?.code(0)?;
        let all = ["status", "status", "health", "members"]
            .map(|command| me.start([command, "--via", "job"]));
        for running in all {
            running?.wait(LIMIT)?.code(0)?;
        }
        cluster.wait_nothing_left(crate::GONE)
    });
}
