//! Our ledgers at their tasks.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{SystemTime, UNIX_EPOCH};

use store_core::ledger::{Account, AccountId, AccountKind, Asset, BookName, Clock, Draft, Ledger, Posting};
use store_core::{Seq, TransactionId};
use store_fs::{FsLedger, LedgerOptions};
use store_sqlite::SqliteLedger;

use super::task::{ACCOUNTS, ASSET, Answer, BOOK, FILL, Task, Used, account_path, call, question, transfer};
use crate::Result;
use crate::ours::Kind;

/// Does a task.
///
/// # Errors
/// Those of the ledger.
pub fn run(kind: Kind, task: Task, folder: &Path) -> Result<Answer> {
    match task {
        Task::Commit { committers, calls, per_call } => {
            let ledger = open(kind, folder, true)?;
            Book::new(&*ledger)?.commit(&*ledger, (committers, calls, per_call))
        }
        Task::Fill { transactions, snapshot } => {
            let ledger = open(kind, folder, false)?;
            let book = Book::new(&*ledger)?;
            let begun = Used::now();
            for first in (0..transactions).step_by(usize::try_from(FILL)?) {
                book.commit_all(&*ledger, &book.drafts(first..transactions.min(first + FILL)))?;
            }
            let used = begun.since();
            if snapshot {
                ledger.snapshot_now(&book.name)?;
            }
            Ok(used)
        }
        Task::Open { transactions } => {
            let begun = Used::now();
            let ledger = open(kind, folder, false)?;
            let used = begun.since();
            ends(&*ledger, transactions)?;
            Ok(used)
        }
        Task::Balance { transactions, questions } => {
            let ledger = open(kind, folder, false)?;
            let (book, ends) = (Book::named()?, ends(&*ledger, transactions)?);
            let begun = Used::now();
            for n in 0..questions {
                let (account, as_of) = question(n, ends);
                ledger.balance(&book.accounts[usize::try_from(account)?], Some(as_of))?;
            }
            Ok(begun.since())
        }
    }
}

fn open(kind: Kind, folder: &Path, snapshots: bool) -> Result<Box<dyn Ledger>> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros());
    let clock: Clock = Arc::new(move || u64::try_from(now()).unwrap_or(u64::MAX));
    Ok(match kind {
        Kind::Fs => {
            let mut options = LedgerOptions::new(clock);
            if !snapshots {
                options.snapshot_every = 0;
            }
            Box::new(FsLedger::open(folder.join("store"), &options)?)
        }
        Kind::Sqlite => Box::new(SqliteLedger::open(folder.join("store.db"), clock)?),
    })
}

/// When the first and the last of so many transactions were committed, behind the events that opened the accounts.
fn ends(ledger: &dyn Ledger, transactions: u64) -> Result<(u64, u64)> {
    let at = |seq| -> Result<u64> {
        let events = ledger.read_events(&BOOK.parse()?, Seq(seq), 2)?;
        Ok(events.first().ok_or_else(|| format!("there is no event {seq}"))?.at)
    };
    if !ledger.read_events(&BOOK.parse()?, Seq(ACCOUNTS + transactions + 1), 1)?.is_empty() {
        return Err("there are more events than were committed".into());
    }
    Ok((at(ACCOUNTS + 1)?, at(ACCOUNTS + transactions)?))
}

/// The book that is written to.
struct Book {
    name: BookName,
    accounts: Vec<AccountId>,
}

impl Book {
    fn named() -> Result<Self> {
        let name: BookName = BOOK.parse()?;
        let accounts = (0..ACCOUNTS).map(|number| AccountId::new(&name, &account_path(number)));
        Ok(Self { accounts: accounts.collect::<std::result::Result<_, _>>()?, name })
    }

    fn new(ledger: &dyn Ledger) -> Result<Self> {
        let (book, asset) = (Self::named()?, Asset { id: ASSET.parse()?, precision: 2 });
        ledger.register_asset(&asset)?;
        for id in &book.accounts {
            let (id, asset, kind) = (id.clone(), asset.id.clone(), AccountKind::Asset);
            ledger.open_account(&Account { id, asset, kind, min_balance: None })?;
        }
        Ok(book)
    }

    fn draft(&self, n: u64) -> Draft {
        let transfer = transfer(n);
        let account = |number: u64| self.accounts[(number % ACCOUNTS) as usize].clone();
        let postings = vec![
            Posting::debit(account(transfer.debited), transfer.amount),
            Posting::credit(account(transfer.credited), transfer.amount),
        ];
        let id = TransactionId::from_bytes(transfer.id);
        let effective_at = u64::try_from(transfer.at_us).ok();
        Draft { effective_at, ..Draft::new(id, transfer.key, postings) }
    }

    fn drafts(&self, numbers: std::ops::Range<u64>) -> Vec<Draft> {
        numbers.map(|n| self.draft(n)).collect()
    }

    fn commit_all(&self, ledger: &dyn Ledger, drafts: &[Draft]) -> Result<()> {
        for receipt in ledger.commit_batch(&self.name, drafts)? {
            receipt?;
        }
        Ok(())
    }

    fn commit(&self, ledger: &dyn Ledger, (committers, calls, per_call): (u64, u64, u64)) -> Result<Answer> {
        // Who measures is the one more that everybody waits for: until all have made their drafts, and until the time is noted.
        let ready = Barrier::new(usize::try_from(committers)? + 1);
        std::thread::scope(|scope| {
            let committer = |committer| {
                let ready = &ready;
                scope.spawn(move || -> Result<()> {
                    let drafts = |number| self.drafts(call(committers, per_call, committer, number));
                    let drafts: Vec<Vec<Draft>> = (0..calls).map(drafts).collect();
                    ready.wait();
                    ready.wait();
                    for drafts in &drafts {
                        match &drafts[..] {
                            [draft] => {
                                ledger.commit(&self.name, draft)?;
                            }
                            drafts => self.commit_all(ledger, drafts)?,
                        }
                    }
                    Ok(())
                })
            };
            let running: Vec<_> = (0..committers).map(committer).collect();
            ready.wait();
            let begun = Used::now();
            ready.wait();
            running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread died")?)?;
            Ok(begun.since())
        })
    }
}
