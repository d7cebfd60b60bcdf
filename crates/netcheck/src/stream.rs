//! What a process has written so far, collected by a thread while it runs.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// One stream of a process. A full pipe would stop the process, so a thread always reads.
#[derive(Debug)]
pub(crate) struct Stream {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    written: Mutex<Written>,
    changed: Condvar,
}

/// What has come, and whether more can come.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    /// Every writer has closed its end.
    pub(crate) ended: bool,
    /// More has come than is kept.
    cut: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Written> {
        // A panic elsewhere leaves bytes that are as good as before.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Starts to collect from `source`, and keeps the first `most` bytes. The rest is read and dropped, so
    /// that the writer never waits for us.
    pub(crate) fn collect(mut source: impl Read + Send + 'static, most: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let reader = Arc::clone(&shared);
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                let mut written = reader.lock();
                let room = most.saturating_sub(written.bytes.len());
                written.bytes.extend(buffer.iter().take(count.min(room)));
                written.cut |= count > room;
                drop(written);
                reader.changed.notify_all();
            }
            reader.lock().ended = true;
            reader.changed.notify_all();
        });
        Self { shared }
    }

    /// Everything so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shared.lock().bytes.clone()
    }

    /// Whether more has come than is kept.
    pub(crate) fn is_cut(&self) -> bool {
        self.shared.lock().cut
    }

    /// Waits until `found` says so of what has come; `None` after `timeout`, or when nothing more
    /// can come.
    pub(crate) fn wait<T>(
        &self,
        timeout: Duration,
        mut found: impl FnMut(&Written) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut written = self.shared.lock();
        loop {
            if let Some(value) = found(&written) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                return None;
            }
            let woken = self.shared.changed.wait_timeout(written, left);
            written = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
