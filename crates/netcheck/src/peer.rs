//! Peers: one that behaves, and those that do not.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockRef, Socket, Type};

pub use crate::absent::{RefusedDatagrams, RefusedPort, SilentListener};
pub use crate::absent::{refused_datagrams, refused_port};
use crate::evidence::pause;
pub use crate::lossy::{Fate, Fates, LossyPath};

/// How long a peer waits in one read, write or connect before it gives up: a server that hangs is
/// then an error and not a test that never ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How a peer sends and receives.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as the server allows.
    Fast,
    /// Sends one byte at a time, this long apart, each in a segment of its own (TCP_NODELAY).
    ByteEvery(Duration),
    /// Reads into `buffer` bytes, this long apart, with the smallest SO_RCVBUF.
    SlowReader {
        /// Bytes a read.
        buffer: usize,
        /// Between two reads.
        pause: Duration,
    },
    /// Asks for SO_SNDBUF and SO_RCVBUF of this many bytes; the kernel gives twice as many.
    SmallBuffers(usize),
}

/// Connects to `address`, with read and write timeouts of 10 s.
///
/// # Errors
/// What connect(2) says, `TimedOut` after 10 s.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    connect_at(address, Pace::Fast)
}

/// Connects with the buffers that a pace wants (socket(7)); they must be set before connect to bound the
/// window that is offered.
///
/// # Errors
/// As [`connect`].
pub fn connect_at(address: SocketAddr, pace: Pace) -> io::Result<TcpStream> {
    let (send, receive) = match pace {
        Pace::Fast | Pace::ByteEvery(_) => (None, None),
        // The kernel makes it the smallest that it has.
        Pace::SlowReader { .. } => (None, Some(1)),
        Pace::SmallBuffers(size) => (Some(size), Some(size)),
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(bytes) = send {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = receive {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect_timeout(&address.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Sends `bytes`, shuts down the sending side, and returns all that comes until the server closes.
/// Sending and receiving go on at the same time, so no amount can block both sides.
///
/// # Errors
/// What the system calls say; `WouldBlock` when the server lets it wait for 10 s.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    exchange_with(address, bytes, Pace::Fast)
}

/// [`exchange`], at a pace.
///
/// # Errors
/// As [`exchange`].
pub fn exchange_with(address: SocketAddr, bytes: &[u8], pace: Pace) -> io::Result<Vec<u8>> {
    let stream = connect_at(address, pace)?;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&stream, bytes, pace));
        let received = receive(&stream, pace);
        if received.is_err() {
            // The sender may wait for a window that is not opened any more.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let sent = sender.join().expect("the sender does not panic");
        // When the server gave up, reading says why (ECONNRESET); sending says only EPIPE.
        received.and_then(|bytes| sent.map(|()| bytes))
    })
}

fn send(mut stream: &TcpStream, bytes: &[u8], pace: Pace) -> io::Result<()> {
    if let Pace::ByteEvery(between) = pace {
        stream.set_nodelay(true)?;
        for byte in bytes.chunks(1) {
            stream.write_all(byte)?;
            pause(between);
        }
    } else {
        stream.write_all(bytes)?;
    }
    stream.shutdown(Shutdown::Write)
}

fn receive(mut stream: &TcpStream, pace: Pace) -> io::Result<Vec<u8>> {
    let (size, between) = match pace {
        Pace::SlowReader { buffer, pause } => (buffer.max(1), pause),
        _ => (64 * 1024, Duration::ZERO),
    };
    let mut buffer = vec![0; size];
    let mut received = Vec::new();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(received),
            Ok(count) => received.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !between.is_zero() {
            pause(between);
        }
    }
}

/// Sends all, shuts down the sending side, and only then begins to read. `bytes` must fit the buffers of
/// both sides, or server and client wait for each other.
///
/// # Errors
/// As [`exchange`].
pub fn half_close(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let stream = connect(address)?;
    send(&stream, bytes, Pace::Fast)?;
    receive(&stream, Pace::Fast)
}

/// Sends `bytes` and resets the connection: closing with a linger time of zero sends RST, socket(7).
///
/// # Errors
/// What the system calls say.
pub fn reset(address: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(bytes)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// A peer that sends and never reads, until for 200 ms no byte more is taken. Returns the connection and
/// how many bytes went in: what the buffers on the way hold, unless the server keeps more and more,
/// so it ends after 64 MiB too.
///
/// # Errors
/// What the system calls say.
pub fn never_reads(address: SocketAddr) -> io::Result<(TcpStream, usize)> {
    fill(connect(address)?, &pattern(0, 64 * 1024))
}

/// The same over a connection that there is; what it sends is `block`, again and again.
///
/// # Errors
/// What the system calls say.
pub fn fill(mut stream: TcpStream, block: &[u8]) -> io::Result<(TcpStream, usize)> {
    const ENOUGH: usize = 64 << 20;
    /// In milliseconds.
    const QUIET: u8 = 200;
    stream.set_nonblocking(true)?;
    let mut sent = 0;
    while sent < ENOUGH {
        let (_, rest) = block.split_at(sent % block.len());
        match stream.write(rest) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if poll(
                    &mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)],
                    PollTimeout::from(QUIET),
                )? == 0
                {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    stream.set_nonblocking(false)?;
    Ok((stream, sent))
}

/// `count` connections that say nothing, open until they are dropped.
///
/// # Errors
/// What connect(2) says of the first that fails.
pub fn hold(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    (0..count).map(|_| connect(address)).collect()
}

/// `length` pseudo-random bytes, the same for the same `seed` (splitmix64): a byte that is lost, doubled or
/// moved shows.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((word ^ (word >> 31)).to_le_bytes())
    };
    std::iter::from_fn(next).flatten().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn small_buffers_are_smaller_than_the_usual_ones() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sizes = |stream: TcpStream| {
            let socket = SockRef::from(&stream);
            [socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap()]
        };
        let usual = sizes(connect(address).unwrap());
        let small = sizes(connect_at(address, Pace::SmallBuffers(4096)).unwrap());
        assert!(small[0] < usual[0] && small[1] < usual[1], "{small:?}, {usual:?}");
        let slow = Pace::SlowReader { buffer: 1, pause: Duration::ZERO };
        assert!(sizes(connect_at(address, slow).unwrap())[1] < small[1]);
    }
}
