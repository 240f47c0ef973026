//! Writes a one-layer image of a few files, as a docker archive: `ctr images import` reads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// A file of this machine and where it is in the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    /// Where it is read from.
    pub(super) source: &'a Path,
    /// Absolute path in the image.
    pub(super) destination: &'a str,
}

/// Writes the archive; the same files give the same bytes.
///
/// # Errors
/// When a file cannot be read or the archive not be written.
pub(super) fn write(
    archive: &Path,
    reference: &str,
    entrypoint: &str,
    members: &[Member<'_>],
) -> Result<()> {
    let layer =
        tempfile::NamedTempFile::new_in(archive.parent().context("the archive has no folder")?)?;
    let digest = write_layer(layer.path(), members)?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Entrypoint": [entrypoint], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(config.as_bytes())));
    let manifest =
        json!([{ "Config": config_name, "RepoTags": [reference], "Layers": ["layer.tar"] }])
            .to_string();

    let mut tar = tar::Builder::new(
        File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?,
    );
    add_bytes(&mut tar, &config_name, config.as_bytes())?;
    add_file(&mut tar, "layer.tar", layer.path(), 0o644)?;
    add_bytes(&mut tar, "manifest.json", manifest.as_bytes())?;
    tar.into_inner()?.sync_all()?;
    Ok(())
}

fn write_layer(path: &Path, members: &[Member<'_>]) -> Result<String> {
    let mut tar = tar::Builder::new(Hashing {
        file: File::create(path)?,
        hash: Sha256::new(),
    });
    let mut folders = BTreeMap::from([("tmp".to_owned(), 0o1777), ("etc".to_owned(), 0o755)]);
    for member in members {
        let mut folder = Path::new(member.destination.trim_start_matches('/')).parent();
        while let Some(path) = folder.filter(|p| !p.as_os_str().is_empty()) {
            folders.entry(path.display().to_string()).or_insert(0o755);
            folder = path.parent();
        }
    }
    for (folder, mode) in folders {
        let mut header = header(0, mode);
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, format!("{folder}/"), io::empty())?;
    }
    for member in members {
        add_file(
            &mut tar,
            member.destination.trim_start_matches('/'),
            member.source,
            0o755,
        )?;
    }
    Ok(hex(&tar.into_inner()?.hash.finalize()))
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

fn add_bytes<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> Result<()> {
    Ok(tar.append_data(&mut header(bytes.len() as u64, 0o644), name, bytes)?)
}

fn add_file<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    source: &Path,
    mode: u32,
) -> Result<()> {
    let file = File::open(source).with_context(|| format!("cannot read {}", source.display()))?;
    let size = file.metadata()?.len();
    Ok(tar.append_data(&mut header(size, mode), name, file)?)
}

/// Lower-case hex digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hashes what goes into the file, so that a layer is read only once.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_archive_and_the_digest_is_the_layers() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, b"#!").unwrap();
        let members = [Member {
            source: &program,
            destination: "/usr/local/bin/program",
        }];
        let [one, two] = ["one.tar", "two.tar"].map(|n| folder.path().join(n));
        for archive in [&one, &two] {
            write(
                archive,
                "example/program:1",
                "/usr/local/bin/program",
                &members,
            )
            .unwrap();
        }
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());

        let mut parts = BTreeMap::new();
        for entry in tar::Archive::new(File::open(&one).unwrap())
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            parts.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        let layer = hex(&Sha256::digest(&parts["layer.tar"]));
        let config = parts.iter().find(|(name, _)| name.len() > 60).unwrap().1;
        assert!(String::from_utf8_lossy(config).contains(&format!("sha256:{layer}")));
    }
}
