//! What is taken of a submission: regular files `src/**/*.rs`, by their names in folders that are no links.
//!
//! Every step is openat(2) without following a link, so that nothing is read but what lies in there, even if
//! it changes meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::task::Sources;
use xtask::Failure;

/// The most that is taken of a submission: of all files together, files, folders in one another, and names
/// that are looked at.
const MOST_BYTES: usize = 200 * 1024;
const MOST_FILES: usize = 64;
const MOST_DEPTH: usize = 8;
const MOST_NAMES: usize = 2_000;

/// What is there of a student for an exercise.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The files, and what was left.
    Sources(Sources, Vec<String>),
    /// Nothing, for that reason.
    Refused(String),
    /// There is no such folder.
    Missing,
}

/// The names in a folder that may be students, sorted: folders and links, and none that begins with a dot.
pub(crate) fn students(folder: &Path) -> Result<Vec<OsString>, Failure> {
    let failed = || Failure::file(format!("read {}", folder.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let kind = entry.file_type().map_err(failed())?;
        let name = entry.file_name();
        if (kind.is_dir() || kind.is_symlink()) && !name.as_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A name as it is shown anywhere: it has no character that changes how a line is read, and no two names are
/// shown alike.
pub(crate) fn shown(name: &OsStr) -> String {
    let mut shown = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown += r"\\",
                // Marks that turn the direction of what follows.
                '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    shown.extend(c.escape_unicode());
                }
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown += &format!("\\x{byte:02x}");
        }
    }
    shown
}

/// Takes what `student` has handed in for that exercise.
pub(crate) fn take(folder: &Path, student: &OsStr, exercise: &str) -> Taken {
    match Taking::default().all(folder, student, exercise) {
        Ok(taken) => taken,
        Err(Refusal::Missing) => Taken::Missing,
        Err(Refusal::Because(why)) => Taken::Refused(why),
    }
}

enum Refusal {
    Missing,
    Because(String),
}

#[derive(Default)]
struct Taking {
    sources: Sources,
    left: Vec<String>,
    bytes: usize,
    names: usize,
}

impl Taking {
    fn all(mut self, folder: &Path, student: &OsStr, exercise: &str) -> Result<Taken, Refusal> {
        let because = |why: Errno| Refusal::Because(format!("open {}: {why}", folder.display()));
        let top = Dir::open(folder, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        let own = open_folder(&top.map_err(because)?, student)?;
        let mut own = match open_folder(&own, OsStr::new(exercise)) {
            Err(Refusal::Missing) => return Ok(Taken::Missing),
            own => own?,
        };
        let src = match open_folder(&own, OsStr::new("src")) {
            Err(Refusal::Missing) => {
                return Err(Refusal::Because("it has no folder src".to_owned()));
            }
            src => src?,
        };
        if own.iter().flatten().any(|entry| entry.file_name().to_bytes() == b"build.rs") {
            self.left.push("build.rs".to_owned());
        }
        self.folder(src, "src", 1)?;
        if !self.sources.contains_key("src/main.rs") {
            return Err(Refusal::Because("it has no file src/main.rs".to_owned()));
        }
        self.left.sort();
        Ok(Taken::Sources(self.sources, self.left))
    }

    fn folder(&mut self, mut folder: Dir, path: &str, depth: usize) -> Result<(), Refusal> {
        if depth > MOST_DEPTH {
            return Err(Refusal::Because(format!("{path}: more than {MOST_DEPTH} folders deep")));
        }
        let mut entries = Vec::new();
        for entry in folder.iter() {
            let entry = entry.map_err(|why| Refusal::Because(format!("read {path}: {why}")))?;
            let name = entry.file_name().to_bytes().to_owned();
            self.names += 1;
            if self.names > MOST_NAMES {
                return Err(Refusal::Because(format!("{path}: more than {MOST_NAMES} files")));
            }
            if name != b"." && name != b".." {
                entries.push((name, entry.file_type()));
            }
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, kind) in entries {
            let text = shown(OsStr::from_bytes(&name));
            let path = format!("{path}/{text}");
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
            let name = OsStr::from_bytes(&name);
            if !name.as_bytes().iter().all(plain) || name.as_bytes().starts_with(b".") {
                self.left.push(path);
            } else if kind == Some(Type::Directory) {
                self.folder(open_folder(&folder, name)?, &path, depth + 1)?;
            } else if kind == Some(Type::File) && text.ends_with(".rs") {
                self.file(&folder, name, path)?;
            } else {
                self.left.push(path);
            }
        }
        Ok(())
    }

    fn file(&mut self, folder: &Dir, name: &OsStr, path: String) -> Result<(), Refusal> {
        let because = |why: io::Error| Refusal::Because(format!("read {path}: {why}"));
        // A FIFO of that name since then would be waited for.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(folder, name, flags, Mode::empty()).map_err(|why| because(why.into()))?;
        let file = File::from(file);
        if !file.metadata().map_err(because)?.is_file() {
            return Err(Refusal::Because(format!("{path} is no regular file")));
        }
        let mut text = Vec::new();
        let room = MOST_BYTES - self.bytes;
        file.take(room as u64 + 1).read_to_end(&mut text).map_err(because)?;
        if text.len() > room || self.sources.len() == MOST_FILES {
            let kib = MOST_BYTES / 1024;
            return Err(Refusal::Because(format!(
                "its files are more than {kib} KiB, or more than {MOST_FILES}"
            )));
        }
        self.bytes += text.len();
        let text = String::from_utf8(text)
            .map_err(|_| Refusal::Because(format!("{path} is no text in UTF-8")))?;
        self.sources.insert(path, text);
        Ok(())
    }
}

/// Opens a folder in a folder, and no link to one.
fn open_folder(folder: &Dir, name: &OsStr) -> Result<Dir, Refusal> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let because = |why: &str| Refusal::Because(format!("{}: {why}", shown(name)));
    Dir::openat(folder, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOENT => Refusal::Missing,
        // Of a link too, with O_DIRECTORY.
        Errno::ENOTDIR | Errno::ELOOP => because("a link or a file, where a folder has to be"),
        errno => because(errno.desc()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_name_is_shown_in_one_line_and_no_two_alike() {
        let shown = |name: &[u8]| shown(OsStr::from_bytes(name));
        assert_eq!(shown("Jürgen O'Hara".as_bytes()), "Jürgen O'Hara");
        assert_eq!(shown(b"a\nb\x1b[31m"), r"a\nb\u{1b}[31m");
        assert_eq!([shown(b"a\\nb"), shown(b"a\xffb")], [r"a\\nb", r"a\xffb"]);
        assert_eq!(shown("a\u{202e}b".as_bytes()), r"a\u{202e}b");
    }

    /// A submission, changed.
    fn taken(change: impl Fn(&Path)) -> Taken {
        let class = tempfile::tempdir().unwrap();
        let own = class.path().join("student/no-zombies");
        fs::create_dir_all(own.join("src/net")).unwrap();
        for file in ["src/main.rs", "src/net/mod.rs"] {
            fs::write(own.join(file), "fn main() {}").unwrap();
        }
        change(&own);
        take(class.path(), OsStr::new("student"), "no-zombies")
    }

    fn refused(change: impl Fn(&Path), why: &str) {
        let taken = taken(change);
        assert!(matches!(&taken, Taken::Refused(said) if said.contains(why)), "{why}: {taken:?}");
    }

    #[test]
    fn source_files_are_taken_and_what_else_is_there_is_named() {
        let Taken::Sources(sources, left) = taken(|own| {
            fs::write(own.join("build.rs"), "").unwrap();
            fs::write(own.join("Cargo.toml"), "").unwrap();
            fs::write(own.join("src/notes.txt"), "").unwrap();
            fs::write(own.join("src/a b.rs"), "").unwrap();
            symlink("/etc/shadow", own.join("src/secret.rs")).unwrap();
            mkfifo(&own.join("src/pipe.rs"), Mode::S_IRWXU).unwrap();
        }) else {
            panic!("not taken")
        };
        assert_eq!(sources.keys().collect::<Vec<_>>(), ["src/main.rs", "src/net/mod.rs"]);
        let others = ["build.rs", "src/a b.rs", "src/notes.txt", "src/pipe.rs", "src/secret.rs"];
        assert_eq!(left, others);
    }

    #[test]
    fn what_is_no_submission_is_refused_with_its_reason() {
        let remove = |own: &Path| fs::remove_dir_all(own.join("src")).unwrap();
        refused(remove, "no folder src");
        refused(|own| fs::remove_file(own.join("src/main.rs")).unwrap(), "no file src/main.rs");
        refused(
            |own| {
                remove(own);
                symlink("/usr/src", own.join("src")).unwrap();
            },
            "src: a link",
        );
        refused(
            |own| {
                fs::rename(own, own.with_extension("away")).unwrap();
                symlink(own.with_extension("away"), own).unwrap();
            },
            "no-zombies: a link",
        );
        refused(
            |own| fs::write(own.join("src/big.rs"), vec![b' '; MOST_BYTES]).unwrap(),
            "200 KiB",
        );
        refused(|own| fs::write(own.join("src/binary.rs"), [0xff]).unwrap(), "UTF-8");
        let many = |own: &Path| {
            (0..MOST_FILES).for_each(|n| fs::write(own.join(format!("src/{n}.rs")), "").unwrap());
        };
        refused(many, "more than 64");
        refused(|own| fs::create_dir_all(own.join("src/a/b/c/d/e/f/g/h")).unwrap(), "folders deep");
        let missing = taken(|own| fs::remove_dir_all(own).unwrap());
        assert!(matches!(missing, Taken::Missing), "{missing:?}");
    }
}
