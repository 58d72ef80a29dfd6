//! Lines for the agent that wait until the store has what came before them.

use std::collections::VecDeque;

use bytes::Bytes;

/// In order; with the places from which on lines wait for a commit of their own.
#[derive(Debug, Default)]
pub(super) struct Held {
    items: VecDeque<Item>,
    lines: usize,
}

#[derive(Debug)]
enum Item {
    Line(Bytes),
    /// Lines behind this wait for more than those before it.
    Mark,
}

impl Held {
    /// How many lines.
    pub(super) fn len(&self) -> usize {
        self.lines
    }

    pub(super) fn hold(&mut self, line: Bytes) {
        self.items.push_back(Item::Line(line));
        self.lines += 1;
    }

    /// From here on lines wait for what is to be committed now.
    pub(super) fn mark(&mut self) {
        // Two without a line between them are one.
        if !matches!(self.items.back(), Some(Item::Mark)) {
            self.items.push_back(Item::Mark);
        }
    }

    /// The lines up to the next mark, and whether there was one: then those behind it have begun to wait for a commit only now.
    pub(super) fn release(&mut self) -> (Vec<Bytes>, bool) {
        let mut released = Vec::new();
        while let Some(item) = self.items.pop_front() {
            match item {
                Item::Line(line) => released.push(line),
                Item::Mark => {
                    self.lines -= released.len();
                    return (released, true);
                }
            }
        }
        self.lines = 0;
        (released, false)
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    /// They waited for every commit that came after theirs.
    #[test]
    fn lines_wait_for_their_own_commit_only() {
        let mut held = Held::default();
        held.hold("a".into());
        held.hold("b".into());
        held.mark();
        held.mark();
        held.hold("c".into());
        assert_eq!(held.len(), 3);
        assert_eq!(held.release(), (vec!["a".into(), "b".into()], true));
        assert_eq!(held.len(), 1);
        assert_eq!(held.release(), (vec!["c".into()], false));
        assert_eq!((held.len(), held.release()), (0, (Vec::new(), false)));
        // One at the end: what is told from then on waits.
        held.hold("d".into());
        held.mark();
        assert_eq!(held.release(), (vec!["d".into()], true));
    }
}
