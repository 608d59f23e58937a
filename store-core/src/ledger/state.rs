//! What the events of a book fold to, kept so that a balance at any time costs a search and nothing is kept twice.
//!
//! Of each event there is its commit time, of each account that it changed its seq and the net after it. Commit times
//! never go back, so a time is a seq, and a balance at a seq is a binary search. No text of an event is kept: whoever wants one
//! reads it where it is stored. The price is a read for each transaction of a history.
//!
//! A state knows more than may be told: it has what was written and is not on stable storage yet, because the next transaction is judged
//! by that. So every answer is given through a seq.

use std::collections::{BTreeMap, HashMap};

use super::names::{AccountId, AssetId, BookName};
use super::rules::{Change, Standing};
use super::types::{Account, Balance, TimestampUs, TrialRow};
use crate::id::Seq;

/// The net of an account from an event on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The event.
    pub seq: Seq,
    /// Debits minus credits after it.
    pub net: i64,
}

/// What is known of an account.
#[derive(Clone, Debug)]
struct Row {
    account: Account,
    opened: Seq,
    marks: Vec<Mark>,
}

/// What the events of a book fold to.
#[derive(Clone, Debug, Default)]
pub struct BookState {
    /// The commit time of each event; that of seq 1 first.
    times: Vec<TimestampUs>,
    rows: Vec<Row>,
    by_path: HashMap<String, usize>,
}

impl BookState {
    /// The last event.
    pub fn last_seq(&self) -> Seq {
        Seq(self.times.len() as u64)
    }

    /// When it was committed; 0 before the first.
    pub fn last_at(&self) -> TimestampUs {
        self.times.last().copied().unwrap_or_default()
    }

    /// When an event was committed.
    pub fn time_of(&self, seq: Seq) -> Option<TimestampUs> {
        let place = usize::try_from(seq.0.checked_sub(1)?).ok()?;
        self.times.get(place).copied()
    }

    /// The last event through `through` that was committed at `as_of` or before.
    pub fn seq_at(&self, through: Seq, as_of: Option<TimestampUs>) -> Seq {
        let Some(as_of) = as_of else { return through };
        let by_then = self.times.partition_point(|at| *at <= as_of) as u64;
        through.min(Seq(by_then))
    }

    fn row(&self, path: &str) -> Option<&Row> {
        self.by_path.get(path).map(|at| &self.rows[*at])
    }

    /// An account that was opened by an event through `through`.
    pub fn account(&self, path: &str, through: Seq) -> Option<&Account> {
        self.row(path).filter(|row| row.opened <= through).map(|row| &row.account)
    }

    /// The accounts that were opened through `through`, with the events that opened them, in that order.
    pub fn accounts(&self, through: Seq) -> impl Iterator<Item = (&Account, Seq)> {
        self.rows.iter().map(|row| (&row.account, row.opened)).filter(move |(_, opened)| *opened <= through)
    }

    /// What a transaction is judged by: the account as the last event left it.
    pub fn standing(&self, path: &str) -> Option<Standing> {
        let row = self.row(path)?;
        Some(Standing {
            asset: row.account.asset.clone(),
            kind: row.account.kind,
            min_balance: row.account.min_balance,
            net: row.marks.last().map_or(0, |mark| mark.net),
        })
    }

    /// Where an account stood at an event.
    pub fn mark(&self, path: &str, through: Seq) -> Option<Mark> {
        self.row(path).map(|row| row.mark(through))
    }

    /// The events that changed an account, behind `after` and through `through`.
    pub fn marks(&self, path: &str, after: Seq, through: Seq) -> &[Mark] {
        let Some(row) = self.row(path) else { return &[] };
        let from = row.marks.partition_point(|mark| mark.seq <= after);
        let to = row.marks.partition_point(|mark| mark.seq <= through);
        row.marks.get(from..to).unwrap_or_default()
    }

    /// What an account held at an event.
    pub fn balance(&self, account: &AccountId, known: Seq, at: Seq) -> Option<Balance> {
        let row = self.row(account.path()).filter(|row| row.opened <= known)?;
        let Mark { seq, net } = row.mark(at);
        let amount = row.account.kind.balance(net);
        Some(Balance { account: account.clone(), asset: row.account.asset.clone(), amount, updated_seq: seq })
    }

    /// The trial balance at an event.
    pub fn trial_balance(&self, at: Seq) -> Vec<TrialRow> {
        let mut sums: BTreeMap<&AssetId, (i128, i128)> = BTreeMap::new();
        for row in &self.rows {
            let Mark { seq, net } = row.mark(at);
            if seq == Seq::START {
                continue;
            }
            let (debit, credit) = sums.entry(&row.account.asset).or_default();
            if net > 0 {
                *debit += i128::from(net);
            } else {
                *credit -= i128::from(net);
            }
        }
        let row = |(asset, (debit, credit)): (&AssetId, _)| TrialRow { asset: asset.clone(), debit, credit };
        sums.into_iter().map(row).collect()
    }

    /// Takes in the next event, which opens no account and changes none.
    pub fn push(&mut self, at: TimestampUs) -> Seq {
        self.times.push(at);
        self.last_seq()
    }

    /// Takes in the next event, which opens an account that is not there yet.
    pub fn push_account(&mut self, at: TimestampUs, account: Account) -> Seq {
        let opened = self.push(at);
        self.by_path.insert(account.id.path().to_owned(), self.rows.len());
        self.rows.push(Row { account, opened, marks: Vec::new() });
        opened
    }

    /// Takes in the next event, which changes accounts that are there.
    pub fn push_changes(&mut self, at: TimestampUs, changes: &[Change]) -> Seq {
        let seq = self.push(at);
        for change in changes {
            if let Some(row) = self.by_path.get(change.account.path()) {
                self.rows[*row].marks.push(Mark { seq, net: change.net });
            }
        }
        seq
    }

    /// Takes in the next event, which debits these accounts by these amounts (credits are negative), all of which are there. For who reads
    /// events that were judged when they were written; `None` if it cannot have been, and nothing is taken in.
    pub fn push_postings<'p>(
        &mut self,
        at: TimestampUs,
        postings: impl Iterator<Item = (&'p str, i128)>,
    ) -> Option<Seq> {
        let seq = self.last_seq().next();
        let mut done: Vec<(usize, i128)> = Vec::with_capacity(4);
        for (path, delta) in postings {
            let row = *self.by_path.get(path)?;
            match done.iter_mut().find(|(known, _)| *known == row) {
                Some((_, sum)) => *sum += delta,
                None => done.push((row, delta)),
            }
        }
        for (row, sum) in &mut done {
            *sum += self.rows[*row].marks.last().map_or(0, |mark| i128::from(mark.net));
            i64::try_from(*sum).ok().filter(|net| *net != i64::MIN)?;
        }
        for (row, sum) in done {
            let net = i64::try_from(sum).unwrap_or_default();
            self.rows[row].marks.push(Mark { seq, net });
        }
        self.times.push(at);
        Some(seq)
    }

    /// The commit times of all events.
    pub fn times(&self) -> &[TimestampUs] {
        &self.times
    }

    /// Every account with the event that opened it and all its marks, in the order in which they were opened.
    pub fn rows(&self) -> impl Iterator<Item = (&Account, Seq, &[Mark])> {
        self.rows.iter().map(|row| (&row.account, row.opened, &row.marks[..]))
    }

    /// A state of the same parts; `None` if they are not those of a state.
    pub fn of_parts(
        book: &BookName,
        times: Vec<TimestampUs>,
        rows: impl IntoIterator<Item = (Account, Seq, Vec<Mark>)>,
    ) -> Option<Self> {
        let mut state = Self { times, ..Self::default() };
        let last = state.last_seq();
        for (account, opened, marks) in rows {
            let ascends = marks.windows(2).all(|pair| pair[0].seq < pair[1].seq);
            let within = marks.last().is_none_or(|mark| mark.seq <= last) && opened <= last;
            let path = account.id.path().to_owned();
            if account.id.book() != book || !ascends || !within || state.by_path.contains_key(&path) {
                return None;
            }
            state.by_path.insert(path, state.rows.len());
            state.rows.push(Row { account, opened, marks });
        }
        state.times.is_sorted().then_some(state)
    }
}

impl Row {
    fn mark(&self, through: Seq) -> Mark {
        let behind = match self.marks.last() {
            // Most want the present.
            Some(last) if last.seq <= through => self.marks.len(),
            _ => self.marks.partition_point(|mark| mark.seq <= through),
        };
        let at = behind.checked_sub(1).and_then(|at| self.marks.get(at));
        at.copied().unwrap_or(Mark { seq: Seq::START, net: 0 })
    }
}
