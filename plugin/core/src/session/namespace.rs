//! Where Jobs and the carried program live: a namespace of their own, made when it is missing.

use std::collections::BTreeMap;

use etcd_operations::shell::CommandLine;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{GetParams, PostParams};
use kube::{Api, Client};

use crate::carried::carried;
use crate::connection::Connection;
use crate::error::Error;
use crate::outcome::{RunError, run_error};
use crate::runners::payload;
use crate::runners::podspec::APP;
use crate::runners::trouble::api_error;

/// The one that is used where that of our own is not there and may not be made.
pub(crate) const SYSTEM: &str = "kube-system";

/// What was found of the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) name: String,
    /// Whether it has to be made before anything can be created in it.
    pub(super) missing: bool,
    /// What was found of the carried program in it; none: that could not be seen.
    pub(super) programs: Option<payload::Found>,
    /// Why it is not the one that was to be used.
    pub(super) instead: Option<String>,
}

/// Finds the namespace and, in the same time, the carried program in it.
///
/// # Errors
/// When the one that was named does not exist; when it was not told whether that of our own does. Only where it may not be
/// used, [`SYSTEM`] is used: an apiserver that fails for a moment must not move the work.
pub(super) async fn locate(connection: &Connection, carries: bool) -> Result<Located, Error> {
    let (client, name) = (&connection.stream, connection.namespace.as_str());
    let (there, programs) = futures::join!(get(client, name), programs(connection, name, carries));
    let located = |missing, programs| Located {
        name: name.to_owned(),
        missing,
        programs,
        instead: None,
    };
    let why = match there {
        Ok(true) => return Ok(located(false, programs)),
        // The namespace itself may not be read, and what is in it may.
        Err(_) if programs.is_some() => return Ok(located(false, programs)),
        Ok(false) if connection.namespace_named => {
            return Err(
                Error::usage(format!("there is no namespace {name}")).hint(format!(
                    "{}, or leave -n out",
                    CommandLine::new("kubectl create namespace").operand(name)
                )),
            );
        }
        Ok(false) if may_create(client).await => {
            return Ok(located(true, Some(payload::Found::default())));
        }
        Err(_) if connection.namespace_named => return Ok(located(false, programs)),
        Ok(false) => "is not there and may not be made",
        Err(kube::Error::Api(status)) if status.is_forbidden() => "may not be looked at",
        Err(error) => {
            let error = api_error(&format!("looking for {name}"), error);
            let error = run_error("namespace", &error);
            return Err(error.hint(format!("try again, or name one: -n {SYSTEM}")));
        }
    };
    Ok(Located {
        name: SYSTEM.to_owned(),
        missing: false,
        programs: self::programs(connection, SYSTEM, carries).await,
        instead: Some(format!("the namespace {SYSTEM} is used: {name} {why}")),
    })
}

async fn get(client: &Client, name: &str) -> kube::Result<bool> {
    let api = Api::<Namespace>::all(client.clone());
    match api.get_metadata_with(name, &GetParams::any()).await {
        // Nothing can be created in one that is being deleted.
        Ok(found) => Ok(found.metadata.deletion_timestamp.is_none()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn programs(
    connection: &Connection,
    namespace: &str,
    carries: bool,
) -> Option<payload::Found> {
    if !carries {
        return None;
    }
    let compared = payload::compared();
    let place = payload::Place {
        client: &connection.stream,
        cluster: &connection.cluster,
        namespace,
        compared: &compared,
    };
    payload::find(place, &carried()).await.ok()
}

/// Whether the user may make namespaces. Asking creates nothing.
async fn may_create(client: &Client) -> bool {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some("create".into()),
                resource: Some("namespaces".into()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api = Api::<SelfSubjectAccessReview>::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    answer.is_ok_and(|review| review.status.is_some_and(|status| status.allowed))
}

/// Makes the namespace as `manifests/namespace.yaml` has it, and the service account that every pod wants and that a
/// controller would make some time later.
///
/// # Errors
/// Why the apiserver does not make it.
pub(super) async fn create(client: &Client, name: &str) -> Result<(), RunError> {
    let failed = |error: kube::Error| {
        api_error("making the namespace for the Jobs", error)
            .hint(format!("use another one: -n {SYSTEM}"))
    };
    let params = PostParams {
        field_manager: Some(APP.to_owned()),
        ..PostParams::default()
    };
    let namespaces = Api::<Namespace>::all(client.clone());
    made(namespaces.create(&params, &namespace(name)).await).map_err(failed)?;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), name);
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some("default".into()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    made(accounts.create(&params, &account).await).map_err(failed)
}

/// Somebody else's being faster is fine.
fn made<T>(created: kube::Result<T>) -> kube::Result<()> {
    match created {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The namespace: pod security admission has to let pods in that see the node's files.
fn namespace(name: &str) -> Namespace {
    let security = ["enforce", "audit", "warn"].map(|mode| {
        let key = format!("pod-security.kubernetes.io/{mode}");
        (key, "privileged".to_owned())
    });
    let labels: BTreeMap<String, String> = security
        .into_iter()
        .chain([("app.kubernetes.io/name".to_owned(), APP.to_owned())])
        .collect();
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
mod tests;
