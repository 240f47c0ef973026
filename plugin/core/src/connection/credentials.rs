//! What is put on each request so that the apiserver knows who asks, where kube does not do it itself: a token, from the
//! kubeconfig, from a file that is read again, or from a login plugin that is run again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use etcd_datadir::disk::read_up_to;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use tokio::sync::Mutex;
use tower::BoxError;
use tower::filter::AsyncPredicate;

use super::login::{LoginFailure, Plugin};
use super::token::bearer;

use crate::limits;

/// So long before it expires a plugin's token is asked for anew.
const BEFORE_EXPIRY: SignedDuration = SignedDuration::from_secs(30);
/// The largest file with a token, in bytes.
const LARGEST_TOKEN: u64 = 1 << 20;

/// Where the credentials come from.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    /// kube has them in its configuration, or there are none.
    Kube,
    /// A token, as it is put on a request.
    Token(HeaderValue),
    /// A file with a token.
    File(PathBuf),
    /// A program that gives some.
    Plugin(Box<Plugin>),
}

/// What a login gave at first: something for each request, and a client certificate with its key in PEM.
pub(super) struct LoggedIn {
    pub(super) bearer: Option<Bearer>,
    pub(super) identity: Option<(String, String)>,
}

impl Credentials {
    /// Reads the file or runs the plugin, so that what is wrong there is said before the apiserver is asked anything.
    ///
    /// # Errors
    /// What is wrong there.
    pub(super) async fn log_in(self) -> Result<LoggedIn, LoginFailure> {
        let mut identity = None;
        let source = match self {
            Self::Kube => {
                return Ok(LoggedIn {
                    bearer: None,
                    identity,
                });
            }
            Self::Token(value) => Source::Token(value),
            Self::File(path) => {
                let value = of_file(&path)?;
                let last = Mutex::new((value, Instant::now()));
                Source::File { path, last }
            }
            Self::Plugin(plugin) => {
                let login = plugin.run().await?;
                identity = login.identity;
                let last = Mutex::new((login.token, login.expires));
                Source::Plugin { plugin, last }
            }
        };
        Ok(LoggedIn {
            bearer: Some(Bearer(Arc::new(source))),
            identity,
        })
    }
}

/// Reads the token of a file, which often ends with a line break that is no part of it.
fn of_file(path: &Path) -> Result<HeaderValue, LoginFailure> {
    let failure = |what: &str| LoginFailure {
        message: format!("the file with the token {} {what}", path.display()),
        hints: Vec::new(),
    };
    let unreadable = |error: io::Error| failure(&format!("cannot be read: {error}"));
    let bytes = read_up_to(path, LARGEST_TOKEN).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| failure("is not text"))?;
    match text.trim() {
        "" => Err(failure("is empty")),
        token => bearer(token).map_err(failure),
    }
}

/// Puts a token on each request.
#[derive(Clone)]
pub(super) struct Bearer(Arc<Source>);

enum Source {
    Token(HeaderValue),
    File {
        path: PathBuf,
        last: Mutex<(HeaderValue, Instant)>,
    },
    Plugin {
        plugin: Box<Plugin>,
        last: Mutex<(Option<HeaderValue>, Option<Timestamp>)>,
    },
}

impl Bearer {
    async fn value(&self) -> Result<Option<HeaderValue>, LoginFailure> {
        match &*self.0 {
            Source::Token(value) => Ok(Some(value.clone())),
            Source::File { path, last } => {
                let mut last = last.lock().await;
                if last.1.elapsed() >= limits::TOKEN_CURRENT {
                    // A file that is gone, or is being written, does not end what works.
                    if let Ok(value) = of_file(path) {
                        last.0 = value;
                    }
                    last.1 = Instant::now();
                }
                Ok(Some(last.0.clone()))
            }
            Source::Plugin { plugin, last } => {
                // Held while the plugin runs: it may ask a person, who is asked once.
                let mut last = last.lock().await;
                let expired = |at: Timestamp| {
                    Timestamp::now() >= at.saturating_sub(BEFORE_EXPIRY).unwrap_or(at)
                };
                if last.1.is_some_and(expired) {
                    let login = plugin.run().await?;
                    *last = (login.token, login.expires);
                }
                Ok(last.0.clone())
            }
        }
    }
}

impl AsyncPredicate<Request<Body>> for Bearer {
    type Future = BoxFuture<'static, Result<Request<Body>, BoxError>>;
    type Request = Request<Body>;

    fn check(&mut self, mut request: Request<Body>) -> Self::Future {
        let bearer = self.clone();
        Box::pin(async move {
            if let Some(value) = bearer.value().await? {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            Ok(request)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(bearer: &Bearer) -> String {
        let value = bearer.value().await.unwrap().unwrap();
        value.to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_token_files_line_break_is_no_part_of_the_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " abc\r\n").unwrap();
        let credentials = Credentials::File(file.path().to_owned());
        let bearer = credentials.log_in().await.unwrap().bearer.unwrap();
        assert_eq!(sent(&bearer).await, "Bearer abc");
    }

    #[tokio::test]
    async fn a_token_file_is_read_again_and_kept_when_it_is_gone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let credentials = Credentials::File(file.path().to_owned());
        let bearer = credentials.log_in().await.unwrap().bearer.unwrap();
        let age = || async {
            let Source::File { last, .. } = &*bearer.0 else {
                unreachable!()
            };
            last.lock().await.1 -= limits::TOKEN_CURRENT;
        };
        std::fs::write(file.path(), "two").unwrap();
        assert_eq!(sent(&bearer).await, "Bearer one");
        age().await;
        assert_eq!(sent(&bearer).await, "Bearer two");
        file.close().unwrap();
        age().await;
        assert_eq!(sent(&bearer).await, "Bearer two");
    }

    #[tokio::test]
    async fn a_token_file_that_is_empty_or_not_there_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = Credentials::File(file.path().to_owned()).log_in().await;
        assert!(empty.err().unwrap().message.ends_with(" is empty"));
        let missing = Credentials::File("/nowhere/token".into()).log_in().await;
        let message = missing.err().unwrap().message;
        assert!(
            message.contains("/nowhere/token cannot be read"),
            "{message}"
        );
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_refused() {
        for token in ["a\n", "a\r\nX-Evil: b", "\u{0}"] {
            assert!(bearer(token).is_err(), "{token:?}");
        }
        assert!(bearer("with a space").unwrap().is_sensitive());
    }
}
