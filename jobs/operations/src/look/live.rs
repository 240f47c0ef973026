//! What etcd's members answer, each asked by itself, and none waited for long.
//!
//! A member that has seen no leader since it was started serves no clients (`server/embed/serve.go` waits for it), so it
//! is asked as a peer too: at that port it tells its cluster and its members without anybody's help.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use futures::future::join_all;
use futures::join;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EtcdManifest, Inspection};
use crate::client::{Connector, EtcdApi, EtcdEndpoint, OWN_LIMIT};
use crate::failure::{Answer, Failure};
use crate::https::{Pair, Said, Server, Signed, Tls};
use crate::ids::{ClusterId, MemberId};
use crate::report::{EndpointStatus, Member, MemberList};
use crate::target::{Target, host, is_loopback};

/// What this host's own member answers to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveEtcd {
    /// Who it is, what it has, what it complains of, which alarms it knows.
    pub status: EndpointStatus,
    /// The members as it has them, which may be out of date.
    pub members: Answer<MemberList>,
}

/// What a member answers to those who ask as its peers. It needs no leader for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerPort {
    /// Where it was asked.
    pub url: String,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The members as it has them.
    pub members: Vec<Member>,
}

/// Another member, asked from this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerLook {
    /// Its id, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// Its name, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// Where it was asked as a client: none when nothing tells where clients reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_url: Option<String>,
    /// What tells of it.
    pub known_from: KnownFrom,
    /// What it answered to a client.
    pub answer: Answer<LiveEtcd>,
    /// What it answered to a peer; none: it was not asked, as it answers clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_port: Option<Answer<PeerPort>>,
}

/// What tells of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownFrom {
    /// Whoever asked named its client URL.
    Given,
    /// The own member's list.
    OwnMember,
    /// The list in the own data directory.
    DataDir,
    /// `--initial-cluster`, which is of the day on which this member was added.
    Manifest,
    /// The list of another member that answered.
    Peer,
}

/// Somebody who listens where etcd is told to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Where etcd shall listen.
    pub address: SocketAddr,
    /// Whether somebody does.
    pub taken: bool,
}

/// Who asks members.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    target: Target,
    connector: Result<Connector, Failure>,
    peer: PeerFiles,
}

impl Asking {
    /// With the certificates of a target whose paths are found on this host.
    pub(super) fn with(target: Target, peer: PeerFiles) -> Self {
        Self {
            connector: Connector::load(&target),
            target,
            peer,
        }
    }

    /// What the own member answers to clients.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) async fn own(&self) -> Result<LiveEtcd, Failure> {
        let connector = self.connector.as_ref().map_err(Clone::clone)?;
        let (endpoint, status) = connector.own(&self.target, OWN_LIMIT).await?;
        Ok(LiveEtcd {
            status,
            members: endpoint.members(OWN_LIMIT).await.into(),
        })
    }

    /// What the own member answers to peers.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) async fn own_peer_port(&self) -> Result<PeerPort, Failure> {
        self.peer_port(&self.target.peer_urls).await
    }

    /// What the other members answer: those that are known, and those that they tell of.
    pub(super) async fn others(&self, known: Vec<KnownMember>) -> Vec<PeerLook> {
        let mut seen = BTreeSet::new();
        let mut asked = self.ask(self.new_ones(known, &mut seen)).await;
        let told = asked.iter().flat_map(|one| {
            let list = one.answer.ok().and_then(|live| live.members.ok());
            let members = list.map(|list| list.members.as_slice());
            let port = one.peer_port.as_ref().and_then(Answer::ok);
            let members = members.or(port.map(|port| port.members.as_slice()));
            members.unwrap_or_default().iter()
        });
        let told = told
            .map(|member| KnownMember::of(member, KnownFrom::Peer))
            .collect();
        let more = self.new_ones(told, &mut seen);
        asked.extend(self.ask(more).await);
        asked
    }

    /// Those that are neither this host's nor asked already.
    fn new_ones(&self, known: Vec<KnownMember>, seen: &mut BTreeSet<String>) -> Vec<KnownMember> {
        let own: BTreeSet<&str> = self
            .target
            .peer_urls
            .iter()
            .chain(&self.target.client_urls)
            .filter(|url| !is_loopback(url))
            .map(|url| host(url))
            .collect();
        let mut new = Vec::new();
        for one in known {
            let hosts: Vec<&str> = one.urls().map(host).collect();
            let of_own = hosts.iter().any(|host| own.contains(host));
            if of_own || hosts.iter().any(|host| seen.contains(*host)) {
                continue;
            }
            seen.extend(hosts.into_iter().map(str::to_owned));
            new.push(one);
        }
        new
    }

    async fn ask(&self, known: Vec<KnownMember>) -> Vec<PeerLook> {
        join_all(known.into_iter().map(|one| self.ask_one(one))).await
    }

    async fn ask_one(&self, known: KnownMember) -> PeerLook {
        // A list of members tells where each serves clients once it has started; the others do not tell.
        let started = !matches!(known.from, KnownFrom::OwnMember | KnownFrom::Peer);
        let by_manifest = || {
            let port = port_of(self.target.client_urls.first()?)?;
            beside(known.peer_urls.first()?, port)
        };
        let told = known.client_urls.first().cloned();
        let client_url = told.or_else(|| by_manifest().filter(|_| started));
        let as_client = async {
            let url = client_url.as_deref().ok_or_else(|| {
                let message = "it has never started: it announces no client URL";
                Failure::missing(message)
            })?;
            self.client(url).await
        };
        let (answer, port) = join!(as_client, self.peer_port(&known.peer_urls));
        PeerLook {
            member_id: known
                .id
                .or(answer.as_ref().ok().map(|live| live.status.member_id)),
            name: known.name,
            peer_urls: known.peer_urls,
            client_url,
            known_from: known.from,
            peer_port: answer.is_err().then(|| port.into()),
            answer: answer.into(),
        }
    }

    async fn client(&self, url: &str) -> Result<LiveEtcd, Failure> {
        let connector = self.connector.as_ref().map_err(Clone::clone)?;
        let endpoint = connector.endpoint(url).await?;
        let (status, members) = join!(endpoint.status(OWN_LIMIT), endpoint.members(OWN_LIMIT));
        Ok(LiveEtcd {
            status: status?,
            members: members.into(),
        })
    }

    async fn peer_port(&self, urls: &[String]) -> Result<PeerPort, Failure> {
        let url = urls
            .first()
            .ok_or_else(|| Failure::missing("nothing tells where peers reach it"))?;
        let signed = self.peer.ca.clone().map(|by| Signed {
            name: host(url).to_owned(),
            by,
        });
        let tls = Tls {
            shows: None,
            signed,
            client: self.peer.pair.clone(),
        };
        let server = Server::at(url, tls).await?;
        let said = server.get("/members", OWN_LIMIT).await?;
        as_peer(url, &said)
    }
}

/// A member before it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownMember {
    id: Option<MemberId>,
    name: Option<String>,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
    from: KnownFrom,
}

impl KnownMember {
    /// The members of the best source there is: the own member's list, its peer port, the data directory, the manifest.
    pub(super) fn all(
        live: Option<&LiveEtcd>,
        port: Option<&PeerPort>,
        cold: Option<&Inspection>,
        manifest: &EtcdManifest,
    ) -> Vec<Self> {
        let listed = live.and_then(|live| live.members.ok());
        let listed = listed.map(|list| list.members.as_slice());
        if let Some(members) = listed.or(port.map(|port| port.members.as_slice())) {
            let own = |member: &Member| Self::of(member, KnownFrom::OwnMember);
            return members.iter().map(own).collect();
        }
        let stored = cold.map(|cold| cold.members.as_slice()).unwrap_or_default();
        let in_data = stored.iter().map(|member| Self {
            id: Some(member.id),
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            from: KnownFrom::DataDir,
        });
        let named = manifest.initial_cluster.iter().map(|member| Self {
            id: None,
            name: Some(member.name.clone()),
            peer_urls: vec![member.peer_url.clone()],
            client_urls: Vec::new(),
            from: KnownFrom::Manifest,
        });
        // What comes first counts; what a damaged directory does not know, the manifest may.
        in_data.chain(named).collect()
    }

    /// Somebody at a client URL, of whom nothing else is known.
    pub(super) fn at(url: &str) -> Self {
        Self {
            id: None,
            name: None,
            peer_urls: Vec::new(),
            client_urls: vec![url.to_owned()],
            from: KnownFrom::Given,
        }
    }

    fn of(member: &Member, from: KnownFrom) -> Self {
        Self {
            id: Some(member.id),
            name: Some(member.name.clone()).filter(|name| !name.is_empty()),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            from,
        }
    }

    fn urls(&self) -> impl Iterator<Item = &str> {
        let urls = self.peer_urls.iter().chain(&self.client_urls);
        urls.map(String::as_str).filter(|url| !is_loopback(url))
    }
}

/// The files with which a member goes to its peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PeerFiles {
    /// Who signs the others' certificates.
    pub(super) ca: Option<PathBuf>,
    /// What is shown to them.
    pub(super) pair: Option<Pair>,
}

/// The client URL on the host of a peer URL.
fn beside(peer: &str, port: &str) -> Option<String> {
    let (base, _) = peer.trim_end_matches('/').rsplit_once(':')?;
    base.contains("://").then(|| format!("{base}:{port}"))
}

fn port_of(url: &str) -> Option<&str> {
    let (_, port) = url.trim_end_matches('/').rsplit_once(':')?;
    Some(port)
}

/// What `/members` of the port for peers says: the members as JSON, and the cluster in a header.
fn as_peer(url: &str, said: &Said) -> Result<PeerPort, Failure> {
    let other = |what: String| Failure::other(format!("{url}/members {what}"));
    if !said.status.is_success() {
        return Err(other(format!("answers {}", said.status.as_u16())));
    }
    let cluster = said.cluster.as_deref().and_then(|id| id.parse().ok());
    let cluster_id = cluster.ok_or_else(|| other("does not say which cluster it is".to_owned()))?;
    let members: Value = serde_json::from_str(&said.text)
        .map_err(|error| other(format!("is no list of members: {error}")))?;
    let members = members.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(PeerPort {
        url: url.to_owned(),
        cluster_id,
        members: members.iter().filter_map(member).collect(),
    })
}

fn member(value: &Value) -> Option<Member> {
    let texts = |key: &str| -> Vec<String> {
        let values = value.get(key).and_then(Value::as_array);
        let values = values.map(Vec::as_slice).unwrap_or_default().iter();
        values
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    let name = value.get("name").and_then(Value::as_str);
    Some(Member {
        id: MemberId(value.get("id")?.as_u64()?),
        name: name.unwrap_or_default().to_owned(),
        peer_urls: texts("peerURLs"),
        client_urls: texts("clientURLs"),
        is_learner: value
            .get("isLearner")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use proptest::prelude::*;

    use super::*;

    fn said(text: &str, cluster: Option<&str>) -> Said {
        Said {
            status: StatusCode::OK,
            cluster: cluster.map(str::to_owned),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_peer_tells_cluster_and_members() {
        let text = r#"[{"id":9372538179322589801,"peerURLs":["https://10.0.0.1:2380"],"name":"m1","clientURLs":["https://10.0.0.1:2379"]},{"id":5,"peerURLs":["https://10.0.0.2:2380"],"isLearner":true,"name":""}]"#;
        let found = as_peer(
            "https://10.0.0.1:2380",
            &said(text, Some("e9c3af264dbe96fe")),
        )
        .unwrap();
        assert_eq!(found.cluster_id.to_string(), "e9c3af264dbe96fe");
        assert_eq!(found.members[0].id.0, 9_372_538_179_322_589_801);
        assert!(found.members[1].is_learner && !found.members[1].started());
        assert!(as_peer("x", &said(text, None)).is_err());
        assert!(as_peer("x", &said("<html>", Some("1"))).is_err());
    }

    fn asking() -> Asking {
        let target = Target {
            node: "cp-1".into(),
            pod: "etcd-cp-1".into(),
            member_name: "cp-1".into(),
            client_urls: vec!["http://127.0.0.1:1".into(), "http://10.0.0.1:1".into()],
            peer_urls: vec!["http://10.0.0.1:2380".into()],
            tls: None,
            data_dir: "/nowhere".into(),
            wal_dir: None,
            quota_bytes: None,
            image: None,
        };
        Asking::with(target, PeerFiles::default())
    }

    fn known(peer: &str, from: KnownFrom) -> KnownMember {
        KnownMember {
            id: None,
            name: None,
            peer_urls: vec![peer.to_owned()],
            client_urls: Vec::new(),
            from,
        }
    }

    #[test]
    fn nobody_is_asked_twice_and_the_own_member_not_at_all() {
        let known = vec![
            known("http://10.0.0.1:2380", KnownFrom::DataDir),
            known("http://10.0.0.2:2380", KnownFrom::DataDir),
            known("http://10.0.0.2:2380/", KnownFrom::Manifest),
            known("http://[fd00::3]:2380", KnownFrom::Manifest),
        ];
        let new = asking().new_ones(known, &mut BTreeSet::new());
        let urls: Vec<&str> = new.iter().map(|one| one.peer_urls[0].as_str()).collect();
        assert_eq!(urls, ["http://10.0.0.2:2380", "http://[fd00::3]:2380"]);
        assert_eq!(new[0].from, KnownFrom::DataDir);
    }

    #[tokio::test]
    async fn a_peer_that_the_manifest_alone_knows_is_asked_beside_its_peer_url() {
        let peers = vec![known("http://127.0.0.2:1", KnownFrom::Manifest)];
        let asked = asking().ask(peers).await;
        assert_eq!(asked[0].client_url.as_deref(), Some("http://127.0.0.2:1"));
        assert!(asked[0].answer.failure().is_some());
        assert!(asked[0].peer_port.as_ref().unwrap().failure().is_some());
    }

    proptest! {
        #[test]
        fn any_answer_is_read(text in "\\PC{0,60}", cluster in proptest::option::of("[0-9a-g]{0,17}")) {
            let _ = as_peer("x", &said(&text, cluster.as_deref()));
        }
    }
}
