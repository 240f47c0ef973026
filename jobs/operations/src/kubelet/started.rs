//! With what the kubelet of a host is started: its own command line where it runs, else what its unit says.
//!
//! kubelet's flags may stand in the unit, in its drop-ins, in kubeadm's file and in the distribution's; in its
//! configuration, and in drop-ins of that. The kubelet that runs was started with one of all of these, and may have been
//! before any of them was changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::unit::{Unit, variables};
use crate::flags::{Flags, base_name};
use crate::proc::words_below;
use crate::root;
use crate::yaml;

/// kubelet's unit, as kubeadm's packages call it.
const UNIT: &str = "kubelet.service";

/// Where units and their drop-ins are, what goes before others first (`systemd.unit(5)`).
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Where kubeadm and the distributions put flags, where no unit says anything.
const FLAGS_FILES: [(&str, &str); 3] = [
    ("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS"),
    ("/etc/default/kubelet", "KUBELET_EXTRA_ARGS"),
    ("/etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS"),
];

/// kubeadm's file of kubelet's configuration.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";

/// So many drop-ins of its configuration are read.
const MOST_DROP_INS: usize = 200;

/// With what kubelet is started.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    flags: Flags,
    config: Config,
}

/// kubelet's configuration: the texts at its top, those of later files over those of earlier ones.
#[derive(Debug, Clone, Default)]
struct Config(BTreeMap<String, String>);

impl Started {
    /// What can be found out on the host whose file system is found at `root`.
    pub(crate) fn find(root: &Path) -> Self {
        let words = running(root).or_else(|| by_unit(root));
        let known = words.is_some();
        let words = words.unwrap_or_else(|| by_files(root));
        let flags = Flags::parse(&[], &words, &[]).unwrap_or_default();
        let file = flags.get("config").map(str::to_owned);
        // A kubelet that is told of no file has none; of one of which nothing is known kubeadm's is taken.
        let file = file.or_else(|| (!known).then(|| CONFIG.to_owned()));
        let mut config = Config::default();
        if let Some(file) = file {
            config.read(root, Path::new(&file));
        }
        if let Some(folder) = flags.get("config-dir") {
            config.read_folder(root, Path::new(folder));
        }
        Self { flags, config }
    }

    /// A flag's value, if it is not empty.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.get(name).filter(|value| !value.is_empty())
    }

    /// A text of its configuration.
    pub(crate) fn configured(&self, key: &str) -> Option<&str> {
        let text = self.config.0.get(key)?;
        Some(text.as_str()).filter(|text| !text.is_empty())
    }

    /// The name under which it registers the node; none: the host's own. kubelet writes it in lower case.
    pub(crate) fn node_name(&self) -> Option<String> {
        let told = self.flag("hostname-override")?.trim().to_lowercase();
        (!told.is_empty()).then_some(told)
    }

    /// The folder of the static pods; none: nothing says where it is. The flag goes before the configuration.
    pub(crate) fn static_pods(&self) -> Option<&str> {
        let flag = self.flag("pod-manifest-path");
        flag.or_else(|| self.configured("staticPodPath"))
    }
}

impl Config {
    fn read(&mut self, root: &Path, file: &Path) {
        let text = root::below(root, file).and_then(std::fs::read_to_string);
        let value = text.ok().and_then(|text| yaml::read::<Value>(&text).ok());
        let Some(Value::Object(settings)) = value else {
            return;
        };
        for (key, value) in settings {
            if let Value::String(value) = value {
                self.0.insert(key, value);
            }
        }
    }

    /// Its drop-ins: files that end with `.conf`, in the order of their names.
    fn read_folder(&mut self, root: &Path, folder: &Path) {
        for name in names(root, folder, ".conf").into_iter().take(MOST_DROP_INS) {
            self.read(root, &folder.join(name));
        }
    }
}

/// The command line of the kubelet that runs.
fn running(root: &Path) -> Option<Vec<String>> {
    let proc = root::below(root, Path::new("/proc")).ok()?;
    let processes = std::fs::read_dir(&proc).ok()?.flatten();
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = processes.filter_map(number).collect();
    numbers.sort_unstable();
    let of_host = pid_namespace(&proc, "1");
    let mut kubelets = numbers.into_iter().filter_map(|pid| {
        let comm = std::fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok()?;
        if comm.trim_end() != "kubelet" {
            return None;
        }
        let words = words_below(&proc, pid)?;
        let program = words.first().map(|word| base_name(word));
        // A kubelet in a container of this host, kind's say, is another node's.
        let own = pid_namespace(&proc, &pid.to_string());
        let is_of_host = own.is_none() || of_host.is_none() || own == of_host;
        (program == Some("kubelet") && is_of_host).then_some(words)
    });
    kubelets.next()
}

fn pid_namespace(proc: &Path, pid: &str) -> Option<PathBuf> {
    proc.join(pid).join("ns/pid").read_link().ok()
}

/// The command line in kubelet's unit and its drop-ins.
fn by_unit(root: &Path) -> Option<Vec<String>> {
    let mut unit = Unit::default();
    let folders = UNIT_FOLDERS.map(Path::new);
    let mut texts = folders
        .iter()
        .filter_map(|folder| text(root, &folder.join(UNIT)));
    unit.read(&texts.next().unwrap_or_default());
    for path in drop_ins(root).into_values() {
        unit.read(&text(root, &path).unwrap_or_default());
    }
    let files = unit
        .files()
        .map(|file| text(root, Path::new(file)).unwrap_or_default());
    let files: Vec<String> = files.collect();
    unit.command_line(&files)
}

/// The drop-ins by their names, which is their order. Of several of one name that of the first folder counts.
fn drop_ins(root: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in UNIT_FOLDERS {
        let folder = Path::new(folder).join(format!("{UNIT}.d"));
        for name in names(root, &folder, ".conf") {
            let path = folder.join(&name);
            found.entry(name).or_insert(path);
        }
    }
    found
}

/// The flags in kubeadm's file and the distribution's.
fn by_files(root: &Path) -> Vec<String> {
    let mut words = Vec::new();
    for (file, name) in FLAGS_FILES {
        let found = variables(&text(root, Path::new(file)).unwrap_or_default());
        let value = found.into_iter().rev().find(|(one, _)| one == name);
        let value = value.map(|(_, value)| value).unwrap_or_default();
        words.extend(value.split_whitespace().map(str::to_owned));
    }
    words
}

fn text(root: &Path, path: &Path) -> Option<String> {
    root::below(root, path)
        .and_then(std::fs::read_to_string)
        .ok()
}

/// The names in a folder of the host that end so, in their order.
fn names(root: &Path, folder: &Path, ending: &str) -> Vec<String> {
    let entries = root::below(root, folder).and_then(std::fs::read_dir);
    let entries = entries.into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn found(files: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let root = host(files);
        let started = Started::find(root.path());
        let pods = started.static_pods().map(str::to_owned);
        (started.node_name(), pods)
    }

    fn told(name: Option<&str>, pods: Option<&str>) -> (Option<String>, Option<String>) {
        (name.map(str::to_owned), pods.map(str::to_owned))
    }

    const UNIT_FILE: &str = "[Service]\nExecStart=/usr/bin/kubelet\n";
    const DROP_IN: &str = "[Service]\nEnvironment=\"CONFIG=--config=/var/lib/kubelet/config.yaml\"\nEnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet $CONFIG $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n";
    const CONFIGURED: &str = "kind: KubeletConfiguration\nstaticPodPath: /srv/pods\n";

    /// kubeadm's unit, and its drop-in where its packages put it.
    const KUBEADM: [(&str, &str); 3] = [
        ("/usr/lib/systemd/system/kubelet.service", UNIT_FILE),
        (
            "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
            DROP_IN,
        ),
        (CONFIG, CONFIGURED),
    ];

    #[test]
    fn the_kubelet_that_runs_outweighs_what_files_say() {
        let files = [
            ("/proc/1/comm", "systemd\n"),
            ("/proc/7/comm", "kubelet\n"),
            (
                "/proc/7/cmdline",
                "/usr/bin/kubelet\0--hostname-override=CP-One\0--config=/etc/k.yaml\0--pod-manifest-path\0/run/pods\0",
            ),
            ("/proc/8/comm", "bash\n"),
            (
                "/proc/8/cmdline",
                "bash\0kubelet\0--hostname-override=other\0",
            ),
            ("/etc/k.yaml", "staticPodPath: /not/this\n"),
            (
                "/var/lib/kubelet/kubeadm-flags.env",
                "KUBELET_KUBEADM_ARGS=\"--hostname-override=old\"\n",
            ),
        ];
        assert_eq!(found(&files), told(Some("cp-one"), Some("/run/pods")));
        let mut without_flag = files.to_vec();
        without_flag[2].1 = "/usr/bin/kubelet\0--config=/etc/k.yaml\0";
        assert_eq!(found(&without_flag), told(None, Some("/not/this")));
        // It was told of no file: kubeadm's is not its.
        without_flag[2].1 = "/usr/bin/kubelet\0--v=2\0";
        without_flag.push((CONFIG, CONFIGURED));
        assert_eq!(found(&without_flag), told(None, None));
    }

    #[test]
    fn where_it_does_not_run_its_unit_and_what_that_reads_says_it() {
        let mut files = KUBEADM.to_vec();
        assert_eq!(found(&files), told(None, Some("/srv/pods")));
        files.push((
            "/etc/default/kubelet",
            "KUBELET_EXTRA_ARGS=--hostname-override=cp-one --pod-manifest-path=/other\n",
        ));
        assert_eq!(found(&files), told(Some("cp-one"), Some("/other")));
        // A drop-in of the administrator, and one that takes the place of the package's.
        files.push((
            "/etc/systemd/system/kubelet.service.d/20-name.conf",
            "[Service]\nEnvironment=KUBELET_EXTRA_ARGS=--hostname-override=unit\n",
        ));
        assert_eq!(
            found(&files).0.as_deref(),
            Some("cp-one"),
            "a file goes before"
        );
        files.push((
            "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --hostname-override=mine $KUBELET_EXTRA_ARGS\n",
        ));
        assert_eq!(
            found(&files).0.as_deref(),
            Some("unit"),
            "the last flag counts"
        );
    }

    #[test]
    fn drop_ins_of_the_configuration_are_merged_in_their_order() {
        let files = [
            ("/proc/7/comm", "kubelet\n"),
            (
                "/proc/7/cmdline",
                "kubelet\0--config=/etc/k.yaml\0--config-dir=/etc/k.d\0",
            ),
            (
                "/etc/k.yaml",
                "staticPodPath: /one\ncontainerRuntimeEndpoint: unix:///a\n",
            ),
            ("/etc/k.d/10-a.conf", "staticPodPath: /two\n"),
            ("/etc/k.d/20-b.conf", "staticPodPath: /three\n"),
            ("/etc/k.d/30-c.yaml", "staticPodPath: /no\n"),
            ("/etc/k.d/40-d.conf", "{not yaml"),
        ];
        assert_eq!(found(&files), told(None, Some("/three")));
        let root = host(&files);
        let started = Started::find(root.path());
        assert_eq!(
            started.configured("containerRuntimeEndpoint"),
            Some("unix:///a")
        );
    }

    #[test]
    fn without_a_unit_kubeadms_and_the_distributions_files_say_it() {
        let kubeadm = (
            "/var/lib/kubelet/kubeadm-flags.env",
            "KUBELET_KUBEADM_ARGS=\"--hostname-override=master.example --x=y\"\n",
        );
        assert_eq!(
            found(&[(CONFIG, CONFIGURED), kubeadm]),
            told(Some("master.example"), Some("/srv/pods"))
        );
        for file in ["/etc/default/kubelet", "/etc/sysconfig/kubelet"] {
            let extra = (file, "KUBELET_EXTRA_ARGS=\"--hostname-override=extra\"\n");
            assert_eq!(found(&[kubeadm, extra]), told(Some("extra"), None));
        }
        assert_eq!(found(&[]), told(None, None));
    }
}
