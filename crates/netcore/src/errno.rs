//! The text of an errno.

use nix::errno::Errno;

/// An errno as people search for it: `Connection refused (ECONNREFUSED)`.
#[must_use]
pub fn errno(errno: Errno) -> String {
    format!("{} ({errno:?})", errno.desc())
}
