//! What this host's own apiserver says of itself. It is asked directly: what answers at the cluster's address may be
//! another one.

use futures::join;
use serde::{Deserialize, Serialize};

use crate::failure::{Answer, Failure};
use crate::https::{Said, Server, Tls};
use crate::limits::APISERVER_LIMIT;

/// What an apiserver says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiserverHealth {
    /// Where it was asked.
    pub url: String,
    /// `/livez`: when that fails, kubelet ends it and starts it again.
    pub livez: Answer<HealthAnswer>,
    /// `/readyz`: whether it can serve.
    pub readyz: Answer<HealthAnswer>,
}

/// What a health endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthAnswer {
    /// The answer's HTTP status: 200 when all is well.
    pub status: u16,
    /// The checks that fail, such as `etcd`, as far as they are told.
    pub failing: Vec<String>,
}

impl HealthAnswer {
    /// Whether all is well.
    pub fn is_ok(&self) -> bool {
        self.status == 200
    }
}

/// Asks an apiserver of this host.
///
/// # Errors
/// When it does not answer at all.
pub(super) async fn look(url: &str) -> Result<ApiserverHealth, Failure> {
    // An expired certificate is no reason not to hear what it says; nothing secret is sent.
    let server = Server::at(url, Tls::default()).await?;
    let (livez, readyz) = join!(
        server.get("/livez?verbose", APISERVER_LIMIT),
        server.get("/readyz?verbose", APISERVER_LIMIT)
    );
    match (livez, readyz) {
        (Err(failure), Err(_)) => Err(failure),
        (livez, readyz) => Ok(ApiserverHealth {
            url: url.to_owned(),
            livez: livez.map(|said| health(&said)).into(),
            readyz: readyz.map(|said| health(&said)).into(),
        }),
    }
}

/// Each check is on a line, one that fails begins with `[-]`: `[-]etcd failed: reason withheld`.
fn health(said: &Said) -> HealthAnswer {
    let failing = said
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("[-]"));
    HealthAnswer {
        status: said.status.as_u16(),
        failing: failing
            .filter_map(|line| line.split_ascii_whitespace().next())
            .map(str::to_owned)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn the_checks_that_fail_are_told() {
        let said = |status, text: &str| Said {
            status,
            cluster: None,
            text: text.to_owned(),
        };
        let text = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]informer-sync failed: x\nreadyz check failed\n[-]\n";
        let answer = health(&said(StatusCode::INTERNAL_SERVER_ERROR, text));
        assert_eq!(answer.failing, ["etcd", "informer-sync"]);
        assert!(!answer.is_ok());
        assert!(health(&said(StatusCode::OK, "[+]ping ok\n")).is_ok());
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_a_failure() {
        assert!(look("https://127.0.0.1:1").await.is_err());
    }
}
