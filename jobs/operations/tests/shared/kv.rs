//! etcd's KV service: operations read to find out whether there is a quorum, and compact.

use std::pin::Pin;

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbKvService,
    PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse, PbRangeStreamResponse,
    PbResponseHeader, PbTxnRequest, PbTxnResponse,
};
use futures::stream::Stream;
use tonic::{Request, Response, Status};

/// What a read is answered with.
pub(crate) trait Reads: Send + Sync + 'static {
    /// The header of the answer.
    fn read(&self) -> impl Future<Output = Result<PbResponseHeader, Status>> + Send;

    /// Compacts up to a revision.
    fn compact(&self, _: i64) -> impl Future<Output = Result<(), Status>> + Send {
        async { unasked::<()>().map(drop) }
    }
}

/// The service of one member.
pub(crate) struct Kv<R>(pub(crate) R);

/// The answer to what no operation asks for.
pub(crate) fn unasked<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("no operation here asks for it"))
}

#[tonic::async_trait]
impl<R: Reads> PbKvService for Kv<R> {
    async fn range(&self, _: Request<PbRangeRequest>) -> Result<Response<PbRangeResponse>, Status> {
        Ok(Response::new(PbRangeResponse {
            header: Some(self.0.read().await?),
            ..PbRangeResponse::default()
        }))
    }

    type RangeStreamStream =
        Pin<Box<dyn Stream<Item = Result<PbRangeStreamResponse, Status>> + Send>>;

    async fn range_stream(
        &self,
        _: Request<PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        unasked()
    }

    async fn put(&self, _: Request<PbPutRequest>) -> Result<Response<PbPutResponse>, Status> {
        unasked()
    }

    async fn delete_range(
        &self,
        _: Request<PbDeleteRequest>,
    ) -> Result<Response<PbDeleteResponse>, Status> {
        unasked()
    }

    async fn txn(&self, _: Request<PbTxnRequest>) -> Result<Response<PbTxnResponse>, Status> {
        unasked()
    }

    async fn compact(
        &self,
        request: Request<PbCompactionRequest>,
    ) -> Result<Response<PbCompactionResponse>, Status> {
        let asked = request.into_inner();
        assert!(asked.physical, "what is in use afterwards is told");
        self.0.compact(asked.revision).await?;
        Ok(Response::new(PbCompactionResponse::default()))
    }
}
