//! Makes the shipped program smaller at its last step, the link: every start on a node unpacks all of it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Leaves out what only unwinding reads, also where the standard library and C bring it: a panic aborts here.
const WITHOUT_UNWINDING: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.gcc_except_table .gcc_except_table.*) } } INSERT AFTER .data;\n";
/// The first glibc that unpacks the addresses of a static program at its start.
const UNPACKS_ADDRESSES: (u32, u32) = (2, 36);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // Only what is shipped is static. Tests keep their backtraces.
    if !is_shipped() {
        return Ok(());
    }
    let script = PathBuf::from(env::var("OUT_DIR")?).join("without-unwinding.ld");
    fs::write(&script, WITHOUT_UNWINDING)?;
    // Not among the compiler's flags: a path there would change the names of all symbols, and so the program.
    link_argument(&format!("-Wl,-T,{}", script.display()));
    link_argument("-Wl,--no-eh-frame-hdr");
    if glibc().is_some_and(|version| version >= UNPACKS_ADDRESSES) {
        // The addresses to correct at the start are a bitmap, and not 24 bytes each.
        link_argument("-Wl,-z,pack-relative-relocs");
    }
    Ok(())
}

fn is_shipped() -> bool {
    let has = |name: &str, wanted: &str| {
        env::var(name).is_ok_and(|all| all.split(',').any(|one| one == wanted))
    };
    has("CARGO_CFG_TARGET_FEATURE", "crt-static") && has("CARGO_CFG_TARGET_ENV", "gnu")
}

/// The version of this machine's C library, which becomes part of the program.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let version = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = version.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn link_argument(argument: &str) {
    println!("cargo::rustc-link-arg-bins={argument}");
}
