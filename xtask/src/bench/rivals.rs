//! The servers that are compared: how each is built, started, pinned and ended.

use super::load::Client;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The C server in the linkage that a distribution gives: the measure of the dynamic builds.
pub(super) const C: &str = "C";
/// The C server linked -static: the measure of the static builds.
const C_STATIC: &str = "C, static";

/// A server that can be started any number of times.
pub(super) struct Rival {
    /// The name in the report.
    pub(super) name: &'static str,
    /// The name of the rival whose figures these are divided by: the C server of equal linkage.
    pub(super) baseline: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
    /// Whether it prints `listening on ADDRESS`; otherwise `{port}` in its arguments is replaced.
    announces: bool,
}

/// A rival that this machine cannot run, and why.
pub(super) struct Missing {
    /// The name that it would have had in the report.
    pub(super) name: &'static str,
    /// What is missing.
    pub(super) reason: String,
}

/// Builds and finds every rival. Only `forking-echo` itself has to be there.
///
/// # Errors
/// The last line that cargo printed, when the release build of `forking-echo` fails.
pub(super) fn find() -> Result<(Vec<Rival>, Vec<Missing>), String> {
    let ours = build(&[], None)?;
    let target =
        ours.ancestors().nth(2).ok_or("cargo names a binary outside of a target folder")?;
    // Other flags in the same folder would rebuild everything, here and at the next build.
    let work = target.join("bench");
    fs::create_dir_all(&work).map_err(|e| format!("mkdir {}: {e}", work.display()))?;
    let folder = format!("--target-dir={}", work.display());
    let built_for = |target: &str, flags| build(&["--target", target, &folder], flags);
    let gnu = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let musl = format!("{}-unknown-linux-musl", env::consts::ARCH);

    let python = installed("python3", "--version").map(|program| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/fork_echo.py");
        Rival::new("Python ForkingTCPServer", C, program).arg(source)
    });
    // socat copies 8 KiB at a time by default; -b gives it the 64 KiB that the others read.
    let socat = |name, address: &str| {
        let listen = "TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=1024";
        let mut rival = Rival::new(name, C, installed("socat", "-V")?);
        rival.announces = false;
        Ok(rival.arg(listen).arg(address))
    };
    let candidates = [
        ("forking-echo", Ok(forking_echo("forking-echo", C, ours))),
        (C, compile(C, C, &work, &[])),
        ("C again", compile("C again", C, &work, &[])),
        ("Python ForkingTCPServer", python),
        ("socat PIPE", socat("socat PIPE", "PIPE")),
        ("socat EXEC:cat", socat("socat EXEC:cat", "EXEC:cat")),
        (
            "forking-echo, static",
            built_for(&gnu, Some("-C target-feature=+crt-static"))
                .map(|program| forking_echo("forking-echo, static", C_STATIC, program)),
        ),
        (C_STATIC, compile(C_STATIC, C_STATIC, &work, &["-static"])),
        (
            "forking-echo, musl",
            has_target(&musl)
                .and_then(|()| built_for(&musl, None))
                .map(|program| forking_echo("forking-echo, musl", C_STATIC, program)),
        ),
    ];
    let (mut rivals, mut missing) = (Vec::new(), Vec::new());
    for (name, candidate) in candidates {
        match candidate {
            Ok(rival) => rivals.push(rival),
            Err(reason) => missing.push(Missing { name, reason }),
        }
    }
    Ok((rivals, missing))
}

fn forking_echo(name: &'static str, baseline: &'static str, program: PathBuf) -> Rival {
    let options = ["-q", "--port", "0", "--max-children", "200", "--backlog", "1024"];
    options.into_iter().fold(Rival::new(name, baseline, program), |rival, option| rival.arg(option))
}

/// Builds `forking-echo` in the release profile and returns the path that cargo reports.
fn build(options: &[&str], rustflags: Option<&str>) -> Result<PathBuf, String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--release", "--quiet", "--package", "forking-echo"]);
    cargo.arg("--message-format=json-render-diagnostics").args(options);
    cargo.envs(rustflags.map(|flags| ("RUSTFLAGS", flags)));
    let stdout = output_of(&mut cargo)?;
    let (_, path) = stdout.rsplit_once(r#""executable":""#).ok_or("cargo reports no executable")?;
    let (path, _) = path.split_once('"').ok_or("cargo's report is cut off")?;
    Ok(path.into())
}

/// Whether rustup has the standard library of this target.
fn has_target(target: &str) -> Result<(), String> {
    let libraries =
        output_of(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(libraries.trim()).is_dir() {
        Ok(())
    } else {
        Err(format!("needs rustup target add {target}"))
    }
}

fn compile(
    name: &'static str,
    baseline: &'static str,
    work: &Path,
    options: &[&str],
) -> Result<Rival, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/fork_echo.c");
    let program = work.join(format!("fork_echo{}", options.concat()));
    output_of(Command::new("cc").args(["-O2", "-o"]).arg(&program).args(options).arg(source))?;
    Ok(Rival::new(name, baseline, program))
}

fn installed(program: &str, version: &str) -> Result<PathBuf, String> {
    output_of(Command::new(program).arg(version)).map(|_| program.into())
}

/// Runs to the end; stdout when it succeeds, the last line of stderr when not.
fn output_of(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("needs {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(format!("{program}: {}: {last}", output.status))
}

impl Rival {
    fn new(name: &'static str, baseline: &'static str, program: PathBuf) -> Self {
        Self { name, baseline, program, args: Vec::new(), announces: true }
    }

    fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Starts it on a free port of 127.0.0.1, pinned to `cpu`, its children with it, and waits
    /// until it listens.
    ///
    /// # Errors
    /// What went wrong, when it did not start or did not listen within 10 s.
    pub(super) fn start(&self, cpu: Option<&CpuSet>) -> Result<Server, String> {
        let fails = |error: &dyn std::fmt::Display| format!("start {}: {error}", self.name);
        let port = free_port().map_err(|e| fails(&e))?.to_string();
        let args = self.args.iter().map(|arg| arg.to_string_lossy().replace("{port}", &port));
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|e| fails(&e))?;
        let stdout = child.stdout.take();
        let pid = Pid::from_raw(child.id().cast_signed());
        let mut server = Server { child, pid, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        if let Some(cpu) = cpu {
            sched_setaffinity(pid, cpu).map_err(|e| fails(&e))?;
        }
        if self.announces {
            let mut line = String::new();
            let stdout = stdout.ok_or_else(|| fails(&"no standard output"))?;
            BufReader::new(stdout).read_line(&mut line).map_err(|e| fails(&e))?;
            let address = line.trim().strip_prefix("listening on ").map(str::parse);
            server.address = address
                .and_then(Result::ok)
                .ok_or_else(|| fails(&format_args!("its first line is {line:?}")))?;
        } else {
            server.address.set_port(port.parse().map_err(|e| fails(&e))?);
            wait_until(Duration::from_secs(10), || server.client().connect().is_ok())
                .then_some(())
                .ok_or_else(|| fails(&"nothing listens after 10 s"))?;
        }
        Ok(server)
    }
}

/// A started server; dropped, it is killed with its children.
pub(super) struct Server {
    child: Child,
    pid: Pid,
    address: SocketAddr,
}

impl Server {
    /// A client for it.
    pub(super) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Waits until its children are ended and reaped, so that the next sample does not pay for
    /// them; at most a second, for Python reaps only twice a second.
    pub(super) fn settle(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.pid);
        wait_until(Duration::from_secs(1), || {
            fs::read_to_string(&children).is_ok_and(|children| children.is_empty())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It leads the process group that it was started in, and none of the rivals leaves its own.
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether the condition came true before the deadline.
fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > deadline {
            return false;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    true
}
