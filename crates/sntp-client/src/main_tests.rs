use super::*;

use std::net::UdpSocket;

#[test]
fn offset_and_delay_are_those_that_ntp_time_computes() {
    for times in [[0, 1_520, 1_521, 41], [0, 40, 40, 40], [0, 1, 0, 0], [1, 0, 0, 0], [9, -7, 5, 3]]
    {
        let [t1, t2, t3, t4] = times.map(Utc::from_nanos);
        let sample = Sample { t1, t2, t3, t4, packet: Packet::default() };
        let ours = (offset(t1, t2, t3, t4), delay(t1, t2, t3, t4));
        assert_eq!(ours, (sample.offset(), sample.delay()), "{times:?}");
    }
}

#[test]
fn a_datagram_has_its_source_and_the_time_at_which_it_arrived() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let receiver = Socket::from(receiver);
    let mut buffer = [0; 8];
    assert_eq!(receive(&receiver, &mut buffer), Err(Errno::EAGAIN));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    setsockopt(&receiver, ReceiveTimestampns, &true).unwrap();
    let before = Utc::now();
    sender.send_to(b"now", address).unwrap();
    // On a busy machine the datagram may still be on its way when `send_to` has returned.
    let deadline = Instant::now().checked_add(std::time::Duration::from_secs(10));
    let mut fds = [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, deadline), Ok(1));
    let (length, from, timestamp) = receive(&receiver, &mut buffer).unwrap();
    let after = Utc::now();
    assert_eq!((length, from), (3, sender.local_addr().ok()));
    let timestamp = timestamp.unwrap();
    assert!(before <= timestamp && timestamp <= after, "{before} {timestamp} {after}");
}
