//! Several people at once.

use std::time::Duration;

use anyhow::ensure;

use crate::three;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn of_two_who_defragment_the_second_is_told_who_is_at_work() {
    three(|cluster, me| {
        let mut first = me.start(["defrag", "--yes"])?;
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
        let second = me
            .etcd(["defrag", "--yes"])?
            .code(5)?
            .says(&["tester@", &holder, "defrag", "since"])?;
        // The lock is for what changes something.
        let seen = me.etcd(["alarm", "list"])?.code(0)?;
        let first = first.wait(LIMIT)?.code(0)?;
        ensure!(
            !cluster.kubectl(lease)?.ok(),
            "the lock is still there after\n{first}\n{second}\n{seen}"
        );
        me.etcd(["defrag", "--yes", "--node", "m1"])?
            .code(0)
            .map(drop)
    });
}

#[test]
fn many_may_look_at_the_same_time() {
    three(|cluster, me| {
        // None of them finds the program there.
        me.etcd(["cleanup"])?.code(0)?;
        let all = ["status", "status", "health", "members"].map(|command| me.start([command]));
        for running in all {
            running?.wait(LIMIT)?.code(0)?;
        }
        cluster.wait_nothing_left(crate::GONE)
    });
}
