//! Why the runtime did not fetch an image, and what to do about it.

use tonic::{Code, Status};

use super::Logins;
use crate::advice::Fixed::{self, Words};
use crate::advice::{Choice, Task};
use crate::failure::{Failure, FailureKind};

/// So many characters of the runtime's words are told: what matters is at their end.
const LONGEST_WORDS: usize = 800;

/// A kind of error. Containerd and CRI-O have few codes for them: they are told by the words they use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PullError {
    kind: FailureKind,
    what: &'static str,
    hint: &'static [Fixed],
    /// Any of these in the runtime's message, in lower case, means this error.
    words: &'static [&'static str],
    /// So does this code when no error's words are in it.
    codes: &'static [Code],
}

impl PullError {
    /// The registry wants a login, or refuses the one it got. Some say so of images that are not there, too.
    pub(super) const UNAUTHORIZED: Self = Self {
        kind: FailureKind::Unauthorized,
        what: "its registry wants a login",
        hint: &[
            Fixed::Choice(Choice::AuthFile, "FILE"),
            Words(" gives one, as docker login and podman login write it"),
        ],
        words: &[
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
        codes: &[Code::Unauthenticated, Code::PermissionDenied],
    };
    const DISK_FULL: Self = Self {
        kind: FailureKind::NoSpace,
        what: "the disk is full",
        hint: &[Words(
            "df -h /var/lib/containerd; crictl rmi --prune removes images that nothing uses",
        )],
        words: &["no space left on device", "disk quota exceeded"],
        codes: &[],
    };
    const UNTRUSTED: Self = Self {
        kind: FailureKind::Unreachable,
        what: "the runtime does not trust its registry",
        hint: &[Words(
            "give the runtime the registry's authority: with containerd in /etc/containerd/certs.d/REGISTRY/hosts.toml",
        )],
        words: &[
            "x509:",
            "http response to https client",
            "tls: ",
            "certificate signed by unknown authority",
        ],
        codes: &[],
    };
    const UNREACHABLE: Self = Self {
        kind: FailureKind::Unreachable,
        what: "its registry cannot be reached",
        hint: &[Words(
            "look at the way there (name service, proxy, firewall), or load the image from a file: ctr -n k8s.io images import FILE",
        )],
        words: &[
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
        codes: &[],
    };
    const NO_SUCH_IMAGE: Self = Self {
        kind: FailureKind::Missing,
        what: "its registry does not have it",
        hint: &[
            Words("correct the name ("),
            Fixed::Task(Task::SetImage, &["COMPONENT", "IMAGE"]),
            Words("), or push the image"),
        ],
        words: &["not found", "manifest unknown", "name unknown"],
        codes: &[Code::NotFound],
    };
    /// It took longer than [`crate::limits::PULL_LIMIT`].
    const TOO_LONG: Self = Self {
        kind: FailureKind::Unreachable,
        what: "it was not there after 10 minutes",
        hint: &[Words("try it again: what was fetched of it stays")],
        words: &[],
        codes: &[Code::DeadlineExceeded],
    };
    const NO_RUNTIME: Self = Self {
        kind: FailureKind::Unreachable,
        what: "the container runtime does not answer",
        hint: &[Words("systemctl status containerd")],
        words: &[],
        codes: &[Code::Unavailable],
    };
    const OTHER: Self = Self {
        kind: FailureKind::Other,
        what: "the container runtime failed",
        hint: &[Words("journalctl -u containerd -n 50")],
        words: &[],
        codes: &[],
    };
    /// In the order in which their words count.
    const ALL: [Self; 7] = [
        Self::DISK_FULL,
        Self::UNAUTHORIZED,
        Self::UNTRUSTED,
        Self::UNREACHABLE,
        Self::NO_SUCH_IMAGE,
        Self::TOO_LONG,
        Self::NO_RUNTIME,
    ];

    /// Which error it is that the runtime answers for this image.
    pub(super) fn of(image: &str, status: &Status) -> Self {
        of(image, status.code(), status.message())
    }
}

fn of(image: &str, code: Code, words: &str) -> PullError {
    // An image may be called anything.
    let words = words.replace(image, "").to_lowercase();
    let says = |error: &PullError| error.words.iter().any(|one| words.contains(one));
    let mut all = PullError::ALL.into_iter();
    let by_words = all.clone().find(says);
    by_words
        .or_else(|| all.find(|error| error.codes.contains(&code)))
        .unwrap_or(PullError::OTHER)
}

/// The error with the runtime's words, and what to do about it.
pub(super) fn failure(image: &str, error: PullError, status: &Status, logins: &Logins) -> Failure {
    let (what, hint) = match error {
        PullError::UNAUTHORIZED => unauthorized(image, logins),
        error => (error.what.to_owned(), error.hint),
    };
    let words = one_line(&without_queries(status.message()));
    let message = format!("{image} could not be fetched: {what}: {words}");
    Failure::new(error.kind, message).hint(hint)
}

/// Without anything a terminal would act on.
fn one_line(words: &str) -> String {
    let clean = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST_WORDS).collect()
}

fn unauthorized(image: &str, logins: &Logins) -> (String, &'static [Fixed]) {
    let (wants, give) = (PullError::UNAUTHORIZED.what, PullError::UNAUTHORIZED.hint);
    let Some(file) = logins.file.as_ref().map(|file| file.display()) else {
        return (format!("{wants}, and none was given"), give);
    };
    if !logins.of_image(image).is_empty() {
        return (
            format!("its registry refuses the login in {file}"),
            &[Words(
                "look whether the login is right and may read this image, and whether there is such an image",
            )],
        );
    }
    let what = match logins.helper_of_image(image) {
        Some(program) => format!(
            "{wants}, and {file} leaves that to the program docker-credential-{program}, which is not asked"
        ),
        None => format!("{wants}, and there is none for it in {file}"),
    };
    (what, give)
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
    use crate::advice;

    #[test]
    fn troubles_are_told_by_the_runtimes_words() {
        use PullError as T;
        for (expected, words) in [
            (
                T::UNAUTHORIZED,
                "failed to pull and unpack image \"r.example/etcd:1\": failed to resolve image: pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
            ),
            (
                T::UNAUTHORIZED,
                "unexpected status from HEAD request to https://r.example/v2/etcd/manifests/1: 401 Unauthorized",
            ),
            (
                T::UNAUTHORIZED,
                "initializing source docker://r.example/etcd:1: reading manifest 1 in r.example/etcd: unauthorized: authentication required",
            ),
            (
                T::NO_SUCH_IMAGE,
                "failed to resolve reference \"r.example/etcd:1\": r.example/etcd:1: not found",
            ),
            (
                T::NO_SUCH_IMAGE,
                "reading manifest 1 in r.example/etcd: manifest unknown",
            ),
            (
                T::UNREACHABLE,
                "failed to do request: Head \"https://r.example/v2/etcd/manifests/1\": dial tcp 10.0.0.9:443: connect: connection refused",
            ),
            (
                T::UNREACHABLE,
                "pinging container registry r.example: Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
            ),
            (
                T::UNTRUSTED,
                "Head \"https://r.example/v2/\": http: server gave HTTP response to HTTPS client",
            ),
            (
                T::UNTRUSTED,
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            ),
            (
                T::DISK_FULL,
                "failed to extract layer: write /var/lib/x: no space left on device: unknown",
            ),
            (T::OTHER, "something new"),
        ] {
            let told = of("r.example/etcd:1", Code::Unknown, words);
            assert_eq!(told, expected, "{words}");
        }
        let odd = "r.example/dial tcp: not found";
        assert_eq!(of(odd, Code::Unknown, odd), T::OTHER);
        assert_eq!(of("x", Code::Unavailable, ""), T::NO_RUNTIME);
        assert_eq!(of("x", Code::DeadlineExceeded, ""), T::TOO_LONG);
    }

    #[test]
    fn what_is_signed_in_an_address_is_not_told() {
        let words = "Get \"https://store/blob?sig=abc&x=y\": EOF, is it? yes";
        let told = without_queries(words);
        assert_eq!(told, "Get \"https://store/blob?…\": EOF, is it? yes");
    }

    #[test]
    fn each_error_says_what_to_do() {
        let all = PullError::ALL.into_iter().chain([PullError::OTHER]);
        for error in all {
            let status = Status::unknown("its words");
            let failure = failure("r.example/etcd:1", error, &status, &Logins::default());
            assert!(
                failure
                    .message
                    .starts_with("r.example/etcd:1 could not be fetched: ")
            );
            assert!(failure.message.ends_with(": its words") && failure.hint.is_some());
        }
        let status = Status::not_found("");
        let missing = failure("x", PullError::NO_SUCH_IMAGE, &status, &Logins::default());
        let set = Task::SetImage.of("COMPONENT").of("IMAGE");
        let hint = advice!["correct the name (", set, "), or push the image"];
        assert_eq!(missing.hint, Some(hint));
        let minutes = crate::limits::PULL_LIMIT.as_secs() / 60;
        assert!(
            PullError::TOO_LONG
                .what
                .contains(&format!("after {minutes} minutes"))
        );
    }

    #[test]
    fn which_login_was_refused_or_missing_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth.json");
        let text = r#"{"auths": {"r.example": {"username": "u", "password": "p"}}, "credHelpers": {"g.example": "gcloud"}}"#;
        std::fs::write(&file, text).unwrap();
        let logins = Logins::read(&file).unwrap();
        let what = |image: &str, logins: &Logins| unauthorized(image, logins).0;
        assert!(what("r.example/etcd", &logins).contains("refuses the login in /"));
        assert!(what("x.example/etcd", &logins).contains("there is none for it in /"));
        assert!(what("g.example/etcd", &logins).contains("docker-credential-gcloud"));
        assert!(what("r.example/etcd", &Logins::default()).ends_with("none was given"));
    }

    proptest! {
        #[test]
        fn any_words_are_taken(name: String, words: String) {
            of(&name, Code::Unknown, &words);
            prop_assert!(!without_queries(&words).contains("?sig"));
        }
    }
}
