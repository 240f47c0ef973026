//! The calls of [`EtcdApi`] as gRPC, with the node's own certificates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Certificate, Client, CompactionOptions, ConnectOptions,
    GetOptions, Identity, MemberAddOptions, TlsOptions,
};

use super::{
    Connector, Endpoint, EtcdApi, EtcdEndpoint, MemberChange, Needs, OWN_LIMIT, convert, failure_of,
};
use crate::failure::Failure;
use crate::ids::MemberId;
use crate::report::{
    Alarm, AlarmKind, Consistency, EndpointStatus, HashReport, Member, MemberList,
};
use crate::target::host;

/// A key nobody has: a read of it does all the work of a linearizable read and carries nothing.
const NO_KEY: &str = "kubectl-etcd/no-such-key";

impl EtcdApi for Connector {
    type Error = Failure;
    type Endpoint = Endpoint;

    /// Each try is a line in the logs of etcd.
    const PAUSE: Duration = Duration::from_millis(200);
    const SEES_FILES: bool = true;

    async fn endpoint(&self, url: &str) -> Result<Endpoint, Failure> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(OWN_LIMIT)
            .with_tcp_keepalive(Duration::from_secs(30));
        let mut tls = None;
        if let Some(authority) = url.strip_prefix("https://") {
            let material = self.tls.as_ref().ok_or_else(|| {
                let message =
                    format!("{url} speaks TLS, and this node's etcd names no certificates for it");
                Failure::missing(message)
            })?;
            options = options.with_tls(
                TlsOptions::new()
                    .ca_certificate(Certificate::from_pem(&material.ca))
                    .identity(Identity::from_pem(&material.cert, &material.key))
                    .domain_name(host(authority)),
            );
            tls = Some(Arc::clone(material));
        }
        match Client::connect([url], Some(options)).await {
            Ok(client) => Ok(Endpoint {
                url: url.to_owned(),
                client,
                tls,
            }),
            Err(error) => Err(failure_of(&error, url)),
        }
    }
}

impl EtcdEndpoint for Endpoint {
    type Error = Failure;

    async fn status(&self, limit: Duration) -> Result<EndpointStatus, Failure> {
        let begun = Instant::now();
        let mut client = self.client.maintenance_client();
        let answer = self.within(limit, Needs::Itself, client.status()).await?;
        convert::status(&answer, &self.url, begun.elapsed())
    }

    async fn members(&self, limit: Duration) -> Result<MemberList, Failure> {
        let mut client = self.client.cluster_client();
        let answer = self
            .within(limit, Needs::Itself, client.member_list())
            .await?;
        convert::members(&answer)
    }

    /// What this member lists after it holds all that was committed before is the quorum's view. (The client library
    /// asks for the member's own view alone; etcd 3.4 knows no other.)
    async fn agreed_members(&self, limit: Duration) -> Result<MemberList, Failure> {
        self.linearizable_read(limit).await?;
        let mut list = self.members(OWN_LIMIT).await?;
        list.consistency = Consistency::Linearizable;
        Ok(list)
    }

    async fn linearizable_read(&self, limit: Duration) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let mut client = self.client.kv_client();
        let options = GetOptions::new().with_limit(1).with_keys_only();
        self.within(limit, Needs::Quorum, client.get(NO_KEY, Some(options)))
            .await?;
        Ok(begun.elapsed())
    }

    async fn alarms(&self, limit: Duration) -> Result<Vec<Alarm>, Failure> {
        let mut client = self.client.maintenance_client();
        let call = client.alarm(AlarmAction::Get, AlarmType::None, None);
        self.within(limit, Needs::Quorum, call)
            .await
            .map(|answer| convert::alarms(&answer))
    }

    /// One by one, each within the limit. An alarm of a kind this version does not know is refused.
    async fn disarm(&self, wanted: &[Alarm], _: &[Alarm], limit: Duration) -> Result<(), Failure> {
        for alarm in wanted {
            let kind = match alarm.alarm {
                AlarmKind::NoSpace => AlarmType::Nospace,
                AlarmKind::Corrupt => AlarmType::Corrupt,
                AlarmKind::Unknown => {
                    let message = "the alarm is of a kind this version does not know";
                    return Err(Failure::refused(message));
                }
            };
            let mut client = self.client.maintenance_client();
            let mut options = AlarmOptions::new();
            options.with_member(alarm.member_id.0);
            let call = client.alarm(AlarmAction::Deactivate, kind, Some(options));
            self.within(limit, Needs::Quorum, call).await?;
        }
        Ok(())
    }

    async fn hash_kv(&self, revision: i64, limit: Duration) -> Result<HashReport, Failure> {
        let mut client = self.client.maintenance_client();
        let call = client.hash_kv(revision);
        let answer = self.within(limit, Needs::Itself, call).await?;
        convert::hash(&answer, revision)
    }

    async fn compact(&self, revision: i64, limit: Duration) -> Result<(), Failure> {
        let mut client = self.client.kv_client();
        let options = CompactionOptions::new().with_physical();
        let call = client.compact(revision, Some(options));
        self.within(limit, Needs::Quorum, call).await.map(drop)
    }

    async fn defragment(&self, limit: Duration) -> Result<(), Failure> {
        let mut client = self.client.maintenance_client();
        self.within(limit, Needs::Itself, client.defragment())
            .await
            .map(|_| ())
    }

    async fn change_members(
        &self,
        change: MemberChange<'_>,
        limit: Duration,
    ) -> Result<Vec<Member>, Failure> {
        let mut client = self.client.cluster_client();
        let call = async {
            let all =
                |members: &[etcd_client::Member]| members.iter().map(convert::member).collect();
            Ok(match change {
                MemberChange::Add { peer_urls, learner } => {
                    let options = match learner {
                        true => MemberAddOptions::new().with_is_learner(),
                        false => MemberAddOptions::new(),
                    };
                    all(client
                        .member_add(peer_urls, Some(options))
                        .await?
                        .member_list())
                }
                MemberChange::Remove(member) => {
                    all(client.member_remove(member.0).await?.members())
                }
                MemberChange::Promote(member) => {
                    all(client.member_promote(member.0).await?.members())
                }
            })
        };
        self.within(limit, Needs::Quorum, call).await
    }

    async fn move_leader(&self, to: MemberId, limit: Duration) -> Result<(), Failure> {
        let mut client = self.client.maintenance_client();
        let call = client.move_leader(to.0);
        self.within(limit, Needs::Quorum, call).await.map(|_| ())
    }
}
