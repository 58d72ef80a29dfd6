//! Pages of lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::protocol::{ListSessions, Liveness};
use crate::session::{Listed, SessionLimits};
use crate::store::{Retention, SessionKey, raw};

use super::lab::{Lab, ME, sqlite};

/// Sessions that the store has: id, owner, whether it has ended, when it was last active, directory, a pair of metadata.
fn put_stored<'a>(
    dir: &tempfile::TempDir,
    sessions: impl Iterator<Item = (String, &'a str, bool, u64, &'a str, &'a str)>,
) {
    let mut conn = raw(dir.path());
    let tx = conn.transaction().unwrap();
    for (id, owner, has_ended, last_active_at, cwd, team) in sessions {
        let state = serde_json::json!({
            "config": {"cwd": cwd, "metadata": {"team": team}}, "last_active_at": last_active_at,
        });
        tx.execute(
            "INSERT INTO sessions (id, epoch, status, last_active_at, owner, state) VALUES (?1, 'e', ?2, ?3, ?4, ?5)",
            (SessionKey::of(owner, &id).as_str(), 1 + i64::from(has_ended), last_active_at.cast_signed(), owner, state.to_string()),
        )
        .unwrap();
    }
    tx.commit().unwrap();
}

async fn lab_with<'a>(
    dir: &tempfile::TempDir,
    sessions: impl Iterator<Item = (String, &'a str, bool, u64, &'a str, &'a str)>,
) -> Lab {
    let store = sqlite(dir);
    put_stored(dir, sessions);
    Lab::new(SessionLimits::default(), Some(store)).await
}

fn ids(listed: &Listed) -> Vec<&str> {
    listed.sessions.iter().map(|summary| summary.session_id.as_str()).collect()
}

/// All pages of a list; each says the same total.
async fn pages(lab: &Lab, mut asked: ListSessions, total: u64) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let listed = lab.registry.list(ME, &asked).await;
        assert_eq!(listed.total, total);
        pages.push(ids(&listed).into_iter().map(str::to_owned).collect());
        match listed.next {
            Some(next) => asked.cursor = Some(next),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn pages_give_every_session_once_the_most_recently_active_first() {
    let dir = tempfile::tempdir().unwrap();
    // Every seventh rests and is in memory; several are of the same moment.
    let stored = (0..250).map(|n: u64| (format!("s-{n:03}"), ME, !n.is_multiple_of(7), n / 3, "/w", "a"));
    let others = (0..50).map(|n: u64| (format!("o-{n:03}"), "you", true, n, "/w", "a"));
    let lab = lab_with(&dir, stored.chain(others)).await;
    let mut wanted: Vec<_> = (0..250).map(|n: u64| (n / 3, format!("s-{n:03}"))).collect();
    wanted.sort_unstable_by(|a, b| b.cmp(a));
    let wanted: Vec<_> = wanted.into_iter().map(|(_, id)| id).collect();
    for limit in [1, 40, 100, 250, 1000] {
        let pages = pages(&lab, ListSessions { limit: Some(limit), ..ListSessions::default() }, 250).await;
        let (last, full) = pages.split_last().unwrap();
        assert!(full.iter().all(|page| page.len() == usize::from(limit)) && !last.is_empty());
        assert_eq!(pages.concat(), wanted, "{limit} a page");
    }
    assert_eq!(lab.registry.list(ME, &ListSessions::default()).await.sessions.len(), 100);
    assert_eq!(lab.registry.list("nobody", &ListSessions::default()).await.total, 0);
}

#[tokio::test]
async fn lists_are_filtered_and_the_total_is_of_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let place = |n: u64| if n.is_multiple_of(2) { "/srv/Garden" } else { "/srv/kitchen" };
    let team = |n: u64| if n.is_multiple_of(5) { "Salad" } else { "soup" };
    let stored =
        (0..60).map(move |n: u64| (format!("s-{n:02}"), ME, !n.is_multiple_of(3), n, place(n), team(n)));
    let lab = lab_with(&dir, stored).await;
    let asked = ListSessions { limit: Some(4), ..ListSessions::default() };
    let expected = |fits: &dyn Fn(u64) -> bool| -> Vec<String> {
        (0..60).rev().filter(|n| fits(*n)).map(|n: u64| format!("s-{n:02}")).collect()
    };
    let search = |text: &str| ListSessions { search: Some(text.to_owned()), ..asked.clone() };
    let metadata = BTreeMap::from([("team".to_owned(), "soup".to_owned())]);
    let both = [Liveness::Ended, Liveness::Dormant];
    for (asked, wanted) in [
        (search("garden"), expected(&|n| n.is_multiple_of(2))),
        (search("SALA"), expected(&|n| n.is_multiple_of(5))),
        (search("nowhere"), Vec::new()),
        (ListSessions { metadata: metadata.clone(), ..asked.clone() }, expected(&|n| !n.is_multiple_of(5))),
        (
            ListSessions { status: vec![Liveness::Ended], ..asked.clone() },
            expected(&|n| !n.is_multiple_of(3)),
        ),
        (
            ListSessions { status: vec![Liveness::Dormant], ..asked.clone() },
            expected(&|n| n.is_multiple_of(3)),
        ),
        (ListSessions { status: both.to_vec(), ..asked.clone() }, expected(&|_| true)),
        (ListSessions { status: vec![Liveness::Active], ..asked.clone() }, Vec::new()),
        (
            ListSessions { status: vec![Liveness::Ended], metadata, ..search("kitchen") },
            expected(&|n| !n.is_multiple_of(3) && !n.is_multiple_of(5) && !n.is_multiple_of(2)),
        ),
    ] {
        let total = wanted.len() as u64;
        assert_eq!(pages(&lab, asked.clone(), total).await.concat(), wanted, "{asked:?}");
    }
}

/// It took 25 s until that session stood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lists_many_ended_sessions_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab_with(&dir, (0..20_000).map(|n| (format!("s-{n}"), ME, true, n, "/w", "a"))).await;
    let asked = ListSessions { search: Some("nowhere".to_owned()), ..ListSessions::default() };
    let tasks = TaskTracker::new();
    let lists: Vec<_> = (0..10)
        .map(|_| {
            let (registry, asked) = (Arc::clone(&lab.registry), asked.clone());
            tasks.spawn(async move { registry.list(ME, &asked).await.total })
        })
        .collect();
    for n in 0..5 {
        assert!(lab.open(&format!("new-{n}"), if n < 3 { "you" } else { "they" }).await.unwrap().1);
    }
    assert!(lists.iter().any(|list| !list.is_finished()), "the lists were so quick that they show nothing");
    for list in lists {
        list.abort();
    }
    // A page without a search is quick, whatever there is.
    let page = lab.registry.list(ME, &ListSessions::default()).await;
    assert_eq!((page.total, page.sessions.len(), ids(&page)[0]), (20_000, 100, "s-19999"));
}

#[tokio::test]
async fn ended_sessions_of_an_owner_are_kept_up_to_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let stored = (0..20).map(|n: u64| {
        (format!("s-{n:02}"), ["me", "you"][usize::from(n >= 15)], !n.is_multiple_of(3), n, "/w", "a")
    });
    let lab = lab_with(&dir, stored).await;
    let retention = Retention { max_ended_per_owner: Some(4), ..Retention::default() };
    lab.registry.forget(retention).await.unwrap();
    let mine = lab.registry.list(ME, &ListSessions::default()).await;
    // Those that rest stay all of them.
    assert_eq!(ids(&mine), ["s-14", "s-13", "s-12", "s-11", "s-10", "s-09", "s-06", "s-03", "s-00"]);
    assert_eq!(lab.registry.list("you", &ListSessions::default()).await.total, 5);
}
