//! Faults in a client: it is traced from its start, and may end, but in time and with a reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Call, Finished, Run, Server};

use super::errnos::{Fault, ROWS, faults_of};
use super::{Observed, Outcome, aborts, is_injected};
use crate::make_site;

/// All clients are told to wait for a second, some of them twice.
const DEADLINE: Duration = Duration::from_secs(30);

/// More failing calls than this, and nothing said, are a loop.
const SILENT: usize = 100;

/// A client in which faults are injected.
#[derive(Debug)]
pub struct Client {
    /// Its program.
    program: &'static str,
    server: &'static str,
    /// `PORT` stands for that of the server, `PATH` for its path.
    args: &'static [&'static str],
    stdin: &'static str,
}

/// The clients.
pub(super) const CLIENTS: &[Client] = &[
    client("echo-client", "poll-echo", &["--port=PORT", "--timeout=1s", "hello"]),
    client("forking-client", "poll-echo", &["--port=PORT", "--timeout=1s", "--clients=2"]),
    Client {
        program: "chat-client",
        server: "chat-server",
        args: &["--port=PORT", "--name=someone", "--timeout=1s", "--idle-timeout=2s"],
        stdin: "hello\n",
    },
    client("unix-client", "unix-echo", &["--timeout=1s", "PATH", "hello"]),
    client("udp-client", "udp-echo", &["--port=PORT", "--timeout=1s", "--backoff=100ms", "hello"]),
    client(
        "echo-load",
        "poll-echo",
        &["--port=PORT", "--connections=2", "--duration=50ms", "--timeout=1s", "--idle-timeout=1s"],
    ),
    client("echo-load", "udp-echo", &["--udp", "--port=PORT", "--duration=50ms", "--timeout=1s"]),
    client("wait-port", "poll-echo", &["--timeout=1s", "127.0.0.1:PORT"]),
    client("sntp-client", "ntp-responder", &["--timeout=1s", "127.0.0.1:PORT"]),
    client("ntp-time", "ntp-responder", &["--timeout=500ms", "127.0.0.1:PORT", "127.0.0.1:PORT"]),
    client("socket-errors", "epoll-web", &["--port=PORT", "--timeout=1s"]),
];

const fn client(
    program: &'static str,
    server: &'static str,
    args: &'static [&'static str],
) -> Client {
    Client { program, server, args, stdin: "" }
}

impl Client {
    /// `echo-load --udp`.
    pub(super) fn name(&self) -> String {
        let variant = if self.args.contains(&"--udp") { " --udp" } else { "" };
        format!("{}{variant}", self.program)
    }
}

/// A client beside the server that it talks to.
struct Beside<'a> {
    client: &'a Client,
    server: Server,
    path: PathBuf,
    /// How often it makes each call before its own code begins.
    before: BTreeMap<String, usize>,
    /// The codes that its `--help` lists.
    codes: Vec<i32>,
}

/// Injects those faults of a client that `choose` leaves of all, each in a run of its own.
pub(super) fn run(client: &Client, choose: impl FnOnce(Vec<Fault>) -> Vec<Fault>) -> Vec<Observed> {
    let site = tempfile::tempdir().expect("a folder");
    make_site(site.path()).expect("a site");
    let beside = Beside::new(client, site.path());
    let (finished, calls) = beside.run(&["trace=all"]);
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let made = count(&calls);
    let is_own = |call: &&str| made.get(*call) > Some(beside.before.get(*call).unwrap_or(&0));
    let own: Vec<&str> = ROWS.iter().map(|row| row.call).filter(is_own).collect();
    choose(faults_of(&own)).into_iter().map(|fault| beside.inject(fault)).collect()
}

fn count(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.name.clone()).or_default() += 1;
    }
    counts
}

impl<'a> Beside<'a> {
    fn new(client: &'a Client, site: &Path) -> Self {
        let (run, path) = (Run::new(client.server), site.join("echo.sock"));
        let run = match client.server {
            "unix-echo" => run.arg(&path),
            "epoll-web" => run.args(["--port", "0", "--dir"]).arg(site),
            _ => run.args(["--port", "0"]),
        };
        let server = Server::start_run(run);
        // Before its own code it does what it does before `--version`, but for the write.
        let (run, trace) = Run::new(client.program).arg("--version").traced(&["trace=all"]);
        assert!(run.finish().status.success());
        let mut before = count(&trace.calls());
        before.remove("write");
        let help = Run::new(client.program).arg("--help").finish().stdout_text();
        let (_, codes) = help.split_once("EXIT CODES").unwrap_or_default();
        let codes = codes.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Self { client, server, path, before, codes }
    }

    fn run(&self, expressions: &[&str]) -> (Finished, Vec<Call>) {
        let port = match self.server.is_named() {
            true => String::new(),
            false => self.server.address().port().to_string(),
        };
        let path = self.path.to_string_lossy();
        let args = self.client.args.iter();
        let args = args.map(|arg| arg.replace("PORT", &port).replace("PATH", &path));
        let run = Run::new(self.client.program).args(args).stdin(self.client.stdin);
        let (run, trace) = run.deadline(DEADLINE).traced(expressions);
        let finished = run.finish();
        (finished, trace.calls())
    }

    fn inject(&self, fault: Fault) -> Observed {
        let Fault { call, errno, lasts } = fault;
        let first = 1 + self.before.get(call).unwrap_or(&0);
        let more = if lasts { "+" } else { "" };
        let inject = format!("inject={call}:error={errno}:when={first}{more}");
        let (finished, calls) = self.run(&[&format!("trace={call}"), &inject]);
        let failed = calls.iter().filter(|call| is_injected(call)).count();
        let said = finished.stderr_text();
        let mut wrong = Vec::new();
        if finished.timed_out {
            wrong.push("it does not end".to_owned());
        }
        wrong.extend(aborts(&said));
        let code = finished.code().unwrap_or(-1);
        if !finished.timed_out && !self.codes.contains(&code) {
            wrong.push(format!("it ended with {:?}", finished.status));
        }
        // What cannot be written is not.
        let has_line =
            said.lines().any(|line| line.starts_with(&format!("{}: ", self.client.program)));
        if code > 1 && !has_line && call != "write" {
            wrong.push(format!("it ended with {code}, and without a line that says why"));
        }
        let seconds = finished.elapsed.as_secs_f64().max(1.0);
        if failed as f64 / seconds > SILENT as f64 && !said.contains(errno) {
            wrong.push(format!("a silent loop: {failed} failing calls in {seconds:.1} s"));
        }
        if !wrong.is_empty() {
            wrong.push(format!("it said: {said}"));
        }
        let outcome = match code {
            _ if failed == 0 => Outcome::NotMade,
            0 => Outcome::Served,
            code => Outcome::Ended(code),
        };
        Observed { fault, outcome, failed, wrong }
    }
}
