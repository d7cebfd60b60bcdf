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

/// The C server, linked as a distribution links: what the dynamic builds are divided by.
pub(super) const C: &str = "C";
/// As `cc -static` links: without it the loader of a position-independent program writes to pages
/// that each fork has then to copy.
const STATIC: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// The C server linked -static: what the static builds are divided by.
pub(super) const C_STATIC: &str = "C, static";

const SOCAT: &str = "socat";

/// How long a rival may take from its start until it listens.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A server that can be started any number of times.
pub(super) struct Rival {
    /// The name in the report.
    pub(super) name: &'static str,
    /// The rival whose rates its own are divided by: the C server of the same linkage.
    pub(super) baseline: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
}

/// A program and its arguments.
type Command = (PathBuf, Vec<OsString>);

/// A rival that this machine cannot run: its name, and what it needs.
pub(super) type Missing = (&'static str, String);

/// Builds and finds every rival.
///
/// # Errors
/// `forking-echo` itself cannot be built. Any other one is [`Missing`].
pub(super) fn find() -> Result<(Vec<Rival>, Vec<Missing>), String> {
    let ours = build(&[], "")?;
    let target = ours.ancestors().nth(2).ok_or("cargo's binary lies outside of a target folder")?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder).map_err(|why| format!("mkdir {}: {why}", folder.display()))?;
    let source = |file| Path::new(env!("CARGO_MANIFEST_DIR")).join("bench").join(file);

    // A folder of their own: with other flags in the same one, each build would undo the last.
    let static_build = |libc, rustflags| {
        let triple = format!("{}-unknown-linux-{libc}", env::consts::ARCH);
        has_target(&triple)?;
        let target_dir = format!("--target-dir={}", folder.display());
        Ok(forking_echo(build(&["--target", &triple, &target_dir], rustflags)?))
    };
    let c = |linkage: &[&str]| {
        need(Need::Cc).map_err(|skip| skip.reason)?;
        let program = folder.join(format!("fork_echo{}", linkage.concat()));
        let cc = Run::program("cc").arg("-O2").args(linkage).arg("-o").arg(&program);
        output_of(cc.arg(source("fork_echo.c")))?;
        Ok((program, Vec::new()))
    };
    let python = || {
        need(Need::Python3).map_err(|skip| skip.reason)?;
        Ok(("python3".into(), vec![source("fork_echo.py").into_os_string()]))
    };
    let socat = |address: &str| {
        need(Need::Socat).map_err(|skip| skip.reason)?;
        Ok((SOCAT.into(), vec![address.into()]))
    };
    let candidates: [(_, _, Result<Command, String>); 9] = [
        ("forking-echo", C, Ok(forking_echo(ours))),
        (C, C, c(&[])),
        ("C again", C, c(&[])),
        ("ForkingTCPServer", C, python()),
        ("socat PIPE", C, socat("PIPE")),
        ("socat EXEC:cat", C, socat("EXEC:cat")),
        ("forking-echo, static", C_STATIC, static_build("gnu", STATIC)),
        ("forking-echo, musl", C_STATIC, static_build("musl", "")),
        (C_STATIC, C_STATIC, c(&["-static"])),
    ];
    let (mut rivals, mut missing) = (Vec::new(), Vec::new());
    for (name, baseline, found) in candidates {
        match found {
            Ok((program, args)) => rivals.push(Rival { name, baseline, program, args }),
            Err(reason) => missing.push((name, reason)),
        }
    }
    Ok((rivals, missing))
}

fn forking_echo(program: PathBuf) -> Command {
    let args = ["-q", "--port", "0", "--max-children", "200", "--backlog", "1024"];
    (program, args.map(OsString::from).to_vec())
}

/// Builds `forking-echo` in the release profile; the path is the one that cargo reports.
fn build(options: &[&str], rustflags: &str) -> Result<PathBuf, String> {
    let manifest = workspace().join("Cargo.toml");
    let cargo = Run::program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "--package", "forking-echo", "--manifest-path"])
        .arg(manifest)
        .arg("--message-format=json-render-diagnostics")
        .args(options);
    let messages =
        output_of(if rustflags.is_empty() { cargo } else { cargo.env("RUSTFLAGS", rustflags) })?;
    let (_, path) = messages.rsplit_once(r#""executable":""#).ok_or("cargo names no executable")?;
    let (path, _) = path.split_once('"').ok_or("cargo's message is cut off")?;
    Ok(path.into())
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
        Ok(Started { process, address })
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Started {
    /// Waits until its children have ended and are reaped: the next sample must not pay for them.
    /// A second at most: Python reaps only every half second.
    pub(super) fn settle(&self) {
        let childless = || evidence::children(self.process.pid()).is_empty().then_some(());
        let _ = evidence::wait_until(Duration::from_secs(1), childless);
    }
}
