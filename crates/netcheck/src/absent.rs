//! Addresses without a server: one refuses, one does not answer.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A port that refuses every connection, as long as this value lives.
#[derive(Debug)]
pub struct RefusedPort {
    /// Bound, but it never listens. A port that was closed again could be given to a server of another
    /// test, or to the connecting socket itself, which would then be connected to itself.
    _bound: Socket,
    address: SocketAddr,
}

impl RefusedPort {
    /// Where no server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes a port of 127.0.0.1 at which connect(2) is ECONNREFUSED.
///
/// # Panics
/// When the system has no port or descriptor left.
pub fn refused_port() -> RefusedPort {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind to a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    RefusedPort { _bound: socket, address: address.expect("its address") }
}

/// A UDP port without a server, as long as this value lives.
#[derive(Debug)]
pub struct RefusedDatagrams {
    /// Connected elsewhere: it takes nothing from anyone else, and the kernel answers for it with
    /// ICMP, port unreachable. No other socket is given its port meanwhile.
    _connected: UdpSocket,
    address: SocketAddr,
}

impl RefusedDatagrams {
    /// Where no server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes a port of 127.0.0.1 that answers a datagram with ECONNREFUSED.
///
/// # Panics
/// When the system has no port or descriptor left.
pub fn refused_datagrams() -> RefusedDatagrams {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind to a free port");
    let address = socket.local_addr().expect("its address");
    // Connecting sends nothing, so no server is needed there either.
    socket.connect("127.0.0.1:1").expect("connect");
    RefusedDatagrams { _connected: socket, address }
}

/// A listener that never accepts and whose queue is full: the next connect neither succeeds nor fails.
#[derive(Debug)]
pub struct SilentListener {
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
    address: SocketAddr,
}

impl SilentListener {
    /// Listens on 127.0.0.1 and fills the queue: a backlog of b admits b + 1.
    ///
    /// # Panics
    /// When the system has no port or descriptor left.
    pub fn start() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind to a free port");
        socket.listen(0).expect("listen");
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().expect("its address");
        let short = Duration::from_millis(100);
        let connect = || TcpStream::connect_timeout(&address, short).ok();
        // The first connect that is not answered ends it.
        let queued = std::iter::from_fn(connect).collect();
        Self { _listener: listener, _queued: queued, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
