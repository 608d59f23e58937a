//! The process that owns a ledger and does what a script says, and what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use store_core::integrity::MaintenanceOptions;
use store_core::ledger::{Clock, Draft, Ledger as _, LedgerError, LedgerResult, Receipt};
use store_core::{Seq, StoreError};

use super::script::{ACCOUNTS, LedgerStep, book, draft, prepare, unbalanced};
use crate::disk::{Disk, FileKind, OpenMode};
use crate::layout::{BookKey, Layout};
use crate::record_log::lock_mutex;
use crate::simulate::SimDisk;
use crate::simulate::lies::{Lie, LyingDisk};
use crate::simulate::machine::{NOW, STORE};
use crate::{FsLedger, LedgerOptions};

/// What may be said of a ledger at some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The receipt of each number that was acknowledged.
    pub(super) acknowledged: BTreeMap<u64, Receipt>,
    /// The numbers that may be there: those, and those whose call failed so that nobody knows.
    pub(super) possible: BTreeSet<u64>,
    /// The numbers of the call that is being made, which were not possible before.
    pub(super) begun: BTreeSet<u64>,
    /// Whether they are all there or none is.
    pub(super) is_batch: bool,
    /// Whether assets and accounts were acknowledged.
    pub(super) is_prepared: bool,
    /// Whether the script did something to what stands beside the logs.
    pub(super) is_harmed: bool,
    /// What the medium lost, as long as no repair of it was acknowledged.
    pub(super) rotten: Option<Rotten>,
    /// The parts of logs that were repaired, as they stood.
    pub(super) aside: Vec<Arc<[u8]>>,
}

/// A log with a damaged event.
#[derive(Clone, Debug)]
pub(super) struct Rotten {
    /// The event.
    pub(super) seq: Seq,
    /// The parts, as they stood when it was damaged.
    pub(super) parts: Vec<(PathBuf, Arc<[u8]>)>,
}

impl Told {
    /// The log was repaired: what stood before the damage is there, and what stood behind it is not.
    pub(super) fn repaired(&mut self) {
        let Some(Rotten { seq, parts }) = self.rotten.take() else { return };
        self.acknowledged.retain(|_, receipt| receipt.seq < seq);
        self.is_prepared &= seq > Seq(ACCOUNTS);
        self.aside.extend(parts.into_iter().map(|(_, bytes)| bytes));
    }
}

/// How a repair is asked for.
pub(super) fn maintenance() -> MaintenanceOptions {
    MaintenanceOptions { now: NOW, dry_run: false, correlation_id: None }
}

/// Small ledgers, so that each does what large ones do.
fn options(clock: &Clock) -> LedgerOptions {
    LedgerOptions { snapshot_every: 7, keys_held_max: 6, max_part_bytes: 1500, ..LedgerOptions::new(Arc::clone(clock)) }
}

/// Opens the ledger of a disk.
pub(super) fn open(disk: &SimDisk, lie: Option<Lie>) -> LedgerResult<FsLedger> {
    let time = AtomicU64::new(NOW * 1000);
    let clock: Clock = Arc::new(move || time.fetch_add(1, Ordering::SeqCst));
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let disk = match lie {
        Some(lie) => Arc::new(LyingDisk::new(disk, lie)),
        None => disk,
    };
    FsLedger::open_on(disk, Path::new(STORE), &options(&clock))
}

/// A process on a disk, what it did, and what it was told.
pub(super) struct LedgerMachine {
    disk: SimDisk,
    lie: Option<Lie>,
    ledger: Option<FsLedger>,
    /// What may be said after each mark; the disk's mark is its last.
    told: Mutex<Vec<Told>>,
    pub(super) complaints: Mutex<Vec<String>>,
    /// Whether an event was damaged at the last mark, and no repair of it was acknowledged.
    was_rotten: AtomicBool,
}

impl LedgerMachine {
    pub(super) fn new(disk: SimDisk, lie: Option<Lie>) -> Self {
        disk.set_mark(0);
        let told = Mutex::new(vec![Told::default()]);
        Self { disk, lie, ledger: None, told, complaints: Mutex::default(), was_rotten: AtomicBool::default() }
    }

    /// Does what a script says, whatever fails.
    pub(super) fn run(&mut self, steps: &[LedgerStep]) {
        for step in steps {
            if self.disk.is_dead() {
                self.ledger = None;
                self.disk = self.disk.start_process();
            }
            if self.ledger.is_none() {
                self.ledger = self.opened();
            }
            self.take(step);
            self.mark(|told| {
                told.possible.append(&mut told.begun);
                told.is_batch = false;
            });
        }
    }

    /// Lets go of the ledger, and answers with what may be said after each mark.
    pub(super) fn finish(self) -> Vec<Told> {
        if let Some(ledger) = self.ledger {
            // A disk that fails may fail here too.
            let _ = ledger.shutdown();
        }
        self.told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn opened(&self) -> Option<FsLedger> {
        match open(&self.disk, self.lie) {
            Ok(ledger) => Some(ledger),
            Err(error) => {
                self.unless_disk(&error, "opening");
                None
            }
        }
    }

    /// Only what the disk did may keep a call from being done.
    fn unless_disk(&self, error: &LedgerError, what: &str) {
        let is_disks = matches!(
            error,
            LedgerError::BookClosed { .. } | LedgerError::Store(StoreError::Io { .. } | StoreError::NoSpace { .. })
        );
        // What a repair could not do is not done.
        let is_rotten = matches!(error, LedgerError::Damaged { .. }) && self.was_rotten.load(Ordering::SeqCst);
        if !is_disks && !is_rotten {
            self.complain(format!("{what}: {error}"));
        }
    }

    fn complain(&self, what: String) {
        lock_mutex(&self.complaints).push(what);
    }

    /// From here on something else may be said.
    fn mark(&self, change: impl FnOnce(&mut Told)) {
        let mut told = lock_mutex(&self.told);
        let mut next = told.last().cloned().unwrap_or_default();
        change(&mut next);
        self.was_rotten.store(next.rotten.is_some(), Ordering::SeqCst);
        told.push(next);
        self.disk.set_mark(told.len() - 1);
    }

    fn begin(&self, step: &LedgerStep) {
        self.mark(|told| {
            told.begun = step.numbers().filter(|n| !told.possible.contains(n)).collect();
            // Without all accounts some of a batch may be refused.
            told.is_batch = step.is_batch() && told.is_prepared;
        });
    }

    fn take(&mut self, step: &LedgerStep) {
        let Some(ledger) = self.ledger.clone() else { return };
        // A repair that was begun is done when the ledger is opened. Until then a book that is opened from a snapshot takes writes.
        let is_repaired = || ledger.read_events(&book(), Seq(1), usize::MAX).is_ok();
        if self.was_rotten.load(Ordering::SeqCst) && is_repaired() {
            self.mark(Told::repaired);
        }
        match *step {
            LedgerStep::Prepare => match prepare(&ledger) {
                Ok(()) => self.mark(|told| told.is_prepared = true),
                Err(error) => self.unless_disk(&error, "preparing"),
            },
            LedgerStep::Commit(n) => {
                self.begin(step);
                self.note(n, ledger.commit(&book(), &draft(n)));
            }
            LedgerStep::Batch(..) | LedgerStep::BadBatch(..) => self.batch(&ledger, step),
            LedgerStep::Together(..) => {
                self.begin(step);
                let machine = &*self;
                std::thread::scope(|scope| {
                    for n in step.numbers() {
                        let ledger = &ledger;
                        scope.spawn(move || machine.note(n, ledger.commit(&book(), &draft(n))));
                    }
                });
            }
            LedgerStep::Snapshot => {
                if let Err(error) = ledger.snapshot_now(&book())
                    && !matches!(error, LedgerError::UnknownBook { .. })
                {
                    self.unless_disk(&error, "a snapshot");
                }
            }
            LedgerStep::Intrude => self.intrude(),
            LedgerStep::Rot(n) => {
                drop(ledger);
                self.rot(n);
            }
            LedgerStep::Drop => {
                drop(ledger);
                self.ledger = None;
                self.ledger = self.opened();
            }
            _ => {
                drop(ledger);
                self.reopen(step);
            }
        }
    }

    fn batch(&self, ledger: &FsLedger, step: &LedgerStep) {
        self.begin(step);
        let numbers: Vec<u64> = step.numbers().collect();
        let mut drafts: Vec<Draft> = numbers.iter().map(|n| draft(*n)).collect();
        let bad = matches!(step, LedgerStep::BadBatch(..)).then(|| drafts.len() / 2);
        if let Some(bad) = bad {
            drafts.insert(bad, unbalanced());
        }
        match ledger.commit_batch(&book(), &drafts) {
            Ok(mut answers) => {
                if let Some(bad) = bad
                    && answers.remove(bad).is_ok()
                {
                    self.complain("a transaction that does not balance was committed".to_owned());
                }
                // They were all acknowledged at the same moment.
                self.mark(|told| numbers.iter().zip(answers).for_each(|(n, answer)| self.put(told, *n, answer)));
            }
            Err(error) => self.unless_disk(&error, "a batch"),
        }
    }

    fn note(&self, n: u64, answer: LedgerResult<Receipt>) {
        self.mark(|told| self.put(told, n, answer));
    }

    fn put(&self, told: &mut Told, n: u64, answer: LedgerResult<Receipt>) {
        match answer {
            Ok(receipt) => {
                let first = *told.acknowledged.entry(n).or_insert(receipt);
                if first != receipt {
                    self.complain(format!("transaction {n} was acknowledged as {first:?} and then as {receipt:?}"));
                }
                told.possible.insert(n);
                told.begun.remove(&n);
            }
            // What a rule refuses is not there.
            Err(LedgerError::BelowMinimum { .. }) => {
                told.begun.remove(&n);
            }
            Err(LedgerError::UnknownAccount { .. }) if !told.is_prepared => {
                told.begun.remove(&n);
            }
            Err(error) => self.unless_disk(&error, "a commit"),
        }
    }

    fn intrude(&self) {
        match open(&self.disk.start_process(), self.lie) {
            Err(LedgerError::Store(StoreError::Locked { .. })) => {}
            Ok(_) => self.complain("two processes own the ledger".to_owned()),
            Err(error) => self.unless_disk(&error, "a second owner"),
        }
    }

    fn rot(&mut self, n: u64) {
        // What a stopped write left is dealt with first, so that it is known what the log is.
        self.reopen(&LedgerStep::Reopen);
        let was_rotten = self.was_rotten.load(Ordering::SeqCst);
        if self.ledger.is_some() && !was_rotten {
            self.shut_down();
            if let Some(rotten) = rot_event(&self.disk, n) {
                self.mark(|told| told.rotten = Some(rotten));
            }
            self.ledger = self.opened();
        }
        let Some(ledger) = &self.ledger else { return };
        match ledger.repair(None, &maintenance()) {
            Ok(_) => self.mark(|told| {
                let before: Vec<u64> = told.acknowledged.keys().copied().collect();
                told.repaired();
                // Nobody is at work: what stood behind the damage is nowhere.
                for n in before.iter().filter(|n| !told.acknowledged.contains_key(*n)) {
                    told.possible.remove(n);
                }
            }),
            Err(error) => self.unless_disk(&error, "a repair"),
        }
    }

    fn shut_down(&mut self) {
        if let Some(ledger) = self.ledger.take()
            && let Err(error) = ledger.shutdown()
        {
            self.unless_disk(&error, "shutting down");
        }
    }

    fn reopen(&mut self, step: &LedgerStep) {
        self.shut_down();
        let beside = match step {
            LedgerStep::LoseKeys => Some((Beside::Keys, Harm::Gone)),
            LedgerStep::SpoilKeys => Some((Beside::Keys, Harm::Spoilt)),
            LedgerStep::LoseSnapshots => Some((Beside::Snapshots, Harm::Gone)),
            LedgerStep::SpoilSnapshots => Some((Beside::Snapshots, Harm::Spoilt)),
            _ => None,
        };
        if let Some((beside, harm)) = beside {
            self.mark(|told| told.is_harmed = true);
            harm_beside(&self.disk, beside, harm);
        }
        self.ledger = self.opened();
    }
}

/// Flips a bit of one of a book's events, which `n` picks, behind everybody's back.
fn rot_event(disk: &SimDisk, n: u64) -> Option<Rotten> {
    let first = Layout::new(Path::new(STORE)).book_log_name(BookKey::new(&book()));
    let paths = || (1..).map(|part| first.of_part(part).path);
    let tree = disk.tree();
    let mut lines = Vec::new();
    for path in paths().take_while(|path| tree.contains_key(path)) {
        disk.rot(&path, None).ok()?;
        let mut at = 0;
        for line in tree[&path].as_deref()?.split_inclusive(|byte| *byte == b'\n') {
            lines.push((path.clone(), at + line.len() / 2));
            at += line.len();
        }
    }
    let place = usize::try_from(n).ok()?.checked_rem(lines.len())?;
    let (path, at) = &lines[place];
    disk.rot(path, Some(*at)).ok()?;
    let tree = disk.tree();
    let part = |path: PathBuf| Some((path.clone(), tree.get(&path)?.as_deref()?.into()));
    Some(Rotten { seq: Seq(place as u64 + 1), parts: paths().map_while(part).collect() })
}

/// What stands beside the log of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    Keys,
    Snapshots,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    Gone,
    Spoilt,
}

/// Deletes or spoils every file of what stands beside the log; as far as the disk lets anybody.
pub(super) fn harm_beside(disk: &SimDisk, beside: Beside, harm: Harm) {
    let layout = Layout::new(Path::new(STORE));
    let folder = match beside {
        Beside::Keys => layout.book_keys(&book()),
        Beside::Snapshots => layout.book_snapshots(&book()),
    };
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for listed in disk.list(&folder).unwrap_or_default() {
            let path = Layout::listed(&folder, &listed);
            match (listed.kind, harm) {
                (FileKind::Folder, _) => folders.push(path),
                (_, Harm::Gone) => drop(disk.remove_file(&path)),
                (_, Harm::Spoilt) => spoil(disk, &path),
            }
        }
    }
}

/// Gives the last third of a file other bytes.
fn spoil(disk: &SimDisk, path: &Path) {
    let Ok(file) = disk.open(path, OpenMode::Append) else { return };
    let Ok(stat) = file.stat() else { return };
    let kept = stat.bytes - stat.bytes / 3;
    let lost = usize::try_from(stat.bytes - kept).unwrap_or_default();
    if file.truncate(kept).is_ok() {
        let _ = file.append(&vec![b'?'; lost]);
    }
}
