//! How it is shown what fills a database.

use clap::ValueEnum;
use etcd_datadir::usage as file;
use etcd_operations::report::{UsageReport, UsageRow};
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, field};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::{bytes, count, percent};

/// What fills a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Usage`.
    pub kind: &'static str,
    /// The file, or the node the live database was read on.
    pub source: String,
    /// The database as a whole, in bytes.
    pub database_bytes: u64,
    /// What a defragmentation would free.
    pub free_bytes: u64,
    /// All keys together.
    pub total: UsageRow,
    /// The largest resources.
    pub resources: Vec<UsageRow>,
    /// The largest namespaces.
    pub namespaces: Vec<UsageRow>,
    /// The largest objects, by key.
    pub objects: Vec<UsageRow>,
    /// Which of them the table shows.
    #[serde(skip)]
    by: By,
}

/// What to add up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Such as pods or example.com/widgets
    Resource,
    /// By namespace
    Namespace,
    /// Single objects, by key
    Object,
}

impl Usage {
    /// Of a file.
    pub fn of_file(name: String, found: &file::Usage, by: By, top: usize) -> Self {
        let group = |group: &file::Group| UsageRow::new(&group.name, &group.amounts);
        Self {
            api_version: API_VERSION,
            kind: "Usage",
            source: name,
            database_bytes: found.database_bytes,
            free_bytes: found.free_bytes,
            total: UsageRow::new("", &found.all),
            resources: found.resources.iter().take(top).map(group).collect(),
            namespaces: found.namespaces.iter().take(top).map(group).collect(),
            objects: found
                .largest
                .iter()
                .take(top)
                .map(|object| UsageRow::new(&object.key, &object.amounts))
                .collect(),
            by,
        }
    }

    /// Of a live member.
    pub fn of_member(node: String, report: &UsageReport, by: By, top: usize) -> Self {
        let rows = |rows: &[UsageRow]| rows.iter().take(top).cloned().collect();
        Self {
            api_version: API_VERSION,
            kind: "Usage",
            source: node,
            database_bytes: report.file_bytes,
            free_bytes: report.free_bytes,
            total: report.total.clone(),
            resources: rows(&report.resources),
            namespaces: rows(&report.namespaces),
            objects: rows(&report.objects),
            by,
        }
    }
}

impl View for Usage {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let (header, nameless, rows) = match self.by {
            By::Resource => ("RESOURCE", "(not of Kubernetes)", &self.resources),
            By::Namespace => ("NAMESPACE", "(in no namespace)", &self.namespaces),
            By::Object => ("OBJECT", "", &self.objects),
        };
        let mut grid =
            Grid::new(header).and(true, ">OBJECTS|>REVISIONS|>LIVE|>HISTORY|>TOTAL|>SHARE");
        let all = self.total.live_bytes + self.total.history_bytes;
        let line = |name: &str, row: &UsageRow| {
            let total = row.live_bytes + row.history_bytes;
            vec![
                field(name),
                field(count(row.objects)),
                field(count(row.revisions)),
                field(bytes(row.live_bytes)),
                field(bytes(row.history_bytes)),
                field(bytes(total)),
                field(percent(total, all)),
            ]
        };
        for row in rows {
            grid.row(line(
                if row.name.is_empty() {
                    nameless
                } else {
                    &row.name
                },
                row,
            ));
        }
        grid.row(line("(all)", &self.total));
        grid.draw(paint)
            + &format!(
                "database of {}: {}, of which {} ({}) are free; history goes with the next compaction\n",
                self.source,
                bytes(self.database_bytes),
                bytes(self.free_bytes),
                percent(self.free_bytes, self.database_bytes)
            )
    }
}
