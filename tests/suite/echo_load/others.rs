//! echo-load with servers that others wrote: socat, ncat, Python's socketserver.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, evidence, need, peer};

use super::{measured, number};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic("echo_load", tests![socat_is_measured, ncat_is_measured, python_is_measured])
}

/// Measures a server that others wrote in each variant that it can serve.
fn is_measured(program: &str, args: impl FnOnce(&str) -> Vec<String>, variants: &[&[&str]]) {
    let port = peer::refused_port();
    let address = port.address();
    drop(port);
    let _server = Run::program(program).args(args(&address.port().to_string())).start();
    let listening = || evidence::is_listening(address).then_some(());
    evidence::wait_until(Duration::from_secs(10), listening).expect(program);
    for variant in variants {
        let figures = measured(address, &[*variant, &["--duration", "200ms"]].concat());
        assert!(number(&figures, "bytes") > 0, "{program} {variant:?}: {figures}");
    }
}

/// What every server of the neighbourhood bears.
const VARIANTS: [&[&str]; 3] =
    [&["--connections", "5"], &["--rate", "100", "--connections", "2"], &["--churn"]];

fn socat_is_measured() -> Result<(), Skip> {
    need(Need::Socat)?;
    let listen = |port: &str| format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr");
    let args = |port: &str| ["-b", "4096", &listen(port), "PIPE"].map(str::to_owned).into();
    is_measured("socat", args, &[&VARIANTS[..], &[&["--bulk"]]].concat());
    Ok(())
}

fn ncat_is_measured() -> Result<(), Skip> {
    need(Need::Ncat)?;
    let args =
        |port: &str| ["-k", "-l", "127.0.0.1", port, "-e", "/bin/cat"].map(str::to_owned).into();
    is_measured("ncat", args, &VARIANTS);
    Ok(())
}

const PYTHON_SERVER: &str = r"
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while piece := self.request.recv(65536):
            self.request.sendall(piece)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
Server(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
";

fn python_is_measured() -> Result<(), Skip> {
    need(Need::Python3)?;
    let args = |port: &str| ["-c", PYTHON_SERVER, port].map(str::to_owned).into();
    // Bytes without pause are too much for a server that writes all before it reads again.
    is_measured("python3", args, &VARIANTS);
    Ok(())
}
