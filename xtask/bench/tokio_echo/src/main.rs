//! The same service with tokio, on one thread.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

fn main() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("setrlimit");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    if std::env::args().nth(1).is_some() {
        return runtime.block_on(echo_datagrams());
    }
    local.block_on(&runtime, async {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.set_reuseaddr(true).expect("setsockopt");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("bind");
        let listener = socket.listen(1024).expect("listen");
        println!("listening on {}", listener.local_addr().expect("getsockname"));
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(echo(stream));
            }
        }
    });
}

/// One by one: tokio has no call for many.
async fn echo_datagrams() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.expect("bind");
    println!("listening on {}", socket.local_addr().expect("getsockname"));
    let mut buffer = vec![0; 65_535];
    loop {
        if let Ok((count, peer)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..count], peer).await;
        }
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
