//! `loader DIGEST SIZE PART… -- ARGUMENT…`: puts a program together in memory and becomes it.
//!
//! It runs in the node's own etcd image, which has no shell, out of a mounted ConfigMap. The parts are slices of one
//! raw deflate stream; SIZE bytes must come out of it, with the SHA-256 DIGEST, and only then is anything executed:
//! as `etcd-job ARGUMENT…`, in this process, with this environment. Any failure is one line on standard error and one
//! of the exit codes of [`failure::Failure`](etcd_job_loader::failure::Failure).
#![no_std]
#![no_main]

mod memory;
mod node;
mod start;

use core::ffi::CStr;

use etcd_job_loader::arguments::Arguments;
use etcd_job_loader::failure::Failure;
use etcd_job_loader::program::{Digest, Joined};
use node::MemoryFile;

/// The name the program sees as its own, and that the node's process list shows.
const PROGRAM: &CStr = c"etcd-job";

/// Runs the program; comes back only if that failed, when all is said on standard error.
fn run(vectors: &start::Vectors) -> Failure {
    let arguments = match Arguments::parse(vectors.arguments().skip(1).map(CStr::to_bytes)) {
        Ok(arguments) => arguments,
        Err(refused) => {
            return node::report(Failure::Arguments, format_args!("{}", refused.message()));
        }
    };
    let Err(failure) = execute(vectors, &arguments);
    failure
}

fn execute(
    vectors: &start::Vectors,
    arguments: &Arguments,
) -> Result<core::convert::Infallible, Failure> {
    let size = arguments.expected.size_bytes;
    // One byte more than the program: see Joined.
    let mut file = MemoryFile::create(PROGRAM, size.saturating_add(1))?;
    let mut joined = Joined::into_memory(file.bytes_mut());
    for path in vectors
        .arguments()
        .skip(Arguments::FIRST_PART)
        .take(arguments.parts)
    {
        node::read(path, |piece| {
            joined
                .push(piece)
                .map_err(|wrong| node::report(Failure::Parts, format_args!("{}", wrong.message())))
        })?;
    }
    joined
        .finish()
        .map_err(|wrong| node::report(Failure::Parts, format_args!("{}", wrong.message())))?;

    // Sealed first: what is checked can then no longer change before it runs.
    let sealed = file.seal(size)?;
    if Digest::of(sealed.bytes()) != arguments.expected.digest {
        return Err(node::report(
            Failure::Digest,
            format_args!("the program does not have the digest that was asked for"),
        ));
    }
    sealed.execute(PROGRAM, vectors, arguments)
}
