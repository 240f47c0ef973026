//! A request that fails at the proxy says so: the apiserver was not reached, and is not to blame.

use std::error::Error as StdError;
use std::io;

use tower::BoxError;

use super::kubeconfig::Proxy;

/// What hyper's connectors say of a proxy that does not do its work.
const WORDS: [&str; 2] = ["tunnel error: ", "SOCKS error: "];

/// A proxy that led to no apiserver.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy} does not connect to the apiserver")]
pub(crate) struct ProxyFailure {
    proxy: String,
    #[source]
    source: BoxError,
}

/// The error itself, or that of the proxy if it is one.
pub(super) fn named(error: BoxError, proxy: Option<&Proxy>) -> BoxError {
    match proxy {
        Some(proxy) if is_of_proxy(error.as_ref()) => Box::new(ProxyFailure {
            proxy: proxy.shown(),
            source: error,
        }),
        _ => error,
    }
}

fn is_of_proxy(error: &(dyn StdError + 'static)) -> bool {
    let says_so = causes(error).any(|cause| {
        let text = cause.to_string();
        WORDS.iter().any(|words| text.contains(words))
    });
    says_so || is_late_connect(error)
}

/// Whether connecting took too long. That limit is kept around proxy and apiserver together, and who is asked first is the
/// proxy.
fn is_late_connect(error: &(dyn StdError + 'static)) -> bool {
    let connecting = causes(error).any(|cause| {
        let client = cause.downcast_ref::<hyper_util::client::legacy::Error>();
        client.is_some_and(hyper_util::client::legacy::Error::is_connect)
    });
    let late = causes(error).any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
    });
    connecting && late
}

/// An error and all below it.
pub(crate) fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
