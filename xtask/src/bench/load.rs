//! The load: one client, the same for every server, that counts only what came back right.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Socket, Type};

/// What every exchange but the bulk one sends: 64 bytes.
const MESSAGE: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQR";

/// Bytes in one write, and in one read at most, of the bulk echo.
const BULK_CHUNK: usize = 256 * 1024;

/// No single wait lasts longer than this many seconds: a server that hangs is an error of the run.
const PATIENCE_SECONDS: u16 = 10;

/// One thing that is measured.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Measure {
    /// Connect, send 64 bytes, read 64 back, close; so many of them in flight at every moment.
    Connections(usize),
    /// 64 bytes there and back on one connection, one after the other.
    RoundTrips,
    /// One connection, writing and reading at the same time.
    Bulk,
}

impl Measure {
    /// Everything that is measured, in the order of the report.
    pub(super) const ALL: [Self; 5] = [
        Self::Connections(1),
        Self::Connections(8),
        Self::Connections(64),
        Self::RoundTrips,
        Self::Bulk,
    ];

    /// Those in which a server has to fork.
    pub(super) const CONNECTIONS: [Self; 3] =
        [Self::Connections(1), Self::Connections(8), Self::Connections(64)];

    /// The name in the report, with the unit of its figures.
    pub(super) fn title(self) -> String {
        match self {
            Self::Connections(in_flight) => format!("connections/s, {in_flight} in flight"),
            Self::RoundTrips => "round trips/s".to_owned(),
            Self::Bulk => "bulk echo, MB/s".to_owned(),
        }
    }

    /// Loads the server at this address for the length of `window` and returns the rate in the unit of
    /// [`Measure::title`].
    ///
    /// What is under way when the window closes is finished and counted, so that no server sees
    /// a reset and none keeps a child for the next one's sample. An answer that differs from what
    /// was sent is an error.
    pub(super) fn take(self, server: SocketAddr, window: Duration) -> io::Result<f64> {
        let mut client = Client { server, connected: 0 };
        match self {
            Self::Connections(in_flight) => client.connections(in_flight, window),
            Self::RoundTrips => client.round_trips(window),
            Self::Bulk => client.bulk(window),
        }
    }
}

/// A client of one server, which counts the connections that it makes.
struct Client {
    server: SocketAddr,
    connected: u8,
}

impl Client {
    /// Connects from one of 200 source addresses, each in turn.
    ///
    /// The client closes first, as clients do, so TIME_WAIT is on its side: one source address
    /// would run out of its 28,000 ports within seconds, and long before that `connect` would get
    /// slower and slower at finding a free one. A reset (SO_LINGER 0) would avoid TIME_WAIT, but
    /// then the server meets an error in place of the end of file that is to be measured.
    /// IP_BIND_ADDRESS_NO_PORT leaves the choice of the port to `connect`, which may share it
    /// between servers. And a source in 127.0.1.0/24 is never the server's own 127.0.0.1, so a
    /// connection to itself cannot happen.
    fn connect(&mut self) -> io::Result<TcpStream> {
        self.connected = self.connected % 200 + 1;
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 1, self.connected), 0));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let patience = Some(Duration::from_secs(PATIENCE_SECONDS.into()));
        // The send timeout bounds connect(2) as well.
        socket.set_write_timeout(patience)?;
        socket.set_read_timeout(patience)?;
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&source.into())?;
        socket.connect(&self.server.into())?;
        Ok(socket.into())
    }

    fn connections(&mut self, in_flight: usize, window: Duration) -> io::Result<f64> {
        let mut open: Vec<TcpStream> = Vec::with_capacity(in_flight);
        let mut done = 0.0;
        let start = Instant::now();
        loop {
            while open.len() < in_flight && start.elapsed() < window {
                let mut stream = self.connect()?;
                stream.write_all(MESSAGE)?;
                open.push(stream);
            }
            if open.is_empty() {
                return Ok(done / start.elapsed().as_secs_f64());
            }
            let answered = wait_for_any(&open)?;
            let mut waiting = Vec::with_capacity(in_flight);
            for (mut stream, answered) in open.into_iter().zip(answered) {
                if answered {
                    // Dropped at the end of this block, so closed before its successor connects.
                    read_message(&mut stream)?;
                    done += 1.0;
                } else {
                    waiting.push(stream);
                }
            }
            open = waiting;
        }
    }

    fn round_trips(&mut self, window: Duration) -> io::Result<f64> {
        let mut stream = self.connect()?;
        let mut done = 0.0;
        let start = Instant::now();
        while start.elapsed() < window {
            stream.write_all(MESSAGE)?;
            read_message(&mut stream)?;
            done += 1.0;
        }
        Ok(done / start.elapsed().as_secs_f64())
    }

    fn bulk(&mut self, window: Duration) -> io::Result<f64> {
        let stream = self.connect()?;
        let start = Instant::now();
        let (sent, received) = thread::scope(|scope| {
            let sender = scope.spawn(|| send_for(window, &stream));
            let received = read_to_end(&stream);
            (sender.join(), received)
        });
        let sent = sent.map_err(|_| io::Error::other("the sending thread panicked"))??;
        let received = received?;
        if sent != received {
            return Err(io::Error::other(format!("sent {sent} bytes, {received} came back")));
        }
        Ok(received as f64 / 1e6 / start.elapsed().as_secs_f64())
    }
}

/// Which of these streams has something to read; waits until one has.
fn wait_for_any(streams: &[TcpStream]) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd> =
        streams.iter().map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLIN)).collect();
    if poll(&mut polled, PollTimeout::from(PATIENCE_SECONDS * 1000))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(polled.iter().map(|stream| stream.any().unwrap_or(true)).collect())
}

fn read_message(stream: &mut TcpStream) -> io::Result<()> {
    let mut received = [0; MESSAGE.len()];
    stream.read_exact(&mut received)?;
    if received == *MESSAGE {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the echo differs from what was sent"))
    }
}

fn send_for(window: Duration, mut stream: &TcpStream) -> io::Result<usize> {
    let chunk = vec![b'e'; BULK_CHUNK];
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < window {
        stream.write_all(&chunk)?;
        sent += chunk.len();
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn read_to_end(mut stream: &TcpStream) -> io::Result<usize> {
    let mut chunk = vec![0; BULK_CHUNK];
    let mut received = 0;
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(received),
            count => received += count,
        }
    }
}
