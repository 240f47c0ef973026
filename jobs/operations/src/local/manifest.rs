//! One static pod's manifest, as a plain YAML value.

use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::flags::{ContainerFacts, HostVolume, Mount, PodFacts, base_name};

/// A file that kubelet takes for a pod.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) path: PathBuf,
    value: Value,
}

impl Manifest {
    /// Reads a file; the error says why it is no pod.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
        let value: Value =
            serde_yaml::from_str(&text).map_err(|error| format!("it is no manifest: {error}"))?;
        if text_of(&value, "kind") != Some("Pod") {
            return Err("it is no pod's manifest".to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            value,
        })
    }

    /// The pod's namespace and name, as one.
    pub(super) fn pod(&self) -> String {
        let metadata = self.value.get("metadata");
        let text = |key| metadata.and_then(|metadata| text_of(metadata, key));
        format!(
            "{}/{}",
            text("namespace").unwrap_or("default"),
            text("name").unwrap_or_default()
        )
    }

    /// Whether one of its containers has this name or runs this program.
    pub(super) fn runs(&self, program: &str) -> bool {
        self.facts("").containers.iter().any(|container| {
            let first = container.command.iter().chain(&container.args).next();
            container.name == program || first.is_some_and(|word| base_name(word) == program)
        })
    }

    /// What a target is made from. kubelet puts the node's name behind the pod's.
    pub(super) fn facts(&self, node: &str) -> PodFacts {
        let spec = self.value.get("spec").unwrap_or(&Value::Null);
        let name = self
            .value
            .get("metadata")
            .and_then(|metadata| text_of(metadata, "name"));
        PodFacts {
            node: node.to_owned(),
            pod: format!("{}-{node}", name.unwrap_or_default()),
            containers: items(spec, "containers").map(container).collect(),
            host_volumes: items(spec, "volumes").filter_map(host_volume).collect(),
        }
    }
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
        .and_then(Value::as_sequence)
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
