//! Every address of a name, one after the other, each attempt told.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use netcore::error::Error;

use crate::stages::{Stage, Stages};
use crate::stream::{Deadline, join, open};

/// Connects to the first address that lets us, in the order in which the resolver gave them: RFC 6724
/// puts IPv6 first where this machine has it. A program for people overlaps the attempts (RFC 8305);
/// one after the other, each failure can be seen.
pub(crate) fn connect_to_one(
    found: &[SocketAddr],
    deadline: Deadline,
    stages: &mut Stages<'_>,
) -> Result<(OwnedFd, SocketAddr), Error> {
    let mut failed = Vec::new();
    let mut last = Error::Usage("no address to connect to".to_owned());
    for (address, left) in found.iter().zip((1..=found.len()).rev()) {
        let share = deadline.share(u32::try_from(left).unwrap_or(u32::MAX));
        match attempt(*address, share, stages) {
            Ok(fd) => return Ok((fd, *address)),
            Err(error) => {
                stages.missed(&error)?;
                failed.push(error.to_string());
                last = error;
            }
        }
    }
    // One error for all of them: the errno is the last one's, the text has every address.
    failed.pop();
    let with_all = |attempt: String| [failed.as_slice(), &[attempt]].concat().join(", ");
    Err(match last {
        Error::Os { attempt, source } => Error::Os { attempt: with_all(attempt), source },
        Error::Timeout { attempt, after } => Error::Timeout { attempt: with_all(attempt), after },
        other => other,
    })
}

fn attempt(
    address: SocketAddr,
    deadline: Deadline,
    stages: &mut Stages<'_>,
) -> Result<OwnedFd, Error> {
    stages.begin(Stage::Socket);
    let fd = open(address)?;
    stages.done(if address.is_ipv4() { "IPv4" } else { "IPv6" })?;
    stages.begin(Stage::Connect);
    join(&fd, address, deadline)?;
    stages.done(address)?;
    Ok(fd)
}
