//! Against what etcdctl 3.4.23, 3.5.35, 3.6.16 and 3.7.3 printed for single members with a NOSPACE alarm.

use proptest::prelude::*;

use super::*;

macro_rules! sample {
    ($version:literal, $what:literal) => {
        include_str!(concat!(
            "../../../tests/samples/etcdctl/",
            $version,
            "-",
            $what,
            ".json"
        ))
    };
}

struct Samples {
    version: &'static str,
    status: &'static str,
    members: &'static str,
    unstarted: &'static str,
    alarms: &'static str,
    health: &'static str,
}

macro_rules! samples {
    ($version:literal) => {
        Samples {
            version: $version,
            status: sample!($version, "status"),
            members: sample!($version, "members"),
            unstarted: sample!($version, "members-with-unstarted"),
            alarms: sample!($version, "alarms"),
            health: sample!($version, "health"),
        }
    };
}

fn all() -> [Samples; 4] {
    [
        samples!("3.4"),
        samples!("3.5"),
        samples!("3.6"),
        samples!("3.7"),
    ]
}

#[test]
fn status_of_every_line_is_read() {
    for sample in all() {
        let status = endpoint_statuses(sample.status, Duration::from_millis(7))
            .unwrap()
            .remove(0);
        assert!(status.version.starts_with(sample.version), "{status:?}");
        assert_eq!(status.leader, Some(status.member_id), "{status:?}");
        assert!(
            status.db_size_bytes > 0 && status.db_in_use_bytes.unwrap() <= status.db_size_bytes
        );
        assert_eq!(status.errors.len(), 1, "{status:?}");
        assert!(status.errors[0].contains("NOSPACE"));
        assert!(status.revision > 0 && status.raft_term == 2 && status.raft_index == 10);
        let told = matches!(sample.version, "3.6" | "3.7");
        assert_eq!(
            status.quota_bytes,
            told.then_some(200_000),
            "{}",
            sample.version
        );
        assert_eq!(status.storage_version.is_some(), told);
        assert_eq!(status.downgrade_target, None);
    }
}

/// As etcdctl 3.6.16 printed it.
const HASH: &str = r#"[{"Endpoint":"https://127.0.0.1:2379","HashKV":{"header":{"cluster_id":15,"member_id":7,"revision":3054,"raft_term":5},"hash":2095167260,"compact_revision":2660,"hash_revision":3000}}]"#;

#[test]
fn a_hash_is_read_with_how_far_the_member_is_compacted() {
    let said = hash(HASH, 3000).unwrap();
    assert_eq!((said.hash, said.revision), (2_095_167_260, 3000));
    assert_eq!(
        (said.cluster_id, said.member_id),
        (ClusterId(15), MemberId(7))
    );
    assert_eq!(said.compact_revision, Some(2660));
    let never = hash(&HASH.replace("2660", "-1"), 3000).unwrap();
    assert_eq!(never.compact_revision, None);
    assert!(hash("[]", 3000).is_err());
}

#[test]
fn members_of_every_line_are_read() {
    for sample in all() {
        let status = endpoint_statuses(sample.status, Duration::ZERO)
            .unwrap()
            .remove(0);
        let list = members(sample.members, Consistency::Serializable).unwrap();
        assert_eq!(list.cluster_id, status.cluster_id, "{}", sample.version);
        assert_eq!(list.answered_by, status.member_id);
        assert_eq!(list.members.len(), 1);
        assert!(list.members[0].started() && !list.members[0].is_learner);
        assert_eq!(list.members[0].client_urls.len(), 1);
        let list = members(sample.unstarted, Consistency::Linearizable).unwrap();
        assert_eq!(
            list.members
                .iter()
                .filter(|member| !member.started())
                .count(),
            1
        );
    }
}

#[test]
fn alarms_of_every_line_are_read() {
    for sample in all() {
        let alarms = alarms(sample.alarms).unwrap();
        assert_eq!(alarms.len(), 1);
        assert_eq!(alarms[0].alarm, AlarmKind::NoSpace);
    }
    // This is all it prints when there are none.
    let none =
        alarms(r#"{"header":{"cluster_id":1,"member_id":2,"revision":3,"raft_term":2}}"#).unwrap();
    assert!(none.is_empty());
}

#[test]
fn a_read_that_was_answered_is_one_although_an_alarm_is_raised() {
    for sample in all() {
        assert!(
            health(sample.health).unwrap() > Duration::from_micros(100),
            "{}",
            sample.version
        );
    }
    let no_quorum = r#"[{"endpoint":"127.0.0.1:2379","health":false,"took":"5.002163472s","error":"context deadline exceeded"}]"#;
    assert_eq!(health(no_quorum).unwrap_err().kind, FailureKind::NoQuorum);
}

#[test]
fn the_reason_is_taken_from_the_log_line() {
    let stderr = "{\"level\":\"warn\",\"logger\":\"etcd-client\",\"error\":\"rpc error: code = DeadlineExceeded desc = latest balancer error: last connection error: connection error: desc = \\\"transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused\\\"\"}\nError: context deadline exceeded\n";
    let failure = failure(stderr, 1, Needs::Quorum);
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains("connection refused"), "{failure}");
}

#[test]
fn anything_else_is_an_error_and_no_panic() {
    for text in [
        "",
        "null",
        "[{}]",
        "{",
        "Error: unknown flag",
        "[{\"Endpoint\":1}]",
    ] {
        assert!(endpoint_statuses(text, Duration::ZERO).is_err(), "{text}");
        assert!(health(text).is_err(), "{text}");
    }
    assert!(health("[]").is_err());
    assert!(members("[]", Consistency::Serializable).is_err());
}

#[test]
fn what_etcd_has_against_a_change_is_taken_as_the_other_backend_takes_it() {
    for said in [
        "etcdserver: re-configuration failed due to not enough started members",
        "etcdserver: can only promote a learner member which is in sync with leader",
        "etcdserver: too many learner members in cluster",
        "etcdserver: rpc not supported for learner",
    ] {
        let error = failure(&format!("Error: {said}\n"), 1, Needs::Quorum);
        assert_eq!(error.kind, FailureKind::Refused, "{said}");
        assert!(error.hint.is_some(), "{said}");
    }
    let timed_out = "Error: etcdserver: request timed out\n";
    let error = failure(timed_out, 1, Needs::Quorum);
    assert_eq!(error.kind, FailureKind::NoQuorum);
    let silent = "Error: context deadline exceeded\n";
    let error = failure(silent, 1, Needs::Itself);
    assert_eq!(error.kind, FailureKind::Unreachable);
}

/// Whatever is printed: it is read or refused, and a failure always says something.
fn read_anything(text: &str) {
    for result in [
        endpoint_statuses(text, Duration::ZERO).map(drop),
        members(text, Consistency::Serializable).map(drop),
        alarms(text).map(drop),
        health(text).map(drop),
        hash(text, 7).map(drop),
    ] {
        assert!(result.is_ok() || !result.unwrap_err().message.is_empty());
    }
    assert!(!failure(text, 1, Needs::Itself).message.is_empty());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        read_anything(&text);
    }

    #[test]
    fn a_damaged_sample_is_read_or_refused(
        line in 0usize..4, kind in 0usize..6, at in any::<prop::sample::Index>(), put in "[0-9a-z\\[\\]{}\",:.-]{0,4}",
    ) {
        let sample = &all()[line];
        let text = [sample.status, sample.members, sample.unstarted, sample.alarms, sample.health, HASH][kind];
        let at = at.index(text.len());
        prop_assume!(text.is_char_boundary(at) && text.is_char_boundary(at + 1));
        read_anything(&format!("{}{put}{}", &text[..at], &text[at + 1..]));
    }
}
