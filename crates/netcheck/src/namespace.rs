//! A separate machine: a network with nothing but loopback, files of its own in /etc, and a name
//! server. No root is needed where the system allows user namespaces.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid, sethostname};

use crate::binary::{IN_NAMESPACE, bin, workspace};
use crate::dns;
use crate::process::Process;
use crate::run::Run;
use crate::shell::quoted;
use crate::sys;

/// Moves this process, which must have one thread, into namespaces of its own: users (it is root
/// there, and nowhere else), network, mounts and host name, which is set to `host` if there is one. Each file of the folder `etc` takes the place of that
/// of /etc, which has to be there: nothing can be mounted on what is not. Loopback is up, and the name server of the harness serves port 53.
///
/// # Errors
/// EPERM or ENOSPC where user namespaces are not allowed; those of mount(2) and bind(2).
pub fn enter(etc: &Path, host: Option<&OsStr>) -> io::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    let own = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    unshare(CloneFlags::CLONE_NEWUSER | own)?;
    // user_namespaces(7): without a way to set groups, anyone may map their own.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    // Not by /proc/sys/kernel/hostname: that file belongs to root outside.
    host.map_or(Ok(()), sethostname)?;
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

/// Moves this process, which must have one thread, into a network of its own that has nothing but loopback. It
/// stays who it is, and is root of that network, which takes users of its own.
///
/// # Errors
/// EPERM or ENOSPC where user namespaces are not allowed.
pub fn own_network() -> io::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    sys::bring_loopback_up()
}

impl Run {
    /// Runs it in namespaces of its own ([`enter`]), with the files of the folder
    /// `etc`, a path from the root of the workspace, and the harness's name server. Its arguments are
    /// given before.
    ///
    /// # Panics
    /// When the program that does so cannot be built.
    #[must_use]
    pub fn inside(self, etc: &str) -> Self {
        self.in_namespace(Vec::new(), etc)
    }

    /// The same on a machine of that name (gethostname(2)), which need not be text.
    ///
    /// # Panics
    /// As [`Run::inside`].
    #[must_use]
    pub fn inside_named(self, etc: &str, host: impl AsRef<OsStr>) -> Self {
        self.in_namespace(vec!["--hostname".into(), host.as_ref().to_owned()], etc)
    }

    fn in_namespace(self, mut args: Vec<OsString>, etc: &str) -> Self {
        let words = args.iter().map(|word| quoted(word)).chain([etc.to_owned()]);
        let words: Vec<String> = words.chain(self.words()).collect();
        let typed = format!("cargo run -qp netcheck -- {}", words.join(" "));
        args.push(workspace().join(etc).into_os_string());
        let mut run = self.wrapped(IN_NAMESPACE, args);
        run.program = bin(IN_NAMESPACE);
        run.typed = Some(typed);
        run
    }

    /// Runs it under unshare(1), in namespaces of these kinds (`--net`) and as their root. Takes
    /// [`crate::Need::UserNamespace`]; its arguments are given before.
    #[must_use]
    pub fn unshared(self, kinds: &[&str]) -> Self {
        let options = ["--user", "--map-root-user"].iter().chain(kinds);
        self.wrapped("unshare", options.map(Into::into).collect())
    }

    /// Runs it with the users and the network of `process`, which [`Run::inside`] has given its own and
    /// which has shown since that it has them. Takes [`crate::Need::Nsenter`]; its arguments are given
    /// before.
    #[must_use]
    pub fn beside(self, process: &Process) -> Self {
        self.wrapped("nsenter", beside(process).map(Into::into).to_vec())
    }
}

/// The options of nsenter(1) that enter them.
pub(crate) fn beside(process: &Process) -> [String; 4] {
    // As who it is: setting groups, as nsenter(1) would, is denied there.
    let target = format!("--target={}", process.pid());
    [target, "--user".into(), "--net".into(), "--preserve-credentials".into()]
}
