use std::os::unix::fs::PermissionsExt;

use super::*;

/// A plugin that is this shell script.
fn plugin(script: &str) -> Plugin {
    Plugin {
        user: "jane".into(),
        command: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("GIVEN".into(), "value".into())],
        api_version: VERSIONS[0].into(),
        interactive: Interactive::Never,
        install_hint: None,
        cluster: None,
        policy: Policy::AllowAll,
    }
}

/// A plugin that prints this status.
fn printing(status: &str) -> Plugin {
    plugin(&format!(
        r#"printf %s '{{"kind": "ExecCredential", "apiVersion": "{}", "status": {status}}}'"#,
        VERSIONS[0]
    ))
}

async fn failure(plugin: &Plugin) -> LoginFailure {
    plugin.run().await.err().unwrap()
}

#[tokio::test]
async fn a_token_and_its_end_are_read() {
    let status = r#"{"token": "abc", "expirationTimestamp": "2026-11-21T15:00:00Z"}"#;
    let login = printing(status).run().await.unwrap();
    assert_eq!(login.token.unwrap(), "Bearer abc");
    assert_eq!(login.expires, Some("2026-11-21T15:00:00Z".parse().unwrap()));
    assert!(login.identity.is_none());
    // Plugins may print YAML.
    let yaml = plugin(
        "echo 'kind: ExecCredential'; echo 'apiVersion: client.authentication.k8s.io/v1'; echo 'status: {token: abc}'",
    );
    assert!(yaml.run().await.unwrap().expires.is_none());
}

#[tokio::test]
async fn a_plugin_is_told_what_client_go_tells_it() {
    let mut plugin = plugin(&format!(
        r#"test "$GIVEN" = value || exit 7
           printf '{{"kind": "ExecCredential", "apiVersion": "{}", "status": {{"token": "%s"}}}}' "$(printf '%s' "$KUBERNETES_EXEC_INFO" | tr -d '"')""#,
        VERSIONS[0]
    ));
    plugin.cluster = Some(ExecAuthCluster {
        server: Some("https://s".into()),
        ..ExecAuthCluster::default()
    });
    let told = plugin.run().await.unwrap().token.unwrap();
    let told = told.to_str().unwrap();
    for part in [
        "kind:ExecCredential",
        "interactive:false",
        "server:https://s",
        "apiVersion:client.authentication.k8s.io/v1",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn a_plugin_that_is_not_installed_is_named_with_what_installs_it() {
    let absent = Plugin {
        command: "no-such-login".into(),
        install_hint: Some("get it:\n  brew install \u{1b}[1mno-such-login\n".into()),
        ..plugin("")
    };
    let failure = failure(&absent).await;
    let expected = "the login plugin `no-such-login` of the user `jane` is not installed: no folder in PATH has it";
    assert_eq!(failure.message, expected);
    assert_eq!(
        failure.hints,
        ["get it:", "brew install \u{fffd}[1mno-such-login"]
    );
    let error = Error::from(failure);
    assert_eq!(error.kind.exit_code(), 1);
    assert_eq!(error.hints.len(), 2);
}

#[tokio::test]
async fn a_plugin_that_may_not_be_executed_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let closed = Plugin {
        command: file.path().to_str().unwrap().into(),
        ..plugin("")
    };
    let failure = failure(&closed).await;
    assert!(
        failure.message.contains("cannot be run: Permission denied"),
        "{failure}"
    );
}

#[tokio::test]
async fn what_a_plugin_does_wrong_is_said() {
    for (script, what) in [
        ("exit 3", "failed with exit code 3"),
        ("kill -9 $$", "was ended: signal: 9"),
        (
            "echo nonsense",
            "printed something other than an ExecCredential",
        ),
        ("", "printed"),
        ("echo '{}'", "instead of an \"ExecCredential\""),
        ("head -c 2000000 /dev/zero", "printed more than"),
        (
            "echo '{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1beta1\"}'",
            "of version \"client.authentication.k8s.io/v1beta1\" instead",
        ),
    ] {
        let failure = failure(&plugin(script)).await;
        assert!(failure.message.contains(what), "{script}: {failure}");
        assert!(
            failure
                .message
                .starts_with("the login plugin `sh` of the user `jane`"),
            "{failure}"
        );
    }
    for (status, what) in [
        ("null", "printed no status"),
        ("{}", "printed neither a token nor a client certificate"),
        (r#"{"clientCertificateData": "x"}"#, "not both"),
        (
            r#"{"token": "a\nb"}"#,
            "printed a token that has a line break",
        ),
        (
            r#"{"token": "a", "expirationTimestamp": "tomorrow"}"#,
            "\"tomorrow\" as the time",
        ),
    ] {
        let failure = failure(&printing(status)).await;
        assert!(failure.message.contains(what), "{status}: {failure}");
    }
}

#[test]
fn a_plugin_that_has_to_ask_needs_a_terminal() {
    for (mode, terminal, expected) in [
        (Interactive::Never, true, Some(false)),
        (Interactive::IfAvailable, true, Some(true)),
        (Interactive::IfAvailable, false, Some(false)),
        (Interactive::Always, true, Some(true)),
        (Interactive::Always, false, None),
    ] {
        let plugin = Plugin {
            interactive: mode,
            ..plugin("")
        };
        assert_eq!(
            plugin.may_ask(terminal).ok(),
            expected,
            "{mode:?} {terminal}"
        );
    }
}

#[tokio::test]
async fn what_kubectls_settings_forbid_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("ran");
    for policy in [Policy::DenyAll, Policy::Allowlist(vec!["aws".into()])] {
        let forbidden = Plugin {
            policy,
            ..plugin(&format!("touch {}", trace.display()))
        };
        let failure = failure(&forbidden).await;
        assert!(failure.message.contains("is not allowed"), "{failure}");
    }
    assert!(!trace.exists());
}

#[test]
fn versions_and_modes_are_those_that_kubectl_takes() {
    let old = "client.authentication.k8s.io/v1alpha1";
    let what = check_version(old).unwrap_err();
    assert!(what.contains("has not taken since 1.24"), "{what}");
    assert!(check_version("v1").is_err());
    assert!(
        VERSIONS
            .iter()
            .all(|version| check_version(version).is_ok())
    );
    assert_eq!(
        Interactive::parse(None, VERSIONS[1]),
        Ok(Interactive::IfAvailable)
    );
    assert!(Interactive::parse(None, VERSIONS[0]).is_err());
    assert!(Interactive::parse(Some("never"), VERSIONS[0]).is_err());
}
