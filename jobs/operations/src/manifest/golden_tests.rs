//! Edits of real manifests, as the difference that a person is shown.

use super::*;
use crate::failure::FailureKind;

macro_rules! manifest {
    ($name:literal) => {
        include_str!(concat!("../../tests/manifests/", $name, ".yaml"))
    };
}

pub(super) const ALL: [(&str, &str); 9] = [
    ("etcd", manifest!("kubeadm-1.24-etcd")),
    ("etcd", manifest!("kubeadm-1.29-etcd")),
    ("etcd", manifest!("kubeadm-1.31-etcd")),
    ("etcd", manifest!("kubeadm-1.33-etcd")),
    ("etcd", manifest!("kubeadm-1.36-etcd")),
    ("kube-apiserver", manifest!("kubeadm-1.29-kube-apiserver")),
    ("kube-apiserver", manifest!("kubeadm-1.36-kube-apiserver")),
    ("kube-apiserver", manifest!("rke2-kube-apiserver")),
    ("etcd", manifest!("rke2-etcd")),
];

pub(super) fn set(flag: &str, value: &str) -> Edit {
    Edit::SetFlag {
        flag: flag.parse().unwrap(),
        value: Some(value.parse().unwrap()),
    }
}

pub(super) fn on(flag: &str) -> Edit {
    Edit::SetFlag {
        flag: flag.parse().unwrap(),
        value: None,
    }
}

pub(super) fn unset(flag: &str) -> Edit {
    Edit::UnsetFlag {
        flag: flag.parse().unwrap(),
    }
}

pub(super) fn image(image: &str) -> Edit {
    Edit::SetImage {
        image: image.parse().unwrap(),
    }
}

pub(super) fn parse(text: &str) -> Manifest {
    Manifest::parse(text.as_bytes()).unwrap()
}

pub(super) fn edited(text: &str, component: &str, edits: &[Edit]) -> String {
    let edit = |manifest: Manifest, edit| manifest.edit(component, edit).unwrap().manifest;
    edits.iter().fold(parse(text), edit).text
}

/// The difference that edits make.
fn changed(text: &str, component: &str, edits: &[Edit]) -> String {
    diff::shown(text, &edited(text, component, edits))
}

#[test]
fn a_flag_of_kubeadm_changes_in_its_place() {
    let edits = [
        set(
            "initial-cluster",
            "cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380,cp-3=https://10.0.0.13:2380",
        ),
        set("initial-cluster-state", "existing"),
    ];
    insta::assert_snapshot!(changed(manifest!("kubeadm-1.24-etcd"), "etcd", &edits), @r"
    @@ -19,7 +19,8 @@
         - --data-dir=/var/lib/etcd
         - --experimental-initial-corrupt-check=true
         - --initial-advertise-peer-urls=https://10.0.0.11:2380
    -    - --initial-cluster=cp-1=https://10.0.0.11:2380
    +    - --initial-cluster=cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380,cp-3=https://10.0.0.13:2380
    +    - --initial-cluster-state=existing
         - --key-file=/etc/kubernetes/pki/etcd/server.key
         - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.11:2379
         - --listen-metrics-urls=http://127.0.0.1:2381
    ");
    insta::assert_snapshot!(changed(manifest!("kubeadm-1.33-etcd"), "etcd", &edits), @r"
    @@ -20,7 +20,7 @@
         - --experimental-initial-corrupt-check=true
         - --experimental-watch-progress-notify-interval=5s
         - --initial-advertise-peer-urls=https://10.0.0.11:2380
    -    - --initial-cluster=cp-2=https://10.0.0.12:2380,cp-1=https://10.0.0.11:2380
    +    - --initial-cluster=cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380,cp-3=https://10.0.0.13:2380
         - --initial-cluster-state=existing
         - --key-file=/etc/kubernetes/pki/etcd/server.key
         - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.11:2379
    ");
}

#[test]
fn a_new_flag_of_kubeadm_comes_where_its_name_belongs() {
    let edits = [
        set("quota-backend-bytes", "8589934592"),
        on("force-new-cluster"),
        set("advertise-client", "first"),
        set("zzz", "last"),
    ];
    insta::assert_snapshot!(changed(manifest!("kubeadm-1.31-etcd"), "etcd", &edits), @r"
    @@ -13,12 +13,14 @@
       containers:
       - command:
         - etcd
    +    - --advertise-client=first
         - --advertise-client-urls=https://10.0.0.11:2379
         - --cert-file=/etc/kubernetes/pki/etcd/server.crt
         - --client-cert-auth=true
         - --data-dir=/var/lib/etcd
         - --experimental-initial-corrupt-check=true
         - --experimental-watch-progress-notify-interval=5s
    +    - --force-new-cluster
         - --initial-advertise-peer-urls=https://10.0.0.11:2380
         - --initial-cluster=cp-1=https://10.0.0.11:2380
         - --key-file=/etc/kubernetes/pki/etcd/server.key
    @@ -30,8 +32,10 @@
         - --peer-client-cert-auth=true
         - --peer-key-file=/etc/kubernetes/pki/etcd/peer.key
         - --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    +    - --quota-backend-bytes=8589934592
         - --snapshot-count=10000
         - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    +    - --zzz=last
         image: registry.k8s.io/etcd:3.5.15-0
         imagePullPolicy: IfNotPresent
         livenessProbe:
    ");
    let edits = [
        set(
            "etcd-servers",
            "https://127.0.0.1:2379,https://10.0.0.12:2379",
        ),
        unset("etcd-cafile"),
    ];
    insta::assert_snapshot!(changed(manifest!("kubeadm-1.36-kube-apiserver"), "kube-apiserver", &edits), @r"
    @@ -18,10 +18,9 @@
         - --client-ca-file=/etc/kubernetes/pki/ca.crt
         - --enable-admission-plugins=NodeRestriction
         - --enable-bootstrap-token-auth=true
    -    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
         - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
         - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
    -    - --etcd-servers=https://127.0.0.1:2379
    +    - --etcd-servers=https://127.0.0.1:2379,https://10.0.0.12:2379
         - --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt
         - --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key
         - --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname
    ");
}

#[test]
fn an_image_changes_alone() {
    let edits = [image("registry.k8s.io/etcd:3.5.24-0@sha256:62397f1d8b2c")];
    insta::assert_snapshot!(changed(manifest!("kubeadm-1.29-etcd"), "etcd", &edits), @r"
    @@ -33,7 +33,7 @@
         - --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
         - --snapshot-count=10000
         - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    -    image: registry.k8s.io/etcd:3.5.10-0
    +    image: registry.k8s.io/etcd:3.5.24-0@sha256:62397f1d8b2c
         imagePullPolicy: IfNotPresent
         livenessProbe:
           failureThreshold: 8
    ");
}

#[test]
fn rke2s_flags_are_in_args() {
    let edits = [
        set("anonymous-auth", "true"),
        set("etcd-prefix", "/registry"),
        unset("tls-cipher-suites"),
    ];
    insta::assert_snapshot!(changed(manifest!("rke2-kube-apiserver"), "kube-apiserver", &edits), @r"
    @@ -11,7 +11,7 @@
       containers:
       - args:
         - --allow-privileged=true
    -    - --anonymous-auth=false
    +    - --anonymous-auth=true
         - --api-audiences=https://kubernetes.default.svc.cluster.local,rke2
         - --authorization-mode=Node,RBAC
         - --bind-address=0.0.0.0
    @@ -19,9 +19,9 @@
         - --etcd-cafile=/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt
         - --etcd-certfile=/var/lib/rancher/rke2/server/tls/etcd/client.crt
         - --etcd-keyfile=/var/lib/rancher/rke2/server/tls/etcd/client.key
    +    - --etcd-prefix=/registry
         - --etcd-servers=https://127.0.0.1:2379
         - --secure-port=6443
    -    - --tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
         command:
         - kube-apiserver
         image: index.docker.io/rancher/hardened-kubernetes:v1.29.6-rke2r1-build20240620
    ");
}

#[test]
fn rke2s_etcd_has_no_flags_to_change_but_an_image() {
    let refused = parse(manifest!("rke2-etcd"))
        .edit("etcd", &set("quota-backend-bytes", "1"))
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(
        refused
            .message
            .contains("/var/lib/rancher/rke2/server/db/etcd/config")
    );
    let edits = [image("hardened-etcd:v3.6.6"), set("config-file", "/other")];
    insta::assert_snapshot!(changed(manifest!("rke2-etcd"), "etcd", &edits), @r"
    @@ -13,7 +13,7 @@
     spec:
       containers:
       - args:
    -    - --config-file=/var/lib/rancher/rke2/server/db/etcd/config
    +    - --config-file=/other
         command:
         - etcd
         env:
    @@ -21,7 +21,7 @@
           value: 4c2f57d5a1b0d2d2b1f2e1d0c9b8a7968574635241302f1e0d9c8b7a69584736
         - name: NO_PROXY
           value: .svc,.cluster.local,10.42.0.0/16,10.43.0.0/16
    -    image: index.docker.io/rancher/hardened-etcd:v3.5.13-k3s1-build20240531
    +    image: hardened-etcd:v3.6.6
         imagePullPolicy: IfNotPresent
         livenessProbe:
           failureThreshold: 8
    ");
}

/// Everything that hand-written manifests have and kubeadm's have not.
const BY_HAND: &str = r#"# etcd of cp-1. Ask before you touch it!
%IMAGE%
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system, labels: &labels {tier: control-plane, "component": etcd}}
spec:
    hostNetwork: on   # YAML 1.1
    containers:
        -   name: 'etcd'
            env: [{name: NODE, value: cp-1}]
            command:
                # the program
                -   /usr/local/bin/etcd	# a tab before this
                - "--name=$(NODE)"

                # where it listens
                - '--listen-client-urls=https://127.0.0.1:2379'   # loopback only
                - --data-dir
                - /var/lib/etcd
                - &ca --trusted-ca-file=/pki/ca.crt
                - --initial-cluster=
                    a=https://10.0.0.1:2380
                - -snapshot-count=10000
                - *word
            image:	*image
        - {name: sidecar, image: "busybox:1", command: [sleep, '1d'], labels: *labels}
"#;

fn by_hand() -> String {
    let text = BY_HAND.replace(
        "%IMAGE%",
        "x-image: &image registry.k8s.io/etcd:3.6.6-0\nx-word: &word --pre-vote",
    );
    text.replace('\n', "\r\n").trim_end().to_owned()
}

#[test]
fn what_people_wrote_stays() {
    let edits = [
        set("name", "cp-1"),
        set(
            "listen-client-urls",
            "https://127.0.0.1:2379,https://it's:1",
        ),
        set("data-dir", "/srv/etcd"),
        set("trusted-ca-file", "/pki/new.crt"),
        set(
            "initial-cluster",
            "a=https://10.0.0.1:2380,b=https://10.0.0.2:2380",
        ),
        set("snapshot-count", "5000"),
        set("pre-vote", "false"),
        image("registry.k8s.io/etcd:3.6.7-0"),
        set("quota-backend-bytes", "8"),
        set("log-level", "a: b #c"),
    ];
    insta::assert_snapshot!(changed(&by_hand(), "etcd", &edits), @r#"
    @@ -12,16 +12,17 @@
                 command:\r
                     # the program\r
                     -   /usr/local/bin/etcd	# a tab before this\r
    -                - "--name=$(NODE)"\r
    +                - "--name=cp-1"\r
     \r
                     # where it listens\r
    -                - '--listen-client-urls=https://127.0.0.1:2379'   # loopback only\r
    +                - '--listen-client-urls=https://127.0.0.1:2379,https://it''s:1'   # loopback only\r
                     - --data-dir\r
    -                - /var/lib/etcd\r
    -                - &ca --trusted-ca-file=/pki/ca.crt\r
    -                - --initial-cluster=\r
    -                    a=https://10.0.0.1:2380\r
    -                - -snapshot-count=10000\r
    -                - *word\r
    -            image:	*image\r
    +                - /srv/etcd\r
    +                - &ca --trusted-ca-file=/pki/new.crt\r
    +                - --initial-cluster=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\r
    +                - -snapshot-count=5000\r
    +                - --pre-vote=false\r
    +                - --quota-backend-bytes=8\r
    +                - '--log-level=a: b #c'\r
    +            image:	registry.k8s.io/etcd:3.6.7-0\r
             - {name: sidecar, image: "busybox:1", command: [sleep, '1d'], labels: *labels}\ no newline
    "#);
    let edits = [
        unset("data-dir"),
        unset("listen-client-urls"),
        unset("initial-cluster"),
        unset("trusted-ca-file"),
        unset("pre-vote"),
    ];
    insta::assert_snapshot!(changed(&by_hand(), "etcd", &edits), @r#"
    @@ -15,13 +15,6 @@
                     - "--name=$(NODE)"\r
     \r
                     # where it listens\r
    -                - '--listen-client-urls=https://127.0.0.1:2379'   # loopback only\r
    -                - --data-dir\r
    -                - /var/lib/etcd\r
    -                - &ca --trusted-ca-file=/pki/ca.crt\r
    -                - --initial-cluster=\r
    -                    a=https://10.0.0.1:2380\r
                     - -snapshot-count=10000\r
    -                - *word\r
                 image:	*image\r
             - {name: sidecar, image: "busybox:1", command: [sleep, '1d'], labels: *labels}\ no newline
    "#);
    let edits = [image("busybox:2")];
    insta::assert_snapshot!(changed(&by_hand(), "sidecar", &edits), @r#"
    @@ -24,4 +24,4 @@
                     - -snapshot-count=10000\r
                     - *word\r
                 image:	*image\r
    -        - {name: sidecar, image: "busybox:1", command: [sleep, '1d'], labels: *labels}\ no newline
    +        - {name: sidecar, image: "busybox:2", command: [sleep, '1d'], labels: *labels}\ no newline
    "#);
}

#[test]
fn brackets_stay_brackets() {
    let text = "kind: Pod\nspec:\n  containers:\n  - {name: etcd, image: etcd:1, command: [\"etcd\",'--name=a' , --data-dir=/d]}\n";
    let edits = [
        set("name", "b"),
        set("data-dir", "/e"),
        set("listen-peer-urls", "http://a:1,http://b:2"),
        image("etcd:2"),
    ];
    insta::assert_snapshot!(changed(text, "etcd", &edits), @r#"
    @@ -1,4 +1,4 @@
     kind: Pod
     spec:
       containers:
    -  - {name: etcd, image: etcd:1, command: ["etcd",'--name=a' , --data-dir=/d]}
    +  - {name: etcd, image: etcd:2, command: ["etcd",'--name=b' , --data-dir=/e , "--listen-peer-urls=http://a:1,http://b:2"]}
    "#);
    insta::assert_snapshot!(changed(text, "etcd", &[unset("name")]), @r#"
    @@ -1,4 +1,4 @@
     kind: Pod
     spec:
       containers:
    -  - {name: etcd, image: etcd:1, command: ["etcd",'--name=a' , --data-dir=/d]}
    +  - {name: etcd, image: etcd:1, command: ["etcd" , --data-dir=/d]}
    "#);
    let text = "kind: Pod\nspec:\n  containers:\n  - name: etcd\n    args: [\n      --name=a, # the first, always\n      # the data\n      --data-dir=/d,\n      \"--x=[1]\"\n    ]\n    command: [ etcd ]";
    let edits = [set("z", "1"), set("data-dir", "/e"), unset("name")];
    insta::assert_snapshot!(changed(text, "etcd", &edits), @r#"
    @@ -3,9 +3,9 @@
       containers:
       - name: etcd
         args: [
    -      --name=a, # the first, always
           # the data
    -      --data-dir=/d,
    -      "--x=[1]"
    +      --data-dir=/e,
    +      "--x=[1]",
    +      "--z=1"
         ]
         command: [ etcd ]\ no newline
    "#);
    insta::assert_snapshot!(changed(text, "etcd", &[unset("x")]), @r#"
    @@ -5,7 +5,6 @@
         args: [
           --name=a, # the first, always
           # the data
    -      --data-dir=/d,
    -      "--x=[1]"
    +      --data-dir=/d
         ]
         command: [ etcd ]\ no newline
    "#);
    let text = "kind: Pod\nspec:\n  containers:\n  - name: etcd\n    command: [ etcd\n      , --name=a\n      , --data-dir=/d\n      ]";
    insta::assert_snapshot!(changed(text, "etcd", &[set("log-level", "info"), unset("name")]), @r"
    @@ -3,6 +3,6 @@
       containers:
       - name: etcd
         command: [ etcd
    -      , --name=a
           , --data-dir=/d
    +      , --log-level=info
           ]\ no newline
    ");
}

#[test]
fn json_stays_json() {
    let text = "{\n\t\"kind\": \"Pod\",\n\t\"metadata\": {\"name\": \"etcd\\u002d\\ud83d\\ude00\"},\n\t\"spec\": {\n\t\t\"containers\": [\n\t\t\t{\n\t\t\t\t\"name\": \"etcd\",\n\t\t\t\t\"image\": \"etcd:1\",\n\t\t\t\t\"command\": [\n\t\t\t\t\t\"etcd\",\n\t\t\t\t\t\"--data-dir=\\/d\",\n\t\t\t\t\t\"--name=a\"\n\t\t\t\t]\n\t\t\t}\n\t\t]\n\t}\n}\n";
    let edits = [
        set("name", "a \"quoted\" \\ one"),
        set("quota-backend-bytes", "8"),
        unset("data-dir"),
        image("etcd:2"),
    ];
    insta::assert_snapshot!(changed(text, "etcd", &edits), @r#"
    @@ -5,11 +5,11 @@
     		"containers": [
     			{
     				"name": "etcd",
    -				"image": "etcd:1",
    +				"image": "etcd:2",
     				"command": [
     					"etcd",
    -					"--data-dir=\/d",
    -					"--name=a"
    +					"--name=a \"quoted\" \\ one",
    +					"--quota-backend-bytes=8"
     				]
     			}
     		]
    "#);
    let line = "{\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"etcd\",\"command\":[\"etcd\",\"--name=a\"]}]}}";
    insta::assert_snapshot!(edited(line, "etcd", &[set("data-dir", "/d"), set("z", "1"), unset("name")]), @r#"{"kind":"Pod","spec":{"containers":[{"name":"etcd","command":["etcd", "--data-dir=/d","--z=1"]}]}}"#);
}

#[test]
fn line_ends_and_the_byte_order_mark_stay() {
    for (end, begin) in [("\n", ""), ("\r\n", "\u{feff}"), ("\r", "# x\r")] {
        for last in ["", end] {
            let lines = [
                "kind: Pod",
                "spec:",
                "  containers:",
                "  - name: etcd",
                "    image: a:1",
                "    command:",
                "    - etcd",
                "    - --name=a",
            ];
            let text = format!("{begin}{}{last}", lines.join(end));
            let wanted = format!(
                "{begin}{}{end}    - --name=b{end}    - --z=1{last}",
                lines[..7].join(end)
            );
            let edits = [set("name", "b"), set("z", "1")];
            assert_eq!(edited(&text, "etcd", &edits), wanted);
            let back = [unset("z"), set("name", "a")];
            assert_eq!(edited(&wanted, "etcd", &back), text);
        }
    }
}
