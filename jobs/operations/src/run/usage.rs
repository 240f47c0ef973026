//! What fills the database, from a snapshot that is measured as it comes and stored nowhere.

use etcd_datadir::stream::Received;
use etcd_datadir::usage::{Usage, UsageOptions, UsageStream};

use crate::client::{Connector, EtcdApi, OWN_LIMIT};
use crate::failure::Failure;
use crate::report::{Report, UsageReport, UsageRow};
use crate::target::Target;
use crate::work::stream::{Pieces, receive};
use crate::work::{Events, Flow, trouble_with_data};

pub(super) async fn usage(
    target: &Target,
    connector: &Connector,
    top: usize,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    let (endpoint, own) = connector.own(target, OWN_LIMIT).await?;
    let name = format!("the snapshot of {}", endpoint.url());
    let work = move |pieces, flow: &_| measure(name, top, pieces, flow);
    let (found, _) = receive(&endpoint, "measuring", events, work).await?;
    let rows = |groups: Vec<etcd_datadir::usage::Group>| {
        let rows = groups
            .into_iter()
            .map(|group| UsageRow::new(group.name, &group.amounts));
        rows.take(top).collect()
    };
    Ok(Report::Usage(UsageReport {
        member_id: Some(own.member_id),
        file_bytes: found.database_bytes,
        free_bytes: found.free_bytes,
        revision: own.revision,
        total: UsageRow::new("total".to_owned(), &found.all),
        resources: rows(found.resources),
        namespaces: rows(found.namespaces),
        objects: found
            .largest
            .into_iter()
            .map(|object| UsageRow::new(object.key, &object.amounts))
            .collect(),
    }))
}

fn measure(
    name: String,
    top: usize,
    mut pieces: Pieces,
    flow: &Flow,
) -> Result<(Usage, Received), Failure> {
    let mut stream = UsageStream::new(name);
    while let Some(bytes) = pieces.next()? {
        flow.check_stopped()?;
        stream
            .push(&bytes)
            .map_err(|error| trouble_with_data(&error))?;
        flow.reached(stream.size());
    }
    let options = UsageOptions {
        top,
        ..UsageOptions::default()
    };
    stream
        .finish(&options)
        .map_err(|error| trouble_with_data(&error))
}
