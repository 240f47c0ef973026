//! How images are shown: which the runtime of a host has, and what came of fetching those it did not have.

use etcd_operations::images::{ImageState, Images as Found, Logins, NamedImage};
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
    /// Whether they were to be fetched.
    #[serde(skip)]
    pulls: bool,
    /// The images, in the order of the manifests; those of components that were taken out come last.
    pub images: Vec<NamedImage>,
}

impl Images {
    /// Of images that were looked at.
    pub fn new(found: &Found) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Images",
            runtime: found.runtime.socket().display().to_string(),
            dry_run: true,
            logins: None,
            pulls: false,
            images: found.named.clone(),
        }
    }

    /// Of images that were fetched with these logins, or would be.
    pub fn pulled(mut self, logins: &Logins, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self.pulls = true;
        self.logins = logins.file.as_ref().map(|file| file.display().to_string());
        self
    }
}

fn state_field(state: ImageState) -> Field {
    match state {
        ImageState::Present => field("there").tone(Tone::Good),
        ImageState::Missing => field("missing").tone(Tone::Bad),
        ImageState::Unknown => field("not known").tone(Tone::Warn),
        ImageState::Pulled => field("pulled").tone(Tone::Good),
        ImageState::Failed => field("failed").tone(Tone::Bad),
    }
}

impl View for Images {
    fn table(&self, wide: bool, paint: Paint) -> String {
        if self.images.is_empty() && self.pulls {
            return "nothing to fetch: the container runtime has every image\n".to_owned();
        }
        let mut grid = Grid::new("COMPONENT|IMAGE|STATE|>SIZE|MANIFEST").and(wide, "POD|ID");
        for one in &self.images {
            let mut row = vec![
                field(&one.component),
                field(&one.image),
                state_field(one.state),
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

    fn is_dry_run(&self) -> bool {
        self.dry_run && self.pulls
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn samples() -> Images {
        let image = |component: &str, state| NamedImage {
            component: component.to_owned(),
            pod: format!("kube-system/{component}"),
            image: format!("registry.example/{component}:1"),
            taken_out: state == ImageState::Missing,
            state,
            id: None,
            size_bytes: None,
            problem: None,
        };
        let has = |component, state| NamedImage {
            id: Some("sha256:ab".to_owned()),
            size_bytes: Some(24 << 20),
            ..image(component, state)
        };
        let fails = |component, state, problem: &str| NamedImage {
            problem: Some(problem.to_owned()),
            ..image(component, state)
        };
        Images {
            api_version: API_VERSION,
            kind: "Images",
            runtime: "/run/containerd/containerd.sock".to_owned(),
            dry_run: true,
            logins: Some("/etc/registry/auth.json".to_owned()),
            pulls: true,
            images: vec![
                has("etcd", ImageState::Present),
                image("kube-apiserver", ImageState::Missing),
                fails("kube-scheduler", ImageState::Unknown, "it does not answer"),
                has("first", ImageState::Pulled),
                fails("second", ImageState::Failed, "no login"),
            ],
        }
    }

    #[test]
    fn where_nothing_is_to_be_fetched_that_is_said() {
        let none = Images {
            images: Vec::new(),
            ..samples()
        };
        let text = none.table(false, Paint::PLAIN);
        assert!(text.starts_with("nothing to fetch"), "{text}");
    }

    #[test]
    fn each_state_is_shown() {
        let view = samples();
        let text = view.table(false, Paint::PLAIN);
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
    }
}
