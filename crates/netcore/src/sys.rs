//! The system and library calls that neither std, socket2 nor nix wrap safely: all `unsafe` of
//! this crate, each block with the precondition that it relies on.
#![expect(unsafe_code, reason = "this module is the one home of unsafe code")]

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use socket2::Socket;

// The standard library unwinds with libgcc_s.so, a library to find, to map and to relocate at each
// start, and mappings that each fork copies: of what sntp-client takes for one answer, a fourteenth. This
// is the same code to be linked in, next to libc, which every C compiler for this target brings with it.
// Where the linker comes by it only after the shared one (GNU ld, without LTO), all is as before.
#[cfg(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")))]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// Ends this process at once (`_exit(2)`): no destructor, no atexit handler, no flush of buffers
/// that belong to the parent. A forked child leaves this way.
pub fn _exit(status: i32) -> ! {
    // SAFETY: `_exit` has no precondition, and does not return.
    unsafe { libc::_exit(status) }
}

/// What a signal does, set to its default or to nothing (`sigaction(2)`).
///
/// # Errors
/// EINVAL for SIGKILL and SIGSTOP.
pub(crate) fn set_action(signal: Signal, action: Action) -> nix::Result<()> {
    let handler = match action {
        Action::Default => SigHandler::SigDfl,
        Action::Ignore => SigHandler::SigIgn,
    };
    // SAFETY: neither SIG_DFL nor SIG_IGN runs code of ours, so nothing must be signal-safe.
    unsafe { nix::sys::signal::signal(signal, handler) }.map(drop)
}

/// What the kernel does with a signal when there is no handler.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// SIG_DFL
    Default,
    /// SIG_IGN
    Ignore,
}

/// A counter that this process and all that are forked from it share (`mmap(2)`, MAP_SHARED); where
/// there is no memory for it, each process has its own.
pub(crate) fn shared_counter() -> &'static AtomicU64 {
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the address, so no mapping of this process is replaced.
    let page =
        unsafe { mmap_anonymous(None, NonZero::<usize>::MIN, protection, MapFlags::MAP_SHARED) };
    match page {
        // SAFETY: the page is zeros, aligned, never unmapped, and only read and written through
        // the atomic.
        Ok(page) => unsafe { page.cast::<AtomicU64>().as_ref() },
        Err(_) => Box::leak(Box::new(AtomicU64::new(0))),
    }
}

/// Forks a child that writes one answer into a pipe and ends (`fork(2)`); returns its process id
/// and the end of the pipe to read from. The answer ends with a NUL: at the end of the file would
/// be too late, since a child that another thread forks in this instant holds the pipe open too.
///
/// # Errors
/// Those of pipe2(2) and fork(2).
pub(crate) fn fork_to_answer(
    answer: impl FnOnce() -> Vec<u8>,
) -> nix::Result<(Pid, std::os::fd::OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: in a child of several threads only async-signal-safe calls may be made, since a lock
    // may have been held by a thread that is not there any more. glibc makes exceptions of its
    // allocator and of its resolver, whose locks it takes before it forks; `answer` uses no others.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok((child, read)),
        ForkResult::Child => {
            // Nobody else would end it if this process were killed.
            let _ = set_pdeathsig(Signal::SIGKILL);
            let mut answer = answer();
            answer.push(0);
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                match nix::unistd::write(&write, rest) {
                    Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                    Err(Errno::EINTR) => {}
                    Err(_) => break,
                }
            }
            _exit(0)
        }
    }
}

/// All addresses of a host name (`getaddrinfo(3)`), in the resolver's order, for TCP, and its
/// canonical name where `flags` ask for it.
///
/// # Errors
/// The EAI code, and errno where the code is EAI_SYSTEM.
pub(crate) fn getaddrinfo(
    host: &CStr,
    family: i32,
    port: u16,
    flags: i32,
) -> Result<(Vec<SocketAddr>, Option<CString>), (i32, Errno)> {
    // SAFETY: addrinfo is integers and pointers, for which all zeros is a value.
    let mut hints: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    hints.ai_family = family;
    hints.ai_flags = flags;
    // Without a type the resolver gives each address three times, for TCP, UDP and raw.
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = ptr::null_mut();
    // SAFETY: `host` ends in NUL, the service may be null, `hints` and `list` outlive the call.
    let code =
        unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if code != 0 {
        return Err((code, Errno::last()));
    }
    let mut addresses = Vec::new();
    let mut canonical = None;
    let mut entry = list;
    // SAFETY: getaddrinfo made a list that ends in null, and it is not freed before the end.
    while let Some(info) = unsafe { entry.as_ref() } {
        if !info.ai_canonname.is_null() {
            // SAFETY: not null, then it is a string that lives as long as the list.
            canonical = Some(unsafe { CStr::from_ptr(info.ai_canonname) }.to_owned());
        }
        match info.ai_family {
            libc::AF_INET => {
                // SAFETY: an AF_INET entry points to a sockaddr_in; read_unaligned needs no alignment.
                let raw = unsafe { info.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
                let ip = u32::from_be(raw.sin_addr.s_addr).into();
                addresses.push(SocketAddrV4::new(ip, port).into());
            }
            libc::AF_INET6 => {
                // SAFETY: an AF_INET6 entry points to a sockaddr_in6.
                let raw = unsafe { info.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
                let ip = raw.sin6_addr.s6_addr.into();
                addresses.push(SocketAddrV6::new(ip, port, 0, raw.sin6_scope_id).into());
            }
            _ => {}
        }
        entry = info.ai_next;
    }
    // SAFETY: `list` came from getaddrinfo, and nothing above keeps a pointer into it.
    unsafe { libc::freeaddrinfo(list) };
    Ok((addresses, canonical))
}

/// The host name of an address (`getnameinfo(3)`).
///
/// # Errors
/// The EAI code, EAI_NONAME where the address has no name, and errno where it is EAI_SYSTEM.
pub(crate) fn getnameinfo(ip: IpAddr) -> Result<CString, (i32, Errno)> {
    let address = socket2::SockAddr::from(SocketAddr::new(ip, 0));
    // NI_MAXHOST, getnameinfo(3).
    let mut host = [0_u8; 1025];
    // SAFETY: both buffers are valid for their lengths, and no service name is asked for.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            host.as_mut_ptr().cast(),
            1025,
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if code != 0 {
        return Err((code, Errno::last()));
    }
    let name = CStr::from_bytes_until_nul(&host).map_err(|_| (libc::EAI_OVERFLOW, Errno::EIO))?;
    Ok(name.to_owned())
}

/// A thread that has to be joined: what is not stays in memory, with its stack.
pub struct Thread(libc::pthread_t);

/// Starts a thread with a stack of that size (pthread_create(3)). std's threads cost eight calls more each:
/// they have a stack for the handler of a stack overflow, which is looked for and mapped.
///
/// # Errors
/// EAGAIN at the limit of threads, or without memory for the stack; EINVAL for a stack that is too small.
pub fn pthread_create(stack: usize, run: impl FnOnce() + Send + 'static) -> nix::Result<Thread> {
    extern "C" fn start(argument: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: it is the box that `pthread_create` was given, and this thread alone has it.
        let run = unsafe { Box::from_raw(argument.cast::<Box<dyn FnOnce() + Send>>()) };
        run();
        ptr::null_mut()
    }
    let run: Box<Box<dyn FnOnce() + Send>> = Box::new(Box::new(run));
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: it initialises what it is given.
    Errno::result(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    // SAFETY: they are initialised.
    let error = unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack) };
    let mut thread = MaybeUninit::uninit();
    let argument = Box::into_raw(run);
    let error = if error == 0 {
        // SAFETY: the attributes are initialised; `start` takes the box back, once.
        unsafe {
            libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), start, argument.cast())
        }
    } else {
        error
    };
    // SAFETY: they are initialised, and used no more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if error != 0 {
        // SAFETY: no thread was started, which would have taken it.
        drop(unsafe { Box::from_raw(argument) });
        return Err(Errno::from_raw(error));
    }
    // SAFETY: a thread was started, and its id written.
    Ok(Thread(unsafe { thread.assume_init() }))
}

/// Waits until the thread has ended, and frees its stack (pthread_join(3)).
pub fn pthread_join(thread: Thread) {
    // SAFETY: the id is that of a thread that was not joined: a `Thread` is not copied, and used up here.
    unsafe { libc::pthread_join(thread.0, ptr::null_mut()) };
}

/// How many datagrams a socket has dropped: its queue was full, or a checksum was wrong (getsockopt(2),
/// SO_MEMINFO). SO_RXQ_OVFL has the number too, with each datagram, which costs time.
///
/// # Errors
/// ENOPROTOOPT before Linux 4.12.
pub fn so_meminfo_drops(socket: &Socket) -> nix::Result<u32> {
    /// SK_MEMINFO_DROPS of the kernel's sock_diag.h, the last of nine.
    const DROPS: usize = 8;
    let mut numbers = [0_u32; DROPS + 1];
    let mut length = libc::socklen_t::try_from(size_of_val(&numbers)).unwrap_or_default();
    let (value, fd) = (numbers.as_mut_ptr().cast(), socket.as_raw_fd());
    // SAFETY: `value` is writable for `length` bytes, and both outlive the call.
    let done =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, value, &raw mut length) };
    Errno::result(done)?;
    Ok(numbers.last().copied().unwrap_or_default())
}

/// Fills the buffer with random bytes (`getrandom(2)`).
///
/// # Errors
/// ENOSYS before Linux 3.17.
pub fn getrandom(buffer: &mut [u8]) -> nix::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: `rest` is writable for its length.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(count) {
            Ok(count) => filled += usize::try_from(count).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// An instant in local time, by the time zone of the environment, in any form
/// that strftime(3) knows (`localtime_r(3)`, `strftime(3)`); `None` for a year that does not fit an
/// int, and for what fills more than 64 KiB.
#[must_use]
pub fn local_time(seconds: i64, format: &CStr) -> Option<String> {
    // SAFETY: tm is integers and a pointer, for which all zeros is a value.
    let mut parts: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: both pointers are valid, and the answer is null or the second of them.
    let known = unsafe { libc::localtime_r(&raw const seconds, &raw mut parts) };
    if known.is_null() {
        return None;
    }
    // 0 is no room, or no text (`%p` in some languages): with a character more it is no room only.
    let format = CString::new([format.to_bytes(), b".".as_slice()].concat()).ok()?;
    let mut text = vec![0_u8; 128];
    while text.len() <= 65_536 {
        // SAFETY: `text` is writable for its length, the format ends in NUL, `parts` was filled.
        let length = unsafe {
            libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &raw const parts)
        };
        if let Some(length) = length.checked_sub(1) {
            return text.get(..length).map(|text| String::from_utf8_lossy(text).into_owned());
        }
        text.resize(text.len() * 2, 0);
    }
    None
}

/// An entry of the services database (services(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Servent {
    /// The official name.
    pub(crate) name: CString,
    /// In host order.
    pub(crate) port: u16,
    /// `tcp`, `udp`, …
    pub(crate) protocol: CString,
    /// Other names.
    pub(crate) aliases: Vec<CString>,
}

/// The answers of getserv*(3) lie in a static buffer: one caller at a time, until it has been copied.
static SERVENT: Mutex<()> = Mutex::new(());

/// A service by its name or alias (`getservbyname(3)`), `None` where it is unknown.
#[must_use]
pub(crate) fn getservbyname(name: &CStr, protocol: &CStr) -> Option<Servent> {
    let _guard = SERVENT.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: both strings end in NUL; the lock keeps the static answer ours.
    let entry = unsafe { libc::getservbyname(name.as_ptr(), protocol.as_ptr()) };
    copied(entry)
}

/// A service by its port in host order (`getservbyport(3)`), `None` where it is unknown.
#[must_use]
pub(crate) fn getservbyport(port: u16, protocol: &CStr) -> Option<Servent> {
    let _guard = SERVENT.lock().unwrap_or_else(PoisonError::into_inner);
    // It wants the 16 bits in network order, in an int.
    // SAFETY: the string ends in NUL; the lock keeps the static answer ours.
    let entry = unsafe { libc::getservbyport(port.to_be().into(), protocol.as_ptr()) };
    copied(entry)
}

/// Copies what getserv* answered; the caller still holds the lock.
fn copied(entry: *const libc::servent) -> Option<Servent> {
    // SAFETY: null, or a servent that is valid until the next getserv* call.
    let entry = unsafe { entry.as_ref() }?;
    // SAFETY: the strings of a servent are not null and end in NUL.
    let string = |text: *const libc::c_char| unsafe { CStr::from_ptr(text) }.to_owned();
    let mut aliases = Vec::new();
    let mut alias = entry.s_aliases;
    // SAFETY: s_aliases is a list that ends with null, and is not read past it.
    while let Some(text) = unsafe { alias.as_ref() }.filter(|text| !text.is_null()) {
        aliases.push(string(*text));
        alias = alias.wrapping_add(1);
    }
    let port = u16::try_from(entry.s_port).ok().map(u16::from_be)?;
    Some(Servent { name: string(entry.s_name), port, protocol: string(entry.s_proto), aliases })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_fill_the_whole_buffer_and_do_not_repeat() {
        // More than the 256 that the kernel gives in one go.
        let (mut one, mut other) = ([0; 1024], [0; 1024]);
        getrandom(&mut one).unwrap();
        getrandom(&mut other).unwrap();
        assert_ne!(one, other);
        assert!(one[1016..].iter().any(|byte| *byte != 0));
        assert_eq!(getrandom(&mut []), Ok(()));
    }

    #[test]
    fn a_thread_runs_what_it_was_given_and_one_that_cannot_start_drops_it() {
        let (shared, given) = (std::sync::Arc::new(AtomicU64::new(0)), 7);
        let other = std::sync::Arc::clone(&shared);
        let thread = pthread_create(128 * 1024, move || {
            other.store(given, std::sync::atomic::Ordering::Relaxed);
        });
        pthread_join(thread.unwrap());
        assert_eq!(shared.load(std::sync::atomic::Ordering::Relaxed), 7);
        let other = std::sync::Arc::clone(&shared);
        let failed = pthread_create(1, move || drop(other));
        assert_eq!(failed.map(pthread_join), Err(Errno::EINVAL));
        assert_eq!(std::sync::Arc::strong_count(&shared), 1);
    }

    #[test]
    fn a_year_that_is_no_int_has_no_local_time() {
        assert!(local_time(0, c"%c").is_some_and(|text| text.contains("19")));
        assert_eq!(local_time(i64::MAX, c"%c"), None);
    }

    #[test]
    fn a_form_may_give_much_text_or_none() {
        assert_eq!(local_time(0, c"").as_deref(), Some(""));
        let long = CString::new("%%".repeat(300)).unwrap();
        assert_eq!(local_time(0, &long), Some("%".repeat(300)));
        let too_long = CString::new("%Y".repeat(40_000)).unwrap();
        assert_eq!(local_time(0, &too_long), None);
    }
}
