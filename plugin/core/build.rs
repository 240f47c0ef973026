//! Builds what the plugin carries into a cluster: `etcd-job`, compressed and cut into parts, and the loader.
//!
//! Both are made by a cargo of their own with a target directory of their own (`carried` inside the outer one, whose
//! lock the outer cargo holds). Unchanged sources cost nothing: this script then does not run. Where they cannot be
//! built, for instance on a machine that is not Linux on x86-64, they are given:
//!
//! - `KUBECTL_ETCD_JOB`: path of a static etcd-job for Linux on x86-64;
//! - `KUBECTL_ETCD_LOADER`: path of the loader for the same, blank as cargo builds it.
//!
//! A development build carries what is built faster, unless `KUBECTL_ETCD_CARRY=shipped` is set.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// What the loader starts is written into it here. The same source is part of the loader.
#[path = "../../jobs/loader/src/stamp.rs"]
#[expect(unreachable_pub, reason = "in the loader it is a part of a library")]
mod stamp;

/// What carries etcd is Linux on x86-64, whatever the plugin itself is built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Set to `shipped`, a development build carries what a release carries.
const CARRY: &str = "KUBECTL_ETCD_CARRY";
/// A ConfigMap holds 1 MiB of data; a part stays well below it, for the object around it.
const LARGEST_PART: usize = 900 << 10;
/// What the job image promises (images/), and so what a release of the plugin may carry: 6.5 MiB.
const LARGEST_RELEASED_JOB: usize = 6_815_744;
/// Far above what the loader is; another file given for it by mistake is noticed.
const LARGEST_LOADER: usize = 64 << 10;
/// The strongest level of miniz_oxide: 2 % smaller than level 9 for a second of work on each build.
const LEVEL: u8 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = workspace()?;
    let build = Build {
        target_dir: outer_target_dir()?.join("carried"),
        workspace,
    };

    let job = given_or("KUBECTL_ETCD_JOB", || build.job())?;
    let loader = given_or("KUBECTL_ETCD_LOADER", || build.loader())?;
    let program = read_program(&job)?;
    if released() && program.len() > LARGEST_RELEASED_JOB {
        return Err(format!(
            "{} has {} bytes; at most {LARGEST_RELEASED_JOB} are released",
            job.display(),
            program.len()
        )
        .into());
    }
    if read_program(&loader)?.len() > LARGEST_LOADER {
        return Err(format!("{} is too large to be the loader", loader.display()).into());
    }
    write_carried(&program, &loader)
}

/// The workspace this plugin is in.
fn workspace() -> Result<PathBuf, Box<dyn Error>> {
    let library = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    Ok(library
        .ancestors()
        .nth(2)
        .ok_or("the plugin lies in no workspace")?
        .to_owned())
}

/// The target directory of the build this script is part of. Cargo keeps what it knows of the compiler at its top; in the very
/// first build it writes that only at the end, and the layout tells: `TARGET-DIR/[TRIPLE/]PROFILE/build/PACKAGE/out`.
fn outer_target_dir() -> Result<PathBuf, Box<dyn Error>> {
    let out = out_dir()?;
    let marked = out
        .ancestors()
        .find(|ancestor| ancestor.join(".rustc_info.json").exists());
    let above_profile = || {
        let above = out.ancestors().nth(4)?;
        let is_triple = above.file_name() == env::var_os("TARGET").as_deref();
        if is_triple {
            above.parent()
        } else {
            Some(above)
        }
    };
    Ok(marked.or_else(above_profile).unwrap_or(&out).to_owned())
}

fn out_dir() -> Result<PathBuf, Box<dyn Error>> {
    Ok(PathBuf::from(env::var("OUT_DIR")?))
}

/// Whether the plugin itself is built for release.
fn released() -> bool {
    env::var("PROFILE").is_ok_and(|profile| profile == "release")
}

/// The file named by an environment variable, otherwise the one that is built.
fn given_or(
    variable: &str,
    build: impl FnOnce() -> Result<PathBuf, Box<dyn Error>>,
) -> Result<PathBuf, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={variable}");
    match env::var_os(variable) {
        Some(path) => {
            let path = PathBuf::from(path);
            println!("cargo::rerun-if-changed={}", path.display());
            Ok(path)
        }
        None => build().map_err(|error| {
            format!("{error}\n(where it cannot be built, {variable} names one that was built on Linux on x86-64)").into()
        }),
    }
}

fn read_program(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    // Class 64 bits, little endian (bytes 4 and 5) and machine 62, x86-64 (bytes 18 and 19).
    if !bytes.starts_with(b"\x7fELF\x02\x01") || bytes.get(18..20) != Some(&[62, 0]) {
        return Err(format!("{} is not a program for Linux on x86-64", path.display()).into());
    }
    Ok(bytes)
}

/// The builds inside this build.
struct Build {
    workspace: PathBuf,
    target_dir: PathBuf,
}

impl Build {
    fn job(&self) -> Result<PathBuf, Box<dyn Error>> {
        rerun_if_changed(&self.workspace, &["Cargo.toml", "Cargo.lock"]);
        for part in ["agent", "operations", "datadir"] {
            rerun_if_changed(
                &self.workspace.join("jobs").join(part),
                &["Cargo.toml", "build.rs", "src"],
            );
        }
        println!("cargo::rerun-if-env-changed={CARRY}");
        let shipped = released() || env::var(CARRY).is_ok_and(|what| what == "shipped");
        let profile = if shipped { "job" } else { "job-dev" };
        let manifest = self.workspace.join("Cargo.toml");
        self.cargo(
            &manifest,
            &["--package=etcd-job", "--bin=etcd-job"],
            profile,
            // Those of images/rustflags. jobs/agent/build.rs adds what is for this program alone.
            &["-Ctarget-feature=+crt-static", "-Clink-arg=-Wl,--icf=all"],
        )?;
        Ok(self.target_dir.join(TARGET).join(profile).join("etcd-job"))
    }

    fn loader(&self) -> Result<PathBuf, Box<dyn Error>> {
        let loader = self.workspace.join("jobs/loader");
        rerun_if_changed(&loader, &["Cargo.toml", "Cargo.lock", "build.rs", "src"]);
        self.cargo(
            &loader.join("Cargo.toml"),
            &["--bin=loader", "--features=program"],
            "release",
            &[],
        )?;
        Ok(self.target_dir.join(TARGET).join("release/loader"))
    }

    /// Runs cargo as if nobody had called it from within cargo.
    fn cargo(
        &self,
        manifest: &Path,
        what: &[&str],
        profile: &str,
        flags: &[&str],
    ) -> Result<(), Box<dyn Error>> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in env::vars_os() {
            if belongs_to_outer_build(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        let mut flags: Vec<OsString> = flags.iter().map(OsString::from).collect();
        flags.extend(self.without_paths());
        command
            // Set, even to nothing, it wins over RUSTFLAGS and over every configuration file.
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f".as_ref()))
            .current_dir(&self.workspace)
            .args(["build", "--locked", "--quiet"])
            .args(what)
            .args(["--profile", profile, "--target", TARGET, "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&self.target_dir)
            // Standard output is where cargo reads this script's own directions.
            .stdout(std::process::Stdio::null());
        let status = command
            .status()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !status.success() {
            return Err(format!("{command:?} failed: {status}").into());
        }
        Ok(())
    }

    /// Flags that keep this machine's paths out of the programs, so that the same input gives the same bytes anywhere.
    /// Of several that match a path, the compiler takes the last.
    fn without_paths(&self) -> Vec<OsString> {
        let home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
        let mut flags = Vec::new();
        for (path, name) in [
            (home.as_deref(), "/cargo"),
            (Some(&*self.workspace), "/kubectl-etcd"),
            (Some(&*self.target_dir), "/target"),
        ] {
            if let Some(path) = path {
                let mut flag = OsString::from("--remap-path-prefix=");
                flag.push(path);
                flag.push("=");
                flag.push(name);
                flags.push(flag);
            }
        }
        flags
    }
}

fn rerun_if_changed(folder: &Path, names: &[&str]) {
    for path in names
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| path.exists())
    {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// Whether an environment variable tells about the build this script is part of: its flags, profile, wrappers (clippy
/// is one), package and folders. What tells about this machine and its network stays, and so does the jobserver, by
/// which both builds together use no more processors than there are.
fn belongs_to_outer_build(name: &str) -> bool {
    const MACHINE: [&str; 8] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
    ];
    const OUTER: [&str; 12] = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "CLIPPY_ARGS",
        "TARGET",
        "HOST",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "OUT_DIR",
        "NUM_JOBS",
    ];
    let of_machine = MACHINE.iter().any(|prefix| name.starts_with(prefix));
    (name.starts_with("CARGO_") && !of_machine) || name.starts_with("DEP_") || OUTER.contains(&name)
}

/// Compresses and cuts the program, and writes what src/carried.rs includes.
fn write_carried(program: &[u8], loader: &Path) -> Result<(), Box<dyn Error>> {
    let out = out_dir()?;
    let stream = miniz_oxide::deflate::compress_to_vec(program, LEVEL);
    // All of about the same size: the last to arrive decides how long the first use on a cluster takes.
    let count = stream.len().div_ceil(LARGEST_PART);
    let mut parts = String::new();
    for (number, part) in stream.chunks(stream.len().div_ceil(count)).enumerate() {
        let path = out.join(format!("part{number}"));
        fs::write(&path, part)?;
        write!(parts, "include_bytes!({path:?}), ")?;
    }
    let digest: [u8; 32] = Sha256::digest(program).into();
    let mut loader = fs::read(loader)?;
    let stamp = stamp::Stamp {
        digest,
        size_bytes: program.len(),
        parts: u32::try_from(count)?,
    };
    let read_back = stamp::Stamp::read(&stamp.block());
    if read_back != Some(stamp) || !stamp.fill_in(&mut loader) {
        return Err("the loader is not one that a program's digest can be written into".into());
    }
    let copy = out.join("loader");
    fs::write(&copy, loader)?;
    let digest = digest
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let text = format!(
        "const DIGEST: &str = {digest:?};\n\
         const PROGRAM_SIZE: usize = {};\n\
         const LOADER: &[u8] = include_bytes!({copy:?});\n\
         const PARTS: &[&[u8]] = &[{parts}];\n",
        program.len()
    );
    Ok(fs::write(out.join("carried.rs"), text)?)
}
