//! What a client says to a server, and what it gets for it: echo, HTTP, and the frames of the chat.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use netcheck::peer;

use crate::framed;

/// How a server is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// What was sent comes back.
    Echo,
    /// HTTP.
    Web,
    /// The frames of the chat.
    Chat,
}

/// The index of the folder that epoll-web serves here.
const INDEX: &[u8] = b"<p>the index\n";

/// Makes the folder that epoll-web serves here. It has an index, and a file of more than all buffers hold.
///
/// # Errors
/// Those of mkdir(2), open(2), write(2) and ftruncate(2).
pub fn make_site(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Another run may be using them.
    let file = |name| File::options().append(true).create(true).open(folder.join(name));
    let mut index = file("index.html")?;
    if index.metadata()?.len() == 0 {
        index.write_all(INDEX)?;
    }
    file("big")?.set_len(64 << 20)
}

impl Probe {
    /// That of a recipe, if it is a server that is known here.
    pub fn of(name: &str, title: &str) -> Option<Self> {
        match name {
            "epoll-web" => Some(Self::Web),
            "chat-server" => Some(Self::Chat),
            _ => title.starts_with("Echo what each peer sends").then_some(Self::Echo),
        }
    }

    /// The options without which the server does not start, with the folder of [`make_site`].
    pub fn options(self, site: &str) -> Vec<&str> {
        if self == Self::Web { vec!["--dir", site] } else { vec![] }
    }

    /// What a client says first. Each has a name of its own.
    pub fn hello(self, name: &str) -> Vec<u8> {
        match self {
            Self::Chat => [framed(name), framed("hello")].concat(),
            _ => self.message(name),
        }
    }

    /// What it says after that.
    fn message(self, name: &str) -> Vec<u8> {
        match self {
            Self::Echo => format!("hello from {name}").into(),
            Self::Web => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            Self::Chat => framed("hello"),
        }
    }

    /// The end of the reply to either. Before it may be a head, or what others say.
    pub fn reply(self, name: &str) -> Vec<u8> {
        match self {
            Self::Echo => self.message(name),
            Self::Web => INDEX.into(),
            Self::Chat => framed(&format!("said\t{name}\thello")),
        }
    }

    /// The first part of a message of more than 4,000 bytes, the rest of which never comes.
    pub fn part_of_a_message(self) -> Vec<u8> {
        let start = match self {
            Self::Echo => &b""[..],
            Self::Web => b"GET / HTTP/1.1\r\nA: ",
            Self::Chat => b"\0\0\x10\0",
        };
        [start, &[b'x'; 4_000]].concat()
    }

    /// Says the first thing.
    ///
    /// # Errors
    /// Those of send(2).
    pub fn say_hello(self, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&self.hello(&client.local_addr()?.to_string()))
    }

    /// Reads until the reply is complete.
    ///
    /// # Errors
    /// Those of recv(2); what came, if the stream ends before it.
    pub fn hear_reply(self, client: &mut TcpStream) -> io::Result<()> {
        let reply = self.reply(&client.local_addr()?.to_string());
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while !received.windows(reply.len()).any(|part| part == reply) {
            match client.read(&mut buffer)? {
                0 => return Err(io::Error::other(String::from_utf8_lossy(&received).into_owned())),
                count => received.extend(buffer.iter().take(count)),
            }
            // An error of HTTP is a reply too.
            if self == Self::Web
                && [b"HTTP/1.1 4", b"HTTP/1.1 5"].iter().any(|head| received.starts_with(*head))
            {
                return Err(io::Error::other(String::from_utf8_lossy(&received).into_owned()));
            }
        }
        Ok(())
    }

    /// One more round trip of a client that is being served.
    ///
    /// # Errors
    /// Those of the system calls; what came in place of the reply.
    pub fn ask(self, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&self.message(&client.local_addr()?.to_string()))?;
        self.hear_reply(client)
    }

    /// A client that has had a reply, so that it is surely being served, and stays.
    ///
    /// # Errors
    /// As [`Probe::ask`].
    pub fn served(self, address: SocketAddr) -> io::Result<TcpStream> {
        self.served_over(peer::connect(address)?)
    }

    /// The same over a connection that there is.
    ///
    /// # Errors
    /// As [`Probe::ask`].
    pub fn served_over(self, mut client: TcpStream) -> io::Result<TcpStream> {
        self.say_hello(&mut client)?;
        self.hear_reply(&mut client)?;
        Ok(client)
    }

    /// A client that has had a reply, and goes: nothing but a goodbye follows.
    ///
    /// # Errors
    /// As [`Probe::ask`]; what follows.
    pub fn exchange(self, address: SocketAddr) -> io::Result<()> {
        self.exchange_over(peer::connect(address)?)
    }

    /// The same, by a client that waits so long for each part of the reply.
    ///
    /// # Errors
    /// As [`Probe::exchange`]; `WouldBlock` when nothing comes.
    pub fn exchange_within(self, address: SocketAddr, timeout: Duration) -> io::Result<()> {
        let client = peer::connect(address)?;
        client.set_read_timeout(Some(timeout))?;
        self.exchange_over(client)
    }

    fn exchange_over(self, client: TcpStream) -> io::Result<()> {
        let mut client = self.served_over(client)?;
        client.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest)?;
        let is_good = self == Self::Chat || rest.is_empty();
        if is_good { Ok(()) } else { Err(io::Error::other(format!("{rest:?} follows"))) }
    }

    /// A client that sends as much as is taken from it, and never reads.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn never_reads(self, address: SocketAddr) -> io::Result<TcpStream> {
        if self == Self::Echo {
            return peer::never_reads(address).map(|(client, _)| client);
        }
        peer::fill(self.served(address)?, &self.much()).map(|(client, _)| client)
    }

    /// Messages whose replies are more than all buffers hold.
    pub fn much(self) -> Vec<u8> {
        let message = match self {
            Self::Echo => peer::pattern(0, 4_000),
            Self::Web => b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            Self::Chat => framed(&"x".repeat(4_000)),
        };
        message.repeat(100)
    }
}
