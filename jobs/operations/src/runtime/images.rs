//! Images through CRI: which the runtime has, and how one is fetched from its registry.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use super::messages::{
    AuthConfig, ImageSpec, ImageStatusRequest, ImageStatusResponse, PullImageRequest,
    PullImageResponse,
};
use super::{IMAGES, LIMIT, Runtime};
use crate::failure::Failure;

/// How long a registry may take for one image. CRI tells nothing of how far it is.
pub const PULL_LIMIT: Duration = Duration::from_secs(600);

/// So many characters of the runtime's words are told: what matters is at their end.
const LONGEST_WORDS: usize = 800;

/// An image that the runtime has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The runtime's id: the digest of its configuration.
    pub id: String,
    /// What it takes, as the runtime counts it: containerd compressed, CRI-O unpacked.
    pub size_bytes: u64,
}

/// Who asks, to a registry. It goes to the runtime and is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// What a registry gave at a login.
    IdentityToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// Why an image was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct PullError {
    /// What sort of trouble it is, by the runtime's words.
    pub trouble: PullTrouble,
    /// The runtime's words.
    pub words: String,
}

/// What sort of trouble a fetch met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullTrouble {
    /// The registry wants a login, or refuses the one it got. Some say so of images that are not there, too.
    Unauthorized,
    /// It has no such image.
    NoSuchImage,
    /// Nothing answers there.
    Unreachable,
    /// What answers is not trusted: another authority's certificate, or no TLS.
    Untrusted,
    /// The disk is full.
    DiskFull,
    /// It took longer than [`PULL_LIMIT`].
    TooLong,
    /// The runtime itself does not answer.
    NoRuntime,
    /// Anything else.
    Other,
}

impl Runtime {
    /// What the runtime has by a name as manifests give it.
    ///
    /// # Errors
    /// As [`Runtime::containers`].
    pub async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        let request = ImageStatusRequest {
            image: Some(spec(name)),
        };
        let response: ImageStatusResponse = self.ask(IMAGES, "ImageStatus", request, LIMIT).await?;
        Ok(response.image.map(|image| Image {
            id: image.id,
            size_bytes: image.size,
        }))
    }

    /// Whether the runtime has an image, by a name as manifests give it.
    ///
    /// # Errors
    /// As [`Runtime::containers`].
    pub async fn has_image(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.image(name).await?.is_some())
    }

    /// Fetches an image from its registry. One that is there already is looked for again.
    ///
    /// # Errors
    /// What the registry, the way to it or the disk have against it.
    pub async fn pull(&self, name: &str, login: Option<&Login>) -> Result<(), PullError> {
        let request = PullImageRequest {
            image: Some(spec(name)),
            auth: login.map(auth),
        };
        let pulled = self
            .send::<_, PullImageResponse>(IMAGES, "PullImage", request, PULL_LIMIT)
            .await;
        pulled.map(drop).map_err(|status| pull_error(name, &status))
    }
}

fn spec(name: &str) -> ImageSpec {
    ImageSpec {
        image: name.to_owned(),
        ..ImageSpec::default()
    }
}

/// containerd passes a token by where there is a user.
fn auth(login: &Login) -> AuthConfig {
    match login {
        Login::Password { user, password } => AuthConfig {
            username: user.clone(),
            password: password.clone(),
            ..AuthConfig::default()
        },
        Login::IdentityToken(token) => AuthConfig {
            identity_token: token.clone(),
            ..AuthConfig::default()
        },
    }
}

fn pull_error(name: &str, status: &Status) -> PullError {
    PullError {
        trouble: trouble(name, status.code(), status.message()),
        words: one_line(&without_queries(status.message())),
    }
}

/// Without anything a terminal would act on.
fn one_line(words: &str) -> String {
    let clean = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST_WORDS).collect()
}

/// By the words of containerd and CRI-O, which have few codes for it.
fn trouble(name: &str, code: Code, words: &str) -> PullTrouble {
    const OF_WORDS: [(PullTrouble, &[&str]); 5] = [
        (
            PullTrouble::DiskFull,
            &["no space left on device", "disk quota exceeded"],
        ),
        (
            PullTrouble::Unauthorized,
            &[
                "401 unauthorized",
                "403 forbidden",
                "authorization failed",
                "no basic auth credentials",
                "unauthorized:",
                "pull access denied",
                "access to the resource is denied",
                "authentication required",
                "invalid username/password",
                "insufficient_scope",
            ],
        ),
        (
            PullTrouble::Untrusted,
            &[
                "x509:",
                "http response to https client",
                "tls: ",
                "certificate signed by unknown authority",
            ],
        ),
        (
            PullTrouble::Unreachable,
            &[
                "dial tcp",
                "connection refused",
                "no such host",
                "i/o timeout",
                "no route to host",
                "network is unreachable",
                "connection reset by peer",
                "tls handshake timeout",
                "client.timeout exceeded",
            ],
        ),
        (
            PullTrouble::NoSuchImage,
            &[
                "not found",
                "manifest unknown",
                "name unknown",
                "404 not found",
            ],
        ),
    ];
    // An image may be called anything.
    let words = words.replace(name, "").to_lowercase();
    let said = |all: &[&str]| all.iter().any(|one| words.contains(one));
    let by_words = OF_WORDS.iter().find(|(_, all)| said(all));
    match (by_words, code) {
        (Some((trouble, _)), _) => *trouble,
        (None, Code::NotFound) => PullTrouble::NoSuchImage,
        (None, Code::Unauthenticated | Code::PermissionDenied) => PullTrouble::Unauthorized,
        (None, Code::DeadlineExceeded) => PullTrouble::TooLong,
        (None, Code::Unavailable) => PullTrouble::NoRuntime,
        (None, _) => PullTrouble::Other,
    }
}

/// Addresses without what is behind their `?`: registries send on to stores by addresses that are signed there.
fn without_queries(words: &str) -> String {
    let mut left = String::with_capacity(words.len());
    let mut ahead = words;
    while let Some((before, query)) = ahead.split_once('?') {
        let end = query.find(|c: char| c.is_whitespace() || "\"'<>".contains(c));
        let (query, after) = query.split_at(end.unwrap_or(query.len()));
        left.push_str(before);
        left.push_str(if query.is_empty() { "?" } else { "?…" });
        ahead = after;
    }
    left + ahead
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn troubles_are_told_by_the_runtimes_words() {
        use PullTrouble as T;
        for (expected, words) in [
            (
                T::Unauthorized,
                "failed to pull and unpack image \"r.example/etcd:1\": failed to resolve image: pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
            ),
            (
                T::Unauthorized,
                "unexpected status from HEAD request to https://r.example/v2/etcd/manifests/1: 401 Unauthorized",
            ),
            (
                T::Unauthorized,
                "initializing source docker://r.example/etcd:1: reading manifest 1 in r.example/etcd: unauthorized: authentication required",
            ),
            (
                T::NoSuchImage,
                "failed to resolve reference \"r.example/etcd:1\": r.example/etcd:1: not found",
            ),
            (
                T::NoSuchImage,
                "reading manifest 1 in r.example/etcd: manifest unknown",
            ),
            (
                T::Unreachable,
                "failed to do request: Head \"https://r.example/v2/etcd/manifests/1\": dial tcp 10.0.0.9:443: connect: connection refused",
            ),
            (
                T::Unreachable,
                "pinging container registry r.example: Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
            ),
            (
                T::Untrusted,
                "Head \"https://r.example/v2/\": http: server gave HTTP response to HTTPS client",
            ),
            (
                T::Untrusted,
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            ),
            (
                T::DiskFull,
                "failed to extract layer: write /var/lib/x: no space left on device: unknown",
            ),
            (T::Other, "something new"),
        ] {
            let told = trouble("r.example/etcd:1", Code::Unknown, words);
            assert_eq!(told, expected, "{words}");
        }
        let odd = "r.example/dial tcp: not found";
        assert_eq!(trouble(odd, Code::Unknown, odd), T::Other);
        assert_eq!(trouble("x", Code::Unavailable, ""), T::NoRuntime);
        assert_eq!(trouble("x", Code::DeadlineExceeded, ""), T::TooLong);
    }

    #[test]
    fn what_is_signed_in_an_address_is_not_told() {
        let words = "Get \"https://store/blob?sig=abc&x=y\": EOF, is it? yes";
        let told = without_queries(words);
        assert_eq!(told, "Get \"https://store/blob?…\": EOF, is it? yes");
    }

    #[test]
    fn a_login_is_not_shown() {
        let login = Login::Password {
            user: "me".into(),
            password: "secret".into(),
        };
        let request = PullImageRequest {
            image: None,
            auth: Some(auth(&login)),
        };
        let text = format!("{login:?} {request:?}");
        assert!(!text.contains("secret") && !text.contains("me\""), "{text}");
    }

    proptest! {
        #[test]
        fn any_words_are_taken(name: String, words: String) {
            trouble(&name, Code::Unknown, &words);
            prop_assert!(!without_queries(&words).contains("?sig"));
        }
    }
}
