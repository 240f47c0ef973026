//! Makes seeds for the fuzz targets out of real files: `fuzz_seeds CORPUS_DIR PATH…`, a path being a snapshot, a database
//! or a data directory.
//!
//! The segments of a directory's WAL become seeds of `wal`, its `.snap` files of `snap`. Each database becomes a seed of
//! `database_file`; its pages, the root's number first, one of `database_tree`; each of its records in small buckets, and
//! some of the bucket `key`, one of `record`. Only files with pages of 1024 bytes give trees the target can read; other
//! page sizes still give it pages to mix.

use std::error::Error;
use std::fs;
use std::path::Path;

use etcd_datadir::source::FileSource;
use etcd_datadir::tree::Database;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let corpus = arguments
        .next()
        .ok_or("usage: fuzz_seeds CORPUS_DIR PATH…")?;
    let target = |name: &str| Path::new(&corpus).join(name);
    for name in ["database_file", "database_tree", "record", "snap", "wal"] {
        fs::create_dir_all(target(name))?;
    }
    for (number, path) in arguments.enumerate() {
        let path = Path::new(&path);
        if path.is_dir() {
            for (file, content) in files(&path.join("member/wal"), "wal")? {
                // The first byte is where the target splits it. What is preallocated only takes time.
                let end = content
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |at| at + 64);
                let segment = &content[..end.min(content.len())];
                fs::write(
                    target("wal").join(format!("{number}-{file}")),
                    [&[40], segment].concat(),
                )?;
            }
            for (file, content) in files(&path.join("member/snap"), "snap")? {
                fs::write(target("snap").join(format!("{number}-{file}")), content)?;
            }
            continue;
        }
        let bytes = fs::read(path)?;
        fs::write(target("database_file").join(format!("{number}")), &bytes)?;
        let source = FileSource::open(path)?;
        let mut db = Database::open(&source)?;
        let root = u8::try_from((db.meta().root - 2) % 256)?;
        let pages = bytes
            .get(2 * db.meta().page_size as usize..)
            .unwrap_or_default();
        fs::write(
            target("database_tree").join(format!("{number}")),
            [&[root, 0], pages].concat(),
        )?;
        for bucket in db.buckets()? {
            let (mut taken, name) = (0, bucket.printable_name());
            db.walk(&bucket, &mut |entry| {
                taken += 1;
                let (key, value) = (entry.element.key, entry.element.value);
                let seed = [&[u8::try_from(key.len()).unwrap_or(255)], key, value].concat();
                if taken <= 50 {
                    let to = target("record").join(format!("{number}-{name}-{taken}"));
                    return fs::write(&to, seed).map_err(|e| {
                        etcd_datadir::Error::io(&to.display().to_string(), "write", e)
                    });
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// The files of a folder with this extension, by name.
fn files(folder: &Path, extension: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|own| own == extension) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            found.push((name.into_owned(), fs::read(&path)?));
        }
    }
    Ok(found)
}
