//! Reading: events, records, lists.

use std::collections::HashSet;
use std::time::Duration;

use redis::Value;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    connect::Wire,
    keys,
    link::Link,
    scripts::{READ, RETIRE},
};
use crate::store::{
    Chunk, Entry, Expired, Indexed, NodeId, Record, Retention, SessionKey, Status, StoreError, StoredSession,
};

/// How long a replay waits for Redis to come back. Not for ever: its connection has other sessions, and heartbeats to send.
const REPLAY_WAITS: Duration = Duration::from_secs(10);
/// Sessions that are asked for at once.
const STEP: usize = 200;
/// Sessions at rest that one look for expired ones goes through.
const EXPIRED: isize = 10_000;

/// Fields of a session's hash, in the order in which [`Row`] takes them.
const FIELDS: [&str; 9] =
    ["epoch", "first", "last", "next", "owner", "created_at", "last_active_at", "status", "state"];

/// A session as its hash has it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) stored: StoredSession,
    pub(super) last_active_at: u64,
}

/// See [`Store::read`](crate::store::Store::read).
pub(super) async fn read(
    link: &Link,
    key: &str,
    epoch: &str,
    after: u64,
    max_bytes: usize,
) -> Result<Chunk, StoreError> {
    let mut call = READ.call(&[&keys::events(key, epoch)]);
    call.arg(after).arg(max_bytes);
    // A replay waits for Redis rather than to leave something out.
    let asked = async {
        loop {
            let Some(wire) = link.wire().await else { return Err(StoreError::Closed) };
            match READ.run::<Vec<Value>>(&wire, &call).await.map_err(StoreError::from) {
                Err(StoreError::Away(_)) => wait_for_better(link, &wire).await,
                answer => return answer,
            }
        }
    };
    let Ok(answer) = tokio::time::timeout(REPLAY_WAITS, asked).await else {
        return Err(StoreError::Away("Redis does not answer".to_owned()));
    };
    let mut values = answer?;
    let mut entries = Vec::with_capacity(values.len() / 3);
    for row in values.chunks_exact_mut(3) {
        let seq = number(&row[0])?;
        let lost = text(&row[2])?.parse::<u64>().ok().filter(|lost| *lost > after);
        match lost {
            Some(through) if entries.is_empty() => return Ok(Chunk::Lost { through, next: seq }),
            Some(_) => break,
            None => {}
        }
        entries.push(Entry { seq, frame: frame(std::mem::take(&mut row[1]))? });
    }
    Ok(if entries.is_empty() { Chunk::End } else { Chunk::Entries(entries) })
}

/// The next connection, or the same one a little later: it may be loading its data.
async fn wait_for_better(link: &Link, wire: &Wire) {
    let a_little = tokio::time::sleep(Duration::from_millis(100));
    tokio::select! {
        () = a_little => {}
        () = wire.over() => {}
        () = link.closed() => {}
    }
}

pub(super) async fn message_ids(link: &Link, key: &str, epoch: &str) -> Result<Vec<String>, StoreError> {
    let mut cmd = redis::cmd("LRANGE");
    cmd.arg(keys::message_ids(key, epoch)).arg(0).arg(-1);
    link.look(&cmd).await
}

pub(super) async fn session(link: &Link, key: &str) -> Result<Option<Row>, StoreError> {
    Ok(rows(link, &[key.to_owned()]).await?.pop())
}

/// The sessions of a sorted set, in its order.
pub(super) async fn listed(link: &Link, set: &str) -> Result<Vec<Row>, StoreError> {
    let mut cmd = redis::cmd("ZRANGE");
    cmd.arg(set).arg(0).arg(-1);
    let ids: Vec<String> = link.look(&cmd).await?;
    rows(link, &ids).await
}

/// Asks for some fields of each of these sessions, at most [`STEP`] at once.
async fn fields<const N: usize>(
    link: &Link,
    ids: &[String],
    names: &[&str; N],
) -> Result<Vec<Vec<Option<String>>>, StoreError> {
    let mut all = Vec::with_capacity(ids.len());
    for some in ids.chunks(STEP) {
        let wire = link.wire_soon().await?;
        let asked = some.iter().map(|id| {
            let wire = &wire;
            async move {
                let mut cmd = redis::cmd("HMGET");
                cmd.arg(keys::session(id)).arg(names);
                wire.ask::<Vec<Option<String>>>(&cmd).await
            }
        });
        for fields in futures_util::future::join_all(asked).await {
            all.push(fields?);
        }
    }
    Ok(all)
}

/// See [`Store::index`](crate::store::Store::index).
pub(super) async fn index(link: &Link, owner: &str) -> Result<Vec<Indexed>, StoreError> {
    let mut cmd = redis::cmd("ZRANGE");
    cmd.arg(keys::of(owner)).arg(0).arg(-1);
    let ids: Vec<String> = link.look(&cmd).await?;
    let all = fields(link, &ids, &["epoch", "last_active_at", "status", "node"]).await?;
    let alive = nodes(link).await?;
    let indexed = ids.into_iter().zip(all).filter_map(|(id, fields)| {
        let mut fields = fields.into_iter();
        let mut next = || fields.next().flatten();
        Some(Indexed {
            key: SessionKey::from(id),
            epoch: next()?,
            last_active_at: next().and_then(|text| text.parse().ok()).unwrap_or(0),
            status: status(next().as_deref()),
            node: next().map(NodeId::from).filter(|node| alive.contains(node)),
        })
    });
    Ok(indexed.collect())
}

/// See [`Store::records`](crate::store::Store::records).
pub(super) async fn records(link: &Link, keys: Vec<SessionKey>) -> Result<Vec<Option<Record>>, StoreError> {
    let ids: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    let all = fields(link, &ids, &FIELDS).await?;
    Ok(ids.iter().zip(all).map(|(id, fields)| row(id, fields)?.stored.record).collect())
}

fn status(text: Option<&str>) -> Status {
    match text {
        Some("1") => Status::Dormant,
        Some("2") => Status::Ended,
        _ => Status::Active,
    }
}

/// Those of these sessions that are there.
async fn rows(link: &Link, ids: &[String]) -> Result<Vec<Row>, StoreError> {
    let all = fields(link, ids, &FIELDS).await?;
    Ok(ids.iter().zip(all).filter_map(|(id, fields)| row(id, fields)).collect())
}

fn row(id: &str, fields: Vec<Option<String>>) -> Option<Row> {
    let mut fields = fields.into_iter();
    let mut next = || fields.next().flatten();
    let stored = stored(id, &mut next)?;
    let (stored, (_, last_active_at)) = stored;
    Some(Row { stored, last_active_at })
}

/// Takes `FIELDS`.
pub(super) fn stored(
    id: &str,
    next: &mut impl FnMut() -> Option<String>,
) -> Option<(StoredSession, (String, u64))> {
    let epoch = next()?;
    let mut seq = || next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (first_seq, last_seq, next_seq) = (seq().max(1), seq(), seq());
    let owner = next().unwrap_or_default();
    let mut time = || next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (created_at, last_active_at) = (time(), time());
    let status = next();
    let record = next().map(|state| Record {
        owner: owner.clone(),
        created_at,
        last_active_at,
        status: self::status(status.as_deref()),
        state,
    });
    let key = SessionKey::from(id);
    let next_seq = next_seq.max(last_seq + 1);
    Some((StoredSession { key, epoch, first_seq, last_seq, next_seq, record }, (owner, last_active_at)))
}

/// The nodes whose lease lives; those that are gone and have left nothing are taken off the list.
pub(super) async fn nodes(link: &Link) -> Result<Vec<NodeId>, StoreError> {
    let all: Vec<String> = link.look(redis::cmd("SMEMBERS").arg(keys::NODES)).await?;
    let mut alive = Vec::new();
    for node in all.into_iter().map(NodeId::from) {
        if lives(link, &node).await? {
            alive.push(node);
            continue;
        }
        let mut call = RETIRE.call(&[keys::NODES, &keys::node(&node), &keys::own(&node)]);
        call.arg(node.as_str());
        RETIRE.on::<bool>(link, &call).await?;
    }
    Ok(alive)
}

pub(super) async fn lives(link: &Link, node: &NodeId) -> Result<bool, StoreError> {
    link.look(redis::cmd("EXISTS").arg(keys::node(node))).await
}

/// See [`Store::expired`](crate::store::Store::expired). Sessions of living nodes are not looked at; those of dead ones count as
/// dormant, where `orphans` may be taken.
pub(super) async fn expired(
    link: &Link,
    retention: Retention,
    orphans: bool,
) -> Result<Vec<Expired>, StoreError> {
    let mut cmd = redis::cmd("ZRANGE");
    cmd.arg(keys::REST).arg(0).arg(EXPIRED);
    let mut ids: Vec<String> = link.look(&cmd).await?;
    if orphans {
        ids.extend(orphaned(link).await?);
    }
    let mut rows = rows(link, &ids).await?;
    let ended = |row: &Row| row.stored.ended().is_some();
    rows.sort_by_key(|row| (!ended(row), row.last_active_at));
    let oldest_kept = retention.max_age_ms.map(|age| retention.now_ms.saturating_sub(age));
    let mut excess = match retention.max_bytes {
        Some(max) => used_bytes(link).await?.saturating_sub(max),
        None => 0,
    };
    let mut expired = Vec::new();
    if let Some(max) = retention.max_ended_per_owner {
        expired = surplus(link, &rows, max).await?;
    }
    let known: HashSet<_> = expired.iter().map(|expired| expired.key.clone()).collect();
    rows.retain(|row| !known.contains(&row.stored.key));
    for row in rows {
        if oldest_kept.is_none_or(|oldest| row.last_active_at >= oldest) && excess == 0 {
            continue;
        }
        if excess > 0 {
            let mut cmd = redis::cmd("HGET");
            cmd.arg(keys::session(&row.stored.key)).arg("bytes");
            excess = excess.saturating_sub(link.look::<Option<u64>>(&cmd).await?.unwrap_or(0));
        }
        let ended = ended(&row);
        expired.push(Expired { key: row.stored.key, epoch: row.stored.epoch, ended });
    }
    Ok(expired)
}

/// The ended sessions that are too many, of the owners of these.
async fn surplus(link: &Link, rows: &[Row], max: usize) -> Result<Vec<Expired>, StoreError> {
    let owners: HashSet<_> = rows.iter().filter_map(|row| Some(row.stored.ended()?.owner.as_str())).collect();
    let mut surplus = Vec::new();
    for owner in owners {
        if link.look::<usize>(redis::cmd("ZCARD").arg(keys::of(owner))).await? <= max {
            continue;
        }
        let mut index = index(link, owner).await?;
        index.retain(|indexed| indexed.status == Status::Ended && indexed.node.is_none());
        index.sort_by(|a, b| (b.last_active_at, &b.key).cmp(&(a.last_active_at, &a.key)));
        let too_many = index.into_iter().skip(max);
        surplus.extend(too_many.map(|Indexed { key, epoch, .. }| Expired { key, epoch, ended: true }));
    }
    Ok(surplus)
}

/// Bytes of all sessions, as their writers counted them.
pub(super) async fn used_bytes(link: &Link) -> Result<u64, StoreError> {
    let used: Option<i64> = link.look(redis::cmd("GET").arg(keys::BYTES)).await?;
    Ok(used.and_then(|used| u64::try_from(used).ok()).unwrap_or(0))
}

/// Sessions of nodes that are gone.
async fn orphaned(link: &Link) -> Result<Vec<String>, StoreError> {
    let all: Vec<String> = link.look(redis::cmd("SMEMBERS").arg(keys::NODES)).await?;
    let mut orphans = Vec::new();
    for node in all.into_iter().map(NodeId::from) {
        if !lives(link, &node).await? {
            orphans.extend(link.look::<Vec<String>>(redis::cmd("SMEMBERS").arg(keys::own(&node))).await?);
        }
    }
    Ok(orphans)
}

pub(super) fn number(value: &Value) -> Result<u64, StoreError> {
    text(value)?.parse().map_err(|_| StoreError::Database("a seq that is no number".to_owned()))
}

pub(super) fn text(value: &Value) -> Result<&str, StoreError> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text.as_str()),
        _ => None,
    }
    .ok_or_else(|| StoreError::Database("an answer that is no text".to_owned()))
}

pub(super) fn frame(value: Value) -> Result<Utf8Bytes, StoreError> {
    let Value::BulkString(bytes) = value else {
        return Err(StoreError::Database("a frame that is no text".to_owned()));
    };
    Utf8Bytes::try_from(bytes::Bytes::from(bytes))
        .map_err(|_| StoreError::Database("a frame that is not UTF-8".to_owned()))
}
