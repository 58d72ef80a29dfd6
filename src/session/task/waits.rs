//! What a session's task waits for.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::SessionTask;
use super::process::SlotState;
use crate::agent::{Agent, AgentOutput, Output, SpawnError};
use crate::session::ears::Heard;
use crate::session::handle::Mail;
use crate::session::pool::Slot;

/// Everything that can wake a session up.
pub(super) enum Event {
    Mail(Box<Mail>),
    Output(Option<Output>),
    Started(Box<Result<(Agent, AgentOutput), SpawnError>>),
    Committed,
    /// The store has caught up, or it took too long.
    Relieved,
    Slot(Option<Slot>),
    Heard(Heard),
    Deadline,
}

/// Whose turn it is: there can be much of the agent's output, and of mail, and neither may hold up anything else.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The output was not heard last.
    output: bool,
    /// The deadline is over, and mail was heard instead.
    deadline: bool,
}

impl SessionTask {
    /// After anything that may have changed what is waited for: sets the timer, and has the next poll look at everything.
    pub(super) fn look_around(&mut self, mut timer: Pin<&mut Sleep>) {
        let deadline = self.state.deadline().map(tokio::time::Instant::from_std);
        self.has_deadline = deadline.is_some();
        if let Some(deadline) = deadline
            && timer.deadline() != deadline
        {
            timer.as_mut().reset(deadline);
        }
        self.others.open();
    }

    /// The next event.
    pub(super) fn poll_event(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Event> {
        let output_first = self.turns.output;
        if !output_first && let Poll::Ready(event) = self.poll_others(timer.as_mut(), cx) {
            return Poll::Ready(event);
        }
        // While the store is behind, the agent waits: what it says piles up in its pipe, and not in memory.
        if let Some(output) = self.output.as_mut().filter(|_| self.pressed.is_none())
            && let Poll::Ready(output) = output.poll_recv(cx)
        {
            self.turns.output = false;
            return Poll::Ready(Event::Output(output));
        }
        if output_first { self.poll_others(timer, cx) } else { Poll::Pending }
    }

    #[inline]
    fn poll_others(&mut self, timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Event> {
        let Self { others, turns, mailbox, starting, committing, pressed, slot, ears, has_deadline, .. } =
            self;
        others.poll(cx, |cx| {
            turns.output = true;
            if let Some(starting) = starting
                && let Poll::Ready(started) = starting.as_mut().poll(cx)
            {
                return Poll::Ready(Event::Started(Box::new(started)));
            }
            if let Some(committing) = committing
                && committing.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Event::Committed);
            }
            if let Some(pressed) = pressed
                && pressed.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Event::Relieved);
            }
            if let SlotState::InLine(place) = slot
                && let Poll::Ready(slot) = Pin::new(place).poll(cx)
            {
                return Poll::Ready(Event::Slot(slot.ok()));
            }
            if let Poll::Ready(heard) = ears.poll_hear(cx) {
                return Poll::Ready(Event::Heard(heard));
            }
            // Who has just come is heard before the time is over that the session waits for somebody to come.
            let overdue = *has_deadline && timer.poll(cx).is_ready();
            if overdue && std::mem::take(&mut turns.deadline) {
                return Poll::Ready(Event::Deadline);
            }
            if let Poll::Ready(Some(mail)) = mailbox.poll_recv(cx) {
                turns.deadline = overdue;
                return Poll::Ready(Event::Mail(mail));
            }
            if overdue { Poll::Ready(Event::Deadline) } else { Poll::Pending }
        })
    }
}
