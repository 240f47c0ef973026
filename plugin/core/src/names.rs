//! Names that are wanted without opening a session: of the cluster, for a file; of the nodes, for completion.

use crate::connection::ConnectionOptions;
use crate::connection::{Connection, current_context};
use crate::discovery::discover;
use crate::error::Error;

/// What people call this cluster: the cluster or context they named, else the current context. None without a kubeconfig.
pub fn of_cluster(connection: &ConnectionOptions) -> Option<String> {
    if let Some(name) = connection.cluster.as_ref().or(connection.context.as_ref()) {
        return Some(name.clone());
    }
    current_context(connection)
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
