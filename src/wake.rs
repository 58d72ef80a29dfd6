//! A part of a task that is left alone when another one woke the task, and parts that have their turn.
//!
//! A task that waits for several things polls all of them whichever of them happened. Where one happens a thousand times as
//! often as the others, that is most of what it costs: each of them is some cache lines that were not looked at for long. Knows
//! nothing of what is waited for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use pin_project_lite::pin_project;

/// Lets those behind it be polled only when one of them has asked for it. They must keep the waker that they are given with
/// care, as any future must; that they share it with nobody else is what distinguishes them, so they must not share a socket's
/// direction with another.
#[derive(Debug)]
pub(crate) struct Gate {
    signal: Arc<Signal>,
    /// Whom the signal wakes; kept here too, so that a look at it costs no lock.
    task: Option<Waker>,
}

#[derive(Debug)]
struct Signal {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the look at `task`: whoever registers after it sees it.
        self.woken.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock() {
            task.wake_by_ref();
        }
    }
}

impl Gate {
    /// An open one: the first poll goes through.
    pub(crate) fn new() -> Self {
        Self { signal: Arc::new(Signal { woken: AtomicBool::new(true), task: Mutex::new(None) }), task: None }
    }

    /// The next poll goes through, as it must when there is something else behind the gate than before. (The holder sees to it
    /// that there is a next poll.)
    pub(crate) fn open(&self) {
        self.signal.woken.store(true, Ordering::Release);
    }

    /// Whether the next poll goes through. Without a poll nobody is told when it will.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.signal.woken.load(Ordering::Acquire)
    }

    /// Calls `behind`, if anything there asked for it, or it was ready the last time.
    #[inline]
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        behind: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.register(cx.waker());
        }
        if !self.is_open() {
            return Poll::Pending;
        }
        // Not merely stored: whose wake this takes away has said what it was for before.
        self.signal.woken.swap(false, Ordering::AcqRel);
        let polled = behind(&mut Context::from_waker(&Waker::from(Arc::clone(&self.signal))));
        if polled.is_ready() {
            // There may be more, of which nobody will be told.
            self.open();
        }
        polled
    }

    #[cold]
    fn register(&mut self, waker: &Waker) {
        *self.signal.task.lock() = Some(waker.clone());
        self.task = Some(waker.clone());
    }
}

/// Whoever was left the waker, and lives on, must not hold the task's memory with it.
impl Drop for Gate {
    fn drop(&mut self) {
        *self.signal.task.lock() = None;
    }
}

/// Two that may both be ready all the time, and neither may hold up the other: who was heard last is asked second.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    second_first: bool,
}

impl Turns {
    /// Polls one, and where it has nothing the other; the first time `first` comes first.
    #[inline]
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        first: impl FnOnce(&mut Context<'_>) -> Poll<T>,
        second: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.second_first {
            if let heard @ Poll::Ready(_) = second(cx) {
                self.second_first = false;
                return heard;
            }
            return first(cx);
        }
        if let heard @ Poll::Ready(_) = first(cx) {
            self.second_first = true;
            return heard;
        }
        second(cx)
    }
}

pin_project! {
    /// Ends as whichever ends first. `main` is polled whenever the task is, and before `aside`, which is polled only when it asked
    /// for it. (No `async fn`: that would hold what it is given twice, and these are whole connections.)
    pub(crate) struct Beside<M, A> {
        #[pin]
        main: M,
        #[pin]
        aside: A,
        gate: Gate,
    }
}

/// See [`Beside`].
pub(crate) fn beside<T, M, A>(main: M, aside: A) -> Beside<M, A>
where
    M: Future<Output = T>,
    A: Future<Output = T>,
{
    Beside { main, aside, gate: Gate::new() }
}

impl<T, M, A> Future for Beside<M, A>
where
    M: Future<Output = T>,
    A: Future<Output = T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        match this.main.poll(cx) {
            Poll::Pending => this.gate.poll(cx, |cx| this.aside.poll(cx)),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_woke_and_not_when_others_did() {
        let polls = AtomicUsize::new(0);
        let (sender, mut receiver) = mpsc::channel(1);
        let often = async {
            // The task is woken by this one each time.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(polls.load(Ordering::Relaxed), 1);
            sender.send(7).await.unwrap();
            pending().await
        };
        let seldom = poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            receiver.poll_recv(cx)
        });
        assert_eq!(beside(often, seldom).await, Some(7));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn three_that_are_always_ready_have_their_turn() {
        let (mut all, mut rest) = (Turns::default(), Turns::default());
        let mut cx = Context::from_waker(Waker::noop());
        let heard: Vec<_> = (0..8)
            .map(|_| {
                all.poll(
                    &mut cx,
                    |cx| rest.poll(cx, |_| Poll::Ready("mail"), |_| Poll::Ready("deadline")),
                    |_| Poll::Ready("output"),
                )
            })
            .collect();
        assert_eq!(heard[..4], ["mail", "output", "deadline", "output"].map(Poll::Ready));
        assert_eq!(heard[4..], heard[..4]);
    }

    #[test]
    fn who_is_alone_is_heard_every_time() {
        let mut turns = Turns::default();
        let mut cx = Context::from_waker(Waker::noop());
        for alone in [1, 2, 2, 1, 1] {
            let ready = |number| if number == alone { Poll::Ready(number) } else { Poll::Pending };
            assert_eq!(turns.poll(&mut cx, |_| ready(1), |_| ready(2)), Poll::Ready(alone));
        }
    }

    #[test]
    fn a_gate_that_is_gone_keeps_nothing_of_its_task() {
        struct Task;
        impl Wake for Task {
            fn wake(self: Arc<Self>) {}
        }
        let (task, mut left) = (Arc::new(Task), None);
        let mut gate = Gate::new();
        let waker = Waker::from(Arc::clone(&task));
        let polled = gate.poll(&mut Context::from_waker(&waker), |cx| {
            left = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        drop((gate, waker));
        assert_eq!(Arc::strong_count(&task), 1);
        left.unwrap().wake();
    }

    #[tokio::test]
    async fn what_is_ready_behind_a_gate_is_looked_at_again() {
        let (sender, mut receiver) = mpsc::channel(4);
        for number in 0..3 {
            sender.send(number).await.unwrap();
        }
        let mut gate = Gate::new();
        for number in 0..3 {
            assert_eq!(poll_fn(|cx| gate.poll(cx, |cx| receiver.poll_recv(cx))).await, Some(number));
        }
        drop(sender);
        assert_eq!(poll_fn(|cx| gate.poll(cx, |cx| receiver.poll_recv(cx))).await, None);
    }

    #[tokio::test]
    async fn who_polls_it_last_is_woken() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut gate = Gate::new();
        // Polled here first, then by another task, with another waker.
        let here = poll_fn(|cx| Poll::Ready(gate.poll(cx, |cx| receiver.poll_recv(cx)))).await;
        assert!(here.is_pending());
        let mut others = JoinSet::new();
        others.spawn(async move { poll_fn(|cx| gate.poll(cx, |cx| receiver.poll_recv(cx))).await });
        tokio::task::yield_now().await;
        sender.send(7).await.unwrap();
        assert_eq!(others.join_next().await.unwrap().unwrap(), Some(7));
    }

    #[tokio::test]
    async fn a_wake_from_another_thread_is_not_lost() {
        for number in 0..1000 {
            let (sender, mut receiver) = mpsc::channel(1);
            let other = std::thread::spawn(move || sender.blocking_send(number));
            assert_eq!(beside(pending(), receiver.recv()).await, Some(number));
            other.join().unwrap().unwrap();
        }
    }
}
