//! A server that knows etcd's Maintenance service and sends the snapshot it is told to.

use std::pin::Pin;

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbDefragmentRequest, PbDefragmentResponse, PbDowngradeRequest,
    PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse,
    PbKvServer, PbMaintenanceServer, PbMaintenanceService, PbMoveLeaderRequest,
    PbMoveLeaderResponse, PbResponseHeader, PbSnapshotRequest, PbSnapshotResponse, PbStatusRequest,
    PbStatusResponse,
};
use futures::stream::{self, Stream, StreamExt};
use sha2::{Digest, Sha256};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::kv::{Kv, Reads, unasked};

const PAGE: usize = 4096;
/// The member's revision.
pub(crate) const REVISION: i64 = 3;

/// What is sent as a snapshot.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) bytes: Vec<u8>,
    /// How much there is, as the messages tell it.
    pub(crate) total: usize,
    pub(crate) ending: Ending,
}

impl Script {
    pub(crate) fn all(bytes: Vec<u8>) -> Self {
        Self {
            total: bytes.len(),
            bytes,
            ending: Ending::Close,
        }
    }
}

/// What comes after the bytes.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Close,
    Break,
    Silence,
    EmptyForEver,
}

/// A running server; it ends with its handle.
pub(crate) struct Running {
    pub(crate) url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serve(script: Script) -> Running {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", incoming.local_addr().unwrap());
    let keys = PbKvServer::new(Kv(Fake(script.clone())));
    let service = PbMaintenanceServer::new(Fake(script));
    let task = tokio::spawn(async move {
        Server::builder()
            .add_service(service)
            .add_service(keys)
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    Running { url, task }
}

struct Fake(Script);

type Messages = Pin<Box<dyn Stream<Item = Result<PbSnapshotResponse, Status>> + Send>>;

fn header() -> PbResponseHeader {
    PbResponseHeader {
        cluster_id: 1,
        member_id: 2,
        revision: REVISION,
        raft_term: 4,
    }
}

impl Reads for Fake {
    async fn read(&self) -> Result<PbResponseHeader, Status> {
        Ok(header())
    }
}

#[tonic::async_trait]
impl PbMaintenanceService for Fake {
    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Result<Response<PbAlarmResponse>, Status> {
        unasked()
    }

    async fn status(
        &self,
        _: Request<PbStatusRequest>,
    ) -> Result<Response<PbStatusResponse>, Status> {
        Ok(Response::new(PbStatusResponse {
            header: Some(header()),
            version: "3.6.0".into(),
            db_size: 1 << 20,
            leader: 2,
            ..PbStatusResponse::default()
        }))
    }

    async fn defragment(
        &self,
        _: Request<PbDefragmentRequest>,
    ) -> Result<Response<PbDefragmentResponse>, Status> {
        unasked()
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Result<Response<PbHashResponse>, Status> {
        unasked()
    }

    async fn hash_kv(
        &self,
        request: Request<PbHashKvRequest>,
    ) -> Result<Response<PbHashKvResponse>, Status> {
        if request.into_inner().revision > REVISION {
            let what = "etcdserver: mvcc: required revision is a future revision";
            return Err(Status::out_of_range(what));
        }
        Ok(Response::new(PbHashKvResponse {
            header: Some(header()),
            hash: 7,
            compact_revision: -1,
            ..PbHashKvResponse::default()
        }))
    }

    type SnapshotStream = Messages;

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Result<Response<Messages>, Status> {
        let Script {
            bytes,
            total,
            ending,
        } = self.0.clone();
        let mut left = total;
        let blobs: Vec<_> = bytes.chunks(32 << 10).map(<[u8]>::to_vec).collect();
        let data: Vec<_> = blobs
            .into_iter()
            .map(|blob| {
                left -= blob.len();
                Ok(message(blob, left))
            })
            .collect();
        let data = stream::iter(data);
        Ok(Response::new(match ending {
            Ending::Close => data.boxed(),
            Ending::Break => data
                .chain(stream::iter([Err(Status::unavailable("the wire was cut"))]))
                .boxed(),
            Ending::Silence => data.chain(stream::pending()).boxed(),
            Ending::EmptyForEver => data
                .chain(stream::repeat(()).map(move |()| Ok(message(vec![], left))))
                .boxed(),
        }))
    }

    async fn move_leader(
        &self,
        _: Request<PbMoveLeaderRequest>,
    ) -> Result<Response<PbMoveLeaderResponse>, Status> {
        unasked()
    }

    async fn downgrade(
        &self,
        _: Request<PbDowngradeRequest>,
    ) -> Result<Response<PbDowngradeResponse>, Status> {
        unasked()
    }
}

fn message(blob: Vec<u8>, left: usize) -> PbSnapshotResponse {
    PbSnapshotResponse {
        remaining_bytes: left as u64,
        blob,
        ..PbSnapshotResponse::default()
    }
}

/// A database of so many pages with good meta pages, and nothing but zeros after them.
pub(crate) fn blank_database(pages: usize) -> Vec<u8> {
    let mut bytes = vec![0; pages * PAGE];
    for page in 0..2 {
        let at = page * PAGE;
        bytes[at..at + 8].copy_from_slice(&(page as u64).to_le_bytes());
        bytes[at + 8..at + 10].copy_from_slice(&4u16.to_le_bytes());
        let mut meta = Vec::new();
        for number in [0xED0C_DAED_u32, 2, 4096, 0] {
            meta.extend(number.to_le_bytes());
        }
        // Root bucket's page and sequence, free list, pages, transaction.
        for number in [3, 0, u64::MAX, pages as u64, 10 - page as u64] {
            meta.extend(number.to_le_bytes());
        }
        let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        meta.extend(sum.to_le_bytes());
        bytes[at + 16..at + 16 + meta.len()].copy_from_slice(&meta);
    }
    bytes
}

pub(crate) fn with_trailer(mut database: Vec<u8>) -> Vec<u8> {
    let sum = Sha256::digest(&database);
    database.extend_from_slice(&sum);
    database
}
