//! The apiserver's clock. Times in the cluster are its, and a workstation's may be minutes off.

use http::header::DATE;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::Client;
use kube::client::Body;

use crate::limits;

/// By how much the apiserver's clock is ahead of this host's, to a second; none when it does not tell.
pub async fn ahead(client: &Client) -> Option<SignedDuration> {
    let request = http::Request::get("/version").body(Body::empty()).ok()?;
    let response = tokio::time::timeout(limits::CLOCK, client.send(request))
        .await
        .ok()?
        .ok()?;
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let there = rfc2822::parse(date).ok()?.timestamp();
    Some(there.duration_since(Timestamp::now()))
}

/// Now, by a clock that is so much ahead of this host's.
pub fn now(ahead: SignedDuration) -> Timestamp {
    let here = Timestamp::now();
    here.checked_add(ahead).unwrap_or(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        let date = rfc2822::parse("Sat, 21 Nov 2026 19:30:00 GMT").unwrap();
        let expected: Timestamp = "2026-11-21T19:30:00Z".parse().unwrap();
        assert_eq!(date.timestamp(), expected);
    }
}
