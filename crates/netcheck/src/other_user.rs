//! What another user is to run stands where that user may run it: target/ may be below a home, and was
//! built with any umask.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::run::Run;
use crate::tool::{Need, Skip, need};

/// `nobody` by convention; any user that is not root would do.
pub const NOBODY: u32 = 65_534;

/// A copy of a program, removed when dropped: one that runs keeps the file.
pub(crate) struct Copy {
    pub(crate) program: PathBuf,
    _folder: TempDir,
}

/// Copies `program`, by its name, to where every user may run it.
pub(crate) fn copy(program: &Path) -> io::Result<Copy> {
    let name = program.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = open_folder()?;
    let copied = folder.path().join(name);
    // By another process: while a descriptor of ours were open for writing, another thread might fork, and
    // as long as its child has it too, exec of the copy fails with ETXTBSY.
    let cp = Run::program("cp").arg(program).arg(&copied).unrecorded().finish();
    if !cp.status.success() {
        return Err(io::Error::other(cp.stderr_text()));
    }
    fs::set_permissions(&copied, Permissions::from_mode(0o755))?;
    Ok(Copy { program: copied, _folder: folder })
}

/// A new folder that every user may enter, whatever the umask is and wherever temporary files are.
///
/// # Errors
/// When there is none, or of the calls.
pub fn open_folder() -> io::Result<TempDir> {
    let places = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let place = places.iter().find(|place| is_open_to_all(place));
    let folder = TempDir::new_in(place.ok_or(io::ErrorKind::PermissionDenied)?)?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}

impl Run {
    /// Runs it without the rights of root: as [`NOBODY`] where the harness has them.
    ///
    /// # Errors
    /// [`Skip`] for root, where there is no other user.
    pub fn unprivileged(self) -> Result<Self, Skip> {
        if !geteuid().is_root() {
            return Ok(self);
        }
        need(Need::OtherUser)?;
        Ok(self.uid(NOBODY))
    }
}

/// Whether it can be done.
pub(crate) fn works() -> bool {
    // Not only the user may be missing, but a place for the copy too.
    let shell = Path::new("/bin/sh");
    // The root of a user namespace may have no other (user_namespaces(7)).
    let maps = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if !maps.lines().any(|line| has_user(line, NOBODY)) {
        return false;
    }
    let copied = copy(shell).is_ok();
    let probe = Run::program(shell).args(["-c", "true"]).uid(NOBODY).unrecorded();
    copied && probe.finish().status.success()
}

/// Whether a line of `/proc/PID/uid_map` has that user: the first number inside, outside, how many.
fn has_user(line: &str, id: u32) -> bool {
    let numbers: Vec<u32> = line.split_whitespace().flat_map(str::parse).collect();
    matches!(numbers[..], [first, _, count] if id.checked_sub(first).is_some_and(|nth| nth < count))
}

/// Whether anyone may enter the folder, and those that it lies in.
fn is_open_to_all(folder: &Path) -> bool {
    let enters = |folder: &Path| fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o001 != 0);
    fs::canonicalize(folder).is_ok_and(|folder| folder.ancestors().all(enters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_the_users_of_its_range() {
        assert!(has_user("         0          0 4294967295", NOBODY));
        assert!(has_user("65534 1000 1", NOBODY));
        assert!(!has_user("0 0 1", NOBODY) && !has_user("65535 0 9", NOBODY) && !has_user("", 0));
    }

    #[test]
    fn a_copy_can_be_run_by_all_from_where_all_may_go() {
        let closed = TempDir::new().unwrap();
        fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
        let program = closed.path().join("program");
        fs::write(&program, "#!").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        assert!(!is_open_to_all(closed.path()));

        let copy = copy(&program).unwrap();
        assert!(is_open_to_all(copy.program.parent().unwrap()));
        assert_eq!(copy.program.file_name(), program.file_name());
        assert_eq!(fs::metadata(&copy.program).unwrap().mode() & 0o777, 0o755);
        let left = copy.program.clone();
        drop(copy);
        assert!(!left.exists());
    }
}
