//! The system and library calls that neither std, socket2 nor nix wrap safely: all `unsafe` of
//! this crate, each block with the precondition that it relies on.
#![expect(unsafe_code, reason = "this module is the one home of unsafe code")]

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal};

/// Ends this process at once (`_exit(2)`): no destructor, no atexit handler, no flush of buffers
/// that belong to the parent. A forked child leaves this way.
pub fn exit_now(status: i32) -> ! {
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

/// All addresses of a host name (`getaddrinfo(3)`), in the resolver's order, for TCP.
///
/// # Errors
/// The EAI code, and errno where the code is EAI_SYSTEM.
pub(crate) fn getaddrinfo(
    host: &CStr,
    family: i32,
    port: u16,
) -> Result<Vec<SocketAddr>, (i32, Errno)> {
    // SAFETY: addrinfo is integers and pointers, for which all zeros is a value.
    let mut hints: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    hints.ai_family = family;
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
    let mut entry = list;
    // SAFETY: getaddrinfo made a list that ends in null, and it is not freed before the end.
    while let Some(info) = unsafe { entry.as_ref() } {
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
    Ok(addresses)
}

/// The port of a service by name or alias (`getservbyname(3)`), in host order.
#[must_use]
pub(crate) fn getservbyname(name: &str, protocol: &CStr) -> Option<u16> {
    // The answer lies in a static buffer: one caller at a time, until it has been copied.
    static BUFFER: Mutex<()> = Mutex::new(());
    let name = CString::new(name).ok()?;
    let _guard = BUFFER.lock().ok()?;
    // SAFETY: both strings end in NUL; the lock keeps the static answer ours.
    let entry = unsafe { libc::getservbyname(name.as_ptr(), protocol.as_ptr()) };
    // SAFETY: the answer is null or a servent that is valid until the next getserv* call.
    let entry = unsafe { entry.as_ref() }?;
    // The port is a 16-bit number in network order, kept in an int.
    u16::try_from(entry.s_port).ok().map(u16::from_be)
}
