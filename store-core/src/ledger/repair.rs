//! What a repair of a ledger keeps and what it sets aside: the same for every backend, found out before anything is written.
//!
//! Of a book is kept what stands before the first event that is damaged, missing, or does not follow, with its seqs, times, ids and keys; nothing is
//! renumbered. Every balance behind such an event would look right and be wrong, so what stands there is set aside, whole, for a person to look at.
//!
//! An asset is nothing but its name and its precision, and depends on no other event. So registrations that stand whole behind a damaged one are
//! written again at the end of what is kept of the reserved book. An account of an asset that is registered nowhere any more is kept too: without its precision nobody can say what its amounts mean to a
//! person, and all the same they balance. Such assets are told, and have to be registered again as they were. The price is that a ledger may
//! need that before it is proved.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::adopt::{End, Stands, judge_events};
use super::error::{LedgerError, LedgerResult};
use super::names::{AccountId, AssetId, BookName};
use super::rules;
use super::text;
use super::types::{Account, Asset, Event, EventBody, TimestampUs};
use crate::error::StoreError;
use crate::id::{MigrationId, Seq, TransactionId};
use crate::integrity::{Event as Done, EventKind, MaintenanceOptions, Quarantined};

/// What lies at the next place of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met<'m> {
    /// A line or row with a right checksum.
    Whole {
        /// The seq that it says.
        seq: Seq,
        /// Its key.
        key: Option<&'m str>,
        /// Its text.
        text: &'m str,
    },
    /// A stretch or row that holds no such thing.
    Damaged {
        /// What is wrong with it.
        detail: &'m str,
    },
    /// Nothing, where something has to be.
    Missing {
        /// What is not there.
        detail: &'m str,
    },
}

/// Hands over what lies in a book, in its order, until it is told to stop.
pub type MetVisit<'v> = dyn FnMut(Met<'_>) -> ControlFlow<()> + 'v;

/// From where on a book is lost, and why.
// Persisted: never rename a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostEvents {
    /// The first event that is not kept.
    pub from: Seq,
    /// How many lines or rows stood there and behind it, damaged ones included; 0 if nothing was left.
    pub lines: u64,
    /// What is wrong with the first.
    pub detail: String,
}

/// What a repair makes of a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookPlan {
    /// The book.
    pub book: BookName,
    /// The last event that is kept, and its time.
    pub kept: End,
    /// What is not; `None` of a book whose events are whole.
    pub lost: Option<LostEvents>,
    /// Registrations that are written behind those that are kept; of the reserved book alone.
    pub registered: Vec<Event>,
}

impl BookPlan {
    /// The last event that the repaired book has.
    pub fn last(&self) -> End {
        self.registered.last().map_or(self.kept, |event| End { seq: event.seq, at: event.at })
    }
}

/// What a repair did to a book, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookRepair {
    /// The book; `None` for what belongs to no book.
    pub book: Option<BookName>,
    /// Names it in the record of events; `None` if there was nothing to repair, and nothing was changed or recorded.
    pub migration_id: Option<MigrationId>,
    /// How many events were kept.
    pub kept: u64,
    /// What was not; `None` if every event was kept.
    pub lost: Option<LostEvents>,
    /// Where the bytes are that were taken out; without a path in a dry run.
    pub set_aside: Vec<Quarantined>,
    /// The assets that were registered again, in the reserved book.
    pub registered: Vec<AssetId>,
    /// What beside the events was not in step with them, and was made anew of them.
    pub made_anew: Vec<String>,
}

impl BookRepair {
    /// What a plan comes to, before anything of it is done.
    pub fn of_plan(plan: &BookPlan) -> Self {
        let asset = |event: &Event| match &event.body {
            EventBody::AssetRegistered(asset) => Some(asset.id.clone()),
            _ => None,
        };
        Self {
            book: Some(plan.book.clone()),
            migration_id: None,
            kept: plan.kept.seq.0,
            lost: plan.lost.clone(),
            set_aside: Vec::new(),
            registered: plan.registered.iter().filter_map(asset).collect(),
            made_anew: Vec::new(),
        }
    }

    /// What belongs to no book.
    pub fn of_no_book(made_anew: Vec<String>) -> Self {
        let (set_aside, registered) = (Vec::new(), Vec::new());
        Self { book: None, migration_id: None, kept: 0, lost: None, set_aside, registered, made_anew }
    }

    /// Whether there is nothing to do.
    pub const fn is_whole(&self) -> bool {
        self.lost.is_none() && self.made_anew.is_empty() && self.set_aside.is_empty()
    }

    /// Gives what is to be done a name.
    #[must_use]
    pub fn named(self, options: &MaintenanceOptions) -> Self {
        let migration_id = (!self.is_whole()).then(|| MigrationId::mint(options.now));
        Self { migration_id, ..self }
    }

    /// What the record of events says of it; `None` if nothing was done.
    pub fn event(&self, options: &MaintenanceOptions) -> Option<Done> {
        let what = EventKind::LedgerRepaired {
            migration_id: self.migration_id?,
            book: self.book.as_ref().map(ToString::to_string),
            kept: self.kept,
            lost: self.lost.clone(),
            set_aside: self.set_aside.clone(),
            registered: self.registered.iter().map(ToString::to_string).collect(),
            made_anew: self.made_anew.clone(),
        };
        let correlation_id = options.correlation_id.clone();
        Some(Done { correlation_id, ..Done::done(options.now, what) })
    }
}

/// What a repair of a ledger did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerRepair {
    /// Each book that was looked at, the reserved one first, the others by name; whole ones too. At the end what belongs to no book, if there was anything to do.
    pub books: Vec<BookRepair>,
    /// The assets that accounts name and that are registered nowhere: the ledger is not proved before they are registered as they were.
    pub unregistered: Vec<AssetId>,
}

impl LedgerRepair {
    /// Whether there was nothing to do.
    pub fn is_whole(&self) -> bool {
        self.books.iter().all(BookRepair::is_whole)
    }
}

/// Makes plans for the books of a ledger, one after another: the reserved one first, the others by name, because ids are unique in the whole ledger and assets
/// are registered for all of it.
#[derive(Debug, Default)]
pub struct LedgerRepairPlanner {
    assets: BTreeMap<AssetId, Asset>,
    ids: HashSet<TransactionId>,
    unregistered: BTreeSet<AssetId>,
}

impl LedgerRepairPlanner {
    /// The order in which books are planned.
    pub fn sort(books: &mut [BookName]) {
        books.sort_by_key(|book| (!book.is_reserved(), book.clone()));
    }

    /// The plan for a book. `scan` hands over what lies in it; `known_assets` is what else tells of assets that were registered, asked for if events of the reserved book are lost;
    /// `now` is the time of what is registered again.
    ///
    /// # Errors
    /// `Unsupported` if there is an event that is whole and that this version does not know: that is no damage, and a newer version has to do this. Those of `scan`.
    pub fn plan(
        &mut self,
        book: &BookName,
        now: TimestampUs,
        known_assets: impl FnOnce() -> LedgerResult<Vec<Asset>>,
        scan: impl FnOnce(&mut MetVisit<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<BookPlan> {
        let mut reading = Reading::new(self, book);
        scan(&mut |met| reading.add(met))?;
        let Reading { end, lost, failed, behind, ids, assets, unregistered, .. } = reading;
        if let Some(error) = failed {
            return Err(error);
        }
        self.ids.extend(ids);
        self.assets.extend(assets);
        self.unregistered.extend(unregistered.into_inner());
        let mut plan = BookPlan { book: book.clone(), kept: end, lost, registered: Vec::new() };
        if *book == BookName::system() && plan.lost.is_some() {
            // Of two definitions of one asset that of an event is believed.
            for asset in behind.into_iter().chain(known_assets()?) {
                self.register_again(&mut plan, now, asset);
            }
        }
        Ok(plan)
    }

    fn register_again(&mut self, plan: &mut BookPlan, now: TimestampUs, asset: Asset) {
        if rules::check_asset(&asset).is_err() || self.assets.contains_key(&asset.id) {
            return;
        }
        let End { seq, at } = plan.last();
        let (seq, at, book) = (seq.next(), rules::commit_time(now, at), plan.book.clone());
        self.assets.insert(asset.id.clone(), asset.clone());
        plan.registered.push(Event { book, seq, at, body: EventBody::AssetRegistered(asset) });
    }

    /// The assets that accounts of the books planned so far name and that are registered nowhere.
    pub fn unregistered(&self) -> Vec<AssetId> {
        self.unregistered.iter().filter(|asset| !self.assets.contains_key(*asset)).cloned().collect()
    }
}

/// A book that is read through.
struct Reading<'p> {
    planner: &'p LedgerRepairPlanner,
    book: &'p BookName,
    end: End,
    accounts: HashMap<AccountId, (Account, i64)>,
    assets: BTreeMap<AssetId, Asset>,
    keys: HashMap<String, Seq>,
    ids: HashSet<TransactionId>,
    lost: Option<LostEvents>,
    /// Assets that stand behind the first event that is lost.
    behind: Vec<Asset>,
    unregistered: std::cell::RefCell<BTreeSet<AssetId>>,
    failed: Option<LedgerError>,
}

impl Stands for Reading<'_> {
    fn asset(&self, id: &AssetId) -> LedgerResult<Option<Asset>> {
        let found = self.assets.get(id).or_else(|| self.planner.assets.get(id)).cloned();
        if found.is_none() && !self.book.is_reserved() {
            // What accounts of it hold balances without it. It is told.
            self.unregistered.borrow_mut().insert(id.clone());
            return Ok(Some(Asset { id: id.clone(), precision: 0 }));
        }
        Ok(found)
    }

    fn account(&self, id: &AccountId) -> LedgerResult<Option<(Account, i64)>> {
        Ok(self.accounts.get(id).cloned())
    }

    fn seq_of_key(&self, key: &str) -> LedgerResult<Option<Seq>> {
        Ok(self.keys.get(key).copied())
    }

    fn has_id(&self, id: TransactionId) -> LedgerResult<bool> {
        Ok(self.ids.contains(&id) || self.planner.ids.contains(&id))
    }
}

impl<'p> Reading<'p> {
    fn new(planner: &'p LedgerRepairPlanner, book: &'p BookName) -> Self {
        Self {
            planner,
            book,
            end: End::default(),
            accounts: HashMap::new(),
            assets: BTreeMap::new(),
            keys: HashMap::new(),
            ids: HashSet::new(),
            lost: None,
            behind: Vec::new(),
            unregistered: std::cell::RefCell::default(),
            failed: None,
        }
    }

    fn add(&mut self, met: Met<'_>) -> ControlFlow<()> {
        match met {
            Met::Damaged { detail } => self.lose(detail, 1),
            Met::Missing { detail } => self.lose(detail, 0),
            Met::Whole { seq, key, text } => match text::decode(self.book, seq, key, text) {
                Ok(event) => self.add_event(event),
                Err(_) if is_of_a_newer_version(text) => {
                    let what = "repairing a book with events of a newer version";
                    self.failed = Some(StoreError::Unsupported { what }.into());
                }
                Err(LedgerError::Damaged { detail, .. }) => self.lose(&detail, 1),
                Err(error) => self.failed = Some(error),
            },
        }
        if self.failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn lose(&mut self, detail: &str, lines: u64) {
        let from = self.end.seq.next();
        let lost = self.lost.get_or_insert_with(|| LostEvents { from, lines: 0, detail: detail.to_owned() });
        lost.lines += lines;
    }

    fn add_event(&mut self, event: Event) {
        if self.lost.is_some() {
            self.lose("", 1);
            if let EventBody::AssetRegistered(asset) = event.body {
                self.behind.push(asset);
            }
            return;
        }
        let judged = judge_events(self.book, self.end, std::slice::from_ref(&event), self)
            .map(|judged| judged.into_iter().flat_map(|one| one.changes).collect::<Vec<_>>());
        match judged {
            Ok(changes) => {
                for change in changes {
                    if let Some((_, net)) = self.accounts.get_mut(&change.account) {
                        *net = change.net;
                    }
                }
                self.keep(event);
            }
            Err(LedgerError::Unfit { detail, .. }) => {
                self.lose(&detail, 1);
                if let EventBody::AssetRegistered(asset) = event.body {
                    self.behind.push(asset);
                }
            }
            Err(error) => self.failed = Some(error),
        }
    }

    fn keep(&mut self, event: Event) {
        self.end = End { seq: event.seq, at: event.at };
        match event.body {
            EventBody::AssetRegistered(asset) => drop(self.assets.insert(asset.id.clone(), asset)),
            EventBody::AccountOpened(account) => drop(self.accounts.insert(account.id.clone(), (account, 0))),
            EventBody::Transaction(draft) => {
                self.ids.insert(draft.id);
                self.keys.insert(draft.key, event.seq);
            }
        }
    }
}

/// Whether a text with a right checksum, which this version cannot read, says of itself that it is an event.
fn is_of_a_newer_version(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "kind")]
        _kind: String,
    }
    serde_json::from_str::<Kind>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::types::{AccountKind, Draft, Posting};
    use super::*;

    fn book() -> BookName {
        "home".parse().unwrap()
    }

    fn asset(name: &str) -> Asset {
        Asset { id: name.parse().unwrap(), precision: 2 }
    }

    fn registration(seq: u64, name: &str) -> (u64, Option<String>, String) {
        (seq, None, text::encode(seq, &EventBody::AssetRegistered(asset(name))).unwrap())
    }

    fn account(seq: u64, path: &str, of: &str) -> (u64, Option<String>, String) {
        let id = AccountId::new(&book(), path).unwrap();
        let account = Account { id, asset: asset(of).id, kind: AccountKind::Clearing, min_balance: None };
        (seq, None, text::encode(seq, &EventBody::AccountOpened(account)).unwrap())
    }

    fn transaction(seq: u64, n: u64, credit: i64) -> (u64, Option<String>, String) {
        let id = |path| AccountId::new(&book(), path).unwrap();
        let postings = vec![Posting::debit(id("a"), 5), Posting::credit(id("b"), credit)];
        let draft = Draft::new(TransactionId::derive(n, b"t"), format!("key {n}"), postings);
        let text = text::encode(seq, &EventBody::Transaction(draft.clone())).unwrap();
        (seq, Some(draft.key), text)
    }

    type Lines = Vec<Option<(u64, Option<String>, String)>>;

    fn plan(planner: &mut LedgerRepairPlanner, of: &BookName, lines: &Lines) -> LedgerResult<BookPlan> {
        planner.plan(
            of,
            100,
            || Ok(vec![asset("TAB"), asset("EUR")]),
            |visit| {
                for line in lines {
                    let met = match line {
                        None => Met::Damaged { detail: "a bit was flipped" },
                        Some((seq, key, text)) => Met::Whole { seq: Seq(*seq), key: key.as_deref(), text },
                    };
                    if visit(met).is_break() {
                        break;
                    }
                }
                Ok(())
            },
        )
    }

    fn with_usd() -> LedgerRepairPlanner {
        let mut planner = LedgerRepairPlanner::default();
        plan(&mut planner, &BookName::system(), &vec![Some(registration(1, "USD"))]).unwrap();
        planner
    }

    #[test]
    fn what_stands_before_the_first_event_that_is_lost_is_kept() {
        let whole = vec![account(1, "a", "USD"), account(2, "b", "USD"), transaction(3, 1, 5), transaction(4, 2, 5)];
        let lost = |lines: Lines| {
            let plan = plan(&mut with_usd(), &book(), &lines).unwrap();
            let lost = plan.lost.map(|lost| (lost.from.0, lost.lines));
            (plan.kept.seq.0, lost)
        };
        let of = |lines: Vec<(u64, Option<String>, String)>| lines.into_iter().map(Some).collect::<Lines>();
        assert_eq!(lost(of(whole.clone())), (4, None));
        let mut damaged = of(whole.clone());
        damaged[2] = None;
        assert_eq!(lost(damaged), (2, Some((3, 2))));
        let mut missing = of(whole.clone());
        missing.remove(0);
        assert_eq!(lost(missing), (0, Some((1, 3))));
        let mut uneven = of(whole.clone());
        uneven[2] = Some(transaction(3, 1, 6));
        assert_eq!(lost(uneven), (2, Some((3, 2))));
        let mut twice = of(whole);
        twice[3] = Some(transaction(4, 1, 5));
        assert_eq!(lost(twice), (3, Some((4, 1))));
    }

    #[test]
    fn an_event_of_a_newer_version_is_no_damage() {
        let newer = (3, None, r#"{"kind":"closing","at":3}"#.to_owned());
        for lines in [vec![Some(newer.clone())], vec![None, Some(newer)]] {
            let refused = plan(&mut with_usd(), &book(), &lines);
            assert!(
                matches!(refused, Err(LedgerError::Store(StoreError::Unsupported { .. }))),
                "{lines:?}: {refused:?}"
            );
        }
        let nothing = (1, None, "[]".to_owned());
        assert_eq!(plan(&mut with_usd(), &book(), &vec![Some(nothing)]).unwrap().kept.seq, Seq(0));
    }

    #[test]
    fn assets_behind_a_lost_one_are_registered_again() {
        let mut planner = LedgerRepairPlanner::default();
        let lines =
            vec![Some(registration(1, "USD")), None, Some(registration(3, "EUR")), Some(registration(4, "JPY"))];
        let planned = plan(&mut planner, &BookName::system(), &lines).unwrap();
        assert_eq!((planned.kept.seq, planned.last()), (Seq(1), End { seq: Seq(4), at: 100 }));
        let names = BookRepair::of_plan(&planned).registered;
        assert_eq!(names, ["EUR", "JPY", "TAB"].map(|name| asset(name).id));
    }

    #[test]
    fn an_account_of_an_asset_that_is_registered_nowhere_is_kept_and_told() {
        let mut planner = with_usd();
        let lines = vec![Some(account(1, "a", "XAU")), Some(account(2, "b", "XAU")), Some(transaction(3, 1, 5))];
        let planned = plan(&mut planner, &book(), &lines).unwrap();
        assert_eq!((planned.kept.seq, planned.lost), (Seq(3), None));
        assert_eq!(planner.unregistered(), [asset("XAU").id]);
    }

    #[test]
    fn an_id_that_stands_in_an_earlier_book_is_kept_there() {
        let mut planner = with_usd();
        let lines = vec![Some(account(1, "a", "USD")), Some(account(2, "b", "USD")), Some(transaction(3, 1, 5))];
        plan(&mut planner, &book(), &lines).unwrap();
        // The texts of a book name no book.
        let planned = plan(&mut planner, &"later".parse().unwrap(), &lines).unwrap();
        assert_eq!(planned.kept.seq, Seq(2));
    }
}
