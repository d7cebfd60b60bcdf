//! The attempts to connect.

use std::net::{TcpListener, TcpStream};

use super::*;

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// One at which no program listens.
fn refused() -> SocketAddr {
    listening().1
}

/// With a deadline that begins now.
fn connect_within(addresses: &[SocketAddr], timeout: &str) -> Result<SocketAddr, Error> {
    let timeout: Timeout = timeout.parse().unwrap();
    connect_to_first(addresses, timeout, timeout.deadline()).map(|(_, peer)| peer)
}

#[test]
fn the_address_that_answers_wins_over_those_that_refuse() {
    let (_listener, address) = listening();
    let addresses = [refused(), refused(), address];
    let peer = connect_within(&addresses, "5s").unwrap();
    assert_eq!(peer, address);
}

#[test]
fn when_all_refuse_the_error_names_them_all() {
    let addresses = [refused(), refused()];
    let error = connect_within(&addresses, "5s").unwrap_err().to_string();
    let [one, other] = addresses;
    let expected =
        format!("connect to {one}: ECONNREFUSED, connect to {other}: Connection refused");
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn an_address_that_does_not_answer_costs_the_delay_and_no_more() {
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    // Backlog 0 takes one connection; the next SYN is dropped.
    silent.listen(0).unwrap();
    let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
    let _fill = TcpStream::connect(silent_address).unwrap();
    let (_listener, address) = listening();
    let begun = Instant::now();
    let peer = connect_within(&[silent_address, address], "20s").unwrap();
    assert_eq!(peer, address);
    let took = begun.elapsed();
    assert!((ATTEMPT_DELAY..4 * ATTEMPT_DELAY).contains(&took), "{took:?}");
    let begun = Instant::now();
    let error = connect_within(&[silent_address], "1s").unwrap_err();
    assert_eq!(error.to_string(), format!("connect to {silent_address}: timed out after 1s"));
    let took = begun.elapsed().as_secs_f64();
    assert!((1.0..1.5).contains(&took), "{took} s");
}

#[test]
fn a_socket_that_is_connected_to_itself_has_no_server() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.connect(&socket.local_addr().unwrap()).unwrap();
    assert_eq!(connected(&socket), Err(Errno::ECONNREFUSED));
}
