//! The servers that are compared, and how each is built.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Need, Run, need, workspace};

use crate::beside::Beside;
use crate::web;

/// A process for each client, as forking-echo has it, forked before.
pub(crate) const PREFORK_ONE: &str = "prefork-echo, 1 each";
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

/// Stand for the folder of the site, for one that a server may write to, and for its configuration.
pub(crate) const SITE: &str = "{site}";
pub(crate) const FOLDER: &str = "{folder}";
pub(crate) const CONFIG: &str = "{config}";

/// The web server that the others are divided by.
pub(crate) const NGINX: &str = "nginx";
/// The UDP servers in C: the first is what the others are divided by.
pub(crate) const C_UDP_BATCH: &str = "C recvmmsg";
pub(crate) const C_UDP: &str = "C recvfrom";

const SOCAT: &str = "TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=1024";
const SOCAT_DEFAULT: &str = "TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr";
/// A process for each datagram: one for each peer would join datagrams in its pipe.
const SOCAT_UDP: &str = "UDP4-RECVFROM:{port},bind=127.0.0.1,fork";

const NCAT: [&str; 7] = ["-lkn", "-m", "1100", "-e", "/bin/cat", "127.0.0.1", PORT];
const NCAT_DEFAULT: [&str; 5] = ["-lkn", "-e", "/bin/cat", "127.0.0.1", PORT];
const NCAT_UDP: [&str; 5] = ["-ulkn", "-e", "/bin/cat", "127.0.0.1", PORT];

/// Without the look-ups of the client's name and user, which others do not make either.
const TCPSERVER: [&str; 8] = ["-HRl0", "-c", "1100", "-b", "1024", "127.0.0.1", PORT, "/bin/cat"];
const TCPSERVER_DEFAULT: [&str; 4] = ["-HRl0", "127.0.0.1", PORT, "/bin/cat"];

/// Its log of each request goes nowhere.
const HTTP_SERVER: [&str; 5] = [
    "-c",
    "exec python3 -m http.server --bind 127.0.0.1 --directory \"$1\" \"$2\" 2> /dev/null",
    "sh",
    SITE,
    PORT,
];

const BUSYBOX: [&str; 6] = ["httpd", "-f", "-p", "127.0.0.1:{port}", "-h", SITE];

const EPOLL_WEB: [&str; 4] = ["--max-clients", "1100", "--dir", SITE];

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// To echo a stream.
    Echo,
    /// To echo datagrams.
    Datagrams,
    /// Files.
    Web,
}

/// A server that can be started any number of times.
pub(crate) struct Rival {
    /// The name in the report.
    pub(crate) name: &'static str,
    /// The rival whose rates its own are divided by: the C server of the same kind and linkage.
    pub(crate) baseline: &'static str,
    /// Which of ours it is another build of.
    pub(crate) build_of: Option<&'static str>,
    pub(crate) service: Service,
    /// How many clients at once it is asked to hold at most.
    pub(crate) clients: u16,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Its configuration file, where it needs one.
    pub(crate) config: Option<&'static str>,
    /// Whether its log goes nowhere: it was not told to be quiet.
    pub(crate) log_to_null: bool,
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
    /// The same with arguments of the shell.
    Shell(Need, &'static [&'static str]),
    /// The same with a configuration.
    Configured(Need, &'static [&'static str], &'static str),
    /// The crate in `xtask/bench`, with these arguments.
    Tokio(&'static [&'static str]),
    /// The file in `xtask/bench`, with these arguments.
    Go(&'static [&'static str]),
}

/// A server, and how it takes part.
struct Entry {
    name: &'static str,
    /// What its rates are divided by.
    baseline: &'static str,
    /// How many clients it is asked to hold, at most. Several thousand processes or threads are not what a
    /// server is for.
    clients: u16,
    service: Service,
    how: How,
}

const fn echo(name: &'static str, baseline: &'static str, clients: u16, how: How) -> Entry {
    Entry { name, baseline, clients, service: Service::Echo, how }
}

const fn datagrams(name: &'static str, how: How) -> Entry {
    Entry { name, baseline: C_UDP_BATCH, clients: 1, service: Service::Datagrams, how }
}

const fn web(name: &'static str, how: How) -> Entry {
    Entry { name, baseline: NGINX, clients: 256, service: Service::Web, how }
}

const FIELD: [Entry; 39] = [
    echo("echo-server", C_FORK, 1, How::Ours(&[])),
    // By the older name of the option, which another build may know only.
    echo("forking-echo", C_FORK, 1_000, How::Ours(&["--max-children", "1100"])),
    echo("prefork-echo", C_PREFORK, 64, How::Ours(&["--workers", "64"])),
    echo(PREFORK_ONE, C_FORK, 16, How::Ours(&["--workers", "16", "--clients-per-worker", "1"])),
    echo("threaded-echo", C_THREAD, 1_000, How::Ours(&["--max-clients", "1100"])),
    echo("poll-echo", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000"])),
    echo("epoll-echo", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000"])),
    echo("epoll-echo --edge", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000", "--edge"])),
    echo("uring-echo", C_EPOLL, 10_000, How::Ours(&["--max-clients", "11000"])),
    echo(C_FORK, C_FORK, 1_000, How::C(Need::Cc, "fork_echo", &[])),
    echo(C_PREFORK, C_PREFORK, 64, How::C(Need::Cc, "prefork_echo", &[])),
    echo(C_THREAD, C_THREAD, 1_000, How::C(Need::Cc, "thread_echo", &[])),
    echo(C_EPOLL, C_EPOLL, 10_000, How::C(Need::Cc, "epoll_echo", &[])),
    echo("C epoll again", C_EPOLL, 10_000, How::C(Need::Cc, "epoll_echo", &[])),
    echo("tokio", C_EPOLL, 10_000, How::Tokio(&[])),
    echo("Go", C_EPOLL, 10_000, How::Go(&[])),
    echo("asyncio", C_EPOLL, 10_000, How::Python("asyncio_echo.py")),
    echo("ForkingTCPServer", C_FORK, 40, How::Python("fork_echo.py")),
    echo("socat PIPE", C_FORK, 64, How::Installed(Need::Socat, &[SOCAT, "PIPE"])),
    echo("socat EXEC:cat", C_FORK, 64, How::Installed(Need::Socat, &[SOCAT, "EXEC:cat"])),
    echo("ncat", C_FORK, 64, How::Installed(Need::Ncat, &NCAT)),
    echo("tcpserver", C_FORK, 64, How::Installed(Need::Tcpserver, &TCPSERVER)),
    echo("forking-echo, static", C_STATIC, 64, How::ForkingEcho("gnu", STATIC)),
    echo("forking-echo, musl", C_MUSL, 64, How::ForkingEcho("musl", STATIC)),
    echo(C_STATIC, C_STATIC, 64, How::C(Need::Cc, "fork_echo", &["-static"])),
    echo(C_MUSL, C_MUSL, 64, How::C(Need::MuslGcc, "fork_echo", &["-static"])),
    datagrams("udp-echo", How::Ours(&[])),
    datagrams(C_UDP, How::C(Need::Cc, "udp_echo", &[])),
    datagrams(C_UDP_BATCH, How::C(Need::Cc, "udp_batch_echo", &[])),
    datagrams("tokio UDP", How::Tokio(&["udp"])),
    datagrams("Go UDP", How::Go(&["udp"])),
    datagrams("UDPServer", How::Python("udp_echo.py")),
    datagrams("socat UDP", How::Installed(Need::Socat, &[SOCAT_UDP, "PIPE"])),
    datagrams("ncat UDP", How::Installed(Need::Ncat, &NCAT_UDP)),
    web("epoll-web", How::Ours(&EPOLL_WEB)),
    web(NGINX, How::Configured(Need::Nginx, &["-e", "stderr", "-c", CONFIG], web::NGINX)),
    web("lighttpd", How::Configured(Need::Lighttpd, &["-D", "-f", CONFIG], web::LIGHTTPD)),
    web("busybox httpd", How::Installed(Need::Busybox, &BUSYBOX)),
    web("http.server", How::Shell(Need::Python3, &HTTP_SERVER)),
];

/// How many clients a server of the field holds with its own defaults, where the command line above says
/// something else, and its arguments then.
fn with_defaults(name: &str) -> Option<(u16, &'static [&'static str])> {
    Some(match name {
        "echo-server" => (1, &[]),
        "forking-echo" => (40, &[]),
        "prefork-echo" => (8, &[]),
        PREFORK_ONE => (8, &["--clients-per-worker", "1"]),
        "threaded-echo" | "poll-echo" | "epoll-echo" | "uring-echo" => (1_000, &[]),
        "epoll-echo --edge" => (1_000, &["--edge"]),
        "asyncio" | "ForkingTCPServer" => (40, &["defaults"]),
        "socat PIPE" => (1_000, &[SOCAT_DEFAULT, "PIPE"]),
        "socat EXEC:cat" => (1_000, &[SOCAT_DEFAULT, "EXEC:cat"]),
        "ncat" => (100, &NCAT_DEFAULT),
        "tcpserver" => (40, &TCPSERVER_DEFAULT),
        _ => return None,
    })
}

/// Whether it is one of ours, in whatever build.
pub(crate) fn is_ours(name: &str) -> bool {
    let ours = FIELD.iter().filter(|entry| matches!(entry.how, How::Ours(_)));
    ours.map(|entry| entry.name).any(|ours| name.starts_with(ours))
}

/// Everything that can be measured here.
pub(crate) struct Field {
    pub(crate) rivals: Vec<Rival>,
    pub(crate) missing: Vec<Missing>,
    /// The client.
    pub(crate) echo_load: PathBuf,
    /// What web servers serve, and where they may write.
    pub(crate) site: PathBuf,
    pub(crate) folder: PathBuf,
}

/// The names that contain a part of `only`, which commas separate, and those that they are divided by;
/// `None` chooses all.
///
/// # Errors
/// One of the parts is in no name.
pub(crate) fn chosen(only: Option<&str>) -> Result<BTreeSet<&'static str>, String> {
    let names = || FIELD.iter().map(|entry| entry.name);
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
        let meant = FIELD.iter().filter(|entry| is_meant(entry.name));
        chosen.extend(meant.flat_map(|entry| [entry.name, entry.baseline]));
    }
    Ok(chosen)
}

/// Builds and finds these rivals; `defaults`: they are started with their own.
///
/// # Errors
/// Our own servers, or the client, cannot be built. Any other one is [`Missing`].
pub(crate) fn find(
    chosen: &BTreeSet<&str>,
    beside: Option<&Beside>,
    defaults: bool,
) -> Result<Field, String> {
    let echo_load = build("echo-load", &[], "")?;
    let folder = folder(&echo_load)?;
    let site = web::site(&folder)?;
    let (mut rivals, mut missing) = (Vec::new(), Vec::new());
    for entry in FIELD.iter().filter(|entry| chosen.contains(entry.name)) {
        let Entry { name, baseline, clients, service, how } = entry;
        let own = with_defaults(name).filter(|_| defaults);
        let mut add = |name, build_of, (program, mut args): Command| {
            let mut clients = *clients;
            if let Some((most, own)) = own {
                let first = args.iter().take(how.arguments_before(defaults));
                args = first.cloned().chain(own.iter().map(OsString::from)).collect();
                clients = most;
            }
            rivals.push(Rival {
                name,
                baseline,
                build_of,
                service: *service,
                clients,
                program,
                args,
                config: if let How::Configured(.., config) = how { Some(config) } else { None },
                log_to_null: defaults,
            });
        };
        // Without wrk nobody asks for files.
        let asked = if *service == Service::Web { need(Need::Wrk) } else { Ok(()) };
        if let Err(skip) = asked {
            missing.push((*name, skip.reason));
            continue;
        }
        match how.command(name, &folder, defaults) {
            Ok(command) => add(*name, None, command),
            Err(why) if matches!(how, How::Ours(_)) => return Err(why),
            Err(reason) => missing.push((*name, reason)),
        }
        if let (Some(beside), How::Ours(options)) = (beside, how) {
            // Names live as long as the program.
            let other: &'static str = beside.name(name).leak();
            match beside.program(package(name)) {
                Ok(program) => add(other, Some(*name), ours(program, options, defaults)),
                Err(reason) => missing.push((other, reason)),
            }
        }
    }
    Ok(Field { rivals, missing, echo_load, folder, site })
}

impl How {
    /// How many arguments stay where the others are replaced by those of [`with_defaults`]: the port of
    /// ours, and the file that an interpreter runs.
    fn arguments_before(&self, defaults: bool) -> usize {
        match self {
            How::Ours(_) if defaults => 2,
            How::Python(_) => 1,
            _ => 0,
        }
    }

    /// Builds it, or finds out what it needs.
    fn command(&self, name: &str, folder: &Path, defaults: bool) -> Result<Command, String> {
        // A folder of their own: with other flags in the same one, each build would undo the last.
        let target_dir = format!("--target-dir={}", folder.display());
        match self {
            How::Ours(options) => Ok(ours(build(package(name), &[], "")?, options, defaults)),
            How::ForkingEcho(libc, rustflags) => {
                let triple = format!("{}-unknown-linux-{libc}", env::consts::ARCH);
                has_target(&triple)?;
                let options = ["--target", &triple, &target_dir];
                let program = build("forking-echo", &options, rustflags)?;
                Ok(ours(program, &["--max-children", "1100"], defaults))
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
            How::Installed(program, args) | How::Configured(program, args, _) => {
                need(*program).map_err(|skip| skip.reason)?;
                let name = program.to_string();
                let program = name.split(' ').next().unwrap_or(&name);
                Ok((program.into(), args.iter().map(OsString::from).collect()))
            }
            How::Shell(program, args) => {
                need(*program).map_err(|skip| skip.reason)?;
                Ok(("sh".into(), args.iter().map(OsString::from).collect()))
            }
            How::Tokio(args) => {
                let manifest = source("tokio_echo/Cargo.toml");
                let args = args.iter().map(OsString::from).collect();
                Ok((cargo(&manifest, &[&target_dir], "")?, args))
            }
            How::Go(args) => {
                need(Need::Go).map_err(|skip| skip.reason)?;
                let program = folder.join("go_echo");
                let go = Run::program("go").args(["build", "-o"]);
                output_of(go.arg(&program).arg(source("go_echo.go")))?;
                Ok((program, args.iter().map(OsString::from).collect()))
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
    name.split([' ', ',']).next().unwrap_or(name)
}

fn ours(program: PathBuf, options: &[&str], defaults: bool) -> Command {
    let quiet = if defaults { None } else { Some(&"-q") };
    let args = ["--port", "0"].iter().chain(quiet).chain(options);
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
        assert_eq!(
            names("Go,threaded,thread"),
            [C_EPOLL, C_UDP_BATCH, C_THREAD, "Go", "Go UDP", "threaded-echo"]
        );
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
        for Entry { name, baseline, .. } in &FIELD {
            assert!(FIELD.iter().any(|other| other.name == *baseline), "{name}: {baseline}");
        }
    }
}
