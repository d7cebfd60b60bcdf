//! Recording for a picture: every program that the harness starts runs under strace, each with a file.
//!
//! All files share one clock. strace stamps a call at its entry, before the kernel acts, and at its exit,
//! after it acted: so the entry of a `send` is before the exit of the `recv` that returns its bytes.
//!
//! A recorded call takes some 0.04 ms more: the median round trip of `echo-load` with `poll-echo` was 0.02 ms,
//! and 0.13 ms with the server recorded. A `poll` of many sockets takes much more, since each is named.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::run::Run;
use crate::tool::Skip;

/// How strace is called, but for its output: a call that nothing interrupted is one line with its times,
/// and a descriptor has its addresses beside it.
pub const OPTIONS: &[&str] = &[
    "-f",
    "-a",
    "1",
    "-s",
    "256",
    "-yy",
    "--absolute-timestamps=format:unix,precision:ns",
    "--syscall-times=ns",
];

/// The calls that a picture is made from. A processor that lacks one (`poll`, `fork`) is no error.
const CALLS: &str = "trace=%network,%process,?kill,?tgkill,?pidfd_send_signal,?signalfd,?signalfd4,\
?poll,?ppoll,?select,?pselect6,?epoll_create,?epoll_create1,?epoll_ctl,?epoll_wait,?epoll_pwait,\
?epoll_pwait2,read,write,readv,writev,?sendfile,?splice,close,?close_range,dup,?dup2,dup3,fcntl,\
?io_uring_enter,futex,clock_nanosleep";

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// From now on every program that is started runs under strace, which writes to a file of `folder`.
/// Once in the life of this process.
pub fn begin(folder: &Path) {
    // A second folder would split one story.
    let _ = FOLDER.set(folder.to_owned());
}

/// Whether programs are recorded.
pub(crate) fn is_on() -> bool {
    FOLDER.get().is_some()
}

/// The file of the next program; `None` where nothing is recorded.
pub(crate) fn next() -> Option<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = FOLDER.get()?;
    let file = folder.join(format!("{:03}.strace", COUNT.fetch_add(1, Ordering::Relaxed)));
    create(&file).unwrap_or_else(|why| panic!("create {}: {why}", file.display()));
    Some(file)
}

/// The options of strace, `--` included.
pub(crate) fn options(file: &Path) -> Vec<OsString> {
    // -DD: the process id stays the program's own, and strace, which has another process group, is not
    // killed together with it.
    let words = ["-DD"].iter().chain(OPTIONS).chain(&["-e", CALLS, "-o"]);
    let mut options: Vec<OsString> = words.map(Into::into).collect();
    options.extend([file.into(), "--".into()]);
    options
}

/// A file that strace can write whatever user the program runs as.
fn create(file: &Path) -> io::Result<()> {
    File::create_new(file)?;
    fs::set_permissions(file, Permissions::from_mode(0o666))
}

/// Tries the very command on `true`, its trace going to a file of `folder`.
///
/// # Errors
/// What strace said, in one line, with what helps.
pub fn probe(folder: &Path) -> Result<(), String> {
    let version = std::process::Command::new("strace").arg("--version").output();
    let Ok(version) = version else { return Err("needs strace, which is not installed".into()) };
    let run = Run::program("strace").args(options(&folder.join("probe"))).arg("true");
    let finished = run.unrecorded().finish();
    let _ = fs::remove_file(folder.join("probe"));
    if finished.status.success() {
        return Ok(());
    }
    let said = finished.stderr_text();
    let why = said.lines().next().unwrap_or("strace failed").to_owned();
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.lines().next().unwrap_or_default();
    Err(if why.contains("ptrace") || why.contains("attach") {
        format!(
            "cannot use {why} (in a container: --cap-add=SYS_PTRACE; otherwise see kernel.yama.ptrace_scope)"
        )
    } else {
        format!("cannot use {why} ({version})")
    })
}

/// The calls of `trace=%network` that a story may ask for.
const NETWORK: [&str; 18] = [
    "socket",
    "socketpair",
    "bind",
    "connect",
    "listen",
    "accept",
    "accept4",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "recvmmsg",
    "shutdown",
    "getsockopt",
    "setsockopt",
    "getsockname",
    "getpeername",
];

/// The names in `trace=sendto,?io_uring_enter`, where a recording has all of these calls.
pub(crate) fn names(expressions: &[&str]) -> Option<Vec<String>> {
    let [expression] = expressions else { return None };
    let wanted = expression.strip_prefix("trace=")?.split(',');
    let wanted: Vec<&str> = wanted.map(|name| name.trim_start_matches('?')).collect();
    let recorded = || CALLS.trim_start_matches("trace=").split(',');
    let has = |name: &&str| {
        NETWORK.contains(name) || recorded().any(|known| known.trim_start_matches('?') == *name)
    };
    wanted.iter().all(has).then(|| wanted.iter().map(|&name| name.to_owned()).collect())
}

/// How the reason begins for which a scenario stops that is not drawn ([`crate::Stopped::Missing`]).
pub const NO_PICTURE: &str = "no picture: ";

/// Ends such a scenario.
pub(crate) fn refuse_second_tracer() -> ! {
    let why = "its programs run under strace already, and a process has one tracer";
    std::panic::resume_unwind(Box::new(Skip { reason: format!("{NO_PICTURE}{why}") }))
}
