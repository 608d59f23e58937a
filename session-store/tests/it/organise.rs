//! What people do with whole conversations.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery, SessionSummary};
use session_store::organise::{Organiser, Purged, Referrer, TagChange, detached_session};
use session_store::{
    ForkPoint, NewSegment, SegmentLocation, SessionError, SessionFact, SessionFacts, ShowOptions, Title, TitleBy,
    Tombstone, append_entry, create_segment, current_leaf, fork, fork_at, put_session_fact, restore, transcript,
};
use store_core::integrity::{VerifyOptions, verify};
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Fact, FactScope,
    Integrity, NewEntry, Position, Record, Result, SegmentId, SegmentMeta, Seq, SessionId, SessionKind, Store,
    StoreError, TraceEntry, Watch,
};

use crate::common::{NOW, every_store, extend, prompt, root, turn};

/// A store with an index, and somebody who organises it.
struct Desk<'a> {
    store: &'a dyn Backend,
    index: Index,
}

impl<'a> Desk<'a> {
    fn of(store: &'a dyn Backend) -> Self {
        let index = Index::open(store).unwrap();
        index.refresh(store).unwrap();
        Self { store, index }
    }

    fn organiser(&self) -> Organiser<'_> {
        self.index.refresh(self.store).unwrap();
        Organiser { store: self.store, index: &self.index, now: NOW }
    }

    fn row(&self, at: SegmentLocation) -> SessionSummary {
        self.index.refresh(self.store).unwrap();
        self.index.summary(at.session_id).unwrap().unwrap()
    }

    /// The sessions of a list, and how many the trash hides.
    fn listed(&self) -> (Vec<SessionId>, u64) {
        self.index.refresh(self.store).unwrap();
        let query = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
        let page = self.index.list(&query).unwrap();
        let mut sessions: Vec<SessionId> = page.rows.iter().map(|row| row.session_id).collect();
        sessions.sort();
        (sessions, page.hidden.trashed)
    }
}

fn assert_clean(store: &dyn Backend, what: &str) {
    let options = VerifyOptions { deep: true, ..VerifyOptions::default() };
    let report = verify(store.integrity().unwrap(), &options, &|_| ControlFlow::Continue(())).unwrap();
    assert!(report.ok && report.damage.is_empty(), "{what}: {report:#?}");
}

/// A sub-agent of a session.
fn subagent(store: &dyn Store, of: SegmentLocation) -> SegmentLocation {
    let meta =
        SegmentMeta { kind: SessionKind::Subagent, parent_session_id: Some(of.session_id), ..SegmentMeta::default() };
    let at = create_segment(store, NOW, NewSegment { meta, ..NewSegment::default() }).unwrap();
    extend(store, at, turn(1, "survey", "s"));
    at
}

/// The texts that a session shows.
fn shown(store: &dyn Store, session: SessionId) -> Vec<String> {
    let leaf = current_leaf(store, session).unwrap();
    let rows = transcript(store, session, leaf, &ShowOptions::default()).unwrap().messages;
    rows.into_iter().map(|row| row.text).collect()
}

#[test]
fn a_persons_title_beats_the_agents_whenever_it_was_given() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let desk = Desk::of(&*store);
        desk.organiser().rename(a.session_id, "  Mine \n").unwrap();
        let agents = SessionFact::Title(Title { text: "Made up".into(), by: TitleBy::Agent });
        put_session_fact(&*store, NOW, a.session_id, &agents).unwrap();
        assert_eq!(desk.row(a).title.as_deref(), Some("Mine"), "{scheme}");
        desk.organiser().rename(a.session_id, "").unwrap();
        assert_eq!(desk.row(a).title.as_deref(), Some("Made up"), "{scheme}");
    }
}

#[test]
fn what_is_said_is_in_the_list_and_said_once() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let desk = Desk::of(&*store);
        let before = store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap();
        for _ in 0..2 {
            let organiser = desk.organiser();
            organiser.rename(a.session_id, "T").unwrap();
            organiser
                .tag(a.session_id, &TagChange { add: vec!["x".into(), "y".into()], ..TagChange::default() })
                .unwrap();
            organiser.pin(a.session_id, true).unwrap();
            organiser.archive(a.session_id, true).unwrap();
        }
        let row = desk.row(a);
        assert_eq!((row.tags.join(" "), row.pinned, row.archived), ("x y".to_owned(), true, true), "{scheme}");
        assert_eq!(store.facts(FactScope::Session(a.session_id)).unwrap().len(), 4, "{scheme}");
        assert_eq!(store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap(), before, "{scheme}");
        for (tag, found) in [("x", 1), ("z", 0)] {
            let query = ListQuery { tag: Some(tag.into()), archived: ArchivedFilter::All, ..ListQuery::default() };
            assert_eq!(desk.index.list(&query).unwrap().total, found, "{scheme} {tag}");
        }
    }
}

#[test]
fn what_goes_into_the_trash_takes_its_sub_agents_along_and_back() {
    for (scheme, store, _folder) in every_store() {
        let (a, other) = (root(&*store, turn(1, "one", "r1")), root(&*store, turn(1, "two", "r2")));
        let (child, alone) = (subagent(&*store, a), subagent(&*store, a));
        let grandchild = subagent(&*store, child);
        let desk = Desk::of(&*store);
        desk.organiser().trash(&[alone.session_id]).unwrap();
        let gone = desk.organiser().trash(&[a.session_id]).unwrap();
        assert_eq!(gone.len(), 4, "{scheme}");
        assert_eq!(desk.listed(), (vec![other.session_id], 4), "{scheme}: hidden and counted");
        let query = ListQuery { kind: KindFilter::All, trashed: ArchivedFilter::Only, ..ListQuery::default() };
        assert_eq!(desk.index.list(&query).unwrap().total, 4, "{scheme}");
        let back = desk.organiser().take_out(&[a.session_id]).unwrap();
        assert_eq!(back, [a.session_id, child.session_id, grandchild.session_id], "{scheme}");
        assert_eq!(desk.listed().1, 1, "{scheme}: what went there for itself stays there");
        desk.organiser().take_out(&[alone.session_id]).unwrap();
        assert_eq!(desk.listed().0.len(), 5, "{scheme}");
        assert_clean(&*store, scheme);
    }
}

#[test]
fn what_is_not_in_the_trash_cannot_come_out() {
    for (scheme, store, _folder) in every_store() {
        let (a, b) = (root(&*store, [prompt("one")]), root(&*store, [prompt("two")]));
        let desk = Desk::of(&*store);
        desk.organiser().trash(&[a.session_id]).unwrap();
        let error = desk.organiser().take_out(&[a.session_id, b.session_id]).unwrap_err();
        assert!(
            matches!(error, SessionError::NotTrashed { session } if session == b.session_id),
            "{scheme}: {error:?}"
        );
        assert!(desk.row(a).trashed, "{scheme}: nothing is changed");
    }
}

#[test]
fn what_somebody_writes_is_neither_put_away_nor_purged() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let child = subagent(&*store, a);
        let f = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        let desk = Desk::of(&*store);
        let is_live = |error: SessionError| matches!(error, SessionError::Live { holder, .. } if holder.holder == "me");
        for live in [a, child] {
            let lease = store.watch().unwrap().lease(live.session_id, live.segment_id, "me", NOW).unwrap();
            assert!(is_live(desk.organiser().trash(&[a.session_id]).unwrap_err()), "{scheme}");
            assert!(is_live(desk.organiser().purge(&[a.session_id], true).unwrap_err()), "{scheme}");
            drop(lease);
        }
        let _lease = store.watch().unwrap().lease(f.session_id, f.segment_id, "me", NOW).unwrap();
        assert!(
            is_live(desk.organiser().purge(&[a.session_id], true).unwrap_err()),
            "{scheme}: it would be written anew"
        );
        assert_eq!(desk.listed().0.len(), 3, "{scheme}");
        assert_eq!(store.facts(FactScope::Store).unwrap(), [], "{scheme}");
    }
}

#[test]
fn a_purged_session_is_gone_with_its_sub_agents_and_leaves_tombstones() {
    for (scheme, store, _folder) in every_store() {
        let meta = SegmentMeta { agent: Some("pi".into()), native_id: Some("n1".into()), ..SegmentMeta::default() };
        let a = create_segment(&*store, NOW, NewSegment { meta, ..NewSegment::default() }).unwrap();
        let child = subagent(&*store, a);
        let kept = root(&*store, turn(1, "two", "r2"));
        let desk = Desk::of(&*store);
        let purged = desk.organiser().purge(&[a.session_id], false).unwrap();
        assert_eq!(purged, Purged { purged: vec![child.session_id, a.session_id], detached: Vec::new() }, "{scheme}");
        assert_eq!(desk.listed(), (vec![kept.session_id], 0), "{scheme}");
        assert!(!store.exists(a.session_id).unwrap() && !store.exists(child.session_id).unwrap(), "{scheme}");
        let facts = store.facts(FactScope::Store).unwrap();
        let stones: Vec<(String, Tombstone)> =
            facts.into_iter().map(|fact| (fact.domain, serde_json::from_value(fact.value).unwrap())).collect();
        let of = |agent: Option<&str>, session: SegmentLocation| Tombstone {
            agent: agent.map(str::to_owned),
            session_id: Some(session.session_id),
            purged_at: NOW,
            ..Tombstone::default()
        };
        let expected = [
            (format!("tombstone.{}", child.session_id), of(None, child)),
            ("tombstone.n1".to_owned(), of(Some("pi"), a)),
        ];
        assert_eq!(stones, expected, "{scheme}");
        assert_clean(&*store, scheme);
    }
}

/// A conversation with a compacted branch and a sub-agent, a fork of it, a fork of that, a fork of its end, and one that nobody refers to.
struct Woods {
    trunk: SegmentLocation,
    fork: SegmentLocation,
    of_fork: SegmentLocation,
    helper_of_fork: SegmentLocation,
    of_branch: SegmentLocation,
    other: SegmentLocation,
}

fn woods(store: &dyn Store) -> Woods {
    let trunk = root(store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
    subagent(store, trunk);
    let branch = fork_at(store, NOW, trunk, ForkPoint::Turn(1)).unwrap();
    extend(store, branch, turn(2, "rather", "r3"));
    let parts = session_store::lineage::load(store, branch.session_id, branch.segment_id).unwrap();
    let plan = session_store::plan_compaction(&parts, &session_store::CompactOptions { keep_turns: 1 }).unwrap();
    let compacted = session_store::compact(store, NOW, &plan, "So far.").unwrap();
    extend(store, compacted, turn(3, "three", "r4"));
    let forked = fork(store, NOW, trunk, ForkPoint::Turn(1)).unwrap();
    extend(store, forked, turn(2, "fork", "r5"));
    put_session_fact(store, NOW, forked.session_id, &SessionFact::Tags(vec!["kept".into()])).unwrap();
    let of_fork = fork(store, NOW, forked, ForkPoint::End).unwrap();
    extend(store, of_fork, turn(3, "of fork", "r6"));
    let of_branch = fork(store, NOW, compacted, ForkPoint::End).unwrap();
    extend(store, of_branch, turn(4, "of branch", "r7"));
    let again = fork_at(store, NOW, of_branch, ForkPoint::End).unwrap();
    extend(store, again, turn(5, "again", "r8"));
    let helper_of_fork = subagent(store, forked);
    let other = root(store, turn(1, "other", "r9"));
    Woods { trunk, fork: forked, of_fork, helper_of_fork, of_branch, other }
}

#[test]
fn what_others_continue_is_not_purged() {
    for (scheme, store, _folder) in every_store() {
        let woods = woods(&*store);
        let desk = Desk::of(&*store);
        let plan = desk.organiser().plan_purge(&[woods.trunk.session_id]).unwrap();
        let mut referrers = vec![woods.fork, woods.of_branch];
        referrers.sort_by_key(|at| at.session_id);
        let referrers: Vec<Referrer> = referrers
            .into_iter()
            .map(|at| Referrer {
                session_id: at.session_id,
                segment_id: at.segment_id,
                continues: woods.trunk.session_id,
            })
            .collect();
        assert_eq!(plan.referrers, referrers, "{scheme}");
        let before = desk.listed();
        let error = desk.organiser().purge(&[woods.trunk.session_id], false).unwrap_err();
        let SessionError::Store(StoreError::Referenced { by }) = error else { panic!("{scheme}: {error:?}") };
        assert_eq!(by.len(), 2, "{scheme}");
        assert_eq!((desk.listed(), store.facts(FactScope::Store).unwrap().len()), (before, 0), "{scheme}");
    }
}

#[test]
fn conversations_that_continue_each_other_are_purged_together() {
    for (scheme, store, _folder) in every_store() {
        let woods = woods(&*store);
        let desk = Desk::of(&*store);
        let all = [woods.trunk, woods.fork, woods.of_fork, woods.of_branch].map(|at| at.session_id);
        let purged = desk.organiser().purge(&all, false).unwrap();
        assert_eq!((purged.purged.len(), purged.detached.len()), (6, 0), "{scheme}");
        assert_eq!(desk.listed(), (vec![woods.other.session_id], 0), "{scheme}");
        assert_clean(&*store, scheme);
    }
}

/// What outlives the trunk: what it was, and what it shows.
fn survivors(store: &dyn Store, woods: &Woods) -> Vec<(SessionId, Vec<String>)> {
    let all = [woods.fork, woods.of_fork, woods.of_branch, woods.helper_of_fork, woods.other];
    all.into_iter().map(|at| (at.session_id, shown(store, at.session_id))).collect()
}

fn assert_detached(store: &dyn Backend, woods: &Woods, before: &[(SessionId, Vec<String>)], what: &str) {
    let desk = Desk::of(store);
    assert!(!store.exists(woods.trunk.session_id).unwrap(), "{what}");
    for (old, texts) in before.iter().filter(|(old, _)| *old != woods.other.session_id) {
        let new = detached_session(*old);
        assert!(!store.exists(*old).unwrap(), "{what}");
        assert_eq!(&shown(store, new), texts, "{what}");
    }
    assert_eq!(desk.listed().1, 0, "{what}: nothing is left in the trash");
    assert_eq!(desk.listed().0.len(), before.len(), "{what}");
    let fork = desk.index.summary(detached_session(woods.fork.session_id)).unwrap().unwrap();
    assert_eq!((fork.tags, fork.forked_from), (vec!["kept".to_owned()], None), "{what}");
    let of_fork = desk.index.summary(detached_session(woods.of_fork.session_id)).unwrap().unwrap();
    assert_eq!(of_fork.forked_from.map(|at| at.session_id), Some(fork.session_id), "{what}: it is still a fork of it");
    let helper = desk.index.summary(detached_session(woods.helper_of_fork.session_id)).unwrap().unwrap();
    assert_eq!(helper.parent_session_id, Some(fork.session_id), "{what}");
    assert_clean(store, what);
}

#[test]
fn what_continues_a_purged_conversation_is_written_anew_and_shows_the_same() {
    for (scheme, store, _folder) in every_store() {
        let woods = woods(&*store);
        let before = survivors(&*store, &woods);
        let usage: Vec<u64> = before.iter().map(|(old, _)| requests(&*store, *old)).collect();
        let desk = Desk::of(&*store);
        let done = desk.organiser().purge(&[woods.trunk.session_id], true).unwrap();
        assert_eq!((done.purged.len(), done.detached.len()), (2, 4), "{scheme}");
        assert_detached(&*store, &woods, &before, scheme);
        let after: Vec<u64> = before
            .iter()
            .map(|(old, _)| if store.exists(*old).unwrap() { *old } else { detached_session(*old) })
            .map(|now| requests(&*store, now))
            .collect();
        assert_eq!(usage, after, "{scheme}: usage goes on");
        // And once more, now that the copy is the oldest.
        desk.organiser().purge(&[detached_session(woods.fork.session_id)], true).unwrap();
        let twice = detached_session(detached_session(woods.of_fork.session_id));
        assert_eq!(shown(&*store, twice), before[1].1, "{scheme}");
        assert_clean(&*store, scheme);
    }
}

fn requests(store: &dyn Store, session: SessionId) -> u64 {
    restore(store, session, current_leaf(store, session).unwrap()).unwrap().usage_history.len() as u64
}

/// A store that fails from a certain write on.
struct Failing {
    inner: Arc<dyn Backend>,
    left: AtomicU64,
}

impl Failing {
    fn spend(&self) -> Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| StoreError::backend("the process is gone"))
    }
}

impl Store for Failing {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        self.spend()?;
        self.inner.create_segment(session, segment, entries, options)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        self.spend()?;
        self.inner.append_with(session, segment, entries, options)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.inner.read_range(session, segment, after, limit)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        self.inner.read_tail(session, segment, count)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        self.inner.read_entry_count(session, segment)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        self.inner.exists(session)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        self.inner.list_sessions()
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        self.inner.list_segments(session)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        self.inner.lookup_session_of(segment)
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.spend()?;
        self.inner.append_trace(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.inner.read_traces(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        self.spend()?;
        self.inner.put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        self.inner.facts(scope)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.spend()?;
        self.inner.put_blob(bytes)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.inner.get_blob(reference)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.inner.changes(cursor)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.spend()?;
        self.inner.delete_session(session)
    }
}

impl Backend for Failing {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }

    fn watch(&self) -> Option<&dyn Watch> {
        self.inner.watch()
    }

    fn integrity(&self) -> Option<&dyn Integrity> {
        self.inner.integrity()
    }
}

/// Cuts a purge off at every write on every backend, looks at what is left, and does it again.
fn cut_off(
    detach: bool,
    sessions: impl Fn(&Woods) -> Vec<SessionId>,
    check: impl Fn(&dyn Backend, &Woods, &[(SessionId, Vec<String>)], &str),
) {
    let backends = every_store().len();
    for backend in 0..backends {
        // Where each write is synced, some of the places have to do.
        let step = if every_store()[backend].0 == "memory" { 1 } else { 9 };
        for writes in (0_u64..).step_by(step) {
            let (scheme, inner, _folder) = every_store().swap_remove(backend);
            let what = format!("{scheme}, cut off behind {writes} writes");
            let woods = woods(&*inner);
            let before = survivors(&*inner, &woods);
            let failing = Failing { inner: Arc::clone(&inner), left: AtomicU64::new(writes) };
            let index = Index::open(&*inner).unwrap();
            index.refresh(&*inner).unwrap();
            let organiser = Organiser { store: &failing, index: &index, now: NOW };
            let is_done = organiser.purge(&sessions(&woods), detach).is_ok();
            assert_clean(&*inner, &what);
            for (old, texts) in before.iter().filter(|(old, _)| detach || !sessions(&woods).contains(old)) {
                if !detach && *old == woods.helper_of_fork.session_id {
                    continue;
                }
                let there: Vec<SessionId> =
                    [*old, detached_session(*old)].into_iter().filter(|one| is_visible(&*inner, *one)).collect();
                let whole = there.iter().filter(|one| shown(&*inner, **one) == *texts).count();
                assert!(whole > 0, "{what}: what is there is there whole");
                // Between its first segment and its mark in the trash a copy can be seen, beside the original.
                assert!(whole == there.len() || (there[0] == *old && whole == 1), "{what}: {there:?}");
            }
            let desk = Desk::of(&*inner);
            let left: Vec<SessionId> =
                sessions(&woods).into_iter().filter(|session| inner.exists(*session).unwrap()).collect();
            if !left.is_empty() {
                desk.organiser().purge(&left, detach).unwrap();
            }
            check(&*inner, &woods, &before, &what);
            if is_done {
                assert!(writes > 5, "{what}");
                break;
            }
        }
    }
}

/// Whether a session is there and not in the trash.
fn is_visible(store: &dyn Store, session: SessionId) -> bool {
    store.exists(session).unwrap() && !SessionFacts::read(store, session).unwrap().trashed
}

#[test]
fn a_purge_that_is_cut_off_can_be_done_again() {
    cut_off(
        false,
        |woods| {
            vec![woods.trunk.session_id, woods.fork.session_id, woods.of_fork.session_id, woods.of_branch.session_id]
        },
        |store, woods, _, what| {
            assert_eq!(Desk::of(store).listed(), (vec![woods.other.session_id], 0), "{what}");
            assert_clean(store, what);
        },
    );
}

#[test]
fn a_detachment_that_is_cut_off_can_be_done_again() {
    cut_off(true, |woods| vec![woods.trunk.session_id], assert_detached);
}

#[test]
fn a_copy_that_says_something_else_does_not_take_the_place_of_its_original() {
    // Behind how many writes the copy is whole and can be seen, and the original is still there: as many on every backend.
    let is_between = |inner: &dyn Backend, fork: SegmentLocation| {
        inner.exists(fork.session_id).unwrap() && is_visible(inner, detached_session(fork.session_id))
    };
    let cut_off = |inner: &Arc<dyn Backend>, writes: u64| {
        let woods = woods(&**inner);
        let failing = Failing { inner: Arc::clone(inner), left: AtomicU64::new(writes) };
        let desk = Desk::of(&**inner);
        let organiser = Organiser { store: &failing, index: &desk.index, now: NOW };
        let is_done = organiser.purge(&[woods.trunk.session_id], true).is_ok();
        (woods, is_done)
    };
    let mut between = None;
    for writes in 0.. {
        let inner = every_store().swap_remove(0).1;
        let (woods, is_done) = cut_off(&inner, writes);
        if is_between(&*inner, woods.fork) {
            between = Some(writes);
        }
        if is_done {
            break;
        }
    }
    let writes = between.unwrap();
    for (scheme, inner, _folder) in every_store() {
        let (woods, _) = cut_off(&inner, writes);
        let fork = woods.fork;
        assert!(is_between(&*inner, fork), "{scheme}");
        // Both go on, each for itself.
        let copy = detached_session(fork.session_id);
        for (session_id, said) in [(copy, "in the copy"), (fork.session_id, "in the original")] {
            for segment_id in inner.list_segments(session_id).unwrap() {
                append_entry(&*inner, SegmentLocation { session_id, segment_id }, prompt(said)).unwrap();
            }
        }
        let told = Desk::of(&*inner).organiser().purge(&[woods.trunk.session_id], true).unwrap_err();
        assert!(matches!(told, SessionError::CopyDiffers { .. }), "{scheme}: {told}");
        let said = shown(&*inner, fork.session_id).concat();
        assert!(said.contains("in the original"), "{scheme}: {said}");
        assert!(shown(&*inner, copy).concat().contains("in the copy"), "{scheme}");
    }
}

#[test]
fn who_tags_at_the_same_time_takes_no_tag_from_the_other() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, []);
        let index = Index::open(&*store).unwrap();
        let tag = |change: TagChange| {
            let organiser = Organiser { store: &*store, index: &index, now: NOW };
            organiser.tag(a.session_id, &change).unwrap();
        };
        let add = |tag: &str| TagChange { add: vec![tag.to_owned()], ..TagChange::default() };
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || tag(add(&format!("tag {number}"))));
            }
        });
        assert_eq!(SessionFacts::read(&*store, a.session_id).unwrap().tags.len(), 8, "{scheme}");
        tag(TagChange { remove: vec!["tag 3".into()], ..TagChange::default() });
        tag(TagChange { clear: true, add: vec!["only".into()], ..TagChange::default() });
        assert_eq!(SessionFacts::read(&*store, a.session_id).unwrap().tags, ["only"], "{scheme}");
    }
}

#[test]
fn a_purge_that_was_cut_off_can_be_taken_back() {
    for (scheme, inner, _folder) in every_store() {
        let meta = SegmentMeta { agent: Some("pi".into()), native_id: Some("n1".into()), ..SegmentMeta::default() };
        let a = create_segment(&*inner, NOW, NewSegment { meta, ..NewSegment::default() }).unwrap();
        // The mark in the trash and the tombstone; the deletion fails.
        let failing = Failing { inner: Arc::clone(&inner), left: AtomicU64::new(2) };
        let desk = Desk::of(&*inner);
        let organiser = Organiser { store: &failing, index: &desk.index, now: NOW };
        organiser.purge(&[a.session_id], false).unwrap_err();
        assert_eq!(inner.facts(FactScope::Store).unwrap().len(), 1, "{scheme}");
        desk.organiser().take_out(&[a.session_id]).unwrap();
        let last = inner.facts(FactScope::Store).unwrap().pop().unwrap();
        assert_eq!((last.domain.as_str(), last.value.is_null()), ("tombstone.n1", true), "{scheme}");
        assert_eq!(desk.listed(), (vec![a.session_id], 0), "{scheme}");
    }
}
