//! The control-plane nodes that are reached without an apiserver: this host, and others over ssh.

use std::collections::BTreeSet;

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice};
use etcd_operations::local::host;
use etcd_operations::look::{Look, LookOptions};
use etcd_operations::manifest::Selection;
use etcd_operations::wire::answer::Hello;
use etcd_operations::wire::ask;
use futures::future::join_all;

use super::claim::{Claim, judge};
use crate::awaited::saying_who_is_awaited;
use crate::connection::ConnectionOptions;
use crate::error::{Error, ErrorKind};
use crate::host_name::HostName;
use crate::outcome::{Notice, NoticeSink};
use crate::runners::host::Host;
use crate::runners::local;
use crate::ssh::{Candidate, Destination, Origin, SshHost, SshTargets};

/// Who was reached, and who was not.
pub struct Reached {
    /// Control-plane nodes, in the order of their names.
    pub hosts: Vec<ReachedHost>,
    /// Who could not be reached, or is no control-plane node.
    pub unreached: Vec<Unreached>,
    /// Whether these are all there are, as far as anybody knows.
    pub complete: bool,
    /// Which manifests are meant on them.
    selection: Selection,
}

/// A host, and what it says of itself.
pub struct ReachedHost {
    /// The host.
    pub host: Host,
    /// What it says.
    pub(crate) hello: Hello,
    /// Whether it was asked as the node that it says it is.
    asked_as_itself: bool,
}

/// A host that takes no part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// What it is called: its node's name where that is known.
    pub name: String,
    /// Where it was looked for.
    pub addresses: Vec<String>,
    /// Why.
    pub why: String,
    /// What would help.
    pub hint: Option<Advice>,
}

/// The members that hosts know beside those that were looked for.
#[derive(Debug, Default)]
struct Others {
    /// Them, at the addresses where members reach them.
    new: Vec<Candidate>,
    /// Whether with them it is all there are, by the word of an etcd or of its data.
    all: bool,
}

/// Finds the control-plane nodes and connects to all of them at once. This host is one when it is a control-plane node
/// and we are root.
///
/// Who is asked, and who says so, is told: those that the command line names, those that this host's etcd knows, those of
/// the last time that the cluster answered. Where there is nothing but the kubeconfig's server, or the address of some
/// node, the hosts reached there know the others.
///
/// # Errors
/// When there is nobody.
pub async fn reach(
    notices: &NoticeSink,
    ssh: &SshTargets,
    connection: &ConnectionOptions,
) -> Result<Reached, Error> {
    let mut reached = Reached::nobody(connection.selection());
    match local::node_name() {
        Ok(node) => {
            let here = here(notices, node, &reached.selection);
            reached.add_here(here, ssh.wanted).await?;
        }
        Err(error) if !ssh.wanted => {
            return Err(error.hint(advice![
                Choice::Ssh,
                " works on the control-plane nodes from here"
            ]));
        }
        Err(_) => {}
    }
    if ssh.wanted {
        let others = match ssh.masters.is_empty() {
            true => reached.others(notices).await,
            // Who names control-plane nodes means these and no others.
            false => Others::default(),
        };
        match others.all || !others.new.is_empty() {
            true => reached.connect_to_others(notices, others, ssh).await,
            false => reached.find(notices, ssh, connection).await?,
        }
    }
    reached
        .hosts
        .sort_by(|one, other| one.node().cmp(other.node()));
    match reached.hosts.is_empty() {
        false => Ok(reached),
        true => Err(reached.none()),
    }
}

/// This host, and where others reach it: by its etcd's peer URL.
pub fn here(notices: &NoticeSink, node: String, selection: &Selection) -> Host {
    let found = host(selection).ok().and_then(|host| host.etcd.ok()?);
    let target = found.and_then(|etcd| etcd.target.ok());
    let address = target.and_then(|target| HostName::of_url(target.peer_urls.first()?).ok());
    let address = address.map(|host| host.to_string());
    Host::here(node, address, NoticeSink::clone(notices)).meaning(selection.clone())
}

impl ReachedHost {
    /// The node's name.
    pub fn node(&self) -> &str {
        self.host.node()
    }
}

impl Reached {
    fn nobody(selection: Selection) -> Self {
        Self {
            hosts: Vec::new(),
            unreached: Vec::new(),
            complete: false,
            selection,
        }
    }

    /// This host. Where others are asked too, it takes part only as a control-plane node: a worker has such a folder too.
    async fn add_here(&mut self, host: Host, others: bool) -> Result<(), Error> {
        let hello = host.hello().await?;
        if hello.control_plane || !others {
            self.hosts.push(ReachedHost {
                host,
                hello,
                asked_as_itself: true,
            });
        }
        Ok(())
    }

    /// Those that are found without asking any, and, where these may not be all, those that they know.
    async fn find(
        &mut self,
        notices: &NoticeSink,
        ssh: &SshTargets,
        connection: &ConnectionOptions,
    ) -> Result<(), Error> {
        let found = match super::find(ssh, connection).await {
            Ok(found) => found,
            // This host is enough to begin with.
            Err(_) if !self.hosts.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        notices(Notice::Told(found.told));
        self.connect(notices, found.candidates, ssh).await;
        // Who is named on the command line may be some of them.
        self.complete = found.complete && ssh.masters.is_empty();
        if !found.complete && !self.hosts.is_empty() {
            let others = self.others(notices).await;
            self.connect_to_others(notices, others, ssh).await;
        }
        Ok(())
    }

    /// Those that one of the hosts knows, at the addresses that the command line gives where it does; and those that it
    /// names beside them: what was a member once, say.
    async fn connect_to_others(&mut self, notices: &NoticeSink, others: Others, ssh: &SshTargets) {
        self.complete = others.all;
        let mut named = super::named(ssh);
        named.retain(|one| !self.has_tried(one));
        let known = at_typed(others.new, &mut named);
        let who: Vec<&str> = self.hosts.iter().map(ReachedHost::node).collect();
        let whence = Advice::from(format!("as {} knows them", who.join(", ")));
        for (whence, new) in [(whence, known), (super::from(Choice::Ssh), named)] {
            if !new.is_empty() {
                notices(Notice::Told(super::told(&new, whence)));
                self.connect(notices, new, ssh).await;
            }
        }
    }

    /// Whether it was looked for, by its name or one of its addresses.
    fn has_tried(&self, candidate: &Candidate) -> bool {
        let hosts = self.hosts.iter();
        let reached = hosts.flat_map(|one| [Some(one.node()), one.host.host.address.as_deref()]);
        let unreached = self.unreached.iter().flat_map(Unreached::words);
        let mut tried = reached.flatten().chain(unreached);
        tried.any(|tried| candidate.words().any(|word| word == tried))
    }

    /// The members that the hosts know and that were not looked for yet.
    async fn others(&self, notices: &NoticeSink) -> Others {
        let looks = self
            .hosts
            .iter()
            .map(async |one| one.host.look(LookOptions::WITHOUT_DATABASES).await);
        let looks = join_all(looks).await;
        notices(Notice::ProgressEnded);
        let mut others = Others::default();
        for look in looks.iter().filter_map(|look| look.as_ref().ok()) {
            others.all |= knows_members(look);
            for candidate in others_of(look) {
                if !self.has_tried(&candidate) && !others.new.contains(&candidate) {
                    others.new.push(candidate);
                }
            }
        }
        // etcd lists its members by their ids.
        others
            .new
            .sort_by(|one, other| one.name().cmp(other.name()));
        others
    }

    /// Connects to all of these at once.
    async fn connect(
        &mut self,
        notices: &NoticeSink,
        candidates: Vec<Candidate>,
        ssh: &SshTargets,
    ) {
        let asked = candidates.iter().map(|candidate| {
            let whom = || candidate.name().to_owned();
            let connected = connect(notices, candidate, ssh, &self.selection);
            saying_who_is_awaited(notices, whom, connected)
        });
        let connected = join_all(asked).await;
        let names = self.names(&candidates);
        for (candidate, connected) in candidates.iter().zip(connected) {
            let judged = connected.and_then(|one| Ok((judge(candidate, &one.hello, &names)?, one)));
            match judged {
                Ok((claim, one)) => {
                    if claim == Claim::Renamed {
                        let (asked_as, node) = (candidate.name(), one.node());
                        notices(Notice::Warning(format!("{asked_as} calls itself {node}")));
                    }
                    self.add(notices, candidate, one);
                }
                Err(error) => self.unreached.push(Unreached::new(candidate, error)),
            }
        }
    }

    /// The nodes that are known by name: no other host may take it.
    fn names(&self, candidates: &[Candidate]) -> BTreeSet<String> {
        let hosts = self.hosts.iter().filter(|one| one.asked_as_itself);
        let hosts = hosts.map(|one| one.node().to_owned());
        let unreached = self.unreached.iter().map(|one| one.name.clone());
        let asked = candidates.iter().filter_map(|one| one.node.clone());
        hosts.chain(unreached).chain(asked).collect()
    }

    /// Adds a host. Of two that say they are the same node, the one counts that was asked as that node.
    fn add(&mut self, notices: &NoticeSink, candidate: &Candidate, one: ReachedHost) {
        let same = |known: &&mut ReachedHost| known.node() == one.node();
        let Some(known) = self.hosts.iter_mut().find(same) else {
            self.hosts.push(one);
            return;
        };
        let node = one.node().to_owned();
        let other = match (known.asked_as_itself, one.asked_as_itself) {
            (true, true) => return,
            (false, true) => std::mem::replace(known, one).host.host.address,
            (_, false) => candidate.addresses.first().map(ToString::to_string),
        };
        let other = other.unwrap_or_else(|| "a host".to_owned());
        notices(Notice::Warning(format!(
            "{other} says that it is {node} too: it is left out"
        )));
    }

    fn none(self) -> Error {
        let message = "no control-plane node could be reached";
        let error = Error::new(ErrorKind::NothingReached, message);
        self.unreached.into_iter().fold(error, |error, one| {
            // It says whom it is about.
            let error = error.hint(one.why);
            one.hint.into_iter().fold(error, Error::hint)
        })
    }
}

impl Unreached {
    fn new(candidate: &Candidate, error: Error) -> Self {
        let hint = match candidate.origin {
            Origin::Kubeconfig => Some(advice![
                "the kubeconfig's server may be a load balancer: ",
                Choice::Master.with("HOST"),
                " names a control-plane node",
            ]),
            Origin::Ssh | Origin::Master | Origin::Cache | Origin::Member | Origin::Plan => {
                error.hints.into_iter().next()
            }
        };
        Self {
            name: candidate.name().to_owned(),
            addresses: texts(&candidate.addresses),
            why: error.message,
            hint,
        }
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        let addresses = self.addresses.iter().map(String::as_str);
        addresses.chain([self.name.as_str()])
    }
}

/// Whether a host knows the members from its etcd or its data: a manifest tells of those there were at first.
fn knows_members(look: &Look) -> bool {
    let live = look
        .live
        .ok()
        .is_some_and(|live| live.members.ok().is_some());
    let inspection = look
        .cold
        .ok()
        .and_then(|cold| cold.inspection.as_ref()?.ok());
    live || inspection.is_some_and(|found| !found.members.is_empty())
}

/// The other members that a host knows, at the addresses where members reach them.
fn others_of(look: &Look) -> Vec<Candidate> {
    let own = look.etcd.ok().into_iter();
    let own = own.flat_map(|etcd| &etcd.target.peer_urls).collect();
    others(&own, look.known_members())
}

/// Members, by names and peer URLs, but the one that has one of its `own`. Both are what somebody wrote into etcd.
fn others(own: &BTreeSet<&String>, members: Vec<(String, Vec<String>)>) -> Vec<Candidate> {
    members
        .into_iter()
        .filter(|(_, urls)| !urls.is_empty() && !urls.iter().any(|url| own.contains(url)))
        .map(|(name, urls)| {
            let addresses = urls.iter().map(|url| HostName::of_url(url));
            let name = (!name.is_empty()).then_some(name);
            Candidate::told(name, addresses, Origin::Member)
        })
        .collect()
}

/// Known hosts, each as it was typed where it was: that is out of `typed` then.
fn at_typed(known: Vec<Candidate>, typed: &mut Vec<Candidate>) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for one in known {
        let place = typed.iter().position(|typed| typed.is_of(&one));
        all.push(place.map_or(one, |place| typed.remove(place)));
    }
    all
}

fn texts(addresses: &[Destination]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// Connects to a host, and has it say who it is.
pub async fn connect(
    notices: &NoticeSink,
    candidate: &Candidate,
    ssh: &SshTargets,
    selection: &Selection,
) -> Result<ReachedHost, Error> {
    let connected = SshHost::connect(candidate, &ssh.options, NoticeSink::clone(notices)).await?;
    let hello = connected.ask_for(&ask::Hello, selection).await?;
    if !hello.control_plane {
        let node = &hello.node;
        return Err(Error::failed(format!(
            "{node} is no control-plane node: no static pod there is of a control plane"
        )));
    }
    let address = candidate.addresses.first().and_then(Destination::host);
    let address = address.map(|host| host.to_string());
    let asked_as_itself = candidate.node.as_ref() == Some(&hello.node);
    let host = Host::over_ssh(
        hello.node.clone(),
        address,
        connected,
        NoticeSink::clone(notices),
    );
    let host = host.meaning(selection.clone());
    Ok(ReachedHost {
        host,
        hello,
        asked_as_itself,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn candidate(origin: Origin) -> Candidate {
        Candidate::told(None, [HostName::parse("api.example.com")], origin)
    }

    fn refused() -> Error {
        Error::new(ErrorKind::NothingReached, "api.example.com: nobody there")
            .hint("does `ssh` work?")
    }

    #[test]
    fn a_kubeconfigs_server_that_is_no_master_is_told_with_what_lifts_it() {
        let mut reached = Reached::nobody(Selection::default());
        let server = candidate(Origin::Kubeconfig);
        reached.unreached.push(Unreached::new(&server, refused()));
        let error = reached.none();
        assert_eq!(error.kind.exit_code(), 6);
        assert_eq!(
            error.hints[0], "api.example.com: nobody there",
            "it is named once"
        );
        assert!(
            error.hints[1].written().contains("{+master=HOST}"),
            "{error:?}"
        );
    }

    #[test]
    fn a_host_that_was_named_is_told_with_its_own_hint() {
        let one = Unreached::new(&candidate(Origin::Master), refused());
        assert_eq!(one.hint.unwrap().written(), "does `ssh` work?");
        assert_eq!(one.name, "api.example.com");
    }

    fn texts_of(candidate: &Candidate) -> Vec<&str> {
        candidate
            .addresses
            .iter()
            .map(Destination::as_str)
            .collect()
    }

    #[test]
    fn what_etcd_says_of_members_is_left_out_where_it_is_no_host_name() {
        let member = |name: &str, urls: &[&str]| {
            let urls = urls.iter().map(|&url| url.to_owned()).collect();
            (name.to_owned(), urls)
        };
        let own = "https://10.0.0.1:2380".to_owned();
        let members = vec![
            member("m1", &["https://10.0.0.1:2380"]),
            member("root@evil.example", &["https://10.0.0.2:2380"]),
            member(
                "m3",
                &[
                    "https://$(x):2380",
                    "https://m3;id:2380",
                    "https://[fd00::3]:2380",
                ],
            ),
            member("-oProxyCommand=x", &["unix://x"]),
        ];
        let found = others(&[&own].into(), members);
        assert_eq!(found.len(), 3);
        assert_eq!(texts_of(&found[0]), ["10.0.0.2"]);
        assert_eq!(found[0].alias(), None);
        assert_eq!(found[0].left_out[0].0, "root@evil.example");
        assert_eq!(texts_of(&found[1]), ["fd00::3"]);
        assert_eq!(found[1].alias().unwrap().as_str(), "m3");
        assert_eq!(found[1].left_out.len(), 2);
        assert!(
            found[2]
                .addresses
                .iter()
                .all(|one| !one.as_str().starts_with('-'))
        );
        assert!(
            found[2]
                .left_out
                .iter()
                .any(|one| one.0 == "-oProxyCommand=x")
        );
    }

    #[test]
    fn a_known_host_is_asked_where_the_user_says_it_is() {
        let known = || {
            let address = |text| [HostName::parse(text)];
            let known =
                |name: &str, at| Candidate::told(Some(name.into()), address(at), Origin::Member);
            vec![known("m2", "10.0.0.2"), known("etcd-3", "10.0.0.3")]
        };
        let typed = |node: &str, at| {
            Candidate::typed(
                Some(node.into()),
                Destination::typed(at).unwrap(),
                Origin::Ssh,
            )
        };
        // By its name, and by its address under another name.
        let mut all = vec![
            typed("m2", "root@jump"),
            typed("m3", "10.0.0.3"),
            typed("m9", "x"),
        ];
        let asked = at_typed(known(), &mut all);
        assert_eq!(texts_of(&asked[0]), ["root@jump"]);
        assert_eq!(asked[1].node.as_deref(), Some("m3"));
        assert_eq!(all, [typed("m9", "x")]);
    }

    /// Two hosts that say they are m1; whether each was asked as m1.
    fn both(first: bool, second: bool) -> Reached {
        let notices: NoticeSink = Arc::new(|_| ());
        let mut reached = Reached::nobody(Selection::default());
        for (asked_as_itself, at) in [(first, "10.0.0.1"), (second, "10.0.0.3")] {
            let hello = serde_json::json!({
                "version": "0", "node": "m1", "etcd": true, "uid": 0, "architecture": "x86_64",
            });
            let one = ReachedHost {
                host: Host::here("m1".into(), Some(at.into()), NoticeSink::clone(&notices)),
                hello: serde_json::from_value(hello).unwrap(),
                asked_as_itself,
            };
            let candidate = Candidate::told(None, [HostName::parse(at)], Origin::Master);
            reached.add(&notices, &candidate, one);
        }
        reached
    }

    #[test]
    fn of_two_that_say_they_are_one_node_the_one_counts_that_was_asked_as_it() {
        for (first, second, address) in [
            (true, false, "10.0.0.1"),
            (false, true, "10.0.0.3"),
            (false, false, "10.0.0.1"),
            (true, true, "10.0.0.1"),
        ] {
            let reached = both(first, second);
            assert_eq!(reached.hosts.len(), 1);
            let at = reached.hosts[0].host.host.address.as_deref();
            assert_eq!(at, Some(address), "{first} {second}");
        }
    }
}
