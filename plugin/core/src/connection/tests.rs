use std::io::Write;

use super::*;
use crate::connection::verdict::Verdict;
use crate::fake;

/// The flags for a kubeconfig of a file of its own.
fn with(cluster: &str, user: &str) -> (tempfile::NamedTempFile, ConnectionOptions) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]"
    )
    .unwrap();
    let args = ConnectionOptions {
        kubeconfig: Some(file.path().to_owned()),
        namespace: None,
        ..ConnectionOptions::default()
    };
    (file, args)
}

async fn verdict(args: &ConnectionOptions) -> Verdict {
    let connection = Connection::prepare(args).await.unwrap();
    let asked = connection.control.apiserver_version().await;
    judge(Some(&asked.err().unwrap()), &Readiness::Unknown)
}

#[tokio::test]
async fn a_plugin_that_is_not_installed_is_named_and_not_the_apiserver() {
    let exec = "exec: {command: no-such-login, apiVersion: client.authentication.k8s.io/v1beta1, installHint: get it}";
    let (_file, args) = with("server: 'https://127.0.0.1:1'", exec);
    let error = Connection::prepare(&args).await.err().unwrap();
    let said = error.chain();
    assert!(
        said.contains("the login plugin `no-such-login` of the user `u` is not installed"),
        "{said}"
    );
    assert!(!said.contains("apiserver"), "{said}");
    assert_eq!(error.hints, ["get it"]);
}

#[tokio::test]
async fn a_plugin_that_fails_later_is_named_and_not_the_apiserver() {
    // The first token has expired; a file that is there the second time keeps the plugin from giving another one.
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("ran");
    let script = format!(
        "test -e {0} && exit 9; touch {0}; echo '{{\\\"kind\\\": \\\"ExecCredential\\\", \\\"apiVersion\\\": \
         \\\"client.authentication.k8s.io/v1\\\", \\\"status\\\": {{\\\"token\\\": \\\"a\\\", \
         \\\"expirationTimestamp\\\": \\\"2020-01-01T00:00:00Z\\\"}}}}'",
        trace.display()
    );
    let exec = format!(
        "exec: {{command: sh, args: [-c, \"{script}\"], apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}"
    );
    let (_file, args) = with("server: 'https://127.0.0.1:1'", &exec);
    let verdict = verdict(&args).await;
    assert!(!verdict.means_no_apiserver());
    let error = verdict.into_error("https://127.0.0.1:1");
    assert_eq!(
        error.message,
        "the login plugin `sh` of the user `u` failed with exit code 9"
    );
    assert_eq!(error.kind.exit_code(), 1);
}

#[tokio::test]
async fn a_proxy_that_is_down_is_named() {
    for scheme in ["http", "socks5"] {
        let cluster = format!(
            "server: 'https://127.0.0.2:6443', proxy-url: '{scheme}://u:secret@127.0.0.1:1'"
        );
        let (_file, args) = with(&cluster, "token: t");
        let verdict = verdict(&args).await;
        assert!(verdict.means_no_apiserver());
        let error = verdict.into_error("https://127.0.0.2:6443");
        let expected = format!(
            "the proxy {scheme}://127.0.0.1:1 (proxy-url of the cluster `k`) does not connect to the apiserver"
        );
        assert!(error.message.starts_with(&expected), "{error}");
        assert!(!error.message.contains("secret"), "{error}");
        assert_eq!(error.kind.exit_code(), 6);
        assert!(error.hints[0].written().contains("proxy"), "{error:?}");
    }
}

#[tokio::test]
async fn an_apiserver_that_is_down_is_not_blamed_on_a_proxy() {
    let (_file, args) = with("server: 'https://127.0.0.1:1'", "token: t");
    let verdict = verdict(&args).await;
    assert!(
        matches!(verdict, Verdict::Unreachable { .. }),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn a_kubeconfig_that_kube_cannot_use_is_said_to_be_at_fault() {
    let (_file, args) = with(
        "server: 'https://127.0.0.1:1'",
        "auth-provider: {name: oidc}",
    );
    let error = Connection::prepare(&args).await.err().unwrap();
    assert!(error.message.contains("cannot be used: "), "{error}");
    assert!(error.chain().contains("id-token"), "{}", error.chain());
}

#[tokio::test]
async fn requests_go_to_a_server_through_all_layers() {
    let server = fake::serve(|_| {
        fake::Reply::Json(200, r#"{"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}"#.into())
    })
    .await;
    let (_file, args) = with(&format!("server: 'http://{server}'"), "token: t");
    let connection = Connection::prepare(&args).await.unwrap();
    let version = connection.stream.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, "v1.36.3");
}
