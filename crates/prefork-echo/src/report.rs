//! What the parent knows of its workers: which places are taken, when a worker that has died is
//! started again, and the counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use netcore::error::errno;
use netcore::log::Log;
use netcore::text::{Json, counted};

/// The pause before a place is filled again, after one death. It doubles with each that follows.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A worker that lived so long was no failure of its start.
const LONG: Duration = Duration::from_secs(10);

pub(crate) struct Children {
    log: Log,
    places: Vec<Place>,
    /// The place of each worker that was not reaped yet.
    alive: BTreeMap<Pid, u16>,
    /// Whether the parent signals them to end: that they die is then no failure.
    pub(crate) ending: bool,
    started: u64,
    /// Those that have served as many clients as they were to serve.
    retired: u64,
    failed: u64,
}

struct Place {
    /// When to fill it; `None` while it is filled.
    start: Option<Instant>,
    since: Instant,
    /// The pause after the next death.
    pause: Duration,
}

impl Children {
    pub(crate) fn new(log: Log, count: u16) -> Children {
        let now = Instant::now();
        let place = || Place { start: Some(now), since: now, pause: PAUSE };
        let places = std::iter::repeat_with(place).take(count.into()).collect();
        let (started, retired, failed) = (0, 0, 0);
        Children { log, places, alive: BTreeMap::new(), ending: false, started, retired, failed }
    }

    /// A place that is to be filled now.
    pub(crate) fn wanted(&self) -> Option<u16> {
        let now = Instant::now();
        let free = |place: &Place| place.start.is_some_and(|start| start <= now);
        self.places.iter().position(free).and_then(|place| place.try_into().ok())
    }

    /// When the next place is to be filled.
    pub(crate) fn next_start(&self) -> Option<Instant> {
        self.places.iter().filter_map(|place| place.start).min()
    }

    pub(crate) fn forked(&mut self, child: Pid, place: u16) {
        self.alive.insert(child, place);
        self.started += 1;
        if let Some(place) = self.places.get_mut(usize::from(place)) {
            (place.start, place.since) = (None, Instant::now());
        }
    }

    /// `fork` failed: EAGAIN at the limit of processes (RLIMIT_NPROC, pids.max), ENOMEM.
    pub(crate) fn fork_failed(&mut self, place: u16, why: Errno) {
        self.lost(place, &format!("fork: {}", errno(why)));
    }

    /// The place is free; it is filled again after a pause.
    fn lost(&mut self, number: u16, why: &str) {
        let Some(place) = self.places.get_mut(usize::from(number)) else { return };
        if place.since.elapsed() >= LONG {
            place.pause = PAUSE;
        }
        let pause = place.pause;
        place.start = Instant::now().checked_add(pause);
        place.pause = (2 * pause).min(LONGEST_PAUSE);
        self.failed += 1;
        let millis = pause.as_millis();
        self.log.note(format_args!("worker {number} lost: {why}; the next in {millis} ms"));
    }

    /// The place is free, and filled again at once.
    fn retire(&mut self, number: u16) {
        self.retired += 1;
        if let Some(place) = self.places.get_mut(usize::from(number)) {
            (place.start, place.pause) = (Some(Instant::now()), PAUSE);
        }
    }

    pub(crate) fn reaped(&mut self, status: WaitStatus) {
        let Some(place) = status.pid().and_then(|pid| self.alive.remove(&pid)) else { return };
        if self.ending {
            return;
        }
        match status {
            WaitStatus::Signaled(pid, signal, _) => {
                self.lost(place, &format!("process {pid} was killed by {signal}"));
            }
            WaitStatus::Exited(_, 0) => self.retire(place),
            WaitStatus::Exited(pid, code) => {
                self.lost(place, &format!("process {pid} exited with {code}"))
            }
            _ => {}
        }
    }

    /// Those that were not reaped yet.
    pub(crate) fn alive(&self) -> impl Iterator<Item = Pid> {
        self.alive.keys().copied()
    }

    /// The counts, on SIGUSR1 and at the end.
    pub(crate) fn report(&self) {
        let Children { started, retired, failed, alive, .. } = self;
        self.log.event(
            || {
                let json = Json::new("counts").number("workers", alive.len() as u64);
                let json = json.number("started", *started).number("retired", *retired);
                json.number("lost", *failed)
            },
            || {
                let workers = counted(alive.len(), "worker");
                format!("{workers}, started {started}, retired {retired}, lost {failed}")
            },
        );
    }
}
