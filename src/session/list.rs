//! A page of an owner's sessions: what is in memory, what the store has, and which of it was asked for.
//!
//! Of sessions that the store alone knows there may be many thousands. An index says when each was last active; records are read for
//! the page, or, where they must be looked into, in bounded steps. One list of an owner is made at a time, so that somebody who asks
//! over and over holds up himself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use super::record::Record;
use super::registry::Registry;
use crate::protocol::{ListCursor, ListSessions, Liveness, SessionSummary};
use crate::store::{Indexed, NodeId, SessionKey, Status, Store, StoreError};

/// Records that are read at once: a millisecond or two of a reader's time.
const STEP: usize = 100;

/// A page, over all nodes.
#[derive(Debug, Default)]
pub struct Listed {
    /// The most recently active first. Those that other nodes run are as their records say, which are a little behind.
    pub sessions: Vec<SessionSummary>,
    /// Where the next page begins, if there is one.
    pub next: Option<ListCursor>,
    /// How many there are on all pages.
    pub total: u64,
    /// The nodes that run some of them, and know better.
    pub elsewhere: BTreeMap<NodeId, Vec<String>>,
}

/// What a session must be like.
struct Filter<'a> {
    status: &'a [Liveness],
    metadata: &'a BTreeMap<String, String>,
    /// In lower case; empty: anything.
    search: String,
}

impl<'a> Filter<'a> {
    fn of(asked: &'a ListSessions) -> Self {
        let search = asked.search.as_deref().unwrap_or_default().to_lowercase();
        Self { status: &asked.status, metadata: &asked.metadata, search }
    }

    /// Whether the status is enough to tell.
    fn is_plain(&self) -> bool {
        self.search.is_empty() && self.metadata.is_empty()
    }

    fn takes_status(&self, status: Liveness) -> bool {
        self.status.is_empty() || self.status.contains(&status)
    }

    fn takes(&self, summary: &SessionSummary) -> bool {
        let found = |text: &String| text.to_lowercase().contains(&self.search);
        self.takes_status(summary.status)
            && self.metadata.iter().all(|(key, value)| summary.metadata.get(key) == Some(value))
            && (self.search.is_empty() || found(&summary.cwd) || summary.metadata.values().any(found))
    }
}

/// A session's place in the list: the most recently active first, and of those of one moment some order.
type Rank = Reverse<(u64, SessionKey)>;

/// A session that the store alone has.
struct Kept {
    rank: Rank,
    status: Liveness,
    node: Option<NodeId>,
}

impl Registry {
    /// The caller's sessions on all nodes, a page of them.
    pub async fn list(&self, owner: &str, asked: &ListSessions) -> Listed {
        let lock = self.lists.of(&SessionKey::of(owner, ""));
        let _one_at_a_time = lock.acquire().await;
        let filter = Filter::of(asked);
        let limit = asked.limit.map_or(ListSessions::DEFAULT_LIMIT, usize::from);
        let after = asked
            .cursor
            .as_ref()
            .map(|cursor| Reverse((cursor.last_active_at, SessionKey::of(owner, &cursor.session_id))));
        let follows = |rank: &Rank| after.as_ref().is_none_or(|after| rank > after);
        // Memory first: what leaves it afterwards is in the store by then.
        let (mut ranks, here) = self.rank_memory(owner, &filter);
        let mut total = ranks.len() as u64;
        ranks.retain(&follows);
        let mut found = Found::default();
        if let Some(store) = self.shared().store.clone() {
            let outcome = async {
                let kept = self.kept(&*store, owner, &here, &filter).await?;
                if filter.is_plain() {
                    total += kept.len() as u64;
                    let mut kept: Vec<_> = kept.into_iter().filter(|kept| follows(&kept.rank)).collect();
                    // What does not fit on the page, with those in memory, is not read.
                    ranks.extend(kept.iter().map(|kept| kept.rank.clone()));
                    ranks.sort_unstable();
                    if let Some(last) = ranks.get(limit.saturating_sub(1)) {
                        kept.retain(|kept| kept.rank <= *last);
                    }
                    self.read(&*store, owner, &kept, |_, summary, kept| found.put(summary, kept)).await
                } else {
                    let (mut count, mut matching) = (0, Vec::new());
                    self.read(&*store, owner, &kept, |rank, summary, kept| {
                        if filter.takes(&summary) {
                            count += 1;
                            if follows(rank) && found.sessions.len() < limit {
                                found.put(summary, kept);
                            }
                            if follows(rank) {
                                matching.push(rank.clone());
                            }
                        }
                    })
                    .await?;
                    total += count;
                    ranks.append(&mut matching);
                    Ok(())
                }
            }
            .await;
            if let Err(problem) = outcome {
                log::error!("sessions that the store has cannot be listed: {problem}");
            }
        }
        ranks.sort_unstable();
        let next = if ranks.len() > limit { ranks.get(limit - 1) } else { None };
        let next = next.map(|Reverse((last_active_at, key))| ListCursor {
            last_active_at: *last_active_at,
            session_id: key.id().to_owned(),
        });
        ranks.truncate(limit);
        let mut sessions = self.in_memory(&ranks, owner);
        let on_page: HashSet<&str> = ranks.iter().map(|Reverse((_, key))| key.id()).collect();
        found.sessions.retain(|summary| on_page.contains(summary.session_id.as_str()));
        sessions.append(&mut found.sessions);
        most_recent_first(&mut sessions);
        let mut elsewhere = BTreeMap::<_, Vec<_>>::new();
        for (id, node) in found.nodes {
            if on_page.contains(id.as_str()) {
                elsewhere.entry(node).or_default().push(id);
            }
        }
        Listed { sessions, next, total, elsewhere }
    }

    /// The owner's sessions that the store alone has and whose status will do, in the order of the list.
    async fn kept(
        &self,
        store: &dyn Store,
        owner: &str,
        here: &HashSet<SessionKey>,
        filter: &Filter<'_>,
    ) -> Result<Vec<Kept>, StoreError> {
        let me = store.shared().map(|shared| shared.node().clone());
        let status = |indexed: &Indexed| match (indexed.status, &indexed.node) {
            (Status::Ended, _) => Liveness::Ended,
            (_, Some(node)) if Some(node) != me.as_ref() => Liveness::Active,
            _ => Liveness::Dormant,
        };
        let index = store.index(owner).await?;
        let mut kept: Vec<_> = index
            .into_iter()
            .filter(|indexed| !here.contains(&indexed.key))
            .map(|indexed| Kept {
                status: status(&indexed),
                rank: Reverse((indexed.last_active_at, indexed.key.clone())),
                node: indexed
                    .node
                    .filter(|node| Some(node) != me.as_ref() && indexed.status != Status::Ended),
            })
            .filter(|kept| filter.takes_status(kept.status))
            .collect();
        kept.sort_unstable_by(|a, b| a.rank.cmp(&b.rank));
        Ok(kept)
    }

    /// Reads the records of these, a step at a time, and hands each to `take`, in order.
    async fn read(
        &self,
        store: &dyn Store,
        owner: &str,
        kept: &[Kept],
        mut take: impl FnMut(&Rank, SessionSummary, &Kept),
    ) -> Result<(), StoreError> {
        for step in kept.chunks(STEP) {
            let keys: Vec<_> = step.iter().map(|Kept { rank: Reverse((_, key)), .. }| key.clone()).collect();
            let records = store.records(keys.clone()).await?;
            for ((kept, key), record) in step.iter().zip(&keys).zip(records) {
                let state = match record {
                    Some(record) if record.owner == owner => Record::read(key, &record.state),
                    // Just made elsewhere: its node knows more.
                    None if kept.node.is_some() => Ok(Record::default()),
                    // Deleted meanwhile, or another's by now.
                    _ => continue,
                };
                match state {
                    Ok(state) => take(&kept.rank, state.summary(key.id(), kept.status), kept),
                    Err(problem) => self.note_unreadable(key, &problem),
                }
            }
        }
        Ok(())
    }
}

/// What the store had for the page.
#[derive(Default)]
struct Found {
    sessions: Vec<SessionSummary>,
    nodes: Vec<(String, NodeId)>,
}

impl Found {
    fn put(&mut self, summary: SessionSummary, kept: &Kept) {
        if let Some(node) = &kept.node {
            self.nodes.push((summary.session_id.clone(), node.clone()));
        }
        self.sessions.push(summary);
    }
}

impl Registry {
    /// Places of what memory holds of the owner's and was asked for; and the ids of all that it holds.
    fn rank_memory(&self, owner: &str, filter: &Filter<'_>) -> (Vec<Rank>, HashSet<SessionKey>) {
        let (mut ranks, mut here) = (Vec::new(), HashSet::new());
        self.each_in_memory(owner, |key, summary| {
            if filter.takes(summary) {
                ranks.push(Reverse((summary.last_active_at, key.clone())));
            }
            here.insert(key.clone());
        });
        (ranks, here)
    }
}

/// As pages are given.
pub fn most_recent_first(list: &mut [SessionSummary]) {
    list.sort_by(|a, b| (b.last_active_at, &b.session_id).cmp(&(a.last_active_at, &a.session_id)));
}
