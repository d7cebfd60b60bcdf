//! No two servers of datagrams can be set against each other with one datagram, but for the pair that the
//! header of udp-echo warns of.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Link, Need, Run, Server, Skip, bin, evidence, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic("loops", tests![one_forged_datagram_sets_no_pair_of_servers_against_each_other])
}

/// udp-echo, an honest ntp-responder, and one for each of its faults.
fn servers() -> Vec<Vec<String>> {
    let faults = Run::new("ntp-responder").args(["--lie", "list"]).finish().stdout_text();
    let faults = faults.lines().filter_map(|line| line.split_whitespace().next());
    let with_fault = |fault: &str| ["ntp-responder", "--lie", fault].map(str::to_owned).to_vec();
    let honest = ["udp-echo", "ntp-responder"].map(|name| vec![name.to_owned()]);
    honest.into_iter().chain(faults.map(with_fault)).collect()
}

/// The datagrams on loopback so far.
fn datagrams(server: &Server) -> u64 {
    evidence::traffic(server.pid(), "lo").map_or(0, |traffic| traffic.packets_received)
}

/// The datagrams until there is none for so long: a reply may come a second late.
fn until_quiet(server: &Server, quiet: Duration) -> Option<u64> {
    let mut last = (datagrams(server), Instant::now());
    evidence::wait_until(Duration::from_secs(10), || {
        let now = datagrams(server);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() >= quiet).then_some(now)
    })
}

fn one_forged_datagram_sets_no_pair_of_servers_against_each_other() -> Result<(), Skip> {
    need(Need::Link)?;
    let link = Link::start().unwrap();
    let kinds = servers();
    assert!(kinds.len() > 30, "{kinds:?}");
    // Two of each: the first are said to have sent what the second receive.
    let start = |words: &Vec<String>| {
        let run = Run::new(&words[0]).args(&words[1..]).args(["--port", "0", "-q"]);
        Server::start_run(link.near(run))
    };
    let (first, second): (Vec<Server>, Vec<Server>) =
        kinds.iter().map(|kind| (start(kind), start(kind))).unzip();
    let mut pairs = Vec::new();
    for (i, from) in first.iter().enumerate() {
        // udp-echo is the first of both. The last is the server itself.
        let all_but_echo = second.iter().skip(usize::from(i == 0));
        let to = all_but_echo.chain([from]);
        pairs.extend(to.map(|to| [from.address().to_string(), to.address().to_string()]));
    }
    let request = [&[0x23][..], &[0; 39], b"12345678"].concat();
    let before = datagrams(&first[0]);
    let forge = Run::program(bin("forge")).args(pairs.concat()).stdin(request);
    assert!(link.near(forge).finish().status.success());
    let after = until_quiet(&first[0], Duration::from_millis(1500));
    let after = after.unwrap_or_else(|| panic!("{} so far", datagrams(&first[0]) - before));
    // The request, a reply, and a fault that is sent before it; one server sends thirty faults.
    let (datagrams, pairs) = (after - before, pairs.len() as u64);
    assert!((pairs..4 * pairs).contains(&datagrams), "{datagrams} datagrams of {pairs} pairs");
    Ok(())
}
