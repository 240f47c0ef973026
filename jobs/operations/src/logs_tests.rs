//! Tests: which lines of logs matter, and what they say.

use proptest::prelude::*;

use super::*;

const ETCD: &str = r#"2026-11-21T10:00:00Z stderr F {"level":"info","ts":"x","caller":"a.go:1","msg":"purged file"}
2026-11-21T10:00:01Z stderr F {"level":"warn","ts":"x","caller":"a.go:1","msg":"apply request took too long","took":"212ms","prefix":"read-only range"}
2026-11-21T10:00:02Z stderr P {"level":"info","msg":"1f became
2026-11-21T10:00:02Z stderr F  leader at term 3"}
2026-11-21T10:00:03Z stderr F goroutine 1 [running]:
2026-11-21T10:00:04Z stderr F panic: tocommit(23121) is out of range
"#;

fn query() -> LogQuery {
    LogQuery {
        components: vec![ControlPlane::Etcd],
        previous: false,
        all: false,
        tail: 50,
        since: None,
    }
}

fn texts(lines: &[LogLine]) -> Vec<(Level, &str)> {
    lines
        .iter()
        .map(|line| (line.level, line.text.as_str()))
        .collect()
}

#[test]
fn the_lines_of_etcd_that_matter_are_read() {
    let lines = understood(ETCD, Shape::File, &query());
    assert_eq!(
        texts(&lines),
        [
            (
                Level::Warning,
                "apply request took too long prefix=read-only range took=212ms"
            ),
            (Level::Info, "1f became leader at term 3"),
            (Level::Fatal, "panic: tocommit(23121) is out of range"),
        ]
    );
    let all = LogQuery {
        all: true,
        ..query()
    };
    assert_eq!(understood(ETCD, Shape::File, &all).len(), 5);
    let late = LogQuery {
        since: "2026-11-21T10:00:03Z".parse().ok(),
        tail: 1,
        ..query()
    };
    assert_eq!(texts(&understood(ETCD, Shape::File, &late)).len(), 1);
}

#[test]
fn the_lines_of_the_apiserver_and_of_an_old_etcd_are_read() {
    let text = "2026-11-21T10:00:00Z I1121 10:00:00.000001       1 trace.go:236] Trace[1]: \"List\" url:/api (total time: 1200ms):
2026-11-21T10:00:00Z I1121 10:00:00.000001       1 controller.go:1] updated
2026-11-21T10:00:01Z E1121 10:00:00.000001       1 run.go:72] \"command failed\" err=\"context deadline exceeded\"
2026-11-21T10:00:02Z 2026-11-21 10:00:02.1 W | etcdserver: failed to send out heartbeat
";
    let lines = sent(text, &query());
    let levels: Vec<_> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::Info, Level::Error, Level::Warning]);
    assert_eq!(lines[2].text, "etcdserver: failed to send out heartbeat");
}

#[test]
fn the_newest_container_of_the_hosts_own_pod_is_read_and_the_one_before() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("proc/sys/kernel/hostname", "cp-1\n");
    let folder = "var/log/pods/kube-system_etcd-cp-1_uid/etcd";
    write(
        &format!("{folder}/0.log"),
        "2026-11-21T09:00:00Z stderr F panic: first\n",
    );
    write(&format!("{folder}/1.log"), ETCD);
    write("var/log/pods/kube-system_etcd-cp-11_uid/etcd/9.log", ETCD);
    let of = |query: &LogQuery| of_host(root.path(), &Selection::default(), query);
    let found = of(&query());
    assert_eq!(found[0].lines.ok().unwrap().len(), 3);
    let before = of(&LogQuery {
        previous: true,
        ..query()
    });
    assert_eq!(
        texts(before[0].lines.ok().unwrap()),
        [(Level::Fatal, "panic: first")]
    );
    let none = of(&LogQuery {
        components: vec![ControlPlane::Apiserver],
        ..query()
    });
    let why = none[0].lines.failure().unwrap();
    assert!(why.message.contains("kube-apiserver-cp-1"), "{why}");
}

proptest! {
    #[test]
    fn any_log_is_read(text in "(([TZ:. a]{0,6}|stderr|F|P|\\{\"msg\":1|I1121|\\] | \\| |é| |\n){0,40})", tail in 0_usize..4) {
        let query = LogQuery { tail, all: true, ..query() };
        prop_assert!(understood(&text, Shape::File, &query).len() <= tail);
        prop_assert!(sent(&text, &query).len() <= tail);
    }
}
