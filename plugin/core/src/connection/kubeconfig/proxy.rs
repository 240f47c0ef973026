//! Which proxy leads to the apiserver: the kubeconfig's, else the environment's, as Go programs read it.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// A proxy, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// Where it is.
    pub url: Uri,
    /// What named it: a line of a kubeconfig, or a variable.
    pub source: String,
}

impl Proxy {
    /// How it is called in messages: without what may stand before its host, a password.
    pub(crate) fn shown(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let authority = self
            .url
            .authority()
            .map_or("", http::uri::Authority::as_str);
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        format!("{scheme}://{host} ({})", self.source)
    }
}

/// Reads a kubeconfig's `proxy-url`. `NO_PROXY` is not for it: who writes one there means it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn of_kubeconfig(text: &str, source: String) -> Result<Proxy, String> {
    let url = text.parse::<Uri>().ok();
    let url = url.filter(|url| url.host().is_some_and(|host| !host.is_empty()));
    match url {
        Some(url) if is_known(&url) => Ok(Proxy { url, source }),
        // The text may have a password in it.
        _ => Err(format!(
            "{source} is no URL that begins with http://, https:// or socks5://"
        )),
    }
}

/// The environment's proxy for a server: none for this host itself, nor for one that `NO_PROXY` has.
///
/// # Errors
/// When the variable has no URL in it.
pub(super) fn of_environment(
    server: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, String> {
    let names = match server.scheme_str() {
        Some("https") => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    let of = |names: [&'static str; 2]| {
        let given = names.map(|name| Some((name, variable(name)?)));
        given
            .into_iter()
            .flatten()
            .find(|(_, text)| !text.is_empty())
    };
    let Some((name, text)) = of(names) else {
        return Ok(None);
    };
    let without = of(["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, text)| text);
    if is_this_host(server) || is_exempt(server, &without) {
        return Ok(None);
    }
    let url = match text.contains("://") {
        true => text,
        false => format!("http://{text}"),
    };
    of_kubeconfig(&url, name.to_owned()).map(Some)
}

fn is_known(url: &Uri) -> bool {
    matches!(url.scheme_str(), Some("http" | "https" | "socks5"))
}

fn is_this_host(server: &Uri) -> bool {
    let host = bare_host(server);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// An entry with a port is for that port alone; the others are hyper's to match.
fn is_exempt(server: &Uri, without: &str) -> bool {
    let default = if server.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let port = server.port_u16().unwrap_or(default);
    let entries = without.split(',').map(str::trim).filter_map(|entry| {
        let bracketed = entry.trim_start_matches('[');
        match entry.rsplit_once(':') {
            Some((host, own)) if !host.contains(':') || host.ends_with(']') => {
                (own.parse() == Ok(port)).then(|| host.trim_matches(['[', ']']))
            }
            _ => Some(bracketed.trim_end_matches(']')),
        }
    });
    let entries: Vec<&str> = entries.collect();
    if entries.contains(&"*") {
        return true;
    }
    let without = entries.join(",");
    // Any proxy will do: what is asked is whether there is one for this server.
    let matcher = Matcher::builder().all("http://proxy").no(without).build();
    matcher.intercept(server).is_none()
}

fn bare_host(server: &Uri) -> &str {
    let host = server.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let found = of_environment(&server.parse().unwrap(), |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        found.map(|proxy| proxy.map(|proxy| proxy.shown()))
    }

    #[test]
    fn the_variable_of_the_servers_scheme_counts() {
        let both = [
            ("HTTPS_PROXY", "http://u:secret@p:1"),
            ("http_proxy", "q:2"),
        ];
        let https = chosen("https://api:6443", &both).unwrap();
        assert_eq!(https.as_deref(), Some("http://p:1 (HTTPS_PROXY)"));
        let http = chosen("http://api:6443", &both).unwrap();
        assert_eq!(http.as_deref(), Some("http://q:2 (http_proxy)"));
        assert_eq!(chosen("https://api:6443", &[]), Ok(None));
        assert!(chosen("https://api:6443", &[("HTTPS_PROXY", "ftp://p")]).is_err());
    }

    #[test]
    fn no_proxy_is_for_the_server_and_not_for_the_proxy() {
        for (without, direct) in [
            ("10.0.0.0/8", true),
            ("10.0.0.9", true),
            ("10.0.0.9:6443", true),
            ("10.0.0.9:443", false),
            ("a,,10.0.0.9,", true),
            ("*", true),
            ("192.168.0.0/16", false),
            ("p", false),
            ("", false),
        ] {
            let variables = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", without)];
            let found = chosen("https://10.0.0.9:6443", &variables).unwrap();
            assert_eq!(found.is_none(), direct, "{without:?}");
        }
        for (server, without) in [
            ("https://api.example.com:6443", ".example.com"),
            ("https://api.example.com:6443", "example.com:6443"),
            ("https://[fd00::1]:6443", "fd00::/8"),
            ("https://[fd00::1]:6443", "[fd00::1]"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443"),
        ] {
            let variables = [("https_proxy", "http://p:1"), ("no_proxy", without)];
            assert_eq!(chosen(server, &variables), Ok(None), "{server} {without}");
        }
    }

    #[test]
    fn this_host_needs_no_proxy() {
        for server in [
            "https://127.0.0.1:6443",
            "https://localhost:6443",
            "https://[::1]:6443",
        ] {
            assert_eq!(chosen(server, &[("HTTPS_PROXY", "http://p:1")]), Ok(None));
        }
    }

    #[test]
    fn a_proxy_url_has_to_be_one() {
        for text in ["127.0.0.1:1", "ftp://p", "socks5h://p", "http://", "x y"] {
            assert!(of_kubeconfig(text, "x".into()).is_err(), "{text}");
        }
        for text in ["http://p:3128", "https://p", "socks5://p:1080"] {
            assert!(of_kubeconfig(text, "x".into()).is_ok(), "{text}");
        }
    }
}
