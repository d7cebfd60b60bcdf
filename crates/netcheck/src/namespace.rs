//! A separate machine: a network with nothing but loopback, files of its own in /etc, and a name
//! server. No root is needed where the system allows user namespaces.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

use crate::dns;
use crate::process::Process;
use crate::run::Run;
use crate::sys;

/// Moves this process, which must have one thread, into namespaces of its own: users (it is root
/// there, and nowhere else), network and mounts. Each file of the folder `etc` takes the place of that
/// of /etc, which has to be there: nothing can be mounted on what is not. Loopback is up, and the name server of the harness serves port 53.
///
/// # Errors
/// EPERM or ENOSPC where user namespaces are not allowed; those of mount(2) and bind(2).
pub fn enter(etc: &Path) -> io::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    // user_namespaces(7): without a way to set groups, anyone may map their own.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    let none = None::<&str>;
    // What is mounted here is not to be seen outside.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for file in fs::read_dir(etc)? {
        let file = file?;
        let place = Path::new("/etc").join(file.file_name());
        mount(Some(&file.path()), &place, none, MsFlags::MS_BIND, none)?;
    }
    sys::bring_loopback_up()?;
    dns::serve()
}

impl Run {
    /// Runs it with the users and the network of `process`, which [`Run::inside`] has given its own and
    /// which has shown since that it has them. Takes [`crate::Need::Nsenter`]; its arguments are given
    /// before.
    #[must_use]
    pub fn beside(self, process: &Process) -> Self {
        let target = format!("--target={}", process.pid());
        // As who it is: setting groups, as nsenter(1) would, is denied there.
        let args = [&*target, "--user", "--net", "--preserve-credentials"];
        self.wrapped("nsenter", args.map(Into::into).to_vec())
    }
}
