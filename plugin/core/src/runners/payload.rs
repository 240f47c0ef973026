//! The carried program in the cluster: immutable ConfigMaps, one set for each upload.
//!
//! What a ConfigMap holds is run as root on the control-plane nodes, so a right to create ConfigMaps must not become a
//! right to choose it. Two things see to that: each set has a random part in its names, so that nobody can be there
//! first; and before each use all parts are compared with what the plugin carries, byte for byte ([`compare`]), and must
//! be immutable. Who may delete *and* create in the namespace can still swap a part between the comparison and the
//! start of a pod.

mod compare;
mod remembered;

use etcd_operations::advice;
use etcd_operations::advice::{Choice, Task};
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
use crate::connection::ClusterIdentity;
use crate::outcome::{RunError, RunErrorKind};
use crate::user_cache::UserCache;
pub(crate) use compare::Deviation;
pub(crate) use compare::{check, warning};
use remembered::Remembered;

/// Label of every part, with the value [`COMPONENT`].
const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
const COMPONENT: &str = "program";
/// Label of every part: the first [`DIGITS`] of its program's digest.
const DIGEST_LABEL: &str = "kubectl-etcd/program";
/// The digits of the digest that stand in names and labels: enough to tell versions apart.
const DIGITS: usize = 12;
/// How many of the oldest copies that were never compared are compared in one search, and how many of the newest: each is some
/// MB to read, and who may create ConfigMaps may create any number of them. Nobody hides the right copy by being there before
/// it, because then it is among the newest; nor by coming after it, because then it is among the oldest.
const COMPARED_AT_EACH_END: usize = 4;

/// Parts of carried programs: their names, and when they were created, by the apiserver's clock.
pub(crate) type Parts = BTreeMap<String, Option<Timestamp>>;

/// Where the program is looked for and uploaded to.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub client: &'a Client,
    pub cluster: &'a ClusterIdentity,
    pub namespace: &'a str,
    /// Which parts were compared before.
    pub compared: &'a UserCache,
}

/// The user's own note of which parts were compared before.
pub(crate) fn compared() -> UserCache {
    UserCache::new("programs")
}

impl Place<'_> {
    fn api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

/// What was found of the carried program in a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// A whole copy of it that was compared.
    pub program: Option<CarriedProgram>,
    /// Parts that pass themselves off as it.
    pub deviations: Vec<Deviation>,
}

/// The parts of all versions in the namespace.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn all_parts(client: &Client, namespace: &str) -> kube::Result<Parts> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let labels = format!("app.kubernetes.io/name={APP},{COMPONENT_LABEL}={COMPONENT}");
    // Not from the cache: what was created a moment ago counts.
    let list = api
        .list_metadata(&ListParams::default().labels(&labels))
        .await?;
    let named = list.items.into_iter().map(|item| item.metadata);
    Ok(named
        .filter_map(|meta| Some((meta.name?, meta.creation_timestamp.map(|time| time.0))))
        .filter(|(name, _)| name.starts_with(&format!("{APP}-program-")))
        .collect())
}

/// Looks for a copy of the carried program, and compares it: first those that were compared before, which costs nothing, then
/// some of the others ([`COMPARED_AT_EACH_END`]), the oldest first.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn find(place: Place<'_>, carried: &Carried) -> kube::Result<Found> {
    let labels = format!(
        "app.kubernetes.io/name={APP},{COMPONENT_LABEL}={COMPONENT},{DIGEST_LABEL}={}",
        digits(carried)
    );
    let params = ListParams::default().labels(&labels).match_any();
    let listed = place.api().list_metadata(&params).await?;
    let listed = listed.items.into_iter().map(|item| item.metadata);
    let mut found = Found::default();
    let remembered = Remembered::load(place, carried.digest);
    let is_known = |set: &Vec<ObjectMeta>| {
        let mut parts = set.iter();
        parts.all(|meta| remembered.has(place.namespace, meta))
    };
    let (known, unknown): (Vec<_>, Vec<_>) = sets(listed, carried).into_iter().partition(is_known);
    for set in known.into_iter().chain(both_ends(unknown)) {
        let wanted: Vec<&ObjectMeta> = set.iter().collect();
        let deviations = compare::compare(place, carried, &wanted).await?;
        if deviations.is_empty() {
            let config_maps = set.into_iter().filter_map(|meta| meta.name).collect();
            found.program = Some(CarriedProgram { config_maps });
            break;
        }
        found.deviations.extend(deviations);
    }
    Ok(found)
}

/// The first and the last of many.
fn both_ends<T>(mut all: Vec<T>) -> Vec<T> {
    if all.len() > 2 * COMPARED_AT_EACH_END {
        all.drain(COMPARED_AT_EACH_END..all.len() - COMPARED_AT_EACH_END);
    }
    all
}

/// The complete sets of parts among these objects, each in the order of its parts, the oldest set first.
fn sets(listed: impl Iterator<Item = ObjectMeta>, carried: &Carried) -> Vec<Vec<ObjectMeta>> {
    let mut by_upload: BTreeMap<String, BTreeMap<usize, ObjectMeta>> = BTreeMap::new();
    for meta in listed {
        let name = meta.name.clone().unwrap_or_default();
        if let Some((upload, number)) = parse_name(&name, carried) {
            by_upload.entry(upload).or_default().insert(number, meta);
        }
    }
    let mut sets: Vec<Vec<ObjectMeta>> = by_upload
        .into_values()
        .filter(|parts| parts.keys().copied().eq(0..carried.parts.len()))
        .map(|parts| parts.into_values().collect())
        .collect();
    sets.sort_by_cached_key(|set| {
        let created = set.iter().map(|meta| meta.creation_timestamp.as_ref());
        created.map(|time| time.map(|time| time.0)).max()
    });
    sets
}

/// Creates a new copy of the carried program, all parts at once.
///
/// # Errors
/// Why it cannot be created; that what the apiserver stored is not what was sent.
pub(crate) async fn upload(
    place: Place<'_>,
    carried: &Carried,
) -> Result<CarriedProgram, RunError> {
    let upload = new_upload();
    let api = place.api();
    let params = PostParams {
        field_manager: Some(APP.to_owned()),
        ..PostParams::default()
    };
    let parts = config_maps(carried, &upload);
    let creations = parts.iter().map(|part| api.create(&params, part));
    let stored = try_join_all(creations).await.map_err(not_uploaded)?;
    let mut remembered = Remembered::load(place, carried.digest);
    for (stored, sent) in stored.iter().zip(&parts) {
        if let Some(deviation) = compare::deviation(stored, sent) {
            return Err(RunError::new(
                RunErrorKind::AdmissionRefused,
                format!("the apiserver stored another program than was sent: {deviation}"),
            )
            .hint(advice![
                "an admission webhook changes ConfigMaps; exempt the namespace from it, or use ",
                Choice::Image
            ]));
        }
        remembered.add(place.namespace, &stored.metadata);
    }
    remembered.save();
    Ok(program_of(carried, &upload))
}

fn not_uploaded(error: kube::Error) -> RunError {
    let error = api_error("uploading the job's program to the cluster", error);
    if error.kind != RunErrorKind::NoRights {
        return error;
    }
    let hint = error.hint.clone().unwrap_or_default();
    error.hint(advice![
        "an operator's first `",
        Task::ShowStatus,
        "` uploads it for everybody; or use ",
        Choice::Image,
        "; or ",
        hint
    ])
}

/// The names that a new copy would have.
pub(crate) fn preview(carried: &Carried) -> CarriedProgram {
    program_of(carried, &new_upload())
}

/// The name of one upload: nobody can know it beforehand.
fn new_upload() -> String {
    // It fails on no system that kubectl runs on once that has booted; a name that is there already is refused anyway.
    let random = getrandom::u64().unwrap_or_default();
    format!("{random:016x}")
}

fn program_of(carried: &Carried, upload: &str) -> CarriedProgram {
    let numbers = 0..carried.parts.len();
    CarriedProgram {
        config_maps: numbers
            .map(|number| name(carried, upload, number))
            .collect(),
    }
}

fn digits(carried: &Carried) -> &str {
    carried.digest.get(..DIGITS).unwrap_or(carried.digest)
}

fn name(carried: &Carried, upload: &str, number: usize) -> String {
    format!("{APP}-program-{}-{upload}-{number}", digits(carried))
}

/// The upload and the number of a part of this program by its name: no other name than the plugin gives is one, such as that of
/// a part `00`, which would stand for the part 0 that is there as well.
fn parse_name(found: &str, carried: &Carried) -> Option<(String, usize)> {
    let rest = found.strip_prefix(&format!("{APP}-program-{}-", digits(carried)))?;
    let (upload, number) = rest.split_once('-')?;
    let number = number.parse().ok()?;
    (name(carried, upload, number) == found).then(|| (upload.to_owned(), number))
}

/// The ConfigMaps of an upload, in order.
fn config_maps(carried: &Carried, upload: &str) -> Vec<ConfigMap> {
    let parts = carried.parts.iter().enumerate();
    parts
        .map(|(number, part)| config_map(carried, upload, number, part))
        .collect()
}

fn config_map(carried: &Carried, upload: &str, number: usize, part: &[u8]) -> ConfigMap {
    let mut data = BTreeMap::from([(part_key(number), ByteString(part.to_vec()))]);
    if number == 0 {
        data.insert(LOADER.to_owned(), ByteString(carried.loader.to_vec()));
    }
    let labels = [
        ("app.kubernetes.io/name", APP),
        ("app.kubernetes.io/managed-by", APP),
        (COMPONENT_LABEL, COMPONENT),
        (DIGEST_LABEL, digits(carried)),
    ];
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name(carried, upload, number)),
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
#[path = "payload/tests.rs"]
mod tests;
