//! From a chosen cluster and user to a connection's configuration: what client-go refuses is refused here, saying why.

use http::HeaderValue;
use kube::Config;
use kube::config::{AuthInfo, ExecAuthCluster};

use super::chosen::Chosen;
use super::data::{Authorities, Identity, authorities, identity};
use super::file::{Cluster, Exec, User, given};
use super::proxy::{self, Proxy};
use super::server;
use crate::connection::credentials::Credentials;
use crate::connection::kuberc::Policy;
use crate::connection::login::{Interactive, Plugin, check_version};
use crate::connection::token::bearer;

/// The extension of a cluster that a login plugin is told.
const FOR_PLUGIN: &str = "client.authentication.k8s.io/exec";

/// What a kubeconfig comes to.
pub(super) struct Usable {
    pub(super) config: Config,
    pub(super) credentials: Credentials,
    pub(super) proxy: Option<Proxy>,
}

impl Chosen {
    /// Makes the configuration; an error says what is wrong with the kubeconfig.
    ///
    /// # Errors
    /// What client-go refuses, and files that cannot be read.
    pub(super) fn usable(&self) -> Result<Usable, String> {
        let (cluster, user) = (&self.cluster, &self.user);
        let address = given(&cluster.server)
            .ok_or_else(|| format!("{} has no server", self.cluster_in_words()))?;
        let address = server::address(address)?;
        self.check_user()?;
        let proxy = self.proxy(&address)?;
        let mut config = Config::new(address);
        config.proxy_url = proxy.as_ref().map(|proxy| proxy.url.clone());
        config.disable_compression = cluster.disable_compression.unwrap_or(false);
        if let Some(namespace) = &self.namespace {
            namespace.clone_into(&mut config.default_namespace);
        }
        impersonate(&mut config.auth_info, user)?;
        let mut credentials = Credentials::Kube;
        if server::is_private(&config.cluster_url) {
            self.trust(&mut config)?;
            credentials = self.identify(&mut config.auth_info)?;
        } else {
            // No certificate will be seen; none of this host's has to be loaded.
            config.root_cert = Some(Vec::new());
        }
        Ok(Usable {
            config,
            credentials,
            proxy,
        })
    }

    fn proxy(&self, address: &http::Uri) -> Result<Option<Proxy>, String> {
        match given(&self.cluster.proxy_url) {
            Some(url) => {
                let source = format!("proxy-url of {}", self.cluster_in_words());
                proxy::of_kubeconfig(url, source).map(Some)
            }
            None => proxy::of_environment(address, |name| std::env::var(name).ok()),
        }
    }

    /// How the apiserver proves who it is.
    fn trust(&self, config: &mut Config) -> Result<(), String> {
        let cluster = &self.cluster;
        let insecure = cluster.insecure_skip_tls_verify.unwrap_or(false);
        let authorities = authorities(cluster).map_err(|what| self.of_cluster(what))?;
        config.root_cert = match (authorities, insecure) {
            (Authorities::Given(_), true) => {
                return Err(self.of_cluster(
                    "has a certificate authority and insecure-skip-tls-verify: a connection that is not checked needs no \
                     authority; remove one of them",
                ));
            }
            (Authorities::Given(certificates), false) => Some(certificates),
            // Nothing is checked; none of this host's have to be loaded.
            (Authorities::OfThisHost, true) => Some(Vec::new()),
            (Authorities::OfThisHost, false) => None,
        };
        config.accept_invalid_certs = insecure;
        if let Some(name) = given(&cluster.tls_server_name) {
            rustls::pki_types::ServerName::try_from(name).map_err(|_| {
                self.of_cluster(format!(
                    "has the tls-server-name {name:?}, which is no name of a host"
                ))
            })?;
            config.tls_server_name = Some(name.to_owned());
        }
        Ok(())
    }

    /// Who we are: what kube puts on requests itself, and what we do.
    fn identify(&self, auth: &mut AuthInfo) -> Result<Credentials, String> {
        let user = &self.user;
        let certificate = identity(user).map_err(|what| self.of_user(what))?;
        let has_certificate = certificate.is_some();
        if let Some(Identity { certificate, key }) = certificate {
            auth.client_certificate_data = Some(certificate);
            auth.client_key_data = Some(key.into());
        }
        let basic = given(&user.username).is_some() || given(&user.password).is_some();
        if basic {
            auth.username = Some(user.username.clone().unwrap_or_default());
            auth.password = Some(user.password.clone().unwrap_or_default().into());
        }
        // A file beside a token is what counts, while it is there: it is the newer one.
        let file = given(&user.token_file);
        let file =
            file.filter(|path| given(&user.token).is_none() || std::fs::File::open(path).is_ok());
        if let Some(path) = file {
            return Ok(Credentials::File(path.into()));
        }
        if let Some(token) = given(&user.token) {
            let value =
                bearer(token).map_err(|what| self.of_user(format!("has a token that {what}")))?;
            return Ok(Credentials::Token(value));
        }
        if let Some(provider) = &user.auth_provider {
            let named = given(&provider.name).unwrap_or_default();
            let config = provider.config.iter().flatten();
            let config =
                config.map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()));
            auth.auth_provider = Some(kube::config::AuthProviderConfig {
                name: named.to_owned(),
                config: config.collect(),
                ..kube::config::AuthProviderConfig::default()
            });
        }
        match &user.exec {
            Some(exec) if !basic && !has_certificate => self.plugin(exec),
            _ => Ok(Credentials::Kube),
        }
    }

    /// What must not stand in a user, whatever of it is used.
    fn check_user(&self) -> Result<(), String> {
        let user = &self.user;
        let basic = given(&user.username).is_some() || given(&user.password).is_some();
        if basic && (given(&user.token).is_some() || given(&user.token_file).is_some()) {
            return Err(self.of_user(
                "has a token and a username with its password: only one of them is allowed",
            ));
        }
        if user.exec.is_some() && user.auth_provider.is_some() {
            return Err(self.of_user("has exec and auth-provider: only one of them is allowed"));
        }
        if let Some(exec) = &user.exec {
            check_exec(exec)
                .map_err(|what| self.of_user(format!("has a login plugin (exec) that {what}")))?;
        }
        if let Some(provider) = &user.auth_provider {
            check_provider(given(&provider.name).unwrap_or_default())
                .map_err(|what| self.of_user(what))?;
        }
        let groups = user
            .impersonate_groups
            .as_ref()
            .is_some_and(|groups| !groups.is_empty());
        let extra = user
            .impersonate_extra
            .as_ref()
            .is_some_and(|extra| !extra.is_empty());
        if given(&user.impersonate).is_none()
            && (groups || extra || given(&user.impersonate_uid).is_some())
        {
            return Err(self.of_user(
                "impersonates a uid, groups or extra values of no user: add `as`, or --as USER",
            ));
        }
        Ok(())
    }

    fn plugin(&self, exec: &Exec) -> Result<Credentials, String> {
        let api_version = given(&exec.api_version).unwrap_or_default();
        let mode = given(&exec.interactive_mode);
        let variables = exec.env.iter().flatten();
        let variables = variables.map(|one| {
            (
                one.name.clone().unwrap_or_default(),
                one.value.clone().unwrap_or_default(),
            )
        });
        let cluster = match exec.provide_cluster_info {
            Some(true) => Some(told_to_plugin(&self.cluster)?),
            _ => None,
        };
        Ok(Credentials::Plugin(Box::new(Plugin {
            user: self.user_name.clone(),
            command: given(&exec.command).unwrap_or_default().to_owned(),
            args: exec.args.clone().unwrap_or_default(),
            env: variables.collect(),
            api_version: api_version.to_owned(),
            interactive: Interactive::parse(mode, api_version)?,
            install_hint: exec.install_hint.clone(),
            cluster,
            policy: Policy::of_user(|name| std::env::var_os(name))?,
        })))
    }

    fn cluster_in_words(&self) -> String {
        match self.cluster_name.as_str() {
            "" => "the flags' cluster".to_owned(),
            name => format!("the cluster `{name}`"),
        }
    }

    fn of_cluster(&self, what: impl std::fmt::Display) -> String {
        format!("{} {what}", self.cluster_in_words())
    }

    fn of_user(&self, what: impl std::fmt::Display) -> String {
        match self.user_name.as_str() {
            "" => format!("the flags' user {what}"),
            name => format!("the user `{name}` {what}"),
        }
    }
}

fn check_exec(exec: &Exec) -> Result<(), String> {
    if given(&exec.command).is_none() {
        return Err("has no command".to_owned());
    }
    let Some(api_version) = given(&exec.api_version) else {
        return Err("has no apiVersion".to_owned());
    };
    check_version(api_version)?;
    Interactive::parse(given(&exec.interactive_mode), api_version)?;
    for one in exec.env.iter().flatten() {
        let name = given(&one.name).unwrap_or_default();
        // Such a name or value would end the process that starts the plugin.
        let nul = |text: &str| text.contains('\0');
        if name.is_empty()
            || name.contains('=')
            || nul(name)
            || one.value.as_deref().is_some_and(nul)
        {
            return Err(format!(
                "has an environment variable {name:?} that cannot be set"
            ));
        }
    }
    Ok(())
}

/// Of the ways to log in that were once compiled into kubectl one is left.
fn check_provider(name: &str) -> Result<(), String> {
    let instead = match name {
        "oidc" => return Ok(()),
        "gcp" => {
            "use the login plugin gke-gcloud-auth-plugin: gcloud container clusters get-credentials writes it into the kubeconfig"
        }
        "azure" => {
            "use the login plugin kubelogin: kubelogin convert-kubeconfig writes it into the kubeconfig"
        }
        _ => "use a login plugin (exec)",
    };
    Err(format!(
        "has the auth-provider {name:?}, which kubectl no longer supports; {instead}"
    ))
}

fn impersonate(auth: &mut AuthInfo, user: &User) -> Result<(), String> {
    let extra = user.impersonate_extra.iter().flatten();
    let texts = [&user.impersonate, &user.impersonate_uid]
        .into_iter()
        .flatten();
    let groups = user.impersonate_groups.iter().flatten();
    let mut all = texts
        .chain(groups)
        .chain(extra.clone().flat_map(|(_, values)| values));
    if let Some(text) = all.find(|text| HeaderValue::from_str(text).is_err()) {
        return Err(format!("it impersonates {text:?}, which cannot be sent"));
    }
    let Some(name) = given(&user.impersonate) else {
        return Ok(());
    };
    auth.impersonate = Some(name.to_owned());
    auth.impersonate_uid = given(&user.impersonate_uid).map(str::to_owned);
    auth.impersonate_groups = user.impersonate_groups.clone();
    auth.impersonate_user_extra = Some(
        extra
            .map(|(name, values)| (name.clone(), values.clone()))
            .collect(),
    );
    Ok(())
}

fn told_to_plugin(cluster: &Cluster) -> Result<ExecAuthCluster, String> {
    let extensions = cluster.extensions.iter().flatten();
    let mut own = extensions.filter(|one| given(&one.name) == Some(FOR_PLUGIN));
    Ok(ExecAuthCluster {
        server: cluster.server.clone(),
        insecure_skip_tls_verify: cluster.insecure_skip_tls_verify,
        certificate_authority_data: super::data::authority_pem(cluster)?,
        proxy_url: cluster.proxy_url.clone(),
        tls_server_name: cluster.tls_server_name.clone(),
        config: own.next().and_then(|one| one.extension.clone()),
    })
}
