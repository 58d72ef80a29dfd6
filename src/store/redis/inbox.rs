//! What other nodes say to this one: a stream that only this node reads, and that forgets what was read.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::Value;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    connect::{Connector, Trouble},
    follow::by_stream,
    keys,
    link::Link,
};
use crate::store::NodeId;

const BLOCK: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(5);
/// Messages that one read gives at most.
const COUNT: usize = 64;
/// Wait before a connection is tried again.
const AGAIN: Duration = Duration::from_millis(200);

pub(super) struct Inbox {
    pub(super) node: NodeId,
    pub(super) connector: Connector,
    pub(super) link: Arc<Link>,
    /// See [`SharedStore::inbox`](crate::store::SharedStore::inbox).
    pub(super) messages: mpsc::Sender<Bytes>,
}

impl Inbox {
    /// Until the store is closed or nobody reads any more.
    pub(super) async fn run(self) {
        // Kept over connections: what was handed on is not handed on again.
        let mut read = String::from("0-0");
        let reading = async {
            loop {
                match self.read_on(&mut read).await {
                    Ok(()) => return,
                    Err(trouble) => ::log::debug!("store: inbox: {trouble}"),
                }
                sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = reading => {}
            () = self.link.closed() => {}
        }
    }

    async fn read_on(&self, read: &mut String) -> Result<(), Trouble> {
        let wire = self.connector.connect().await?;
        let key = keys::inbox(&self.node);
        let mut trim: Option<redis::Cmd> = None;
        loop {
            let mut ask = redis::cmd("XREAD");
            ask.arg("COUNT").arg(COUNT).arg("BLOCK").arg(super::keeper::millis(BLOCK));
            ask.arg("STREAMS").arg(&key).arg(read.as_str());
            // The trimming goes ahead of the next read and is not waited for: an answer that is on its way comes a round trip sooner.
            let asked = async {
                let Some(trim) = trim.take() else { return wire.ask::<Value>(&ask).await };
                let (trimmed, answer) = tokio::join!(wire.ask::<Value>(&trim), wire.ask::<Value>(&ask));
                trimmed.and(answer)
            };
            let answer = timeout(BLOCK + LATE, asked).await;
            let answer = match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(trouble)) => {
                    wire.hang_up();
                    return Err(trouble);
                }
                Err(_) => {
                    wire.hang_up();
                    return Err(Trouble::Silent("no answer".to_owned()));
                }
            };
            let Some((_, entries)) = by_stream(answer)?.pop() else { continue };
            for (id, mut fields) in entries {
                *read = id;
                if let Some(Value::BulkString(message)) = fields.pop()
                    && self.messages.send(message.into()).await.is_err()
                {
                    wire.hang_up();
                    return Ok(());
                }
            }
            let (time, number) = read.split_once('-').unwrap_or((read, "0"));
            let after = format!("{time}-{}", number.parse::<u64>().unwrap_or(0) + 1);
            let mut cut = redis::cmd("XTRIM");
            cut.arg(&key).arg("MINID").arg(after);
            trim = Some(cut);
        }
    }
}
