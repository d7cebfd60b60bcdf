//! The servers that are compared, and how each is built.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Need, Run, need, workspace};

use crate::beside::Beside;

/// The C servers: what those of the same kind are divided by.
pub(crate) const C_FORK: &str = "C fork";
pub(crate) const C_PREFORK: &str = "C prefork";
pub(crate) const C_THREAD: &str = "C thread";
pub(crate) const C_EPOLL: &str = "C epoll";

/// As `cc -static` links: without it the loader of a position-independent program writes to pages
/// that each fork has then to copy.
const STATIC: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// The forking C server linked -static, with glibc and with musl: what the static builds are divided by.
const C_STATIC: &str = "C fork, static";
const C_MUSL: &str = "C fork, musl";

/// Stands for a free port in the arguments of a server that is given one: it does not print which it
/// was given, nor when it listens.
pub(crate) const PORT: &str = "{port}";

const SOCAT: &str = "TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=1024";

const NCAT: [&str; 7] = ["-lkn", "-m", "1100", "-e", "/bin/cat", "127.0.0.1", PORT];

/// Without the look-ups of the client's name and user, which others do not make either.
const TCPSERVER: [&str; 8] = ["-HRl0", "-c", "1100", "-b", "1024", "127.0.0.1", PORT, "/bin/cat"];

/// A server that can be started any number of times.
pub(crate) struct Rival {
    /// The name in the report.
    pub(crate) name: &'static str,
    /// The rival whose rates its own are divided by: the C server of the same kind and linkage.
    pub(crate) baseline: &'static str,
    /// Which of ours it is another build of.
    pub(crate) build_of: Option<&'static str>,
    /// How many clients at once it is asked to hold at most.
    pub(crate) clients: u16,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

/// A program and its arguments.
type Command = (PathBuf, Vec<OsString>);

/// A rival that this machine cannot run: its name, and what it needs.
pub(crate) type Missing = (&'static str, String);

/// How a server is built or found.
enum How {
    /// Ours, with these options beside those that all have.
    Ours(&'static [&'static str]),
    /// forking-echo for another target, with these flags.
    ForkingEcho(&'static str, &'static str),
    /// A file of `xtask/bench`, by this compiler, linked so.
    C(Need, &'static str, &'static [&'static str]),
    /// A file of `xtask/bench`.
    Python(&'static str),
    /// A program that this machine may have, by its name, and its arguments.
    Installed(Need, &'static [&'static str]),
    /// The crate in `xtask/bench`.
    Tokio,
    /// The file in `xtask/bench`.
    Go,
}

/// All of them: the name, what it is divided by, and how many clients it is asked to hold. Several
/// thousand processes or threads are not what a server is for.
const FIELD: [(&str, &str, u16, How); 25] = [
    ("echo-server", C_FORK, 1, How::Ours(&[])),
    // By the older name of the option, which another build may know only.
    ("forking-echo", C_FORK, 1_000, How::Ours(&["--max-children", "1100"])),
    ("prefork-echo", C_PREFORK, 64, How::Ours(&["--workers", "64"])),
    ("threaded-echo", C_THREAD, 1_000, How::Ours(&["--max-clients", "1100"])),
    ("poll-echo", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000"])),
    ("epoll-echo", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000"])),
    ("epoll-echo --edge", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000", "--edge"])),
    ("uring-echo", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000"])),
    (C_FORK, C_FORK, 1_000, How::C(Need::Cc, "fork_echo", &[])),
    (C_PREFORK, C_PREFORK, 64, How::C(Need::Cc, "prefork_echo", &[])),
    (C_THREAD, C_THREAD, 1_000, How::C(Need::Cc, "thread_echo", &[])),
    (C_EPOLL, C_EPOLL, 10_000, How::C(Need::Cc, "epoll_echo", &[])),
    ("C epoll again", C_EPOLL, 10_000, How::C(Need::Cc, "epoll_echo", &[])),
    ("tokio", C_EPOLL, 10_000, How::Tokio),
    ("Go", C_EPOLL, 10_000, How::Go),
    ("asyncio", C_EPOLL, 10_000, How::Python("asyncio_echo.py")),
    ("ForkingTCPServer", C_FORK, 40, How::Python("fork_echo.py")),
    ("socat PIPE", C_FORK, 64, How::Installed(Need::Socat, &[SOCAT, "PIPE"])),
    ("socat EXEC:cat", C_FORK, 64, How::Installed(Need::Socat, &[SOCAT, "EXEC:cat"])),
    ("ncat", C_FORK, 64, How::Installed(Need::Ncat, &NCAT)),
    ("tcpserver", C_FORK, 64, How::Installed(Need::Tcpserver, &TCPSERVER)),
    ("forking-echo, static", C_STATIC, 64, How::ForkingEcho("gnu", STATIC)),
    ("forking-echo, musl", C_MUSL, 64, How::ForkingEcho("musl", STATIC)),
    (C_STATIC, C_STATIC, 64, How::C(Need::Cc, "fork_echo", &["-static"])),
    (C_MUSL, C_MUSL, 64, How::C(Need::MuslGcc, "fork_echo", &["-static"])),
];

/// Whether it is one of ours, in whatever build.
pub(crate) fn is_ours(name: &str) -> bool {
    let ours = FIELD.iter().filter(|(.., how)| matches!(how, How::Ours(_)));
    ours.map(|(ours, ..)| ours).any(|ours| name.starts_with(ours))
}

/// Everything that can be measured here.
pub(crate) struct Field {
    pub(crate) rivals: Vec<Rival>,
    pub(crate) missing: Vec<Missing>,
    /// The client.
    pub(crate) echo_load: PathBuf,
}

/// The names that contain a part of `only`, which commas separate, and those that they are divided by;
/// `None` chooses all.
///
/// # Errors
/// One of the parts is in no name.
pub(crate) fn chosen(only: Option<&str>) -> Result<BTreeSet<&'static str>, String> {
    let names = || FIELD.iter().map(|(name, ..)| *name);
    let Some(only) = only else { return Ok(names().collect()) };
    let mut chosen = BTreeSet::new();
    for part in only.split(',') {
        let is_meant = |name: &str| !part.is_empty() && name.contains(part);
        if !names().any(is_meant) {
            let names: Vec<&str> = names().collect();
            return Err(format!(
                "--only: no server has '{part}' in its name: {}",
                names.join("; ")
            ));
        }
        let meant = FIELD.iter().filter(|(name, ..)| is_meant(name));
        chosen.extend(meant.flat_map(|(name, baseline, ..)| [*name, *baseline]));
    }
    Ok(chosen)
}

/// Builds and finds these rivals.
///
/// # Errors
/// Our own servers, or the client, cannot be built. Any other one is [`Missing`].
pub(crate) fn find(chosen: &BTreeSet<&str>, beside: Option<&Beside>) -> Result<Field, String> {
    let echo_load = build("echo-load", &[], "")?;
    let folder = folder(&echo_load)?;
    let (mut rivals, mut missing) = (Vec::new(), Vec::new());
    for (name, baseline, clients, how) in FIELD.iter().filter(|(name, ..)| chosen.contains(name)) {
        let mut add = |name, build_of, (program, args)| {
            let clients = *clients;
            rivals.push(Rival { name, baseline, build_of, clients, program, args });
        };
        match how.command(name, &folder) {
            Ok(command) => add(*name, None, command),
            Err(why) if matches!(how, How::Ours(_)) => return Err(why),
            Err(reason) => missing.push((*name, reason)),
        }
        if let (Some(beside), How::Ours(options)) = (beside, how) {
            // Names live as long as the program.
            let other: &'static str = beside.name(name).leak();
            match beside.program(package(name)) {
                Ok(program) => add(other, Some(*name), ours(program, options)),
                Err(reason) => missing.push((other, reason)),
            }
        }
    }
    Ok(Field { rivals, missing, echo_load })
}

impl How {
    /// Builds it, or finds out what it needs.
    fn command(&self, name: &str, folder: &Path) -> Result<Command, String> {
        // A folder of their own: with other flags in the same one, each build would undo the last.
        let target_dir = format!("--target-dir={}", folder.display());
        match self {
            How::Ours(options) => Ok(ours(build(package(name), &[], "")?, options)),
            How::ForkingEcho(libc, rustflags) => {
                let triple = format!("{}-unknown-linux-{libc}", env::consts::ARCH);
                has_target(&triple)?;
                let options = ["--target", &triple, &target_dir];
                Ok(ours(build("forking-echo", &options, rustflags)?, &["--max-children", "1100"]))
            }
            How::C(compiler, file, linkage) => {
                need(*compiler).map_err(|skip| skip.reason)?;
                let program = folder.join(format!("{file}-{compiler}{}", linkage.concat()));
                let cc =
                    Run::program(compiler.to_string()).args(["-O2", "-pthread"]).args(*linkage);
                output_of(cc.arg("-o").arg(&program).arg(source(&format!("{file}.c"))))?;
                Ok((program, Vec::new()))
            }
            How::Python(file) => {
                need(Need::Python3).map_err(|skip| skip.reason)?;
                Ok(("python3".into(), vec![source(file).into_os_string()]))
            }
            How::Installed(program, args) => {
                need(*program).map_err(|skip| skip.reason)?;
                Ok((program.to_string().into(), args.iter().map(OsString::from).collect()))
            }
            How::Tokio => {
                let manifest = source("tokio_echo/Cargo.toml");
                Ok((cargo(&manifest, &[&target_dir], "")?, Vec::new()))
            }
            How::Go => {
                need(Need::Go).map_err(|skip| skip.reason)?;
                let program = folder.join("go_echo");
                let go = Run::program("go").args(["build", "-o"]);
                output_of(go.arg(&program).arg(source("go_echo.go")))?;
                Ok((program, Vec::new()))
            }
        }
    }
}

/// A file of `xtask/bench`.
pub(crate) fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The package of one of ours: its name in the report has options behind it.
fn package(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

fn ours(program: PathBuf, options: &[&str]) -> Command {
    let args = ["-q", "--port", "0"].iter().chain(options);
    (program, args.map(OsString::from).collect())
}

/// Builds a package of the workspace in the release profile.
pub(crate) fn build(package: &str, options: &[&str], rustflags: &str) -> Result<PathBuf, String> {
    let manifest = workspace().join("Cargo.toml");
    cargo(&manifest, &[&["--package", package], options].concat(), rustflags)
}

/// The path of what was built is the one that cargo reports.
pub(crate) fn cargo(manifest: &Path, options: &[&str], rustflags: &str) -> Result<PathBuf, String> {
    let cargo = Run::program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--message-format=json-render-diagnostics")
        .args(options);
    let messages =
        output_of(if rustflags.is_empty() { cargo } else { cargo.env("RUSTFLAGS", rustflags) })?;
    let (_, path) =
        messages.rsplit_once(r#""executable":""#).ok_or("cargo reports no executable")?;
    let (path, _) = path.split_once('"').ok_or("cargo's message is cut off")?;
    Ok(path.into())
}

/// The folder for what is built only to be measured.
pub(crate) fn folder(program: &Path) -> Result<PathBuf, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_chooses_it_and_what_it_is_divided_by() {
        let names = |only| chosen(Some(only)).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(names("threaded"), [C_THREAD, "threaded-echo"]);
        assert_eq!(names("Go,threaded,thread"), [C_EPOLL, C_THREAD, "Go", "threaded-echo"]);
        assert_eq!(chosen(None).unwrap().len(), FIELD.len());
        for wrong in ["", "threaded,", "threaded,nosuch", "nosuch"] {
            let why = chosen(Some(wrong)).unwrap_err();
            assert!(
                why.starts_with("--only: no server has '") && why.contains("; C epoll again; "),
                "{why}"
            );
        }
    }

    #[test]
    fn what_any_is_divided_by_is_there() {
        for (name, baseline, ..) in &FIELD {
            assert!(FIELD.iter().any(|(other, ..)| other == baseline), "{name}: {baseline}");
        }
    }
}
