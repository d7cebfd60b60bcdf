//! stale-path: a server on a path in the file system takes the path that a dead one has left, and no other.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Process, Signal, evidence};
use tempfile::TempDir;

use super::service::with_end;
use super::{Check, Exercise, Fault, Subject, shown};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "stale-path",
    recipe: "unix-echo",
    args: &["{path}"],
    checks: &[
        Check {
            id: "again",
            statement: "a server that was killed starts again at the same path",
            run: again,
        },
        Check {
            id: "alone",
            statement: "while a server listens at the path, a second one ends, and leaves it alone",
            run: alone,
        },
        Check {
            id: "just-starting",
            statement: "a server that is bound and does not listen yet keeps its path",
            run: just_starting,
        },
        Check {
            id: "no-socket",
            statement: "a file that is no socket is left as it is",
            run: no_socket,
        },
        Check {
            id: "mode",
            statement: "from the first moment only the user of the server may connect",
            run: mode,
        },
        Check {
            id: "clean-end",
            statement: "after SIGTERM it ends with 0; its path is gone, and another server's is not",
            run: clean_end,
        },
    ],
};

/// How long a program may take until it listens, or gives up.
const START: Duration = Duration::from_secs(5);

/// How long anything else may take.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// What shows by hand that the path is taken.
const BY_HAND: &[&str] = &[
    "sleep 1; kill -9 %1; ls -l echo.sock   # nobody listens there any more",
    "strace -e trace=openat,flock,connect,unlink,bind cargo run -- echo.sock",
];

/// A folder with a path for a server.
struct Place {
    folder: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Result<Place, Fault> {
        let folder = tempfile::tempdir().map_err(broken("make a folder"))?;
        let path = folder.path().join("echo.sock");
        Ok(Place { folder, path })
    }

    /// The same with a path that a dead server has left.
    fn stale() -> Result<Place, Fault> {
        let place = Place::new()?;
        drop(UnixListener::bind(&place.path).map_err(broken("bind"))?);
        Ok(place)
    }

    /// The number of the file at the path.
    fn inode(&self) -> Option<u64> {
        fs::symlink_metadata(&self.path).ok().map(|file| file.ino())
    }

    /// The same, and from now on no other file gets this number, although this one is removed: it has a second name.
    fn keep_inode(&self) -> Result<Option<u64>, Fault> {
        fs::hard_link(&self.path, self.folder.path().join("second name"))
            .map_err(broken("link"))?;
        Ok(self.inode())
    }
}

fn broken(what: &'static str) -> impl Fn(std::io::Error) -> Fault {
    move |why| Fault::Broken(format!("{what}: {why}"))
}

/// A server under test at a path.
struct Local<'a> {
    process: Process,
    path: &'a Path,
}

impl<'a> Local<'a> {
    /// Starts it.
    fn start(subject: &Subject, place: &'a Place) -> Result<Local<'a>, Fault> {
        let path = place.path.to_string_lossy();
        // It is not told of a port.
        let process =
            subject.with("{path}", path).start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Local { process, path: &place.path })
    }

    /// Starts it, and waits until it listens.
    fn serve(subject: &Subject, place: &'a Place) -> Result<Local<'a>, Fault> {
        Local::start(subject, place)?.ready()
    }

    fn ready(self) -> Result<Local<'a>, Fault> {
        let listens = || match self.listens() {
            true => Some(true),
            false => (!self.process.still_running()).then_some(false),
        };
        if evidence::wait_until(START, listens) == Some(true) {
            return Ok(self);
        }
        let expected = format!("within {} s it listens at the path", START.as_secs());
        Err(self.wrong(&expected, "it does not", "/proc/net/unix"))
    }

    /// Whether it, or what it has started, has a socket that listens at the path.
    fn listens(&self) -> bool {
        let owners = evidence::unix_listener_owners(self.path);
        let pid = self.process.pid();
        let below = || evidence::descendants(pid);
        owners.iter().any(|(owner, _)| *owner == pid)
            || (!owners.is_empty() && below().iter().any(|pid| owners.iter().any(|o| o.0 == *pid)))
    }

    /// It serves a new client.
    fn serves(&self, line: &[u8]) -> Result<(), Fault> {
        let echo = || {
            let mut stream = UnixStream::connect(self.path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            stream.write_all(line)?;
            let mut back = vec![0; line.len()];
            stream.read_exact(&mut back)?;
            Ok::<_, std::io::Error>(back)
        };
        let got = match echo() {
            Ok(back) if back == line => return Ok(()),
            Ok(back) => shown(&back),
            Err(why) => why.to_string(),
        };
        let expected = format!("a new client sends {}, and it comes back", shown(line));
        Err(self.wrong(&expected, &got, "connect, send, recv"))
    }

    /// It does not serve, and says so with its exit code.
    fn gives_up(&self, why: &str) -> Result<(), Fault> {
        let expected = format!("it ends, and not with 0: {why}");
        let got = match self.process.wait(START) {
            Some(status) if !status.success() => return Ok(()),
            Some(status) => status.to_string(),
            None if self.listens() => "it listens at the path".to_owned(),
            None => "it still runs".to_owned(),
        };
        Err(self.wrong(&expected, &got, "/proc/net/unix"))
    }

    fn wrong(&self, expected: &str, got: &str, evidence: &str) -> Fault {
        with_end(&self.process, Fault::wrong(expected, got, evidence))
    }
}

fn again(subject: &Subject) -> Result<String, Fault> {
    let place = Place::new()?;
    let first = Local::serve(subject, &place).map_err(|mut fault| {
        if let Fault::Wrong(wrong) = &mut fault {
            wrong.not_ready = true; // nothing was in its way
        }
        fault
    })?;
    first.serves(&subject.line(1))?;
    first.process.signal(Signal::SIGKILL);
    first.process.wait(TIMEOUT);
    let second = Local::serve(subject, &place).map_err(|fault| fault.again(BY_HAND))?;
    second.serves(&subject.line(2))?;
    Ok("killed, and started again".to_owned())
}

fn alone(subject: &Subject) -> Result<String, Fault> {
    let place = Place::stale()?;
    let first = Local::serve(subject, &place)?;
    let inode = place.keep_inode()?;
    Local::start(subject, &place)?.gives_up("the first one listens there")?;
    if place.inode() != inode {
        let got = "it is another one, or gone";
        return Err(first.wrong("the file of the first server is still there", got, "lstat"));
    }
    first.serves(&subject.line(1))?;
    // A server that knows nothing of locks.
    let place = Place::new()?;
    let _foreign = UnixListener::bind(&place.path).map_err(broken("bind"))?;
    let inode = place.keep_inode()?;
    let second = Local::start(subject, &place)?;
    second.gives_up("another program listens there")?;
    if place.inode() != inode {
        let got = "it is another one, or gone";
        return Err(second.wrong("the file of that program is still there", got, "lstat"));
    }
    Ok("the first one has its file, and serves".to_owned())
}

fn just_starting(subject: &Subject) -> Result<String, Fault> {
    let place = Place::stale()?;
    let inode = place.keep_inode()?;
    let path = place.path.to_string_lossy();
    // Between bind and listen, where a connect is refused as by a dead server's socket.
    let slow = ["trace=listen", "inject=listen:delay_enter=700000"];
    let (first, _trace) = subject.with("{path}", path).start_traced(&slow)?;
    let first = Local { process: first, path: &place.path };
    let is_bound = || (place.inode().is_some() && place.inode() != inode).then_some(());
    if evidence::wait_until(START, is_bound).is_none() {
        return Err(first.wrong(
            "it binds to the path that a dead server has left",
            "it does not",
            "",
        ));
    }
    Local::start(subject, &place)?
        .gives_up("another one has bound to the path, and will listen")?;
    let first = first.ready()?;
    first.serves(&subject.line(1))?;
    Ok("the one that was first serves".to_owned())
}

fn no_socket(subject: &Subject) -> Result<String, Fault> {
    let place = Place::new()?;
    let text = subject.line(1);
    fs::write(&place.path, &text).map_err(broken("write a file"))?;
    let server = Local::start(subject, &place)?;
    server.gives_up("at the path is a file that is no socket")?;
    let left = fs::read(&place.path).unwrap_or_default();
    if left != text {
        let expected = format!("the file still has {}", shown(&text));
        return Err(server.wrong(&expected, &shown(&left), "read"));
    }
    let place = Place::stale()?;
    Local::serve(subject, &place)?.serves(&subject.line(2))?;
    Ok("the file is as it was; a socket of a dead server was taken".to_owned())
}

fn mode(subject: &Subject) -> Result<String, Fault> {
    let place = Place::stale()?;
    let path = place.path.to_string_lossy();
    // So that a mode that is set afterwards comes late enough to see the one before.
    let slow = ["trace=chmod,fchmod,fchmodat", "inject=chmod,fchmod,fchmodat:delay_enter=300000"];
    let (process, _trace) = subject.with("{path}", path).start_traced(&slow)?;
    let server = Local { process, path: &place.path }.ready()?;
    let mode = fs::symlink_metadata(&place.path).map(|file| file.permissions().mode() & 0o777);
    match mode {
        Ok(0o600) => {
            server.serves(&subject.line(1))?;
            Ok("600 when it began to listen".to_owned())
        }
        Ok(mode) => {
            let got = format!("{mode:o}");
            Err(server.wrong("mode 600 when it begins to listen", &got, "lstat of the path"))
        }
        Err(why) => Err(server.wrong("a file at the path", &why.to_string(), "lstat")),
    }
}

fn clean_end(subject: &Subject) -> Result<String, Fault> {
    let ends = |server: &Local| {
        server.process.signal(Signal::SIGTERM);
        let expected = format!("after SIGTERM it ends with 0 within {} ms", TIMEOUT.as_millis());
        match server.process.wait(TIMEOUT) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(server.wrong(&expected, &status.to_string(), "")),
            None => Err(server.wrong(&expected, "it still runs", "")),
        }
    };
    let place = Place::stale()?;
    let server = Local::serve(subject, &place)?;
    ends(&server)?;
    if place.inode().is_some() {
        return Err(server.wrong("its path is gone", "the file is still there", "lstat"));
    }
    let server = Local::serve(subject, &place)?;
    fs::remove_file(&place.path).map_err(broken("unlink"))?;
    let _other = UnixListener::bind(&place.path).map_err(broken("bind"))?;
    let inode = place.keep_inode()?;
    ends(&server)?;
    if place.inode() != inode {
        let expected = "the file of another server, which has the path by now, is still there";
        return Err(server.wrong(expected, "it is gone", "lstat"));
    }
    Ok("its own file is gone, that of another server is left".to_owned())
}
