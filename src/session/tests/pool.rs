//! Slots: who gets one, who waits, who is put to sleep for it.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot};

use crate::session::{Acquired, AgentPool, Slot};

fn id(name: &str) -> Arc<str> {
    name.into()
}

#[track_caller]
fn slot(acquired: Acquired) -> Slot {
    match acquired {
        Acquired::Slot(slot) => slot,
        other => panic!("no slot: {other:?}"),
    }
}

#[track_caller]
fn in_line(acquired: Acquired, expected: usize) -> oneshot::Receiver<Slot> {
    match acquired {
        Acquired::InLine { ahead, slot } => {
            assert_eq!(ahead, expected);
            slot
        }
        other => panic!("not in line: {other:?}"),
    }
}

fn rest(pool: &AgentPool, name: &str) -> Arc<Notify> {
    let bedtime = Arc::new(Notify::new());
    pool.rests(&id(name), Arc::clone(&bedtime));
    bedtime
}

fn is_told_to_sleep(bedtime: &Notify) -> bool {
    bedtime.notified().now_or_never().is_some()
}

#[test]
fn slots_are_given_in_the_order_they_were_asked_for() {
    let pool = AgentPool::new(1, 10);
    let first = slot(pool.acquire(&id("a")));
    let mut b = in_line(pool.acquire(&id("b")), 0);
    let mut c = in_line(pool.acquire(&id("c")), 1);
    assert_eq!(pool.load(), (0, 2));
    drop(first);
    let second = b.try_recv().unwrap();
    assert!(c.try_recv().is_err());
    drop(second);
    drop(c.try_recv().unwrap());
    assert_eq!(pool.load(), (1, 0));
}

#[test]
fn the_line_has_an_end_and_who_left_it_does_not_count() {
    let pool = AgentPool::new(1, 1);
    let held = slot(pool.acquire(&id("a")));
    let b = in_line(pool.acquire(&id("b")), 0);
    assert!(matches!(pool.acquire(&id("c")), Acquired::Refused));
    drop(b);
    let c = in_line(pool.acquire(&id("c")), 0);
    drop(c);
    drop(held);
    assert_eq!(pool.load(), (1, 0));
    slot(pool.acquire(&id("d")));
}

#[test]
fn a_slot_that_was_granted_to_somebody_who_left_goes_on_to_the_next() {
    let pool = AgentPool::new(1, 10);
    let held = slot(pool.acquire(&id("a")));
    let b = in_line(pool.acquire(&id("b")), 0);
    let mut c = in_line(pool.acquire(&id("c")), 1);
    drop(held);
    // It is in b's channel now.
    drop(b);
    drop(c.try_recv().unwrap());
    assert_eq!(pool.load(), (1, 0));
}

#[test]
fn a_try_takes_no_slot_that_somebody_waits_for_and_waits_for_none() {
    let pool = AgentPool::new(1, 10);
    let held = pool.try_acquire(&id("a")).unwrap();
    assert!(pool.try_acquire(&id("b")).is_none());
    assert_eq!(pool.load(), (0, 0));
    drop(held);
    assert!(pool.try_acquire(&id("b")).is_some());
}

#[test]
fn the_agent_that_rested_longest_sleeps_first_and_only_as_many_as_are_needed() {
    let pool = AgentPool::new(3, 10);
    let _held = ["a", "b", "c"].map(|name| slot(pool.acquire(&id(name))));
    let (b, a, c) = (rest(&pool, "b"), rest(&pool, "a"), rest(&pool, "c"));
    let _d = in_line(pool.acquire(&id("d")), 0);
    assert!(is_told_to_sleep(&b) && !is_told_to_sleep(&a) && !is_told_to_sleep(&c));
    let _e = in_line(pool.acquire(&id("e")), 1);
    assert!(!is_told_to_sleep(&b) && is_told_to_sleep(&a) && !is_told_to_sleep(&c));
}

#[test]
fn an_agent_that_comes_to_rest_while_somebody_waits_sleeps_at_once() {
    let pool = AgentPool::new(1, 10);
    let held = slot(pool.acquire(&id("a")));
    let mut b = in_line(pool.acquire(&id("b")), 0);
    assert!(is_told_to_sleep(&rest(&pool, "a")));
    pool.leaves(&id("a"));
    drop(held);
    assert!(b.try_recv().is_ok());
}

#[test]
fn who_was_told_to_sleep_and_has_work_by_then_does_not_block_the_line() {
    let pool = AgentPool::new(2, 10);
    let _held = ["a", "b"].map(|name| slot(pool.acquire(&id(name))));
    let a = rest(&pool, "a");
    let _waiting = in_line(pool.acquire(&id("c")), 0);
    assert!(is_told_to_sleep(&a));
    // A message came first.
    pool.is_busy(&id("a"));
    assert!(is_told_to_sleep(&rest(&pool, "b")), "somebody else must go now");
}

#[test]
fn a_slot_that_a_crash_gives_back_does_not_count_for_the_one_that_is_leaving() {
    let pool = AgentPool::new(3, 10);
    let a_slot = slot(pool.acquire(&id("a")));
    let b_slot = slot(pool.acquire(&id("b")));
    let _c_slot = slot(pool.acquire(&id("c")));
    let a = rest(&pool, "a");
    let mut d = in_line(pool.acquire(&id("d")), 0);
    assert!(is_told_to_sleep(&a));
    let mut e = in_line(pool.acquire(&id("e")), 1);
    // b crashes: its slot is d's. a is still on its way out, for e; so nobody else has to go.
    drop(b_slot);
    assert!(d.try_recv().is_ok());
    assert!(!is_told_to_sleep(&rest(&pool, "c")));
    drop(a_slot);
    assert!(e.try_recv().is_ok());
}

#[test]
fn a_resting_agent_that_dies_is_not_told_to_sleep() {
    let pool = AgentPool::new(1, 10);
    let held = slot(pool.acquire(&id("a")));
    let a = rest(&pool, "a");
    drop(held);
    let _held = slot(pool.acquire(&id("b")));
    let _c = in_line(pool.acquire(&id("c")), 0);
    assert!(!is_told_to_sleep(&a));
}

#[test]
fn a_pool_that_is_gone_takes_its_slots_with_it() {
    let pool = AgentPool::new(1, 1);
    let held = slot(pool.acquire(&id("a")));
    drop(pool);
    drop(held);
}

/// An agent whose background tasks would end goes last, and only for who has waited for long.
#[test]
fn who_only_has_tasks_gives_its_slot_last() {
    let pool = AgentPool::new(2, 10);
    let (_a, _b) = (slot(pool.acquire(&id("a"))), slot(pool.acquire(&id("b"))));
    let lingering = Arc::new(Notify::new());
    pool.lingers(&id("a"), Arc::clone(&lingering));
    let _c = in_line(pool.acquire(&id("c")), 0);
    assert!(!is_told_to_sleep(&lingering), "not at once");
    let resting = rest(&pool, "b");
    assert!(is_told_to_sleep(&resting));
    pool.is_impatient(&id("c"));
    assert!(!is_told_to_sleep(&lingering), "somebody else gives one");
    let _d = in_line(pool.acquire(&id("d")), 1);
    pool.is_impatient(&id("d"));
    assert!(is_told_to_sleep(&lingering));
    assert!(pool.is_leaving(&id("a")));
    // It has got work meanwhile: it stays.
    pool.is_busy(&id("a"));
    assert!(!pool.is_leaving(&id("a")));
    pool.lingers(&id("a"), Arc::clone(&lingering));
    assert!(is_told_to_sleep(&lingering), "and is told again");
}
