//! What is said of flags for etcd before anything is stopped for them.

use super::super::Manifest;
use super::*;

const ETCD: &str = include_str!("../../../tests/manifests/kubeadm-1.36-etcd.yaml");

fn set(flag: &str, value: &str) -> Edit {
    Edit::SetFlag {
        flag: flag.parse().unwrap(),
        value: Some(value.parse().unwrap()),
    }
}

/// What is said of a change of kubeadm's etcd 3.6.
fn said(flag: &str, value: &str) -> Option<(String, Option<String>)> {
    let manifest = Manifest::parse(ETCD.as_bytes()).unwrap();
    let component = manifest.component("etcd").unwrap();
    let problems = component.flag_problems(&[set(flag, value)]);
    let problem = problems.first()?;
    Some((
        problem.to_string(),
        problem.hint().map(|hint| hint.written()),
    ))
}

#[test]
fn a_flag_that_etcd_does_not_have_is_told_before_anything_is_stopped() {
    for (typed, meant) in [
        ("qouta-backend-bytes", "quota-backend-bytes"),
        ("quota-backend-byte", "quota-backend-bytes"),
        ("snapshot-cuont", "snapshot-count"),
    ] {
        let (message, hint) = said(typed, "1").unwrap();
        assert_eq!(
            message,
            format!("etcd has no flag --{typed}: it would not start")
        );
        assert_eq!(hint.unwrap(), format!("did you mean {meant}?"));
    }
    let (_, hint) = said("tea-time", "1").unwrap();
    assert_eq!(hint, None);
}

#[test]
fn a_flag_of_another_version_is_told() {
    let (message, hint) = said("enable-v2", "true").unwrap();
    assert_eq!(
        message,
        "etcd 3.6 has no flag --enable-v2: it would not start"
    );
    assert_eq!(hint, None);
    let version = |minor| Some(EtcdVersion { major: 3, minor });
    let problem = check("corrupt-check-time", Some("1h"), version(5)).unwrap_err();
    assert_eq!(
        problem.hint().unwrap(),
        "did you mean experimental-corrupt-check-time?"
    );
    assert!(problem.is_about_the_name());
    let problem = check("experimental-corrupt-check-time", Some("1h"), version(7));
    assert_eq!(
        problem.unwrap_err().hint().unwrap(),
        "did you mean corrupt-check-time?"
    );
    assert!(check("enable-v2", Some("true"), None).is_ok());
    assert!(check("data-dir", Some("/d"), version(99)).is_ok());
}

#[test]
fn a_value_that_etcd_cannot_read_is_told() {
    for (flag, value, meant) in [
        ("quota-backend-bytes", "8Gi", Some("8589934592")),
        ("quota-backend-bytes", "8G", Some("8000000000")),
        ("heartbeat-interval", "abc", None),
        ("heartbeat-interval", "500ms", Some("500")),
        ("election-timeout", "5s", Some("5000")),
        ("auto-compaction-retention", "8x", None),
        ("auto-compaction-mode", "periodical", None),
        ("grpc-keepalive-timeout", "20", Some("20s")),
        ("enable-pprof", "yes", Some("true")),
        (
            "listen-peer-urls",
            "https://10.0.0.1:2380/",
            Some("https://10.0.0.1:2380"),
        ),
        ("snapshot-count", "+7", Some("7")),
        ("max-concurrent-streams", "4294967296", None),
        ("log-level", "loud", None),
        (
            "listen-metrics-urls",
            "127.0.0.1:2381",
            Some("http://127.0.0.1:2381"),
        ),
        ("snapshot-count", "-1", None),
    ] {
        let (message, hint) = said(flag, value).unwrap_or_else(|| panic!("{flag}={value}"));
        assert!(
            message.starts_with(&format!("--{flag}={value}: ")),
            "{message}"
        );
        assert_eq!(hint, meant.map(|meant| format!("{flag}={meant}")), "{flag}");
    }
    for (flag, value) in [
        ("quota-backend-bytes", "8589934592"),
        ("quota-backend-bytes", "-1"),
        ("quota-backend-bytes", "$(QUOTA)"),
        ("auto-compaction-retention", "8"),
        ("auto-compaction-retention", "1h30m"),
        (
            "listen-client-urls",
            "https://127.0.0.1:2379,https://[fd00::1]:2379",
        ),
        ("enable-pprof", "F"),
        ("log-level", "INFO"),
        ("log-level", "Warn"),
        ("log-level", "dpanic"),
        ("snapshot-count", "100_000"),
        ("max-concurrent-streams", "4294967295"),
        ("name", "-"),
    ] {
        assert_eq!(said(flag, value), None, "{flag}={value}");
    }
    let none = check("quota-backend-bytes", None, None).unwrap_err();
    assert_eq!(
        none.to_string(),
        "--quota-backend-bytes has no value: it is a whole number"
    );
    assert!(check("enable-pprof", None, None).is_ok());
}

#[test]
fn what_kubeadm_gives_etcd_is_taken() {
    for text in [
        include_str!("../../../tests/manifests/kubeadm-1.24-etcd.yaml"),
        include_str!("../../../tests/manifests/kubeadm-1.29-etcd.yaml"),
        include_str!("../../../tests/manifests/kubeadm-1.31-etcd.yaml"),
        include_str!("../../../tests/manifests/kubeadm-1.33-etcd.yaml"),
        ETCD,
    ] {
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let component = manifest.component("etcd").unwrap();
        let given = component.given().unwrap();
        let edits: Vec<Edit> = given.iter().map(|one| set(&one.name, &one.value)).collect();
        assert!(!edits.is_empty());
        assert_eq!(component.flag_problems(&edits), []);
    }
}

#[test]
fn flags_that_an_image_does_not_have_are_told_before_it_is_set() {
    let text = "kind: Pod\nspec: {containers: [{name: etcd, image: 'e/etcd:3.6.6-0', command: [etcd, \
        --experimental-initial-corrupt-check=true, --experimental-watch-progress-notify-interval=5s, \
        --experimental-memory-mlock, --data-dir=/d, --flag-of-a-fork=1]}]}\n";
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let component = manifest.component("etcd").unwrap();
    let image = |image: &str| Edit::SetImage {
        image: image.parse().unwrap(),
    };
    let unset = |flag: &str| Edit::UnsetFlag {
        flag: flag.parse().unwrap(),
    };
    let problems = component.flag_problems(&[image("e/etcd:3.7.0-0")]);
    let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(
        said[0],
        "the manifest has --experimental-initial-corrupt-check, which etcd 3.7 does not have: it would not start"
    );
    let hints: Vec<_> = problems
        .iter()
        .filter_map(FlagProblem::hint)
        .map(|hint| hint.written())
        .collect();
    for (hint, instead) in hints.iter().zip([
        "feature-gates=InitialCorruptCheck=true",
        "watch-progress-notify-interval",
        "memory-mlock",
    ]) {
        let unset = "{unset-flag etcd experimental-";
        assert!(hint.starts_with(unset) && hint.ends_with(instead), "{hint}");
    }
    assert!(problems.iter().all(FlagProblem::is_about_the_name));
    // Removed in the same change, and images that have them, or of which no version can be read.
    let edits = [
        image("e/etcd:3.7.0-0"),
        unset("experimental-initial-corrupt-check"),
        unset("experimental-watch-progress-notify-interval"),
        unset("experimental-memory-mlock"),
    ];
    assert_eq!(component.flag_problems(&edits), []);
    assert_eq!(component.flag_problems(&edits[1..]), []);
    for tag in ["e/etcd:3.6.7-0", "e/etcd:latest", "e/etcd"] {
        assert_eq!(component.flag_problems(&[image(tag)]), [], "{tag}");
    }
}

#[test]
fn another_component_may_have_any_flag() {
    let text = include_str!("../../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let component = manifest.component("kube-apiserver").unwrap();
    assert_eq!(component.flag_problems(&[set("v", "4")]), []);
}

#[test]
fn the_table_is_in_order() {
    let lines = include_str!("flags.txt").lines();
    let flags = lines.filter(|line| !line.starts_with('#')).count();
    assert_eq!((ALL.len(), flags), (150, 150));
    assert!(ALL.is_sorted_by(|one, next| one.name < next.name));
    let features = ALL.iter().filter_map(|known| known.feature);
    assert!(
        features
            .clone()
            .all(|one| one.starts_with("feature-gates="))
            && features.count() == 6
    );
    assert!(is_known("feature-gates") && !is_known("version"));
}
