//! Two machines and a cable between them: two network namespaces and a veth pair (veth(4)), made with the
//! commands that one would type. No root is needed where the system allows user namespaces.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::binary::{GIVE_SOCKET, bin};
use crate::evidence::wait_until;
use crate::namespace::beside;
use crate::peer::PATIENCE;
use crate::process::Process;
use crate::run::Run;
use crate::spawner;
use crate::sys;

/// A near machine, on which a test runs programs, a far one, where their peer is, and the cable. Dropped, it
/// leaves nothing behind: a namespace ends with its last process and its last socket.
#[derive(Debug)]
pub struct Link {
    near: Process,
    far: Process,
    commands: Vec<String>,
}

impl Link {
    /// The address of the near machine.
    pub const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// The address of the far machine.
    pub const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    /// Makes the two machines, and plugs the cable in. Takes [`crate::Need::Link`].
    ///
    /// # Errors
    /// What a tool says that fails.
    pub fn start() -> io::Result<Self> {
        let near = hold(Run::program("sleep").arg("infinity").unshared(&["--net"]))?;
        // Of the users of the first: their root may move an interface from one into the other.
        let unshare = Run::program("unshare").args(["--net", "sleep", "infinity"]);
        let far = hold(unshare.beside(&near))?;
        let started =
            |holder: &Process| format!("{} &  # pid {}", holder.command_line(), holder.pid());
        let commands =
            vec![started(&near), started(&far), enter("near", &near), enter("far", &far)];
        let peer = format!("peer name v1 netns {}", far.pid());
        let mut link = Self { near, far, commands };
        link.near_ip(&format!("link add v0 type veth {peer}"))?;
        link.near_ip("address add 192.0.2.1/24 dev v0")?;
        link.far_ip("address add 192.0.2.2/24 dev v1")?;
        for up in ["link set lo up", "link set v0 up"] {
            link.near_ip(up)?;
            link.far_ip(&up.replace("v0", "v1"))?;
        }
        link.wait_until_up()?;
        Ok(link)
    }

    /// Until then what is sent is lost: the kernel begins to use an interface a moment after its other end
    /// is up.
    fn wait_until_up(&self) -> io::Result<()> {
        let near = || self.near(ip("-oneline link show v0")).unrecorded().finish().stdout_text();
        let far = || self.far(ip("-oneline link show v1")).unrecorded().finish().stdout_text();
        let both = || [near(), far()].iter().all(|said| said.contains(" state UP "));
        let up = wait_until(PATIENCE, || both().then_some(()));
        up.ok_or_else(|| io::Error::other(format!("not up: {}{}", near(), far())))
    }

    /// What has been typed so far, in the words of a shell.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }

    /// Runs it on the near machine. Its arguments are given before.
    #[must_use]
    pub fn near(&self, run: Run) -> Run {
        on("near", &self.near, run)
    }

    /// Runs it on the far machine. Its arguments are given before.
    #[must_use]
    pub fn far(&self, run: Run) -> Run {
        on("far", &self.far, run)
    }

    /// A command of ip(8) on the near machine, whose interface is `v0`.
    ///
    /// # Errors
    /// What ip says.
    pub fn near_ip(&mut self, command: &str) -> io::Result<()> {
        let run = self.near(ip(command));
        self.step(run)
    }

    /// A command of ip(8) on the far machine, whose interface is `v1`.
    ///
    /// # Errors
    /// What ip says.
    pub fn far_ip(&mut self, command: &str) -> io::Result<()> {
        let run = self.far(ip(command));
        self.step(run)
    }

    fn step(&mut self, run: Run) -> io::Result<()> {
        self.commands.push(run.command_line());
        succeed(run)
    }

    /// Pulls the cable, at the far end: the near machine keeps its route, and nothing tells its sockets.
    ///
    /// # Errors
    /// What ip says.
    pub fn pull(&self) -> io::Result<()> {
        succeed(self.far(ip("link set v1 down")))
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// What ip says.
    pub fn plug(&self) -> io::Result<()> {
        succeed(self.far(ip("link set v1 up")))?;
        self.wait_until_up()
    }

    /// A socket of the far machine, for the harness itself: a socket belongs to the network namespace that
    /// it was made in, and a program there makes it and passes it on (unix(7), SCM_RIGHTS).
    ///
    /// # Errors
    /// What the calls say.
    pub fn far_socket(&self, domain: Domain, kind: Type) -> io::Result<Socket> {
        let (ours, theirs) = UnixDatagram::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut command = Command::new("nsenter");
        command.args(beside(&self.far)).arg(bin(GIVE_SOCKET));
        command.args([domain.into(), kind.into()].map(|number: i32| number.to_string()));
        command.stdin(OwnedFd::from(theirs));
        sys::end_with_this_thread(&mut command);
        let mut child = spawner::spawn(command)?;
        let socket = sys::receive_descriptor(ours.as_fd());
        child.wait()?;
        socket.map(Socket::from)
    }

    /// A connection from the far machine, with the timeouts of [`crate::peer::connect`].
    ///
    /// # Errors
    /// What the calls say.
    pub fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.far_socket(Domain::for_address(address), Type::STREAM)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket.into())
    }

    /// A listener of the far machine, on a free port.
    ///
    /// # Errors
    /// What the calls say.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = self.far_socket(Domain::IPV4, Type::STREAM)?;
        socket.bind(&SocketAddr::new(Self::FAR, 0).into())?;
        socket.listen(128)?;
        Ok(socket.into())
    }
}

/// Starts what becomes `sleep` once it is in its namespaces, and waits for that.
fn hold(run: Run) -> io::Result<Process> {
    let holder = run.unrecorded().start();
    let comm = format!("/proc/{}/comm", holder.pid());
    let is_there = || match fs::read_to_string(&comm) {
        Ok(comm) if comm == "sleep\n" => Some(true),
        _ if holder.still_running() => None,
        _ => Some(false),
    };
    match wait_until(PATIENCE, is_there) {
        Some(true) => Ok(holder),
        _ => Err(io::Error::other(format!("{}: {}", holder.command_line(), holder.stderr()))),
    }
}

/// A function of the shell that runs a command there.
fn enter(name: &str, holder: &Process) -> String {
    format!("{name}() {{ nsenter {} \"$@\"; }}", beside(holder).join(" "))
}

fn on(name: &str, holder: &Process, run: Run) -> Run {
    let typed = format!("{name} {}", run.words().join(" "));
    let mut run = run.beside(holder);
    run.typed = Some(typed);
    run
}

fn ip(command: &str) -> Run {
    Run::program("ip").args(command.split(' '))
}

fn succeed(run: Run) -> io::Result<()> {
    let line = run.command_line();
    let finished = run.unrecorded().deadline(Duration::from_secs(10)).finish();
    match finished.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{line}: {}", finished.stderr_text().trim_end()))),
    }
}
