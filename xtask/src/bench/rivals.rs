//! The servers that are compared: how each is built, and started on the CPU that all of them share.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Need, Process, Run, evidence, need, workspace};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// The C servers: what those of the same kind are divided by.
pub(super) const C_FORK: &str = "C fork";
pub(super) const C_PREFORK: &str = "C prefork";
pub(super) const C_THREAD: &str = "C thread";
pub(super) const C_EPOLL: &str = "C epoll";

/// As `cc -static` links: without it the loader of a position-independent program writes to pages
/// that each fork has then to copy.
const STATIC: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// The forking C server linked -static: what the static builds are divided by.
const C_STATIC: &str = "C fork, static";

const SOCAT: &str = "socat";

/// How long a rival may take from its start until it listens.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A server that can be started any number of times.
pub(super) struct Rival {
    /// The name in the report.
    pub(super) name: &'static str,
    /// The rival whose rates its own are divided by: the C server of the same kind and linkage.
    pub(super) baseline: &'static str,
    /// How many clients at once it is asked to hold at most.
    pub(super) clients: u16,
    program: PathBuf,
    args: Vec<OsString>,
}

/// A program and its arguments.
type Command = (PathBuf, Vec<OsString>);

/// A rival that this machine cannot run: its name, and what it needs.
pub(super) type Missing = (&'static str, String);

/// The servers of the ladder: their names, their baselines, and how many clients they are asked to
/// hold, by which option. Several thousand processes or threads are not what they are for.
const LADDER: [(&str, &str, u16, &[&str]); 8] = [
    ("echo-server", C_FORK, 1, &[]),
    ("forking-echo", C_FORK, 1_000, &["--max-children", "1100"]),
    ("prefork-echo", C_PREFORK, 64, &["--workers", "64"]),
    ("threaded-echo", C_THREAD, 1_000, &["--max-clients", "1100"]),
    ("poll-echo", C_EPOLL, 10_000, &["--max-clients", "11000"]),
    ("epoll-echo", C_EPOLL, 10_000, &["--max-clients", "11000"]),
    ("epoll-echo --edge", C_EPOLL, 10_000, &["--max-clients", "11000", "--edge"]),
    ("uring-echo", C_EPOLL, 10_000, &["--max-clients", "11000"]),
];

/// Whether it is one of the ladder, in whatever build.
pub(super) fn is_ours(name: &str) -> bool {
    LADDER.iter().any(|(ours, ..)| name.starts_with(ours))
}

/// Everything that can be measured here.
pub(super) struct Field {
    pub(super) rivals: Vec<Rival>,
    pub(super) missing: Vec<Missing>,
    /// The client.
    pub(super) echo_load: PathBuf,
}

/// Builds and finds every rival.
///
/// # Errors
/// Our own servers, or the client, cannot be built. Any other one is [`Missing`].
pub(super) fn find() -> Result<Field, String> {
    let echo_load = build("echo-load", &[], "")?;
    let folder = folder(&echo_load)?;
    let mut candidates: Vec<(_, _, _, Result<Command, String>)> = Vec::new();
    for (name, baseline, clients, options) in LADDER {
        let package = name.split(' ').next().unwrap_or(name);
        let program = build(package, &[], "")?;
        candidates.push((name, baseline, clients, Ok(ours(program, options))));
    }
    let source = |file: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("bench").join(file);
    let c = |name: &str, linkage: &[&str]| {
        need(Need::Cc).map_err(|skip| skip.reason)?;
        let program = folder.join(format!("{name}{}", linkage.concat()));
        let cc = Run::program("cc").args(["-O2", "-pthread"]).args(linkage).arg("-o").arg(&program);
        output_of(cc.arg(source(&format!("{name}.c"))))?;
        Ok((program, Vec::new()))
    };
    let python = |file: &str| {
        need(Need::Python3).map_err(|skip| skip.reason)?;
        Ok(("python3".into(), vec![source(file).into_os_string()]))
    };
    let socat = |address: &str| {
        need(Need::Socat).map_err(|skip| skip.reason)?;
        Ok((SOCAT.into(), vec![address.into()]))
    };
    // A folder of their own: with other flags in the same one, each build would undo the last.
    let target_dir = format!("--target-dir={}", folder.display());
    let static_build = |libc, rustflags| {
        let triple = format!("{}-unknown-linux-{libc}", env::consts::ARCH);
        has_target(&triple)?;
        let program = build("forking-echo", &["--target", &triple, &target_dir], rustflags)?;
        Ok(ours(program, &["--max-children", "1100"]))
    };
    let tokio = || {
        let manifest = source("tokio_echo/Cargo.toml");
        cargo(&manifest, &[&target_dir], "").map(|program| (program, Vec::new()))
    };
    candidates.extend([
        (C_FORK, C_FORK, 1_000, c("fork_echo", &[])),
        (C_PREFORK, C_PREFORK, 64, c("prefork_echo", &[])),
        (C_THREAD, C_THREAD, 1_000, c("thread_echo", &[])),
        (C_EPOLL, C_EPOLL, 10_000, c("epoll_echo", &[])),
        ("C epoll again", C_EPOLL, 10_000, c("epoll_echo", &[])),
        ("tokio", C_EPOLL, 10_000, tokio()),
        ("asyncio", C_EPOLL, 10_000, python("asyncio_echo.py")),
        ("ForkingTCPServer", C_FORK, 40, python("fork_echo.py")),
        ("socat PIPE", C_FORK, 64, socat("PIPE")),
        ("socat EXEC:cat", C_FORK, 64, socat("EXEC:cat")),
        ("forking-echo, static", C_STATIC, 64, static_build("gnu", STATIC)),
        ("forking-echo, musl", C_STATIC, 64, static_build("musl", "")),
        (C_STATIC, C_STATIC, 64, c("fork_echo", &["-static"])),
    ]);
    let (mut rivals, mut missing) = (Vec::new(), Vec::new());
    for (name, baseline, clients, found) in candidates {
        match found {
            Ok((program, args)) => rivals.push(Rival { name, baseline, clients, program, args }),
            Err(reason) => missing.push((name, reason)),
        }
    }
    Ok(Field { rivals, missing, echo_load })
}

fn ours(program: PathBuf, options: &[&str]) -> Command {
    let args = ["-q", "--port", "0", "--backlog", "1024"].iter().chain(options);
    (program, args.map(OsString::from).collect())
}

/// Builds a package of the workspace in the release profile.
fn build(package: &str, options: &[&str], rustflags: &str) -> Result<PathBuf, String> {
    let manifest = workspace().join("Cargo.toml");
    cargo(&manifest, &[&["--package", package], options].concat(), rustflags)
}

/// The path of what was built is the one that cargo reports.
fn cargo(manifest: &Path, options: &[&str], rustflags: &str) -> Result<PathBuf, String> {
    let cargo = Run::program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--message-format=json-render-diagnostics")
        .args(options);
    let messages =
        output_of(if rustflags.is_empty() { cargo } else { cargo.env("RUSTFLAGS", rustflags) })?;
    let (_, path) = messages.rsplit_once(r#""executable":""#).ok_or("cargo names no executable")?;
    let (path, _) = path.split_once('"').ok_or("cargo's message is cut off")?;
    Ok(path.into())
}

/// The folder for what is built only to be measured.
fn folder(program: &Path) -> Result<PathBuf, String> {
    let target =
        program.ancestors().nth(2).ok_or("cargo's binary lies outside of a target folder")?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder).map_err(|why| format!("mkdir {}: {why}", folder.display()))?;
    Ok(folder)
}

/// Fails unless the standard library of this target is installed.
fn has_target(triple: &str) -> Result<(), String> {
    let rustc = Run::program("rustc").args(["--print", "target-libdir", "--target", triple]);
    let installed = Path::new(output_of(rustc)?.trim()).is_dir();
    if installed { Ok(()) } else { Err(format!("needs rustup target add {triple}")) }
}

/// What it prints when it succeeds; as the error, the last line of its complaint.
fn output_of(run: Run) -> Result<String, String> {
    let command = run.command_line();
    let finished = run.deadline(Duration::from_secs(300)).finish();
    if finished.status.success() {
        return Ok(finished.stdout_text());
    }
    let complaint = finished.stderr_text();
    Err(format!("{command}: {}", complaint.trim_end().lines().last().unwrap_or("no message")))
}

/// A started rival; dropped, it is killed with its children.
pub(super) struct Started {
    process: Process,
    /// Whether its children stay.
    workers: bool,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Rival {
    /// Starts it on a free port of 127.0.0.1 and waits until it listens. It and the children that
    /// it will have run on `cpu` only.
    ///
    /// # Errors
    /// It does not listen within 10 s, or cannot be pinned.
    pub(super) fn start(&self, cpu: Option<&CpuSet>) -> Result<Started, String> {
        let run = Run::program(&self.program);
        // socat does not say when it listens, nor which port it was given: it is told one.
        let is_socat = self.program == Path::new(SOCAT);
        let port = if is_socat { free_port().map_err(|why| why.to_string())? } else { 0 };
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=1024");
        let run = if is_socat { run.arg(listen) } else { run };
        let mut process = run.args(&self.args).start();
        let address = if is_socat {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let listens = || evidence::is_listening(address).then_some(address);
            evidence::wait_until(READY_WITHIN, listens)
        } else {
            let line = process.next_line(READY_WITHIN);
            line.and_then(|line| line.strip_prefix("listening on ")?.parse().ok())
        };
        let Some(address) = address else {
            return Err(format!("{} does not listen: {}", self.name, process.stderr()));
        };
        if let Some(cpu) = cpu {
            sched_setaffinity(Pid::from_raw(process.pid()), cpu)
                .map_err(|why| format!("pin {}: {why}", self.name))?;
        }
        Ok(Started { process, workers: self.baseline == C_PREFORK, address })
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Started {
    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Waits until its children have ended and are reaped: the next sample must not pay for them.
    /// A second at most: Python reaps only every half second.
    pub(super) fn settle(&self) {
        let childless = || evidence::children(self.process.pid()).is_empty().then_some(());
        if !self.workers {
            let _ = evidence::wait_until(Duration::from_secs(1), childless);
        }
    }
}
