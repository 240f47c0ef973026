//! Tests of the choice of the namespace.

use serde_json::json;

use super::*;
use crate::fake::{self, Reply};

/// What the apiserver answers about the namespace of our own, the ConfigMaps in it, and the right to make it.
async fn located(
    there: u16,
    config_maps: u16,
    may_create: bool,
    named: bool,
) -> Result<Located, Error> {
    let server = fake::serve(move |path| {
        let status = |code| fake::refused(code, "no");
        if path.contains("selfsubjectaccessreviews") {
            let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
                "metadata": {}, "spec": {}, "status": {"allowed": may_create}});
            return Reply::Json(201, review.to_string());
        }
        let code = match path {
            _ if path.contains("/namespaces/kube-system/") => 200,
            _ if path.contains("/configmaps") => config_maps,
            _ => there,
        };
        if code != 200 {
            return status(code);
        }
        let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"name": "kubectl-etcd"}, "items": []});
        Reply::Json(200, object.to_string())
    })
    .await;
    let flags = crate::connection::ConnectionOptions {
        namespace: named.then(|| "mine".to_owned()),
        ..fake::flags(server)
    };
    let connection = Connection::prepare(&flags).await.unwrap();
    locate(&connection, true).await
}

#[tokio::test]
async fn one_of_its_own_is_used_where_it_is_there_or_may_be_made() {
    let there = located(200, 200, false, false).await.unwrap();
    assert_eq!((&*there.name, there.missing), ("kubectl-etcd", false));
    assert!(there.programs.is_some());
    let new = located(404, 200, true, false).await.unwrap();
    assert_eq!((&*new.name, new.missing), ("kubectl-etcd", true));
    let neither = located(404, 200, false, false).await.unwrap();
    assert_eq!((&*neither.name, neither.missing), ("kube-system", false));
}

#[tokio::test]
async fn whoever_may_only_look_into_it_uses_it() {
    let viewer = located(403, 200, false, false).await.unwrap();
    assert_eq!((&*viewer.name, viewer.missing), ("kubectl-etcd", false));
    assert_eq!(viewer.instead, None);
    let stranger = located(403, 403, false, false).await.unwrap();
    assert_eq!(stranger.name, "kube-system");
}

#[tokio::test]
async fn an_error_moves_the_work_nowhere_and_a_move_is_said() {
    for code in [401, 500] {
        let error = located(code, code, true, false).await.unwrap_err();
        assert!(
            error.message.contains("looking for kubectl-etcd"),
            "{error}"
        );
        assert!(
            error
                .hints
                .iter()
                .any(|hint| hint.written().contains("-n kube-system"))
        );
    }
    for (there, why) in [(404, "may not be made"), (403, "may not be looked at")] {
        let moved = located(there, 403, false, false).await.unwrap();
        let said = moved.instead.unwrap();
        assert!(said.contains("kube-system") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn one_that_was_named_is_never_another_and_must_exist() {
    assert_eq!(located(200, 403, false, true).await.unwrap().name, "mine");
    assert_eq!(located(403, 403, false, true).await.unwrap().name, "mine");
    let error = located(404, 200, true, true).await.unwrap_err();
    assert_eq!(error.kind.exit_code(), 2);
    assert_eq!(error.message, "there is no namespace mine");
}

#[test]
fn it_is_what_the_manifest_has() {
    let manifest = include_str!("../../../../manifests/namespace.yaml");
    let manifest: Namespace = serde_saphyr::from_str(manifest).unwrap();
    assert_eq!(namespace("kubectl-etcd"), manifest);
}
