//! The connection to the apiserver, and whether that apiserver can be used.

pub(crate) mod clock;
mod identity;
mod kubeconfig;
mod verdict;

use std::time::Duration;

use kube::{Client, Config};

use crate::cli::ConnectionArgs;
use crate::error::Error;

pub(crate) use identity::{ClusterIdentity, identity};
pub(crate) use kubeconfig::ADMIN_CONF;
pub(crate) use verdict::{Readiness, Refusals, Verdict, chain, judge, readiness};

/// How long a TCP and TLS handshake may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);
/// How long the answer to one request may take: longer than a busy apiserver needs, far shorter than the 60 s it keeps
/// requests when it has lost its etcd.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The namespace of Jobs and of the carried program unless another one is named.
pub(crate) const OWN_NAMESPACE: &str = "kubectl-etcd";

/// Two clients for one apiserver, and what is said about it in messages.
///
/// The hot path (discovery, creating, watching, reading) goes through [`Connection::stream`] alone, each request under a
/// limit of its own: what one request connected the next one uses, and a TLS handshake less is milliseconds less.
#[derive(Clone)]
pub(crate) struct Connection {
    /// For requests that have an end: every answer has a time limit.
    pub(crate) control: Client,
    /// For watches, logs and exec, which may be silent for long: whoever uses it keeps a timer.
    pub(crate) stream: Client,
    /// The apiserver's address as configured.
    pub(crate) server: String,
    /// Where Jobs and the carried program live. Unless it was named, a session decides it: [`crate::session`].
    pub(crate) namespace: String,
    /// Whether it was named on the command line.
    pub(crate) namespace_named: bool,
    /// Which cluster that is.
    pub(crate) cluster: ClusterIdentity,
    /// How long the first answers may take; long where a login plugin may ask a person something.
    pub(crate) first_answer_limit: Duration,
}

impl Connection {
    /// Reads the kubeconfig and the flags and prepares both clients. Nothing is sent yet.
    ///
    /// # Errors
    /// When the kubeconfig or what it points to cannot be used.
    pub(crate) async fn prepare(args: &ConnectionArgs) -> Result<Self, Error> {
        let loaded = kubeconfig::load(args).await?;
        let mut config = loaded.config;
        let cluster = ClusterIdentity::of(&config);
        // kube would otherwise retry 503 for many minutes, whatever the limits here say.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_LIMIT);
        let answer_limit = match args.request_timeout {
            Some(limit) if limit.is_zero() => None,
            Some(limit) => Some(limit),
            None => Some(ANSWER_LIMIT),
        };
        config.read_timeout = None;
        let stream = client(config.clone(), &loaded.origin)?;
        config.read_timeout = answer_limit;
        config.reset_reader_on_write = true;
        let server = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();
        let control = client(config, &loaded.origin)?;
        let first_answer_limit = if loaded.login_plugin {
            Duration::from_secs(90)
        } else {
            args.request_timeout
                .filter(|limit| !limit.is_zero())
                .unwrap_or(Duration::from_secs(5))
        };
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
        })
    }
}

fn client(config: Config, origin: &str) -> Result<Client, Error> {
    Client::try_from(config).map_err(|error| {
        Error::usage(format!("the kubeconfig {origin} cannot be used")).caused_by(error)
    })
}
