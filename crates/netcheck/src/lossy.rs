//! A path for datagrams that loses, doubles, reorders, changes and delays them, the same ones each time.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::peer::pattern;

/// What happens to a reply on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It comes as it went.
    Comes,
    /// It does not come.
    Lost,
    /// It comes twice.
    Doubled,
    /// It comes after the next one.
    Overtaken,
    /// It comes with its last byte changed.
    Changed,
    /// It comes so much later.
    Late(Duration),
}

/// The fates of the replies of one path, in their order.
#[derive(Clone, Debug)]
pub struct Fates {
    /// The same seed has the same fates.
    pub seed: u64,
    /// How many of a hundred replies have a fate; the others come as they went.
    pub percent: Vec<(Fate, u64)>,
    /// From this reply on, the first being 0, all come as they went.
    pub until: u64,
}

impl Fates {
    /// What happens to the reply `number`, the first being 0.
    pub fn fate(&self, number: u64) -> Fate {
        let random = pattern(self.seed ^ number << 32, 8);
        let random = random.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) % 100;
        let mut below = 0;
        let hit = self.percent.iter().find(|(_, percent)| {
            below += percent;
            random < below
        });
        hit.filter(|_| number < self.until).map_or(Fate::Comes, |(fate, _)| *fate)
    }

    /// How many replies have that fate.
    pub fn count(&self, fate: Fate) -> u64 {
        (0..self.until).filter(|number| self.fate(*number) == fate).count() as u64
    }
}

/// A proxy between a server and one client at a time: requests pass, replies have their fates.
#[derive(Debug)]
pub struct LossyPath {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LossyPath {
    /// Opens a path to `server`, from an address of 127.0.0.1.
    ///
    /// # Panics
    /// When the system has no port or descriptor left.
    pub fn to(server: SocketAddr, fates: Fates) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("bind to a free port");
        let (front, back) = (bind(), bind());
        back.connect(server).expect("connect");
        let address = front.local_addr().expect("its address");
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let path =
            Path { front, back, fates, client: None, number: 0, overtaken: None, late: vec![] };
        let thread = Some(thread::spawn(move || path.carry(&stop)));
        Self { address, over, thread }
    }

    /// Where a client sends what is meant for the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for LossyPath {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // The poll that waits has to return.
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|one| one.send_to(&[], self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Path {
    front: UdpSocket,
    back: UdpSocket,
    fates: Fates,
    client: Option<SocketAddr>,
    /// Of the next reply.
    number: u64,
    overtaken: Option<Vec<u8>>,
    late: Vec<(Instant, Vec<u8>)>,
}

impl Path {
    fn carry(mut self, over: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        loop {
            let next = self.late.iter().map(|(due, _)| *due).min();
            let left = next.map(|due| due.saturating_duration_since(Instant::now()).as_nanos());
            let millis = left.map(|nanos| nanos.div_ceil(1_000_000));
            let wait = millis.map_or(PollTimeout::NONE, |millis| {
                PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
            });
            let [front, back] = [&self.front, &self.back]
                .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            let mut fds = [front, back];
            let _ = poll(&mut fds, wait);
            if over.load(Ordering::Relaxed) {
                return;
            }
            let [front, back] = fds.map(|fd| fd.any() == Some(true));
            if front && let Ok((length, client)) = self.front.recv_from(&mut buffer) {
                self.client = Some(client);
                // Where there is no server, the error is reported here only.
                let _ = self.back.send(buffer.get(..length).unwrap_or_default());
            }
            if back && let Ok(length) = self.back.recv(&mut buffer) {
                self.reply(buffer.get(..length).unwrap_or_default().to_vec());
            }
            let now = Instant::now();
            let (due, late) = self.late.drain(..).partition(|(due, _)| *due <= now);
            self.late = late;
            let due: Vec<(Instant, Vec<u8>)> = due;
            due.iter().for_each(|(_, bytes)| drop(self.send(bytes)));
        }
    }

    fn reply(&mut self, mut bytes: Vec<u8>) {
        let fate = self.fates.fate(self.number);
        self.number += 1;
        let before = self.overtaken.take();
        match fate {
            Fate::Comes => drop(self.send(&bytes)),
            Fate::Lost => {}
            Fate::Doubled => (0..2).for_each(|_| drop(self.send(&bytes))),
            Fate::Overtaken => self.overtaken = Some(bytes),
            Fate::Changed => {
                bytes.iter_mut().next_back().into_iter().for_each(|byte| *byte ^= 0xff);
                drop(self.send(&bytes));
            }
            Fate::Late(delay) => self.late.push((Instant::now() + delay, bytes)),
        }
        before.into_iter().for_each(|bytes| drop(self.send(&bytes)));
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.front.send_to(bytes, self.client.expect("a reply follows a request"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_has_the_same_fates_and_about_as_many_as_were_asked_for() {
        let fates = |seed| Fates {
            seed,
            percent: vec![(Fate::Lost, 10), (Fate::Doubled, 20)],
            until: 10_000,
        };
        let all = |seed| (0..100).map(|number| fates(seed).fate(number)).collect::<Vec<_>>();
        assert!(all(1) == all(1) && all(1) != all(2));
        let (lost, doubled) = (fates(1).count(Fate::Lost), fates(1).count(Fate::Doubled));
        assert!(
            (900..1100).contains(&lost) && (1900..2100).contains(&doubled),
            "{lost}, {doubled}"
        );
        assert_eq!(fates(1).fate(10_000), Fate::Comes);
    }

    #[test]
    fn replies_have_their_fates() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let soon = Some(Duration::from_secs(10));
        [&server, &client].into_iter().for_each(|one| one.set_read_timeout(soon).unwrap());
        for (fate, expected) in [
            (Fate::Comes, vec!["a", "b"]),
            (Fate::Lost, vec!["b"]),
            (Fate::Doubled, vec!["a", "a", "b"]),
            (Fate::Overtaken, vec!["b", "a"]),
            (Fate::Changed, vec!["\u{9e}", "b"]),
            (Fate::Late(Duration::from_millis(100)), vec!["b", "a"]),
        ] {
            let fates = Fates { seed: 1, percent: vec![(fate, 100)], until: 1 };
            let path = LossyPath::to(server.local_addr().unwrap(), fates);
            client.connect(path.address()).unwrap();
            client.send(b"hello").unwrap();
            let (length, peer) = server.recv_from(&mut [0; 10]).unwrap();
            assert_eq!(length, 5);
            server.send_to(b"a", peer).unwrap();
            server.send_to(b"b", peer).unwrap();
            for one in expected {
                let mut byte = [0; 2];
                let length = client.recv(&mut byte).unwrap();
                // The byte as a Latin-1 character.
                assert_eq!(
                    (length, char::from(byte[0]).to_string().as_str()),
                    (1, one),
                    "{fate:?}"
                );
            }
        }
    }
}
