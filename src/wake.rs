//! A future within a task that is left alone when another one woke the task.
//!
//! A task that waits for several things polls all of them whichever of them happened. Where one happens a thousand times as
//! often as the others, that is most of what it costs. Knows nothing of what is waited for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls `F` only when `F` itself asked for it. `F` must keep the waker that it is given with care, as any future must; that it
/// shares a waker with nobody else is what distinguishes it here, so it must not share a socket's direction with another.
#[derive(Debug)]
pub(crate) struct OnWake<F> {
    future: F,
    signal: Arc<Signal>,
    waker: Waker,
}

#[derive(Debug)]
struct Signal {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F: Future + Unpin> OnWake<F> {
    pub(crate) fn new(future: F) -> Self {
        let signal = Arc::new(Signal { woken: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&signal));
        Self { future, signal, waker }
    }

    /// Another future takes the place of one that has ended.
    pub(crate) fn set(&mut self, future: F) {
        self.future = future;
        self.signal.woken.store(true, Ordering::Release);
    }
}

impl<F: Future + Unpin> Future for OnWake<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        // Before the look at `woken`, so that a wake in between is not lost.
        this.signal.task.register(cx.waker());
        if !this.signal.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_woke_and_not_when_others_did() {
        let polls = AtomicUsize::new(0);
        let (sender, mut receiver) = mpsc::channel(1);
        let mut rare = OnWake::new(Box::pin(poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            receiver.poll_recv(cx)
        })));
        for _ in 0..10 {
            // Another branch wakes the task each time.
            tokio::select! {
                biased;
                _ = &mut rare => panic!("nothing was sent"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        sender.send(7).await.unwrap();
        assert_eq!(rare.await, Some(7));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_wake_from_another_thread_is_not_lost() {
        for number in 0..1000 {
            let (sender, mut receiver) = mpsc::channel(1);
            let other = std::thread::spawn(move || sender.blocking_send(number));
            let mut rare = OnWake::new(Box::pin(receiver.recv()));
            tokio::select! {
                got = &mut rare => assert_eq!(got, Some(number)),
                () = pending() => {}
            }
            other.join().unwrap().unwrap();
        }
    }
}
