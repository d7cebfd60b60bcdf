//! A connection of a socket with itself.

use super::*;
use nix::sys::socket::{SockaddrIn, bind};

#[test]
fn a_socket_connected_to_itself_is_refused() {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let own: SockaddrIn = getsockname(fd.as_raw_fd()).unwrap();
    let own = SocketAddr::from((own.ip(), own.port()));
    let deadline = Deadline::new("5s".parse().unwrap());
    let error = connect_until(&fd, own, deadline).unwrap_err();
    assert!(error.to_string().ends_with("(ECONNREFUSED)"), "{error}");
}
