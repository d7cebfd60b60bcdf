//! Which CPU the servers have, and which the load.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Where the servers run, with all their children, and where the load. Left to the scheduler, it
/// would be its choice, and not the server, that is measured.
pub(crate) struct Pins {
    pub(crate) servers: CpuSet,
    pub(crate) load: CpuSet,
    /// The same in words.
    pub(crate) text: String,
}

impl Pins {
    /// The first two CPUs that this process may use, or the first alone; `None` when there are not as
    /// many.
    pub(crate) fn new(one: bool) -> Option<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
        let first = cpus.next()?;
        let second = if one { first } else { cpus.next()? };
        let (mut servers, mut load) = (CpuSet::new(), CpuSet::new());
        servers.set(first).ok()?;
        load.set(second).ok()?;
        Some(Self { servers, load, text: format!("servers on CPU {first}, load on CPU {second}") })
    }

    /// This process belongs to the load.
    ///
    /// # Errors
    /// Those of sched_setaffinity(2).
    pub(crate) fn pin_this_process(&self) -> nix::Result<()> {
        sched_setaffinity(Pid::from_raw(0), &self.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cpu_is_shared_and_two_are_not() {
        let Pins { servers, load, .. } = Pins::new(true).unwrap();
        assert_eq!(servers, load);
        assert!(Pins::new(false).is_none_or(|Pins { servers, load, .. }| servers != load));
    }
}
