//! The one thread that starts processes.
//!
//! A child asks for SIGKILL when its parent ends (PR_SET_PDEATHSIG, prctl(2)), so that nothing is left
//! when the harness itself is killed. The kernel takes "parent" to mean the *thread* that forked: a server
//! started by a test's thread and handed to another would be killed as soon as the first ends. So all
//! are started by a thread that lives as long as the harness.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

struct Order {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// Starts `command` from the spawner thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| Mutex::new(start()));
    let (reply, child) = mpsc::channel();
    let orders = spawner.lock().unwrap_or_else(PoisonError::into_inner);
    orders.send(Order { command, reply }).expect("the spawner lives as long as the harness");
    drop(orders);
    child.recv().expect("the spawner answers every order")
}

fn start() -> Sender<Order> {
    let (orders, received) = mpsc::channel::<Order>();
    let spawner = move || {
        for mut order in received {
            // The caller is waiting, so this cannot fail.
            let _ = order.reply.send(order.command.spawn());
        }
    };
    thread::Builder::new().name("spawner".into()).spawn(spawner).expect("start the spawner");
    orders
}
