//! Finding the apiserver, or doing without it.

use std::pin::pin;
use std::sync::{Arc, Once};

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use etcd_operations::target::Target;
use tokio::sync::OnceCell;

use super::namespace::{self, Located};
use super::options::FleetOptions;
use super::round::Pods;
use super::{Cluster, Node, Notice, NoticeSink, Session, lost};
use crate::awaited::saying_who_is_awaited;
use crate::connection::ConnectionOptions;
use crate::connection::{Connection, Readiness, Verdict, judge, readiness};
use crate::created::Created;
use crate::discovery::{ApiView, Discovered, Etcd, LeftAlone, discover};
use crate::error::Error;
use crate::inventory;
use crate::inventory::reach::{Reached, ReachedHost, Unreached};
use crate::inventory::seen::{self, Seen};
use crate::limits;
use crate::owner::Owner;
use crate::runners::ladder::{self, Ladder};
use crate::runners::launch::{Heard, Kind};
use crate::runners::program::Program;
use crate::runners::{Exec, Hosts, Local, Runner, local, payload};
use crate::via::{Forced, Via};

/// What the apiserver answered.
struct Found {
    nodes: Vec<Node>,
    left_alone: Vec<LeftAlone>,
    located: Result<Located, Error>,
}

impl Session {
    /// Finds the way to the nodes: through the apiserver, or on this host when there is none to use.
    ///
    /// What is created later is registered in `created`; whoever calls this removes it at every ending.
    ///
    /// # Errors
    /// Usage errors; an apiserver that cannot be used while this host is no control-plane node.
    pub async fn open(
        connection: &ConnectionOptions,
        fleet: &FleetOptions,
        notices: NoticeSink,
        created: Created,
    ) -> Result<Self, Error> {
        if fleet.via == Some(Forced::Local) {
            return Self::on_this_host(connection, fleet, notices);
        }
        let server = match Connection::prepare(connection).await {
            Ok(server) => server,
            // Not even a kubeconfig: on a control-plane node that is no reason not to help.
            Err(error) if connection.kubeconfig.is_none() => {
                let why = error.chain();
                return Self::instead_of_apiserver(connection, fleet, notices, &why)
                    .unwrap_or(Err(error));
            }
            Err(error) => return Err(error),
        };
        let asked = ask_looking_around(&server, fleet);
        let what = || format!("the apiserver {}", server.server);
        match saying_who_is_awaited(&notices, what, asked).await {
            Ok(_) if connection.etcd.is_some() => Err(Error::usage(
                "an etcd cannot be chosen by its name through the apiserver",
            )
            .hint(advice![
                "as root on that control-plane node: ",
                Choice::Via.with("local").with(Choice::Etcd, "NAME")
            ])),
            Ok(found) => {
                inventory::remember(&server.cluster, &found.nodes);
                Self::in_cluster(server, found, fleet, created, notices)
            }
            Err(Unusable { verdict, seen }) => {
                let why = verdict.describe(&server.server);
                let instead = verdict
                    .means_no_apiserver()
                    .then(|| Self::instead_of_apiserver(connection, fleet, notices, &why));
                let error = || Err(lost::error(verdict, &server.server, &seen));
                instead.flatten().unwrap_or_else(error)
            }
        }
    }

    fn in_cluster(
        mut connection: Connection,
        found: Found,
        fleet: &FleetOptions,
        created: Created,
        notices: NoticeSink,
    ) -> Result<Self, Error> {
        let located = found.located?;
        connection.namespace.clone_from(&located.name);
        if let Some(why) = &located.instead {
            notices(Notice::Told(why.as_str().into()));
        }
        created.bind(connection.control.clone(), connection.namespace.clone());
        let image = fleet.image.as_ref().map(|reference| Program::Image {
            reference: reference.clone(),
            pull_secrets: fleet.image_pull_secrets.clone(),
        });
        if found.nodes.is_empty() {
            return Err(no_nodes(&connection.server, &found.left_alone));
        }
        let nodes = narrow(&found.nodes, &fleet.nodes)?;
        let free = fleet.via.is_none() && image.is_none();
        let cluster = Arc::new(Cluster {
            connection,
            created,
            owner: Owner::this(),
            image,
            located,
            compared: payload::compared(),
            program: OnceCell::new(),
            swept: Once::new(),
            notices: NoticeSink::clone(&notices),
            heard: Heard::default(),
        });
        let ladder = Ladder::new(
            runners_of(&cluster, fleet.via.map(Via::from), &notices),
            notices,
        );
        Ok(Self {
            nodes,
            left_alone: found.left_alone,
            // Who names a way or an image wants that one.
            ladder: match free {
                true => ladder.looking_by_etcdctl(),
                false => ladder,
            },
            cluster: Some(cluster),
            complete: true,
            limit: fleet.timeout,
        })
    }

    /// This host, where it takes the apiserver's place.
    fn instead_of_apiserver(
        connection: &ConnectionOptions,
        fleet: &FleetOptions,
        notices: NoticeSink,
        why: &str,
    ) -> Option<Result<Self, Error>> {
        let via =
            ladder::instead_of_apiserver(fleet.via.map(Via::from), local::is_control_plane())?;
        let session = Self::on_this_host(connection, fleet, notices)
            .inspect(|session| {
                (session.notices())(Notice::RunnerChosen {
                    via,
                    why: why.to_owned(),
                });
            })
            .map_err(|error| error.hint(why.to_owned()));
        Some(session)
    }

    /// The hosts that were reached over ssh, and those that were not, as nodes.
    ///
    /// # Errors
    /// When a node is named that is none of them.
    pub fn over_hosts(
        reached: Reached,
        fleet: &FleetOptions,
        notices: NoticeSink,
    ) -> Result<Self, Error> {
        let hosts = reached.hosts.iter().map(node_of_host);
        let mut nodes: Vec<Node> = hosts
            .chain(reached.unreached.into_iter().map(node_not_reached))
            .collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let hosts = reached.hosts.into_iter().map(|one| one.host).collect();
        let nodes = narrow(&nodes, &fleet.nodes)?;
        let session = Self::without_cluster(nodes, Hosts(hosts), fleet, notices);
        Ok(Self {
            complete: reached.complete,
            ..session
        })
    }

    fn on_this_host(
        connection: &ConnectionOptions,
        fleet: &FleetOptions,
        notices: NoticeSink,
    ) -> Result<Self, Error> {
        let node = local::host(&connection.selection(), &notices)?;
        let here = Local::of(node.clone(), NoticeSink::clone(&notices));
        let nodes = narrow(&[node], &fleet.nodes)?;
        Ok(Self::without_cluster(nodes, here, fleet, notices))
    }

    fn without_cluster(
        nodes: Vec<Node>,
        runner: impl Runner + 'static,
        fleet: &FleetOptions,
        notices: NoticeSink,
    ) -> Self {
        Self {
            nodes,
            left_alone: Vec::new(),
            cluster: None,
            complete: false,
            ladder: Ladder::new(vec![Box::new(runner)], notices),
            limit: fleet.timeout,
        }
    }
}

/// The runners for work through the apiserver, in the order of the ladder; the one that is forced alone.
fn runners_of(
    cluster: &Arc<Cluster>,
    forced: Option<Via>,
    notices: &NoticeSink,
) -> Vec<Box<dyn Runner>> {
    let pods = |kind| Pods {
        cluster: Arc::clone(cluster),
        kind,
        replaceable: forced.is_none(),
    };
    let runners: [Box<dyn Runner>; 4] = [
        Box::new(pods(Kind::Job)),
        Box::new(pods(Kind::Pod)),
        Box::new(Exec(cluster.connection.clone())),
        Box::new(Local::perhaps(NoticeSink::clone(notices))),
    ];
    let runners = runners.into_iter();
    runners
        .filter(|runner| forced.is_none_or(|via| via == runner.via()))
        .collect()
}

/// A control-plane node by what its host says.
fn node_of_host(one: &ReachedHost) -> Node {
    let name = one.node().to_owned();
    Node {
        etcd: match (&one.hello.target, one.hello.etcd) {
            (Some(target), _) => Etcd::Found(Target::clone(target)),
            (None, true) => Etcd::absent(match &one.hello.no_target {
                Some(failure) => failure.to_string(),
                None => format!("the manifest of etcd on {name} does not tell how to reach it"),
            }),
            (None, false) => Etcd::absent(format!("no manifest on {name} runs etcd")),
        },
        api: ApiView::default(),
        exec: None,
        name,
    }
}

fn node_not_reached(one: Unreached) -> Node {
    Node {
        name: one.name,
        etcd: Etcd::Unknown {
            addresses: one.addresses,
            why: one.why,
            hint: one.hint,
        },
        api: ApiView::default(),
        exec: None,
    }
}

/// An apiserver that cannot be used.
struct Unusable {
    verdict: Verdict,
    /// What the control plane shows besides.
    seen: Seen,
}

/// As [`ask`], and where that takes its time or leads to nothing, a look at the other control-plane nodes from here.
async fn ask_looking_around(server: &Connection, fleet: &FleetOptions) -> Result<Found, Unusable> {
    // On a control-plane node the command goes on without any apiserver.
    let stays = ladder::instead_of_apiserver(fleet.via.map(Via::from), local::is_control_plane());
    let look = async |known: &[Node]| match stays {
        Some(_) => Seen::default(),
        None => Box::pin(seen::look(server, known)).await,
    };
    let asked = Box::pin(ask(server, fleet));
    let later = async {
        tokio::time::sleep(limits::LOOK_AROUND_AFTER).await;
        look(&[]).await
    };
    let (mut asked, mut later) = (asked, pin!(later));
    let answer = tokio::select! {
        biased;
        answer = &mut asked => answer,
        seen = &mut later => {
            // So many are off that no election is going on: no use in waiting for its end.
            if seen.shows_too_few() {
                let verdict = judge(None, &Readiness::EtcdFails);
                return Err(Unusable { verdict, seen });
            }
            asked.await
        }
    };
    // What was seen before may have been an election, which is over by now.
    match answer {
        Ok(found) => Ok(found),
        Err((verdict, known)) => Err(Unusable {
            seen: match verdict.means_no_apiserver() {
                true => look(&known).await,
                false => Seen::default(),
            },
            verdict,
        }),
    }
}

/// Everything at once: nodes and pods, the parts that are there, and whether the apiserver itself is in order. When the
/// apiserver cannot be used: why, and the nodes it still knew from its cache.
async fn ask(connection: &Connection, fleet: &FleetOptions) -> Result<Found, (Verdict, Vec<Node>)> {
    let client = &connection.stream;
    let mut ready = {
        let control = connection.control.clone();
        tokio::spawn(async move { readiness(&control).await })
    };
    let located = async {
        if fleet.via == Some(Forced::Exec) {
            // Nothing is created then.
            return Ok(Located {
                name: connection.namespace.clone(),
                missing: false,
                programs: None,
                instead: None,
            });
        }
        namespace::locate(connection, fleet.image.is_none()).await
    };
    let answers = async { futures::join!(discover(client), located) };
    match tokio::time::timeout(connection.first_answer_limit, answers).await {
        Ok((Ok(Discovered { nodes, left_alone }), located)) => {
            let readiness = match tokio::time::timeout(limits::READYZ_AFTER, &mut ready).await {
                Ok(Ok(readiness)) => readiness,
                Ok(Err(_)) | Err(_) => Readiness::Unknown,
            };
            if readiness == Readiness::EtcdFails && !etcd_comes_back(connection).await {
                return Err((judge(None, &readiness), nodes));
            }
            Ok(Found {
                nodes,
                left_alone,
                located,
            })
        }
        Ok((Err(error), _)) => {
            let readiness = readiness_for(&error, ready).await;
            Err((judge(Some(&error), &readiness), Vec::new()))
        }
        Err(_) => {
            let readiness = ready.await.unwrap_or(Readiness::Unknown);
            Err((judge(None, &readiness), Vec::new()))
        }
    }
}

/// Whether the apiserver has its etcd again soon.
async fn etcd_comes_back(connection: &Connection) -> bool {
    let back = async {
        while readiness(&connection.control).await == Readiness::EtcdFails {
            tokio::time::sleep(limits::READYZ_AGAIN).await;
        }
    };
    tokio::time::timeout(limits::ELECTION, back).await.is_ok()
}

/// What `/readyz` says, where that matters: a connection that was refused needs no second opinion.
async fn readiness_for(
    error: &kube::Error,
    ready: tokio::task::JoinHandle<Readiness>,
) -> Readiness {
    match error {
        kube::Error::Api(_) => ready.await.unwrap_or(Readiness::Unknown),
        _ => {
            ready.abort();
            Readiness::Unknown
        }
    }
}

/// The error of a cluster without control-plane nodes.
fn no_nodes(server: &str, left_alone: &[LeftAlone]) -> Error {
    let error = Error::failed(format!(
        "the cluster at {server} shows no control-plane node: its control plane is run by somebody else, or its nodes have no label \
         node-role.kubernetes.io/control-plane"
    ));
    let suspects = left_alone.iter().filter(|left| left.is_suspect());
    suspects.fold(error, |error, left| {
        let mut error = error.hint(left.to_string());
        error.hints.extend(left.hint());
        error
    })
}

/// The nodes named, in the cluster's order.
fn narrow(nodes: &[Node], wanted: &[String]) -> Result<Vec<Node>, Error> {
    Ok(narrowed(nodes, wanted)?.into_iter().cloned().collect())
}

/// The same, where they lie.
pub(super) fn narrowed<'n>(nodes: &'n [Node], wanted: &[String]) -> Result<Vec<&'n Node>, Error> {
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !nodes.iter().any(|node| &&node.name == name))
    {
        let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
        return Err(
            Error::usage(format!("there is no control-plane node `{unknown}`"))
                .hint(format!("the control-plane nodes are: {}", names.join(", "))),
        );
    }
    Ok(nodes
        .iter()
        .filter(|node| wanted.is_empty() || wanted.contains(&node.name))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etcd_operations::advice::Advice;

    use super::*;
    use crate::connection::READYZ;
    use crate::fake::{self, Reply};

    fn node(name: &str) -> Node {
        Node {
            name: name.into(),
            etcd: Etcd::absent("x"),
            api: ApiView {
                address: Some("10.0.0.7".into()),
                ..ApiView::default()
            },
            exec: None,
        }
    }

    #[test]
    fn an_unknown_node_names_those_there_are() {
        let error = narrow(&[node("cp-1"), node("cp-2")], &["cp-9".into()])
            .err()
            .unwrap();
        assert_eq!(error.kind.exit_code(), 2);
        assert_eq!(error.hints, ["the control-plane nodes are: cp-1, cp-2"]);
        assert_eq!(
            narrow(&[node("cp-1"), node("cp-2")], &["cp-2".into()])
                .unwrap()
                .len(),
            1
        );
        assert_eq!(narrow(&[node("cp-1"), node("cp-2")], &[]).unwrap().len(), 2);
    }

    async fn opened(handler: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Error, Duration) {
        let server = fake::serve(handler).await;
        let begun = std::time::Instant::now();
        let fleet = FleetOptions::default();
        let notices: NoticeSink = std::sync::Arc::new(|_| {});
        let session =
            Session::open(&fake::flags(server), &fleet, notices, Created::default()).await;
        (session.err().unwrap(), begun.elapsed())
    }

    const ETCD_FAILS: &str = "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n";

    #[tokio::test]
    async fn an_apiserver_that_holds_every_request_is_recognised_in_seconds() {
        let (error, took) = opened(|_| Reply::Hold).await;
        assert_eq!(error.kind.exit_code(), 6);
        assert!(
            error.message.contains("has no working etcd behind it"),
            "{error}"
        );
        assert!(took < Duration::from_secs(8), "{took:?}");
    }

    #[tokio::test]
    async fn a_false_forbidden_is_never_called_missing_rights() {
        let (error, _) = opened(|path| match path {
            READYZ => Reply::Json(500, ETCD_FAILS.into()),
            _ => fake::refused(
                403,
                "nodes is forbidden: User \"kubernetes-admin\" cannot list resource \"nodes\"",
            ),
        })
        .await;
        assert_eq!(error.kind.exit_code(), 6);
        let hints: Vec<String> = error.hints.iter().map(Advice::written).collect();
        let said = format!("{} {}", error.chain(), hints.join(" ")).to_lowercase();
        assert!(
            !said.contains("rights") && !said.contains("forbidden"),
            "{said}"
        );
        assert!(said.contains("{+via=local}"), "{said}");
    }

    #[tokio::test]
    async fn a_true_forbidden_names_what_grants_it() {
        let (error, _) = opened(|path| match path {
            READYZ => Reply::Json(200, "ok".into()),
            _ => fake::refused(403, "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\""),
        })
        .await;
        assert_eq!(error.kind.exit_code(), 1);
        assert!(
            error.message.contains("missing rights")
                && error.hints[0].written().contains("--user jane"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn an_unavailable_answer_is_not_asked_for_again_for_minutes() {
        let (error, took) = opened(|_| fake::refused(503, "etcdserver: no leader")).await;
        assert_eq!(error.kind.exit_code(), 6);
        assert!(took < Duration::from_secs(8), "{took:?}");
    }

    #[tokio::test]
    async fn a_cache_that_answers_does_not_hide_that_etcd_is_gone() {
        let list = |kind: &str, items: serde_json::Value| {
            Reply::Json(200, serde_json::json!({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items}).to_string())
        };
        let (error, took) = opened(move |path| match path {
            READYZ => Reply::Json(500, ETCD_FAILS.into()),
            path if path.contains("/nodes?") => list(
                "NodeList",
                serde_json::json!([{
                    "metadata": {"name": "cp-1"},
                    "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.2"}]},
                }]),
            ),
            path if path.contains("/pods?") => list("PodList", serde_json::json!([])),
            _ => list("List", serde_json::json!([])),
        })
        .await;
        assert_eq!(error.kind.exit_code(), 6);
        assert!(
            error.hints[1].written().ends_with("cp-1 (127.0.0.2)"),
            "{:?}",
            error.hints
        );
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}
