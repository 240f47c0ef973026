//! Is this apiserver usable? A refusal can be false: an apiserver without its etcd knows no RBAC rules and forbids
//! everything to everybody. Its `/readyz`, which needs no rights, tells the difference.

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use etcd_operations::client::chain;
use kube::client::{AuthError, Body};
use kube::{Client, Error as KubeError};
use tokio::time::Instant;

use super::login::LoginFailure;
use super::proxied::{ProxyFailure, causes};
use crate::error::{Error, ErrorKind};
use crate::limits;

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Everything is ready.
    Ready,
    /// Its check of etcd fails.
    EtcdFails,
    /// Something else is not ready (yet): these checks.
    NotReady(Vec<String>),
    /// It could not be asked, or not in time.
    Unknown,
}

/// What an apiserver that gave no usable answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs, but has no etcd behind it, or cannot do its work for another reason that is not the user's.
    WithoutEtcd {
        /// How it shows.
        reason: String,
    },
    /// Nothing answers there.
    Unreachable {
        /// The chain of causes.
        reason: String,
    },
    /// The proxy on the way to it does not do its work.
    ProxyFails {
        /// Which proxy, and the chain of causes.
        reason: String,
    },
    /// There are no credentials to show it.
    NotLoggedIn(LoginFailure),
    /// It answers and does not accept who we are, or we do not accept who it is.
    BadCredentials {
        /// Which of the two and why.
        reason: String,
    },
    /// It is in order and refuses: the user's rights do not suffice.
    Forbidden {
        /// Its words.
        message: String,
    },
    /// It is in order and said something else.
    Failed {
        /// Its words.
        reason: String,
    },
}

impl Verdict {
    /// Whether the same work may be done another way, without this apiserver.
    pub(crate) fn means_no_apiserver(&self) -> bool {
        matches!(
            self,
            Self::WithoutEtcd { .. } | Self::Unreachable { .. } | Self::ProxyFails { .. }
        )
    }

    /// The verdict as a lower-case fragment.
    pub(crate) fn describe(&self, server: &str) -> String {
        match self {
            Self::WithoutEtcd { reason } => {
                format!("the apiserver {server} has no working etcd behind it ({reason})")
            }
            Self::Unreachable { reason } => {
                format!("the apiserver {server} does not answer: {reason}")
            }
            Self::ProxyFails { reason } => reason.clone(),
            Self::NotLoggedIn(failure) => failure.message.clone(),
            Self::BadCredentials { reason } => {
                format!("the apiserver {server} and this kubeconfig do not fit: {reason}")
            }
            Self::Forbidden { message } => format!("missing rights: {message}"),
            Self::Failed { reason } => format!("the apiserver {server} failed: {reason}"),
        }
    }

    /// The verdict as the error that ends a command.
    pub(crate) fn into_error(self, server: &str) -> Error {
        let kind = match self {
            Self::WithoutEtcd { .. } | Self::Unreachable { .. } | Self::ProxyFails { .. } => {
                ErrorKind::NothingReached
            }
            Self::NotLoggedIn(_) | Self::BadCredentials { .. } | Self::Forbidden { .. } => {
                ErrorKind::NotAllowed
            }
            Self::Failed { .. } => ErrorKind::Failed,
        };
        let error = Error::new(kind, self.describe(server));
        match self {
            Self::BadCredentials { .. } => error
                .hint(advice!["check the kubeconfig's certificates or token; on a control-plane node, as root: ", Choice::Via.with("local")]),
            Self::Forbidden { message } => error.hint(crate::rights::grant(&message)),
            Self::NotLoggedIn(failure) => failure.hints.into_iter().fold(error, Error::hint),
            Self::ProxyFails { .. } => error.hint(
                "see whether the proxy works; without one: add the apiserver's host to NO_PROXY, or remove the cluster's proxy-url",
            ),
            Self::WithoutEtcd { .. } | Self::Unreachable { .. } | Self::Failed { .. } => error,
        }
    }
}

/// Without its second check of etcd, which comes after the first and takes another 2 s then. An apiserver that has no such check
/// does not mind.
pub(crate) const READYZ: &str = "/readyz?verbose&exclude=etcd-readiness";

/// Asks `/readyz`.
pub(crate) async fn readiness(client: &Client) -> Readiness {
    let request = http::Request::get(READYZ).body(Body::empty());
    let Ok(request) = request else {
        return Readiness::Unknown;
    };
    let answer = async {
        let response = client.send(request).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect_bytes().await.ok()?;
        Some(parse_readyz(
            status.as_u16(),
            &String::from_utf8_lossy(&body),
        ))
    };
    match tokio::time::timeout(limits::READYZ, answer).await {
        Ok(Some(readiness)) => readiness,
        Ok(None) | Err(_) => Readiness::Unknown,
    }
}

/// Whether an apiserver that was lost is in order again: etcd has elected another leader, say.
pub(crate) async fn is_ready_again(client: &Client) -> bool {
    let ready = tokio::time::timeout(limits::READY_AGAIN, readiness(client)).await;
    ready == Ok(Readiness::Ready)
}

/// Refusals met in the middle of work whose right was there a moment ago. An apiserver that has just started forbids
/// everything to everybody until it has read RBAC's rules from etcd.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    first: Option<Instant>,
    /// How often one was met that was ready.
    while_ready: u32,
}

impl Refusals {
    /// Whether this error is a refusal to be believed: an apiserver that is ready gave it, and gave it again.
    pub(crate) async fn believed(&mut self, client: &Client, error: &KubeError) -> bool {
        if !matches!(error, KubeError::Api(status) if matches!(status.code, 401 | 403)) {
            return false;
        }
        let first = *self.first.get_or_insert_with(Instant::now);
        match readiness(client).await {
            Readiness::Ready => self.while_ready += 1,
            Readiness::EtcdFails | Readiness::NotReady(_) => self.first = None,
            Readiness::Unknown => {}
        }
        self.while_ready > 1 || first.elapsed() >= limits::REFUSAL_DOUBTED
    }
}

fn parse_readyz(status: u16, body: &str) -> Readiness {
    if status == 200 {
        return Readiness::Ready;
    }
    // Lines are `[+]ping ok` and `[-]etcd failed: reason withheld`.
    let failed: Vec<_> = body
        .lines()
        .filter_map(|line| line.strip_prefix("[-]"))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    if failed
        .iter()
        .any(|check| check == "etcd" || check == "etcd-readiness")
    {
        Readiness::EtcdFails
    } else if failed.is_empty() {
        Readiness::Unknown
    } else {
        Readiness::NotReady(failed)
    }
}

/// Judges a request that failed, by its error (none: no answer in time) and by what `/readyz` says.
pub fn judge(error: Option<&KubeError>, readiness: &Readiness) -> Verdict {
    let not_in_time = || Verdict::WithoutEtcd {
        reason: match readiness {
            Readiness::EtcdFails => "/readyz says: etcd failed".into(),
            Readiness::NotReady(checks) => format!("not ready: {}", checks.join(", ")),
            Readiness::Ready | Readiness::Unknown => {
                "it accepts requests and does not answer them in time".into()
            }
        },
    };
    let Some(error) = error else {
        return not_in_time();
    };
    match error {
        KubeError::Api(status) if status.code == 401 => Verdict::BadCredentials {
            reason: "401 Unauthorized: the certificate or token is not accepted".into(),
        },
        KubeError::Api(status) => match readiness {
            Readiness::EtcdFails => not_in_time(),
            // The rules of RBAC come from etcd: before these are read, the administrator is refused too.
            Readiness::NotReady(checks) if status.code == 403 => Verdict::WithoutEtcd {
                reason: format!("not ready: {}", checks.join(", ")),
            },
            Readiness::Unknown if status.code == 403 => Verdict::WithoutEtcd {
                reason: "it refuses, and its /readyz does not answer".into(),
            },
            _ if status.code == 403 => Verdict::Forbidden {
                message: status.message.clone(),
            },
            // 429: an apiserver that started without etcd answers so before it gives up.
            _ if matches!(status.code, 503 | 504)
                || status.message.contains("etcdserver:")
                || status.message.contains("storage is (re)initializing") =>
            {
                Verdict::WithoutEtcd {
                    reason: status.message.clone(),
                }
            }
            _ => Verdict::Failed {
                reason: status.message.clone(),
            },
        },
        other => {
            let reason = chain(other);
            if let Some(verdict) = before_the_apiserver(other, &reason) {
                return verdict;
            }
            if certificate_trouble(&reason) {
                return Verdict::BadCredentials { reason };
            }
            if *readiness == Readiness::EtcdFails || reason.contains("operation timed out") {
                return not_in_time();
            }
            Verdict::Unreachable { reason }
        }
    }
}

/// The verdict on a request that never came to the apiserver, for lack of a login or of a working proxy.
fn before_the_apiserver(error: &KubeError, reason: &str) -> Option<Verdict> {
    for cause in causes(error) {
        if let Some(failure) = cause.downcast_ref::<LoginFailure>() {
            return Some(Verdict::NotLoggedIn(failure.clone()));
        }
        if cause.is::<AuthError>() {
            return Some(Verdict::NotLoggedIn(LoginFailure {
                message: format!("the kubeconfig's user cannot log in: {reason}"),
                hints: Vec::new(),
            }));
        }
        if cause.is::<ProxyFailure>() {
            return Some(Verdict::ProxyFails {
                reason: reason.to_owned(),
            });
        }
    }
    None
}

/// rustls' own words for a server or client certificate that is not accepted.
fn certificate_trouble(reason: &str) -> bool {
    ["invalid peer certificate", "received fatal alert"]
        .iter()
        .any(|words| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    const WITHOUT_ETCD: &str = "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\n\
        [-]etcd-readiness failed: reason withheld\n[-]informer-sync failed: reason withheld\nreadyz check failed\n";

    fn api(code: u16, message: &str, reason: &str) -> KubeError {
        let mut status = Status::failure(message, reason);
        status.code = code;
        KubeError::Api(status.boxed())
    }

    #[test]
    fn readyz_is_read() {
        assert_eq!(
            parse_readyz(200, "[+]ping ok\nreadyz check passed\n"),
            Readiness::Ready
        );
        assert_eq!(parse_readyz(500, WITHOUT_ETCD), Readiness::EtcdFails);
        assert_eq!(
            parse_readyz(500, "[+]etcd ok\n[-]shutdown failed: reason withheld\n"),
            Readiness::NotReady(vec!["shutdown".into()])
        );
        assert_eq!(parse_readyz(404, "not found"), Readiness::Unknown);
    }

    #[test]
    fn a_refusal_without_etcd_is_never_called_missing_rights() {
        let refused = api(
            403,
            "nodes is forbidden: User \"kubernetes-admin\" cannot list",
            "Forbidden",
        );
        for readiness in [
            Readiness::EtcdFails,
            Readiness::NotReady(vec!["informer-sync".into()]),
            Readiness::Unknown,
        ] {
            let verdict = judge(Some(&refused), &readiness);
            assert!(
                matches!(verdict, Verdict::WithoutEtcd { .. }),
                "{readiness:?}: {verdict:?}"
            );
            assert_eq!(verdict.into_error("https://s").kind.exit_code(), 6);
        }
        let verdict = judge(Some(&refused), &Readiness::Ready);
        assert!(matches!(verdict, Verdict::Forbidden { .. }));
        assert_eq!(verdict.into_error("https://s").kind.exit_code(), 1);
    }

    #[test]
    fn requests_that_are_held_mean_no_etcd() {
        assert!(judge(None, &Readiness::Unknown).means_no_apiserver());
        let timeout = api(
            504,
            "the server was unable to return a response in the time allotted",
            "Timeout",
        );
        assert!(judge(Some(&timeout), &Readiness::Unknown).means_no_apiserver());
    }

    #[test]
    fn an_apiserver_that_initializes_its_storage_has_no_etcd() {
        let starting = api(429, "storage is (re)initializing", "TooManyRequests");
        assert!(judge(Some(&starting), &Readiness::Unknown).means_no_apiserver());
    }

    #[test]
    fn a_wrong_token_is_said_to_be_one() {
        let verdict = judge(
            Some(&api(401, "Unauthorized", "Unauthorized")),
            &Readiness::Ready,
        );
        assert!(matches!(verdict, Verdict::BadCredentials { .. }));
        assert!(!verdict.means_no_apiserver());
    }

    #[derive(Debug, thiserror::Error)]
    #[error("ServiceError: {0}")]
    struct Service(#[source] Connect);
    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Connect(#[source] std::io::Error);

    #[test]
    fn the_chain_is_said_without_repetition() {
        let refused = std::io::Error::from_raw_os_error(111);
        assert_eq!(
            chain(&Service(Connect(refused))),
            "client error (Connect): Connection refused (os error 111)"
        );
    }
}
