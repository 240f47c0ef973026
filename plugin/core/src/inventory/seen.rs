//! What a control plane shows from outside, where one of its apiservers cannot be used: what the others say of their etcd, and
//! which nodes take connections at all. No credentials are shown to anybody.

use std::io;
use std::net::IpAddr;

use futures::future::{join, join_all};
use http::Uri;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::cache::recall;
use crate::connection::{Connection, Readiness, contexts_beside, readiness};
use crate::discovery::Node;
use crate::host_name::HostName;
use crate::limits;

/// Where an apiserver listens, unless the kubeconfig says another port for one of the nodes.
const APISERVER: u16 = 6443;
/// Where etcd listens for clients. A firewall may keep that from us: what it refuses is evidence, its silence is none.
const ETCD: u16 = 2379;
/// What else a control-plane node that is on takes connections for: ssh and the kubelet.
const OTHERS: [u16; 2] = [22, 10250];

/// What the control plane shows.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Its nodes, as far as they are known.
    pub(crate) nodes: Vec<SeenNode>,
    /// An apiserver that works: how to choose it.
    pub(crate) works: Option<Way>,
}

/// An apiserver that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through this context of the kubeconfig.
    Context(String),
    /// At this address.
    Server(String),
}

/// What a control-plane node shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenNode {
    pub(crate) name: String,
    pub(crate) address: String,
    apiserver: Apiserver,
    etcd: Port,
    /// Whether one of the other ports takes connections.
    other_port: bool,
}

/// What an apiserver says of its etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apiserver {
    /// It has a working one.
    Works,
    /// It has none: its own member serves no reads.
    WithoutEtcd,
    /// Something else keeps it from being ready, or it does not say.
    Unclear,
    /// Nobody takes the connection.
    Absent,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Open,
    Refused,
    Silent,
}

impl SeenNode {
    /// Whether nothing at all takes a connection there.
    pub(crate) fn is_off(&self) -> bool {
        self.apiserver == Apiserver::Absent && self.etcd != Port::Open && !self.other_port
    }

    /// Whether its apiserver says that its etcd does not work.
    pub(crate) fn says_etcd_fails(&self) -> bool {
        self.apiserver == Apiserver::WithoutEtcd
    }

    /// Whether its member is known to serve no reads.
    pub(crate) fn serves_nothing(&self) -> bool {
        match self.apiserver {
            Apiserver::WithoutEtcd => true,
            Apiserver::Works => false,
            Apiserver::Absent | Apiserver::Unclear => self.is_off() || self.etcd == Port::Refused,
        }
    }
}

impl Seen {
    /// How many members make a quorum, taking each control-plane node for one.
    pub(crate) fn needed(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Whether fewer members than a quorum can serve. Where no node at all is reached, it is the way there that is broken.
    pub(crate) fn has_no_quorum(&self) -> bool {
        let reached = self.nodes.iter().any(|node| !node.is_off());
        reached && self.works.is_none() && self.left(SeenNode::serves_nothing) < self.needed()
    }

    /// Whether so many nodes are off that no election can help.
    pub(crate) fn shows_too_few(&self) -> bool {
        self.has_no_quorum() && self.left(SeenNode::is_off) < self.needed()
    }

    /// How many nodes are left without these.
    pub(crate) fn left(&self, without: fn(&SeenNode) -> bool) -> usize {
        self.nodes.iter().filter(|node| !without(node)).count()
    }
}

/// A node to be looked at.
struct Place {
    name: String,
    address: HostName,
    apiserver: u16,
    etcd: u16,
}

/// Looks at the nodes: those that are known, else those that were when the cluster last answered.
pub(crate) async fn look(connection: &Connection, known: &[Node]) -> Seen {
    if !connection.reaches_others() {
        return Seen::default();
    }
    let contexts = contexts_beside(&connection.options, &connection.cluster);
    let places = places(connection, known, &contexts);
    let nodes = join_all(places.iter().map(|place| look_at(connection, place)));
    let beside = join_all(contexts.iter().map(|(name, server)| async move {
        let works = apiserver(connection, server.parse().ok()?).await == Apiserver::Works;
        works.then(|| Way::Context(name.clone()))
    }));
    let (nodes, beside) = join(nodes, beside).await;
    let at_node = || {
        let mut both = nodes.iter().zip(&places);
        let (_, place) = both.find(|(node, _)| node.apiserver == Apiserver::Works)?;
        Some(Way::Server(url(&place.address, place.apiserver)))
    };
    Seen {
        works: beside.into_iter().flatten().next().or_else(at_node),
        nodes,
    }
}

fn places(connection: &Connection, known: &[Node], contexts: &[(String, String)]) -> Vec<Place> {
    let servers = contexts.iter().map(|(_, server)| server.as_str());
    let servers: Vec<Uri> = servers
        .chain([connection.server.as_str()])
        .filter_map(|server| server.parse().ok())
        .collect();
    let place = |name: String, addresses: &[String], etcd: Option<u16>| {
        let address = addresses.iter().find_map(|one| HostName::parse(one).ok())?;
        let mut named = servers.iter();
        let port = named.find(|uri| uri.host().is_some_and(|host| address.is_same(host)));
        Some(Place {
            name,
            apiserver: port.and_then(Uri::port_u16).unwrap_or(APISERVER),
            etcd: etcd.unwrap_or(ETCD),
            address,
        })
    };
    if known.is_empty() {
        let own = [connection.cluster.server.as_str()].into_iter();
        let mut of = own.chain(contexts.iter().map(|(_, server)| server.as_str()));
        let remembered = of.find_map(|server| recall(&connection.cluster.at(server)));
        let remembered = remembered.map(|known| known.nodes);
        let remembered = remembered.into_iter().flatten();
        let remembered: Vec<Place> = remembered
            .filter_map(|(name, addresses)| place(name, &addresses, None))
            .collect();
        return match remembered.is_empty() {
            true => of_servers(&servers),
            false => remembered,
        };
    }
    let etcd_port = |node: &Node| {
        let url: Uri = node.target()?.url_beyond_the_node()?.parse().ok()?;
        url.port_u16()
    };
    let known = known.iter();
    known
        .filter_map(|node| place(node.name.clone(), &node.api.addresses, etcd_port(node)))
        .collect()
}

/// The apiservers of a kubeconfig that has each by its address, taken for the control plane; none: there are too few of them to
/// tell them from a balancer and what is behind it.
fn of_servers(servers: &[Uri]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for server in servers {
        let host = server.host().unwrap_or_default();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let Ok(address) = HostName::parse(host.trim_matches(['[', ']'])) else {
            continue;
        };
        if is_address && !places.iter().any(|place| place.address == address) {
            places.push(Place {
                name: address.to_string(),
                apiserver: server.port_u16().unwrap_or(443),
                etcd: ETCD,
                address,
            });
        }
    }
    match places.len() {
        0..3 => Vec::new(),
        _ => places,
    }
}

async fn look_at(connection: &Connection, place: &Place) -> SeenNode {
    let host = place.address.as_str();
    let others = OTHERS.iter().map(|other| port(host, *other));
    let (apiserver, etcd, others) = futures::join!(
        async {
            match url(&place.address, place.apiserver).parse() {
                Ok(server) => apiserver(connection, server).await,
                Err(_) => Apiserver::Absent,
            }
        },
        port(host, place.etcd),
        join_all(others)
    );
    SeenNode {
        name: place.name.clone(),
        address: host.to_owned(),
        apiserver,
        etcd,
        other_port: others.contains(&Port::Open),
    }
}

/// What the apiserver there says of itself, should one be there.
async fn apiserver(connection: &Connection, server: Uri) -> Apiserver {
    let Some(client) = connection.stranger(server.clone()) else {
        return Apiserver::Absent;
    };
    match timeout(limits::LOOK_AROUND, readiness(&client)).await {
        Ok(Readiness::Ready) => Apiserver::Works,
        Ok(Readiness::EtcdFails) => Apiserver::WithoutEtcd,
        Ok(Readiness::NotReady(_)) => Apiserver::Unclear,
        Ok(Readiness::Unknown) | Err(_) => {
            let host = server.host().unwrap_or_default();
            match port(host, server.port_u16().unwrap_or(443)).await {
                Port::Open => Apiserver::Unclear,
                Port::Refused | Port::Silent => Apiserver::Absent,
            }
        }
    }
}

async fn port(host: &str, port: u16) -> Port {
    let host = host.trim_matches(['[', ']']);
    match timeout(limits::PORT_FROM_AFAR, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Port::Open,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Port::Refused,
        Ok(Err(_)) | Err(_) => Port::Silent,
    }
}

fn url(address: &HostName, port: u16) -> String {
    let host = address.as_str();
    match host.contains(':') {
        true => format!("https://[{host}]:{port}"),
        false => format!("https://{host}:{port}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn seen_node(number: usize, apiserver: Apiserver, etcd: Port, other_port: bool) -> SeenNode {
        SeenNode {
            name: format!("m{number}"),
            address: format!("10.0.0.{number}"),
            apiserver,
            etcd,
            other_port,
        }
    }

    fn nodes(of: &[(Apiserver, Port, bool)]) -> Seen {
        let nodes = of.iter().zip(1..);
        Seen {
            nodes: nodes
                .map(|((apiserver, etcd, other), number)| {
                    seen_node(number, *apiserver, *etcd, *other)
                })
                .collect(),
            works: None,
        }
    }

    const FAILS: (Apiserver, Port, bool) = (Apiserver::WithoutEtcd, Port::Open, true);
    const OFF: (Apiserver, Port, bool) = (Apiserver::Absent, Port::Silent, false);
    const APISERVER_ENDED: (Apiserver, Port, bool) = (Apiserver::Absent, Port::Open, true);
    /// It is on, and a firewall keeps its etcd from us.
    const FILTERED: (Apiserver, Port, bool) = (Apiserver::Absent, Port::Silent, true);
    const ETCD_STOPPED: (Apiserver, Port, bool) = (Apiserver::Absent, Port::Refused, true);

    /// Two of three are off, and the third says that its etcd fails.
    pub(crate) fn two_of_three_off() -> Seen {
        nodes(&[FAILS, OFF, OFF])
    }

    #[test]
    fn the_quorum_is_called_lost_only_where_that_was_seen() {
        // (what is seen, no quorum, no election can help)
        let cases = [
            (vec![FAILS, OFF, OFF], true, true),
            (vec![FAILS, FAILS, OFF], true, false),
            (vec![FAILS, FAILS, FAILS], true, false),
            (vec![FAILS, ETCD_STOPPED, FILTERED], true, false),
            (vec![FAILS, FILTERED, FILTERED], false, false),
            (vec![FAILS, OFF, FILTERED], true, false),
            // An apiserver that is without etcd for long ends, and its etcd goes on waiting for the others.
            (vec![APISERVER_ENDED, OFF, OFF], true, true),
            (vec![APISERVER_ENDED, APISERVER_ENDED, OFF], false, false),
            (vec![FAILS], true, false),
            // Nobody is reached: that is the way there.
            (vec![OFF, OFF, OFF], false, false),
            (vec![], false, false),
        ];
        for (shown, lost, for_good) in cases {
            let seen = nodes(&shown);
            assert_eq!(seen.has_no_quorum(), lost, "{shown:?}");
            assert_eq!(seen.shows_too_few(), for_good, "{shown:?}");
        }
    }

    #[test]
    fn a_kubeconfig_with_three_addresses_names_a_control_plane_and_one_with_a_balancer_does_not() {
        let places = |servers: &[&str]| {
            let servers: Vec<Uri> = servers.iter().map(|one| one.parse().unwrap()).collect();
            let places = of_servers(&servers);
            places
                .iter()
                .map(|one| one.name.clone())
                .collect::<Vec<_>>()
        };
        let three = [
            "https://10.0.0.2:6443",
            "https://[fd00::3]:6443",
            "https://10.0.0.1:6443",
        ];
        assert_eq!(places(&three), ["10.0.0.2", "fd00::3", "10.0.0.1"]);
        assert!(places(&["https://10.0.0.1:6443", "https://10.0.0.1:6443"]).is_empty());
        let balancer = [
            "https://api.example.com",
            "https://10.0.0.1:6443",
            "https://10.0.0.2:6443",
        ];
        assert!(places(&balancer).is_empty());
    }

    #[test]
    fn an_apiserver_that_works_is_the_word_of_a_quorum() {
        let mut seen = nodes(&[FAILS, OFF, OFF]);
        seen.works = Some(Way::Context("m4".into()));
        assert!(!seen.has_no_quorum() && !seen.shows_too_few());
    }
}
