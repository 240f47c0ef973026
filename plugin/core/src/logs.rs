//! What the control plane's containers logged, through the apiserver and the kubelets.

use etcd_operations::control_plane::ControlPlane;
use etcd_operations::failure::{Answer, Failure};
use etcd_operations::logs::{ComponentLog, LogQuery, sent};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;

use crate::connection::Connection;
use crate::discovery::{ComponentContainer, component_containers};
use crate::error::Error;
use crate::limits;
use crate::outcome::run_error;
use crate::runners::trouble::api_error;

/// The log of a component on a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeLog {
    /// The node.
    pub node: String,
    /// Its lines.
    pub log: ComponentLog,
}

/// The logs of these nodes, all read at once. One that cannot be read says why.
///
/// # Errors
/// When the pods cannot be listed.
pub(crate) async fn of_nodes(
    connection: &Connection,
    nodes: &[&str],
    query: &LogQuery,
) -> Result<Vec<NodeLog>, Error> {
    let found = component_containers(&connection.control).await;
    let found = found
        .map_err(|error| run_error("the cluster", &api_error("listing the static pods", error)))?;
    let wanted = |node: &str, component: ControlPlane| {
        let mut all = found.iter();
        all.find(|one| one.node == node && one.component == component)
    };
    let pods = Api::<Pod>::namespaced(connection.control.clone(), "kube-system");
    let each = nodes.iter().flat_map(|node| {
        let components = query.components.iter();
        components.map(|component| (*node, *component, wanted(node, *component)))
    });
    let read = each.map(async |(node, component, container)| NodeLog {
        node: node.to_owned(),
        log: ComponentLog {
            component,
            lines: match container {
                Some(container) => read(&pods, container, query).await,
                None => Answer::Failed(Failure::missing("the API has no static pod of it")),
            },
        },
    });
    Ok(join_all(read).await)
}

async fn read(
    pods: &Api<Pod>,
    container: &ComponentContainer,
    query: &LogQuery,
) -> Answer<Vec<etcd_operations::logs::LogLine>> {
    let params = LogParams {
        container: Some(container.container.clone()),
        previous: query.previous,
        timestamps: true,
        tail_lines: Some(match query.all {
            true => i64::try_from(query.tail).unwrap_or(i64::MAX),
            false => limits::POD_LOG_LINES,
        }),
        ..LogParams::default()
    };
    let log = pods.logs(&container.pod, &params);
    match tokio::time::timeout(limits::POD_LOG, log).await {
        Ok(Ok(text)) => Answer::Ok(sent(&text, query)),
        Ok(Err(error)) => {
            let error = api_error("reading the log", error);
            Answer::Failed(Failure::unreachable(error.message))
        }
        Err(_) => {
            let seconds = limits::POD_LOG.as_secs();
            let message = format!("the node's kubelet sent no log within {seconds} s");
            Answer::Failed(Failure::unreachable(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::{self, Reply, flags};

    fn pod(node: &str, component: &str) -> serde_json::Value {
        json!({
            "metadata": {
                "name": format!("{component}-{node}"),
                "labels": {"component": component},
                "annotations": {"kubernetes.io/config.mirror": "x"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": "1"}],
            },
            "spec": {"nodeName": node, "containers": [{"name": component}]},
        })
    }

    #[tokio::test]
    async fn each_component_of_each_node_is_read_and_one_that_fails_costs_no_other() {
        let address = fake::serve(|path| match path {
            path if path.contains("/etcd-m1/log") => Reply::Json(
                200,
                "2026-11-21T10:00:00Z {\"level\":\"warn\",\"msg\":\"slow fdatasync\"}\n".into(),
            ),
            path if path.contains("/log") => fake::refused(500, "no route to host"),
            path if path.contains("/pods?") => Reply::Json(
                200,
                json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
                    pod("m1", "etcd"), pod("m2", "etcd"),
                ]})
                .to_string(),
            ),
            _ => fake::refused(404, "not here"),
        })
        .await;
        let connection = Connection::prepare(&flags(address)).await.unwrap();
        let query = LogQuery {
            components: vec![ControlPlane::Etcd],
            previous: false,
            all: false,
            tail: 5,
            since: None,
        };
        let logs = of_nodes(&connection, &["m1", "m2", "m3"], &query)
            .await
            .unwrap();
        let nodes: Vec<&str> = logs.iter().map(|log| log.node.as_str()).collect();
        assert_eq!(nodes, ["m1", "m2", "m3"]);
        assert_eq!(logs[0].log.lines.ok().unwrap()[0].text, "slow fdatasync");
        let why = |at: usize| logs[at].log.lines.failure().unwrap().message.clone();
        assert!(why(1).contains("no route to host"), "{}", why(1));
        assert!(why(2).contains("no static pod"), "{}", why(2));
    }
}
