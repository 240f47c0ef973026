//! Manifests' files changed, taken out and brought back, and what is there when it does not go to the end.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::TempDir;

use super::golden_tests::set;
use super::*;
use crate::failure::FailureKind;

const OLD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");

/// A folder of static pods with an etcd, and one aside.
struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(host.pods()).unwrap();
        std::fs::write(host.etcd(), OLD).unwrap();
        std::fs::set_permissions(host.etcd(), PermissionsExt::from_mode(0o640)).unwrap();
        host
    }

    fn pods(&self) -> PathBuf {
        self.dir.path().join("manifests")
    }

    fn etcd(&self) -> PathBuf {
        self.pods().join("etcd.yaml")
    }

    fn aside(&self) -> Aside {
        Aside::new(&self.dir.path().join("kept/manifests"))
    }

    fn kept(&self) -> Vec<Kept> {
        self.aside().list().unwrap()
    }

    fn file(&self) -> ManifestFile {
        ManifestFile::read(&self.etcd()).unwrap()
    }

    fn change(&self) -> (Change, Manifest) {
        let file = self.file();
        let new = file
            .manifest
            .edit("etcd", &set("max-txn-ops", "9"))
            .unwrap();
        let change = Change::prepare(&file, &new.manifest, &self.aside(), now()).unwrap();
        (change.unwrap(), new.manifest)
    }

    fn stop(&self) -> Stop {
        Stop::prepare(&self.file(), &self.aside(), now()).unwrap()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.etcd()).unwrap()
    }

    /// The names in the folder of the static pods.
    fn names(&self) -> Vec<String> {
        names(&self.pods())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn now() -> Timestamp {
    "2026-11-20T21:00:00Z".parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

#[test]
fn a_change_keeps_what_was_there_and_can_be_undone() {
    let host = Host::new();
    let (change, new) = host.change();
    assert_eq!(host.text(), OLD, "nothing is done yet");
    assert!(!host.aside().folder().exists());
    assert_eq!(change.apply(&new), Ok(true));
    assert_eq!(host.text().as_bytes(), new.bytes());
    assert_eq!(mode(&host.etcd()), 0o640);
    assert_eq!(change.apply(&new), Ok(false), "done already");

    assert_eq!(mode(host.aside().folder()), 0o700);
    assert_eq!(
        names(host.aside().folder()),
        ["etcd.yaml-2026-11-20T210000Z.changed"]
    );
    assert_eq!(std::fs::read_to_string(&change.kept).unwrap(), OLD);
    assert_eq!(mode(&change.kept), 0o640);
    let kept = Kept {
        path: change.kept.clone(),
        name: "etcd.yaml".into(),
        why: Why::Changed,
    };
    assert_eq!(kept.at(), "2026-11-20T21:00:00Z".parse().ok());
    assert_eq!(host.kept(), [kept]);

    assert_eq!(change.undo(), Ok(true));
    assert_eq!((host.text().as_str(), mode(&host.etcd())), (OLD, 0o640));
    assert_eq!(change.undo(), Ok(false), "undone already");
    assert_eq!(host.names(), ["etcd.yaml"]);
    assert_eq!(host.kept().len(), 1, "what is kept stays");
}

#[test]
fn changes_of_one_second_have_names_of_their_own() {
    let host = Host::new();
    for number in 1..=3 {
        let (change, new) = host.change();
        change.apply(&new).unwrap();
        change.undo().unwrap();
        assert_eq!(host.kept().len(), number);
    }
    assert_eq!(
        names(host.aside().folder())[2],
        "etcd.yaml-2026-11-20T210000Z_3.changed"
    );
}

#[test]
fn a_change_that_changes_nothing_is_none() {
    let host = Host::new();
    let file = host.file();
    let same = file.manifest.edit("etcd", &set("name", "m2")).unwrap();
    assert!(!same.changed);
    assert_eq!(
        Change::prepare(&file, &same.manifest, &host.aside(), now()),
        Ok(None)
    );
}

#[test]
fn what_somebody_else_changed_stays() {
    let host = Host::new();
    let (change, new) = host.change();
    let stop = host.stop();
    let theirs = format!("# theirs\n{OLD}");
    std::fs::write(host.etcd(), &theirs).unwrap();
    for refused in [change.apply(&new), change.undo(), stop.apply()] {
        assert_eq!(refused.unwrap_err().kind, FailureKind::Refused);
    }
    assert_eq!(stop.undo(), Ok(false), "it was never taken out");
    assert_eq!(host.text(), theirs);
    assert_eq!(host.names(), ["etcd.yaml"]);
    // What is kept is not what was put there.
    std::fs::write(host.etcd(), OLD).unwrap();
    change.apply(&new).unwrap();
    std::fs::write(&change.kept, "spoiled").unwrap();
    assert_eq!(change.undo().unwrap_err().kind, FailureKind::Refused);
    assert_eq!(host.text().as_bytes(), new.bytes());
    // And another manifest than the prepared one is none.
    assert!(
        change
            .apply(&Manifest::parse(OLD.as_bytes()).unwrap())
            .is_err()
    );
}

#[test]
fn a_manifest_that_is_gone_is_not_made_anew() {
    let host = Host::new();
    let (change, new) = host.change();
    std::fs::remove_file(host.etcd()).unwrap();
    for failure in [change.apply(&new).unwrap_err(), change.undo().unwrap_err()] {
        assert_eq!(failure.kind, FailureKind::Missing);
        assert!(
            failure
                .hint
                .unwrap()
                .written()
                .contains("bring it back first")
        );
    }
    assert!(host.names().is_empty());
}

#[test]
fn links_are_read_but_nothing_is_put_in_their_place() {
    let host = Host::new();
    let real = host.dir.path().join("real.yaml");
    std::fs::rename(host.etcd(), &real).unwrap();
    symlink(&real, host.etcd()).unwrap();
    let (change, new) = host.change();
    let prepared = Stop::prepare(&host.file(), &host.aside(), now()).map(|_| true);
    // A record that was made before it was a link.
    let stop = Stop {
        manifest: host.etcd(),
        kept: host
            .aside()
            .folder()
            .join("etcd.yaml-2026-11-20T210000Z.stopped"),
        sha256: sha256(OLD.as_bytes()),
    };
    for refused in [change.apply(&new), prepared, stop.apply()] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        let hint = refused.hint.unwrap().written();
        let (_, lift) = hint.rsplit_once("its place: ").unwrap();
        assert!(lift.starts_with("cp -pL ") && host.etcd().is_symlink());
    }
    assert_eq!(stop.undo(), Ok(false), "it was never taken out");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), OLD);
    // What is said lifts it.
    let refused = change.apply(&new).unwrap_err().hint.unwrap().written();
    let (_, lift) = refused.rsplit_once("its place: ").unwrap();
    assert!(
        Command::new("sh")
            .args(["-c", lift])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(change.apply(&new), Ok(true));
    assert_eq!(std::fs::read_to_string(&real).unwrap(), OLD);
}

#[test]
fn the_folder_aside_is_outside_and_nobody_elses() {
    let host = Host::new();
    for inside in [host.pods(), host.pods().join("old/er")] {
        let refused = Stop::prepare(&host.file(), &Aside::new(&inside), now()).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
    }
    let open = host.dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    let stop = Stop::prepare(&host.file(), &Aside::new(&open), now()).unwrap();
    let refused = stop.apply().unwrap_err();
    assert!(refused.hint.unwrap().written().contains("chmod go-w "));
    assert_eq!(
        (host.names(), names(&open).len()),
        (vec!["etcd.yaml".to_owned()], 0)
    );
}

#[test]
fn a_manifest_goes_out_and_comes_back_the_same() {
    let host = Host::new();
    let stop = host.stop();
    assert_eq!(stop.undo(), Ok(false), "not out yet");
    assert_eq!(stop.apply(), Ok(true));
    assert!(host.names().is_empty());
    assert_eq!(stop.apply(), Ok(false), "out already");
    assert_eq!(
        names(host.aside().folder()),
        ["etcd.yaml-2026-11-20T210000Z.stopped"]
    );

    // By its record from a journal, or from what is kept.
    let record: Stop = serde_json::from_str(&serde_json::to_string(&stop).unwrap()).unwrap();
    assert_eq!(
        Stop::of_kept(&host.kept()[0], &host.pods()),
        Ok(record.clone())
    );
    assert_eq!(record.undo(), Ok(true));
    assert_eq!((host.text().as_str(), mode(&host.etcd())), (OLD, 0o640));
    assert_eq!((host.names().len(), host.kept().len()), (1, 1));
    assert_eq!(host.kept()[0].why, Why::Returned, "it is history");
    assert_eq!(record.undo(), Ok(false), "back already");
    // Out again: the place aside is taken by the same bytes.
    assert_eq!(stop.apply(), Ok(true));
    assert!(host.names().is_empty());
    assert_eq!(host.kept()[0].why, Why::Stopped);
}

/// The names of the copies that could be brought back.
fn stopped(host: &Host) -> Vec<Kept> {
    let kept = host.kept().into_iter();
    kept.filter(|kept| kept.why == Why::Stopped).collect()
}

#[test]
fn a_copy_that_came_back_is_marked_whoever_brought_it_and_however_often() {
    let host = Host::new();
    let (_, new) = host.change();
    let stop = host.stop();
    stop.apply().unwrap();
    let start = Start::prepare(&stop, &new, &host.aside(), now()).unwrap();
    assert_eq!(stopped(&host).len(), 1);
    start.apply(&new).unwrap();
    assert_eq!(stopped(&host), []);
    // Ended after the manifest was in and before the mark: what goes on sets it.
    let returned = host
        .aside()
        .folder()
        .join("etcd.yaml-2026-11-20T210000Z.returned");
    std::fs::rename(&returned, &stop.kept).unwrap();
    assert_eq!(start.apply(&new), Ok(false));
    assert!(returned.exists() && !stop.kept.exists());
    // Taken back, the pod is as stopped as it was before.
    start.undo().unwrap();
    assert_eq!(stopped(&host).len(), 1);
    start.undo().unwrap();
    assert_eq!(stopped(&host).len(), 1);
    stop.undo().unwrap();
    assert_eq!(stopped(&host), []);
    std::fs::rename(&returned, &stop.kept).unwrap();
    assert_eq!(stop.undo(), Ok(false));
    assert!(returned.exists() && !stop.kept.exists());
    // Another one in the same second does not get in the way of the mark.
    let again = host.stop();
    assert_ne!(again.kept, stop.kept);
}

#[test]
fn a_manifest_that_nobody_took_out_is_roots_own_and_goes_aside_again() {
    let host = Host::new();
    let (_, new) = host.change();
    std::fs::remove_file(host.etcd()).unwrap();
    let start = Start::prepare_new(&host.etcd(), &new, &host.aside(), now()).unwrap();
    assert_eq!(start.apply(&new), Ok(true));
    assert_eq!(mode(&host.etcd()), 0o600);
    assert_eq!(start.apply(&new), Ok(false));
    assert_eq!(start.undo(), Ok(true));
    assert!(host.names().is_empty());
    let why: Vec<_> = host.kept().iter().map(|kept| kept.why).collect();
    assert_eq!(why, [Why::Undone]);
}

#[test]
fn a_manifest_comes_back_changed_without_the_old_one_between() {
    let host = Host::new();
    let (_, new) = host.change();
    let stop = host.stop();
    stop.apply().unwrap();
    let start = Start::prepare(&stop, &new, &host.aside(), now()).unwrap();
    assert_eq!(start.undo(), Ok(false), "not in yet");
    assert_eq!(start.apply(&new), Ok(true));
    assert_eq!(
        (host.text().as_bytes(), mode(&host.etcd())),
        (new.bytes(), 0o640)
    );
    assert_eq!(start.apply(&new), Ok(false), "in already");
    assert_eq!(stop.undo().unwrap_err().kind, FailureKind::Refused);
    assert_eq!(start.undo(), Ok(true));
    assert_eq!(start.undo(), Ok(false), "out already");
    assert_eq!(stop.undo(), Ok(true));
    assert_eq!((host.text().as_str(), host.names().len()), (OLD, 1));
    assert_eq!(start.apply(&new).unwrap_err().kind, FailureKind::Refused);
    let why: Vec<_> = host.kept().iter().map(|kept| kept.why).collect();
    assert_eq!(why, [Why::Returned, Why::Undone]);
}

#[test]
fn what_somebody_brought_back_by_hand_goes_out_when_the_start_is_taken_back() {
    let host = Host::new();
    let (_, new) = host.change();
    let stop = host.stop();
    stop.apply().unwrap();
    let start = Start::prepare(&stop, &new, &host.aside(), now()).unwrap();
    start.apply(&new).unwrap();
    std::fs::write(host.etcd(), OLD).unwrap();
    assert_eq!(start.undo(), Ok(true));
    assert!(host.names().is_empty());
    assert_eq!(start.undo(), Ok(false), "out already");
    assert_eq!(stop.undo(), Ok(true));
    assert_eq!((host.text().as_str(), mode(&host.etcd())), (OLD, 0o640));
    // What is neither of them stays where it is.
    stop.apply().unwrap();
    let next = Start::prepare(&stop, &new, &host.aside(), now()).unwrap();
    next.apply(&new).unwrap();
    std::fs::write(host.etcd(), "# theirs").unwrap();
    assert_eq!(next.undo().unwrap_err().kind, FailureKind::Refused);
    assert_eq!(host.text(), "# theirs");
}

/// What an older version wrote to a journal is read by this one.
#[test]
fn records_in_journals_keep_their_form() {
    let edits = [
        set("max-txn-ops", "9"),
        super::golden_tests::on("pre-vote"),
        super::golden_tests::unset("name"),
        super::golden_tests::image("etcd:2"),
    ];
    let json = r#"[{"setFlag":{"flag":"max-txn-ops","value":"9"}},{"setFlag":{"flag":"pre-vote","value":null}},{"unsetFlag":{"flag":"name"}},{"setImage":{"image":"etcd:2"}}]"#;
    assert_eq!(serde_json::to_string(&edits).unwrap(), json);
    assert_eq!(serde_json::from_str::<Vec<Edit>>(json).unwrap(), edits);
    let change = r#"{"manifest":"/m/etcd.yaml","kept":"/k/etcd.yaml","before":"00","after":"01"}"#;
    let stop = r#"{"manifest":"/m/etcd.yaml","kept":"/k/etcd.yaml","sha256":"00"}"#;
    let start = r#"{"manifest":"/m/etcd.yaml","like":"/k/a","kept":"/k/b","after":"01"}"#;
    let again = [
        serde_json::to_string(&serde_json::from_str::<Change>(change).unwrap()).unwrap(),
        serde_json::to_string(&serde_json::from_str::<Stop>(stop).unwrap()).unwrap(),
        serde_json::to_string(&serde_json::from_str::<Start>(start).unwrap()).unwrap(),
    ];
    assert_eq!(again, [change, stop, start]);
}

#[test]
fn two_who_change_one_manifest_do_not_mix() {
    let host = Host::new();
    let file = host.file();
    let changes: Vec<_> = (1..5)
        .map(|n| {
            let edit = set("max-txn-ops", &n.to_string());
            let new = file.manifest.edit("etcd", &edit).unwrap().manifest;
            let aside = Aside::new(&host.dir.path().join(format!("kept{n}")));
            let change = Change::prepare(&file, &new, &aside, now())
                .unwrap()
                .unwrap();
            (change, new)
        })
        .collect();
    let done: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = changes
            .iter()
            .map(|(change, new)| scope.spawn(|| change.apply(new)))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let won = done.iter().position(|done| *done == Ok(true)).unwrap();
    assert_eq!(host.text().as_bytes(), changes[won].1.bytes());
    let lost = done.iter().filter_map(|done| done.as_ref().err());
    assert!(
        lost.clone()
            .all(|failure| failure.kind == FailureKind::Refused)
    );
    assert_eq!((lost.count(), host.names().len()), (3, 1));
}

#[test]
fn nothing_is_written_over() {
    let host = Host::new();
    let stop = host.stop();
    std::fs::create_dir_all(host.aside().folder()).unwrap();
    std::fs::set_permissions(host.aside().folder(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(&stop.kept, "theirs").unwrap();
    assert_eq!(stop.apply().unwrap_err().kind, FailureKind::Refused);
    assert_eq!(host.text(), OLD);
    std::fs::remove_file(&stop.kept).unwrap();
    stop.apply().unwrap();
    // Somebody put another one in its place.
    std::fs::write(host.etcd(), "theirs").unwrap();
    let refused = stop.undo().unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert_eq!(host.text(), "theirs");
    // What went elsewhere altogether is missed.
    std::fs::remove_file(host.etcd()).unwrap();
    std::fs::remove_file(&stop.kept).unwrap();
    assert_eq!(stop.apply().unwrap_err().kind, FailureKind::Missing);
    assert_eq!(stop.undo().unwrap_err().kind, FailureKind::Missing);
}

#[test]
fn another_file_system_gets_a_copy_first() {
    let memory = Path::new("/dev/shm");
    let host = Host::new();
    let Ok(other) = tempfile::tempdir_in(memory) else {
        return;
    };
    if other.path().metadata().unwrap().dev() == host.dir.path().metadata().unwrap().dev() {
        return;
    }
    let aside = Aside::new(&other.path().join("kept"));
    let stop = Stop::prepare(&host.file(), &aside, now()).unwrap();
    assert_eq!(stop.apply(), Ok(true));
    assert!(host.names().is_empty());
    assert_eq!(mode(&stop.kept), 0o640);
    assert_eq!(stop.undo(), Ok(true));
    // It was ended after the copy.
    assert_eq!(stop.apply(), Ok(true));
    assert_eq!(stop.undo(), Ok(true));
    assert_eq!(names(aside.folder()).len(), 1);
    assert_eq!((host.text().as_str(), mode(&host.etcd())), (OLD, 0o640));
}

#[test]
fn owner_and_attributes_stay() {
    let host = Host::new();
    let name = "user.test";
    let file = std::fs::File::open(host.etcd()).unwrap();
    // Neither can be had everywhere.
    let owned = std::os::unix::fs::chown(host.etcd(), Some(65534), Some(65534)).is_ok();
    let named = rustix::fs::fsetxattr(&file, name, b"x", rustix::fs::XattrFlags::empty()).is_ok();
    let (change, new) = host.change();
    change.apply(&new).unwrap();
    let after = std::fs::File::open(host.etcd()).unwrap();
    for path in [&host.etcd(), &change.kept] {
        assert!(!owned || path.metadata().unwrap().uid() == 65534);
    }
    let mut value = [0; 8];
    let length = rustix::fs::fgetxattr(&after, name, &mut value[..]);
    assert!(!named || length.map(|length| value[..length].to_vec()) == Ok(b"x".to_vec()));
}

#[test]
fn pipes_and_endless_files_are_no_manifests() {
    let host = Host::new();
    let pipe = host.pods().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(
        ManifestFile::read(&pipe).unwrap_err().kind,
        FailureKind::Missing
    );
    let long = host.pods().join("long");
    let file = std::fs::File::create(&long).unwrap();
    file.set_len(1 << 40).unwrap();
    let failure = ManifestFile::read(&long).unwrap_err();
    assert!(failure.message.contains("longer than 10 MiB"));
}

/// What the child of [`killed_at_any_moment`] does: changes, takes out and brings back, for ever.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os("KILLED_IN") else {
        return;
    };
    let host = Killed::of(&dir);
    std::fs::write(host.running(), "").unwrap();
    loop {
        host.go_on();
    }
}

/// A host in a folder that outlives a process, and the records that a journal would hold.
struct Killed {
    pods: PathBuf,
    change: Change,
    stop: Stop,
    new: Manifest,
}

impl Killed {
    fn of(dir: &OsStr) -> Self {
        let pods = Path::new(dir).join("manifests");
        let aside = Path::new(dir).join("kept");
        let old = Manifest::parse(OLD.as_bytes()).unwrap();
        let new = old.edit("etcd", &set("max-txn-ops", "9")).unwrap().manifest;
        let digest = |manifest: &Manifest| file::sha256(manifest.bytes());
        Self {
            change: Change {
                manifest: pods.join("etcd.yaml"),
                kept: aside.join("etcd.yaml-2026-11-20T210000Z.changed"),
                before: digest(&old),
                after: digest(&new),
            },
            stop: Stop {
                manifest: pods.join("etcd.yaml"),
                kept: aside.join("etcd.yaml-2026-11-20T210000Z.stopped"),
                sha256: digest(&old),
            },
            pods,
            new,
        }
    }

    /// There while a child works.
    fn running(&self) -> PathBuf {
        self.pods.with_file_name("running")
    }

    /// From whatever state another one left.
    fn go_on(&self) {
        if !self.stop.manifest.exists() {
            self.stop.undo().unwrap();
        }
        self.change.undo().unwrap();
        self.change.apply(&self.new).unwrap();
        self.change.undo().unwrap();
        self.stop.apply().unwrap();
        self.stop.undo().unwrap();
    }
}

#[test]
fn killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let killed = Killed::of(dir.path().as_os_str());
    std::fs::create_dir(&killed.pods).unwrap();
    std::fs::write(&killed.change.manifest, OLD).unwrap();
    for round in 0..60_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "manifest::file_tests::child_that_is_killed"])
            .env("KILLED_IN", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !killed.running().exists() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the child does not begin"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        // No wait for anything: a moment as good as any other.
        std::thread::sleep(Duration::from_micros(797 * round % 9_000));
        child.kill().unwrap();
        std::fs::remove_file(killed.running()).unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.signal(), Some(9), "{said}");

        let folder = Folder::read(&killed.pods).unwrap();
        assert_eq!(folder.strays, []);
        let known = [OLD.as_bytes(), killed.new.bytes()];
        assert!(
            folder
                .pods
                .iter()
                .all(|pod| known.contains(&pod.manifest.bytes()))
        );
        assert!(!folder.pods.is_empty() || killed.stop.kept.exists());
        let others: Vec<_> = names(&killed.pods)
            .into_iter()
            .filter(|name| name != "etcd.yaml")
            .collect();
        assert!(others.is_empty() || others == [".etcd.yaml.kubectl-etcd"]);
        assert_eq!(folder.unfinished.len(), others.len());
    }
    killed.go_on();
    assert_eq!(names(&killed.pods), ["etcd.yaml"]);
    assert_eq!(
        std::fs::read_to_string(&killed.change.manifest).unwrap(),
        OLD
    );
}
