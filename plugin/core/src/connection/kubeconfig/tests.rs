use std::path::Path;

use proptest::prelude::*;

use super::*;

const TWO: &str = "
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c1
  cluster: {server: 'https://10.0.0.1:6443', certificate-authority: /nowhere/ca.crt}
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: elsewhere}
- name: broken
  context: {cluster: nosuch, user: u1}
- name: nobody
  context: {cluster: c1, user: nosuch}
users:
- name: u1
  user: {token: secret}
";

/// A certificate, not checked by anybody.
fn certificate() -> String {
    let signed = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    signed.cert.pem()
}

/// A client certificate and its key.
fn client() -> (String, String) {
    let signed = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    (signed.cert.pem(), signed.signing_key.serialize_pem())
}

fn kubeconfig(text: &str) -> Kubeconfig {
    Kubeconfig::parse(text.as_bytes()).unwrap()
}

/// A kubeconfig with these lines in its cluster and its user.
fn with(cluster: &str, user: &str) -> String {
    format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
    )
}

const SERVER: &str = "server: 'https://10.0.0.1:6443'";

fn loaded(text: &str) -> Result<Loaded, Error> {
    of(
        &kubeconfig(text),
        "FILE".into(),
        &ConnectionOptions::default(),
    )
}

/// What is wrong with a kubeconfig with these lines.
fn wrong(cluster: &str, user: &str) -> String {
    let error = loaded(&with(cluster, user)).err().unwrap();
    assert_eq!(error.kind.exit_code(), 2, "{error:?}");
    error.message
}

fn args() -> ConnectionOptions {
    ConnectionOptions::default()
}

fn refusal(args: &ConnectionOptions) -> Error {
    of(&kubeconfig(TWO), "FILE".into(), args).err().unwrap()
}

#[test]
fn an_unknown_name_names_the_known_ones() {
    let error = refusal(&ConnectionOptions {
        context: Some("prod".into()),
        ..args()
    });
    assert_eq!(error.message, "FILE has no context `prod`");
    assert_eq!(error.hints, ["choose with --context: one, broken, nobody"]);
    assert_eq!(error.kind.exit_code(), 2);
    for (context, message) in [
        ("broken", "FILE has no cluster `nosuch`"),
        ("nobody", "FILE has no user `nosuch`"),
    ] {
        let error = refusal(&ConnectionOptions {
            context: Some(context.into()),
            ..args()
        });
        assert_eq!(error.message, message);
    }
}

#[test]
fn flags_win_over_the_file() {
    let args = ConnectionOptions {
        server: Some("10.0.0.2:6443".into()),
        insecure_skip_tls_verify: true,
        impersonate: Some("jane".into()),
        ..args()
    };
    let loaded = of(&kubeconfig(TWO), "FILE".into(), &args).unwrap();
    let url = loaded.config.cluster_url.to_string();
    assert_eq!(url, "https://10.0.0.2:6443/");
    assert!(loaded.config.accept_invalid_certs);
    assert_eq!(loaded.config.auth_info.impersonate.as_deref(), Some("jane"));
    assert!(matches!(loaded.credentials, Credentials::Token(_)));
}

#[test]
fn a_server_of_the_flags_has_a_name_of_its_own() {
    let text = with(&format!("{SERVER}, tls-server-name: inside"), "token: t");
    let name = |args: &ConnectionOptions| {
        let loaded = of(&kubeconfig(&text), "FILE".into(), args).unwrap();
        loaded.config.tls_server_name
    };
    assert_eq!(name(&args()).as_deref(), Some("inside"));
    let elsewhere = ConnectionOptions {
        server: Some("h:1".into()),
        ..args()
    };
    assert_eq!(name(&elsewhere), None);
}

#[test]
fn a_certificate_that_is_not_there_is_said_with_its_path() {
    let error = refusal(&args());
    assert!(
        error
            .message
            .contains("the certificate-authority /nowhere/ca.crt, which cannot be read"),
        "{error}"
    );
}

#[test]
fn a_server_alone_is_enough() {
    let args = ConnectionOptions {
        server: Some("https://10.0.0.9:6443".into()),
        token: Some("t".into()),
        ..args()
    };
    for text in [
        "",
        "current-context: ''\nusers: [{name: u, user: {token: x}}]\n",
    ] {
        let loaded = of(&kubeconfig(text), "FILE".into(), &args).unwrap();
        let url = loaded.config.cluster_url.to_string();
        assert_eq!(url, "https://10.0.0.9:6443/");
        assert!(matches!(loaded.credentials, Credentials::Token(_)));
    }
}

#[test]
fn a_server_without_a_scheme_is_https() {
    let loaded = loaded(&with("server: '127.0.0.1:6443'", "token: t")).unwrap();
    let url = loaded.config.cluster_url.to_string();
    assert_eq!(url, "https://127.0.0.1:6443/");
    // What kube's client would end with a panic is refused before.
    let what = wrong("server: /x", "token: t");
    assert!(what.contains("put https:// before it"), "{what}");
    assert!(wrong("server: ''", "token: t").contains("the cluster `k` has no server"));
}

#[test]
fn credentials_are_not_sent_where_others_can_read_them() {
    let user = "token: secret, as: jane";
    let loaded = loaded(&with("server: 'http://10.0.0.1:8080'", user)).unwrap();
    assert!(matches!(loaded.credentials, Credentials::Kube));
    assert_eq!(loaded.config.auth_info.impersonate.as_deref(), Some("jane"));
}

#[test]
fn the_first_file_with_a_value_has_it() {
    let first = kubeconfig(
        "contexts: null\ncurrent-context: ''\nclusters: [{name: k, cluster: {server: 'h:1'}}]\n",
    );
    let second = kubeconfig(&with("server: 'h:2'", "token: t"));
    let merged = first.merged(second);
    assert_eq!(merged.current_context(), Some("c"));
    let loaded = of(&merged, "FILES".into(), &args()).unwrap();
    assert_eq!(loaded.config.cluster_url.to_string(), "https://h:1/");
}

#[test]
fn files_of_a_list_are_skipped_when_they_are_not_there_and_named_when_they_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::write(&one, with(SERVER, "token: t")).unwrap();
    let paths = [PathBuf::new(), two.clone(), one.clone(), one.clone()];
    let found = Files::read(&paths).unwrap();
    assert_eq!(
        (found.origin, found.missing),
        (one.display().to_string(), vec![two])
    );
    assert_eq!(found.kubeconfig.unwrap().cluster_names(), ["k"]);
    let error = Files::read(&[folder.path().to_owned()]).err().unwrap();
    assert!(
        error.chain().contains("cannot be read: Is a directory"),
        "{}",
        error.chain()
    );
    let found = Files::read(&[folder.path().join("two")]).unwrap();
    assert!(
        none_found(&found)
            .message
            .ends_with("/two, which does not exist"),
        "{}",
        none_found(&found)
    );
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "",
        "# nothing\n",
        "{}",
        "apiVersion: v1\nkind: Config\nclusters: []\n",
    ] {
        let path = folder.path().join("config");
        std::fs::write(&path, text).unwrap();
        let named = ConnectionOptions {
            kubeconfig: Some(path.clone()),
            ..args()
        };
        let error = load(&named).err().unwrap();
        assert!(error.message.ends_with("/config is empty"), "{error}");
    }
    let missing = ConnectionOptions {
        kubeconfig: Some(folder.path().join("missing")),
        ..args()
    };
    assert!(
        load(&missing)
            .err()
            .unwrap()
            .message
            .ends_with("/missing does not exist")
    );
}

#[test]
fn paths_are_meant_from_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    std::fs::write(folder.path().join("ca.crt"), certificate()).unwrap();
    let (certificate, key) = client();
    std::fs::write(below.join("c.crt"), certificate).unwrap();
    std::fs::write(below.join("c.key"), key).unwrap();
    let cluster = format!("{SERVER}, certificate-authority: ../ca.crt");
    let path = below.join("config");
    std::fs::write(
        &path,
        with(&cluster, "client-certificate: c.crt, client-key: ./c.key"),
    )
    .unwrap();
    let named = ConnectionOptions {
        kubeconfig: Some(path.clone()),
        ..args()
    };
    let loaded = load(&named).unwrap();
    assert_eq!(loaded.config.root_cert.map(|all| all.len()), Some(1));
    assert!(loaded.config.auth_info.client_key_data.is_some());
    let exec = |command: &str| {
        let user = format!(
            "exec: {{command: {command}, apiVersion: client.authentication.k8s.io/v1beta1}}"
        );
        std::fs::write(&path, with(SERVER, &user)).unwrap();
        match load(&named).unwrap().credentials {
            Credentials::Plugin(plugin) => plugin.command,
            other => unreachable!("{other:?}"),
        }
    };
    assert_eq!(exec("aws"), "aws");
    assert_eq!(Path::new(&exec("./aws")), below.join("aws"));
}

#[test]
fn what_yaml_readers_disagree_about_is_read_as_kubectl_reads_it() {
    // Of two documents the first; of two equal keys the last; null is nothing; a YAML 1.1 boolean is one.
    let text = with(
        "server: 'h:1', server: 'h:2', insecure-skip-tls-verify: yes, extensions: null",
        "token: t, exec: null",
    );
    let loaded = loaded(&format!("{text}---\nfoo: [")).unwrap();
    assert_eq!(loaded.config.cluster_url.to_string(), "https://h:2/");
    assert!(loaded.config.accept_invalid_certs);
}

#[test]
fn what_is_no_kubeconfig_is_refused_without_its_text() {
    for (text, what) in [
        ("apiVersion: v2\nkind: Config", "of version \"v2\""),
        ("apiVersion: v1\nkind: Secret", "it is a \"Secret\""),
        ("users: [{name: u, user: {token: {secret: 1}}}]", "line 1"),
        ("users: [{name: u, user: {token: 'secret]", "line 1"),
        ("[]", "line 1"),
    ] {
        let error = Kubeconfig::parse(text.as_bytes()).err().unwrap();
        assert!(error.contains(what), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    // Half a character of UTF-16.
    assert!(Kubeconfig::parse(b"\xff\xfea").is_err());
}

#[test]
fn two_of_one_name_are_refused() {
    for (kind, list) in [
        ("cluster", "clusters: [{name: a}, {name: b}, {name: a}]"),
        ("user", "users: [{name: a, user: {}}, {name: a, user: {}}]"),
        ("context", "contexts: [{name: a, context: null}, {name: a}]"),
    ] {
        let error = Kubeconfig::parse(list.as_bytes()).err().unwrap();
        assert_eq!(
            error,
            format!("it has two {kind}s named `a`: rename or remove one of them")
        );
    }
}

#[test]
fn an_authority_and_no_check_contradict_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.crt");
    std::fs::write(&path, certificate()).unwrap();
    let insecure = format!(
        "{SERVER}, certificate-authority: {}, insecure-skip-tls-verify: true",
        path.display()
    );
    let what = wrong(&insecure, "token: t");
    assert!(
        what.contains("has a certificate authority and insecure-skip-tls-verify"),
        "{what}"
    );
    // A flag decides for one of them, both flags do not.
    let flags = |certificate_authority, insecure_skip_tls_verify| ConnectionOptions {
        certificate_authority,
        insecure_skip_tls_verify,
        ..args()
    };
    let of =
        |flags: &ConnectionOptions| of(&kubeconfig(&with(&insecure, "")), "FILE".into(), flags);
    let loaded = of(&flags(None, true)).unwrap();
    assert_eq!(
        (loaded.config.accept_invalid_certs, loaded.config.root_cert),
        (true, Some(Vec::new()))
    );
    let loaded = of(&flags(Some(path.clone()), false)).unwrap();
    assert!(!loaded.config.accept_invalid_certs);
    assert!(of(&flags(Some(path), true)).is_err());
}

#[test]
fn data_in_base64_may_have_line_breaks() {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(certificate());
    let (front, back) = encoded.split_at(60);
    let cluster = format!("{SERVER}, certificate-authority-data: \"{front}\\r\\n{back}\\n\"");
    let loaded = loaded(&with(&cluster, "token: t")).unwrap();
    assert_eq!(loaded.config.root_cert.map(|all| all.len()), Some(1));
}

#[test]
fn what_is_wrong_with_certificates_is_said() {
    for (data, what) in [
        (
            "certificate-authority-data: '%%'",
            "certificate-authority-data that is not base64",
        ),
        ("certificate-authority-data: YWJj", "no PEM certificate"),
        (
            "certificate-authority: /a, certificate-authority-data: YWJj",
            "remove one of them",
        ),
        ("certificate-authority: /", "cannot be read: Is a directory"),
        ("tls-server-name: 'a b'", "no name of a host"),
    ] {
        let message = wrong(&format!("{SERVER}, {data}"), "token: t");
        assert!(
            message.contains("the cluster `k`") && message.contains(what),
            "{message}"
        );
    }
    for (data, what) in [
        ("client-certificate-data: YWJj", "without its client-key"),
        (
            "client-certificate-data: YWJj, client-key-data: YWJj",
            "no PEM certificate",
        ),
        (
            "client-certificate: /a, client-certificate-data: YWJj",
            "remove one of them",
        ),
        (
            "client-certificate: /nowhere, client-key: /nowhere",
            "/nowhere, which cannot be read",
        ),
    ] {
        let message = wrong(SERVER, data);
        assert!(
            message.contains("the user `u`") && message.contains(what),
            "{message}"
        );
    }
    // A key alone is nothing.
    assert!(loaded(&with(SERVER, "client-key-data: YWJj")).is_ok());
}

#[test]
fn what_is_wrong_with_a_user_is_said() {
    let exec = |rest: &str| format!("exec: {{command: aws, {rest}}}");
    let v1 = "apiVersion: client.authentication.k8s.io/v1";
    for (user, what) in [
        (
            "token: t, username: a, password: b".to_owned(),
            "only one of them is allowed",
        ),
        ("as-groups: [a]".to_owned(), "of no user"),
        ("as-uid: a".to_owned(), "of no user"),
        ("as: \"a\\nb\"".to_owned(), "which cannot be sent"),
        (
            "token: \"a\\nb\"".to_owned(),
            "a token that has a line break",
        ),
        (
            "auth-provider: {name: gcp}".to_owned(),
            "gke-gcloud-auth-plugin",
        ),
        (
            "auth-provider: {name: azure, config: null}".to_owned(),
            "kubelogin",
        ),
        (
            "auth-provider: {name: own}".to_owned(),
            "\"own\", which kubectl no longer supports",
        ),
        (
            format!("{}, auth-provider: {{name: oidc}}", exec(v1)),
            "exec and auth-provider",
        ),
        ("exec: {}".to_owned(), "has no command"),
        (exec(""), "has no apiVersion"),
        (exec(v1), "has no interactiveMode"),
        (
            exec("apiVersion: client.authentication.k8s.io/v1alpha1"),
            "has not taken since 1.24",
        ),
        (
            exec(&format!("{v1}, interactiveMode: Maybe")),
            "none of Never, IfAvailable and Always",
        ),
        (
            exec(&format!(
                "{v1}, interactiveMode: Never, env: [{{value: x}}]"
            )),
            "environment variable",
        ),
        (
            exec(&format!(
                "{v1}, interactiveMode: Never, env: [{{name: 'A=B', value: x}}]"
            )),
            "environment variable",
        ),
    ] {
        let message = wrong(SERVER, &user);
        assert!(
            message.contains("the kubeconfig FILE cannot be used: ") && message.contains(what),
            "{user}: {message}"
        );
    }
}

#[test]
fn a_proxy_of_the_kubeconfig_is_named_with_its_cluster() {
    let text = with(
        &format!("{SERVER}, proxy-url: 'http://u:secret@proxy:3128'"),
        "token: t",
    );
    let proxy = loaded(&text).unwrap().proxy.unwrap();
    assert_eq!(
        proxy.shown(),
        "http://proxy:3128 (proxy-url of the cluster `k`)"
    );
    for url in ["ftp://x", "127.0.0.1:1", "x y"] {
        let message = wrong(&format!("{SERVER}, proxy-url: '{url}'"), "token: t");
        assert!(message.contains("is no URL that begins with"), "{message}");
    }
}

#[test]
fn a_plugin_is_not_asked_where_there_are_credentials() {
    let exec = "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1beta1}";
    let of = |user: &str| loaded(&with(SERVER, user)).unwrap().credentials;
    assert!(matches!(of(exec), Credentials::Plugin(_)));
    assert!(matches!(
        of(&format!("token: t, {exec}")),
        Credentials::Token(_)
    ));
    assert!(matches!(
        of(&format!("username: a, {exec}")),
        Credentials::Kube
    ));
}

#[test]
fn a_token_and_a_file_with_one_are_taken_as_client_go_takes_them() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let of = |user: &str| loaded(&with(SERVER, user)).unwrap().credentials;
    let both = format!("token: t, tokenFile: {}", file.path().display());
    assert!(matches!(of(&both), Credentials::File(_)));
    assert!(matches!(
        of("token: t, tokenFile: /nowhere"),
        Credentials::Token(_)
    ));
    assert!(matches!(
        of("token: '', tokenFile: /nowhere"),
        Credentials::File(_)
    ));
}

/// Any YAML value, written in flow style; the words are those that mean something in a kubeconfig.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z:/.@\\[\\]0-9 %?#]{0,30}",
        Just("https://127.0.0.1:6443".to_owned()),
        Just("client.authentication.k8s.io/v1".to_owned()),
        Just("client.authentication.k8s.io/v1beta1".to_owned()),
        Just("Never".to_owned()),
        Just("oidc".to_owned()),
        Just("/dev/null".to_owned()),
        Just("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==".to_owned()),
        Just("a".to_owned()),
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => any::<i64>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An object with some of these keys.
fn object(keys: &'static [&'static str]) -> impl Strategy<Value = serde_json::Value> {
    let fields = proptest::sample::subsequence(keys, 0..=keys.len());
    let fields = fields.prop_flat_map(|keys| {
        let values = proptest::collection::vec(value(), keys.len());
        values.prop_map(move |values| {
            let fields = keys.iter().map(|key| (*key).to_owned()).zip(values);
            serde_json::Value::Object(fields.collect())
        })
    });
    fields.boxed()
}

const CLUSTER: &[&str] = &[
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
    "extensions",
];
const USER: &[&str] = &[
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "token",
    "tokenFile",
    "as",
    "as-uid",
    "as-groups",
    "as-user-extra",
    "username",
    "password",
    "auth-provider",
];
const EXEC: &[&str] = &[
    "command",
    "args",
    "env",
    "apiVersion",
    "installHint",
    "provideClusterInfo",
    "interactiveMode",
];

/// Everything that is made of a kubeconfig before a request is sent, but for running what it names.
async fn used(text: &[u8]) {
    let Ok(kubeconfig) = Kubeconfig::parse(text) else {
        return;
    };
    let Ok(loaded) = of(&kubeconfig, "FILE".into(), &args()) else {
        return;
    };
    let bearer = match loaded.credentials {
        Credentials::Plugin(_) => None,
        other => match other.log_in().await {
            Ok(login) => login.bearer,
            Err(_) => return,
        },
    };
    let mut config = loaded.config;
    // Nobody else's machine is asked.
    let is_here = |url: &http::Uri| url.host() == Some("127.0.0.1");
    config.proxy_url = config.proxy_url.filter(is_here);
    let here = is_here(&config.cluster_url);
    config.connect_timeout = Some(std::time::Duration::from_millis(1));
    match crate::connection::client(config, bearer, loaded.proxy) {
        Ok(client) if here => {
            let request = http::Request::get("/version?x=y").body(kube::client::Body::empty());
            let asked = client.send(request.unwrap());
            let _ = tokio::time::timeout(std::time::Duration::from_millis(2), asked).await;
        }
        Ok(_) | Err(_) => {}
    }
}

fn in_runtime(text: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(used(text));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The rest of the kubeconfig is in order, so that what is arbitrary is looked at.
    #[test]
    fn no_kubeconfig_ends_in_a_panic(
        cluster in object(CLUSTER), user in object(USER), exec in object(EXEC), server in any::<bool>(), plugin in any::<bool>(),
    ) {
        let (mut cluster, mut user) = (cluster, user);
        if server {
            cluster["server"] = "https://127.0.0.1:1".into();
        }
        if plugin {
            user["exec"] = exec;
        }
        let text = serde_json::json!({
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
        });
        in_runtime(text.to_string().as_bytes());
    }

    #[test]
    fn any_value_is_read_or_refused(value in value()) {
        let _ = Kubeconfig::parse(value.to_string().as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Kubeconfig::parse(&bytes);
    }

    #[test]
    fn a_changed_kubeconfig_is_read_or_refused(at in 0usize..600, byte: u8) {
        let mut text = with(SERVER, "token: t").into_bytes();
        let at = at % text.len();
        text[at] = byte;
        in_runtime(&text);
    }
}
