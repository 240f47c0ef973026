//! What the plugin carries into a cluster when there is no job image: the program `etcd-job` in compressed parts, and
//! the loader that puts them together on the node (`jobs/loader`). Both are for Linux on x86-64.
//!
//! A container that uses them mounts the loader and the parts (from ConfigMaps, with an execute bit) in one folder and
//! runs `loader ARGUMENT…`; the same line runs a second process of it by exec. Which program that is stands in the
//! loader.

use etcd_operations::transfer::hex;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use sha2::{Digest as _, Sha256};

include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// The program and its loader, as embedded when the plugin was built.
#[derive(Clone, Debug)]
pub struct Carried {
    /// SHA-256 of the program, 64 lower-case hexadecimal digits: it stands in the loader, which executes nothing else.
    /// The same sources give the same digest.
    pub digest: &'static str,
    /// Size of the program in bytes.
    pub program_size: usize,
    /// The loader: a static program of a few dozen KiB.
    pub loader: &'static [u8],
    /// The compressed program, cut; in this order. Each has at most 900 KiB, as a ConfigMap holds 1 MiB.
    pub parts: Vec<&'static [u8]>,
}

impl Carried {
    /// The program itself. None: the parts are not what they were, which is checked as on a node.
    #[must_use]
    pub fn program(&self) -> Option<Vec<u8>> {
        let stream = self.parts.concat();
        let bytes = decompress_to_vec_with_limit(&stream, self.program_size).ok()?;
        (hex(&Sha256::digest(&bytes)) == self.digest).then_some(bytes)
    }

    /// The one kind of machine it runs on, as `uname -m` says it.
    #[must_use]
    pub fn machine(&self) -> &'static str {
        "x86_64"
    }
}

/// What this plugin carries.
#[must_use]
pub fn carried() -> Carried {
    Carried {
        digest: DIGEST,
        program_size: PROGRAM_SIZE,
        loader: LOADER,
        parts: PARTS.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_fits_a_config_map() {
        let carried = carried();
        assert!(!carried.parts.is_empty());
        for part in &carried.parts {
            assert!(
                (1..=900 << 10).contains(&part.len()),
                "{} bytes",
                part.len()
            );
        }
        assert!(
            carried.loader.len() <= 64 << 10,
            "{} bytes",
            carried.loader.len()
        );
    }

    #[test]
    fn the_digest_can_stand_in_a_name_and_a_label() {
        let digest = carried().digest;
        assert_eq!(digest.len(), 2 * Sha256::output_size());
        assert!(
            digest
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        );
    }

    /// What is embedded is what runs: the embedded loader with the embedded parts, as on a node.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_carried_loader_starts_the_carried_program() {
        use std::os::unix::fs::PermissionsExt as _;
        use std::process::Command;

        let carried = carried();
        let folder = tempfile::tempdir().unwrap();
        let loader = folder.path().join("loader");
        std::fs::write(&loader, carried.loader).unwrap();
        std::fs::set_permissions(&loader, std::fs::Permissions::from_mode(0o555)).unwrap();
        for (number, part) in carried.parts.iter().enumerate() {
            std::fs::write(folder.path().join(format!("part-{number}")), part).unwrap();
        }
        let output = Command::new(&loader).arg("--version").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(said.starts_with("etcd-job "), "{said:?}");
    }
}
