//! Balances, histories, transactions and trial balances.

use store_core::Seq;
use store_core::ledger::{Account, BookName, HistoryRow, LedgerError, Posting, Side, TimestampUs, TrialRow};

use super::{Desk, NOON, away, clearing, draft_of, eur, home, id, in_book, transaction, transfer, usd};
use crate::checks::fixture::{Works as _, refused, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

/// Transfers 1, 2 and 3 from `b` to `a`, of 1, 10 and 100, each ten microseconds behind the one before.
fn three(harness: &dyn LedgerHarness) -> Result<Desk<'_>, Failure> {
    let desk = Desk::new(harness)?;
    for (n, amount) in [(1, 1), (2, 10), (3, 100)] {
        desk.set_clock(NOON + 10 * n);
        desk.commit(&transfer(n, "a", "b", amount))?;
    }
    Ok(desk)
}

fn history(desk: &Desk<'_>, path: &str, after: u64, limit: usize) -> Result<Vec<HistoryRow>, Failure> {
    desk.ledger().account_history(&id(path), Seq(after), limit).works("reading the history of an account")
}

fn seqs(rows: &[HistoryRow]) -> Vec<u64> {
    rows.iter().map(|row| row.seq.0).collect()
}

fn trial(desk: &Desk<'_>, book: &BookName, as_of: Option<TimestampUs>) -> Result<Vec<TrialRow>, Failure> {
    desk.ledger().trial_balance(book, as_of).works("asking for a trial balance")
}

pub(crate) fn an_unknown_account_has_no_balance(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    for account in [id("nobody"), in_book(&away(), "a")] {
        refused!(
            "the balance of an account that nobody opened",
            desk.ledger().balance(&account, None),
            LedgerError::UnknownAccount { account: told } if *told == account
        )?;
    }
    Ok(())
}

pub(crate) fn an_account_that_nothing_was_posted_to_holds_nothing(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    let balance = desk.ledger().balance(&id("c"), None).works("asking for a balance")?;
    same("the asset", balance.asset, usd().id)?;
    same("the balance", (balance.amount, balance.updated_seq), (0, Seq(0)))
}

pub(crate) fn a_balance_before_the_first_posting_is_nothing(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("the balance", desk.balance("a", Some(NOON + 9))?, (0, 0))?;
    same("the balance before the account was opened", desk.balance("a", Some(0))?, (0, 0))
}

pub(crate) fn a_balance_as_of_a_time_counts_what_was_there(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("the balance between two", desk.balance("a", Some(NOON + 25))?, (11, 5))?;
    same("the balance long after", desk.balance("a", Some(u64::MAX))?, (111, 6))
}

pub(crate) fn a_time_includes_its_own_microsecond(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("the balance", desk.balance("a", Some(NOON + 20))?, (11, 5))?;
    same("the balance a microsecond before", desk.balance("a", Some(NOON + 19))?, (1, 4))
}

pub(crate) fn reading_makes_no_book(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let ledger = desk.ledger();
    let _unknown = ledger.balance(&in_book(&away(), "a"), None);
    let _unknown = ledger.account_history(&in_book(&away(), "a"), Seq(0), 9);
    ledger.trial_balance(&away(), None).works("asking an unused book for its trial balance")?;
    ledger.read_events(&away(), Seq(1), 9).works("reading an unused book")?;
    ledger.list_accounts(&away()).works("listing the accounts of an unused book")?;
    drop(ledger.subscribe(&away(), Seq(1)).works("subscribing to an unused book")?);
    same("the books", ledger.list_books().works("listing the books")?, vec![BookName::system(), home()])
}

pub(crate) fn a_history_starts_behind_its_after(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("behind 4", seqs(&history(&desk, "a", 4, 9)?), vec![5, 6])?;
    same("behind the last", seqs(&history(&desk, "a", 6, 9)?), Vec::new())
}

pub(crate) fn a_history_stops_at_its_limit(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("the first two", seqs(&history(&desk, "a", 0, 2)?), vec![4, 5])
}

pub(crate) fn a_historys_limit_parts_no_transaction(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let postings = vec![
        Posting::debit(id("a"), 5),
        Posting::credit(id("b"), 4),
        Posting::debit(id("a"), 3),
        Posting::credit(id("c"), 4),
    ];
    desk.commit(&draft_of(1, postings))?;
    desk.commit(&transfer(2, "a", "b", 1))?;
    same("one transaction", seqs(&history(&desk, "a", 0, 1)?), vec![4, 4])?;
    same("two transactions", seqs(&history(&desk, "a", 0, 2)?), vec![4, 4, 5])
}

pub(crate) fn a_history_of_no_transactions_is_empty(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("none", seqs(&history(&desk, "a", 0, 0)?), Vec::new())
}

pub(crate) fn a_history_tells_each_posting(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    let row = HistoryRow {
        seq: Seq(5),
        at: NOON + 20,
        transaction: transaction(2),
        side: Side::Credit,
        amount: 10,
        balance: -11,
    };
    same("the second row of `b`", history(&desk, "b", 4, 1)?, vec![row])
}

pub(crate) fn an_unknown_account_has_no_history(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "the history of an account that nobody opened",
        desk.ledger().account_history(&id("nobody"), Seq(0), 9),
        LedgerError::UnknownAccount { .. }
    )
}

pub(crate) fn a_transaction_is_found_in_any_book(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    for path in ["a", "b"] {
        desk.account(&Account { id: in_book(&away(), path), ..clearing(path) })?;
    }
    let postings = vec![Posting::debit(in_book(&away(), "a"), 6), Posting::credit(in_book(&away(), "b"), 6)];
    let draft = draft_of(9, postings);
    desk.ledger().commit(&away(), &draft).works("committing to the other book")?;
    let find = |n| desk.ledger().transaction(transaction(n)).works("looking for a transaction");
    same("where the first stands", find(2)?.map(|found| (found.book, found.seq)), Some((home(), Seq(5))))?;
    same("the other", find(9)?.map(|found| (found.book, found.draft)), Some((away(), draft)))
}

pub(crate) fn an_unknown_transaction_is_none(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("the transaction", desk.ledger().transaction(transaction(7)).works("looking for a transaction")?, None)
}

pub(crate) fn a_trial_balance_is_equal_on_both_sides(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    desk.commit(&transfer(4, "c", "a", 200))?;
    let rows = vec![TrialRow { asset: usd().id, debit: 200, credit: 200 }];
    same("the trial balance", trial(&desk, &home(), None)?, rows)
}

pub(crate) fn a_trial_balance_is_sorted_by_asset(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    for path in ["x", "y"] {
        desk.account(&Account { asset: eur().id, ..clearing(path) })?;
    }
    desk.commit(&transfer(4, "x", "y", 3))?;
    let rows =
        vec![TrialRow { asset: eur().id, debit: 3, credit: 3 }, TrialRow { asset: usd().id, debit: 111, credit: 111 }];
    same("the trial balance", trial(&desk, &home(), None)?, rows)
}

pub(crate) fn a_trial_balance_as_of_a_time_counts_what_was_there(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    let rows = vec![TrialRow { asset: usd().id, debit: 11, credit: 11 }];
    same("the trial balance", trial(&desk, &home(), Some(NOON + 20))?, rows)
}

pub(crate) fn a_trial_balance_of_no_postings_is_empty(harness: &dyn LedgerHarness) -> Outcome {
    let desk = three(harness)?;
    same("that of an unused book", trial(&desk, &away(), None)?, Vec::new())?;
    same("that of a time before the first posting", trial(&desk, &home(), Some(NOON))?, Vec::new())
}

pub(crate) fn an_asset_whose_balances_are_zero_is_in_the_trial_balance(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.commit(&transfer(2, "b", "a", 5))?;
    let rows = vec![TrialRow { asset: usd().id, debit: 0, credit: 0 }];
    same("the trial balance", trial(&desk, &home(), None)?, rows)
}
