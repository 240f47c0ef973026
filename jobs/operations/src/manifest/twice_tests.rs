//! Tests: a manifest that gives a key twice is read as kubelet reads it, by way of Go's maps (`sigs.k8s.io/yaml`, not its
//! strict reader): the last one counts.

use super::Manifest;

#[test]
fn the_last_of_two_keys_counts_as_for_kubelet() {
    let text = "kind: Job\nspec:\n  a: [1]\n  containers:\n  - {image: old, name: etcd, image: new}\n  a: 2\nkind: Pod\n";
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(
        manifest.twice(),
        ["spec.containers[0].image", "spec.a", "kind"]
    );
    let wanted = "kind: Pod\nspec: {a: 2, containers: [{image: new, name: etcd}]}\n";
    let wanted = Manifest::parse(wanted.as_bytes()).unwrap();
    assert_eq!(manifest.meant(), wanted.meant());
    let merged = "kind: Pod\na: &a {x: 1}\nb: {<<: *a, <<: *a}\n";
    assert!(Manifest::parse(merged.as_bytes()).is_err());
}

#[test]
fn a_manifest_with_a_key_twice_is_read_changed_and_told_of() {
    let etcd = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
    let image = "registry.k8s.io/etcd:3.9.9-0";
    let text = etcd.replace(
        "    name: etcd\n    ",
        &format!("    name: etcd\n    image: {image}\n    "),
    );
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.twice(), ["spec.containers[0].image"]);
    let component = manifest.component("etcd").unwrap();
    assert_eq!(component.image(), Some(image));
    let wanted = super::Edit::SetImage {
        image: "registry.k8s.io/etcd:4.0.0-0".parse().unwrap(),
    };
    let edited = manifest.edit("etcd", &wanted).unwrap().manifest;
    let after = text.replace(image, "registry.k8s.io/etcd:4.0.0-0");
    assert_eq!(std::str::from_utf8(edited.bytes()).unwrap(), after);
    assert!(Manifest::parse(etcd.as_bytes()).unwrap().twice().is_empty());
}

#[test]
fn manifests_without_such_keys_are_read_as_libyaml_reads_them() {
    for text in [
        include_str!("../../tests/manifests/kubeadm-1.24-etcd.yaml"),
        include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml"),
        include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml"),
        include_str!("../../tests/manifests/rke2-etcd.yaml"),
        include_str!("../../tests/manifests/rke2-kube-apiserver.yaml"),
        "kind: Pod\na: &a {x: 1}\nb: *a\nspec: {containers: []}\n",
    ] {
        let usual: serde_json::Value = serde_yaml::from_str(text).unwrap();
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(*manifest.meant(), usual, "{text}");
    }
}
