//! The load: one thread, and one epoll with every connection in it.

mod events;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use socket2::Socket;

use netcore::error::{Attempt, Error};
use netcore::signal::{Signal, Signals};

use crate::args::{Args, Mode};
use crate::bytes::{Bytes, CHUNK};
use crate::connection::Connection;
use crate::tally::Tally;

/// How many connections at once wait for their first echo while all are opened: as many as a short
/// queue of a listener holds (5 is the backlog of Python's socketserver). When the queue is full, the kernel
/// sends the SYN again after 1 s, 3 s and 7 s.
const OPENING: usize = 5;

/// Events of one epoll_wait.
const EVENTS: usize = 256;

/// The number that comes back with an event, where it is not that of a connection.
const SIGNAL: u64 = u64::MAX;
const TICK: u64 = u64::MAX - 1;

/// The load, and its results.
pub(crate) struct Load<'a> {
    args: &'a Args,
    mode: Mode,
    peer: SocketAddr,
    epoll: Epoll,
    pub(crate) signals: Signals,
    /// The signal that ended it.
    pub(crate) stopped: Option<Signal>,
    timer: TimerFd,
    bytes: Bytes,
    buffer: Vec<u8>,
    events: Vec<EpollEvent>,
    /// The time, read once for each event.
    now: Instant,
    /// The connections; with --churn a slot is empty between two.
    slots: Vec<Option<Connection>>,
    /// Slots without a message under way.
    free: VecDeque<usize>,
    /// No deadline of a connection is earlier than this. Each wait that begins counts, the first too:
    /// nothing else ends that.
    earliest: Option<Instant>,
    /// The measurement; `None` while the connections are being opened.
    window: Option<Window>,
    pub(crate) tally: Tally,
}

/// The time in which messages are begun. What is under way at its end is finished and counted.
struct Window {
    start: Instant,
    end: Option<Instant>,
    /// Messages that were begun; with --rate the number of the next one says when it is due.
    begun: u64,
}

impl<'a> Load<'a> {
    pub(crate) fn new(
        args: &'a Args,
        mode: Mode,
        peer: SocketAddr,
        signals: Signals,
    ) -> Result<Self, Error> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).attempt("epoll_create1")?;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).attempt("timerfd_create")?;
        let readable = |about| EpollEvent::new(EpollFlags::EPOLLIN, about);
        epoll.add(&signals, readable(SIGNAL)).attempt("epoll_ctl")?;
        epoll.add(&timer, readable(TICK)).attempt("epoll_ctl")?;
        let count = args.connections as usize;
        Ok(Load {
            args,
            mode,
            peer,
            epoll,
            signals,
            stopped: None,
            timer,
            bytes: Bytes::new(args.seed),
            buffer: vec![0; CHUNK as usize],
            events: vec![EpollEvent::empty(); EVENTS],
            now: Instant::now(),
            slots: Vec::with_capacity(count),
            free: VecDeque::with_capacity(count),
            earliest: None,
            window: None,
            tally: Tally::new(args.rate.is_some())?,
        })
    }

    /// Opens the connections, each with a first message there and back, which is not measured. A server
    /// that cannot serve so many at once is found here.
    pub(crate) fn open(&mut self, first: Socket, deadline: Option<Instant>) -> Result<(), Error> {
        let first = Connection::new(first, self.peer, 1, deadline).with_nodelay()?;
        self.tally.opened = 1;
        self.slots.push(Some(first));
        self.send_message(0, self.now)?;
        // The others wait for it, which shows that the server echoes.
        while self.free.is_empty() && self.stopped.is_none() {
            self.wait_and_serve(None)?;
        }
        if self.mode == Mode::Churn {
            self.slots.clear();
            self.slots.resize_with(self.args.connections as usize, || None);
            self.free = (0..self.slots.len()).collect();
            return Ok(());
        }
        let all = self.args.connections as usize;
        while self.free.len() < all && self.stopped.is_none() {
            if self.slots.len() < all && self.slots.len() - self.free.len() < OPENING {
                let slot = self.slots.len();
                self.slots.push(None);
                self.open_slot(slot)?;
                self.send_message(slot, self.now)?;
            } else {
                self.wait_and_serve(None)?;
            }
        }
        Ok(())
    }

    /// Loads the server for the duration, and closes all connections, each after the server's FIN.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        let end = self.args.duration.duration().and_then(|time| start.checked_add(time));
        self.now = start;
        self.window = Some(Window { start, end, begun: 0 });
        self.tally.start(start);
        if let Some(rate) = self.args.rate {
            let tick = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
            let expiration = Expiration::Interval(tick.max(Duration::from_micros(1)).into());
            let set = self.timer.set(expiration, TimerSetTimeFlags::empty());
            set.attempt("timerfd_settime")?;
        }
        let result = self.load(end);
        let now = Instant::now();
        if self.args.rate.is_some() {
            self.count_unsent(end.map_or(now, |end| end.min(now)));
        }
        // It ends with its last message, or with the error or the signal.
        self.tally.failed = result.is_err();
        let complete = result.is_ok() && self.stopped.is_none();
        self.tally.stop(end.filter(|_| complete).unwrap_or(now));
        result
    }

    fn load(&mut self, end: Option<Instant>) -> Result<(), Error> {
        if self.mode == Mode::Bulk {
            for slot in std::mem::take(&mut self.free) {
                self.send_message(slot, self.now)?;
            }
        }
        let mut ending = false;
        while self.stopped.is_none() {
            if end.is_none_or(|end| self.now < end) {
                self.begin_due()?;
                self.wait_and_serve(end)?;
                continue;
            }
            if !ending && self.mode == Mode::Bulk {
                self.free = (0..self.slots.len()).collect();
            }
            ending = true;
            while let Some(slot) = self.free.pop_front() {
                self.shut_down(slot)?;
            }
            if !self.slots.iter().flatten().any(Connection::is_busy) {
                return Ok(());
            }
            self.wait_and_serve(None)?;
        }
        Ok(())
    }

    /// Begins the messages that are due, on the connections that are free. Without a rate the next one is
    /// due as soon as the last has come back; with a rate the clock decides, however slow the server is.
    fn begin_due(&mut self) -> Result<(), Error> {
        let now = self.now;
        if matches!(self.mode, Mode::Bulk | Mode::Idle) {
            return Ok(());
        }
        while !self.free.is_empty()
            && let Some(window) = &mut self.window
            && window.end.is_none_or(|end| now < end)
        {
            let due = self.args.rate.map_or(now, |rate| due(window.start, window.begun, rate));
            if due > now {
                break;
            }
            window.begun += 1;
            let Some(slot) = self.free.pop_front() else { break };
            if self.mode == Mode::Churn {
                self.open_slot(slot)?;
            }
            self.send_message(slot, due)?;
        }
        Ok(())
    }

    fn open_slot(&mut self, slot: usize) -> Result<(), Error> {
        self.tally.opened = self.tally.opened.wrapping_add(1);
        let deadline = self.args.timeout.deadline_of(self.now);
        let mut connection = Connection::begin_to_connect(self.peer, self.tally.opened, deadline)?;
        if self.mode != Mode::Churn {
            connection = connection.with_nodelay()?;
        }
        if let Some(empty) = self.slots.get_mut(slot) {
            *empty = Some(connection);
        }
        Ok(())
    }

    fn send_message(&mut self, slot: usize, due: Instant) -> Result<(), Error> {
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        let endless = self.mode == Mode::Bulk && self.window.is_some();
        connection.goal =
            if endless { u64::MAX } else { connection.sent + u64::from(self.args.size) };
        (connection.due, connection.begun, connection.start) = (due, self.now, connection.sent);
        if connection.is_open {
            connection.deadline = self.args.idle_timeout.deadline_of(self.now);
        }
        self.earliest = self.earliest.into_iter().chain(connection.deadline).min();
        connection.send_some(&self.bytes)?;
        connection.set_interest(&self.epoll, slot as u64)
    }

    /// Ends a connection, if there is one.
    fn shut_down(&mut self, slot: usize) -> Result<(), Error> {
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        connection.is_open = true;
        if !connection.is_busy() {
            // From now on the server owes its FIN; if it owes bytes, its silence goes on.
            connection.deadline = self.args.idle_timeout.deadline_of(self.now);
        }
        self.earliest = self.earliest.into_iter().chain(connection.deadline).min();
        connection.shut_down();
        connection.set_interest(&self.epoll, slot as u64)
    }

    /// Counts the messages that were due and found no free connection with the time until now, which they
    /// have waited at least: otherwise the longest waits of all would be missing.
    fn count_unsent(&mut self, over: Instant) {
        let (Some(window), Some(rate)) = (&self.window, self.args.rate) else { return };
        for number in window.begun.. {
            let due = due(window.start, number, rate);
            if due >= over {
                break;
            }
            self.tally.count_unsent(over - due);
        }
    }
}

/// When a message is due: `rate` a second, evenly.
fn due(start: Instant, number: u64, rate: u32) -> Instant {
    let (number, rate) = (u128::from(number), u128::from(rate));
    let nanos = u64::try_from(number * 1_000_000_000 / rate).unwrap_or(u64::MAX);
    start.checked_add(Duration::from_nanos(nanos)).unwrap_or(start)
}
