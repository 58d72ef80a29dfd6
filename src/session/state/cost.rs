//! What a session has cost, from what its agents' processes say.
//!
//! A process says what its conversation has cost as far as it knows. One that resumes it begins at zero (2.1.197), or at the total
//! that the last process wrote down when it ended in order (2.1.330): what a process spent that was killed is missing there. So
//! what counts is how much a process says more than where it began.

use serde::{Deserialize, Serialize};

/// The last version that is known to begin at zero.
const BEGINS_AT_ZERO: [u64; 3] = [2, 1, 197];

/// US dollars.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Of the session.
    total: f64,
    /// Where the running process began; `None`: its first word tells.
    began_at: Option<f64>,
    books: Books,
}

/// What the agent's own count is known to be; kept with the session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    /// What the last process that ended in order wrote down.
    written: f64,
    /// What the last process said last.
    said: f64,
    /// It was killed, and wrote nothing down. (Not while it runs: should the gateway die, it may still end in order.)
    killed: bool,
}

impl Cost {
    pub(super) fn new(total: f64, mut books: Books) -> Self {
        if books == Books::default() {
            // A record from before there were any.
            books.said = total;
        }
        Self { total, began_at: None, books }
    }

    pub(super) fn total(&self) -> f64 {
        self.total
    }

    pub(super) fn books(&self) -> Books {
        self.books
    }

    /// A process is started; `resumes`: with the conversation of those before it.
    pub(super) fn process_starts(&mut self, resumes: bool) {
        self.began_at = None;
        if !resumes {
            self.books = Books::default();
            self.began_at = Some(0.0);
        }
    }

    /// What a process of this version says that it has cost so far.
    pub(super) fn process_says(&mut self, cost: f64, version: Option<&str>) {
        let before = match self.began_at {
            Some(_) => self.books.said,
            None => self.books.begin(cost, version),
        };
        self.began_at.get_or_insert(before);
        self.total += (cost - before).max(0.0);
        self.books.said = cost;
        self.books.killed = false;
    }

    /// The running process began another conversation (`/clear`). 2.1.330 and later count that from zero, older ones go on.
    pub(super) fn conversation_changes(&mut self, version: Option<&str>) {
        if !begins_at_zero(version) {
            self.books = Books::default();
            self.began_at = Some(0.0);
        }
    }

    /// The process is gone.
    pub(super) fn process_ended(&mut self, in_order: bool) {
        // One that said nothing has written down where it began, if anything.
        if self.began_at.take().is_some() {
            self.books.killed = !in_order;
            if in_order {
                self.books.written = self.books.said;
            }
        }
    }
}

impl Books {
    /// Where a process began whose first word is `cost`.
    fn begin(&self, cost: f64, version: Option<&str>) -> f64 {
        if begins_at_zero(version) {
            return 0.0;
        }
        let known = if self.killed { [self.written, 0.0] } else { [self.said, self.written] };
        known.into_iter().find(|begin| *begin <= cost).unwrap_or_default()
    }
}

/// Whether each process of this version counts from zero, whatever conversation it resumes; and goes on over `/clear`.
fn begins_at_zero(version: Option<&str>) -> bool {
    version.and_then(numbers).is_some_and(|version| version <= BEGINS_AT_ZERO)
}

fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut numbers = version.split(['.', '-', '+', ' ']).map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

#[cfg(test)]
mod tests {
    use super::{Books, Cost};

    const OLD: &str = "2.1.197";
    const NEW: &str = "2.1.330";

    /// A process that says these, one after the other, and how it ends.
    fn process(cost: &mut Cost, version: &str, resumes: bool, says: &[f64], in_order: bool) {
        cost.process_starts(resumes);
        for said in says {
            cost.process_says(*said, Some(version));
        }
        cost.process_ended(in_order);
    }

    /// The gateway is stopped or killed, and started again.
    fn restarted(cost: Cost) -> Cost {
        let books = serde_json::to_string(&cost.books()).unwrap();
        Cost::new(cost.total(), serde_json::from_str(&books).unwrap())
    }

    fn assert_is(cost: &Cost, total: f64) {
        assert!((cost.total() - total).abs() < 1e-9, "{} instead of {total}", cost.total());
    }

    // The figures are what the two versions said of turns of 0.05 and 0.1 dollars.

    #[test]
    fn a_process_that_goes_on_counting_is_not_counted_twice() {
        let mut cost = Cost::new(0.0, Books::default());
        process(&mut cost, NEW, false, &[0.049_704, 0.099_596], true);
        process(&mut cost, NEW, true, &[0.149_68, 0.199_952], true);
        assert_is(&cost, 0.199_952);
        let mut cost = restarted(cost);
        process(&mut cost, NEW, true, &[0.250_416], true);
        assert_is(&cost, 0.250_416);
    }

    /// It counted double from then on, for the agent's count and the session's no longer agreed.
    #[test]
    fn what_a_killed_process_spent_is_not_in_the_next_ones_count() {
        let mut cost = Cost::new(0.0, Books::default());
        process(&mut cost, NEW, false, &[0.049_704, 0.099_596], false);
        process(&mut cost, NEW, true, &[0.050_084, 0.100_356], true);
        assert_is(&cost, 0.099_596 + 0.100_356);
        let mut cost = restarted(cost);
        process(&mut cost, NEW, true, &[0.150_82], false);
        assert_is(&cost, 0.099_596 + 0.150_82);
        let mut cost = restarted(cost);
        process(&mut cost, NEW, true, &[0.151_008], true);
        assert_is(&cost, 0.099_596 + 0.150_82 + (0.151_008 - 0.100_356));
    }

    /// Its first turn was taken for the total where it was not cheaper than all before.
    #[test]
    fn a_process_that_begins_at_zero_is_added() {
        let mut cost = Cost::new(0.0, Books::default());
        process(&mut cost, OLD, false, &[0.095_975], true);
        let mut cost = restarted(cost);
        process(&mut cost, OLD, true, &[0.096_44, 0.193_12], true);
        assert_is(&cost, 0.095_975 + 0.193_12);
        process(&mut cost, OLD, true, &[0.194], false);
        assert_is(&cost, 0.095_975 + 0.193_12 + 0.194);
    }

    /// What another conversation costs was hidden by what the one before had cost.
    #[test]
    fn after_a_clear_nothing_is_counted_twice_and_nothing_is_lost() {
        for (version, after) in [(NEW, [0.0, 0.06, 0.09]), (OLD, [0.05, 0.11, 0.14])] {
            let mut cost = Cost::new(0.0, Books::default());
            cost.process_starts(false);
            cost.process_says(0.05, Some(version));
            cost.conversation_changes(Some(version));
            for said in after {
                cost.process_says(said, Some(version));
            }
            assert_is(&cost, 0.05 + 0.09);
            // Killed: what was written down is of the conversation before, if anything.
            cost.process_ended(false);
            let mut cost = restarted(cost);
            process(&mut cost, version, true, &[0.07], true);
            assert_is(&cost, 0.05 + 0.09 + 0.07);
        }
    }

    /// The gateway was killed: the process may have ended in order all the same, or not.
    #[test]
    fn of_a_process_whose_end_nobody_saw_the_next_ones_first_word_tells() {
        for (first_word, spent) in [(0.15, 0.05), (0.05, 0.05)] {
            let mut cost = Cost::new(0.0, Books::default());
            cost.process_starts(false);
            cost.process_says(0.1, Some(NEW));
            let mut cost = restarted(cost);
            process(&mut cost, NEW, true, &[first_word], true);
            assert_is(&cost, 0.1 + spent);
        }
    }

    #[test]
    fn versions_that_nobody_can_read_are_taken_for_new() {
        for version in [None, Some(""), Some("2.1"), Some("x.y.z"), Some("2.1.198"), Some("3.0.0-beta")] {
            let mut cost = Cost::new(0.0, Books::default());
            process(&mut cost, NEW, false, &[0.1], true);
            cost.process_starts(true);
            cost.process_says(0.15, version);
            assert_is(&cost, 0.15);
        }
    }
}
