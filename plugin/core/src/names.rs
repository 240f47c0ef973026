//! Names that are wanted without opening a session: of the cluster, for a file; of the nodes, for completion.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;

use crate::connection::ConnectionOptions;
use crate::connection::{Connection, context_names, current_context};
use crate::discovery::discover;
use crate::error::Error;

/// What people call this cluster: the cluster or context they named, else the current context. None without a kubeconfig.
pub fn of_cluster(connection: &ConnectionOptions) -> Option<String> {
    if let Some(name) = connection.cluster.as_ref().or(connection.context.as_ref()) {
        return Some(name.clone());
    }
    current_context(connection)
}

/// The contexts of the kubeconfig.
pub fn of_contexts(connection: &ConnectionOptions) -> Vec<String> {
    context_names(connection)
}

/// The namespaces, as the apiserver lists them from its cache.
///
/// # Errors
/// When the kubeconfig cannot be used or the apiserver does not tell.
pub async fn of_namespaces(connection: &ConnectionOptions) -> Result<Vec<String>, Error> {
    let connection = Connection::prepare(connection).await?;
    let all = Api::<Namespace>::all(connection.control.clone());
    let found = all
        .list_metadata(&ListParams::default().match_any())
        .await
        .map_err(|cause| Error::failed("the namespaces cannot be listed").caused_by(cause))?;
    let names = found.items.into_iter().map(|one| one.metadata.name);
    Ok(names.flatten().collect())
}

/// The control-plane nodes, as the apiserver lists them.
///
/// # Errors
/// When the kubeconfig cannot be used or the apiserver does not tell.
pub async fn of_nodes(connection: &ConnectionOptions) -> Result<Vec<String>, Error> {
    let connection = Connection::prepare(connection).await?;
    let found = discover(&connection.control)
        .await
        .map_err(|cause| Error::failed("the nodes cannot be listed").caused_by(cause))?;
    Ok(found.nodes.into_iter().map(|node| node.name).collect())
}
