use super::*;

#[test]
fn a_peer_that_has_sent_more_than_can_be_read_in_time_is_stopped_by_a_deadline_too() {
    let (socket, peer) = connection(&listen(1).unwrap()).unwrap();
    let sent = peer.send(&[0; 400_000]).unwrap();
    // Far too short for as many calls, a byte each.
    let deadline = Instant::now() + Duration::from_millis(20);
    let seen = read_with_deadline(&socket, Some(deadline)).unwrap();
    assert!(seen.fired && seen.bytes < sent as u64, "{} of {sent}", seen.bytes);
}
