//! The folder that is served. `openat2` makes the kernel refuse every path that leads out of it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use netcore::error::{Attempt, Error};
use netcore::text::escape;

use crate::request::is_hidden;
use crate::status::Status;

/// The media type of a file, by the end of its name; of all others it is application/octet-stream.
const TYPES: [(&str, &str); 20] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("xml", "application/xml"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("ico", "image/x-icon"),
    ("pdf", "application/pdf"),
    ("wasm", "application/wasm"),
    ("woff2", "font/woff2"),
];

/// How often an open is tried. The kernel follows a `..` beneath the folder only while nobody renames or
/// mounts anything, wherever that is, and otherwise fails with EAGAIN: openat2(2) says to try again.
const TRIES: u32 = 32;

/// Names that are read of a folder that is listed: while they are read, all clients wait.
const NAMES: usize = 10_000;

/// An open folder.
pub(crate) struct Folder(OwnedFd);

/// A file in it that may be sent.
pub(crate) struct Document {
    pub(crate) file: File,
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) media_type: &'static str,
}

impl Folder {
    /// Opens the folder, and tries whether this kernel has openat2(2), which came with Linux 5.6. Checks
    /// of our own would not replace it: a link may change between the check and the open.
    ///
    /// # Errors
    /// [`Error::File`] where there is no such folder; ENOSYS.
    pub(crate) fn open(path: &str) -> Result<Self, Error> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let shown = escape(path.as_bytes());
        let folder = open(path, flags, Mode::empty())
            .map_err(|source| Error::File { path: shown.clone(), source })?;
        openat2(&folder, ".", beneath(OFlag::O_PATH)).attempt(format_args!("openat2 {shown}"))?;
        Ok(Self(folder))
    }

    /// Opens the file of a path; for a folder that is its index.html.
    ///
    /// # Errors
    /// [`Status::MOVED`] for a folder whose path does not end in `/`: relative links of its page would
    /// lead to the folder above. 404 for all that is no regular file.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Document, Status> {
        let index;
        let name = if is_folder(path) {
            index = [path, b"index.html"].concat();
            &index
        } else {
            path
        };
        // O_NONBLOCK: without it the open of a FIFO would wait for a writer, and all clients with it.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::from(self.open_beneath(name, flags)?);
        let about = file.metadata().map_err(|_| Status::INTERNAL)?;
        if about.is_dir() && name == path {
            return Err(Status::MOVED);
        }
        if !about.is_file() {
            return Err(Status::NOT_FOUND);
        }
        let dot = name.iter().rposition(|byte| *byte == b'.');
        let end = dot.and_then(|dot| name.get(dot + 1..)).unwrap_or_default();
        let known = TYPES.iter().find(|(known, _)| end.eq_ignore_ascii_case(known.as_bytes()));
        let media_type = known.map_or("application/octet-stream", |(_, media_type)| media_type);
        Ok(Document { file, size: about.len(), modified: about.modified().ok(), media_type })
    }

    /// The names in a folder that are served, those of folders with a `/` behind them.
    ///
    /// # Errors
    /// 404 where there is no such folder.
    pub(crate) fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Status> {
        let name = if path.is_empty() { b"." } else { path };
        let folder = self.open_beneath(name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(folder).map_err(refusal)?.iter().take(NAMES) {
            let entry = entry.map_err(refusal)?;
            let mut name = entry.file_name().to_bytes().to_vec();
            match entry.file_type() {
                Some(Type::Directory) => name.push(b'/'),
                // Only an open shows where a link leads, and what the file system does not say.
                Some(Type::File | Type::Symlink) | None => {}
                Some(_) => continue,
            }
            if !is_hidden(name.strip_suffix(b"/").unwrap_or(&name), path.is_empty()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open_beneath(&self, name: &[u8], flags: OFlag) -> Result<OwnedFd, Status> {
        let mut tries = 1;
        loop {
            match openat2(&self.0, name, beneath(flags)) {
                Err(Errno::EAGAIN | Errno::EINTR) if tries < TRIES => tries += 1,
                opened => return opened.map_err(refusal),
            }
        }
    }
}

/// Whether a path is that of a folder, and not of a file.
pub(crate) fn is_folder(path: &[u8]) -> bool {
    path.is_empty() || path.ends_with(b"/")
}

/// The whole path has to stay beneath the folder, each symbolic link on it too: one that stays inside
/// is followed, one that is absolute or leads out fails with EXDEV. The links of /proc are not paths,
/// and may lead anywhere.
fn beneath(flags: OFlag) -> OpenHow {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve)
}

/// The status when a file does not open. The peer is not told the reason.
fn refusal(why: Errno) -> Status {
    match why {
        Errno::EACCES | Errno::EPERM => Status::FORBIDDEN,
        // No descriptor is left, or each try was in vain.
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN | Errno::EINTR => {
            Status::UNAVAILABLE
        }
        Errno::EIO => Status::INTERNAL,
        _ => Status::NOT_FOUND,
    }
}
