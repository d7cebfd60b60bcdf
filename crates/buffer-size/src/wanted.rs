//! The two buffers, and what is wanted of them.

use std::os::fd::AsFd;

use netcore::error::Error;
use netcore::number::whole;

use crate::{Args, ask};

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

    /// The setting of net.core that says the `default` or the `max`.
    pub(crate) fn sysctl(self, what: &str) -> String {
        match self {
            Buffer::Send => format!("wmem_{what}"),
            Buffer::Receive => format!("rmem_{what}"),
        }
    }
}

/// The sizes that are to be asked for; `None` leaves a buffer untouched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) send: Option<u32>,
    pub(crate) receive: Option<u32>,
    pub(crate) force: bool,
}

impl Wanted {
    pub(crate) const NOTHING: Wanted = Wanted { send: None, receive: None, force: false };

    pub(crate) fn of(self, buffer: Buffer) -> Option<u32> {
        match buffer {
            Buffer::Send => self.send,
            Buffer::Receive => self.receive,
        }
    }

    /// The same, or both sizes as given here where nothing is wanted.
    pub(crate) fn or(self, size: u32) -> Wanted {
        match (self.send, self.receive) {
            (None, None) => Wanted { send: Some(size), receive: Some(size), ..self },
            _ => self,
        }
    }

    /// Asks a socket for what is wanted of one buffer.
    pub(crate) fn set(self, socket: &impl AsFd, buffer: Buffer) -> Result<(), Error> {
        self.of(buffer).map_or(Ok(()), |size| ask(socket, buffer, size, self.force).map(drop))
    }
}

impl Args {
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { send: self.send, receive: self.receive, force: self.force }
    }
}

/// Reads a size. The wrappers of setsockopt cut a larger one to an int without a word, and -1 would
/// be the largest buffer.
pub(crate) fn size(text: &str) -> Result<u32, String> {
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
        for text in ["2147483648", "4294967295", "4294967296", "-1", "+1", "4k", "", "0x10"] {
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
