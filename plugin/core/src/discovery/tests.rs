//! Pods as kubelets make them, and as somebody makes them who wants to be taken for an etcd.

use k8s_openapi::List;
use serde_json::{Value, json};

use etcd_operations::advice;
use etcd_operations::advice::Choice;

use super::*;
use crate::connection::Connection;
use crate::fake::{self, Reply};

fn node(name: &str, ready: &str) -> ApiNode {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        }
    }))
    .unwrap()
}

/// A pod that is no static one.
fn common(name: &str, node: &str, component: &str, command: &[&str]) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"component": component}},
        "spec": {
            "nodeName": node,
            "containers": [{
                "name": component, "image": "registry.k8s.io/etcd:3.6.6-0", "command": command,
                "volumeMounts": [
                    {"name": "d", "mountPath": "/var/lib/etcd"}, {"name": "c", "mountPath": "/pki"}],
            }],
            "volumes": [
                {"name": "d", "hostPath": {"path": "/srv/etcd"}},
                {"name": "c", "hostPath": {"path": "/etc/kubernetes/pki/etcd"}}],
        },
        "status": {"phase": "Running", "containerStatuses": [
            {"name": component, "ready": false, "restartCount": 3, "image": "", "imageID": "",
             "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
    }))
    .unwrap()
}

/// A pod as kubelet makes it of a static one.
fn pod(name: &str, node: &str, component: &str, command: &[&str]) -> Pod {
    let mut pod = serde_json::to_value(common(name, node, component, command)).unwrap();
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "d1ff"});
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": node, "uid": "1", "controller": true}]);
    serde_json::from_value(pod).unwrap()
}

fn assemble(nodes: Vec<ApiNode>, pods: &[Pod]) -> Vec<Node> {
    place(&KnownNodes::new(nodes), pods).nodes
}

const ETCD: &[&str] = &[
    "etcd",
    "--name=a",
    "--data-dir=/var/lib/etcd",
    "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
    "--cert-file=/pki/server.crt",
    "--key-file=/pki/server.key",
    "--trusted-ca-file=/pki/ca.crt",
];

/// Beside the main one, on another port, with kubeadm's label and container as they were copied.
const EVENTS: &[&str] = &[
    "etcd",
    "--name=events",
    "--data-dir=/var/lib/etcd",
    "--listen-client-urls=http://127.0.0.1:4001,http://10.0.0.1:4001",
];

#[test]
fn masters_without_an_etcd_pod_are_listed_too() {
    let nodes = vec![node("cp-1", "True"), node("cp-2", "False")];
    let found = assemble(nodes, &[pod("etcd-cp-1", "cp-1", "etcd", ETCD)]);
    assert_eq!(found.len(), 2);
    let target = found[0].target().unwrap();
    assert_eq!(target.data_dir.to_str(), Some("/srv/etcd"));
    assert_eq!(
        found[0].api.pod_waiting.as_deref(),
        Some("CrashLoopBackOff")
    );
    assert_eq!(found[0].api.address.as_deref(), Some("10.0.0.1"));
    let exec = found[0].exec.as_ref().unwrap();
    assert_eq!(
        (exec.pod.as_str(), exec.container.as_str()),
        ("etcd-cp-1", "etcd")
    );
    // Inside the container its own paths count, not the node's.
    let ca = &exec.tls.as_ref().unwrap().ca;
    assert_eq!(ca.to_str(), Some("/pki/ca.crt"));
    assert_eq!(found[1].etcd, Etcd::absent("no etcd pod on this node"));
    assert_eq!(found[1].api.node_ready, Some(false));
}

fn apiserver(node: &str, servers: &str) -> Pod {
    let servers = format!("--etcd-servers={servers}");
    let command = ["kube-apiserver", servers.as_str()];
    pod("kube-apiserver-cp-1", node, "kube-apiserver", &command)
}

#[test]
fn an_apiserver_with_a_distant_etcd_is_recognised() {
    let servers = ["https://10.9.0.1:2379", "https://10.9.0.2:2379"];
    let apiserver = apiserver("cp-1", &servers.join(","));
    let found = assemble(vec![node("cp-1", "True")], &[apiserver]);
    assert_eq!(
        found[0].etcd,
        Etcd::External {
            servers: servers.map(str::to_owned).to_vec()
        }
    );
}

#[test]
fn an_etcd_whose_flags_cannot_be_read_says_why() {
    let command = ["sh", "-c", "etcd --name=a"];
    let found = assemble(
        vec![node("cp-1", "True")],
        &[pod("etcd-cp-1", "cp-1", "etcd", &command)],
    );
    let Etcd::Absent { why, .. } = &found[0].etcd else {
        panic!("{:?}", found[0].etcd)
    };
    assert!(why.contains("etcd-cp-1"), "{why}");
}

#[test]
fn a_pod_alone_makes_no_node() {
    let pods = [pod("etcd-w1", "w1", "etcd", ETCD)];
    let mut known = KnownNodes::new(vec![node("cp-1", "True")]);
    known.others.insert("w1".into(), true);
    let found = place(&known, &pods);
    assert_eq!(found.nodes.len(), 1);
    assert_eq!(found.nodes[0].name, "cp-1");
    let [left] = found.left_alone.as_slice() else {
        panic!("{:?}", found.left_alone)
    };
    assert_eq!(
        left.to_string(),
        "pod etcd-w1 says it is an etcd of w1, which is no control-plane node: left alone"
    );
    assert!(left.is_suspect());
    // One that was not looked up: that is no reason to believe it.
    known.others.clear();
    let found = place(&known, &pods);
    assert_eq!(found.left_alone[0].why, NotBelieved::NotLookedUp);
    assert!(found.left_alone[0].is_suspect());
}

#[test]
fn a_member_whose_node_object_is_gone_is_said_with_the_ways_to_it() {
    let mut known = KnownNodes::default();
    known.others.insert("cp-9".into(), false);
    let found = place(&known, &[pod("etcd-cp-9", "cp-9", "etcd", ETCD)]);
    assert!(found.nodes.is_empty());
    let left = &found.left_alone[0];
    assert!(left.to_string().contains("has no Node object"), "{left}");
    let hint = left.hint().unwrap().written();
    assert!(
        hint.contains("+via=local") && hint.contains("+ssh}"),
        "{hint}"
    );
}

#[test]
fn only_what_kubelet_makes_of_a_static_pod_is_an_etcd() {
    let known = || KnownNodes::new(vec![node("cp-1", "True")]);
    let none = common("etcd-cp-1", "cp-1", "etcd", ETCD);
    let mut unowned = pod("etcd-cp-1", "cp-1", "etcd", ETCD);
    unowned.metadata.owner_references = None;
    let mut of_another = pod("etcd-cp-1", "cp-1", "etcd", ETCD);
    for owner in of_another.metadata.owner_references.iter_mut().flatten() {
        owner.name = "w1".into();
    }
    let mut of_a_set = pod("etcd-cp-1", "cp-1", "etcd", ETCD);
    for owner in of_a_set.metadata.owner_references.iter_mut().flatten() {
        owner.kind = "ReplicaSet".into();
    }
    for pod in [none, unowned, of_another, of_a_set] {
        let found = place(&known(), &[pod]);
        assert_eq!(found.nodes[0].target(), None);
        assert_eq!(found.nodes[0].exec, None);
        assert_eq!(found.left_alone[0].why, NotBelieved::NoStaticPod);
        assert!(!found.left_alone[0].is_suspect());
    }
}

#[test]
fn an_apiserver_pod_that_is_no_static_one_decides_nothing() {
    let command = ["kube-apiserver", "--etcd-servers=https://10.66.0.1:2379"];
    let posing = common("kube-apiserver-x", "cp-1", "kube-apiserver", &command);
    let found = assemble(vec![node("cp-1", "True")], &[posing]);
    assert!(matches!(found[0].etcd, Etcd::Absent { .. }));
}

#[test]
fn the_etcd_that_the_apiserver_uses_is_the_clusters_whatever_comes_first() {
    let pods = |servers: &str| {
        [
            pod("etcd-a-cp-1", "cp-1", "etcd", EVENTS),
            pod("etcd-main-cp-1", "cp-1", "etcd", ETCD),
            apiserver("cp-1", servers),
        ]
    };
    for (servers, chosen, other) in [
        ("https://127.0.0.1:2379", "etcd-main-cp-1", "etcd-a"),
        ("https://10.0.0.1:2379", "etcd-main-cp-1", "etcd-a"),
        ("http://127.0.0.1:4001", "etcd-a-cp-1", "etcd-main"),
    ] {
        let found = assemble(vec![node("cp-1", "True")], &pods(servers));
        assert_eq!(found[0].target().unwrap().pod, chosen, "{servers}");
        assert_eq!(found[0].exec.as_ref().unwrap().pod, chosen);
        assert_eq!(found[0].api.other_etcds, [other]);
    }
}

#[test]
fn two_that_could_be_meant_are_named_and_neither_is_taken() {
    let pods = [
        pod("etcd-a-cp-1", "cp-1", "etcd", EVENTS),
        pod("etcd-b-cp-1", "cp-1", "etcd", ETCD),
    ];
    let known = KnownNodes::new(vec![node("cp-1", "True")]);
    let found = place(&known, &pods);
    let Etcd::Absent { why, hint } = &found.nodes[0].etcd else {
        panic!("{:?}", found.nodes[0].etcd)
    };
    assert!(why.contains("etcd-a, etcd-b"), "{why}");
    let choosing = Choice::Via.with("local").with(Choice::Etcd, "NAME");
    assert_eq!(*hint, Some(advice!["as root on that node: ", choosing]));
    assert_eq!(found.nodes[0].exec, None);
}

#[test]
fn an_etcd_beside_one_that_is_elsewhere_is_not_taken_for_it() {
    let mut events = pod("etcd-events-cp-1", "cp-1", "etcd", EVENTS);
    for container in events.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.name = "events".into();
    }
    let pods = [events, apiserver("cp-1", "https://10.9.0.1:2379")];
    let found = assemble(vec![node("cp-1", "True")], &pods);
    assert!(matches!(found[0].etcd, Etcd::External { .. }));
    assert_eq!(found[0].api.other_etcds, ["etcd-events"]);
}

/// An apiserver with these nodes and pods that knows label and field selectors as far as they are used.
async fn discovered(nodes: Vec<Value>, pods: Vec<Pod>) -> Discovered {
    let server = fake::serve(move |path| {
        let path = path.replace("%2F", "/").replace("%3D", "=");
        if path.contains("/pods?") {
            let items = List::<Pod> {
                items: pods.clone(),
                ..List::default()
            };
            return Reply::Json(200, serde_json::to_string(&items).unwrap());
        }
        let named = path.split_once("fieldSelector=metadata.name=");
        let name = named.map(|(_, rest)| rest.split('&').next().unwrap_or_default());
        let label = path.split_once("labelSelector=");
        let label = label.map(|(_, rest)| rest.split('&').next().unwrap_or_default());
        let fits = |node: &&Value| match (name, label) {
            (Some(name), _) => node["metadata"]["name"] == name,
            (None, Some(label)) => node["metadata"]["labels"].get(label).is_some(),
            (None, None) => true,
        };
        let items: Vec<&Value> = nodes.iter().filter(fits).collect();
        let list = json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items});
        Reply::Json(200, list.to_string())
    })
    .await;
    let connection = Connection::prepare(&fake::flags(server)).await.unwrap();
    discover(&connection.control).await.unwrap()
}

fn labelled(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {label: "true"}}})
}

#[tokio::test]
async fn every_label_that_no_kubelet_can_set_makes_a_control_plane_node() {
    let nodes = vec![
        labelled("cp-1", "node-role.kubernetes.io/control-plane"),
        labelled("cp-2", "node-role.kubernetes.io/master"),
        labelled("cp-3", "node-role.kubernetes.io/etcd"),
        labelled("w1", "example.com/etcd"),
    ];
    let names = ["cp-1", "cp-2", "cp-3", "w1", "gone"];
    let pods = names.map(|name| pod(&format!("etcd-{name}"), name, "etcd", ETCD));
    let found = discovered(nodes, pods.to_vec()).await;
    let with_etcd: Vec<&str> = found
        .nodes
        .iter()
        .filter(|node| node.target().is_some())
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(with_etcd, ["cp-1", "cp-2", "cp-3"]);
    let left: Vec<_> = found
        .left_alone
        .iter()
        .map(|left| (left.node.as_str(), left.why))
        .collect();
    assert_eq!(
        left,
        [
            ("gone", NotBelieved::NoNode),
            ("w1", NotBelieved::NoControlPlaneNode)
        ]
    );
}

#[tokio::test]
async fn a_worker_that_poses_as_a_member_is_no_node_even_where_there_is_no_other() {
    let found = discovered(
        vec![labelled("w1", "example.com/worker")],
        vec![pod("etcd-w1", "w1", "etcd", ETCD)],
    )
    .await;
    assert!(found.nodes.is_empty());
    assert_eq!(found.left_alone.len(), 1);
}

#[test]
fn what_is_no_name_becomes_no_selector() {
    assert!(is_node_name("cp-1.internal"));
    for bad in ["", "a,b", "a=b", "a b", "a/b", "a\n"] {
        assert!(!is_node_name(bad), "{bad:?}");
    }
}
