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
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use miniz_oxide::deflate::compress_to_vec;
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

/// A program in parts on disk.
struct Parts {
    folder: TempDir,
    digest: String,
    size: usize,
    paths: Vec<PathBuf>,
}

impl Parts {
    fn of(program: &[u8], count: usize) -> Self {
        let stream = compress_to_vec(program, 6);
        let folder = TempDir::new().unwrap();
        let paths = stream
            .chunks(stream.len().div_ceil(count))
            .enumerate()
            .map(|(number, part)| {
                let path = folder.path().join(format!("part{number}"));
                fs::write(&path, part).unwrap();
                path
            })
            .collect();
        Self {
            folder,
            digest: sha256(program),
            size: program.len(),
            paths,
        }
    }

    fn of_shell() -> Self {
        Self::of(&fs::read("/bin/sh").unwrap(), 3)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(loader());
        command
            .arg(&self.digest)
            .arg(self.size.to_string())
            .args(&self.paths)
            .arg("--");
        command
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command().args(arguments).output().unwrap()
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
    let output = Parts::of_shell().run(&["-c", script, "zero", "one", "", "--"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3:one::--\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stderr, b"");
}

#[test]
fn the_program_goes_by_the_name_of_etcd_job() {
    let output = Parts::of_shell().run(&["-c", "tr '\\0' '|' < /proc/$$/cmdline"]);
    assert!(output.stdout.starts_with(b"etcd-job|-c|"), "{output:?}");
}

#[test]
fn environment_process_and_open_files_stay_as_they_were() {
    let parts = Parts::of_shell();
    let child = parts
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

    let parts = Parts::of_shell();
    let mut child = parts
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
        u64::try_from(parts.size).unwrap()
    );
}

#[test]
fn a_program_of_one_part_and_of_many_runs() {
    let shell = fs::read("/bin/sh").unwrap();
    for count in [1, 2, 50] {
        let output = Parts::of(&shell, count).run(&["-c", SCRIPT]);
        assert_eq!(output.stdout, b"ran\n", "{count} parts: {output:?}");
    }
}

#[test]
fn a_wrong_digest_runs_nothing() {
    let mut parts = Parts::of_shell();
    let first = if parts.digest.starts_with('0') {
        "1"
    } else {
        "0"
    };
    parts.digest.replace_range(..1, first);
    assert_refused(&parts.run(&["-c", SCRIPT]), 123, "does not have the digest");
}

#[test]
fn another_program_in_the_parts_runs_nothing() {
    let shell = fs::read("/bin/sh").unwrap();
    let mut other = shell.clone();
    *other.last_mut().unwrap() ^= 1;
    let mut parts = Parts::of(&other, 3);
    parts.digest = sha256(&shell);
    assert_refused(&parts.run(&["-c", SCRIPT]), 123, "does not have the digest");
}

#[test]
fn a_missing_part_is_named() {
    let parts = Parts::of_shell();
    fs::remove_file(&parts.paths[1]).unwrap();
    assert_refused(&parts.run(&["-c", SCRIPT]), 121, "part1: no such file");
}

#[test]
fn a_folder_in_place_of_a_part_is_named() {
    let mut parts = Parts::of_shell();
    parts.paths[2] = parts.folder.path().to_owned();
    assert_refused(&parts.run(&["-c", SCRIPT]), 121, "is a directory");
}

#[test]
fn a_part_left_out_is_refused() {
    for left_out in 0..3 {
        let mut parts = Parts::of_shell();
        parts.paths.remove(left_out);
        let output = parts.run(&["-c", SCRIPT]);
        let code = output.status.code().unwrap();
        assert!(code == 122 || code == 123, "{output:?}");
        assert_refused(&output, code, "");
    }
}

#[test]
fn parts_in_another_order_are_refused() {
    let mut parts = Parts::of_shell();
    parts.paths.swap(1, 2);
    let output = parts.run(&["-c", SCRIPT]);
    let code = output.status.code().unwrap();
    assert!(code == 122 || code == 123, "{output:?}");
    assert_refused(&output, code, "");
}

#[test]
fn a_cut_part_is_refused() {
    let parts = Parts::of_shell();
    let last = parts.paths.last().unwrap();
    let bytes = fs::read(last).unwrap();
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        fs::write(last, &bytes[..length]).unwrap();
        assert_refused(&parts.run(&["-c", SCRIPT]), 122, "end too early");
    }
}

#[test]
fn anything_after_the_program_is_refused() {
    let parts = Parts::of_shell();
    let last = parts.paths.last().unwrap();
    let mut bytes = fs::read(last).unwrap();
    bytes.push(0);
    fs::write(last, bytes).unwrap();
    assert_refused(&parts.run(&["-c", SCRIPT]), 122, "more in the parts");
}

#[test]
fn a_program_of_another_size_is_refused() {
    let mut parts = Parts::of_shell();
    parts.size -= 1;
    assert_refused(&parts.run(&["-c", SCRIPT]), 122, "larger than announced");
    parts.size += 2;
    assert_refused(&parts.run(&["-c", SCRIPT]), 122, "smaller than announced");
}

#[test]
fn damage_anywhere_is_refused() {
    let parts = Parts::of_shell();
    for (number, path) in parts.paths.iter().enumerate() {
        let whole = fs::read(path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(path, &bytes).unwrap();
        let output = parts.run(&["-c", SCRIPT]);
        let code = output.status.code().unwrap();
        assert!(code == 122 || code == 123, "part {number}: {output:?}");
        assert_refused(&output, code, "");
        fs::write(path, whole).unwrap();
    }
}

#[test]
fn what_is_no_program_is_said_to_be_none() {
    let parts = Parts::of(b"not a program, but with the right digest", 1);
    assert_refused(&parts.run(&["x"]), 124, "not a program for this machine");
}

#[test]
fn incomplete_command_lines_are_refused() {
    let parts = Parts::of_shell();
    let size = parts.size.to_string();
    let part = parts.paths[0].to_str().unwrap();
    let lines: [(&[&str], &str); 7] = [
        (&[], "sha256"),
        (&["--"], "sha256"),
        (&[&parts.digest], "size"),
        (&[&parts.digest, "0", part, "--"], "size"),
        (&[&parts.digest, "99999999999", part, "--"], "size"),
        (&[&parts.digest, &size, "--", "-c", SCRIPT], "no part"),
        (
            &[&parts.digest, &size, part, "-c", SCRIPT],
            "'--' is missing",
        ),
    ];
    for (line, says) in lines {
        assert_refused(
            &Command::new(loader()).args(line).output().unwrap(),
            120,
            says,
        );
    }
}

#[test]
fn no_arguments_at_all_are_refused() {
    let output = Command::new(loader())
        .arg0("")
        .env_clear()
        .output()
        .unwrap();
    assert_refused(&output, 120, "sha256");
}

#[test]
fn a_name_that_is_no_text_still_gives_one_line() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut parts = Parts::of_shell();
    parts.paths[0] = PathBuf::from(OsStr::from_bytes(b"/\xff\xfe"));
    assert_refused(&parts.run(&["x"]), 121, "cannot read a part");
    parts.paths[0] = PathBuf::from(format!("/{}", "x".repeat(3000)));
    assert_refused(&parts.run(&["x"]), 121, "cannot read /xxx");
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
