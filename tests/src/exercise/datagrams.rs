//! Datagrams between a check and a program under test: a client of a server, and a server for a client.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitStatus;
use std::time::Duration;

use netcheck::{Arrival, Arrivals, Process, evidence};

use super::service::with_end;
use super::{Fault, Service, shown};

/// How long a program may let its peer wait for a datagram.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// In bytes: longer than any datagram.
const LONGEST: usize = 65_536;

/// A client of a server under test. Its socket is not connected: it receives from every address.
#[derive(Debug)]
pub struct DatagramClient<'a> {
    service: &'a Service,
    socket: UdpSocket,
}

impl<'a> DatagramClient<'a> {
    pub(super) fn new(service: &'a Service) -> Result<DatagramClient<'a>, Fault> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken("bind"))?;
        socket.set_read_timeout(Some(TIMEOUT)).map_err(broken("setsockopt"))?;
        Ok(DatagramClient { service, socket })
    }

    /// Sends a datagram to the server, at that address of this machine.
    ///
    /// # Errors
    /// [`Fault::Broken`]: the kernel does not take it.
    pub fn send(&self, to: Ipv4Addr, bytes: &[u8]) -> Result<(), Fault> {
        let sent = self.socket.send_to(bytes, (to, self.service.address().port()));
        sent.map(drop).map_err(broken("sendto"))
    }

    /// The next datagram, and its source.
    ///
    /// # Errors
    /// None arrives in time.
    pub fn receive(&self, expected: &str) -> Result<(Vec<u8>, SocketAddr), Fault> {
        let mut bytes = vec![0; LONGEST];
        loop {
            match self.socket.recv_from(&mut bytes) {
                Ok((length, from)) => {
                    bytes.truncate(length);
                    return Ok((bytes, from));
                }
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) if why.kind() == ErrorKind::WouldBlock => {
                    let got = format!("no datagram for {} ms", TIMEOUT.as_millis());
                    return Err(self.service.wrong(expected, got, "recvfrom"));
                }
                Err(why) => return Err(broken("recvfrom")(why)),
            }
        }
    }

    /// Receives exactly these bytes, from that address of the server.
    ///
    /// # Errors
    /// Others arrive, or from another address, or none.
    pub fn receive_from(&self, from: Ipv4Addr, bytes: &[u8]) -> Result<(), Fault> {
        let source = SocketAddr::from((from, self.service.address().port()));
        let what = if bytes.is_empty() { "an empty datagram".to_owned() } else { shown(bytes) };
        let expected = format!("{what} from {source}");
        let got = self.receive(&expected)?;
        if got == (bytes.to_vec(), source) {
            return Ok(());
        }
        let same = if got.0 == bytes { "the same bytes".to_owned() } else { shown(&got.0) };
        Err(self.service.wrong(&expected, format!("{same} from {}", got.1), "recvfrom"))
    }

    /// Sends a datagram to that address, and receives the same bytes from there.
    ///
    /// # Errors
    /// As [`DatagramClient::receive_from`].
    pub fn echo(&self, at: Ipv4Addr, bytes: &[u8]) -> Result<(), Fault> {
        self.send(at, bytes)?;
        self.receive_from(at, bytes)
    }
}

/// A client under test that has sent a datagram to us. Dropped, it is killed with all that it has started.
#[derive(Debug)]
pub struct DatagramCaller {
    process: Process,
    /// `None` while nobody listens.
    arrivals: Option<Arrivals>,
    port: u16,
}

impl DatagramCaller {
    /// Starts it, and waits for its first datagram.
    pub(super) fn start(
        timeout: Duration,
        start: impl FnOnce(SocketAddr) -> Result<Process, Fault>,
    ) -> Result<(DatagramCaller, Arrival), Fault> {
        let arrivals = Arrivals::bind(0).map_err(broken("bind"))?;
        let address = arrivals.socket().local_addr().map_err(broken("getsockname"))?;
        let process = start(address)?;
        let caller = DatagramCaller { process, arrivals: Some(arrivals), port: address.port() };
        let expected = format!("it sends a datagram within {} s", timeout.as_secs());
        let first = caller.next_within(timeout, &expected).map_err(|mut fault| {
            if let Fault::Wrong(wrong) = &mut fault {
                wrong.not_ready = true;
            }
            with_end(&caller.process, fault)
        })?;
        Ok((caller, first))
    }

    /// The started process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The next datagram of it.
    ///
    /// # Errors
    /// It sends none in time, or ends.
    pub fn next(&self, expected: &str) -> Result<Arrival, Fault> {
        let next = self.next_within(TIMEOUT, expected);
        next.map_err(|fault| with_end(&self.process, fault))
    }

    fn next_within(&self, timeout: Duration, expected: &str) -> Result<Arrival, Fault> {
        let look = || match self.arrived().transpose() {
            // What it sent last may have arrived in the meantime.
            None if !self.process.still_running() => Some(self.arrived()),
            arrived => arrived.map(|arrived| arrived.map(Some)),
        };
        match evidence::wait_until(timeout, look) {
            Some(Ok(Some(arrival))) => Ok(arrival),
            Some(Err(fault)) => Err(fault),
            Some(Ok(None)) => Err(Fault::wrong(expected, "it sends nothing more", "")),
            None => {
                let got = format!("no datagram for {} ms", timeout.as_millis());
                Err(Fault::wrong(expected, got, "recvmsg"))
            }
        }
    }

    /// Where our server receives.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// A datagram that has arrived already.
    ///
    /// # Errors
    /// [`Fault::Broken`]: recvmsg fails.
    pub fn arrived(&self) -> Result<Option<Arrival>, Fault> {
        let next = self.arrivals.as_ref().map(Arrivals::next).transpose();
        next.map(Option::flatten).map_err(broken("recvmsg"))
    }

    /// Sends a reply to where a datagram has come from.
    ///
    /// # Errors
    /// [`Fault::Broken`]: the kernel does not take it.
    pub fn reply(&self, to: &Arrival, bytes: &[u8]) -> Result<(), Fault> {
        let Some(arrivals) = &self.arrivals else { return Ok(()) };
        arrivals.socket().send_to(bytes, to.from).map(drop).map_err(broken("sendto"))
    }

    /// Closes the socket: the kernel then replies with ICMP, port unreachable.
    pub fn close(&mut self) {
        self.arrivals = None;
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// [`Fault::Broken`]: another program has taken it.
    pub fn open(&mut self) -> Result<(), Fault> {
        self.arrivals = Some(Arrivals::bind(self.port).map_err(broken("bind again"))?);
        Ok(())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It still runs.
    pub fn end(&self, expected: &str) -> Result<ExitStatus, Fault> {
        self.process.wait(TIMEOUT).ok_or_else(|| {
            let got = format!("it still runs after {} ms", TIMEOUT.as_millis());
            self.wrong(expected, got, "")
        })
    }

    /// The statement is false. If the program has ended, the fault says how.
    pub fn wrong(
        &self,
        expected: &str,
        got: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Fault {
        with_end(&self.process, Fault::wrong(expected, got, evidence))
    }
}

/// An error of ours.
fn broken(call: &str) -> impl FnOnce(io::Error) -> Fault {
    let call = call.to_owned();
    move |why| Fault::Broken(format!("{call}: {why}"))
}
