//! Every rule about a second socket on an address, tried on this machine.

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::Json;

use crate::Reuse;
use crate::probe::{self, Probe};

const NONE: Reuse = Reuse::Nothing;
const ADDR: Reuse = Reuse::Addr;
const PORT: Reuse = Reuse::Port;

const YES: &str = "allowed";
const NO: &str = "bind EADDRINUSE";

/// A situation, how it is made, and what comes of it by the options of the old and the new socket.
type Rule = (&'static str, Probe, &'static [(Reuse, Reuse, &'static str)]);

/// Both sockets need it, and then it is of no use against a listener. SO_REUSEPORT is.
const LISTENERS: &[(Reuse, Reuse, &str)] = &[
    (NONE, NONE, NO),
    (ADDR, NONE, NO),
    (NONE, ADDR, NO),
    (ADDR, ADDR, NO),
    (PORT, NONE, NO),
    (NONE, PORT, NO),
    (PORT, PORT, YES),
];

/// Both sockets need it, and then it helps against what a server has left behind.
const LEFT_BEHIND: &[(Reuse, Reuse, &str)] =
    &[(NONE, NONE, NO), (ADDR, NONE, NO), (NONE, ADDR, NO), (ADDR, ADDR, YES), (PORT, PORT, YES)];

const RULES: &[Rule] = &[
    ("two listeners, one address", probe::one_address, LISTENERS),
    ("0.0.0.0, then 127.0.0.1", probe::wildcard_first, LISTENERS),
    ("127.0.0.1, then 0.0.0.0", probe::wildcard_second, LISTENERS),
    ("127.0.0.1, then 127.0.0.2", probe::two_addresses, &[(NONE, NONE, YES), (ADDR, ADDR, YES)]),
    ("bound twice, none listens", probe::bound_only, LEFT_BEHIND),
    (
        "bound twice, both listen",
        probe::second_listen,
        &[(ADDR, ADDR, "listen EADDRINUSE"), (PORT, PORT, YES)],
    ),
    ("TIME_WAIT, no listener", probe::time_wait, LEFT_BEHIND),
    ("live peer, no listener", probe::live, LEFT_BEHIND),
    ("UDP, one address", probe::datagrams, LEFT_BEHIND),
    ("UDP, and a datagram comes", probe::takeover, &[(ADDR, ADDR, "the new gets it")]),
    (":: and then 0.0.0.0", probe::dual_stack, &[(NONE, NONE, NO), (ADDR, ADDR, NO)]),
    (":: IPV6_V6ONLY, 0.0.0.0", probe::only_v6, &[(NONE, NONE, YES)]),
    (":: and an IPv4 peer", probe::mapped_peer, &[(NONE, NONE, "::ffff:127.0.0.1")]),
];

impl Reuse {
    fn name(self) -> &'static str {
        match self {
            Reuse::Nothing => "-",
            Reuse::Addr => "REUSEADDR",
            Reuse::Port => "REUSEPORT",
        }
    }
}

/// Tries each rule, and says whether this machine keeps it.
pub(crate) fn show(json: bool, out: &mut Output) -> Result<(), Error> {
    if !json {
        out.line(line("", "old socket", "new socket", "what came of it", ""))?;
    }
    for (what, probe, cases) in RULES {
        for (old, new, documented) in *cases {
            let got = try_it(*probe, *old, *new, documented)?;
            let holds = got.as_deref().is_none_or(|got| got == *documented);
            let verdict = match &got {
                None => "not tried",
                Some(_) if holds => "as documented",
                Some(_) => "different",
            };
            let shown = got.as_deref().unwrap_or("no IPv6");
            if json {
                let json = Json::new("rule").text("what", what).text("old", old.name());
                let json = json.text("new", new.name()).text("got", shown);
                let json = json.text("documented", documented).flag("tried", got.is_some());
                out.line(json.flag("as_documented", holds))?;
            } else {
                out.line(line(what, old.name(), new.name(), shown, verdict))?;
            }
            if !holds {
                let (old, new) = (old.name(), new.name());
                let who = format!("{what}, old {old}, new {new}");
                out.report(&Error::No(format!("{who}: {shown}, documented {documented}")));
            }
        }
    }
    Ok(())
}

/// `None` on a machine without IPv6, where a rule is about that.
fn try_it(probe: Probe, old: Reuse, new: Reuse, documented: &str) -> Result<Option<String>, Error> {
    // The kernel picks a port for the old socket, and at the new one's address another program may
    // have it, now or in a moment. At the next port that is hardly so again.
    for last in [false, false, true] {
        match probe(old, new) {
            Ok(got) if got == documented || last => return Ok(Some(got)),
            Err(Error::Os { source: Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL, .. }) => break,
            Err(error) if last => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(None)
}

fn line(what: &str, old: &str, new: &str, got: &str, verdict: &str) -> String {
    format!("{what:<27}{old:<11}{new:<11}{got:<18}{verdict}").trim_end().to_owned()
}
