//! The command line, and what it asks for.

use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use netcore::number::whole;

/// The sizes to ask for where the command line has none: nothing, too little, two that fit, too much,
/// and -1, which the kernel compares as the unsigned number that it is in memory.
const ASKED: [u32; 6] = [0, 1, 4096, 9973, 1 << 30, u32::MAX];

/// Show what the kernel makes of SO_SNDBUF and SO_RCVBUF, and why.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} --send 4096")]
#[argh(example = "{command_name} --when after-listen --receive 9973 --json")]
pub(crate) struct Args {
    /// bytes to ask for with SO_SNDBUF: 0 to 2147483647
    #[argh(option, arg_name = "bytes", from_str_fn(size))]
    pub(crate) send: Option<u32>,
    /// bytes to ask for with SO_RCVBUF: 0 to 2147483647
    #[argh(option, arg_name = "bytes", from_str_fn(size))]
    pub(crate) receive: Option<u32>,
    /// ask with SO_SNDBUFFORCE and SO_RCVBUFFORCE, which pass the limit
    #[argh(switch)]
    pub(crate) force: bool,
    /// show how many bytes a socket takes while nobody reads
    #[argh(switch)]
    pub(crate) measure: bool,
    /// show the throughput with sizes from 4 KiB to 4 MiB
    #[argh(switch)]
    pub(crate) sweep: bool,
    /// show what an accepted socket inherits from a listener that is set before-listen,
    /// after-listen or after-accept
    #[argh(option, arg_name = "moment")]
    pub(crate) when: Option<Moment>,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
}

impl Args {
    /// The sizes to ask for; `None` where only the other buffer is asked about.
    pub(crate) fn sizes(&self, buffer: Buffer) -> Option<&[u32]> {
        match (buffer, &self.send, &self.receive) {
            (_, None, None) => Some(&ASKED),
            (Buffer::Send, size, _) | (Buffer::Receive, _, size) => {
                size.as_ref().map(std::slice::from_ref)
            }
        }
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { send: self.send, receive: self.receive, force: self.force }
    }
}

/// One of the two buffers of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buffer {
    Send,
    Receive,
}

impl Buffer {
    pub(crate) const BOTH: [Buffer; 2] = [Buffer::Send, Buffer::Receive];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Buffer::Send => "send",
            Buffer::Receive => "receive",
        }
    }

    /// The option of socket(7).
    pub(crate) fn option(self) -> &'static str {
        match self {
            Buffer::Send => "SO_SNDBUF",
            Buffer::Receive => "SO_RCVBUF",
        }
    }
}

/// The sizes to ask for; `None` leaves a buffer untouched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) send: Option<u32>,
    pub(crate) receive: Option<u32>,
    pub(crate) force: bool,
}

impl Wanted {
    pub(crate) fn of(self, buffer: Buffer) -> Option<u32> {
        match buffer {
            Buffer::Send => self.send,
            Buffer::Receive => self.receive,
        }
    }

    /// The same, or this size for both buffers where the command line has none.
    pub(crate) fn or(self, size: u32) -> Wanted {
        match (self.send, self.receive) {
            (None, None) => Wanted { send: Some(size), receive: Some(size), ..self },
            _ => self,
        }
    }

    /// Both buffers untouched, each of them set alone, and both set.
    pub(crate) fn variants(self) -> Vec<Wanted> {
        let Wanted { send, receive, .. } = self;
        let mut sizes = vec![(None, None)];
        sizes.extend(send.map(|_| (send, None)));
        sizes.extend(receive.map(|_| (None, receive)));
        sizes.extend(send.and(receive).map(|_| (send, receive)));
        sizes.into_iter().map(|(send, receive)| Wanted { send, receive, ..self }).collect()
    }
}

/// When the size is set on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    BeforeListen,
    AfterListen,
    AfterAccept,
}

impl Moment {
    const ALL: [Moment; 3] = [Moment::BeforeListen, Moment::AfterListen, Moment::AfterAccept];

    pub(crate) fn name(self) -> &'static str {
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

/// Reads a size. The wrappers of setsockopt cut a larger one to an int without an error, and -1
/// would be the largest buffer.
fn size(text: &str) -> Result<u32, String> {
    let size = whole::<u32>(text).ok().filter(|size| i32::try_from(*size).is_ok());
    size.ok_or_else(|| format!("write a whole number from 0 to {}", i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_size_fits_in_an_int() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("2147483647"), Ok(2_147_483_647));
        assert_eq!((size("64K"), size("0x1000")), (Ok(65_536), Ok(4096)));
        for text in ["2147483648", "4294967295", "4294967296", "-1", "+1", "4KB", "", "2G"] {
            assert_eq!(
                size(text),
                Err("write a whole number from 0 to 2147483647".into()),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = size(&text);
        }
    }
}
