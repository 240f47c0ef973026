//! Tests of what is printed. That it holds is tested on a real apiserver.

use etcd_operations::operation::Health;

use super::*;

fn grant(namespace: &str) -> Grant {
    let target: Target = serde_json::from_value(json!({
        "node": "cp-1", "pod": "etcd-cp-1", "memberName": "cp-1",
        "clientUrls": ["https://127.0.0.1:2379"], "peerUrls": ["https://10.0.0.1:2380"],
        "tls": {"ca": "/pki/ca.crt", "cert": "/pki/server.crt", "key": "/pki/server.key"},
        "dataDir": "/srv/etcd", "quotaBytes": 8_589_934_592_u64, "image": "registry.k8s.io/etcd:3.6.6-0",
    }))
    .unwrap();
    Grant {
        renewed_by: "kubectl etcd viewers".into(),
        namespace: namespace.into(),
        program: CarriedProgram {
            config_maps: vec![
                "kubectl-etcd-program-ab-cd-0".into(),
                "kubectl-etcd-program-ab-cd-1".into(),
            ],
        },
        targets: vec![target],
        subjects: vec![
            Subject::Group("kubectl-etcd:viewers".into()),
            Subject::User("jane".into()),
            Subject::ServiceAccount {
                namespace: "monitoring".into(),
                name: "checks".into(),
            },
        ],
    }
}

#[test]
fn what_is_printed_is_this() {
    let documents: Vec<String> = manifests(&grant("kubectl-etcd"))
        .iter()
        .map(|one| serde_saphyr::to_string(one).unwrap())
        .collect();
    let text = documents.join("---\n");
    insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn the_policy_comes_before_the_role() {
    let kinds: Vec<String> = manifests(&grant("kubectl-etcd"))
        .iter()
        .map(|one| one["kind"].as_str().unwrap().to_owned())
        .collect();
    let first_role = kinds
        .iter()
        .position(|kind| kind.ends_with("Role"))
        .unwrap();
    assert!(
        kinds[..first_role]
            .iter()
            .all(|kind| kind.starts_with("ValidatingAdmissionPolicy"))
    );
    assert!(
        !kinds[first_role..]
            .iter()
            .any(|kind| kind.contains("Policy"))
    );
}

#[test]
fn each_namespace_has_policies_of_its_own() {
    assert_eq!(policy_name("kubectl-etcd"), "kubectl-etcd-viewers");
    assert_eq!(policy_name("mine"), "kubectl-etcd-viewers-mine");
}

#[test]
fn only_what_looking_needs_may_be_mounted() {
    let files = files(&grant("kubectl-etcd").targets);
    let paths: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, kind)| (path.as_str(), *kind))
        .collect();
    assert_eq!(
        paths,
        [
            ("/pki/ca.crt", "File"),
            ("/pki/server.crt", "File"),
            ("/pki/server.key", "File"),
            ("/srv/etcd", "Directory"),
            ("/var/lib", "DirectoryOrCreate"),
            ("/var/log/containers", "DirectoryOrCreate"),
            ("/var/log/pods", "DirectoryOrCreate"),
        ]
    );
}

/// No change of an operation's name may open the policy, or close it, unseen.
#[test]
fn the_operations_are_those_that_only_look() {
    let names = [
        Operation::Status,
        Operation::Members,
        Operation::Health(Health { timeout_ms: 1 }),
        Operation::AlarmList,
        Operation::SnapshotList(SnapshotList {
            folder: "/x".into(),
        }),
    ]
    .map(|operation| {
        assert!(operation.only_looks(), "{operation:?}");
        serde_json::to_value(&operation).unwrap()["operation"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(names, OPERATIONS);
}

/// What the plugin sends to a node is what the policy has of it.
#[test]
fn an_assignment_of_the_plugin_says_of_its_target_what_the_policy_knows() {
    let grant = grant("kubectl-etcd");
    let target = grant.targets[0].clone();
    let list = Operation::SnapshotList(SnapshotList {
        folder: etcd_operations::stored::FOLDER.into(),
    });
    for operation in [Operation::Status, list] {
        let assignment = etcd_operations::operation::Assignment {
            version: 1,
            operation,
            target: target.clone(),
        };
        let text = serde_json::to_string(&assignment).unwrap();
        let (_, said) = text.split_once(",\"target\":").unwrap();
        let rest = said.strip_prefix(&policy::fixed(&target)).unwrap();
        assert_eq!(
            rest,
            r#","quotaBytes":8589934592,"image":"registry.k8s.io/etcd:3.6.6-0"}}"#
        );
    }
}

#[test]
fn an_image_is_known_by_its_repository() {
    for (image, repository) in [
        ("registry.k8s.io/etcd:3.6.6-0", "registry.k8s.io/etcd"),
        ("127.0.0.1:5000/etcd", "127.0.0.1:5000/etcd"),
        ("127.0.0.1:5000/etcd:3@sha256:ab", "127.0.0.1:5000/etcd"),
        ("etcd", "etcd"),
    ] {
        assert_eq!(policy::repository(image), repository);
    }
    assert_eq!(policy::literal("a.b/c:1+"), r"a[.]b/c:1\x{2b}");
}
