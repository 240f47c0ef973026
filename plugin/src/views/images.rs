//! How images are shown: which the runtime of a host has, and what came of fetching those it did not have.

use std::path::Path;

use etcd_operations::failure::Answer;
use etcd_operations::images::Named;
use etcd_operations::runtime::Image;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Field, Grid, Paint, Tone, clean, field, maybe};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::bytes;

/// The images that the static pods of a host name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Images`.
    pub kind: &'static str,
    /// Where the container runtime listens that was asked.
    pub runtime: String,
    /// Whether they were only looked at, or what would be fetched is only shown.
    pub dry_run: bool,
    /// The file with the registries' logins; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins: Option<String>,
    /// The images, in the order of the manifests; those of components that were taken out come last.
    pub images: Vec<ImageRow>,
}

/// An image that a component's manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageRow {
    /// The component: the container's name.
    pub component: String,
    /// Its pod, as the manifest names it.
    pub pod: String,
    /// The image, as the manifest names it.
    pub image: String,
    /// Whether the component's manifest was taken out of kubelet's folder.
    pub taken_out: bool,
    /// How it is with it.
    pub state: ImageState,
    /// The runtime's id of it, when it has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it takes, as the runtime counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Why it is not known or was not fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How it is with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// The runtime has it.
    Present,
    /// The runtime does not have it.
    Missing,
    /// The runtime did not tell.
    Unknown,
    /// It was fetched.
    Pulled,
    /// It could not be fetched.
    Failed,
}

impl Images {
    /// Of a runtime that was not asked yet.
    pub fn new(runtime: &Path) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Images",
            runtime: runtime.display().to_string(),
            dry_run: true,
            logins: None,
            images: Vec::new(),
        }
    }

    /// Whether the runtime now has all of them.
    pub fn all_there(&self) -> bool {
        let there = |row: &ImageRow| match row.state {
            ImageState::Present | ImageState::Pulled => true,
            ImageState::Missing | ImageState::Unknown | ImageState::Failed => false,
        };
        self.images.iter().all(there)
    }
}

impl ImageRow {
    /// As the runtime tells it.
    pub fn new(named: &Named, present: &Answer<Option<Image>>) -> Self {
        let mut row = Self {
            component: named.component.clone(),
            pod: named.pod.to_string(),
            image: named.image.clone(),
            taken_out: named.taken_out,
            state: ImageState::Missing,
            id: None,
            size_bytes: None,
            problem: None,
        };
        match present {
            Answer::Ok(Some(image)) => row.has(ImageState::Present, image),
            Answer::Ok(None) => {}
            Answer::Failed(failure) => row.fails(ImageState::Unknown, &failure.message),
        }
        row
    }

    /// The runtime has it.
    pub fn has(&mut self, state: ImageState, image: &Image) {
        self.state = state;
        self.id = Some(image.id.clone());
        self.size_bytes = Some(image.size_bytes);
    }

    /// It did not do.
    pub fn fails(&mut self, state: ImageState, problem: &str) {
        self.state = state;
        self.problem = Some(problem.to_owned());
    }

    fn state_field(&self) -> Field {
        match self.state {
            ImageState::Present => field("there").tone(Tone::Good),
            ImageState::Missing => field("missing").tone(Tone::Bad),
            ImageState::Unknown => field("not known").tone(Tone::Warn),
            ImageState::Pulled => field("pulled").tone(Tone::Good),
            ImageState::Failed => field("failed").tone(Tone::Bad),
        }
    }
}

impl View for Images {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let grid = Grid::new()
            .text("COMPONENT")
            .text("IMAGE")
            .text("STATE")
            .number("SIZE")
            .text("MANIFEST");
        let mut grid = match wide {
            true => grid.text("POD").text("ID"),
            false => grid,
        };
        for one in &self.images {
            let mut row = vec![
                field(&one.component),
                field(&one.image),
                one.state_field(),
                maybe(one.size_bytes.map(bytes)),
                match one.taken_out {
                    true => field("taken out").tone(Tone::Warn),
                    false => field("in use"),
                },
            ];
            if wide {
                row.push(field(&one.pod));
                row.push(maybe(one.id.as_deref()));
            }
            grid.row(row);
        }
        let mut text = grid.draw(paint);
        for one in self
            .images
            .iter()
            .filter(|one| one.state == ImageState::Unknown)
        {
            if let Some(problem) = &one.problem {
                text.push_str(&format!("{}: {}\n", clean(&one.image), clean(problem)));
            }
        }
        text
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use etcd_operations::failure::{Failure, FailureKind};
    use etcd_operations::manifest::PodId;

    use super::*;

    pub(crate) fn samples() -> Images {
        let mut view = Images::new(Path::new("/run/containerd/containerd.sock"));
        view.logins = Some("/etc/registry/auth.json".to_owned());
        let named = |component: &str, taken_out| Named {
            component: component.to_owned(),
            pod: PodId {
                namespace: "kube-system".to_owned(),
                name: component.to_owned(),
            },
            image: format!("registry.example/{component}:1"),
            taken_out,
        };
        let image = Image {
            id: "sha256:ab".to_owned(),
            size_bytes: 24 << 20,
        };
        let there = Answer::Ok(Some(image.clone()));
        let unknown = Answer::Failed(Failure::new(FailureKind::Unreachable, "it does not answer"));
        view.images = vec![
            ImageRow::new(&named("etcd", false), &there),
            ImageRow::new(&named("kube-apiserver", true), &Answer::Ok(None)),
            ImageRow::new(&named("kube-scheduler", false), &unknown),
        ];
        let mut pulled = ImageRow::new(&named("first", false), &Answer::Ok(None));
        pulled.has(ImageState::Pulled, &image);
        let mut failed = ImageRow::new(&named("second", false), &Answer::Ok(None));
        failed.fails(ImageState::Failed, "no login");
        view.images.extend([pulled, failed]);
        view
    }

    #[test]
    fn each_state_is_shown() {
        let mut view = samples();
        let text = view.table(false, Paint::Plain);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "COMPONENT IMAGE STATE SIZE MANIFEST",
                "etcd registry.example/etcd:1 there 24 MiB in use",
                "kube-apiserver registry.example/kube-apiserver:1 missing - taken out",
                "kube-scheduler registry.example/kube-scheduler:1 not known - in use",
                "first registry.example/first:1 pulled 24 MiB in use",
                "second registry.example/second:1 failed - in use",
                "registry.example/kube-scheduler:1: it does not answer",
            ]
        );
        assert!(!view.all_there());
        view.images.truncate(1);
        assert!(view.all_there());
    }
}
