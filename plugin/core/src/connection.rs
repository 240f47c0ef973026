//! The connection to the apiserver, and whether that apiserver can be used.

pub mod clock;
mod credentials;
mod identity;
mod kubeconfig;
mod kuberc;
mod login;
mod options;
mod proxied;
mod reading;
mod token;
mod verdict;

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::AuthInfo;
use kube::{Client, Config};
use tower::buffer::BufferLayer;
use tower::filter::AsyncFilterLayer;
use tower::util::MapErrLayer;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::limits;
use credentials::{Bearer, LoggedIn};
use kubeconfig::{Loaded, Proxy};

pub use etcd_operations::client::chain;
pub(crate) use identity::contexts_beside;
pub use identity::{ClusterIdentity, identity};
pub(crate) use kubeconfig::ADMIN_CONF;
pub(crate) use kubeconfig::{context_names, current_context};
pub use options::ConnectionOptions;
#[cfg(test)]
pub(crate) use verdict::READYZ;
pub(crate) use verdict::{Readiness, Refusals, is_ready_again, readiness};
pub use verdict::{Verdict, judge};

/// How many requests may wait for a login at once; kube's own queue is as long.
const WAITING: usize = 1024;

/// The namespace of Jobs and of the carried program unless another one is named.
pub const OWN_NAMESPACE: &str = "kubectl-etcd";

/// Two clients for one apiserver, and what is said about it in messages.
///
/// The hot path (discovery, creating, watching, reading) goes through [`Connection::stream`] alone, each request under a
/// limit of its own: what one request connected the next one uses, and a TLS handshake less is milliseconds less.
#[derive(Clone)]
pub struct Connection {
    /// For requests that have an end: every answer has a time limit.
    pub control: Client,
    /// For watches, logs and exec, which may be silent for long: whoever uses it keeps a timer.
    pub stream: Client,
    /// The apiserver's address as configured.
    pub server: String,
    /// Where Jobs and the carried program live. Unless it was named, a session decides it: [`crate::session`].
    pub namespace: String,
    /// Whether it was named on the command line.
    pub(crate) namespace_named: bool,
    /// Which cluster that is.
    pub cluster: ClusterIdentity,
    /// How long the first answers may take.
    pub(crate) first_answer_limit: Duration,
    /// How its other apiservers are asked what anybody may ask; none: only a proxy leads there.
    strangers: Option<Config>,
    /// What was said over the kubeconfig.
    pub(crate) options: ConnectionOptions,
}

impl Connection {
    /// Reads the kubeconfig and the flags, logs in where that takes a program, and prepares both clients. Nothing is sent to
    /// the apiserver yet.
    ///
    /// # Errors
    /// When the kubeconfig or what it points to cannot be used, or its login plugin gives no credentials.
    pub(crate) async fn prepare(args: &ConnectionOptions) -> Result<Self, Error> {
        let Loaded {
            mut config,
            credentials,
            proxy,
            origin,
        } = kubeconfig::load(args)?;
        let LoggedIn { bearer, identity } = credentials.log_in().await?;
        if let Some((certificate, key)) = identity {
            config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
            config.auth_info.client_key_data = Some(STANDARD.encode(key).into());
        }
        let cluster = ClusterIdentity::of(&config);
        // kube would otherwise retry 503 for many minutes, whatever the limits here say.
        config.default_retry = false;
        config.connect_timeout = Some(limits::CONNECT);
        let answer_limit = match args.request_timeout {
            Some(limit) if limit.is_zero() => None,
            Some(limit) => Some(limit),
            None => Some(limits::ANSWER),
        };
        config.read_timeout = None;
        let client = |config: Config| {
            let made = client(config, bearer.clone(), proxy.clone());
            made.map_err(|error| kubeconfig::unusable(&origin, &chain(&error)))
        };
        let stream = client(config.clone())?;
        config.read_timeout = answer_limit;
        config.reset_reader_on_write = true;
        let mut strangers = config.clone();
        strangers.auth_info = AuthInfo::default();
        strangers.connect_timeout = Some(limits::PORT_FROM_AFAR);
        let server = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();
        let control = client(config)?;
        let strangers = proxy.is_none().then_some(strangers);
        let first_answer_limit = args
            .request_timeout
            .filter(|limit| !limit.is_zero())
            .unwrap_or(limits::FIRST_ANSWER);
        Ok(Self {
            control,
            stream,
            server,
            namespace: args
                .namespace
                .clone()
                .unwrap_or_else(|| OWN_NAMESPACE.to_owned()),
            namespace_named: args.namespace.is_some(),
            cluster,
            first_answer_limit,
            strangers,
            options: args.clone(),
        })
    }

    /// Whether another address of this cluster's control plane can be asked from here.
    pub(crate) fn reaches_others(&self) -> bool {
        self.strangers.is_some()
    }

    /// A client for another apiserver of this cluster. It shows no credentials: who answers there is not known beforehand.
    pub(crate) fn stranger(&self, server: http::Uri) -> Option<Client> {
        let mut config = self.strangers.clone()?;
        config.cluster_url = server;
        client(config, None, None).ok()
    }
}

/// A client whose requests carry a token, if there is one, and whose errors name the proxy when that is at fault.
fn client(
    config: Config,
    bearer: Option<Bearer>,
    proxy: Option<Proxy>,
) -> Result<Client, kube::Error> {
    let named = move |error| proxied::named(error, proxy.as_ref());
    let builder = ClientBuilder::try_from(config)?.with_layer(&MapErrLayer::new(named));
    Ok(match bearer {
        None => builder.build(),
        Some(bearer) => builder
            .with_layer(&BufferLayer::new(WAITING))
            .with_layer(&AsyncFilterLayer::new(bearer))
            .build(),
    })
}

#[cfg(test)]
#[path = "connection/tests.rs"]
mod tests;
