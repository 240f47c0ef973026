//! The cluster in memory behind servers of etcd's gRPC, one for each member.

use std::pin::Pin;

use etcd_client::proto::{
    PbAlarmMember, PbAlarmRequest, PbAlarmResponse, PbClusterServer, PbClusterService,
    PbDefragmentRequest, PbDefragmentResponse, PbDowngradeRequest, PbDowngradeResponse,
    PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse, PbKvServer,
    PbMaintenanceServer, PbMaintenanceService, PbMember, PbMemberAddRequest, PbMemberAddResponse,
    PbMemberListRequest, PbMemberListResponse, PbMemberPromoteRequest, PbMemberPromoteResponse,
    PbMemberRemoveRequest, PbMemberRemoveResponse, PbMemberUpdateRequest, PbMemberUpdateResponse,
    PbMoveLeaderRequest, PbMoveLeaderResponse, PbResponseHeader, PbSnapshotRequest,
    PbSnapshotResponse, PbStatusRequest, PbStatusResponse,
};
use etcd_operations::client::Connector;
use etcd_operations::ids::MemberId;
use etcd_operations::report::{AlarmKind, Member};
use etcd_operations::target::Target;
use futures::stream::Stream;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::kv::{Kv, Reads, unasked};

use crate::memory::{MemoryCluster, NoAnswer};
use crate::{Backend, target_at};

/// The backend that works on the node.
pub(crate) struct OverGrpc {
    cluster: MemoryCluster,
    connector: Connector,
    target: Target,
    servers: Vec<JoinHandle<()>>,
}

impl Drop for OverGrpc {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Backend for OverGrpc {
    type Api = Connector;

    async fn start(count: u64) -> Self {
        let mut backend = Self {
            cluster: MemoryCluster::new(count),
            connector: Connector::load(&target_at("")).unwrap(),
            target: target_at(""),
            servers: Vec::new(),
        };
        for number in 1..=count {
            backend.start_member(MemberId(number)).await;
        }
        let first = backend.cluster.state().members[0].client_urls[0].clone();
        backend.target = target_at(&first);
        backend
    }

    fn cluster(&self) -> &MemoryCluster {
        &self.cluster
    }

    fn api(&self) -> &Connector {
        &self.connector
    }

    async fn start_member(&mut self, id: MemberId) {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", incoming.local_addr().unwrap());
        self.cluster.start(id, &url);
        let member = Served {
            cluster: self.cluster.clone(),
            id,
        };
        self.servers.push(tokio::spawn(async move {
            Server::builder()
                .add_service(PbMaintenanceServer::new(member.clone()))
                .add_service(PbClusterServer::new(member.clone()))
                .add_service(PbKvServer::new(Kv(member)))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        }));
    }

    fn target(&self) -> Target {
        self.target.clone()
    }
}

#[derive(Clone)]
struct Served {
    cluster: MemoryCluster,
    id: MemberId,
}

impl Served {
    fn header(&self) -> Option<PbResponseHeader> {
        Some(PbResponseHeader {
            cluster_id: 1,
            member_id: self.id.0,
            revision: 3,
            raft_term: 2,
        })
    }
}

async fn answered<T>(result: Result<T, NoAnswer>) -> Result<T, Status> {
    match result {
        Ok(value) => Ok(value),
        Err(NoAnswer::Refused(said)) => Err(Status::failed_precondition(said)),
        Err(NoAnswer::Lost) => Err(Status::unavailable("Connection reset by peer")),
        Err(NoAnswer::Silence) => std::future::pending().await,
    }
}

fn listed(members: Vec<Member>) -> Vec<PbMember> {
    let listed = members.into_iter().map(|member| PbMember {
        id: member.id.0,
        name: member.name,
        peer_ur_ls: member.peer_urls,
        client_ur_ls: member.client_urls,
        is_learner: member.is_learner,
    });
    listed.collect()
}

fn kind(number: i32) -> AlarmKind {
    match number {
        1 => AlarmKind::NoSpace,
        2 => AlarmKind::Corrupt,
        _ => AlarmKind::Unknown,
    }
}

#[tonic::async_trait]
impl PbClusterService for Served {
    async fn member_add(
        &self,
        request: Request<PbMemberAddRequest>,
    ) -> Result<Response<PbMemberAddResponse>, Status> {
        let asked = request.into_inner();
        let added = self.cluster.add(asked.peer_ur_ls, asked.is_learner);
        Ok(Response::new(PbMemberAddResponse {
            header: self.header(),
            members: listed(answered(added).await?),
            ..PbMemberAddResponse::default()
        }))
    }

    async fn member_remove(
        &self,
        request: Request<PbMemberRemoveRequest>,
    ) -> Result<Response<PbMemberRemoveResponse>, Status> {
        let removed = self.cluster.remove(MemberId(request.into_inner().id));
        Ok(Response::new(PbMemberRemoveResponse {
            header: self.header(),
            members: listed(answered(removed).await?),
        }))
    }

    async fn member_update(
        &self,
        _: Request<PbMemberUpdateRequest>,
    ) -> Result<Response<PbMemberUpdateResponse>, Status> {
        unasked()
    }

    async fn member_list(
        &self,
        _: Request<PbMemberListRequest>,
    ) -> Result<Response<PbMemberListResponse>, Status> {
        Ok(Response::new(PbMemberListResponse {
            header: self.header(),
            members: listed(answered(self.cluster.members()).await?),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<PbMemberPromoteRequest>,
    ) -> Result<Response<PbMemberPromoteResponse>, Status> {
        let promoted = self.cluster.promote(MemberId(request.into_inner().id));
        Ok(Response::new(PbMemberPromoteResponse {
            header: self.header(),
            members: listed(answered(promoted).await?),
        }))
    }
}

impl Reads for Served {
    async fn read(&self) -> Result<PbResponseHeader, Status> {
        answered(self.cluster.read()).await?;
        Ok(self.header().unwrap_or_default())
    }

    async fn compact(&self, revision: i64) -> Result<(), Status> {
        answered(self.cluster.compact(revision)).await
    }
}

#[tonic::async_trait]
impl PbMaintenanceService for Served {
    async fn alarm(
        &self,
        request: Request<PbAlarmRequest>,
    ) -> Result<Response<PbAlarmResponse>, Status> {
        let asked = request.into_inner();
        if asked.action == 2 {
            let meant = (MemberId(asked.member_id), kind(asked.alarm));
            let disarmed = self
                .cluster
                .disarm(|alarm| (alarm.member_id, alarm.alarm) == meant);
            answered(disarmed).await?;
            return Ok(Response::new(PbAlarmResponse::default()));
        }
        let alarms = answered(self.cluster.alarms()).await?.into_iter();
        let alarms = alarms.map(|alarm| PbAlarmMember {
            member_id: alarm.member_id.0,
            alarm: match alarm.alarm {
                AlarmKind::NoSpace => 1,
                AlarmKind::Corrupt => 2,
                AlarmKind::Unknown => 3,
            },
        });
        Ok(Response::new(PbAlarmResponse {
            header: self.header(),
            alarms: alarms.collect(),
        }))
    }

    async fn status(
        &self,
        _: Request<PbStatusRequest>,
    ) -> Result<Response<PbStatusResponse>, Status> {
        let (member, leader, db_bytes) = answered(self.cluster.status(self.id)).await?;
        Ok(Response::new(PbStatusResponse {
            header: self.header(),
            version: "3.6.1".to_owned(),
            db_size: i64::try_from(db_bytes).unwrap(),
            leader: leader.map_or(0, |leader| leader.0),
            raft_index: 9,
            raft_applied_index: 9,
            is_learner: member.is_learner,
            ..PbStatusResponse::default()
        }))
    }

    async fn defragment(
        &self,
        _: Request<PbDefragmentRequest>,
    ) -> Result<Response<PbDefragmentResponse>, Status> {
        answered(self.cluster.defragment()).await?;
        Ok(Response::new(PbDefragmentResponse::default()))
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Result<Response<PbHashResponse>, Status> {
        unasked()
    }

    async fn hash_kv(
        &self,
        _: Request<PbHashKvRequest>,
    ) -> Result<Response<PbHashKvResponse>, Status> {
        unasked()
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<PbSnapshotResponse, Status>> + Send>>;

    async fn snapshot(
        &self,
        _: Request<PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        unasked()
    }

    async fn move_leader(
        &self,
        request: Request<PbMoveLeaderRequest>,
    ) -> Result<Response<PbMoveLeaderResponse>, Status> {
        let to = MemberId(request.into_inner().target_id);
        answered(self.cluster.move_leader(self.id, to)).await?;
        Ok(Response::new(PbMoveLeaderResponse::default()))
    }

    async fn downgrade(
        &self,
        _: Request<PbDowngradeRequest>,
    ) -> Result<Response<PbDowngradeResponse>, Status> {
        unasked()
    }
}
