//! The one place that names the versions of everything a cluster is made of.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// containerd; 2.x is what Kubernetes 1.36 wants.
pub const CONTAINERD: &str = "v2.2.9";
/// The CNI plugins `bridge`, `loopback` and `host-local`.
pub const CNI: &str = "v1.7.1";
/// The reference under which the pause image is known to containerd.
pub const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10.2";

/// A line of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kubernetes {
    /// 1.33, the older line.
    #[serde(rename = "1.33")]
    V1_33,
    /// 1.36, the default.
    #[serde(rename = "1.36")]
    V1_36,
}

impl Kubernetes {
    /// Every line that can be chosen.
    pub const ALL: [Self; 2] = [Self::V1_33, Self::V1_36];

    /// The exact version, as its Go module calls it.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::V1_33 => "v1.33.13",
            Self::V1_36 => "v1.36.3",
        }
    }

    /// The line as people type it.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::V1_33 => "1.33",
            Self::V1_36 => "1.36",
        }
    }

    /// The etcd that goes with it when none is chosen.
    #[must_use]
    pub fn default_etcd(self) -> Etcd {
        match self {
            Self::V1_33 => Etcd::V3_5,
            Self::V1_36 => Etcd::V3_6,
        }
    }

    /// Whether its kubeadm can start this etcd: that of 1.36 writes `--feature-gates`, which etcd 3.5 does not know.
    #[must_use]
    pub fn knows(self, etcd: Etcd) -> bool {
        !(self == Self::V1_36 && etcd == Etcd::V3_5)
    }
}

/// A line of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Etcd {
    /// 3.5.
    #[serde(rename = "3.5")]
    V3_5,
    /// 3.6.
    #[serde(rename = "3.6")]
    V3_6,
    /// 3.7.
    #[serde(rename = "3.7")]
    V3_7,
}

impl Etcd {
    /// Every line that can be chosen.
    pub const ALL: [Self; 3] = [Self::V3_5, Self::V3_6, Self::V3_7];

    /// The newest Kubernetes whose kubeadm can start it.
    #[must_use]
    pub fn kubernetes(self) -> Kubernetes {
        let newest = Kubernetes::V1_36;
        if newest.knows(self) {
            newest
        } else {
            Kubernetes::V1_33
        }
    }

    /// The exact version, as its Go modules call it.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::V3_5 => "v3.5.35",
            Self::V3_6 => "v3.6.16",
            Self::V3_7 => "v3.7.3",
        }
    }

    /// The line as people type it.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::V3_5 => "3.5",
            Self::V3_6 => "3.6",
            Self::V3_7 => "3.7",
        }
    }

    /// The tag of its image, in the manner of Kubernetes' own etcd images.
    #[must_use]
    pub fn image_tag(self) -> String {
        format!("{}-0", self.version().trim_start_matches('v'))
    }
}

impl fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.line())
    }
}

impl fmt::Display for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.line())
    }
}

impl FromStr for Kubernetes {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match Self::ALL
            .into_iter()
            .find(|k| text == k.line() || text.trim_start_matches('v') == &k.version()[1..])
        {
            Some(found) => Ok(found),
            None => bail!("no such Kubernetes line: {text} (there are 1.33 and 1.36)"),
        }
    }
}

impl FromStr for Etcd {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match Self::ALL
            .into_iter()
            .find(|e| text == e.line() || text.trim_start_matches('v') == &e.version()[1..])
        {
            Some(found) => Ok(found),
            None => bail!("no such etcd line: {text} (there are 3.5, 3.6 and 3.7)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_3_5_comes_with_the_kubernetes_that_can_start_it() {
        for etcd in Etcd::ALL {
            assert!(etcd.kubernetes().knows(etcd), "{etcd}");
        }
        assert_eq!(Etcd::V3_5.kubernetes(), Kubernetes::V1_33);
    }

    #[test]
    fn lines_and_exact_versions_are_both_understood() {
        assert_eq!("3.5".parse::<Etcd>().unwrap(), Etcd::V3_5);
        assert_eq!("v3.6.16".parse::<Etcd>().unwrap(), Etcd::V3_6);
        assert_eq!("1.33.13".parse::<Kubernetes>().unwrap(), Kubernetes::V1_33);
        assert!("3.4".parse::<Etcd>().is_err());
    }
}
