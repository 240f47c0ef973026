//! Comparing parts in the cluster with what the plugin carries.

use std::fmt;

use etcd_operations::shell::CommandLine;
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::remembered::Remembered;
use super::{Place, config_maps, parse_name};
use crate::carried::Carried;
use crate::runners::program::CarriedProgram;

/// A part that is not what the plugin carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The ConfigMap.
    pub name: String,
    why: Why,
    /// Which programs wrote it, and when, as its `managedFields` say.
    written_by: Vec<(String, Option<Timestamp>)>,
}

/// What is wrong with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It holds something else.
    Content,
    /// It can be changed at any time.
    NotImmutable,
    /// It is not there.
    Missing,
    /// It is of another version, which this plugin does not carry.
    OtherVersion,
}

impl Deviation {
    fn new(why: Why, meta: &ObjectMeta) -> Self {
        let fields = meta.managed_fields.iter().flatten();
        let written_by = fields.map(|field| {
            let manager = field.manager.clone().unwrap_or_default();
            (manager, field.time.as_ref().map(|time| time.0))
        });
        Self {
            name: meta.name.clone().unwrap_or_default(),
            why,
            written_by: written_by.collect(),
        }
    }

    /// Whether it is known to be something that nobody may run: not merely gone, or another version's.
    pub fn is_foreign(&self) -> bool {
        match self.why {
            Why::Content | Why::NotImmutable => true,
            Why::Missing | Why::OtherVersion => false,
        }
    }
}

/// What is said of parts that nobody may run, and what removes them; none: there are none.
pub(crate) fn warning(namespace: &str, deviations: &[Deviation]) -> Option<String> {
    let foreign: Vec<&Deviation> = deviations.iter().filter(|one| one.is_foreign()).collect();
    let first = foreign.first()?;
    let others = match foreign.len() - 1 {
        0 => String::new(),
        1 => "; one more ConfigMap differs".to_owned(),
        more => format!("; {more} more ConfigMaps differ"),
    };
    let remove = CommandLine::new("kubectl delete configmap").option("-n", namespace);
    let remove = foreign
        .iter()
        .fold(remove, |line, one| line.operand(&one.name));
    Some(format!(
        "{first}{others}. What differs is not used. Somebody tried to run another program on the control-plane nodes, or \
         changed this one; the apiserver's audit log says who. To remove it: {remove}"
    ))
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.why {
            Why::Content => write!(f, "configmap/{name} does not hold what this plugin carries")?,
            Why::NotImmutable => write!(f, "configmap/{name} is not immutable")?,
            Why::Missing => write!(f, "configmap/{name} does not exist")?,
            Why::OtherVersion => {
                write!(f, "configmap/{name} is of another version than this plugin")?;
            }
        }
        for (number, (manager, time)) in self.written_by.iter().enumerate() {
            f.write_str(if number == 0 { " (written by " } else { ", " })?;
            f.write_str(manager)?;
            if let Some(time) = time {
                write!(f, " at {time:.0}")?;
            }
        }
        if !self.written_by.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// How a part differs from what it must be.
pub(super) fn deviation(found: &ConfigMap, wanted: &ConfigMap) -> Option<Deviation> {
    let why = if found.binary_data != wanted.binary_data
        || found.data.as_ref().is_some_and(|data| !data.is_empty())
    {
        Why::Content
    } else if found.immutable != Some(true) {
        Why::NotImmutable
    } else {
        return None;
    };
    Some(Deviation::new(why, &found.metadata))
}

/// Compares the parts of one upload. A part that was compared before and has the same uid and version is the same: nobody
/// can change it, and one that was deleted and created again has another uid.
pub(super) async fn compare(
    place: Place<'_>,
    carried: &Carried,
    parts: &[&ObjectMeta],
) -> kube::Result<Vec<Deviation>> {
    let mut remembered = Remembered::load(place, carried.digest);
    let names: Vec<&str> = parts
        .iter()
        .filter_map(|meta| meta.name.as_deref())
        .collect();
    let Some((upload, _)) = names.first().and_then(|name| parse_name(name, carried)) else {
        return Ok(Vec::new());
    };
    let wanted = config_maps(carried, &upload);
    let unknown = parts
        .iter()
        .zip(&wanted)
        .filter(|(meta, _)| !remembered.has(place.namespace, meta));
    let api = place.api();
    let compared = unknown.map(|(meta, wanted)| {
        let api = api.clone();
        async move {
            let name = meta.name.as_deref().unwrap_or_default();
            Ok::<_, kube::Error>(match api.get_opt(name).await? {
                Some(found) => match deviation(&found, wanted) {
                    Some(deviation) => Err(deviation),
                    None => Ok(found.metadata),
                },
                None => Err(Deviation::new(Why::Missing, meta)),
            })
        }
    });
    let mut deviations = Vec::new();
    for result in try_join_all(compared).await? {
        match result {
            Ok(meta) => remembered.add(place.namespace, &meta),
            Err(deviation) => deviations.push(deviation),
        }
    }
    if deviations.is_empty() {
        remembered.save();
    }
    Ok(deviations)
}

/// Compares the ConfigMaps that something else refers to, a CronJob for one.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn check(
    place: Place<'_>,
    carried: &Carried,
    program: &CarriedProgram,
) -> kube::Result<Vec<Deviation>> {
    let named = |name: &String| ObjectMeta {
        name: Some(name.clone()),
        ..ObjectMeta::default()
    };
    let parsed = program
        .config_maps
        .iter()
        .map(|name| parse_name(name, carried));
    let numbers: Option<Vec<(String, usize)>> = parsed.collect();
    let uploads_agree = |parts: &Vec<(String, usize)>| {
        parts.iter().all(|(upload, _)| *upload == parts[0].0)
            && parts
                .iter()
                .map(|(_, number)| *number)
                .eq(0..carried.parts.len())
    };
    if !numbers.as_ref().is_some_and(uploads_agree) {
        let others = program.config_maps.iter();
        return Ok(others
            .map(|name| Deviation::new(Why::OtherVersion, &named(name)))
            .collect());
    }
    let api = place.api();
    let metadata = program.config_maps.iter().map(|name| {
        let api = api.clone();
        async move { api.get_metadata_opt(name).await }
    });
    let metadata = try_join_all(metadata).await?;
    let found: Vec<ObjectMeta> = metadata
        .into_iter()
        .zip(&program.config_maps)
        .map(|(meta, name)| meta.map_or_else(|| named(name), |meta| meta.metadata))
        .collect();
    compare(place, carried, &found.iter().collect::<Vec<_>>()).await
}
