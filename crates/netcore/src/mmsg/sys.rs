//! The two calls, and the memory that they need.
#![expect(
    unsafe_code,
    reason = "the headers of both calls are pointers to the parts of each datagram"
)]

use std::iter::successors;
use std::marker::PhantomData;
use std::mem::{size_of, zeroed};
use std::os::fd::AsRawFd;
use std::ptr;
use std::slice;

use libc::{CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE};
use libc::{cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr, msghdr, sockaddr_storage};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrLike, SockaddrStorage};
use socket2::Socket;

use super::{Control, Outgoing, Received};
use crate::pktinfo::Destination;

/// Room for one control message of each kind. An IPv6 socket gets both addresses of an IPv4 peer.
const SPACE: usize = space::<in_pktinfo>() + space::<in6_pktinfo>();

/// The size of a type as the kernel counts it.
#[expect(clippy::cast_possible_truncation, reason = "no type here is as large as 4 GiB")]
const fn bytes_of<T>() -> u32 {
    size_of::<T>() as u32
}

/// What a control message with a `T` takes, up to the next one.
const fn space<T>() -> usize {
    // SAFETY: it computes with a number.
    unsafe { CMSG_SPACE(bytes_of::<T>()) as usize }
}

/// The same without the padding.
const fn length<T>() -> u32 {
    // SAFETY: it computes with a number.
    unsafe { CMSG_LEN(bytes_of::<T>()) }
}

/// What the header of a datagram leads to, beside its bytes and its name. A control message is aligned as its
/// header.
#[repr(C)]
struct Parts {
    control: [u8; SPACE],
    align: [cmsghdr; 0],
    bytes: iovec,
}

impl Parts {
    fn new() -> Parts {
        // SAFETY: all of it is integers and pointers, for which zeros are a value.
        unsafe { zeroed() }
    }

    /// The header that leads to them, and to no name yet.
    fn header(&mut self, control_length: usize) -> mmsghdr {
        // SAFETY: as above; some libraries of C have fields of their own in it.
        let mut header: mmsghdr = unsafe { zeroed() };
        header.msg_hdr.msg_iov = &raw mut self.bytes;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = (&raw mut self.control).cast();
        header.msg_hdr.msg_controllen = control_length as _;
        header
    }
}

/// Room for as many datagrams as one recvmmsg(2) takes. Their buffers are not touched before there is
/// something to write to them.
pub struct Batch {
    buffers: Vec<u8>,
    /// Bytes of one of the buffers.
    size: usize,
    parts: Box<[Parts]>,
    names: Box<[sockaddr_storage]>,
    headers: Vec<mmsghdr>,
    /// How many were filled.
    received: usize,
}

impl Batch {
    /// Room for `count` datagrams of at most `size` bytes.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(count: usize, size: usize) -> nix::Result<Batch> {
        let mut buffers = Vec::new();
        buffers.try_reserve_exact(count.saturating_mul(size)).map_err(|_| Errno::ENOMEM)?;
        let parts = (0..count).map(|_| Parts::new()).collect();
        // SAFETY: it is integers, for which zeros are a value.
        let names = (0..count).map(|_| unsafe { zeroed() }).collect();
        Ok(Batch { buffers, size, parts, names, headers: Vec::with_capacity(count), received: 0 })
    }

    /// What the last recvmmsg(2) has filled.
    pub fn datagrams(&self) -> impl Iterator<Item = Received<'_>> {
        let filled = self.headers.iter().zip(&self.names).take(self.received);
        filled.enumerate().map(|(index, (header, name))| {
            let length = header.msg_len as usize;
            // SAFETY: the buffers have room for `count * size` bytes, and `index < count`.
            let start = unsafe { self.buffers.as_ptr().add(index * self.size) };
            // SAFETY: the kernel has written so many bytes there, and the slice borrows the batch.
            let bytes = unsafe { slice::from_raw_parts(start, length.min(self.size)) };
            let name = ptr::from_ref(name).cast();
            // SAFETY: the kernel has written a name of that length, or none, which is 0.
            let from = unsafe { SockaddrStorage::from_raw(name, Some(header.msg_hdr.msg_namelen)) };
            let control = ControlMessages { header: header.msg_hdr, batch: PhantomData };
            Received { bytes, length, from, control }
        })
    }
}

/// Receives the datagrams that are there, as many as the batch has room for (recvmmsg(2)): their number.
/// With MSG_WAITFORONE, or without MSG_DONTWAIT, it waits.
///
/// # Errors
/// Those of recvmmsg(2).
pub fn recvmmsg(socket: &Socket, batch: &mut Batch, flags: MsgFlags) -> nix::Result<usize> {
    let Batch { buffers, size, parts, names, headers, received } = batch;
    // The kernel has changed the lengths of the last call.
    headers.clear();
    let buffers = buffers.spare_capacity_mut().chunks_exact_mut(*size);
    for ((buffer, parts), name) in buffers.zip(parts).zip(names) {
        parts.bytes = iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut header = parts.header(SPACE);
        header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = bytes_of::<sockaddr_storage>();
        headers.push(header);
    }
    *received = 0;
    // SAFETY: each header leads to a buffer, a name and control messages of the lengths that it says, all
    // of which outlive the call. Without a timeout.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            u32::try_from(headers.len()).unwrap_or(u32::MAX),
            flags.bits() as _,
            ptr::null_mut(),
        )
    };
    *received = usize::try_from(Errno::result(count)?).unwrap_or_default();
    Ok(*received)
}

/// Sends datagrams in order (sendmmsg(2)) until one fails: the number of those that were sent. The error of
/// a datagram is returned when it is the first.
///
/// # Errors
/// Those of sendmsg(2) for the first of them.
pub fn sendmmsg(
    socket: &Socket,
    datagrams: &[Outgoing<'_>],
    flags: MsgFlags,
) -> nix::Result<usize> {
    let mut all: Vec<Parts> = datagrams.iter().map(|_| Parts::new()).collect();
    let mut headers = Vec::with_capacity(datagrams.len());
    for (parts, datagram) in all.iter_mut().zip(datagrams) {
        let Outgoing { bytes, to, source } = datagram;
        parts.bytes = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let length = match source {
            Destination::V4(info) => parts.encode(libc::IPPROTO_IP, libc::IP_PKTINFO, *info),
            Destination::V6(info) => parts.encode(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, *info),
            Destination::Unknown => 0,
        };
        let mut header = parts.header(length);
        if let Some(name) = to {
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
        }
        headers.push(header);
    }
    // SAFETY: each header leads to bytes, a name and control messages of the lengths that it says, all of
    // which outlive the call; the kernel writes to none of them.
    let count = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            u32::try_from(headers.len()).unwrap_or(u32::MAX),
            flags.bits() as _,
        )
    };
    Ok(usize::try_from(Errno::result(count)?).unwrap_or_default())
}

impl Parts {
    /// Makes `value` its only control message; the length of that, with its padding.
    fn encode<T: Copy>(&mut self, level: i32, kind: i32, value: T) -> usize {
        let space = space::<T>();
        let header = self.header(space).msg_hdr;
        // SAFETY: the header says where the control messages are, and that there is room for this one.
        let message = unsafe { CMSG_FIRSTHDR(&raw const header) };
        // SAFETY: as above; they are aligned as their header, and zeros were written to all of them.
        let Some(message) = (unsafe { message.as_mut() }) else { return 0 };
        message.cmsg_level = level;
        message.cmsg_type = kind;
        message.cmsg_len = length::<T>() as _;
        // SAFETY: the value lies behind the header.
        let place = unsafe { CMSG_DATA(message) }.cast::<T>();
        // SAFETY: there is room for a `T`.
        unsafe { place.write_unaligned(value) };
        space
    }
}

/// The control messages of a datagram.
pub struct ControlMessages<'a> {
    header: msghdr,
    batch: PhantomData<&'a Batch>,
}

impl ControlMessages<'_> {
    /// Those of the kinds of [`Control`], in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = Control> {
        let header = &raw const self.header;
        // SAFETY: the kernel has written the control messages and their length, and the batch is borrowed.
        let first = unsafe { CMSG_FIRSTHDR(header) };
        // SAFETY: null, or one of them.
        let all = successors(unsafe { first.as_ref() }, move |last| {
            // SAFETY: as above; `last` is one of them.
            let next = unsafe { CMSG_NXTHDR(header, ptr::from_ref(*last)) };
            // SAFETY: null, or one of them.
            unsafe { next.as_ref() }
        });
        all.filter_map(decode)
    }
}

fn decode(message: &cmsghdr) -> Option<Control> {
    Some(match (message.cmsg_level, message.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Control::Ipv4PacketInfo(value(message)?),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => Control::Ipv6PacketInfo(value(message)?),
        _ => return None,
    })
}

/// What the message carries, if it is whole.
fn value<T: Copy>(message: &cmsghdr) -> Option<T> {
    if message.cmsg_len < length::<T>() as _ {
        return None;
    }
    // SAFETY: the value lies behind the header.
    let value = unsafe { CMSG_DATA(message) }.cast::<T>();
    // SAFETY: all of it is there. Each `T` here is integers, for which any bytes are a value.
    Some(unsafe { value.read_unaligned() })
}
