//! What a test needs beyond Rust, and how it says that it went without.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::descriptors;
use crate::evidence;
use crate::link::Link;
use crate::other_user;
use crate::run::Run;
use crate::sys;

/// A tool or a right that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// strace, and that tracing is allowed.
    Strace,
    /// strace, and that it may attach to a process that runs: ptrace(2), the files of yama.
    Attach,
    /// socat.
    Socat,
    /// ncat of nmap.
    Ncat,
    /// tcpserver of ucspi-tcp.
    Tcpserver,
    /// The compiler of Go.
    Go,
    /// Python 3.
    Python3,
    /// curl.
    Curl,
    /// Chromium, without a window.
    Chromium,
    /// mdBook.
    Mdbook,
    /// jq.
    Jq,
    /// chronyd, a server and client of the time.
    Chronyd,
    /// The ntpd of NTPsec; the classic one has other directives for its limits.
    Ntpd,
    /// A C compiler.
    Cc,
    /// The same with musl in place of glibc.
    MuslGcc,
    /// unshare(1) into a user and a network namespace.
    UserNamespace,
    /// The same with files of /etc replaced: [`Run::inside`].
    OwnNames,
    /// nsenter(1), to enter the namespaces of a process: [`Run::beside`].
    Nsenter,
    /// getent.
    Getent,
    /// A services file that knows http and ntp: a machine with only Rust may have none.
    Services,
    /// nginx.
    Nginx,
    /// lighttpd.
    Lighttpd,
    /// The httpd of busybox.
    Busybox,
    /// wrk, a load for web servers.
    Wrk,
    /// unshare(1) into a pid namespace, as its process 1.
    PidNamespace,
    /// bubblewrap, and the namespaces that it makes.
    Bwrap,
    /// io_uring, which a kernel may lack, and a sysctl or a container forbid.
    IoUring,
    /// prlimit(1), to change the limits of a running process.
    Prlimit,
    /// Copying a descriptor out of a child, pidfd_getfd(2).
    PidfdGetfd,
    /// Two network namespaces and a veth pair: [`crate::Link`].
    Link,
    /// Running under another user, which takes root.
    OtherUser,
    /// So many descriptors that this process has open at once.
    Descriptors(u64),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Strace => "strace",
            Self::Attach => "strace -p (kernel.yama.ptrace_scope=0, or root)",
            Self::Socat => "socat",
            Self::Ncat => "ncat",
            Self::Tcpserver => "tcpserver",
            Self::Go => "go",
            Self::Python3 => "python3",
            Self::Curl => "curl",
            Self::Chromium => "chromium",
            Self::Mdbook => "mdbook",
            Self::Jq => "jq",
            Self::Chronyd => "chronyd",
            Self::Ntpd => "ntpd of NTPsec",
            Self::Cc => "cc",
            Self::MuslGcc => "musl-gcc",
            Self::UserNamespace => "user namespaces",
            Self::OwnNames => "user namespaces, and the files of tests/etc in /etc",
            Self::Nsenter => "nsenter",
            Self::Getent => "getent",
            Self::Services => "http and ntp in /etc/services",
            Self::Nginx => "nginx",
            Self::Lighttpd => "lighttpd",
            Self::Busybox => "busybox with httpd",
            Self::Wrk => "wrk",
            Self::PidNamespace => "pid namespaces",
            Self::Bwrap => "bwrap, and the namespaces that it makes",
            Self::IoUring => "io_uring",
            Self::Prlimit => "prlimit",
            Self::PidfdGetfd => "pidfd_getfd",
            Self::Link => "user namespaces, ip, nsenter, and a pair of veth",
            Self::OtherUser => "root, to run under another user",
            Self::Descriptors(count) => {
                let hard = descriptors::raise();
                return write!(
                    f,
                    "{count} open descriptors; the hard limit (ulimit -Hn) is {hard}"
                );
            }
        };
        f.write_str(what)
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// `needs strace`.
    pub reason: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Whether this machine has it. It is really tried, once: strace may be installed and ptrace forbidden.
///
/// # Errors
/// [`Skip`] when it has not; with [`require_all`] the caller makes that a failure.
pub fn need(need: Need) -> Result<(), Skip> {
    static TRIED: Mutex<BTreeMap<Need, bool>> = Mutex::new(BTreeMap::new());
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    let works = *tried.entry(need).or_insert_with(|| works(need));
    if works { Ok(()) } else { Err(Skip { reason: format!("needs {need}") }) }
}

/// Whether a skip is a failure: `REQUIRE_ALL=1` in the environment, or `REQUIRE_ALL=user`, with which only
/// what takes root may be skipped ([`require_root`]).
pub fn require_all() -> bool {
    require_root() || env::var("REQUIRE_ALL").is_ok_and(|value| value == "user")
}

/// Whether to skip what takes root is a failure too: `REQUIRE_ALL=1`.
pub fn require_root() -> bool {
    env::var("REQUIRE_ALL").is_ok_and(|value| value == "1")
}

fn works(need: Need) -> bool {
    match need {
        Need::Strace => succeeds("strace -f -o /dev/null true"),
        Need::Attach => attaches(),
        Need::Socat => succeeds("socat -V"),
        Need::Ncat => succeeds("ncat --version"),
        // It has nothing to ask for that would end with 0.
        Need::Tcpserver => succeeds("command -v tcpserver"),
        Need::Go => succeeds("go version"),
        Need::Python3 => succeeds("python3 --version"),
        Need::Curl => succeeds("curl --version"),
        Need::Chromium => succeeds("chromium --version"),
        Need::Mdbook => succeeds("mdbook --version"),
        Need::Jq => succeeds("jq --version"),
        Need::Chronyd => succeeds("chronyd --version"),
        Need::Ntpd => succeeds("ntpd --version | grep -q ntpsec"),
        Need::Cc => succeeds("cc --version"),
        Need::MuslGcc => succeeds("musl-gcc --version"),
        Need::UserNamespace => succeeds("unshare --user --map-root-user --net true"),
        Need::OwnNames => {
            Run::program("true").inside("tests/etc").unrecorded().finish().status.success()
        }
        Need::Nsenter => succeeds("nsenter --version"),
        Need::Getent => succeeds("getent services 80/tcp"),
        Need::Nginx => succeeds("nginx -v"),
        Need::Lighttpd => succeeds("lighttpd -v"),
        Need::Busybox => succeeds("busybox --list | grep -qx httpd"),
        // It ends with 1 when it is asked for its version.
        Need::Wrk => succeeds("command -v wrk"),
        Need::Services => {
            let file = std::fs::read_to_string("/etc/services").unwrap_or_default();
            let has = |entry: [&str; 2]| {
                file.lines().any(|line| line.split_whitespace().take(2).eq(entry))
            };
            has(["http", "80/tcp"]) && has(["ntp", "123/udp"])
        }
        Need::PidNamespace => {
            succeeds("unshare --user --map-root-user --pid --fork --mount-proc true")
        }
        Need::Bwrap => succeeds(
            "unshare --user --map-root-user --net bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc true",
        ),
        // The kernel takes a ring down some time after its close, and interrupts the thread that
        // made it: a call of the test that blocks just then would fail with EINTR.
        Need::IoUring => {
            std::thread::spawn(|| sys::io_uring_setup().is_ok()).join().unwrap_or(false)
        }
        Need::Prlimit => succeeds("prlimit --nofile true"),
        Need::PidfdGetfd => {
            let child = Run::program("sleep").arg("60").unrecorded().start();
            sys::pidfd_getfd(child.pid(), 0).is_ok()
        }
        Need::Link => Link::start().is_ok(),
        Need::Descriptors(count) => descriptors::raise() >= count,
        Need::OtherUser => nix::unistd::geteuid().is_root() && other_user::works(),
    }
}

/// Whether strace attaches to a process that is no child of its own.
fn attaches() -> bool {
    if !works(Need::Strace) {
        return false;
    }
    let traced = Run::program("sleep").arg("60").start();
    let pid = traced.pid();
    let strace = Run::program("strace").args(["-o", "/dev/null", "-p", &pid.to_string()]).start();
    let attached = || match evidence::tracer(pid) {
        Some(tracer) if tracer == strace.pid() => Some(true),
        _ => (!strace.still_running()).then_some(false),
    };
    evidence::wait_until(Duration::from_secs(5), attached) == Some(true)
}

fn succeeds(command: &str) -> bool {
    // Asked by the shell, so that a program that is not there is an exit code too.
    let probe = Run::program("sh").args(["-c", command]).deadline(Duration::from_secs(5));
    probe.unrecorded().finish().status.success()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strace_is_there_when_it_can_trace() {
        let output = std::process::Command::new("strace").arg("true").output();
        let traces = output.is_ok_and(|output| output.status.success());
        assert_eq!(need(Need::Strace).is_ok(), traces);
    }

    #[test]
    fn a_program_that_is_absent_does_not_work() {
        assert!(!succeeds("no-such-program --version"));
    }
}
