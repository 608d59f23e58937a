//! What is done to a ledger, and the transactions that are committed: each number has its own, the same everywhere.

use store_core::TransactionId;
use store_core::ledger::{Account, AccountId, AccountKind, Asset, BookName, Draft, Ledger, LedgerResult, Posting};

use crate::simulate::Random;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerStep {
    /// Registers the assets and opens the accounts, as far as they are not there.
    Prepare,
    /// Commits the transaction of a number, whether it was before or not.
    Commit(u64),
    /// Commits those of so many numbers, from the first on, in one batch.
    Batch(u64, u64),
    /// The same, with one in the middle that does not balance.
    BadBatch(u64, u64),
    /// Commits those of so many numbers, from the first on, each by a thread of its own at the same time: they share syncs.
    Together(u64, u64),
    /// Makes a snapshot.
    Snapshot,
    /// Shuts the ledger down and opens it again.
    Reopen,
    /// Lets go of the ledger without shutting it down, and opens it again.
    Drop,
    /// Another process tries to own the ledger meanwhile.
    Intrude,
    /// Shuts the ledger down, deletes the keys that are put aside, and opens it again.
    LoseKeys,
    /// Shuts the ledger down, spoils the keys that are put aside, and opens it again.
    SpoilKeys,
    /// Shuts the ledger down, deletes the snapshots, and opens it again.
    LoseSnapshots,
    /// Shuts the ledger down, spoils the snapshots, and opens it again.
    SpoilSnapshots,
    /// Shuts the ledger down; the medium loses a bit of one of its events, which this number picks; opens it again, and repairs it.
    Rot(u64),
}

/// Steps with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerScript {
    /// What it is about.
    pub name: &'static str,
    /// What is done, in order.
    pub steps: Vec<LedgerStep>,
}

/// How many accounts are opened: the first events of the book.
pub(super) const ACCOUNTS: u64 = 5;
/// The numbers of a random script are below this.
const NUMBERS: usize = 24;

impl LedgerStep {
    /// The numbers whose transactions it commits.
    pub(super) fn numbers(&self) -> std::ops::Range<u64> {
        match *self {
            Self::Commit(n) => n..n + 1,
            Self::Batch(from, count) | Self::BadBatch(from, count) | Self::Together(from, count) => from..from + count,
            _ => 0..0,
        }
    }

    /// Whether its transactions are all there or none is.
    pub(super) const fn is_batch(&self) -> bool {
        matches!(self, Self::Batch(..) | Self::BadBatch(..))
    }
}

impl LedgerScript {
    /// The fixed ones.
    pub fn fixed() -> Vec<Self> {
        use LedgerStep::{
            BadBatch, Batch, Commit, Drop, Intrude, LoseKeys, LoseSnapshots, Prepare, Reopen, Snapshot, SpoilKeys,
            SpoilSnapshots, Together,
        };
        let script = |name, steps| Self { name, steps };
        vec![
            script(
                "a new ledger",
                vec![Prepare, Commit(1), Commit(2), Intrude, Batch(3, 3), Reopen, Commit(2), Commit(6)],
            ),
            script(
                "snapshots",
                vec![
                    Prepare,
                    Batch(1, 6),
                    Snapshot,
                    Commit(7),
                    SpoilSnapshots,
                    Commit(8),
                    Snapshot,
                    LoseSnapshots,
                    Commit(9),
                    Drop,
                    Commit(1),
                ],
            ),
            script(
                "keys",
                vec![
                    Prepare,
                    Batch(1, 8),
                    Commit(9),
                    Batch(10, 7),
                    LoseKeys,
                    Commit(3),
                    Commit(17),
                    SpoilKeys,
                    Batch(4, 2),
                    Commit(18),
                    Reopen,
                    Commit(10),
                ],
            ),
            script("bad drafts", vec![Prepare, BadBatch(1, 4), Commit(4), Drop, BadBatch(3, 5), Commit(8)]),
            script(
                "committers beside each other",
                vec![Prepare, Together(1, 4), Snapshot, Together(3, 4), Reopen, Commit(5)],
            ),
            script("repairs", repairs()),
        ]
    }

    /// The script of a seed.
    pub fn random(seed: u64) -> Self {
        let mut random = Random::of(seed, 21);
        let mut steps = vec![LedgerStep::Prepare];
        for _ in 0..6 + random.below(14) {
            let (from, count) = (1 + random.below(NUMBERS) as u64, 2 + random.below(5) as u64);
            steps.push(match random.below(23) {
                0..7 => LedgerStep::Commit(from),
                7..11 => LedgerStep::Batch(from, count),
                11 => LedgerStep::BadBatch(from, count),
                12 | 13 => LedgerStep::Snapshot,
                14 => LedgerStep::Reopen,
                15 => LedgerStep::Drop,
                16 => LedgerStep::Intrude,
                17 => LedgerStep::LoseKeys,
                18 => LedgerStep::SpoilKeys,
                19 => LedgerStep::LoseSnapshots,
                20 => LedgerStep::SpoilSnapshots,
                _ => LedgerStep::Rot(from * count),
            });
            // The accounts may be lost with it.
            let is_rotten = matches!(steps.last(), Some(LedgerStep::Rot(_)));
            steps.extend(is_rotten.then_some(LedgerStep::Prepare));
        }
        Self { name: "a random script", steps }
    }
}

/// Damage in the middle, behind a snapshot, among the accounts and in the first event.
fn repairs() -> Vec<LedgerStep> {
    use LedgerStep::{Batch, Commit, Prepare, Reopen, Rot, Snapshot};
    let mut steps = vec![Prepare, Batch(1, 6), Rot(9), Prepare, Commit(5), Batch(7, 6), Snapshot, Rot(14)];
    steps.extend([Batch(10, 4), Rot(2), Prepare, Batch(4, 4), Rot(0), Prepare, Batch(5, 3), Reopen, Commit(6)]);
    steps
}

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is a name"))
}

pub(super) fn book() -> BookName {
    name("home")
}

fn account(path: &str) -> AccountId {
    AccountId::new(&book(), path).unwrap_or_else(|_| panic!("{path:?} is a path"))
}

pub(super) fn key_of(n: u64) -> String {
    format!("request {n}")
}

/// Whether the transaction of a number may find too little to take from.
pub(super) const fn may_be_refused(n: u64) -> bool {
    n % 4 == 3
}

/// The transaction of a number.
pub(super) fn draft(n: u64) -> Draft {
    let amount = i64::try_from(n % 7 + 1).unwrap_or(1);
    let (debit, credit) = (|path| Posting::debit(account(path), amount), |path| Posting::credit(account(path), amount));
    let postings = match n % 4 {
        0 => vec![debit("a"), credit("b"), Posting::debit(account("c"), 1), Posting::credit(account("d"), 1)],
        1 => vec![debit("purse"), credit("a")],
        2 => vec![debit("a"), credit("b")],
        _ => vec![debit("b"), credit("purse")],
    };
    let mut draft = Draft::new(TransactionId::derive(n, b"simulated"), key_of(n), postings);
    if n.is_multiple_of(5) {
        draft.meta.insert("note".to_owned(), "x".repeat(200));
    }
    draft
}

/// A transaction that no ledger takes.
pub(super) fn unbalanced() -> Draft {
    Draft::new(TransactionId::derive(1 << 40, b"simulated"), "never", vec![Posting::debit(account("a"), 1)])
}

/// Registers the assets and opens the accounts.
pub(super) fn prepare(ledger: &dyn Ledger) -> LedgerResult<()> {
    let (usd, eur) = (Asset { id: name("USD"), precision: 2 }, Asset { id: name("EUR"), precision: 2 });
    for asset in [&usd, &eur] {
        ledger.register_asset(asset)?;
    }
    let accounts = [
        ("a", &usd, AccountKind::Clearing, None),
        ("b", &usd, AccountKind::Liability, None),
        ("purse", &usd, AccountKind::Asset, Some(0)),
        ("c", &eur, AccountKind::Expense, None),
        ("d", &eur, AccountKind::Clearing, None),
    ];
    for (path, asset, kind, min_balance) in accounts {
        ledger.open_account(&Account { id: account(path), asset: asset.id.clone(), kind, min_balance })?;
    }
    Ok(())
}
