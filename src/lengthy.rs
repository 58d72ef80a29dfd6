//! Work that takes a worker of the runtime longer than the tasks behind it should wait.
//!
//! What takes milliseconds here grows with bytes: converting a tool result of 20 MB, and giving its memory back. Knows nothing of
//! what is done.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Bytes that take a worker of the runtime about a millisecond.
pub(crate) const LENGTHY: usize = 1 << 20;

/// Does what takes as long as `bytes` say. While that is long, the tasks that wait for this worker go on at another.
pub(crate) fn at_length<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let workers =
        || Handle::try_current().is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LENGTHY && workers() { block_in_place(work) } else { work() }
}
