//! The loader as it is shipped, on real files: what it starts, and everything it must refuse.
//!
//! The programs it starts here are this machine's own shell and tools.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use etcd_job_loader::stamp::Stamp;
use miniz_oxide::deflate::compress_to_vec;
use sha2::Digest as _;
use tempfile::TempDir;

/// Builds the loader once, by a cargo of its own: with unwinding, as tests are built, it cannot be.
fn loader() -> &'static Path {
    static LOADER: OnceLock<PathBuf> = OnceLock::new();
    LOADER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("loader");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "--quiet",
                "--release",
                "--features=program",
                "--bin=loader",
            ])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the loader builds: {status}");
        target.join("release/loader")
    })
}

/// A folder with a program in parts and a loader for it, as a mounted ConfigMap has them.
struct Carried {
    folder: TempDir,
    stamp: Stamp,
}

impl Carried {
    fn of(program: &[u8], count: usize) -> Self {
        let stream = compress_to_vec(program, 6);
        let folder = TempDir::new().unwrap();
        let parts = stream.chunks(stream.len().div_ceil(count));
        let stamp = Stamp {
            digest: sha2::Sha256::digest(program).into(),
            size_bytes: program.len(),
            parts: u32::try_from(parts.len()).unwrap(),
        };
        for (number, part) in parts.enumerate() {
            fs::write(folder.path().join(format!("part-{number}")), part).unwrap();
        }
        Self { folder, stamp }
    }

    fn of_shell() -> Self {
        Self::of(&fs::read("/bin/sh").unwrap(), 3)
    }

    fn part(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("part-{number}"))
    }

    /// The loader, filled in as the plugin's build does it.
    fn command(&self) -> Command {
        let mut bytes = fs::read(loader()).unwrap();
        assert!(self.stamp.fill_in(&mut bytes));
        let path = self.folder.path().join("loader");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::metadata(loader()).unwrap().permissions()).unwrap();
        Command::new(path)
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command().args(arguments).output().unwrap()
    }
}

/// One line, from the loader, with this code, and nothing else: above all, nothing was run.
#[track_caller]
fn assert_refused(output: &Output, code: i32, says: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(output.stdout, b"", "{output:?}");
    assert!(
        error.starts_with("kubectl-etcd loader: ") && error.ends_with('\n'),
        "{error:?}"
    );
    assert_eq!(error.lines().count(), 1, "{error:?}");
    assert!(error.contains(says), "{error:?}");
}

const SCRIPT: &str = "echo ran";

#[test]
fn the_program_gets_its_arguments_and_exit_code() {
    let script = r#"echo "$#:$1:$2:$3"; exit 7"#;
    let output = Carried::of_shell().run(&["-c", script, "zero", "one", "", "--"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3:one::--\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stderr, b"");
}

#[test]
fn the_program_goes_by_the_name_of_etcd_job() {
    let output = Carried::of_shell().run(&["-c", "tr '\\0' '|' < /proc/$$/cmdline"]);
    assert!(output.stdout.starts_with(b"etcd-job|-c|"), "{output:?}");
}

#[test]
fn environment_process_and_open_files_stay_as_they_were() {
    let carried = Carried::of_shell();
    let child = carried
        .command()
        .args([
            "-c",
            "echo $$; tr '\\0' '\\n' < /proc/$$/environ; ls /proc/$$/fd",
        ])
        .env_clear()
        .env("FIRST", "1")
        .env("EMPTY", "")
        .env("PATH", "/usr/bin:/bin")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines.remove(0),
        id.to_string(),
        "the program takes the loader's process over"
    );
    let mut environment = lines[..3].to_vec();
    environment.sort_unstable();
    assert_eq!(environment, ["EMPTY=", "FIRST=1", "PATH=/usr/bin:/bin"]);
    assert!(
        !lines[3..].contains(&"3"),
        "no file of the loader's is left open: {lines:?}"
    );
}

#[test]
fn the_program_cannot_be_changed_while_it_runs() {
    use rustix::fs::SealFlags;
    use std::io::Read as _;
    use std::process::Stdio;

    let carried = Carried::of_shell();
    let mut child = carried
        .command()
        .args(["-c", "echo started; read wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Only once it has spoken is it the program that runs, and no longer the loader.
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 8])
        .unwrap();
    let file = fs::File::open(format!("/proc/{}/exe", child.id())).unwrap();
    let seals = rustix::fs::fcntl_get_seals(&file).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    assert_eq!(seals & all, all);
    assert_eq!(
        file.metadata().unwrap().len(),
        u64::try_from(carried.stamp.size_bytes).unwrap()
    );
}

#[test]
fn a_program_of_one_part_and_of_many_runs() {
    let shell = fs::read("/bin/sh").unwrap();
    for count in [1, 2, 50] {
        let output = Carried::of(&shell, count).run(&["-c", SCRIPT]);
        assert_eq!(output.stdout, b"ran\n", "{count} parts: {output:?}");
    }
}

#[test]
fn another_program_in_the_parts_runs_nothing() {
    let shell = fs::read("/bin/sh").unwrap();
    let mut other = shell.clone();
    *other.last_mut().unwrap() ^= 1;
    let mut carried = Carried::of(&other, 3);
    carried.stamp.digest = sha2::Sha256::digest(&shell).into();
    assert_refused(
        &carried.run(&["-c", SCRIPT]),
        123,
        "not those of the program",
    );
}

/// What decides is in the loader: the line that an earlier version took, with a digest and parts of the caller's choice,
/// is the program's own arguments.
#[test]
fn a_command_line_cannot_choose_the_program() {
    let carried = Carried::of(&fs::read("/bin/echo").unwrap(), 1);
    let other = Carried::of_shell();
    let part = other.part(0);
    let digest: String = other
        .stamp
        .digest
        .map(|byte| format!("{byte:02x}"))
        .concat();
    let size = other.stamp.size_bytes.to_string();
    let line = [&digest, &size, part.to_str().unwrap(), "--", "-c", SCRIPT];
    let output = carried.run(&line);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{}\n", line.join(" "))
    );
}

#[test]
fn only_the_loaders_own_folder_counts() {
    use std::os::unix::process::CommandExt as _;

    let carried = Carried::of_shell();
    let elsewhere = Carried::of(&fs::read("/bin/echo").unwrap(), 3);
    // Neither the working directory, nor the name it is called by, nor a link to it leads to other parts.
    let link = elsewhere.folder.path().join("loader");
    let loader = carried.command();
    symlink(loader.get_program(), &link).unwrap();
    let output = Command::new(&link)
        .arg0(&link)
        .args(["-c", SCRIPT])
        .current_dir(elsewhere.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"ran\n", "{output:?}");
}

#[test]
fn a_part_that_is_a_link_is_refused() {
    let carried = Carried::of_shell();
    let moved = carried.folder.path().join("moved");
    fs::rename(carried.part(1), &moved).unwrap();
    symlink(&moved, carried.part(1)).unwrap();
    assert_refused(&carried.run(&["-c", SCRIPT]), 121, "part-1: is a link");
}

/// As kubelet lays out a volume: links to what lies in a folder of the version.
#[test]
fn a_mounted_volume_is_laid_out_so_that_it_runs() {
    let carried = Carried::of_shell();
    let volume = TempDir::new().unwrap();
    symlink(carried.folder.path(), volume.path().join("..data")).unwrap();
    let _ = carried.command();
    symlink("..data/loader", volume.path().join("loader")).unwrap();
    for number in 0..3 {
        let name = format!("part-{number}");
        symlink(format!("..data/{name}"), volume.path().join(&name)).unwrap();
    }
    let output = Command::new(volume.path().join("loader"))
        .args(["-c", SCRIPT])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"ran\n", "{output:?}");
}

#[test]
fn a_missing_part_is_named() {
    let carried = Carried::of_shell();
    fs::remove_file(carried.part(1)).unwrap();
    assert_refused(&carried.run(&["-c", SCRIPT]), 121, "part-1: no such file");
}

#[test]
fn a_folder_in_place_of_a_part_is_named() {
    let carried = Carried::of_shell();
    fs::remove_file(carried.part(2)).unwrap();
    fs::create_dir(carried.part(2)).unwrap();
    assert_refused(&carried.run(&["-c", SCRIPT]), 121, "part-2: is a directory");
}

#[test]
fn fewer_parts_than_there_are_are_refused() {
    let mut carried = Carried::of_shell();
    carried.stamp.parts -= 1;
    assert_refused(&carried.run(&["-c", SCRIPT]), 122, "end too early");
}

#[test]
fn parts_in_another_order_are_refused() {
    let carried = Carried::of_shell();
    let moved = carried.folder.path().join("moved");
    fs::rename(carried.part(1), &moved).unwrap();
    fs::rename(carried.part(2), carried.part(1)).unwrap();
    fs::rename(&moved, carried.part(2)).unwrap();
    let output = carried.run(&["-c", SCRIPT]);
    let code = output.status.code().unwrap();
    assert!(code == 122 || code == 123, "{output:?}");
    assert_refused(&output, code, "");
}

#[test]
fn a_cut_part_is_refused() {
    let carried = Carried::of_shell();
    let last = carried.part(2);
    let bytes = fs::read(&last).unwrap();
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&last, &bytes[..length]).unwrap();
        assert_refused(&carried.run(&["-c", SCRIPT]), 122, "end too early");
    }
}

#[test]
fn anything_after_the_program_is_refused() {
    let carried = Carried::of_shell();
    let last = carried.part(2);
    let mut bytes = fs::read(&last).unwrap();
    bytes.push(0);
    fs::write(&last, bytes).unwrap();
    assert_refused(&carried.run(&["-c", SCRIPT]), 122, "more in the parts");
}

#[test]
fn a_program_of_another_size_is_refused() {
    let mut carried = Carried::of_shell();
    carried.stamp.size_bytes -= 1;
    assert_refused(&carried.run(&["-c", SCRIPT]), 122, "larger than it must be");
    carried.stamp.size_bytes += 2;
    assert_refused(
        &carried.run(&["-c", SCRIPT]),
        122,
        "smaller than it must be",
    );
}

#[test]
fn damage_anywhere_is_refused() {
    let carried = Carried::of_shell();
    for number in 0..3 {
        let path = carried.part(number);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let output = carried.run(&["-c", SCRIPT]);
        let code = output.status.code().unwrap();
        assert!(code == 122 || code == 123, "part {number}: {output:?}");
        assert_refused(&output, code, "");
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn what_is_no_program_is_said_to_be_none() {
    let carried = Carried::of(b"not a program, but with the right digest", 1);
    assert_refused(&carried.run(&["x"]), 124, "not a program for this machine");
}

#[test]
fn a_loader_that_was_built_for_no_program_runs_nothing() {
    let output = Command::new(loader()).args(["-c", SCRIPT]).output();
    assert_refused(&output.unwrap(), 120, "built for no program");
}

#[test]
fn a_loader_deep_in_a_tree_still_gives_one_line() {
    let carried = Carried::of_shell();
    let deep = carried
        .folder
        .path()
        .join("x".repeat(250))
        .join("y".repeat(250));
    fs::create_dir_all(&deep).unwrap();
    let path = deep.join("loader");
    fs::copy(carried.command().get_program(), &path).unwrap();
    let output = Command::new(path).args(["-c", SCRIPT]).output();
    assert_refused(&output.unwrap(), 121, "its path is too long");
}

#[test]
fn the_loader_is_small_and_needs_nothing() {
    let bytes = fs::read(loader()).unwrap();
    assert!(bytes.len() <= 64 << 10, "{} bytes", bytes.len());
    // No interpreter (PT_INTERP, 3) and no dynamic section (PT_DYNAMIC, 2) among the program headers.
    let headers = usize::from(u16::from_le_bytes(bytes[56..58].try_into().unwrap()));
    let first = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
    for header in bytes[first..].chunks(56).take(headers) {
        let kind = u32::from_le_bytes(header[..4].try_into().unwrap());
        assert!(kind != 2 && kind != 3, "program header {kind}");
    }
}
