//! An apiserver that cannot be used: what the rest of the control plane shows, and where to go.

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice, Task};
use etcd_operations::target::host;

use super::{Outcome, RunError, RunErrorKind, Session};
use crate::connection::Verdict;
use crate::error::{Error, ErrorKind};
use crate::format::{and, or};
use crate::inventory::seen::{self, Seen, SeenNode, Way};
use crate::limits;

impl Session {
    /// The apiserver was lost after it had been found, by all outcomes: that, what the others show, and where to go.
    pub async fn without_apiserver<T>(&self, outcomes: &[Outcome<T>]) -> Option<Error> {
        let connection = &self.cluster().ok()?.connection;
        let verdict = lost_since(outcomes)?;
        // The nodes as they were remembered when the session was opened: all of them, whichever are named.
        let mut seen = seen::look(connection, &[]).await;
        if seen.has_no_quorum() && !seen.shows_too_few() {
            // It may be an election.
            tokio::time::sleep(limits::ELECTION).await;
            seen = seen::look(connection, &[]).await;
        }
        Some(error(verdict, &connection.server, &seen))
    }
}

/// What became of the apiserver, where it was lost by all outcomes.
fn lost_since<T>(outcomes: &[Outcome<T>]) -> Option<Verdict> {
    let errors = outcomes.iter().map(|outcome| outcome.result.as_ref().err());
    let errors: Vec<&RunError> = errors.collect::<Option<_>>()?;
    let reason = errors.first()?.message.clone();
    if !errors.iter().all(|error| error.kind.is_without_apiserver()) {
        return None;
    }
    let takes_requests = |error: &&RunError| error.kind == RunErrorKind::EtcdLost;
    Some(match errors.iter().any(takes_requests) {
        true => Verdict::WithoutEtcd { reason },
        false => Verdict::Unreachable { reason },
    })
}

/// The error for a workstation: what is known of the quorum, which hosts to go to, and what to type there.
pub(super) fn error(verdict: Verdict, server: &str, seen: &Seen) -> Error {
    if !verdict.means_no_apiserver() {
        return verdict.into_error(server);
    }
    if seen.has_no_quorum() {
        return quorum_lost(seen, server);
    }
    let error = verdict.into_error(server);
    let error = match &seen.works {
        Some(way) => error.hint(advice![
            "another apiserver of this cluster works: ",
            by(way)
        ]),
        None => error.hint(advice![
            "if the apiserver of another control-plane node answers: ",
            Choice::Server.with("https://OTHER:6443")
        ]),
    };
    error.hint(on_a_node(seen, server))
}

/// Where the work can be done without any apiserver.
fn on_a_node(seen: &Seen, server: &str) -> Advice {
    // Where none is reached from here, a firewall may be between.
    let none = seen.nodes.iter().all(SeenNode::is_off);
    let there = seen.nodes.iter().filter(|node| none || !node.is_off());
    let hosts: Vec<String> = there.map(place).collect();
    let hosts = match hosts.is_empty() {
        true => host(server).to_owned(),
        false => hosts.join(", "),
    };
    advice![
        "else run the same command as root on a control-plane node, with ",
        Choice::Via.with("local"),
        ": ",
        hosts
    ]
}

/// How another apiserver is chosen.
fn by(way: &Way) -> Advice {
    match way {
        Way::Context(name) => advice![Choice::Context.with(name)],
        Way::Server(server) => advice![Choice::Server.with(server)],
    }
}

/// No quorum, by what was seen: the harmless way out first.
fn quorum_lost(seen: &Seen, server: &str) -> Error {
    let of = |is: fn(&SeenNode) -> bool| seen.nodes.iter().filter(move |node| is(node));
    let failing: Vec<&str> = of(SeenNode::says_etcd_fails)
        .map(|node| node.name.as_str())
        .collect();
    let mut known = Vec::new();
    if !failing.is_empty() {
        let failing = and(&failing);
        known.push(format!(
            "etcd on {failing} serves no reads, as its apiserver says"
        ));
    }
    let off: Vec<&SeenNode> = of(SeenNode::is_off).collect();
    if !off.is_empty() {
        let places: Vec<String> = off.iter().map(|node| place(node)).collect();
        known.push(format!("nothing answers on {}", and(&places)));
    }
    let stopped = of(|node| node.serves_nothing() && !node.is_off() && !node.says_etcd_fails());
    let stopped: Vec<String> = stopped.map(place).collect();
    if !stopped.is_empty() {
        known.push(format!("no etcd listens on {}", and(&stopped)));
    }
    let message = format!(
        "the quorum is lost, as far as it is seen from here: {}",
        known.join("; ")
    );
    let error = Error::new(ErrorKind::QuorumLostOrDamaged, message);
    let error = match switch_on(seen, &off) {
        Some(hint) => error.hint(hint),
        None => error,
    };
    let look = Task::Diagnose.choosing(Choice::Ssh);
    let recover = Task::Recover.choosing(Choice::Ssh);
    error
        .hint(advice!["to see what is wrong on each node: ", look])
        .hint(on_a_node(seen, server))
        .hint(advice!["only where a majority is lost for good: ", recover])
}

/// Which nodes would bring the quorum back.
fn switch_on(seen: &Seen, off: &[&SeenNode]) -> Option<String> {
    let missing = seen.needed().checked_sub(seen.left(SeenNode::is_off))?;
    if missing == 0 || missing > off.len() {
        return None;
    }
    let names: Vec<&str> = off.iter().map(|node| node.name.as_str()).collect();
    Some(match (missing, names.as_slice()) {
        (1, [one]) => format!("switch {one} on, or connect it again"),
        (1, names) => format!(
            "switch {} on, or connect it again: one is enough",
            or(names)
        ),
        (count, names) if count == names.len() => {
            format!("switch {} on, or connect them again", and(names))
        }
        (count, names) => format!("switch {count} of {} on, or connect them again", and(names)),
    })
}

fn place(node: &SeenNode) -> String {
    match node.name == node.address {
        true => node.name.clone(),
        false => format!("{} ({})", node.name, node.address),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::inventory::seen::tests::two_of_three_off;
    use crate::via::Via;

    #[test]
    fn a_lost_quorum_is_called_so_and_the_harmless_way_comes_first() {
        let lost = Verdict::WithoutEtcd {
            reason: "/readyz says: etcd failed".into(),
        };
        let error = error(lost, "https://10.0.0.1:6443", &two_of_three_off());
        assert_eq!(error.kind.exit_code(), 4);
        assert_eq!(
            error.message,
            "the quorum is lost, as far as it is seen from here: etcd on m1 serves no reads, as its apiserver says; \
             nothing answers on m2 (10.0.0.2) and m3 (10.0.0.3)"
        );
        let hints: Vec<String> = error.hints.iter().map(Advice::written).collect();
        assert_eq!(
            hints[0],
            "switch m2 or m3 on, or connect it again: one is enough"
        );
        assert!(
            hints[2].ends_with("{+via=local}: m1 (10.0.0.1)"),
            "{hints:?}"
        );
        assert!(hints[3].starts_with("only where"), "{hints:?}");
    }

    #[test]
    fn an_apiserver_that_lost_its_etcd_is_told_from_one_that_is_gone() {
        let outcome = |kind| Outcome {
            node: "cp-1".into(),
            via: Some(Via::Job),
            took: Duration::ZERO,
            result: Err(RunError::new(kind, "in whatever words")),
        };
        let lost = |kinds: &[RunErrorKind]| {
            let outcomes: Vec<Outcome> = kinds.iter().copied().map(outcome).collect();
            lost_since(&outcomes)
        };
        let (gone, etcd) = (RunErrorKind::ApiserverLost, RunErrorKind::EtcdLost);
        assert!(matches!(
            lost(&[gone, gone]),
            Some(Verdict::Unreachable { .. })
        ));
        // One that takes requests is there.
        assert!(matches!(
            lost(&[gone, etcd]),
            Some(Verdict::WithoutEtcd { .. })
        ));
        assert!(lost(&[gone, RunErrorKind::NodeDown]).is_none());
        assert!(lost(&[]).is_none());
    }

    #[test]
    fn without_an_apiserver_the_hosts_are_named() {
        let lost = || Verdict::Unreachable {
            reason: "Connection refused".into(),
        };
        let error = error(lost(), "https://10.0.0.1:6443", &Seen::default());
        assert_eq!(error.kind.exit_code(), 6);
        assert!(
            error.hints[1].written().ends_with("{+via=local}: 10.0.0.1"),
            "{:?}",
            error.hints
        );
    }
}
