//! Repairing a ledger where it is: which of its books need it, and what is done to each.
//!
//! A plan is made of the logs alone, by the rules that are everybody's (`store_core::ledger::repair`). The owner keeps everybody from the books meanwhile, so that
//! nothing is committed to what is looked at. What follows from a log is not mended but put aside as it is, under a name that nobody reads, and made again.
//! A book's log is replaced in one step ([`cut`]); so a crash leaves the old book or the repaired one, and what lies beside it is settled by whoever opens the ledger next.

mod cut;

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use store_core::integrity::{MaintenanceOptions, Quarantined};
use store_core::ledger::repair::{BookPlan, LedgerRepairPlanner, Met};
use store_core::ledger::{BookName, BookRepair, LedgerError, LedgerFinding, LedgerRepair, LedgerResult};
use store_core::{Result, Seq, StoreError};

use self::cut::BookLog;
pub(super) use self::cut::finish_decided;
use super::log::told;
use super::{Books, Entry, ListedBook, Open, WITHOUT_LOG, list};
use crate::error::{At as _, found};
use crate::layout::Layout;
use crate::record_log::{Writers, lock_mutex};

/// What stands beside a book's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Snapshots,
    Keys,
}

/// What is not in step with a book's log.
#[derive(Debug, Default)]
struct OutOfStep {
    what: Vec<Beside>,
    details: Vec<String>,
}

impl OutOfStep {
    fn add(&mut self, beside: Beside, findings: Vec<LedgerFinding>) {
        if !findings.is_empty() {
            self.what.push(beside);
            self.details.extend(findings.into_iter().map(|finding| finding.detail));
        }
    }
}

impl Open {
    pub(super) fn repair(&self, only: Option<&BookName>, options: &MaintenanceOptions) -> LedgerResult<LedgerRepair> {
        if self.is_read_only {
            if !options.dry_run {
                return Err(StoreError::ReadOnly.into());
            }
            self.refresh()?;
        }
        let _alone = lock_mutex(&self.snapshotting);
        let (mut repair, mut due) = (LedgerRepair::default(), Vec::new());
        {
            let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
            let mut listed = list(&self.book_options)?;
            if let Some(only) = only.filter(|only| listed.iter().all(|listed| listed.name != **only)) {
                return Err(LedgerError::UnknownBook { book: only.clone() });
            }
            listed.sort_by_key(|listed| (!listed.name.is_reserved(), listed.name.clone()));
            let mut planner = LedgerRepairPlanner::default();
            for listed in listed {
                let (log, plan) = self.plan(&mut planner, &listed)?;
                if only.is_some_and(|only| *only != listed.name) {
                    continue;
                }
                let (done, snapshot) = self.repair_book(&mut books, &listed, (log, &plan), options)?;
                due.extend(snapshot.then_some(listed.name));
                repair.books.push(done);
            }
            repair.unregistered = planner.unregistered();
        }
        // One that cannot be made now is made another time.
        due.iter().for_each(|name| drop(self.make_snapshot(name)));
        if only.is_none() {
            repair.books.extend(self.header_repair(options)?);
        }
        Ok(repair)
    }

    /// What is left of a book, and its log.
    fn plan(
        &self,
        planner: &mut LedgerRepairPlanner,
        listed: &ListedBook,
    ) -> LedgerResult<(Option<BookLog<'_>>, BookPlan)> {
        let name = &listed.name;
        let now = (self.options.clock)();
        let nothing = || Ok(Vec::new());
        if !listed.has_log {
            let missing = Met::Missing { detail: WITHOUT_LOG };
            let plan = planner.plan(name, now, nothing, |visit| {
                let _ = visit(missing);
                Ok(())
            })?;
            return Ok((None, plan));
        }
        let writers = if self.is_read_only { Writers::Possible } else { Writers::KeptOut };
        let log = BookLog::open(&*self.book_options.disk, &self.book_options.layout, name)?;
        let plan =
            planner.plan(name, now, nothing, |visit| log.scan(writers, visit).map_err(|error| told(name, error)))?;
        Ok((Some(log), plan))
    }

    /// Answers also whether a snapshot is to be made when nobody is kept from the books any more.
    fn repair_book(
        &self,
        books: &mut Books,
        listed: &ListedBook,
        (log, plan): (Option<BookLog<'_>>, &BookPlan),
        options: &MaintenanceOptions,
    ) -> LedgerResult<(BookRepair, bool)> {
        let name = &listed.name;
        let mut done = BookRepair::of_plan(plan);
        let mut beside = OutOfStep::default();
        match books.get(name) {
            _ if plan.lost.is_some() => beside.what = vec![Beside::Snapshots, Beside::Keys],
            Some(Entry::Whole(book)) => {
                let mut findings = Vec::new();
                self.examine_snapshots(name, book, &mut findings);
                beside.add(Beside::Snapshots, std::mem::take(&mut findings));
                self.examine_keys(name, book, &mut findings)?;
                beside.add(Beside::Keys, findings);
            }
            // Somebody put a whole log back.
            Some(Entry::Damaged { .. }) if !options.dry_run => self.reopen(books, name)?,
            _ => {}
        }
        done.made_anew = beside.details;
        let mut done = done.named(options);
        if done.migration_id.is_none() || options.dry_run {
            return Ok((done, false));
        }
        if let Some(Entry::Whole(book)) = books.get(name) {
            book.check_open()?;
        }
        let made = self.make_whole(log.as_ref().filter(|_| plan.lost.is_some()), plan, &beside.what, &mut done);
        // With it go the locks of the log's parts, which opening the book takes.
        drop(log);
        if let Err(error) = made {
            let (seq, detail) = (plan.kept.seq.next(), format!("its repair failed: {error}"));
            books.insert(name.clone(), Entry::Damaged { seq, detail });
            return Err(error.into());
        }
        self.reopen(books, name)?;
        if let (Some(events), Some(event)) = (&self.events, done.event(options)) {
            events.append(&event)?;
        }
        let is_due = plan.lost.is_none() && beside.what.contains(&Beside::Snapshots) && !name.is_reserved();
        Ok((done, is_due))
    }

    fn make_whole(
        &self,
        log: Option<&BookLog<'_>>,
        plan: &BookPlan,
        beside: &[Beside],
        done: &mut BookRepair,
    ) -> Result<()> {
        // First, so that nothing of it can ever be taken for what was made of the new log.
        for beside in beside {
            let layout = &self.book_options.layout;
            let folder = match beside {
                Beside::Snapshots => layout.book_snapshots(&plan.book),
                Beside::Keys => layout.book_keys(&plan.book),
            };
            if let Some(path) = self.put_aside(&folder)?
                && log.is_none()
                && plan.lost.is_some()
            {
                // Nothing else is left of the book.
                let path = Some(layout.relative(&path));
                done.set_aside.push(Quarantined { part: 1, offset: 0, bytes: 0, path });
            }
        }
        if let Some(log) = log {
            done.set_aside = log.cut(plan)?;
        }
        Ok(())
    }

    /// Gives a folder beside a log a name that nobody reads; `None` if there is no such folder.
    fn put_aside(&self, folder: &Path) -> Result<Option<std::path::PathBuf>> {
        let disk = &*self.book_options.disk;
        if found(disk.stat(folder)).at("stat", folder)?.is_none() {
            return Ok(None);
        }
        for attempt in 1.. {
            let aside = Layout::set_aside(folder, attempt);
            if found(disk.stat(&aside)).at("stat", &aside)?.is_some() {
                continue;
            }
            disk.rename(folder, &aside).at("rename", folder)?;
            let parent = folder.parent().unwrap_or(folder);
            disk.sync_folder(parent).at("sync", parent)?;
            return Ok(Some(aside));
        }
        Ok(None)
    }

    /// Opens a book anew, as it stands on the medium now. One that cannot be opened takes no writes: nobody may take it for one that is not there.
    fn reopen(&self, books: &mut Books, name: &BookName) -> LedgerResult<()> {
        match self.opened(name) {
            Ok(Some(entry)) => drop(books.insert(name.clone(), entry)),
            Ok(None) => drop(books.remove(name)),
            Err(error) => {
                let detail = format!("it could not be opened again: {error}");
                books.insert(name.clone(), Entry::Damaged { seq: Seq(1), detail });
                return Err(error);
            }
        }
        Ok(())
    }

    fn opened(&self, name: &BookName) -> LedgerResult<Option<Entry>> {
        let listed = list(&self.book_options)?.into_iter().find(|listed| listed.name == *name);
        listed.map_or(Ok(None), |listed| Entry::open(&listed, &self.book_options, &self.logs))
    }

    /// What is said of the ledger's header, if that was lost: opening the ledger for writing made it again.
    fn header_repair(&self, options: &MaintenanceOptions) -> Result<Option<BookRepair>> {
        let was_lost = match options.dry_run {
            true => self.lost_header.load(Ordering::Acquire),
            false => self.lost_header.swap(false, Ordering::AcqRel),
        };
        if !was_lost {
            return Ok(None);
        }
        let done = BookRepair::of_no_book(vec!["the ledger's header was not there beside its books".to_owned()]);
        let done = done.named(options);
        if let (Some(events), Some(event)) = (self.events.as_ref().filter(|_| !options.dry_run), done.event(options)) {
            events.append(&event)?;
        }
        Ok(Some(done))
    }
}

/// The last event that is kept, as a position in the log.
fn is_kept(plan: &BookPlan, seq: Seq) -> bool {
    seq <= plan.kept.seq
}
