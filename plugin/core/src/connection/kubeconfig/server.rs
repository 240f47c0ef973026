//! The apiserver's address.

use http::Uri;
use http::uri::Scheme;

/// Reads an address: a URL, or HOST:PORT, which means https.
///
/// kubectl takes HOST:PORT for plain http, which no apiserver has spoken since Kubernetes 1.24, and sends it no
/// credentials. Here it is https, so that the certificate is checked and the credentials are of use.
///
/// # Errors
/// What is wrong with it.
pub(super) fn address(text: &str) -> Result<Uri, String> {
    // Before anything is said of the text: it may have a password in it.
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next();
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err(
            "the server has a user in its address: kubeconfigs have users of their own".to_owned(),
        );
    }
    let wrong = |what: &str| format!("the server {text:?} {what}");
    let url = match text.split_once("://") {
        Some(_) => text.to_owned(),
        None if text.contains(['/', '?', '#']) => {
            return Err(wrong(
                "is neither a URL nor HOST:PORT: put https:// before it",
            ));
        }
        None => format!("https://{text}"),
    };
    // What follows the path is no part of it, as with kubectl.
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let uri: Uri = url[..end]
        .parse()
        .map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("is neither https nor http"));
    }
    let authority = uri.authority().map(http::uri::Authority::as_str);
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("names no host"));
    }
    let after_host = authority.and_then(|text| text.rsplit_once(':'));
    let port = after_host.filter(|(_, port)| !port.contains(']'));
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return Err(wrong("has a port that is none"));
    }
    Ok(uri)
}

/// Whether what is sent there cannot be read on the way. Credentials go nowhere else, as with kubectl.
pub(super) fn is_private(server: &Uri) -> bool {
    server.scheme() == Some(&Scheme::HTTPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_means_https() {
        for (text, url) in [
            ("127.0.0.1:6443", "https://127.0.0.1:6443/"),
            ("api.example.com", "https://api.example.com/"),
            ("localhost:8080", "https://localhost:8080/"),
            ("[fd00::1]:6443", "https://[fd00::1]:6443/"),
            ("[fd00::1]", "https://[fd00::1]/"),
            ("https://10.0.0.1:6443", "https://10.0.0.1:6443/"),
            ("http://localhost:8001", "http://localhost:8001/"),
            (
                "https://rancher/k8s/clusters/c-1",
                "https://rancher/k8s/clusters/c-1",
            ),
            ("https://h:1/a?b#c", "https://h:1/a"),
        ] {
            assert_eq!(address(text).map(|uri| uri.to_string()).as_deref(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        for text in [
            "127.0.0.1:6443/a",
            "ftp://x",
            "https://",
            "https:///x",
            "https://h:99999",
            "https://h:",
            "://h",
            "a b",
            "https://u:p@h",
            "h:x",
            "/etc",
            "?",
            "https://h\u{e9}",
            "unix:///run/x",
        ] {
            let what = address(text).unwrap_err();
            assert!(what.starts_with("the server"), "{text:?}: {what}");
        }
    }

    #[test]
    fn only_https_is_private() {
        assert!(is_private(&address("h:6443").unwrap()));
        assert!(!is_private(&address("http://h:6443").unwrap()));
    }
}
