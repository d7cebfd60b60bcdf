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

#[test]
fn the_address_that_answers_wins_over_those_that_refuse() {
    let (_listener, address) = listening();
    let addresses = [refused(), refused(), address];
    let (_, peer) = connect_to_first(&addresses, Timeout::seconds(5)).unwrap();
    assert_eq!(peer, address);
}

#[test]
fn when_all_refuse_the_error_names_them_all() {
    let addresses = [refused(), refused()];
    let error = connect_to_first(&addresses, Timeout::seconds(5)).unwrap_err().to_string();
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
    let (_, peer) = connect_to_first(&[silent_address, address], Timeout::seconds(20)).unwrap();
    assert_eq!(peer, address);
    let took = begun.elapsed();
    assert!((ATTEMPT_DELAY..Duration::from_secs(10)).contains(&took), "{took:?}");
    let error = connect_to_first(&[silent_address], "50ms".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), format!("connect to {silent_address}: timed out after 50ms"));
}

#[test]
fn a_socket_that_is_connected_to_itself_has_no_server() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.connect(&socket.local_addr().unwrap()).unwrap();
    assert_eq!(connected(&socket), Err(Errno::ECONNREFUSED));
}
