//! The usage books, held against the files of the real programs, the index, and each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use session_store::import::{ImportOptions, Importer};
use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery, Verdict};
use session_store::organise::Organiser;
use session_store::usage::{
    By, ModelPrice, Posted, PriceTable, PricedUse, Rebuild, Sums, UsageFilter, feed, inherited_uses, is_unfed,
    is_usage_book, known_uses, report_of, reread, uses_as_of,
};
use session_store::{
    ForkPoint, OpenMode, OpenOptions, SegmentLocation, UsageTotals, current_leaf, fork, open, open_ledger, read_ledger,
};
use store_core::ledger::{AccountId, Clock, Draft, Ledger, LedgerError, Posting};
use store_core::{Backend, LogEntry, SegmentId, Seq, SessionId, StoreError, TransactionId};

use crate::import::samples::recorded;
use crate::import::world::{NOON, files, sample};

const SAMPLES: [&str; 4] = ["claude", "codex", "codex-0.80.0", "pi"];

/// A store on a medium, with its index and the clock of its ledger, which goes a second further with every look.
struct World {
    url: String,
    store: Arc<dyn Backend>,
    index: Index,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{kind}:{}", folder.path().join("store").display());
        let store = open(&url, &OpenOptions { mode: OpenMode::ReadWrite, now: NOON, create: true }).unwrap();
        let index = Index::open(&*store).unwrap();
        let seconds = AtomicU64::new(0);
        let clock: Clock = Arc::new(move || (NOON + 1000 * seconds.fetch_add(1, Ordering::Relaxed)) * 1000);
        Self { url, store, index, clock, _folder: folder }
    }

    fn import(&self, paths: &[PathBuf]) {
        let importer = Importer { store: &*self.store, index: &self.index, now: NOON };
        let report = importer.run(paths, &ImportOptions::default(), &mut |_| {}).unwrap();
        assert_eq!(report.failed, 0);
        self.index.refresh(&*self.store).unwrap();
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        open_ledger(&self.url, &self.clock, Duration::from_secs(60)).unwrap()
    }

    /// Feeds the books as a command does: it has the ledger for as long as that takes.
    fn feed(&self) -> Posted {
        self.feed_by(&prices())
    }

    fn feed_by(&self, prices: &PriceTable) -> Posted {
        let ledger = self.ledger();
        let posted = feed(&self.index, &*ledger, prices).unwrap();
        ledger.shutdown().unwrap();
        assert!(!is_unfed(&self.index, prices).unwrap());
        posted
    }

    fn reader(&self) -> Arc<dyn Ledger> {
        read_ledger(&self.url, &self.clock).unwrap().unwrap()
    }

    fn sessions(&self) -> Vec<SessionId> {
        self.store.list_sessions().unwrap()
    }
}

fn prices() -> PriceTable {
    PriceTable::shipped().unwrap()
}

fn on_both(check: impl Fn(&World)) {
    for kind in ["fs", "sqlite"] {
        check(&World::new(kind));
    }
}

/// What the usage books hold of each unit, over all accounts and books: debits of what was used.
fn held(ledger: &dyn Ledger) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for book in ledger.list_books().unwrap().into_iter().filter(is_usage_book) {
        for account in ledger.list_accounts(&book).unwrap() {
            if account.id.path().starts_with("used:") {
                *sums.entry(account.asset.to_string()).or_insert(0) +=
                    ledger.balance(&account.id, None).unwrap().amount;
            }
        }
        for row in ledger.trial_balance(&book, None).unwrap() {
            assert_eq!(row.debit, row.credit);
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn events(ledger: &dyn Ledger) -> usize {
    let books = ledger.list_books().unwrap();
    books.iter().map(|book| ledger.read_events(book, Seq(1), usize::MAX).unwrap().len()).sum()
}

fn sums_of<'a>(uses: impl IntoIterator<Item = &'a PricedUse>) -> Sums {
    let mut sums = Sums::default();
    uses.into_iter().for_each(|priced| sums.add(priced));
    sums
}

/// Sums as the books have them.
fn as_held(sums: &Sums) -> BTreeMap<String, i64> {
    let usage = &sums.usage;
    let count = |count: u64| i64::try_from(count).unwrap();
    let all = [
        ("requests", count(sums.requests)),
        ("input_tokens", count(usage.input_tokens)),
        ("output_tokens", count(usage.output_tokens)),
        ("cache_read_tokens", count(usage.cache_read_tokens)),
        ("cache_write_tokens", count(usage.cache_write_tokens)),
        ("reasoning_tokens", count(usage.reasoning_tokens)),
        ("usd", sums.listed_usd.map_or(0, |cost| cost.0)),
        ("reported_usd", sums.reported_usd.map_or(0, |cost| cost.0)),
    ];
    all.into_iter().filter(|(_, sum)| *sum != 0).map(|(unit, sum)| (unit.to_owned(), sum)).collect()
}

/// The books say what the report says, what the index knows, and what is derived from the logs alone.
fn assert_in_step(world: &World) {
    let ledger = world.reader();
    let known = known_uses(&world.index, &prices()).unwrap();
    assert_eq!(held(&*ledger), as_held(&sums_of(&known)), "{}", world.url);
    let mut said = uses_as_of(&*ledger, u64::MAX).unwrap();
    let mut known: Vec<PricedUse> = known.into_iter().map(as_booked).collect();
    known.sort_by(|one, other| one.one.request.cmp(&other.one.request));
    said.iter_mut().for_each(|priced| *priced = as_booked(priced.clone()));
    assert_eq!(said, known, "{}", world.url);
    let rebuilt = Rebuild::compare(&*world.store, Some(&*ledger), &prices()).unwrap();
    assert_eq!(rebuilt.differences, [], "{}", world.url);
}

/// A use without what no book has: how often a count of nothing was said.
fn as_booked(mut priced: PricedUse) -> PricedUse {
    priced.one.usage.reasoning_tokens = Some(priced.one.usage.reasoning_tokens.unwrap_or(0));
    priced.one.usage.cost = priced.reported.map(|cost| cost.to_string());
    priced.one.usage.request_id = None;
    priced.one.usage.history_len = 0;
    priced
}

#[test]
fn books_hold_what_the_files_say_of_unique_requests() {
    for folder in SAMPLES {
        let expected = recorded(folder);
        on_both(|world| {
            world.import(&[sample(folder)]);
            let posted = world.feed();
            assert_eq!((posted.adjusted, posted.unchanged, posted.refused), (0, 0, 0));
            let sums = sums_of(&known_uses(&world.index, &prices()).unwrap());
            assert_eq!((sums.usage, sums.requests), (expected, posted.new), "{folder}");
            assert_in_step(world);
        });
    }
}

#[test]
fn no_order_no_repetition_and_no_fork_changes_what_the_books_hold() {
    let paths: Vec<PathBuf> = SAMPLES.iter().flat_map(|folder| files(&sample(folder))).collect();
    let whole = World::new("fs");
    whole.import(&paths);
    whole.feed();
    let expected = held(&*whole.reader());
    assert_in_step(&whole);
    on_both(|world| {
        // Some files at a time, the last ones first, so that forks come before what they continue and owners change.
        for some in paths.rchunks(5) {
            world.import(some);
            world.feed();
        }
        // What is continued by reference is linked when both are there.
        world.import(&paths);
        world.feed();
        assert_eq!(held(&*world.reader()), expected, "{}", world.url);
        for session in world.sessions() {
            let leaf = current_leaf(&*world.store, session).unwrap();
            let from = SegmentLocation { session_id: session, segment_id: leaf };
            fork(&*world.store, NOON, from, ForkPoint::End).unwrap();
        }
        world.index.refresh(&*world.store).unwrap();
        let posted = world.feed();
        assert_eq!((posted.new, posted.adjusted), (0, 0), "{}: forks hold nothing of their own", world.url);
        assert_eq!(held(&*world.reader()), expected, "{}", world.url);
        assert_in_step(world);
    });
}

#[test]
fn a_feed_with_nothing_new_looks_at_no_use() {
    on_both(|world| {
        world.import(&[sample("claude")]);
        world.feed();
        let before = events(&*world.reader());
        assert_eq!(world.feed(), Posted::default());
        world.import(&[sample("claude")]);
        assert_eq!(world.feed(), Posted::default(), "nothing came in");
        world.import(&[sample("pi")]);
        let posted = world.feed();
        assert!(posted.new > 10 && posted.unchanged == 0, "{posted:?}");
        assert!(events(&*world.reader()) > before);
    });
}

#[test]
fn an_index_that_was_lost_costs_time_and_posts_nothing() {
    on_both(|world| {
        world.import(&[sample("claude"), sample("codex")]);
        let posted = world.feed();
        let before = events(&*world.reader());
        let index = Index::open(&*open("memory:", &OpenOptions::at(NOON)).unwrap()).unwrap();
        index.refresh(&*world.store).unwrap();
        assert!(is_unfed(&index, &prices()).unwrap());
        let ledger = world.ledger();
        assert_eq!(feed(&index, &*ledger, &prices()).unwrap(), Posted { unchanged: posted.new, ..Posted::default() });
        assert_eq!(events(&*ledger), before);
    });
}

#[test]
fn books_that_were_lost_are_written_anew() {
    let world = World::new("fs");
    world.import(&[sample("claude")]);
    let posted = world.feed();
    let before = held(&*world.reader());
    std::fs::remove_dir_all(Path::new(world.url.strip_prefix("fs:").unwrap()).join("ledger")).unwrap();
    let ledger = world.ledger();
    assert_eq!(feed(&world.index, &*ledger, &prices()).unwrap().new, posted.new);
    assert_eq!(held(&*ledger), before);
}

#[test]
fn another_price_sets_the_books_right_and_back() {
    on_both(|world| {
        world.import(&[sample("claude")]);
        world.feed();
        let before = held(&*world.reader());
        let is_dear = |model: &str| model.starts_with("claude-sonnet-4-5");
        let uses = world.index.uses().unwrap();
        let changed_uses = uses.iter().filter(|one| one.usage.model.as_deref().is_some_and(is_dear)).count() as u64;
        let dear: ModelPrice = serde_json::from_str(r#"{"input":100,"output":100}"#).unwrap();
        let mut changed = prices();
        changed.replace_with(PriceTable::of([("claude-sonnet-4-5".to_owned(), vec![dear])]));
        assert_eq!(world.feed_by(&changed).adjusted, changed_uses);
        let after = held(&*world.reader());
        assert!(after["usd"] > before["usd"]);
        assert_eq!(after["output_tokens"], before["output_tokens"]);
        assert_eq!(world.feed().adjusted, changed_uses);
        assert_eq!(held(&*world.reader()), before);
    });
}

#[test]
fn what_was_spent_stays_spent_when_its_conversation_is_purged() {
    on_both(|world| {
        world.import(&[sample("pi"), sample("codex")]);
        world.feed();
        let before = sums_of(&known_uses(&world.index, &prices()).unwrap());
        let organiser = Organiser { store: &*world.store, index: &world.index, now: NOON };
        organiser.purge(&world.sessions(), false).unwrap();
        assert_eq!(world.index.uses().unwrap(), []);
        assert_eq!(world.feed(), Posted::default());
        assert_eq!(sums_of(&known_uses(&world.index, &prices()).unwrap()), before);
        assert_in_step(world);
        let rebuilt = Rebuild::compare(&*world.store, Some(&*world.reader()), &prices()).unwrap();
        assert_eq!((rebuilt.requests, rebuilt.kept), (0, before.requests));
    });
}

#[test]
fn who_feeds_at_the_same_time_posts_nothing_twice() {
    on_both(|world| {
        world.import(&[sample("claude"), sample("codex"), sample("pi")]);
        let others: Vec<Index> = (0..3)
            .map(|_| {
                let index = Index::open(&*open("memory:", &OpenOptions::at(NOON)).unwrap()).unwrap();
                index.refresh(&*world.store).unwrap();
                index
            })
            .collect();
        let new: u64 = std::thread::scope(|scope| {
            let feeders: Vec<_> = others
                .iter()
                .map(|index| {
                    scope.spawn(|| {
                        let ledger = world.ledger();
                        let posted = feed(index, &*ledger, &prices()).unwrap();
                        ledger.shutdown().unwrap();
                        posted.new
                    })
                })
                .collect();
            feeders.into_iter().map(|feeder| feeder.join().unwrap()).max().unwrap()
        });
        world.feed();
        assert_eq!(u64::try_from(held(&*world.reader())["requests"]), Ok(new));
        assert_in_step(world);
    });
}

#[test]
fn what_the_books_said_at_a_time_is_what_had_been_posted_by_then() {
    on_both(|world| {
        assert_eq!(uses_as_of(&*world.ledger(), u64::MAX).unwrap(), []);
        world.import(&[sample("claude")]);
        world.feed();
        let then = (world.clock)();
        let first = sums_of(&known_uses(&world.index, &prices()).unwrap());
        world.import(&[sample("pi")]);
        world.feed();
        let ledger = world.reader();
        assert_eq!(sums_of(&uses_as_of(&*ledger, then).unwrap()), first);
        assert_eq!(uses_as_of(&*ledger, NOON * 1000 - 1).unwrap(), []);
        let by_agent =
            report_of(&uses_as_of(&*ledger, then).unwrap(), By::Agent, UsageFilter::default(), &TimeZone::UTC);
        assert_eq!(by_agent.groups.iter().map(|group| group.key.as_str()).collect::<Vec<_>>(), ["claude"]);
    });
}

#[test]
fn every_record_is_explained_and_what_counts_is_what_the_report_says() {
    let world = World::new("fs");
    world.import(&SAMPLES.map(sample));
    for session in world.sessions() {
        let leaf = current_leaf(&*world.store, session).unwrap();
        record_again(&*world.store, session, leaf);
        let from = SegmentLocation { session_id: session, segment_id: leaf };
        fork(&*world.store, NOON, from, ForkPoint::End).unwrap();
    }
    world.index.refresh(&*world.store).unwrap();
    let known = known_uses(&world.index, &prices()).unwrap();
    let report = report_of(&known, By::Session, UsageFilter::default(), &TimeZone::UTC);
    let reported: BTreeMap<&str, &Sums> = report.groups.iter().map(|group| (group.key.as_str(), &group.sums)).collect();
    let inherited = inherited_uses(&world.index, &prices()).unwrap();
    let query = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, limit: None, ..ListQuery::default() };
    let mut verdicts = BTreeMap::new();
    for row in world.index.list(&query).unwrap().rows {
        let session = row.session_id;
        let records = world.index.explain_usage(session, None).unwrap();
        let own = records.iter().filter(|record| record.place.session_id == session).count();
        assert_eq!(own, recorded_in(&*world.store, session), "every record, once");
        let counted: Vec<PricedUse> = records
            .iter()
            .filter(|record| record.verdict == Verdict::Counted)
            .map(|record| PricedUse::of(record.clone().into_use(), &prices()))
            .collect();
        let sums = sums_of(&counted);
        assert_eq!(Some(&sums), reported.get(session.to_string().as_str()).copied().or(Some(&Sums::default())));
        assert_eq!(sums.usage, row.usage);
        let of_others = inherited.get(&session).map(|uses| sums_of(uses).usage).unwrap_or_default();
        assert_eq!(of_others, row.usage_inherited);
        for segment in world.index.segments(session).unwrap() {
            let records = world.index.explain_usage(session, Some(segment.segment_id)).unwrap();
            let mut totals = UsageTotals::default();
            for record in records.iter().filter(|record| record.verdict == Verdict::Counted) {
                totals.add(&record.counted_usage);
            }
            assert_eq!(totals, segment.usage, "as segments are said to have used");
        }
        for record in records {
            let is_own = record.counted.session_id == session;
            assert_eq!(record.verdict == Verdict::Inherited, !is_own);
            assert_eq!(record.verdict == Verdict::Counted, is_own && record.counted == record.place);
            *verdicts.entry(format!("{:?}", record.verdict)).or_insert(0) += 1;
        }
    }
    assert!(verdicts.len() == 3, "the samples have them all: {verdicts:?}");
}

/// A request of a session is recorded once more, as having used more.
fn record_again(store: &dyn Backend, session: SessionId, leaf: SegmentId) {
    let entries = store.read_all(session, leaf).unwrap();
    let usage = entries.into_iter().find_map(|entry| match entry {
        LogEntry::LlmUsage(usage) if usage.request_id.is_some() => Some(usage),
        _ => None,
    });
    if let Some(mut usage) = usage {
        usage.output_tokens += 1;
        store.append(session, leaf, &LogEntry::LlmUsage(usage)).unwrap();
    }
}

/// How many usage records stand in a session's own logs.
fn recorded_in(store: &dyn Backend, session: SessionId) -> usize {
    let mut count = 0;
    for segment in store.list_segments(session).unwrap() {
        let entries = store.read_all(session, segment).unwrap();
        count += entries.iter().filter(|entry| matches!(entry, LogEntry::LlmUsage(_))).count();
    }
    count
}

#[test]
fn books_that_differ_from_the_logs_are_set_right_and_what_no_request_explains_is_told() {
    on_both(|world| {
        world.import(&[sample("claude")]);
        world.feed();
        let right = held(&*world.reader());
        let ledger = world.ledger();
        let one = world.index.uses().unwrap().swap_remove(0);
        let book = session_store::usage::usage_book(one.project.as_deref()).unwrap();
        let account = |path: String| AccountId::new(&book, &path).unwrap();
        let model = one.usage.model.clone().unwrap();
        let used = account(format!("used:claude:{}:output_tokens:{model}", one.session));
        let provider = account("provider:output_tokens".to_owned());
        let postings = |amount| vec![Posting::debit(used.clone(), amount), Posting::credit(provider.clone(), amount)];
        // As a feed would have it that was told nonsense.
        let id = TransactionId::derive(0, format!("usage\n{}\n2", one.request).as_bytes());
        ledger.commit(&book, &Draft::new(id, format!("{}#2", one.request), postings(1_000))).unwrap();
        let mut rebuilt = Rebuild::compare(&*world.store, Some(&*ledger), &prices()).unwrap();
        assert_eq!(rebuilt.differences.len(), 2, "{:?}", rebuilt.differences);
        let of_used = rebuilt.differences.iter().find(|one| one.account == used).unwrap();
        assert_eq!(of_used.books - of_used.logs, 1_000);
        let posted = rebuilt.post(&*ledger, &prices()).unwrap();
        assert_eq!((posted.new, posted.adjusted), (0, 1));
        assert_eq!(rebuilt.differences, []);
        assert_eq!(held(&*ledger), right);

        ledger.commit(&book, &Draft::new(TransactionId::mint(NOON), "by hand", postings(7))).unwrap();
        let mut rebuilt = Rebuild::compare(&*world.store, Some(&*ledger), &prices()).unwrap();
        assert_eq!(rebuilt.differences.len(), 2);
        assert_eq!(rebuilt.post(&*ledger, &prices()).unwrap().adjusted, 0);
        assert_eq!(rebuilt.differences.len(), 2, "it is somebody else's");
        reread(&world.index, &*ledger).unwrap();
        assert!(is_unfed(&world.index, &prices()).unwrap());
        assert_eq!(feed(&world.index, &*ledger, &prices()).unwrap().adjusted, 0);
    });
}

#[test]
fn who_may_only_read_the_ledger_is_told_and_posts_nothing() {
    on_both(|world| {
        world.import(&[sample("pi")]);
        drop(world.ledger());
        let refused = feed(&world.index, &*world.reader(), &prices()).unwrap_err();
        let session_store::SessionError::Ledger(LedgerError::Store(StoreError::ReadOnly)) = refused else {
            panic!("{refused:?}");
        };
        assert!(is_unfed(&world.index, &prices()).unwrap());
        assert!(world.feed().new > 0);
    });
}
