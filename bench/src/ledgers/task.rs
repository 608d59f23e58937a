//! What a process that measures a ledger is asked, what it answers, and what it is to write: the same for every ledger.
//!
//! Another package includes this file, so it is made of the standard library and `rustix` alone.

use std::fmt;
use std::str::FromStr;

use rustix::time::{ClockId, clock_gettime};

/// How many accounts transactions are posted to.
pub const ACCOUNTS: u64 = 64;
/// The book.
pub const BOOK: &str = "home";
/// The asset, which has two places.
pub const ASSET: &str = "USD";
/// How many transactions are committed at once where a ledger is only filled.
pub const FILL: u64 = 1000;

/// The time of the first transaction, in milliseconds since the epoch.
const START_MS: u64 = 1_764_000_000_000;

/// What is to be done in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Commits to a new ledger: each of so many committers makes so many calls of so many transactions. The calls are timed.
    Commit {
        /// How many commit at once.
        committers: u64,
        /// How many calls each makes.
        calls: u64,
        /// How many transactions a call has; one is committed by itself, more as a batch.
        per_call: u64,
    },
    /// Commits so many transactions to a new ledger, which is left for other tasks. Memory is what the process has grown by meanwhile.
    Fill {
        /// How many transactions.
        transactions: u64,
        /// Whether a snapshot is made at the end; there is none else.
        snapshot: bool,
    },
    /// Opens a ledger that was filled with so many transactions. Opening is timed; memory is what the process has grown by.
    Open {
        /// How many transactions.
        transactions: u64,
    },
    /// Opens a ledger that was filled with so many transactions, and asks so many balances as of times between its first and last. The questions are timed.
    Balance {
        /// How many transactions.
        transactions: u64,
        /// How many questions.
        questions: u64,
    },
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { committers, calls, per_call } => write!(f, "commit {committers} {calls} {per_call}"),
            Self::Fill { transactions, snapshot } => write!(f, "fill {transactions} {}", u64::from(*snapshot)),
            Self::Open { transactions } => write!(f, "open {transactions}"),
            Self::Balance { transactions, questions } => write!(f, "balance {transactions} {questions}"),
        }
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, numbers) = text.split_once(' ').unwrap_or((text, ""));
        let parsed: Result<Vec<u64>, _> = numbers.split(' ').map(str::parse).collect();
        match (word, &parsed.unwrap_or_default()[..]) {
            ("commit", &[committers, calls, per_call]) => Ok(Self::Commit { committers, calls, per_call }),
            ("fill", &[transactions, snapshot]) => Ok(Self::Fill { transactions, snapshot: snapshot != 0 }),
            ("open", &[transactions]) => Ok(Self::Open { transactions }),
            ("balance", &[transactions, questions]) => Ok(Self::Balance { transactions, questions }),
            _ => Err(format!("{text:?} is no task")),
        }
    }
}

/// What a task took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is timed of it, in nanoseconds.
    pub nanos: u64,
    /// How long processors were busy with that for this process, in the kernel and outside, in nanoseconds.
    pub processor_nanos: u64,
    /// By how much the process's resident memory grew, in KiB.
    pub memory_kib: u64,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.nanos, self.processor_nanos, self.memory_kib)
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u64>, _> = text.trim().split(' ').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[nanos, processor_nanos, memory_kib]) => Ok(Self { nanos, processor_nanos, memory_kib }),
            _ => Err(format!("{text:?} is no answer")),
        }
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    time: i128,
    processor: i128,
    memory_kib: u64,
}

impl Used {
    /// Until now.
    pub fn now() -> Self {
        let nanos = |clock| {
            let time = clock_gettime(clock);
            i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
        };
        let memory_kib = resident_kib();
        Self { time: nanos(ClockId::Monotonic), processor: nanos(ClockId::ProcessCPUTime), memory_kib }
    }

    /// What was used since.
    pub fn since(self) -> Answer {
        let now = Self::now();
        let nanos = |from: i128, to: i128| u64::try_from(to - from).unwrap_or_default();
        Answer {
            nanos: nanos(self.time, now.time),
            processor_nanos: nanos(self.processor, now.processor),
            memory_kib: now.memory_kib.saturating_sub(self.memory_kib),
        }
    }
}

/// The process's resident memory; 0 where the system does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or_default()
}

/// A transaction that is to be committed: from one account to another.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Its id: a UUID of version 7.
    pub id: [u8; 16],
    /// Its idempotency key.
    pub key: String,
    /// The number of the account that is debited.
    pub debited: u64,
    /// The number of the account that is credited.
    pub credited: u64,
    /// How much, in minor units.
    pub amount: i64,
    /// When it happened, in microseconds since the epoch.
    pub at_us: i64,
}

/// The `n`th transaction.
pub fn transfer(n: u64) -> Transfer {
    let millis = START_MS + n;
    // Bits that are spread evenly, the same in every run.
    let spread = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut id = [0; 16];
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    id[6..8].copy_from_slice(&(0x7000 | (spread >> 52)).to_be_bytes()[6..]);
    id[8..].copy_from_slice(&(1 << 63 | (spread & (u64::MAX >> 2))).to_be_bytes());
    let debited = spread >> 32 & (ACCOUNTS - 1);
    let apart = 1 + (spread >> 40) % (ACCOUNTS - 1);
    Transfer {
        id,
        key: format!("request-{n:012}"),
        debited,
        credited: (debited + apart) % ACCOUNTS,
        amount: i64::try_from(1 + spread % 100_000).unwrap_or(1),
        at_us: i64::try_from(millis * 1000).unwrap_or_default(),
    }
}

/// The path of the account with a number.
pub fn account_path(number: u64) -> String {
    format!("accounts:{number:03}")
}

/// The numbers of the transactions of a call: committers take turns, so that ids come about in order.
pub fn call(committers: u64, per_call: u64, committer: u64, call: u64) -> std::ops::Range<u64> {
    let first = (call * committers + committer) * per_call;
    first..first + per_call
}

/// The `n`th question: the account's number, and a time from `first` to `last`.
pub fn question(n: u64, (first, last): (u64, u64)) -> (u64, u64) {
    const STEPS: u64 = 10_007;
    (n % ACCOUNTS, first + (last - first) / STEPS * (n * 7919 % STEPS))
}
