use super::*;

#[test]
fn a_state_is_that_of_the_end_with_both_addresses() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
         \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
         \x20  1: 0100007F:C350 0100007F:1F90 04 003D0900:00000000 01:00000014 00000000\n\
         \x20  2: 0100007F:1F90 0100007F:C350 01 00000000:0001BA00 00:00000000 00000000\n";
    let [server, client] =
        [8080, 50_000].map(|port| SocketAddrV4::new([127, 0, 0, 1].into(), port));
    let is = |local, peer, wanted| state_in(table, &Ends(local, peer)) == wanted;
    // Written for a little-endian machine.
    if cfg!(target_endian = "little") {
        assert!(is(client, server, State::FinWait1));
        assert!(is(server, client, State::Other));
    }
    assert!(is(client, client, State::Closed));
    assert!(is(server, server, State::Closed));
}
