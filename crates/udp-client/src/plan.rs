//! The datagrams to send, and which of them a reply is the echo of.

use netcore::error::Error;
use netcore::pattern::{first_difference, pattern};
use netcore::text::counted;

use crate::args::Args;

/// The default message.
const MESSAGE: &str = "Test message. This will be echoed";

/// The bytes of the number and of the attempt, both in network order.
const HEADER: usize = 8;

/// One `send` of one datagram: its number, from 1, and how often it was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    pub(crate) number: u32,
    pub(crate) attempt: u32,
}

/// A reply that is not an echo.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The datagram that it belongs to, if that is known.
    pub(crate) number: Option<u32>,
    pub(crate) fault: String,
}

pub(crate) struct Plan {
    messages: Vec<Vec<u8>>,
    /// How many datagrams there are to send, without retries.
    pub(crate) total: u32,
    /// Whether each begins with the header. Without it only one is in flight at a time.
    pub(crate) numbered: bool,
}

impl Plan {
    /// `lines` are those of standard input, where they are sent.
    pub(crate) fn new(args: &Args, lines: Vec<Vec<u8>>) -> Result<Plan, Error> {
        let sources = [args.stdin, args.size.is_some(), !args.message.is_empty()];
        if sources.into_iter().filter(|given| *given).count() > 1 {
            return Err(Error::Usage("--stdin, --size, messages: one of them".to_owned()));
        }
        let numbered = args.count > 1;
        if args.window > 1 && !numbered {
            return Err(Error::Usage("--window: needs --count".to_owned()));
        }
        let header = if numbered { HEADER } else { 0 };
        let messages: Vec<Vec<u8>> = match args.size {
            Some(size) if usize::from(size) < header => {
                let least = format!("--size {size}: with --count at least {HEADER} bytes");
                return Err(Error::Usage(least));
            }
            _ if args.stdin => lines,
            Some(size) => vec![pattern(args.seed, size.into()).split_off(header)],
            None if args.message.is_empty() => vec![MESSAGE.into()],
            None => args.message.iter().map(|message| message.clone().into_bytes()).collect(),
        };
        let total = u32::try_from(messages.len()).ok().and_then(|n| n.checked_mul(args.count));
        // One less than the most, so that the number after the last does not overflow.
        let total = total.filter(|total| *total < u32::MAX);
        let total =
            total.ok_or_else(|| Error::Usage("--count: more than 2^32 datagrams".to_owned()))?;
        Ok(Plan { messages, total, numbered })
    }

    /// Whether a datagram is the last of a repetition.
    pub(crate) fn ends_repetition(&self, number: u32) -> bool {
        (number as usize).is_multiple_of(self.messages.len())
    }

    /// The message of a datagram, without its header.
    pub(crate) fn message(&self, number: u32) -> &[u8] {
        let at = (number as usize).wrapping_sub(1) % self.messages.len();
        self.messages.get(at).map_or(&[], Vec::as_slice)
    }

    /// The bytes of a datagram.
    pub(crate) fn bytes(&self, Sending { number, attempt }: Sending) -> Vec<u8> {
        let header = [number.to_be_bytes(), attempt.to_be_bytes()].concat();
        let header = if self.numbered { header } else { Vec::new() };
        [&header, self.message(number)].concat()
    }

    /// Finds the datagram and the attempt that a reply is the echo of; `newest` is the highest number
    /// that was sent.
    pub(crate) fn identify(&self, reply: &[u8], newest: u32) -> Result<Sending, Changed> {
        let sending = if self.numbered {
            let (number, attempt) = header(reply).unwrap_or_default();
            if !(1..=newest).contains(&number) {
                let fault = format!("no echo: {}", counted(reply.len() as u64, "byte"));
                return Err(Changed { number: None, fault });
            }
            Sending { number, attempt }
        } else {
            // It may be duplicated or late. A reply that is no echo counts as that of the newest.
            let matches = |number: &u32| self.message(*number) == reply;
            let number = (1..=newest).rev().take(self.messages.len()).find(matches);
            Sending { number: number.unwrap_or(newest), attempt: 0 }
        };
        let sent = self.bytes(sending);
        if sent == reply {
            return Ok(sending);
        }
        let (number, got, bytes) = (sending.number, reply.len(), sent.len());
        let lengths = || format!("sent {}, received {got}", counted(bytes as u64, "byte"));
        let what = first_difference(&sent, reply, 0).unwrap_or_else(lengths);
        let which = if self.total > 1 { format!("datagram {number}: ") } else { String::new() };
        Err(Changed { number: Some(number), fault: which + &what })
    }
}

fn header(reply: &[u8]) -> Option<(u32, u32)> {
    let (number, rest) = reply.split_first_chunk()?;
    let (attempt, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), u32::from_be_bytes(*attempt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(messages: &[&str], count: u32) -> Plan {
        let messages: Vec<Vec<u8>> = messages.iter().map(|text| text.as_bytes().into()).collect();
        let total = u32::try_from(messages.len()).unwrap() * count;
        Plan { messages, total, numbered: count > 1 }
    }

    #[test]
    fn a_numbered_datagram_begins_with_its_number_and_its_attempt() {
        let plan = plan(&["a", "bb"], 2);
        let sending = Sending { number: 4, attempt: 1 };
        let bytes = plan.bytes(sending);
        assert_eq!(bytes, b"\0\0\0\x04\0\0\0\x01bb");
        assert_eq!(plan.identify(&bytes, 4), Ok(sending));
        assert_eq!(
            [1, 2, 3, 4].map(|number| plan.ends_repetition(number)),
            [false, true, false, true]
        );
    }

    #[test]
    fn a_reply_that_was_not_sent_is_not_an_echo() {
        let plan = plan(&["hello"], 3);
        let fault = |reply: &[u8]| {
            let changed = plan.identify(reply, 2).unwrap_err();
            (changed.number, changed.fault)
        };
        let none = |bytes| (None, format!("no echo: {bytes} bytes"));
        assert_eq!(fault(b""), none(0));
        assert_eq!(fault(b"x").1, "no echo: 1 byte");
        assert_eq!(fault(b"\0\0\0\x01\0\0\0"), none(7));
        assert_eq!(fault(b"\0\0\0\x03\0\0\0\0hello"), none(13));
        assert_eq!(fault(b"\0\0\0\0\0\0\0\0hello"), none(13));
        let changed = "datagram 2: byte 10 was sent as 0x6c and came back as 0x4c";
        assert_eq!(fault(b"\0\0\0\x02\0\0\0\0heLlo"), (Some(2), changed.to_owned()));
        let cut = "datagram 2: sent 13 bytes, received 12";
        assert_eq!(fault(b"\0\0\0\x02\0\0\0\0hell"), (Some(2), cut.to_owned()));
    }

    #[test]
    fn without_a_number_the_bytes_identify_the_datagram() {
        let plan = plan(&["one", "two", ""], 1);
        let number = |reply: &[u8], newest| plan.identify(reply, newest).unwrap().number;
        assert_eq!((number(b"two", 2), number(b"one", 2), number(b"", 3)), (2, 1, 3));
        let changed = plan.identify(b"", 2).unwrap_err();
        assert_eq!(changed.fault, "datagram 2: sent 3 bytes, received 0");
    }
}
