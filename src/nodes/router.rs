//! The door: messages of connections here, to sessions that other nodes run.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::Nodes;
use super::guests::only_body;
use super::letter::{Head, Letter};
use super::post::Reply;
use crate::dispatch::{Elsewhere, Errand, Handled, Routed};
use crate::protocol::{ErrorCode, SessionSummary};
use crate::session::{Answer, Listed, most_recent_first};
use crate::store::{NodeId, SessionKey, StoreError, Whereabouts};

/// How long another node's answer is waited for while it lives.
pub(super) const ASK: Duration = Duration::from_secs(30);
/// The same for a list, which can do without.
const LIST: Duration = Duration::from_secs(1);
/// How often a session that is just changing hands is looked for.
const TRIES: u32 = 20;
/// Between two such looks, at most.
const PAUSE: Duration = Duration::from_millis(100);

/// What came of asking another node.
enum Asked {
    Answered(Handled),
    /// It does not run the session.
    NotHere,
    /// Its lease is over.
    Gone,
    Failed(&'static str),
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Elsewhere for Nodes {
    fn route<'a>(&'a self, errand: Errand<'a>) -> Pending<'a, Routed> {
        Box::pin(self.route_errand(errand))
    }

    fn complete<'a>(&'a self, owner: &'a str, listed: Listed) -> Pending<'a, Listed> {
        Box::pin(self.complete_list(owner, listed))
    }
}

impl Nodes {
    async fn route_errand(&self, errand: Errand<'_>) -> Routed {
        let key = SessionKey::of(errand.owner, errand.session);
        for attempt in 0..TRIES {
            if self.registry.is_here(errand.session, errand.owner) {
                return Routed::Here;
            }
            let node = match self.runs(&key).await {
                Ok(Some(node)) => node,
                Ok(None) => return Routed::Here,
                Err(problem) => {
                    log::warn!("where session {key} is cannot be found out: {problem}");
                    return failed("the session store does not answer");
                }
            };
            match self.ask(&node, &errand).await {
                Asked::Answered(handled) => return Routed::Answered(handled),
                Asked::NotHere => {
                    self.mirrors.moved(&node, &key, None);
                    tokio::time::sleep(PAUSE.min(Duration::from_millis(5) * attempt)).await;
                }
                Asked::Gone => self.mirrors.moved(&node, &key, None),
                Asked::Failed(why) => return failed(why),
            }
        }
        failed("the session is on its way to another gateway; try again")
    }

    /// The other node that runs the session.
    async fn runs(&self, key: &SessionKey) -> Result<Option<NodeId>, StoreError> {
        if let Some(node) = self.mirrors.owner(key) {
            return Ok(Some(node));
        }
        let Some(shared) = self.post.shared() else { return Ok(None) };
        Ok(match shared.whereabouts(key).await? {
            Whereabouts::At(node) if node != *self.post.me() => Some(node),
            _ => None,
        })
    }

    async fn ask(&self, node: &NodeId, errand: &Errand<'_>) -> Asked {
        let Some(shared) = self.post.shared() else { return Asked::Gone };
        let mut question = self.post.question(Some(&errand.client.doorbell));
        self.legs.note(errand.client, node, &self.post);
        let head =
            Head::Ask { n: question.n, connection: errand.client.id.0, owner: errand.owner.to_string() };
        match self.post.deliver(node, head, vec![errand.text.into()]).await {
            Ok(()) => {}
            Err(StoreError::Gone) => return Asked::Gone,
            Err(StoreError::Full) => return Asked::Failed("the session's gateway is busy; try again"),
            Err(problem) => {
                log::warn!("a message for session {} was lost: {problem}", errand.session);
                return Asked::Failed("the session store does not answer");
            }
        }
        let patience = shared.lease() / 10;
        tokio::select! {
            biased;
            letter = &mut question.answer => match letter {
                Ok(reply) => answered(reply),
                Err(_) => Asked::Failed("the gateway is going down"),
            },
            () = self.watch.gone(node, patience) => Asked::Gone,
            () = tokio::time::sleep(ASK) => Asked::Failed("the session's gateway does not answer; try again"),
        }
    }

    /// Asks the nodes that run some of the listed sessions how these are. Who does not say so in time: it stays as the records have it.
    async fn complete_list(&self, owner: &str, mut listed: Listed) -> Listed {
        let elsewhere = std::mem::take(&mut listed.elsewhere);
        let asked = elsewhere.into_iter().map(|(node, sessions)| async move {
            tokio::time::timeout(LIST, self.ask_list(&node, owner, sessions)).await
        });
        for summary in join_all(asked).await.into_iter().flatten().flatten().flatten() {
            if let Some(known) =
                listed.sessions.iter_mut().find(|known| known.session_id == summary.session_id)
            {
                *known = summary;
            }
        }
        most_recent_first(&mut listed.sessions);
        listed
    }

    async fn ask_list(
        &self,
        node: &NodeId,
        owner: &str,
        sessions: Vec<String>,
    ) -> Option<Vec<SessionSummary>> {
        let mut question = self.post.question(None);
        let head = Head::List { n: question.n, owner: owner.to_owned(), sessions };
        self.post.deliver(node, head, Vec::new()).await.ok()?;
        let reply = (&mut question.answer).await.ok()?;
        serde_json::from_str(&only_body(reply.letter)?).ok()
    }

    /// Answers the question of another node's.
    pub(super) async fn tell_list(
        self: Arc<Self>,
        node: NodeId,
        n: u64,
        owner: String,
        sessions: Vec<String>,
    ) {
        let list = serde_json::to_string(&self.registry.list_live(&owner, &sessions)).unwrap_or_default();
        self.post.send(&node, Head::Listed { n }, vec![list.into()]).await;
    }
}

fn answered(Reply { letter, cursor }: Reply) -> Asked {
    let Letter { head, bodies, .. } = letter;
    let Head::Answer { bad, .. } = head else { return Asked::NotHere };
    Asked::Answered(Handled { answer: Answer { frames: bodies, cursor }, bad })
}

fn failed(why: &str) -> Routed {
    Routed::Failed(ErrorCode::AgentUnavailable, why.to_owned())
}
