//! What the loader asks of the kernel: read the parts, a memory file, execute it, one line on standard error, exit.

use core::convert::Infallible;
use core::ffi::CStr;
use core::fmt::{self, Write as _};

use etcd_job_loader::failure::Failure;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use syscalls::{Sysno, syscall};

use crate::vectors::Vectors;

/// As much of a part as is held at a time, in bytes.
const PIECE: usize = 64 << 10;

/// The longest path of the loader that is understood, in bytes.
const LONGEST_PATH: usize = 512;

/// The folder that the loader itself lies in: the only one it takes files from.
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// Opens it. Not by the name the loader was called by, which its caller chooses.
    pub(crate) fn of_loader() -> Result<Self, Failure> {
        let cannot = |error| {
            report(
                Failure::Unreadable,
                format_args!("cannot open the loader's own folder: {}", Reason(error)),
            )
        };
        let mut path = [0_u8; LONGEST_PATH];
        let written =
            rustix::fs::readlinkat_raw(CWD, c"/proc/self/exe", &mut path[..]).map_err(cannot)?;
        // A longer one was cut, and there would be no room for the end of a C string.
        if written >= LONGEST_PATH {
            return Err(cannot(Errno::NAMETOOLONG));
        }
        let slash = path
            .get(..written)
            .and_then(|path| path.iter().rposition(|byte| *byte == b'/'));
        // The folder ends where the loader's own name begins.
        let end = path.iter_mut().skip(slash.map_or(0, |slash| slash.max(1)));
        end.for_each(|byte| *byte = 0);
        let folder = CStr::from_bytes_until_nul(&path).map_err(|_| cannot(Errno::NAMETOOLONG))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(folder, flags, Mode::empty())
            .map(Self)
            .map_err(cannot)
    }

    /// Gives `part-NUMBER` to `take`, piece by piece in order.
    pub(crate) fn read_part(
        &self,
        number: u32,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let unreadable = |error| {
            report(
                Failure::Unreadable,
                format_args!("cannot read part-{number}: {}", Reason(error)),
            )
        };
        let mut name = Line::<16>::new();
        // It has room for a number of two digits and the zero at the end, and there are no more parts.
        let _ = write!(name, "part-{number}\0");
        let name =
            CStr::from_bytes_until_nul(&name.bytes).map_err(|_| unreadable(Errno::NAMETOOLONG))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::empty()).map_err(unreadable)?;
        let mut piece = [0; PIECE];
        loop {
            match rustix::io::read(&file, &mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => take(piece.get(..length).unwrap_or(&piece))?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
    }
}

/// A file in memory, without a name in any file system, that can be written to.
pub(crate) struct MemoryFile {
    file: OwnedFd,
    content: Mapping,
}

/// The seals that together let nobody change a file again, nor lift them.
const UNCHANGEABLE: SealFlags = SealFlags::WRITE
    .union(SealFlags::GROW)
    .union(SealFlags::SHRINK)
    .union(SealFlags::SEAL);

impl MemoryFile {
    /// Makes one of this size, filled with zeros.
    pub(crate) fn create(name: &CStr, size_bytes: usize) -> Result<Self, Failure> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Since Linux 6.3 a file that is to be executed should say so; before, the flag is not known.
        let file = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
            Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
            made => made,
        }
        .map_err(|error| match error {
            Errno::ACCESS => report(
                Failure::Refused,
                format_args!("this node lets no memory file be executed (vm.memfd_noexec); the job image does without (--image)"),
            ),
            error => no_memory(error),
        })?;
        rustix::fs::ftruncate(&file, in_file(size_bytes)?).map_err(no_memory)?;
        let content = Mapping::of(&file, size_bytes, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self { file, content })
    }

    /// What is in it, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is writable, lives as long as the borrow, and nobody else has the file.
        unsafe { core::slice::from_raw_parts_mut(self.content.start, self.content.length) }
    }

    /// Cuts it to this size and ends all writing to it, by anybody.
    pub(crate) fn seal(self, size_bytes: usize) -> Result<SealedFile, Failure> {
        let Self { file, content } = self;
        // A file that is mapped for writing cannot be sealed.
        drop(content);
        rustix::fs::ftruncate(&file, in_file(size_bytes)?).map_err(no_memory)?;
        rustix::fs::fcntl_add_seals(&file, UNCHANGEABLE).map_err(no_memory)?;
        let content = Mapping::of(&file, size_bytes, ProtFlags::READ)?;
        Ok(SealedFile { file, content })
    }
}

fn in_file(size_bytes: usize) -> Result<u64, Failure> {
    u64::try_from(size_bytes).map_err(|_| no_memory(Errno::FBIG))
}

fn no_memory(error: Errno) -> Failure {
    report(
        Failure::Refused,
        format_args!("no memory file for the program: {}", Reason(error)),
    )
}

/// A file in memory that can never change again.
pub(crate) struct SealedFile {
    file: OwnedFd,
    content: Mapping,
}

impl SealedFile {
    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, lives as long as the borrow, and the file is sealed.
        unsafe { core::slice::from_raw_parts(self.content.start, self.content.length) }
    }

    /// Becomes the program in it, under `name`, with the loader's own arguments and environment.
    pub(crate) fn execute(
        &self,
        name: &'static CStr,
        vectors: &Vectors,
    ) -> Result<Infallible, Failure> {
        let argv = vectors.named(name);
        let environment = vectors.environment();
        let empty = c"".as_ptr();
        let descriptor = self.file.as_raw_fd();
        // SAFETY: the path is a C string, both vectors end in a null and hold C strings; the descriptor is open.
        let result = unsafe {
            syscall!(
                Sysno::execveat,
                descriptor,
                empty,
                argv,
                environment,
                AtFlags::EMPTY_PATH.bits()
            )
        };
        let error = Errno::from_raw_os_error(result.err().map_or(0, |error| error.into_raw()));
        Err(report(
            Failure::Refused,
            format_args!(
                "the program cannot be executed from memory: {}",
                Reason(error)
            ),
        ))
    }
}

/// Memory that shows a file.
struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    fn of(file: impl AsFd, length: usize, access: ProtFlags) -> Result<Self, Failure> {
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the kernel chooses the place, so no memory in use is touched.
        let start =
            unsafe { rustix::mm::mmap(core::ptr::null_mut(), length, access, flags, file, 0) };
        start
            .map(|start| Self {
                start: start.cast(),
                length,
            })
            .map_err(no_memory)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `of` mapped; slices of it borrow the file, which owns this.
        // It cannot fail for a whole mapping; if it did, sealing the file would, and say so.
        let _ = unsafe { rustix::mm::munmap(self.start.cast(), self.length) };
    }
}

/// Says one line on standard error, and gives the failure back.
pub(crate) fn report(failure: Failure, message: fmt::Arguments<'_>) -> Failure {
    let mut line = Line::<512>::new();
    // What does not fit is left out: a path of the longest kind would not be a reason to say nothing.
    let _ = writeln!(line, "kubectl-etcd loader: {message}");
    if let (512, Some(last)) = (line.length, line.bytes.last_mut()) {
        *last = b'\n';
    }
    let mut rest = line.bytes.get(..line.length).unwrap_or_default();
    // SAFETY: the loader never closes descriptor 2; if whoever started it did, writing fails, which is expected here.
    let standard_error = unsafe { rustix::stdio::stderr() };
    while !rest.is_empty() {
        match rustix::io::write(standard_error, rest) {
            Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Nobody listens; the exit code remains.
            Ok(0) | Err(_) => break,
        }
    }
    failure
}

/// A short text that is being written; what does not fit is left out.
struct Line<const SIZE: usize> {
    bytes: [u8; SIZE],
    length: usize,
}

impl<const SIZE: usize> Line<SIZE> {
    fn new() -> Self {
        Self {
            bytes: [0; SIZE],
            length: 0,
        }
    }
}

impl<const SIZE: usize> fmt::Write for Line<SIZE> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.iter_mut().skip(self.length);
        self.length = self
            .length
            .saturating_add(room.zip(text.bytes()).map(|(to, from)| *to = from).count());
        Ok(())
    }
}

/// An error of the kernel in words, as there is no libc that has them.
struct Reason(Errno);

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Errno::NOENT => formatter.write_str("no such file"),
            Errno::ACCESS | Errno::PERM => formatter.write_str("permission denied"),
            Errno::ISDIR => formatter.write_str("is a directory"),
            Errno::LOOP => formatter.write_str("is a link"),
            Errno::NAMETOOLONG => formatter.write_str("its path is too long"),
            Errno::NOMEM => formatter.write_str("out of memory"),
            Errno::MFILE | Errno::NFILE => formatter.write_str("too many open files"),
            Errno::NOEXEC => formatter.write_str("not a program for this machine"),
            Errno::NOSYS => formatter.write_str("not offered by this kernel"),
            Errno::IO => formatter.write_str("input/output error"),
            other => write!(formatter, "os error {}", other.raw_os_error()),
        }
    }
}

/// Ends the process.
pub(crate) fn exit(failure: Failure) -> ! {
    loop {
        // SAFETY: touches no memory; does not return.
        let _ = unsafe { syscall!(Sysno::exit_group, usize::from(failure.exit_code())) };
    }
}
