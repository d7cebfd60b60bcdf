//! A program under test that is a client: it has connected to a server of ours.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use netcheck::{Process, evidence};
use socket2::{Domain, Socket, Type};

use super::service::with_end;
use super::{Fault, shown};

/// How long anything else may take.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Bytes that the server asks for as its buffers: with large ones a client that does not read while it
/// sends would often get away with it.
const BUFFER: usize = 16 * 1024;

/// A client under test that has connected to us. Dropped, it is killed with all that it has started.
#[derive(Debug)]
pub struct Caller {
    process: Process,
    stream: TcpStream,
}

/// A listener on loopback, with small buffers.
pub(super) fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Before `listen`: the sockets that `accept` returns have those of the listener.
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(5)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Caller {
    pub(super) fn accept(
        listener: &TcpListener,
        process: Process,
        timeout: Duration,
    ) -> Result<Caller, Fault> {
        let accepted = evidence::wait_until(timeout, || match listener.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(why) if why.kind() != ErrorKind::WouldBlock => Some(Err(why)),
            Err(_) => (!process.still_running()).then(|| Err(ErrorKind::WouldBlock.into())),
        });
        let stream = match accepted {
            Some(Ok(stream)) => stream,
            Some(Err(why)) if why.kind() != ErrorKind::WouldBlock => {
                return Err(Fault::Broken(format!("accept: {why}")));
            }
            _ => {
                let expected = format!("it connects within {} s", timeout.as_secs());
                let mut fault = Fault::wrong(&expected, "no connection", "accept");
                if let Fault::Wrong(wrong) = &mut fault {
                    wrong.not_ready = true;
                }
                return Err(with_end(&process, fault));
            }
        };
        let set = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_nodelay(true))
            .and_then(|()| stream.set_read_timeout(Some(TIMEOUT)))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        set.map_err(|why| Fault::Broken(format!("options of the connection: {why}")))?;
        Ok(Caller { process, stream })
    }

    /// The started process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Receives exactly these bytes from the client.
    ///
    /// # Errors
    /// It sends others, or too few.
    pub fn receive(&mut self, expected: &[u8]) -> Result<(), Fault> {
        let mut received = vec![0; expected.len()];
        let mut count = 0;
        while let Some(room @ [_, ..]) = received.get_mut(count..) {
            match self.stream.read(room) {
                Ok(0) => return Err(self.unsent(expected, count, "the end of the stream (FIN)")),
                Ok(more) => count += more,
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return Err(self.unsent(expected, count, &named(&why))),
            }
        }
        if received == expected {
            return Ok(());
        }
        Err(self.wrong(&format!("it sends {}", shown(expected)), shown(&received), "recv"))
    }

    fn unsent(&self, expected: &[u8], count: usize, end: &str) -> Fault {
        let expected = format!("it sends {}", shown(expected));
        self.wrong(&expected, format!("{count} bytes, then {end}"), "recv")
    }

    /// Sends bytes to the client.
    ///
    /// # Errors
    /// It does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = self.stream.write_all(bytes);
        sent.map_err(|why| self.wrong("it receives what the server sends", named(&why), "send"))
    }

    /// Sends back what comes, until that is `count` bytes.
    ///
    /// # Errors
    /// The client does not send so many, or does not receive while it sends.
    pub fn echo(&mut self, count: usize) -> Result<(), Fault> {
        let mut buffer = vec![0; BUFFER];
        let mut echoed = 0;
        while echoed < count {
            let expected = format!("it sends {count} bytes, and receives them at the same time");
            let evidence = format!("{echoed} bytes were received and sent back before");
            let received = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(self.wrong(&expected, "the end of the stream", evidence)),
                Ok(received) => received,
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => {
                    let got = format!("it sends nothing more: {}", named(&why));
                    return Err(self.wrong(&expected, got, evidence));
                }
            };
            let part = buffer.get(..received).unwrap_or_default();
            if let Err(why) = self.stream.write_all(part) {
                let got = format!("it receives nothing more: {}", named(&why));
                return Err(self.wrong(&expected, got, evidence));
            }
            echoed += received;
        }
        Ok(())
    }

    /// Waits until the client has printed exactly these bytes.
    ///
    /// # Errors
    /// It prints others, or too few.
    pub fn prints(&self, expected: &[u8]) -> Result<(), Fault> {
        let all = || (self.process.stdout_bytes().len() >= expected.len()).then_some(());
        let _ = evidence::wait_until(TIMEOUT, all);
        let printed = self.process.stdout_bytes();
        if printed == expected {
            return Ok(());
        }
        let same = printed.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let evidence = format!("{same} of {} bytes are as they were sent", expected.len());
        Err(self.wrong(&format!("it prints {}", shown(expected)), shown(&printed), evidence))
    }

    /// Waits for the client's FIN.
    ///
    /// # Errors
    /// It does not come, or bytes come before it.
    pub fn fin(&mut self) -> Result<(), Fault> {
        let got = match self.stream.read(&mut [0; 1]) {
            Ok(0) => return Ok(()),
            Ok(_) => "a byte more than it was given".to_owned(),
            Err(why) => named(&why),
        };
        Err(self.wrong("its FIN, once its input has ended", got, "recv"))
    }

    /// Closes the connection, and waits until the client ends with 0.
    ///
    /// # Errors
    /// It does not end, or with another code.
    pub fn close(self) -> Result<(), Fault> {
        let Caller { process, stream } = self;
        drop(stream);
        let expected = "exit code 0 after the server's FIN";
        match process.wait(TIMEOUT) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(with_end(&process, Fault::wrong(expected, status.to_string(), ""))),
            None => {
                let got = format!("it still runs after {} ms", TIMEOUT.as_millis());
                Err(with_end(&process, Fault::wrong(expected, got, "")))
            }
        }
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

/// An error of a socket, of which EAGAIN is the timeout.
fn named(why: &io::Error) -> String {
    match why.kind() {
        ErrorKind::WouldBlock => format!("timed out after {} ms", TIMEOUT.as_millis()),
        _ => why.to_string(),
    }
}
