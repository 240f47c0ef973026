//! From kubectl's own flags and kubeconfig files to a connection's configuration.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo,
    NamedCluster, NamedContext,
};

use crate::cli::ConnectionArgs;
use crate::error::Error;

/// The administrator's kubeconfig that kubeadm puts on every control-plane node.
pub(crate) const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// A configuration, and where it came from, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The kubeconfig's path, or what stood in for one.
    pub(crate) origin: String,
    /// Whether a login plugin is run, which may ask a person and take its time.
    pub(crate) login_plugin: bool,
}

/// Reads the kubeconfig as kubectl would and puts the flags over it.
///
/// # Errors
/// Usage errors: an unreadable or malformed file, no such context, cluster or user, a certificate that cannot be read.
pub(crate) async fn load(args: &ConnectionArgs) -> Result<Loaded, Error> {
    let Some((kubeconfig, origin)) = read(args)? else {
        return without_kubeconfig(args).await;
    };
    from_kubeconfig(kubeconfig, origin, args).await
}

async fn from_kubeconfig(
    mut kubeconfig: Kubeconfig,
    origin: String,
    args: &ConnectionArgs,
) -> Result<Loaded, Error> {
    let options = put_flags_over(&mut kubeconfig, &origin, args)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| explain(&origin, error))?;
    let login_plugin = config.auth_info.exec.is_some();
    Ok(Loaded {
        config,
        origin,
        login_plugin,
    })
}

/// The kubeconfig and what to call it; none when no file is named and none is at the usual places.
fn read(args: &ConnectionArgs) -> Result<Option<(Kubeconfig, String)>, Error> {
    if let Some(path) = &args.kubeconfig {
        return read_file(path).map(Some);
    }
    if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        return read_list(&std::env::split_paths(&list).collect::<Vec<_>>());
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let usual = home.map(|home| home.join(".kube/config"));
    usual
        .filter(|path| path.exists())
        .map(|path| read_file(&path))
        .transpose()
}

/// Files of the `KUBECONFIG` list that are not there are skipped, as kubectl does.
fn read_list(paths: &[PathBuf]) -> Result<Option<(Kubeconfig, String)>, Error> {
    let mut merged: Option<Kubeconfig> = None;
    let mut names = Vec::new();
    for path in paths.iter().filter(|path| path.exists()) {
        let (next, name) = read_file(path)?;
        names.push(name);
        merged = Some(match merged {
            None => next,
            Some(so_far) => so_far
                .merge(next)
                .map_err(|error| explain(&path.display().to_string(), error))?,
        });
    }
    Ok(merged.map(|kubeconfig| (kubeconfig, names.join(":"))))
}

fn read_file(path: &Path) -> Result<(Kubeconfig, String), Error> {
    let origin = path.display().to_string();
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| explain(&origin, error))?;
    Ok((kubeconfig, origin))
}

/// No kubeconfig: a bare `--server`, the pod this runs in, or kubeadm's own file on a control-plane node.
async fn without_kubeconfig(args: &ConnectionArgs) -> Result<Loaded, Error> {
    if args.server.is_some() && args.context.is_none() {
        return from_kubeconfig(nameless(), "--server".into(), args).await;
    }
    if args.context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(Loaded {
            config,
            origin: "this pod's service account".into(),
            login_plugin: false,
        });
    }
    if std::fs::File::open(ADMIN_CONF).is_ok() {
        let (kubeconfig, origin) = read_file(Path::new(ADMIN_CONF))?;
        return from_kubeconfig(kubeconfig, origin, args).await;
    }
    Err(Error::usage(
        "no kubeconfig: neither --kubeconfig, $KUBECONFIG nor ~/.kube/config is there",
    )
    .hint("kubectl etcd --kubeconfig FILE …, or as root on a control-plane node --via local"))
}

/// A kubeconfig that only flags fill.
fn nameless() -> Kubeconfig {
    let name = || "flags".to_owned();
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: name(),
            cluster: Some(Cluster::default()),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(AuthInfo::default()),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: name(),
            context: Some(Context {
                cluster: name(),
                user: Some(name()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    }
}

/// Chooses context, cluster and user, and changes in them what flags say.
fn put_flags_over(
    kubeconfig: &mut Kubeconfig,
    origin: &str,
    args: &ConnectionArgs,
) -> Result<KubeConfigOptions, Error> {
    let wanted = args.context.clone().or(kubeconfig.current_context.clone());
    let wanted = wanted.filter(|name| !name.is_empty()).ok_or_else(|| {
        Error::usage(format!("{origin} has no current context")).hint(choices(
            "--context",
            kubeconfig.contexts.iter().map(|context| &context.name),
        ))
    })?;
    let context = kubeconfig
        .contexts
        .iter()
        .find(|context| context.name == wanted)
        .and_then(|context| context.context.clone())
        .ok_or_else(|| {
            Error::usage(format!("{origin} has no context `{wanted}`")).hint(choices(
                "--context",
                kubeconfig.contexts.iter().map(|context| &context.name),
            ))
        })?;
    let cluster_name = args.cluster.clone().unwrap_or(context.cluster);
    let user_name = args.user.clone().or(context.user);
    let names: Vec<_> = kubeconfig
        .clusters
        .iter()
        .map(|cluster| cluster.name.clone())
        .collect();
    let cluster = kubeconfig
        .clusters
        .iter_mut()
        .find(|cluster| cluster.name == cluster_name)
        .ok_or_else(|| {
            Error::usage(format!("{origin} has no cluster `{cluster_name}`"))
                .hint(choices("--cluster", names.iter()))
        })?;
    put_cluster_flags(cluster.cluster.get_or_insert_default(), args);
    if let Some(name) = &user_name {
        let names: Vec<_> = kubeconfig
            .auth_infos
            .iter()
            .map(|user| user.name.clone())
            .collect();
        match kubeconfig
            .auth_infos
            .iter_mut()
            .find(|user| &user.name == name)
        {
            Some(user) => put_user_flags(user.auth_info.get_or_insert_default(), args),
            None => {
                return Err(Error::usage(format!("{origin} has no user `{name}`"))
                    .hint(choices("--user", names.iter())));
            }
        }
    } else {
        let mut user = AuthInfo::default();
        put_user_flags(&mut user, args);
        kubeconfig.auth_infos.push(NamedAuthInfo {
            name: "flags".into(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        });
    }
    Ok(KubeConfigOptions {
        context: Some(wanted),
        cluster: Some(cluster_name),
        user: Some(user_name.unwrap_or_else(|| "flags".into())),
    })
}

fn put_cluster_flags(cluster: &mut Cluster, args: &ConnectionArgs) {
    if let Some(server) = &args.server {
        // kubectl takes an address without a scheme as well.
        let scheme = if server.contains("://") {
            ""
        } else {
            "https://"
        };
        cluster.server = Some(format!("{scheme}{server}"));
    }
    if let Some(path) = &args.certificate_authority {
        cluster.certificate_authority = Some(path.display().to_string());
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = None;
    }
    if args.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = None;
    }
    if let Some(name) = &args.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
}

fn put_user_flags(user: &mut AuthInfo, args: &ConnectionArgs) {
    if let Some(token) = &args.token {
        *user = AuthInfo {
            token: Some(token.clone().into()),
            ..AuthInfo::default()
        };
    }
    if let Some(path) = &args.client_certificate {
        user.client_certificate = Some(path.display().to_string());
        user.client_certificate_data = None;
    }
    if let Some(path) = &args.client_key {
        user.client_key = Some(path.display().to_string());
        user.client_key_data = None;
    }
    if let Some(name) = &args.impersonate {
        user.impersonate = Some(name.clone());
    }
    if !args.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(args.impersonate_groups.clone());
    }
}

fn choices<'a>(flag: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    if names.is_empty() {
        return format!("the kubeconfig has nothing to choose for {flag}");
    }
    format!("choose with {flag}: {}", names.join(", "))
}

fn explain(origin: &str, error: KubeconfigError) -> Error {
    Error::usage(format!("the kubeconfig {origin} cannot be used")).caused_by(error)
}

#[cfg(test)]
mod tests {
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
users:
- name: u1
  user: {token: secret}
";

    fn kubeconfig() -> Kubeconfig {
        Kubeconfig::from_yaml(TWO).unwrap()
    }

    #[test]
    fn an_unknown_context_names_the_known_ones() {
        let args = ConnectionArgs {
            context: Some("prod".into()),
            ..ConnectionArgs::default()
        };
        let error = put_flags_over(&mut kubeconfig(), "FILE", &args)
            .err()
            .unwrap();
        assert_eq!(error.message, "FILE has no context `prod`");
        assert_eq!(error.hints, ["choose with --context: one, broken"]);
        assert_eq!(error.kind.exit_code(), 2);
    }

    #[test]
    fn a_context_without_its_cluster_is_a_usage_error() {
        let args = ConnectionArgs {
            context: Some("broken".into()),
            ..ConnectionArgs::default()
        };
        let error = put_flags_over(&mut kubeconfig(), "FILE", &args)
            .err()
            .unwrap();
        assert_eq!(error.message, "FILE has no cluster `nosuch`");
    }

    #[tokio::test]
    async fn flags_win_over_the_file() {
        let args = ConnectionArgs {
            server: Some("10.0.0.2:6443".into()),
            insecure_skip_tls_verify: true,
            impersonate: Some("jane".into()),
            ..ConnectionArgs::default()
        };
        let loaded = from_kubeconfig(kubeconfig(), "FILE".into(), &args)
            .await
            .unwrap();
        assert_eq!(
            loaded.config.cluster_url.to_string(),
            "https://10.0.0.2:6443/"
        );
        assert!(loaded.config.accept_invalid_certs);
        assert!(loaded.config.root_cert.is_none());
        assert_eq!(loaded.config.auth_info.impersonate.as_deref(), Some("jane"));
        assert!(loaded.config.auth_info.token.is_some());
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_there_is_said_with_its_path() {
        let error = from_kubeconfig(kubeconfig(), "FILE".into(), &ConnectionArgs::default())
            .await
            .err()
            .unwrap();
        assert!(
            error.chain().contains("/nowhere/ca.crt"),
            "{}",
            error.chain()
        );
    }

    #[tokio::test]
    async fn a_server_alone_is_enough() {
        let args = ConnectionArgs {
            server: Some("https://10.0.0.9:6443".into()),
            token: Some("t".into()),
            ..ConnectionArgs::default()
        };
        let loaded = from_kubeconfig(nameless(), "--server".into(), &args)
            .await
            .unwrap();
        assert_eq!(
            loaded.config.cluster_url.to_string(),
            "https://10.0.0.9:6443/"
        );
        assert!(loaded.config.auth_info.token.is_some());
    }
}
