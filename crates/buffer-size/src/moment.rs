//! When a listener's buffer has to be set for an accepted socket to have it.

use std::str::FromStr;

use socket2::Socket;

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::text::Json;

use crate::pairs::{Kind, bound, connected, fill, unread};
use crate::wanted::{Buffer, Wanted};
use crate::{Args, ask, read};

/// The size that is set where none is given.
const SIZE: u32 = 9973;

/// When the size is set on the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    BeforeListen,
    AfterListen,
    AfterAccept,
}

impl Moment {
    const ALL: [Moment; 3] = [Moment::BeforeListen, Moment::AfterListen, Moment::AfterAccept];

    fn name(self) -> &'static str {
        match self {
            Moment::BeforeListen => "before-listen",
            Moment::AfterListen => "after-listen",
            Moment::AfterAccept => "after-accept",
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        let named = Moment::ALL.into_iter().find(|moment| moment.name() == text);
        named.ok_or_else(|| "write before-listen, after-listen or after-accept".to_owned())
    }
}

/// What was seen of a listener, and of the socket that it accepted.
struct Seen {
    /// Of the listener, once the size was set.
    listener: u32,
    /// Of the accepted socket, when accept returned it.
    accepted: u32,
    /// Of the accepted socket, when the listener had been set too.
    accepted_then: u32,
    /// Of the accepted socket, after the same was set on itself; only where it came too late.
    own: Option<u32>,
    /// Bytes in its receive buffer when the peer had sent all that was taken, and nobody read.
    unread: usize,
}

/// Sets the buffers of a listener at that moment, and shows what the accepted socket has of them.
pub(crate) fn show(moment: Moment, args: &Args, out: &mut Output) -> Result<(), Error> {
    let wanted = args.wanted().or(SIZE);
    for buffer in Buffer::BOTH {
        let Some(size) = wanted.of(buffer) else { continue };
        let seen = accept_one(moment, buffer, size, args.force)?;
        // For comparison: what the handshake offers once the size is known.
        let before = match (moment, buffer) {
            (Moment::AfterAccept, Buffer::Receive) => {
                Some(accept_one(Moment::BeforeListen, buffer, size, args.force)?.unread)
            }
            _ => None,
        };
        out.bytes(seen.text(moment, buffer, size, before, args.json).as_bytes())?;
        if !seen.is_documented(moment) {
            let what = format!("{} set {}", buffer.option(), moment.name());
            out.report(&Error::No(format!("{what}: the accepted socket has {}", seen.accepted)));
        }
    }
    Ok(())
}

fn accept_one(moment: Moment, buffer: Buffer, size: u32, force: bool) -> Result<Seen, Error> {
    let listener = bound(Kind::Tcp)?;
    let set_at = |now: Moment, socket: &Socket| match now == moment {
        true => ask(socket, buffer, size, force).map(drop),
        false => Ok(()),
    };
    set_at(Moment::BeforeListen, &listener)?;
    listener.listen(1).attempt("listen")?;
    set_at(Moment::AfterListen, &listener)?;
    // The kernel copies the listener when the handshake ends, which may be long before accept.
    let client = connected(Kind::Tcp, &listener, Wanted::NOTHING)?;
    let stream = listener.accept().attempt("accept")?.0;
    let accepted = read(&stream, buffer)?;
    set_at(Moment::AfterAccept, &listener)?;
    let accepted_then = read(&stream, buffer)?;
    let too_late = moment == Moment::AfterAccept;
    let own = if too_late { Some(ask(&stream, buffer, size, force)?) } else { None };
    let unread = if buffer == Buffer::Receive { unread(&stream, fill(&client)?)? } else { 0 };
    Ok(Seen { listener: read(&listener, buffer)?, accepted, accepted_then, own, unread })
}

impl Seen {
    fn is_documented(&self, moment: Moment) -> bool {
        match moment {
            Moment::BeforeListen | Moment::AfterListen => self.accepted == self.listener,
            Moment::AfterAccept => {
                self.accepted_then == self.accepted && self.own == Some(self.listener)
            }
        }
    }

    fn text(
        &self,
        moment: Moment,
        buffer: Buffer,
        size: u32,
        before: Option<usize>,
        json: bool,
    ) -> String {
        let Seen { listener, accepted, own, unread, .. } = self;
        let inherited = moment != Moment::AfterAccept;
        if json {
            let line = Json::new("accepted").text("buffer", buffer.name());
            let line = line.text("set", moment.name()).number("asked", size);
            let mut line = line.number("listener", *listener).number("accepted", *accepted);
            line = line.flag("as_documented", self.is_documented(moment));
            line = own.iter().fold(line, |line, own| line.number("set_on_itself", *own));
            if buffer == Buffer::Receive {
                line = line.number("unread", *unread as u64);
            }
            return format!("{line}\n");
        }
        let when = moment.name().replace('-', " ");
        let option = buffer.option();
        let why = match (self.is_documented(moment), inherited) {
            (false, _) => "different",
            (true, true) => "as documented: inherited",
            (true, false) => "as documented: copied before, so not inherited",
        };
        let mut text = format!(
            "{option} {size} set on the listener {when}, which reads back {listener}\n  \
             the accepted socket has {accepted}  {why}\n"
        );
        if let Some(own) = own {
            text += &format!("  set on the accepted socket itself it reads back {own}\n");
        }
        if buffer == Buffer::Receive {
            text += &format!("  it holds {unread} bytes unread");
            text +=
                &before.map_or(String::new(), |before| format!(", {before} if set before listen"));
            text += "\n";
        }
        text
    }
}
