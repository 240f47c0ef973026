//! What a static pod's manifest means, taken from its plain YAML value.
//!
//! Not from a typed pod: kubelet takes `defaultMode: 0644` and `hostNetwork: on`, a typed reader would refuse them.

use serde_json::Value;

use super::PodId;
use crate::flags::{ContainerFacts, HostVolume, Mount, PodFacts};

pub(super) fn is_pod(value: &Value) -> bool {
    text_of(value, "kind") == Some("Pod")
}

pub(super) fn id(value: &Value) -> PodId {
    let metadata = value.get("metadata");
    let text = |key| metadata.and_then(|metadata| text_of(metadata, key));
    let namespace = text("namespace").filter(|namespace| !namespace.is_empty());
    PodId {
        namespace: namespace.unwrap_or("default").to_owned(),
        name: text("name").unwrap_or_default().to_owned(),
    }
}

/// A label of the pod.
pub(super) fn label<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    let labels = value.get("metadata")?.get("labels")?;
    text_of(labels, key)
}

/// What a target is made from. kubelet puts the node's name behind the pod's.
pub(super) fn facts(value: &Value, node: &str) -> PodFacts {
    let spec = value.get("spec").unwrap_or(&Value::Null);
    PodFacts {
        node: node.to_owned(),
        pod: format!("{}-{node}", id(value).name),
        containers: items(spec, "containers").map(container).collect(),
        host_volumes: items(spec, "volumes").filter_map(host_volume).collect(),
    }
}

/// The containers with their images, those that prepare the pod before the others.
pub(super) fn images(value: &Value) -> Vec<(String, String)> {
    let spec = value.get("spec").unwrap_or(&Value::Null);
    let containers = ["initContainers", "containers"].map(|key| items(spec, key));
    let image = |container| {
        let image = text_of(container, "image").filter(|image| !image.is_empty())?;
        let name = text_of(container, "name").unwrap_or_default();
        Some((name.to_owned(), image.to_owned()))
    };
    containers.into_iter().flatten().filter_map(image).collect()
}

fn container(value: &Value) -> ContainerFacts {
    ContainerFacts {
        name: text_of(value, "name").unwrap_or_default().to_owned(),
        image: text_of(value, "image").map(str::to_owned),
        command: words(value, "command"),
        args: words(value, "args"),
        env: items(value, "env").filter_map(variable).collect(),
        mounts: items(value, "volumeMounts").filter_map(mount).collect(),
    }
}

fn variable(value: &Value) -> Option<(String, String)> {
    let name = text_of(value, "name")?.to_owned();
    // An empty value may be left out; one from elsewhere is not known here.
    if value.get("valueFrom").is_some() {
        return None;
    }
    Some((name, value.get("value").map(plain).unwrap_or_default()))
}

fn mount(value: &Value) -> Option<Mount> {
    Some(Mount {
        volume: text_of(value, "name")?.to_owned(),
        path: text_of(value, "mountPath")?.to_owned(),
        sub_path: text_of(value, "subPath").map(str::to_owned),
    })
}

fn host_volume(value: &Value) -> Option<HostVolume> {
    Some(HostVolume {
        name: text_of(value, "name")?.to_owned(),
        path: text_of(value.get("hostPath")?, "path")?.to_owned(),
    })
}

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn words(value: &Value, key: &str) -> Vec<String> {
    items(value, key).map(plain).collect()
}

fn text_of<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// A scalar as text: `--flag` and its value may be separate words, and the value a number without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(on) => on.to_string(),
        _ => String::new(),
    }
}
