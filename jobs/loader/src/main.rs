//! `loader ARGUMENT…`: puts the one program it was built for together in memory and becomes it.
//!
//! It runs in the node's own etcd image, which has no shell, out of a mounted ConfigMap. The parts `part-0`, `part-1`, …
//! beside it are slices of one raw deflate stream. What comes out must have the size and the SHA-256 that stand in the
//! loader itself, and only then is anything executed: as `etcd-job ARGUMENT…`, in this process, with this environment.
//! Neither the command line nor the image has a say in what that is. Any failure is one line on standard error and one
//! of the exit codes of [`failure::Failure`](etcd_job_loader::failure::Failure).
#![no_std]
#![no_main]

mod memory;
mod node;
mod start;
mod vectors;

use core::ffi::CStr;

use etcd_job_loader::failure::Failure;
use etcd_job_loader::program::{Digest, Joined};
use etcd_job_loader::stamp::{BLANK, BLOCK, Stamp};
use node::{Folder, MemoryFile};
use vectors::Vectors;

/// The name the program sees as its own, and that the node's process list shows.
const PROGRAM: &CStr = c"etcd-job";

/// What is started. The build of the plugin fills it in, in the finished file.
#[used]
static STAMP: [u8; BLOCK] = BLANK;

/// Runs the program; comes back only if that failed, when all is said on standard error.
fn run(vectors: &Vectors) -> Failure {
    // SAFETY: a static, aligned and initialised. Volatile, as the compiler must not take it for what stands in the source.
    let block = unsafe { core::ptr::read_volatile(&raw const STAMP) };
    let Some(stamp) = Stamp::read(&block) else {
        return node::report(
            Failure::Blank,
            format_args!("this loader was built for no program"),
        );
    };
    let Err(failure) = execute(vectors, &stamp);
    failure
}

fn execute(vectors: &Vectors, stamp: &Stamp) -> Result<core::convert::Infallible, Failure> {
    // One byte more than the program: see Joined.
    let mut file = MemoryFile::create(PROGRAM, stamp.size_bytes.saturating_add(1))?;
    let mut joined = Joined::into_memory(file.bytes_mut());
    let folder = Folder::of_loader()?;
    for number in 0..stamp.parts {
        folder.read_part(number, |piece| {
            joined
                .push(piece)
                .map_err(|wrong| node::report(Failure::Parts, format_args!("{}", wrong.message())))
        })?;
    }
    joined
        .finish()
        .map_err(|wrong| node::report(Failure::Parts, format_args!("{}", wrong.message())))?;

    // Sealed first: what is checked can then no longer change before it runs.
    let sealed = file.seal(stamp.size_bytes)?;
    if Digest::of(sealed.bytes()) != Digest(stamp.digest) {
        return Err(node::report(
            Failure::Digest,
            format_args!("the parts are not those of the program this loader was built for"),
        ));
    }
    sealed.execute(PROGRAM, vectors)
}
