//! A client of the chat server, which makes its frames itself.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use netcheck::peer;

/// One connection. What waits for the server ends with `WouldBlock` after 10 s.
pub struct Chatter {
    /// For a test that sends what is no frame.
    pub stream: TcpStream,
}

/// A text as a frame.
pub fn framed(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

impl Chatter {
    /// Connects, and has no name yet.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = peer::connect(address)?;
        // Each message is measured, and not how TCP gathers them.
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Connects, sends its name, and reads until it has joined.
    ///
    /// # Errors
    /// Those of the system calls, or what was received in place of the welcome.
    pub fn join(address: SocketAddr, name: &str) -> io::Result<Self> {
        let mut chatter = Self::connect(address)?;
        chatter.say(name)?;
        chatter.hear_until(&format!("joined\t{name}"))?;
        Ok(chatter)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// Those of send(2).
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&framed(text))
    }

    /// The next frame, `None` at the end of the stream.
    ///
    /// # Errors
    /// Those of recv(2), `UnexpectedEof` inside a frame.
    pub fn hear(&mut self) -> io::Result<Option<String>> {
        let mut head = [0; 4];
        if self.stream.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut head[1..])?;
        let mut text = vec![0; u32::from_be_bytes(head) as usize];
        self.stream.read_exact(&mut text)?;
        String::from_utf8(text).map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// All frames up to this one, which is the last of them.
    ///
    /// # Errors
    /// As [`Chatter::hear`], with what came last when the stream ends.
    pub fn hear_until(&mut self, text: &str) -> io::Result<Vec<String>> {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last| last != text) {
            let Some(next) = self.hear()? else {
                return Err(io::Error::other(format!("no {text:?} after {:?}", heard.last())));
            };
            heard.push(next);
        }
        Ok(heard)
    }

    /// All frames up to the end of the stream.
    ///
    /// # Errors
    /// As [`Chatter::hear`].
    pub fn hear_all(&mut self) -> io::Result<Vec<String>> {
        std::iter::from_fn(|| self.hear().transpose()).collect()
    }

    /// Ends its side of the stream, and reads the rest.
    ///
    /// # Errors
    /// As [`Chatter::hear`].
    pub fn leave(mut self) -> io::Result<Vec<String>> {
        self.stream.shutdown(Shutdown::Write)?;
        self.hear_all()
    }
}
