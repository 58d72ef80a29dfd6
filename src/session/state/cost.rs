//! What a session has cost, from what its agents' processes say.
//!
//! A process counts what it spent itself. One that resumes a conversation goes on from the conversation's total (2.1.330) or
//! begins at zero (2.1.197).

/// US dollars.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Of processes that are gone.
    earlier: f64,
    /// What the running process said last.
    current: f64,
    /// It may have taken over `earlier`; its first word tells.
    may_include_earlier: bool,
}

impl Cost {
    pub(super) fn new(earlier: f64) -> Self {
        Self { earlier, current: 0.0, may_include_earlier: false }
    }

    pub(super) fn total(&self) -> f64 {
        self.earlier + self.current
    }

    /// A process is started; `resumes`: with the conversation of those before it.
    pub(super) fn process_starts(&mut self, resumes: bool) {
        self.may_include_earlier = resumes;
    }

    /// What the process says that it has cost so far.
    pub(super) fn process_says(&mut self, cost: f64) {
        // One that goes on counting is never below what there was. One that begins at zero and is not below either has spent
        // more in its first turn than all before it; that is taken for the former, and the session looks cheaper than it was.
        if std::mem::take(&mut self.may_include_earlier) && cost >= self.earlier {
            self.earlier = 0.0;
        }
        self.current = cost;
    }

    /// The process is gone.
    pub(super) fn process_ended(&mut self) {
        self.earlier = self.total();
        self.current = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::Cost;

    #[test]
    fn a_resumed_process_that_goes_on_counting_is_not_counted_twice() {
        let mut cost = Cost::new(0.0);
        cost.process_starts(false);
        cost.process_says(0.25);
        cost.process_says(0.5);
        cost.process_ended();
        cost.process_starts(true);
        cost.process_says(0.75);
        assert!((cost.total() - 0.75).abs() < 1e-9);
        cost.process_ended();
        cost.process_starts(true);
        cost.process_says(1.0);
        assert!((cost.total() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_resumed_process_that_begins_at_zero_is_added() {
        let mut cost = Cost::new(0.5);
        cost.process_starts(true);
        cost.process_says(0.25);
        cost.process_says(0.6);
        assert!((cost.total() - 1.1).abs() < 1e-9);
    }
}
