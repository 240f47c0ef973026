//! Which node a host is: what it says of itself, held against what it was asked as.
//!
//! A control-plane node may lie. One that takes the name of another would be shown, asked and changed in its place.

use std::collections::BTreeSet;

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use etcd_operations::wire::answer::Hello;

use crate::error::Error;
use crate::host_name::is_node_name;
use crate::ssh::Candidate;

/// What a host's word on its name is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// It is the node that it was asked as.
    Asked,
    /// It was asked as a member, and has that member on a node of another name.
    OfMember,
    /// Nobody knew beforehand which node is there.
    Free,
    /// It calls itself otherwise, as nobody else does.
    Renamed,
}

/// Takes a host's word on its name.
///
/// # Errors
/// When it is no name of a node, or the name of another one of those that are looked for.
pub(super) fn judge(
    candidate: &Candidate,
    hello: &Hello,
    names: &BTreeSet<String>,
) -> Result<Claim, Error> {
    let (asked_as, claimed) = (candidate.name(), hello.node.as_str());
    if !is_node_name(claimed) {
        let message = format!("{asked_as} calls itself `{claimed}`, which is no name of a node");
        return Err(
            Error::refused(message).hint("is that host a control-plane node of this cluster?")
        );
    }
    let Some(node) = candidate.node.as_deref() else {
        return Ok(Claim::Free);
    };
    if node == claimed {
        return Ok(Claim::Asked);
    }
    if names.contains(claimed) {
        let message = format!("{node} calls itself {claimed}, which is another control-plane node");
        return Err(Error::refused(message).hint(advice![
            "if its address leads to the wrong host, ",
            Choice::Ssh.with("NODE=ADDRESS"),
            " says where it is"
        ]));
    }
    let member = hello
        .target
        .as_ref()
        .map(|target| target.member_name.as_str());
    match member == Some(node) {
        true => Ok(Claim::OfMember),
        false => Ok(Claim::Renamed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_name::HostName;
    use crate::ssh::Origin;

    fn hello(node: &str, member: Option<&str>) -> Hello {
        let mut hello = serde_json::json!({
            "version": "0", "node": node, "etcd": true, "controlPlane": true, "uid": 0, "architecture": "x86_64",
        });
        if let Some(member) = member {
            hello["target"] = serde_json::json!({
                "node": node, "pod": "etcd", "memberName": member, "clientUrls": [], "peerUrls": [],
                "dataDir": "/var/lib/etcd",
            });
        }
        serde_json::from_value(hello).unwrap()
    }

    fn judged(asked_as: Option<&str>, hello: &Hello) -> Result<Claim, String> {
        let names = ["m1", "m2", "m3"].map(str::to_owned).into();
        let address = HostName::parse("10.0.0.3");
        let candidate = Candidate::told(asked_as.map(str::to_owned), [address], Origin::Cache);
        judge(&candidate, hello, &names).map_err(|error| error.message)
    }

    #[test]
    fn a_host_that_takes_another_nodes_name_is_refused() {
        let error = judged(Some("m3"), &hello("m1", Some("m3"))).unwrap_err();
        assert_eq!(
            error,
            "m3 calls itself m1, which is another control-plane node"
        );
        assert_eq!(judged(Some("m3"), &hello("m3", None)), Ok(Claim::Asked));
    }

    #[test]
    fn a_host_of_another_name_that_nobody_has_is_told_apart() {
        assert_eq!(
            judged(Some("etcd-9"), &hello("m9", Some("etcd-9"))),
            Ok(Claim::OfMember)
        );
        assert_eq!(
            judged(Some("m3"), &hello("m3.internal", Some("x"))),
            Ok(Claim::Renamed)
        );
        assert_eq!(judged(None, &hello("m1", None)), Ok(Claim::Free));
    }

    #[test]
    fn what_is_no_name_of_a_node_is_refused() {
        for name in [
            "",
            "-x",
            "m1 --via",
            "root@evil",
            "m1\u{202e}",
            "M1",
            "a/b",
            &"a".repeat(254),
        ] {
            let error = judged(None, &hello(name, None)).unwrap_err();
            assert!(error.contains("which is no name of a node"), "{error}");
        }
        assert_eq!(judged(None, &hello("node-1.2", None)), Ok(Claim::Free));
    }
}
