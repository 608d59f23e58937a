//! The published ledgers `talea-store-log` and `talea-store-sqlite` at the tasks that ours are measured with.
//!
//! They are asynchronous: committers are tasks of a runtime that has a thread for each core, as their documentation uses them. Each is opened as it opens
//! itself, but for one thing: `talea-store-sqlite` would let a commit return before it is on stable storage (`synchronous = NORMAL`), so its
//! database is opened with `FULL`, and all else as it does.

#[path = "../../src/ledgers/task.rs"]
mod task;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use talea_core::store::{AccountCfg, Store};
use talea_core::types::{
    AccountDef, AccountId, AccountKind, Amount, AssetClass, AssetDef, AssetId, Book, Direction, IdempotencyKey,
    Posting, Seq, Transaction, TxId,
};
use talea_store_log::{LogStoreOptions, LogTaleaStore};
use talea_store_sqlite::SqliteTaleaStore;
use tokio::sync::Barrier;
use uuid::Uuid;

use task::{ACCOUNTS, ASSET, Answer, BOOK, FILL, Task, Used, account_path, call, question, transfer};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Which ledger.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Log,
    Sqlite,
}

/// An open ledger.
#[derive(Clone)]
enum Opened {
    Log(Arc<LogTaleaStore>),
    Sqlite(Arc<SqliteTaleaStore>),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<Answer> {
    let [task, folder] = arguments else { return Err("usage: talea-ledgers 'log|sqlite TASK' FOLDER".into()) };
    let (kind, task) = match task.split_once(' ') {
        Some(("log", task)) => (Kind::Log, task.parse()?),
        Some(("sqlite", task)) => (Kind::Sqlite, task.parse()?),
        _ => return Err(format!("{task:?} names no ledger").into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(do_task(kind, task, Path::new(folder)))
}

async fn do_task(kind: Kind, task: Task, folder: &Path) -> Result<Answer> {
    match task {
        Task::Commit { committers, calls, per_call } => {
            let opened = Opened::open(kind, folder, true).await?;
            opened.make_book().await?;
            let answer = commit(&opened, (committers, calls, per_call)).await?;
            opened.close().await;
            Ok(answer)
        }
        Task::Fill { transactions, snapshot } => {
            let opened = Opened::open(kind, folder, false).await?;
            opened.make_book().await?;
            let begun = Used::now();
            for first in (0..transactions).step_by(usize::try_from(FILL)?) {
                let numbers = first..transactions.min(first + FILL);
                opened.commit_all(&numbers.map(transaction).collect::<Vec<_>>()).await?;
            }
            let used = begun.since();
            if let (Opened::Log(store), true) = (&opened, snapshot) {
                store.snapshot_now(BOOK).await?;
            }
            opened.close().await;
            Ok(used)
        }
        Task::Open { transactions } => {
            let begun = Used::now();
            let opened = Opened::open(kind, folder, false).await?;
            let used = begun.since();
            ends(&opened, transactions).await?;
            opened.close().await;
            Ok(used)
        }
        Task::Balance { transactions, questions } => {
            let opened = Opened::open(kind, folder, false).await?;
            let ends = ends(&opened, transactions).await?;
            let accounts: Vec<AccountId> = (0..ACCOUNTS).map(account).collect();
            let begun = Used::now();
            for n in 0..questions {
                let (account, as_of) = question(n, ends);
                let as_of = DateTime::from_timestamp_micros(i64::try_from(as_of)?);
                opened.store().balance(&accounts[usize::try_from(account)?], as_of).await?;
            }
            let used = begun.since();
            opened.close().await;
            Ok(used)
        }
    }
}

impl Opened {
    async fn open(kind: Kind, folder: &Path, snapshots: bool) -> Result<Self> {
        Ok(match kind {
            Kind::Log => {
                let mut options = LogStoreOptions::default();
                if !snapshots {
                    options.snapshot_every = 0;
                }
                Self::Log(Arc::new(LogTaleaStore::open_with(&folder.join("talea"), options).await?))
            }
            Kind::Sqlite => {
                let options = SqliteConnectOptions::new()
                    .filename(folder.join("talea.db"))
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    // Longer than anybody waits: a commit that gives up would be no measurement.
                    .busy_timeout(Duration::from_secs(60))
                    .foreign_keys(true);
                let pool =
                    SqlitePoolOptions::new().acquire_timeout(Duration::from_secs(600)).connect_with(options).await?;
                let store = SqliteTaleaStore::new(pool);
                store.migrate().await?;
                Self::Sqlite(Arc::new(store))
            }
        })
    }

    fn store(&self) -> &dyn Store {
        match self {
            Self::Log(store) => &**store,
            Self::Sqlite(store) => &**store,
        }
    }

    async fn make_book(&self) -> Result<()> {
        let id = AssetId::new(ASSET);
        let asset = AssetDef { id: id.clone(), class: AssetClass::Fiat, precision: 2, name: ASSET.to_owned() };
        self.store().register_asset(&asset).await?;
        for number in 0..ACCOUNTS {
            let definition = AccountDef { id: account(number), asset: id.clone(), kind: AccountKind::Asset };
            let settings = AccountCfg { normal_side: Some(Direction::Debit), min_balance: None };
            self.store().open_account(&definition, &settings).await?;
        }
        Ok(())
    }

    async fn commit_all(&self, transactions: &[Transaction]) -> Result<()> {
        for committed in self.store().commit_batch(transactions).await {
            committed?;
        }
        Ok(())
    }

    async fn close(self) {
        if let Self::Log(store) = self {
            store.shutdown().await;
        }
    }
}

fn account(number: u64) -> AccountId {
    AccountId { book: Book(BOOK.to_owned()), path: account_path(number % ACCOUNTS) }
}

fn transaction(n: u64) -> Transaction {
    let transfer = transfer(n);
    let posting = |number, direction| {
        let amount = Amount::new(transfer.amount, AssetId::new(ASSET));
        Posting { account: account(number), amount, direction }
    };
    Transaction {
        id: TxId(Uuid::from_bytes(transfer.id)),
        book: Book(BOOK.to_owned()),
        postings: vec![posting(transfer.debited, Direction::Debit), posting(transfer.credited, Direction::Credit)],
        idempotency_key: IdempotencyKey(transfer.key.clone()),
        external_refs: Vec::new(),
        metadata: serde_json::Value::Null,
        occurred_at: DateTime::from_timestamp_micros(transfer.at_us).unwrap_or_default(),
    }
}

/// When the first and the last of so many transactions were committed, behind the events that opened the accounts.
async fn ends(opened: &Opened, transactions: u64) -> Result<(u64, u64)> {
    let book = Book(BOOK.to_owned());
    let mut times = Vec::new();
    for seq in [ACCOUNTS + 1, ACCOUNTS + transactions] {
        let events = opened.store().read_events(&book, Seq::try_from(seq)?, 1).await?;
        let event = events.first().ok_or_else(|| format!("there is no event {seq}"))?;
        times.push(u64::try_from(event.at.timestamp_micros())?);
    }
    let behind = Seq::try_from(ACCOUNTS + transactions + 1)?;
    if !opened.store().read_events(&book, behind, 1).await?.is_empty() {
        return Err("there are more events than were committed".into());
    }
    Ok((times[0], times[1]))
}

async fn commit(opened: &Opened, (committers, calls, per_call): (u64, u64, u64)) -> Result<Answer> {
    // Who measures is the one more that everybody waits for: until all have made their transactions, and until the time is noted.
    let ready = Arc::new(Barrier::new(usize::try_from(committers)? + 1));
    let running: Vec<_> = (0..committers)
        .map(|committer| {
            let (opened, ready) = (opened.clone(), Arc::clone(&ready));
            tokio::spawn(async move {
                let transactions = |number| call(committers, per_call, committer, number).map(transaction).collect();
                let calls: Vec<Vec<Transaction>> = (0..calls).map(transactions).collect();
                ready.wait().await;
                ready.wait().await;
                for transactions in &calls {
                    match &transactions[..] {
                        [transaction] => {
                            opened.store().commit(transaction).await?;
                        }
                        transactions => opened.commit_all(transactions).await?,
                    }
                }
                Ok::<(), Box<dyn Error + Send + Sync>>(())
            })
        })
        .collect();
    ready.wait().await;
    let begun = Used::now();
    ready.wait().await;
    for task in running {
        task.await??;
    }
    Ok(begun.since())
}
