//! What a client says to a server, and what it gets for it: echo, HTTP, and the frames of the chat.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;

use netcheck::peer;
use scenarios::framed;

/// How a server is talked to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Echo,
    Web,
    Chat,
}

/// The folder that epoll-web serves here. It has an index, and a file of more than all buffers hold.
static SITE: LazyLock<String> = LazyLock::new(|| {
    let site = format!("{}/site", env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&site).unwrap();
    // Another run of the suite may be using them.
    let file = |name| File::options().append(true).create(true).open(format!("{site}/{name}"));
    let mut index = file("index.html").unwrap();
    if index.metadata().unwrap().len() == 0 {
        index.write_all(INDEX).unwrap();
    }
    file("big").unwrap().set_len(64 << 20).unwrap();
    site
});
const INDEX: &[u8] = b"<p>the index\n";

impl Probe {
    /// That of a recipe, if it is a server that is known here.
    pub(super) fn of(name: &str, title: &str) -> Option<Self> {
        match name {
            "epoll-web" => Some(Self::Web),
            "chat-server" => Some(Self::Chat),
            _ => title.starts_with("Echo what each peer sends").then_some(Self::Echo),
        }
    }

    /// The options without which the server does not start.
    pub(super) fn options(self) -> Vec<&'static str> {
        if self == Self::Web { vec!["--dir", &SITE] } else { vec![] }
    }

    /// What a client says first. Each has a name of its own.
    pub(super) fn hello(self, name: &str) -> Vec<u8> {
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
    pub(super) fn reply(self, name: &str) -> Vec<u8> {
        match self {
            Self::Echo => self.message(name),
            Self::Web => INDEX.into(),
            Self::Chat => framed(&format!("said\t{name}\thello")),
        }
    }

    /// The first part of a message of more than 4,000 bytes, the rest of which never comes.
    pub(super) fn part_of_a_message(self) -> Vec<u8> {
        let start = match self {
            Self::Echo => &b""[..],
            Self::Web => b"GET / HTTP/1.1\r\nA: ",
            Self::Chat => b"\0\0\x10\0",
        };
        [start, &[b'x'; 4_000]].concat()
    }

    pub(super) fn say_hello(self, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&self.hello(&client.local_addr()?.to_string()))
    }

    pub(super) fn hear_reply(self, client: &mut TcpStream) -> io::Result<()> {
        let reply = self.reply(&client.local_addr()?.to_string());
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while !received.windows(reply.len()).any(|part| part == reply) {
            match client.read(&mut buffer)? {
                0 => return Err(io::Error::other(String::from_utf8_lossy(&received).into_owned())),
                count => received.extend(&buffer[..count]),
            }
        }
        Ok(())
    }

    /// One more round trip of a client that is being served.
    pub(super) fn ask(self, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&self.message(&client.local_addr()?.to_string()))?;
        self.hear_reply(client)
    }

    /// A client that has had a reply, so that it is surely being served, and stays.
    pub(super) fn served(self, address: SocketAddr) -> io::Result<TcpStream> {
        self.served_over(peer::connect(address)?)
    }

    /// The same over a connection that there is.
    pub(super) fn served_over(self, mut client: TcpStream) -> io::Result<TcpStream> {
        self.say_hello(&mut client)?;
        self.hear_reply(&mut client)?;
        Ok(client)
    }

    /// A client that has had a reply, and goes: nothing but a goodbye follows.
    pub(super) fn exchange(self, address: SocketAddr) -> io::Result<()> {
        let mut client = self.served(address)?;
        client.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest)?;
        let is_good = self == Self::Chat || rest.is_empty();
        if is_good { Ok(()) } else { Err(io::Error::other(format!("{rest:?} follows"))) }
    }

    /// A client that sends as much as is taken from it, and never reads.
    pub(super) fn never_reads(self, address: SocketAddr) -> io::Result<TcpStream> {
        if self == Self::Echo {
            return peer::never_reads(address).map(|(client, _)| client);
        }
        peer::fill(self.served(address)?, &self.much()).map(|(client, _)| client)
    }

    /// Messages whose replies are more than all buffers hold.
    pub(super) fn much(self) -> Vec<u8> {
        let message = match self {
            Self::Echo => peer::pattern(0, 4_000),
            Self::Web => b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            Self::Chat => framed(&"x".repeat(4_000)),
        };
        message.repeat(100)
    }
}
