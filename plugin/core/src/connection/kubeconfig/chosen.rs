//! Which cluster and which user of a kubeconfig are meant, with the flags over them.

use super::file::{Cluster, Context, Kubeconfig, User, given};
use crate::connection::options::ConnectionOptions;
use crate::error::Error;

/// A cluster and a user.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) cluster_name: String,
    pub(super) cluster: Cluster,
    pub(super) user_name: String,
    pub(super) user: User,
    pub(super) namespace: Option<String>,
}

impl Chosen {
    /// Chooses by flags, else by the context. A bare `--server` needs neither.
    ///
    /// # Errors
    /// When there is nothing of a name, with those there are.
    pub(super) fn of(
        kubeconfig: &Kubeconfig,
        origin: &str,
        args: &ConnectionOptions,
    ) -> Result<Self, Error> {
        let context = context(kubeconfig, origin, args)?;
        let mut chosen = Self {
            namespace: given(&context.namespace).map(str::to_owned),
            ..Self::default()
        };
        if let Some(name) = given(&args.cluster).or(given(&context.cluster)) {
            chosen.cluster = kubeconfig
                .cluster(name)
                .ok_or_else(|| missing(origin, "cluster", name, &kubeconfig.cluster_names()))?;
            name.clone_into(&mut chosen.cluster_name);
        }
        if let Some(name) = given(&args.user).or(given(&context.user)) {
            chosen.user = kubeconfig
                .user(name)
                .ok_or_else(|| missing(origin, "user", name, &kubeconfig.user_names()))?;
            name.clone_into(&mut chosen.user_name);
        }
        put_cluster_flags(&mut chosen.cluster, args);
        put_user_flags(&mut chosen.user, args);
        Ok(chosen)
    }
}

fn context(
    kubeconfig: &Kubeconfig,
    origin: &str,
    args: &ConnectionOptions,
) -> Result<Context, Error> {
    let names = kubeconfig.context_names();
    if let Some(name) = given(&args.context).or(kubeconfig.current_context()) {
        let found = kubeconfig.context(name);
        return found.ok_or_else(|| missing(origin, "context", name, &names));
    }
    if given(&args.cluster).is_some() || given(&args.server).is_some() {
        return Ok(Context::default());
    }
    Err(Error::usage(format!("{origin} has no current context")).hint(choices("context", &names)))
}

fn missing(origin: &str, kind: &str, name: &str, names: &[String]) -> Error {
    Error::usage(format!("{origin} has no {kind} `{name}`")).hint(choices(kind, names))
}

fn choices(kind: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!("the kubeconfig has nothing to choose for --{kind}");
    }
    format!("choose with --{kind}: {}", names.join(", "))
}

fn put_cluster_flags(cluster: &mut Cluster, args: &ConnectionOptions) {
    if let Some(server) = given(&args.server) {
        cluster.server = Some(server.to_owned());
        // The name is that of the kubeconfig's server, as kubectl sees it.
        cluster.tls_server_name = None;
    }
    if args.certificate_authority.is_some() || args.insecure_skip_tls_verify {
        let path = args.certificate_authority.as_ref();
        cluster.certificate_authority = path.map(|path| path.display().to_string());
        cluster.certificate_authority_data = None;
        cluster.insecure_skip_tls_verify = Some(args.insecure_skip_tls_verify);
    }
    if let Some(name) = &args.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
}

fn put_user_flags(user: &mut User, args: &ConnectionOptions) {
    if let Some(token) = &args.token {
        *user = User {
            token: Some(token.clone()),
            ..User::default()
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
