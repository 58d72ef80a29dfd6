//! What a session's task waits for.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use super::SessionTask;
use super::process::SlotState;
use crate::agent::{Agent, AgentOutput, Output, SpawnError};
use crate::session::ears::Heard;
use crate::session::handle::Mail;
use crate::session::pool::Slot;
use crate::wake::Turns;

/// Everything that can wake a session up.
pub(super) enum Event {
    Mail(Box<Mail>),
    Output(Option<Output>),
    Started(Box<Result<(Agent, AgentOutput), SpawnError>>),
    Committed,
    /// The store has the messages that were accepted, or took too long.
    Accepted,
    /// The store has caught up, or it took too long.
    Relieved,
    Slot(Option<Slot>),
    Heard(Heard),
    Deadline,
}

/// There can be much of the agent's output, and of mail, and neither may hold up anything else.
#[derive(Debug, Default)]
pub(super) struct Fairness {
    /// Everything else, and the output.
    output: Turns,
    /// Mail, and the deadline. Mail first: who has just come is heard before the time is over that the session waits for somebody.
    mail: Turns,
}

impl SessionTask {
    /// The next event. `timer` is for the state machine's deadline.
    pub(super) fn poll_event(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Event> {
        let Self {
            state,
            others,
            fairness,
            output,
            mailbox,
            starting,
            committing,
            accepting,
            pressed,
            slot,
            ears,
            ..
        } = self;
        // While the store is behind, the agent waits: what it says piles up in its pipe, and not in memory.
        let output = output.as_mut().filter(|_| pressed.is_none());
        let said = |cx: &mut Context<'_>| match output {
            Some(output) => output.poll_recv(cx).map(Event::Output),
            None => Poll::Pending,
        };
        let rare = |cx: &mut Context<'_>| {
            if let Some(starting) = starting
                && let Poll::Ready(started) = starting.starting.as_mut().poll(cx)
            {
                return Poll::Ready(Event::Started(Box::new(started)));
            }
            if let Some(committing) = committing
                && committing.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Event::Committed);
            }
            if let Some(accepting) = accepting
                && accepting.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Event::Accepted);
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
            let mail = |cx: &mut Context<'_>| match mailbox.poll_recv(cx) {
                Poll::Ready(Some(mail)) => Poll::Ready(Event::Mail(mail)),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            };
            let overdue = |cx: &mut Context<'_>| {
                let Some(deadline) = state.deadline().map(Instant::from_std) else { return Poll::Pending };
                if timer.deadline() != deadline {
                    timer.as_mut().reset(deadline);
                }
                timer.as_mut().poll(cx).map(|()| Event::Deadline)
            };
            fairness.mail.poll(cx, mail, overdue)
        };
        fairness.output.poll(cx, |cx| others.poll(cx, rare), said)
    }
}
