//! Bringing the carried program into the cluster: immutable ConfigMaps named by its digest, put there once per version.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

use super::podspec::APP;
use super::program::{CarriedProgram, LOADER, part_key};
use super::trouble::api_error;
use crate::carried::Carried;
use crate::outcome::{RunError, RunErrorKind};

/// Label of every part, with the value [`COMPONENT`].
const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
const COMPONENT: &str = "program";
/// The digits of the digest that stand in names: enough to tell versions apart; the loader checks the whole digest.
const DIGITS: usize = 20;

/// Carried parts in a cluster: their names, and when they were brought, by the apiserver's clock.
pub(crate) type Parts = BTreeMap<String, Option<Timestamp>>;

/// The carried parts of all versions that are in the namespace, from the apiserver's cache.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn present(client: &Client, namespace: &str) -> kube::Result<Parts> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let labels = format!("app.kubernetes.io/name={APP},{COMPONENT_LABEL}={COMPONENT}");
    let list = api
        .list_metadata(&ListParams::default().labels(&labels).match_any())
        .await?;
    Ok(list
        .items
        .into_iter()
        .map(|item| item.metadata)
        .filter_map(|meta| Some((meta.name?, meta.creation_timestamp.map(|time| time.0))))
        .collect())
}

/// What the plugin carries, by the names it has in a cluster.
pub(crate) fn program(carried: &Carried) -> CarriedProgram {
    let names = (0..carried.parts.len()).map(|number| config_map_name(carried.digest, number));
    CarriedProgram {
        digest: carried.digest.to_owned(),
        size_bytes: carried.program_size,
        config_maps: names.collect(),
    }
}

/// Whether this name is one of a carried part.
pub(crate) fn is_part_name(name: &str) -> bool {
    name.starts_with(&format!("{APP}-program-"))
}

/// Creates the parts that are missing, all at once. Returns whether any was.
///
/// # Errors
/// Why they cannot be created.
pub(crate) async fn bring(
    client: &Client,
    namespace: &str,
    carried: &Carried,
    present: &Parts,
) -> Result<bool, RunError> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let missing: Vec<_> = carried
        .parts
        .iter()
        .enumerate()
        .filter(|(number, _)| !present.contains_key(&config_map_name(carried.digest, *number)))
        .map(|(number, part)| config_map(carried, number, part))
        .collect();
    let params = PostParams::default();
    try_join_all(missing.iter().map(|part| create(&api, &params, part))).await?;
    Ok(!missing.is_empty())
}

async fn create(
    api: &Api<ConfigMap>,
    params: &PostParams,
    part: &ConfigMap,
) -> Result<(), RunError> {
    match api.create(params, part).await {
        Ok(_) => Ok(()),
        // Somebody else's first run was faster.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => {
            let error = api_error("bringing the job's program into the cluster", &error);
            if error.kind != RunErrorKind::NoRights {
                return Err(error);
            }
            let hint = error.hint.clone().unwrap_or_default();
            Err(error.hint(format!(
                "an operator's first `kubectl etcd status` brings it in for everybody; or use --image; or {hint}"
            )))
        }
    }
}

fn config_map_name(digest: &str, number: usize) -> String {
    let digits = digest.get(..DIGITS).unwrap_or(digest);
    format!("{APP}-program-{digits}-{number}")
}

fn config_map(carried: &Carried, number: usize, part: &[u8]) -> ConfigMap {
    let mut data = BTreeMap::from([(part_key(number), ByteString(part.to_vec()))]);
    if number == 0 {
        data.insert(LOADER.to_owned(), ByteString(carried.loader.to_vec()));
    }
    let labels = [
        ("app.kubernetes.io/name", APP),
        ("app.kubernetes.io/managed-by", APP),
        (COMPONENT_LABEL, COMPONENT),
    ];
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(config_map_name(carried.digest, number)),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        binary_data: Some(data),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_fits_what_etcd_takes() {
        let carried = crate::carried::carried();
        for (number, part) in carried.parts.iter().enumerate() {
            let config_map = config_map(&carried, number, part);
            let bytes: usize = config_map
                .binary_data
                .unwrap()
                .values()
                .map(|value| value.0.len())
                .sum();
            assert!(bytes <= 1 << 20, "part {number} has {bytes} bytes");
            assert!(is_part_name(config_map.metadata.name.as_deref().unwrap()));
        }
        assert_eq!(program(&carried).config_maps.len(), carried.parts.len());
    }
}
