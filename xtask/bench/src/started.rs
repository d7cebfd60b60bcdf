//! A server of the comparison while it runs, on the CPU that all of them share.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use netcheck::{Process, Run, descriptors, evidence};
use nix::sched::CpuSet;

use crate::rivals::{CONFIG, FOLDER, Field, PORT, Rival, SITE, Service};

/// How long a rival may take from its start until it listens.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A started rival; dropped, it is killed with its children.
pub(crate) struct Started {
    process: Process,
    /// Whether its children stay.
    workers: bool,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Rival {
    /// Starts it on a free port of 127.0.0.1 and waits until it listens. It runs on `cpu`.
    ///
    /// # Errors
    /// It does not listen within 10 s; its configuration cannot be written.
    pub(crate) fn start(&self, cpu: Option<CpuSet>, field: &Field) -> Result<Started, String> {
        let words = self.args.iter().map(|arg| arg.to_string_lossy());
        let config = field.folder.join(format!("{}.conf", self.name));
        let needs_port = self.config.is_some() || words.clone().any(|word| word.contains(PORT));
        let port = if needs_port { free_port().map_err(|why| why.to_string())? } else { 0 };
        let filled = |text: &str| {
            let text = text.replace(PORT, &port.to_string());
            let text = text.replace(SITE, &field.site.to_string_lossy());
            let text = text.replace(FOLDER, &field.folder.to_string_lossy());
            text.replace(CONFIG, &config.to_string_lossy())
        };
        if let Some(text) = self.config {
            fs::write(&config, filled(text))
                .map_err(|why| format!("write {}: {why}", config.display()))?;
        }
        let args: Vec<String> = words.map(|word| filled(&word)).collect();
        let run = if self.log_to_null {
            Run::script(r#"exec "$@" 2> /dev/null"#).arg(&self.program)
        } else {
            Run::program(&self.program)
        };
        // Ours raise their soft limit themselves; not all of the others do.
        let run = run.args(args).limit_nofile(descriptors::raise());
        let mut process = run.cpus(cpu).start();
        let address = if needs_port {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let listens = || match self.service {
                Service::Datagrams => !evidence::datagram_sockets(address).is_empty(),
                Service::Echo | Service::Web => evidence::is_listening(address),
            };
            evidence::wait_until(READY_TIMEOUT, || listens().then_some(address))
        } else {
            let line = process.next_line(READY_TIMEOUT);
            line.and_then(|line| line.strip_prefix("listening on ")?.parse().ok())
        };
        let Some(address) = address else {
            return Err(format!("{} does not listen: {}", self.name, process.stderr()));
        };
        Ok(Started { process, workers: self.name.contains("prefork"), address })
    }
}

/// One that is free for both kinds of socket, most likely.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Started {
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Waits until its children have ended and are reaped: the next sample must not pay for them.
    /// A second at most: Python reaps only every half second.
    pub(crate) fn settle(&self) {
        let childless = || evidence::children(self.process.pid()).is_empty().then_some(());
        if !self.workers {
            let _ = evidence::wait_until(Duration::from_secs(1), childless);
        }
    }
}
