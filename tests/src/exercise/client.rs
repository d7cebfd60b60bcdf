//! A client of the server under test. Every error of it is the server's fault, and says what was sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use netcheck::peer;
use socket2::SockRef;

use super::{Fault, Service, Subject, shown};

/// How long a server may let its client wait for a byte.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// A client that is connected.
#[derive(Debug)]
pub struct Client<'a> {
    service: &'a Service,
    stream: TcpStream,
}

impl<'a> Client<'a> {
    pub(super) fn new(service: &'a Service, stream: TcpStream) -> Result<Client<'a>, Fault> {
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(TIMEOUT)).map_err(|why| Fault::Broken(format!("timeout: {why}")))?;
        }
        Ok(Client { service, stream })
    }

    /// Its own address: what its server sees as the peer's.
    ///
    /// # Errors
    /// [`Fault::Broken`]: the kernel does not say.
    pub fn address(&self) -> Result<SocketAddr, Fault> {
        self.stream.local_addr().map_err(|why| Fault::Broken(format!("getsockname: {why}")))
    }

    /// Sends bytes and receives them again.
    ///
    /// # Errors
    /// Other bytes come back, or none.
    pub fn echo(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.send(bytes)?;
        self.receive(bytes)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = self.stream.write_all(bytes);
        sent.map_err(|why| {
            let expected = format!("the server receives {}", shown(bytes));
            self.service.wrong(&expected, format!("send: {why}"), "")
        })
    }

    /// Sends a block again and again, and receives nothing, until the server takes no more: what was sent.
    ///
    /// # Errors
    /// The server takes more than the kernel has room for.
    pub fn fill(&mut self, block: &[u8]) -> Result<Vec<u8>, Fault> {
        /// It ends by itself after so many bytes.
        const MOST: usize = 64 << 20;
        let filled = self.stream.try_clone().and_then(|stream| peer::fill(stream, block));
        let expected = "the server receives no more while its client receives nothing";
        match filled {
            Ok((_, count)) if count < MOST => {
                Ok(block.iter().copied().cycle().take(count).collect())
            }
            Ok((_, count)) => {
                let got = format!("it has received {count} bytes");
                Err(self.service.wrong(expected, got, "all that it was sent, and nothing was read"))
            }
            Err(why) => Err(self.service.wrong(expected, format!("send: {why}"), "")),
        }
    }

    /// Receives exactly these bytes.
    ///
    /// # Errors
    /// Other bytes come, or too few.
    pub fn receive(&mut self, expected: &[u8]) -> Result<(), Fault> {
        let mut received = Vec::new();
        let mut part = vec![0; expected.len()];
        while received.len() < expected.len() {
            let end = match self.stream.read(&mut part) {
                Ok(0) => "the end of the stream (FIN)".to_owned(),
                Ok(count) => {
                    received.extend(part.iter().take(count));
                    continue;
                }
                Err(why) if why.kind() == ErrorKind::WouldBlock => {
                    format!("nothing more for {} ms", TIMEOUT.as_millis())
                }
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => why.to_string(),
            };
            let got = format!("{}, then {end}", shown(&received));
            return Err(self.unequal(expected, got, received.len()));
        }
        match received.iter().zip(expected).position(|(got, expected)| got != expected) {
            Some(at) => Err(self.unequal(expected, shown(&received), at)),
            None if received.len() > expected.len() => {
                Err(self.unequal(expected, shown(&received), expected.len()))
            }
            None => Ok(()),
        }
    }

    /// Receives so many bytes, whatever they are, and no more.
    ///
    /// # Errors
    /// Fewer come.
    pub fn receive_exact(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        let mut received = vec![0; count];
        let got = match self.stream.read_exact(&mut received) {
            Ok(()) => return Ok(received),
            Err(why) if why.kind() == ErrorKind::UnexpectedEof => "the end of the stream (FIN)",
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                &format!("nothing more for {} ms", TIMEOUT.as_millis())
            }
            Err(why) => &why.to_string(),
        };
        Err(self.service.wrong(&format!("{count} bytes more"), got, "recv"))
    }

    /// Receives all that comes until the server's FIN.
    ///
    /// # Errors
    /// It does not come, or RST does.
    pub fn receive_all(&mut self) -> Result<Vec<u8>, Fault> {
        let mut received = Vec::new();
        let got = match self.stream.read_to_end(&mut received) {
            Ok(_) => return Ok(received),
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                format!("nothing more for {} ms", TIMEOUT.as_millis())
            }
            Err(why) => why.to_string(),
        };
        let got = format!("{}, then {got}", shown(&received));
        Err(self.service.wrong("an answer, and then the end of the stream (FIN)", got, "recv"))
    }

    fn unequal(&self, expected: &[u8], got: String, at: usize) -> Fault {
        let evidence = format!("{at} of {} bytes are as they were sent", expected.len());
        self.service.wrong(&shown(expected), got, evidence)
    }

    /// Sends FIN; it can still receive.
    pub fn fin(&mut self) {
        // ENOTCONN: the server has closed, which the next call reports.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends FIN, and receives the server's.
    ///
    /// # Errors
    /// More bytes come, or the server does not close.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.fin();
        self.receive_end("the server closes the connection after the client's FIN")
    }

    /// Receives the server's FIN.
    ///
    /// # Errors
    /// More bytes come, or RST, or nothing.
    pub fn receive_end(&mut self, expected: &str) -> Result<(), Fault> {
        let got = match self.stream.read(&mut [0; 1]) {
            Ok(0) => return Ok(()),
            Ok(_) => "a byte more than was sent".to_owned(),
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                format!("the connection stays open for {} ms", TIMEOUT.as_millis())
            }
            Err(why) => why.to_string(),
        };
        Err(self.service.wrong(expected, got, "recv"))
    }

    /// Resets the connection, as a client does that is killed with bytes unread: closing with a linger time
    /// of zero sends RST, socket(7).
    ///
    /// # Errors
    /// [`Fault::Broken`]: the option cannot be set.
    pub fn reset(self) -> Result<(), Fault> {
        let set = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        set.map_err(|why| Fault::Broken(format!("setsockopt SO_LINGER: {why}")))
    }
}

/// A client that has sent without reading until the server takes no more, and what it has sent.
pub(super) fn stuck<'a>(
    service: &'a Service,
    subject: &Subject,
) -> Result<(Client<'a>, Vec<u8>), Fault> {
    // The smallest send buffer that the kernel has, which connections inherit from the listener: when it
    // has room again, that is not enough for a chunk of some kilobytes. Where ptrace is refused, the
    // server keeps its own.
    if let Ok(listener) = service.listener() {
        let set = listener.set_send_buffer_size(1);
        set.map_err(|why| Fault::Broken(format!("setsockopt SO_SNDBUF: {why}")))?;
    }
    let mut client = service.connect_narrow()?;
    let sent = client.fill(&subject.bytes(64 * 1024))?;
    Ok((client, sent))
}
