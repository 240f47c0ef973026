//! Whether a component says of itself that it is well: the endpoints that kubelet asks too, and etcd's own client port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use hyper::StatusCode;
use serde_json::Value;

use super::address;
use crate::client::{Connector, EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::evidence::shown;
use crate::failure::{Failure, FailureKind};
use crate::flags::Flags;
use crate::https::{Pair, Said, Server, Tls};
use crate::limits::HEALTH_LIMIT;
use crate::manifest::Component;
use crate::target::Target;

/// What a component has to do to count as up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Its process runs. It is not asked how it is.
    Runs,
    /// It answers for itself. An etcd does that without its quorum, as it must when the members of a cluster are started
    /// one after another, and as a learner; for all others it is the same as [`Wanted::Serves`].
    Answers,
    /// It does its work: an etcd has a quorum and reads through it, a kube-apiserver is ready.
    Serves,
}

/// Where a component is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// An etcd.
    Etcd(Box<EtcdHealth>),
    /// A program of Kubernetes: its secure port and the path.
    Kubernetes {
        server: Box<Server>,
        path: &'static str,
        /// Whom to be, where strangers get no answer.
        known: Option<Pair>,
    },
    /// It is not known how.
    Unknown,
}

/// Where an etcd is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EtcdHealth {
    target: Target,
    /// For its own word. Clients are not served before there is a leader; these are.
    own: Option<(Server, &'static [&'static str])>,
}

/// What etcd answers for itself at `--listen-metrics-urls`: from 3.5.11 on, and before.
const BY_METRICS: &[&str] = &["/livez", "/health?serializable=true"];

/// What it answers at `--listen-peer-urls`.
const BY_PEERS: &[&str] = &["/version"];

impl Health {
    /// As the component's flags have it.
    pub(super) fn of(component: &Component, flags: &Flags, target: Option<Target>) -> Self {
        let file = |flag: &str| component.on_node(flags.get(flag)?);
        if let Some(target) = target {
            return Self::Etcd(Box::new(EtcdHealth {
                own: own(flags, file),
                target,
            }));
        }
        let (path, port) = match component.name() {
            "kube-apiserver" => ("/readyz", 6443),
            "kube-controller-manager" => ("/healthz", 10257),
            "kube-scheduler" => ("/healthz", 10259),
            _ => return Self::Unknown,
        };
        let tls = Tls {
            shows: file("tls-cert-file"),
            ..Tls::default()
        };
        match super::secure(flags, port) {
            Some(address) => Self::Kubernetes {
                server: Box::new(server(address, Some(tls))),
                path,
                known: pair(
                    file("kubelet-client-certificate"),
                    file("kubelet-client-key"),
                ),
            },
            None => Self::Unknown,
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// Why it is not well, or cannot be asked.
    pub(super) async fn ask(&self, wanted: Wanted) -> Result<(), Failure> {
        match (self, wanted) {
            (_, Wanted::Runs) => Ok(()),
            (Self::Etcd(etcd), Wanted::Answers) => etcd.answers().await,
            (Self::Etcd(etcd), Wanted::Serves) => etcd.serves().await,
            (
                Self::Kubernetes {
                    server,
                    path,
                    known,
                },
                _,
            ) => {
                let said = server.get(path, HEALTH_LIMIT).await?;
                let refused = matches!(
                    said.status,
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                );
                match (known, &server.tls) {
                    (Some(pair), Some(tls)) if refused => {
                        let server = Server {
                            address: server.address,
                            tls: Some(Tls {
                                client: Some(pair.clone()),
                                ..tls.clone()
                            }),
                        };
                        well(path, &server.get(path, HEALTH_LIMIT).await?)
                    }
                    _ => well(path, &said),
                }
            }
            (Self::Unknown, _) => Ok(()),
        }
    }
}

impl EtcdHealth {
    async fn answers(&self) -> Result<(), Failure> {
        let Some((server, paths)) = &self.own else {
            return self.serves().await;
        };
        let mut last = None;
        for path in *paths {
            let said = server.get(path, HEALTH_LIMIT).await?;
            match well(path, &said) {
                Ok(()) => return Ok(()),
                // A version that does not know it yet.
                Err(failure) if said.status == StatusCode::NOT_FOUND => last = Some(failure),
                Err(failure) => return Err(failure),
            }
        }
        last.map_or(Ok(()), Err)
    }

    async fn serves(&self) -> Result<(), Failure> {
        let connector = Connector::load(&self.target)?;
        let (endpoint, status) = connector.own(&self.target, OWN_LIMIT).await?;
        if !status.is_learner {
            return endpoint.linearizable_read(QUORUM_LIMIT).await.map(drop);
        }
        // It may not read through the quorum yet.
        match status.leader {
            Some(_) => Ok(()),
            None => Err(Failure::new(
                FailureKind::NoQuorum,
                format!("{}: it knows of no leader", endpoint.url()),
            )),
        }
    }
}

/// Where etcd answers while there is no leader: the port for metrics, else the one for the other members, to which it shows
/// itself as one of them.
fn own(
    flags: &Flags,
    file: impl Fn(&str) -> Option<PathBuf>,
) -> Option<(Server, &'static [&'static str])> {
    let of = |list: &str, certificate: &str, key: &str| {
        let urls = flags.list(list).into_iter();
        let mut servers = urls.filter_map(|url| {
            let tls = url.starts_with("https://").then(|| Tls {
                shows: file(certificate),
                client: pair(file(certificate), file(key)),
                ..Tls::default()
            });
            Some(server(address(url)?, tls))
        });
        servers.next()
    };
    let metrics = of("listen-metrics-urls", "cert-file", "key-file");
    let metrics = metrics.map(|server| (server, BY_METRICS));
    metrics.or_else(|| {
        let peers = of("listen-peer-urls", "peer-cert-file", "peer-key-file");
        peers.map(|server| (server, BY_PEERS))
    })
}

fn pair(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Option<Pair> {
    Some(Pair {
        certificate: certificate?,
        key: key?,
    })
}

/// Who listens on all addresses is asked on loopback.
fn server(listens: SocketAddr, tls: Option<Tls>) -> Server {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Server {
        address: SocketAddr::new(ip, listens.port()),
        tls,
    }
}

/// Whether an answer is a good one. A bad one of Kubernetes names the checks that fail, each on a line that begins with
/// `[-]`, or is a `Status` with a message; others say it in a line.
fn well(path: &str, said: &Said) -> Result<(), Failure> {
    if said.status.is_success() {
        return Ok(());
    }
    let lines = || said.text.lines().map(str::trim);
    let failing = lines().filter_map(|line| line.strip_prefix("[-]"));
    let failing: Vec<&str> = failing
        .filter_map(|check| check.split(' ').next())
        .collect();
    let first = || lines().find(|line| !line.is_empty()).unwrap_or_default();
    let words = match failing.is_empty() {
        true => message(&said.text).unwrap_or_else(|| first().to_owned()),
        false => format!("failing checks: {}", failing.join(", ")),
    };
    let words = shown(&words);
    let status = said.status.as_u16();
    let message = format!("{path} answers {status}: {words}");
    let kind = match said.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureKind::Unauthorized,
        _ => FailureKind::Other,
    };
    Err(Failure::new(kind, message))
}

/// The message of a `Status`.
fn message(text: &str) -> Option<String> {
    let status: Value = serde_json::from_str(text).ok()?;
    Some(status.get("message")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::static_pod::StaticPod;

    const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
    const APISERVER: &str = include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");

    fn health(text: &str, component: &str) -> Health {
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        StaticPod::of(&manifest, component, "cp-1").unwrap().health
    }

    #[test]
    fn an_apiserver_is_asked_on_loopback_and_must_show_its_certificate() {
        let Health::Kubernetes {
            server,
            path,
            known,
        } = health(APISERVER, "kube-apiserver")
        else {
            panic!("no apiserver");
        };
        assert_eq!(server.address, "127.0.0.1:6443".parse().unwrap());
        assert_eq!(path, "/readyz");
        let tls = server.tls.unwrap();
        assert_eq!(tls.shows, Some("/etc/kubernetes/pki/apiserver.crt".into()));
        assert_eq!(tls.client, None, "a stranger is answered");
        assert_eq!(
            known.unwrap().certificate,
            PathBuf::from("/etc/kubernetes/pki/apiserver-kubelet-client.crt")
        );
    }

    #[test]
    fn an_etcd_answers_for_itself_by_its_metrics_or_as_a_peer() {
        let own = |text: &str| match health(text, "etcd") {
            Health::Etcd(etcd) => etcd.own.unwrap(),
            other => panic!("{other:?}"),
        };
        let (server, paths) = own(ETCD);
        assert_eq!(server.address, "127.0.0.1:2381".parse().unwrap());
        assert_eq!((server.tls, paths), (None, BY_METRICS));
        let without: Vec<&str> = ETCD
            .lines()
            .filter(|line| !line.contains("listen-metrics-urls"))
            .collect();
        let (server, paths) = own(&without.join("\n"));
        assert_eq!((server.address.port(), paths), (2380, BY_PEERS));
        assert_eq!(
            server.tls.unwrap().shows,
            Some("/etc/kubernetes/pki/etcd/peer.crt".into())
        );
    }

    #[test]
    fn what_fails_is_named() {
        let said = |status: u16, text: &str| Said {
            status: StatusCode::from_u16(status).unwrap(),
            cluster: None,
            text: text.to_owned(),
        };
        assert_eq!(well("/readyz", &said(200, "ok")), Ok(()));
        let readyz = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]informer-sync failed: reason withheld\n";
        let failure = well("/readyz", &said(500, readyz)).unwrap_err();
        assert_eq!(
            failure.message,
            "/readyz answers 500: failing checks: etcd, informer-sync"
        );
        let status = r#"{"kind":"Status","message":"forbidden: User \"x\"","code":403}"#;
        let failure = well("/readyz", &said(403, status)).unwrap_err();
        assert_eq!(
            failure.message,
            "/readyz answers 403: forbidden: User \"x\""
        );
        assert_eq!(failure.kind, FailureKind::Unauthorized);
        let failure = well("/health", &said(503, "\n{\"health\":\"false\"}\n")).unwrap_err();
        assert_eq!(
            failure.message,
            "/health answers 503: {\"health\":\"false\"}"
        );
    }
}
