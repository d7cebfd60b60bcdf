//! The kernel sends a file to the peer, and no file outside of the folder.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Call, Need, Run, Scenario, ScenarioRun, Server, Stopped, evidence, need, peer};

use crate::{ends, sockets};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "web",
    summary: "files over HTTP: sendfile, one thread, nothing from outside the folder",
    run,
};

/// More than all buffers on the way hold.
const BIG: usize = 8 << 20;
const CLIENTS: usize = 100;
const SOON: Duration = Duration::from_secs(10);

fn run(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let folder = Folder::make(scenario.keep)?;
    let server = scenario.serve_run(serve(&folder.path));
    let address = server.address();

    let answer = peer::exchange(address, &get("page.html"))?;
    let answer = String::from_utf8_lossy(&answer);
    let first = answer.lines().next().unwrap_or_default().to_owned();
    scenario.check("page", "the page is served", answer.ends_with("\r\n\r\nhello\n"), first)?;
    let statement = "the head is sent with MSG_MORE, the file with sendfile";
    match need(Need::Strace) {
        Ok(()) => {
            let seen = calls(serve(&folder.path))?;
            let [head, file] = ["MSG_MORE", "sendfile"].map(|word| seen.contains(word));
            scenario.check("sendfile", statement, head && file, seen)?;
        }
        Err(skip) => scenario.skip(statement, &skip)?,
    }

    let tricks = ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/link-out", "/.hidden"];
    let mut refused = Vec::new();
    for trick in tricks {
        let request = format!("GET {trick} HTTP/1.0\r\n\r\n");
        let answer = peer::exchange(address, request.as_bytes())?;
        let answer = String::from_utf8_lossy(&answer);
        if answer.starts_with("HTTP/1.1 404 ") && !answer.contains("SECRET") {
            refused.push(trick);
        }
    }
    let evidence = format!("404: {}", refused.join(" "));
    scenario.check("beneath", "no path leads out of the folder", refused == tricks, evidence)?;

    crowd(scenario, &server)?;
    ends(scenario, &server)
}

/// Clients that stop reading in the middle of a file, and what they take.
fn crowd(scenario: &mut ScenarioRun, server: &Server) -> Result<(), Stopped> {
    let (pid, address) = (server.pid(), server.address());
    let count = scenario.many("clients that do not read", CLIENTS, 4);
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut client = peer::connect(address)?;
        client.write_all(&get("big.bin"))?;
        client.read_exact(&mut [0; 1])?;
        slow.push(client);
    }
    let threads = evidence::threads(pid).len();
    // The clients before these may still be leaving.
    evidence::wait_until(SOON, || (open(server).0 <= 1 + count).then_some(()));
    let (sockets, files) = open(server);
    scenario.check_eq(
        "one-thread",
        &format!("{count} clients that do not read: one thread, one socket and one file each"),
        (1, 1 + count, count),
        (threads, sockets, files),
        format_args!("{threads} thread, {sockets} sockets with the listener, {files} files"),
    )?;
    let good = peer::exchange(address, &get("page.html"))?;
    let served = good.ends_with(b"hello\n");
    scenario.check(
        "beside",
        "another client is served meanwhile",
        served,
        "the page was received",
    )?;
    let mut rest = Vec::new();
    for client in &mut slow {
        rest.clear();
        client.shutdown(std::net::Shutdown::Write)?;
        client.read_to_end(&mut rest)?;
        if !rest.ends_with(&[b'x'; BIG]) {
            break;
        }
    }
    let evidence = format!("{} bytes each, with the rest of the head", rest.len());
    scenario.check("bytes", "each of them then receives every byte", rest.len() > BIG, evidence)?;
    drop(slow);
    let none = || (open(server) == (1, 0)).then_some(());
    let left = evidence::wait_until(SOON, none).is_none();
    let evidence = format!("the listener is the only socket (/proc/{pid}/fd)");
    scenario.check("descriptors", "their sockets and files are closed", !left, evidence)
}

/// How many sockets a server has, and how many files of the folder.
fn open(server: &Server) -> (usize, usize) {
    let open = evidence::descriptors(server.pid());
    (sockets(server), open.values().filter(|link| link.ends_with("/big.bin")).count())
}

fn get(name: &str) -> Vec<u8> {
    format!("GET /{name} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

fn serve(folder: &Path) -> Run {
    let args = ["--port", "0", "--grace", "100ms", "-q", "--dir"];
    Run::new("epoll-web").args(args).arg(folder.join("site"))
}

/// With which calls a server sends a page.
fn calls(run: Run) -> std::io::Result<String> {
    let (run, trace) = run.traced(&["trace=sendto,sendfile"]);
    let server = Server::start_run(run);
    peer::exchange(server.address(), &get("page.html"))?;
    let shown = |call: Call| {
        // Of a head its first characters and its flags tell enough.
        let start: String = call.args.chars().take(24).collect();
        let args = match call.args.rsplit_once("\", ") {
            Some((_, flags)) => format!("{start}…\", {flags}"),
            None => call.args,
        };
        format!("{}({args}) = {}", call.name, call.result)
    };
    let seen = || {
        let calls = trace.calls();
        let complete = calls.iter().any(|call| call.name == "sendfile" && !call.result.is_empty());
        complete.then(|| calls.into_iter().map(shown).collect::<Vec<_>>().join("\n"))
    };
    Ok(evidence::wait_until(SOON, seen).unwrap_or_default())
}

/// A folder for this run, gone with it unless its server is kept.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn make(keep: bool) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("web-{}", std::process::id()));
        fs::create_dir(&path)?;
        let site = path.join("site");
        let folder = Self { path, keep };
        fs::create_dir(&site)?;
        fs::write(site.join("page.html"), "hello\n")?;
        fs::write(site.join("big.bin"), vec![b'x'; BIG])?;
        fs::write(site.join(".hidden"), "SECRET")?;
        fs::write(folder.path.join("secret"), "SECRET")?;
        symlink("../secret", site.join("link-out"))?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
