//! What the fuzz targets and the property tests call: any bytes in, no panic out, and what must always hold does.

use std::fmt::Debug;

use etcd_datadir::progress::ignore;
use etcd_datadir::source::Source;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::container_log;
use crate::failure::FailureKind;
use crate::flags::{Flags, GivenFlag, given};
use crate::kubelet::unit::Unit;
use crate::manifest::{Edit, Manifest};
use crate::operation::Assignment;
use crate::pack::unpack::{self, Forms, Found, Opened, Spool, UnpackError};
use crate::plan::Plan;
use crate::routine::Routine;
use crate::stored::description::Description;
use crate::transfer::{Decoder, Frame, MAGIC, MAX_PAYLOAD, TransferError};
use crate::wire;

/// Reads any bytes as a stream of frames, in one piece and in several. The first byte is the size of the pieces.
pub fn frames(bytes: &[u8]) {
    let Some((size, stream)) = bytes.split_first() else {
        return;
    };
    let size = usize::from(*size) + 1;
    let whole = decode([stream]);
    let pieces = decode(stream.chunks(size));
    assert_eq!(whole.frames, pieces.frames, "in pieces it reads the same");
    assert_eq!(whole.error, pieces.error, "in pieces it fails the same");
    whole.check();

    // The same with checksums and offsets that are right, so that it is the frames that are read and not their guards.
    let (stream, data) = guarded(stream);
    let found = decode(stream.chunks(size));
    found.check();
    assert_eq!(found.data(), data, "what was sent is not what came");
}

struct Decoded {
    frames: Vec<Frame>,
    error: Option<String>,
    ended: bool,
}

fn decode<'s>(pieces: impl IntoIterator<Item = &'s [u8]>) -> Decoded {
    let (mut decoder, mut frames) = (Decoder::new(0), Vec::new());
    let mut pieces = pieces.into_iter();
    let failed = pieces.find_map(|piece| {
        let pushed = decoder.push(piece, |frame| {
            frames.push(frame);
            Ok::<_, TransferError>(())
        });
        pushed.err()
    });
    Decoded {
        frames,
        error: failed.map(|error| error.to_string()),
        ended: decoder.is_ended(),
    }
}

impl Decoded {
    fn data(&self) -> Vec<u8> {
        let pieces = self.frames.iter().filter_map(|frame| match frame {
            Frame::Data { bytes, .. } => Some(bytes.as_slice()),
            Frame::End { .. } | Frame::Failed(_) => None,
        });
        pieces.collect::<Vec<_>>().concat()
    }

    /// The data are one after another, no frame is too long, and only the last one ends the stream.
    fn check(&self) {
        let mut offset = 0;
        for (number, frame) in self.frames.iter().enumerate() {
            let last = number + 1 == self.frames.len();
            match frame {
                Frame::Data { offset: at, bytes } => {
                    assert_eq!(*at, offset, "a gap");
                    assert!(bytes.len() <= MAX_PAYLOAD, "a frame is too long");
                    offset += bytes.len() as u64;
                }
                Frame::End { size, .. } => assert!(last && *size == offset, "the end is none"),
                Frame::Failed(_) => assert!(last, "the end is none"),
            }
        }
        let ends = self.frames.last().is_some_and(|frame| !is_data(frame));
        assert_eq!(ends, self.ended, "it ends with its last frame");
    }
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame, Frame::Data { .. })
}

/// A stream of frames out of any bytes: each begins with a byte for its kind and one for its length. Besides, the data
/// that are in it before the first frame that is none or wrong.
fn guarded(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut stream, mut data) = (MAGIC.to_vec(), Vec::new());
    let (mut rest, mut offset, mut right) = (bytes, 0_u64, true);
    while let [kind, length, more @ ..] = rest {
        let (payload, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        let kind = u32::from(*kind) & 3;
        let packed = zstd::bulk::decompress(payload, MAX_PAYLOAD).ok();
        let plain = match kind {
            0 => Some(payload),
            3 => packed.as_deref(),
            _ => None,
        };
        let length = u32::try_from(payload.len()).unwrap_or_default();
        let mut header = Vec::from(offset.to_le_bytes());
        header.extend((kind << 30 | length).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header), payload);
        header.extend(crc.to_le_bytes());
        stream.extend(header);
        stream.extend_from_slice(payload);
        right &= plain.is_some();
        let plain = plain.filter(|_| right).unwrap_or_default();
        data.extend_from_slice(plain);
        offset += plain.len() as u64;
    }
    (stream, data)
}

/// Opens any bytes as a snapshot: plain, compressed, or a bundle.
pub fn packed(bytes: &[u8]) {
    match open(bytes) {
        Ok(opened) => {
            let Some(unpacked) = &opened.unpacked else {
                panic!("a stream is not read where it lies");
            };
            assert_eq!(unpacked.input.size_bytes, bytes.len() as u64);
            assert_eq!(unpacked.snapshot.size_bytes, opened.source.size());
            let plain = matches!(opened.found, Found::Plain);
            assert!(!plain || unpacked.input == unpacked.snapshot);
            check_bundle(&opened.found);
        }
        Err(UnpackError::Damaged { .. } | UnpackError::NotASnapshot { .. }) => {}
        // No bytes are no file, and a header may announce more than any disk has room for. Else there is no trouble here.
        Err(UnpackError::Failed(failure)) => assert!(
            bytes.is_empty() || failure.kind == FailureKind::NoSpace,
            "{failure}"
        ),
    }
}

/// Opens any bytes as a bundle whose headers have right checksums, so that it is the entries that are read and not their
/// guards.
pub fn bundle(bytes: &[u8]) {
    const BLOCK: usize = 512;
    let mut archive = bytes.to_vec();
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    for block in archive.chunks_exact_mut(BLOCK) {
        if block.get(257..262) == Some(b"ustar") {
            let mut header = tar::Header::new_old();
            header.as_mut_bytes().copy_from_slice(block);
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
    }
    packed(&archive);
}

fn open(bytes: &[u8]) -> Result<Opened, UnpackError> {
    let spool = Spool::new(std::env::temp_dir());
    unpack::stream(bytes, None, "fuzz", &spool, Forms::KNOWN, &mut ignore)
}

/// No path of a bundle leads out of it.
fn check_bundle(found: &Found) {
    let Found::Bundle(description) = found else {
        return;
    };
    let files = description.contents.iter().flat_map(|all| &all.files);
    for file in files {
        let path = std::path::Path::new(&file.path);
        let mut parts = path.components();
        assert!(
            parts.all(|part| matches!(part, std::path::Component::Normal(_))),
            "{path:?}"
        );
    }
}

/// Reads any text as each of the JSON documents that come from a node, or go to one. What is read reads the same again.
pub fn documents(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    same_again(wire::Line::parse(text), wire::Line::parse);
    let again = |text: &str| Description::parse(text.as_bytes());
    same_again(again(text), again);
    read_twice::<Assignment>(text);
    read_twice::<Routine>(text);
    read_twice::<wire::Ask>(text);
    read_twice::<Plan>(text);
}

fn read_twice<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    let read = |text: &str| serde_json::from_str::<T>(text);
    same_again(read(text), read);
}

fn same_again<T: Serialize + PartialEq + Debug, E: Debug>(
    first: Result<T, E>,
    read: impl Fn(&str) -> Result<T, E>,
) {
    let Ok(first) = first else { return };
    match serde_json::to_string(&first) {
        Ok(text) => match read(&text) {
            Ok(second) => assert_eq!(first, second),
            Err(error) => panic!("{text} is not read again: {error:?}"),
        },
        Err(error) => panic!("{first:?} cannot be written: {error}"),
    }
}

/// Edits any text as a manifest, in the way that its first byte says. What comes out differs in what was asked for alone.
pub fn manifest(bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else {
        return;
    };
    let Ok(manifest) = Manifest::parse(text) else {
        return;
    };
    let component = if which & 1 == 0 {
        "etcd"
    } else {
        "kube-apiserver"
    };
    let Some(edit) = edit(which >> 1) else {
        panic!("an edit that cannot be written");
    };
    let Ok(edited) = manifest.edit(component, &edit) else {
        return;
    };
    let after = &edited.manifest;
    assert_eq!(edited.changed, after.bytes() != manifest.bytes());
    assert_eq!(
        beside_the_line(&manifest, component),
        beside_the_line(after, component),
        "something else has changed"
    );
    match after.edit(component, &edit) {
        Ok(again) => assert!(!again.changed, "it is not so after the edit"),
        Err(error) => panic!("the edited text is refused: {error}"),
    }
}

fn edit(which: u8) -> Option<Edit> {
    let set = |flag: &str, value: Option<&str>| {
        let value = value.map(str::parse).transpose().ok()?;
        let flag = flag.parse().ok()?;
        Some(Edit::SetFlag { flag, value })
    };
    let unset = |flag: &str| {
        let flag = flag.parse().ok()?;
        Some(Edit::UnsetFlag { flag })
    };
    match which % 7 {
        0 => set("name", Some("it's: #1")),
        1 => set("quota-backend-bytes", Some("8")),
        2 => set("force-new-cluster", None),
        3 => set("data-dir", Some("--a")),
        4 => unset("data-dir"),
        5 => unset("secure-port"),
        _ => Some(Edit::SetImage {
            image: "registry.example/etcd:2".parse().ok()?,
        }),
    }
}

/// What a manifest means, without the words and the image of this component.
fn beside_the_line(manifest: &Manifest, component: &str) -> Value {
    let mut value = manifest.meant().clone();
    let container = manifest.component(component).ok().and_then(|component| {
        let containers = value.get_mut("spec")?.get_mut("containers")?;
        containers.get_mut(component.index)?.as_object_mut()
    });
    if let Some(container) = container {
        for key in ["command", "args", "image"] {
            container.remove(key);
        }
    }
    value
}

/// Reads any text as a command line, a word a line; the lines before an empty one are the environment.
pub fn flags(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (env, words) = text.split_once("\n\n").unwrap_or(("", &text));
    let env = env.lines().filter_map(|line| line.split_once('='));
    let env: Vec<(String, String)> = env.map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    let words: Vec<String> = words.lines().map(str::to_owned).collect();
    let Ok(plain) = given(&words) else {
        return;
    };
    for (flag, next) in plain.iter().zip(plain.iter().skip(1)) {
        assert!(flag.at < next.at, "flags are in the order of their words");
    }
    assert!(plain.iter().all(|flag| flag.at < words.len()));
    let Ok(flags) = Flags::parse(&words, &[], &[]) else {
        panic!("the flags are read, and then not");
    };
    if !words.iter().any(|word| word.contains('$')) {
        let last = |name: &str| plain.iter().rfind(|flag| flag.name == name);
        let told = |GivenFlag { name, .. }: &GivenFlag| {
            flags.get(name) == last(name).map(|flag| flag.value.as_str())
        };
        assert!(plain.iter().all(told), "the last one counts");
    }
    let _ = Flags::parse(&words, &[], &env).map(|flags| {
        let lists = plain.iter().map(|flag| flags.list(&flag.name));
        assert!(lists.flatten().all(|part| !part.is_empty()));
    });
}

/// Reads any text as the files of a unit, between lines `---`, and behind a line `===` as its environment files.
pub fn units(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (units, files) = text.split_once("\n===\n").unwrap_or((&text, ""));
    let mut unit = Unit::default();
    units.split("\n---\n").for_each(|text| unit.read(text));
    assert!(unit.files().count() <= bytes.len(), "more files than bytes");
    let files: Vec<String> = files.split("\n---\n").map(str::to_owned).collect();
    let words = unit.command_line(&files).unwrap_or_default();
    let length: usize = words.iter().map(String::len).sum();
    // A variable may be named again and again; what becomes of it has limits of its own.
    assert!(
        words.len() <= 30_000 && length <= 8 << 20,
        "a command line without end"
    );
}

/// Reads any bytes as the end of a container's log.
pub fn log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for most in [0, 1, 5] {
        let lines = container_log::lines(&text, most);
        assert!(lines.len() <= most);
        let mut chars = lines.iter().flat_map(|line| line.chars());
        assert!(
            !chars.any(char::is_control),
            "a line that a terminal would obey"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANIFEST: &str = include_str!("../tests/manifests/kubeadm-1.36-etcd.yaml");
    const ASSIGNMENTS: &str = include_str!("../tests/samples/v1/assignments.json");

    #[test]
    fn a_sample_is_read_and_not_only_refused() {
        let one = |which: u8| [&[which << 1], MANIFEST.as_bytes()].concat();
        (0..7).for_each(|which| manifest(&one(which)));
        let read = Manifest::parse(MANIFEST.as_bytes()).unwrap();
        let edited = read.edit("etcd", &edit(1).unwrap()).unwrap();
        assert!(edited.changed);
        assert_ne!(beside_the_line(&read, "etcd"), *read.meant());
        let assignments: Vec<serde_json::Value> = serde_json::from_str(ASSIGNMENTS).unwrap();
        for assignment in assignments {
            let text = assignment.to_string();
            assert!(serde_json::from_str::<Assignment>(&text).is_ok());
            documents(text.as_bytes());
        }
    }

    #[test]
    fn guarded_frames_come_through() {
        let zeros = zstd::bulk::compress(&[0; 9000], 1).unwrap();
        let length = u8::try_from(zeros.len()).unwrap();
        let bytes = [&[0, 3, 7, 8, 9, 3, length], zeros.as_slice(), &[1, 1, 5]].concat();
        let (stream, data) = guarded(&bytes);
        let found = decode([stream.as_slice()]);
        assert_eq!(data.len(), 9003);
        assert_eq!(found.data(), data);
        assert!(found.error.is_some(), "an end without a sum");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            frames(&bytes);
            packed(&bytes);
            bundle(&bytes);
            documents(&bytes);
            manifest(&bytes);
            flags(&bytes);
            units(&bytes);
            log(&bytes);
        }

        #[test]
        fn a_sample_with_slips_is_read_to_an_end(
            slips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let slipped = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                for (at, byte) in &slips {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                bytes
            };
            for which in 0..7 {
                manifest(&[&[which << 1], slipped(MANIFEST).as_slice()].concat());
            }
            documents(&slipped(ASSIGNMENTS));
            flags(&slipped("ETCD_NAME=a\n\netcd\n--name=$(ETCD_NAME)\n--data-dir\n/var/lib/etcd\n-a-switch"));
            units(&slipped("[Service]\nEnvironment=\"A=b c\"\nEnvironmentFile=-/e\nExecStart=/k $A ${A} \\\n '$$'\n===\nA=\"d e\"\n"));
            log(&slipped("2026-11-22T08:00:00.1Z stderr P first\n2026-11-22T08:00:00.2Z stderr F second\n"));
        }
    }
}
