//! A server of the comparison while it runs, on the CPU that all of them share.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use netcheck::{Process, Run, descriptors, evidence};
use nix::sched::CpuSet;

use crate::rivals::{C_PREFORK, PORT, Rival};

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
    /// It does not listen within 10 s.
    pub(crate) fn start(&self, cpu: Option<CpuSet>) -> Result<Started, String> {
        let needs_port = self.args.iter().any(|arg| arg.to_string_lossy().contains(PORT));
        let port = if needs_port { free_port().map_err(|why| why.to_string())? } else { 0 };
        let args =
            self.args.iter().map(|arg| arg.to_string_lossy().replace(PORT, &port.to_string()));
        // Ours raise their soft limit themselves; not all of the others do.
        let run = Run::program(&self.program).args(args).limit_nofile(descriptors::raise());
        let mut process = run.cpus(cpu).start();
        let address = if needs_port {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let listens = || evidence::is_listening(address).then_some(address);
            evidence::wait_until(READY_TIMEOUT, listens)
        } else {
            let line = process.next_line(READY_TIMEOUT);
            line.and_then(|line| line.strip_prefix("listening on ")?.parse().ok())
        };
        let Some(address) = address else {
            return Err(format!("{} does not listen: {}", self.name, process.stderr()));
        };
        Ok(Started { process, workers: self.baseline == C_PREFORK, address })
    }
}

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
