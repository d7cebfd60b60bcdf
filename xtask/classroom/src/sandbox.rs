//! A place in which a program may do what it wants: bubblewrap (bwrap(1)) around it.
//!
//! A check needs the same network as the program, and nothing else of it. So the process that runs the check
//! moves into a network of its own that has loopback only ([`namespace::own_network`]); bwrap, below it,
//! makes all other namespaces, and a process 1 in them that does nothing ([`Holder`]); each start of the
//! program enters them ([`crate::enter`]). The check stays outside: /proc, pidfd_getfd and strace show it
//! the program, and the program sees no process but its own. When process 1 ends, all in there ends.
//!
//! [`namespace::own_network`]: netcheck::namespace::own_network

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Process, Run, evidence};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::enter;

/// Who a program in a sandbox is; outside, it is the one who started it.
const INSIDE: &str = "1000";

/// How long a sandbox may take to be there.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How much can be written in /tmp, and in /dev/shm: both are memory.
const WRITABLE: [(&str, u64); 2] = [("/tmp", 256 << 20), ("/dev/shm", 16 << 20)];

/// Programs and libraries of the system.
const SYSTEM: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What they read: names of hosts, services and zones, the places of libraries, which `cc` is meant.
const SETTINGS: &[&str] = &[
    "/etc/alternatives",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/services",
];

/// What a program in a sandbox gets to see, beside the programs and libraries of the system.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// Files and folders of this machine, and their places in there. None can be written.
    pub shown: Vec<(PathBuf, PathBuf)>,
    /// Folders that are empty in there, if they are there at all.
    pub hidden: Vec<PathBuf>,
    /// Whether this bwrap can forbid user namespaces in there: since 0.8.
    pub forbids_users: bool,
}

impl Sandbox {
    /// The same, with one more to see.
    #[must_use]
    pub fn show(mut self, outside: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Sandbox {
        self.shown.push((outside.into(), inside.into()));
        self
    }

    /// bwrap with its options; a command is to be added, which has the network of this process.
    pub fn bwrap(&self) -> Run {
        let mut run = Run::program("bwrap").args([
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--uid",
            INSIDE,
            "--gid",
            INSIDE,
            "--hostname",
            "sandbox",
            "--cap-drop",
            "ALL",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
        ]);
        for (name, value) in enter::ENVIRONMENT {
            run = run.args(["--setenv", name, value]);
        }
        if self.forbids_users {
            run = run.arg("--disable-userns");
        }
        run = run.args(["--ro-bind", "/usr", "/usr"]);
        for &place in SYSTEM {
            run = match (fs::read_link(place), fs::metadata(place)) {
                (Ok(link), _) => run.arg("--symlink").arg(link).arg(place),
                (Err(_), Ok(_)) => run.args(["--ro-bind", place, place]),
                (Err(_), Err(_)) => run,
            };
        }
        for &file in SETTINGS {
            run = run.args(["--ro-bind-try", file, file]);
        }
        let seen = |folder: &&PathBuf| folder.starts_with("/usr") && folder.is_dir();
        for folder in self.hidden.iter().filter(seen) {
            run = run.arg("--tmpfs").arg(folder);
        }
        run = run.args(["--proc", "/proc", "--dev", "/dev"]);
        for (place, bytes) in WRITABLE {
            run = run.args(["--size", &bytes.to_string(), "--tmpfs", place]);
        }
        for (outside, inside) in &self.shown {
            run = run.arg("--ro-bind").arg(outside).arg(inside);
        }
        run.args(["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"])
    }
}

/// The process 1 of a sandbox. Dropped, it ends, and all that is in there with it.
#[derive(Debug)]
pub struct Holder {
    bwrap: Process,
    pid: i32,
}

impl Holder {
    /// Makes the namespaces.
    ///
    /// # Errors
    /// What bwrap says.
    pub fn start(sandbox: &Sandbox) -> Result<Holder, String> {
        // Children without a parent come to it: the kernel removes them, since it ignores SIGCHLD.
        let script = "echo ready; exec env --ignore-signal=CHLD sleep infinity";
        let mut bwrap = sandbox.bwrap().args(["--as-pid-1", "--", "sh", "-c", script]).start();
        let is_ready = bwrap.next_line(START_TIMEOUT).as_deref() == Some("ready");
        let below = evidence::descendants(bwrap.pid());
        match below.last() {
            Some(&pid) if is_ready => Ok(Holder { bwrap, pid }),
            _ => {
                bwrap.wait(Duration::from_secs(1));
                Err(format!("bwrap: {}", bwrap.stderr().trim_end()))
            }
        }
    }

    /// The words that start a command in there.
    ///
    /// # Errors
    /// This program has no path.
    pub fn wrapper(&self) -> io::Result<Vec<String>> {
        let own = env::current_exe()?.to_string_lossy().into_owned();
        Ok(vec![own, enter::NAME.to_owned(), self.pid.to_string()])
    }

    /// Whether it is there: nothing in it can end it.
    pub fn is_there(&self) -> bool {
        self.bwrap.still_running()
    }
}

/// Makes this process, which must have one thread, that user for good. Each of `shown` is a folder that this
/// user may not reach, and an empty one in which it shows for this process and those below it.
///
/// # Errors
/// EPERM without the rights of root.
pub fn become_user(id: u32, shown: &[(&Path, &Path)]) -> io::Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted here is not to be seen outside.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for (folder, place) in shown {
        mount(Some(*folder), *place, none, MsFlags::MS_BIND, none)?;
    }
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    Ok(())
}
